//! `rewamp config`: the configuration that holds, or its form for Crossbar, on standard output;
//! everything else on standard error.

use std::io;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Console, FAULTS, Location, read, tell};
use crate::config::finding::Severity;
use crate::config::reference;

/// Print the configuration.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    location: Location,
    /// Print what another router starts with, and name what is lost
    #[arg(long = "for", value_name = "ROUTER")]
    router: Option<Router>,
    /// Write literal secrets instead of `***`
    #[arg(long, requires = "router")]
    with_secrets: bool,
    /// Print the documentation of all keys
    #[arg(long, hide = true)]
    reference: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Router {
    /// Crossbar, as `crossbar start` runs it
    Crossbar,
}

impl Show {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        if self.reference {
            console.out.write_all(reference::document().as_bytes())?;
            return Ok(0);
        }
        let draft = match read(&self.location, None, console)? {
            Ok(draft) => draft,
            Err(code) => return Ok(code),
        };
        let findings = draft.check(Severity::Warning);
        if findings.stop() {
            tell(&findings, console.err)?;
            return Ok(FAULTS);
        }
        match self.router {
            None => print(&draft.effective(), console.out)?,
            Some(Router::Crossbar) => {
                let export = draft.for_crossbar(self.with_secrets);
                for lost in &export.lost {
                    writeln!(console.err, "lost: {lost}")?;
                }
                print(&export.tree, console.out)?;
            }
        }
        Ok(0)
    }
}

fn print(tree: &Value, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, tree)?;
    writeln!(out)
}
