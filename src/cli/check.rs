//! `rewamp check`: all findings of a configuration on standard output.

use std::io;

use super::{Console, FAULTS, Location, read, tell};
use crate::config::finding::Severity;

/// References to variables and files that are missing are warnings here: one checks on other
/// machines than those that have the secrets.
pub(super) fn run(location: &Location, console: &mut Console<'_>) -> io::Result<u8> {
    let draft = match read(location, None, console)? {
        Ok(draft) => draft,
        Err(code) => return Ok(code),
    };
    let findings = draft.check(Severity::Warning);
    tell(&findings, console.out)?;
    let (faults, warnings) = (
        findings.count(Severity::Fault),
        findings.count(Severity::Warning),
    );
    let what = match draft.file() {
        Some(file) => file.display().to_string(),
        None => String::from("built-in configuration"),
    };
    let verdict = if findings.stop() {
        "does not start"
    } else {
        "starts"
    };
    writeln!(
        console.out,
        "{what}: {faults} faults, {warnings} warnings: {verdict}"
    )?;
    Ok(if findings.stop() { FAULTS } else { 0 })
}
