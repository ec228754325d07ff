//! `rewamp config`: the configuration that holds, or its form for Crossbar, on standard output;
//! everything else on standard error.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{FAULTS, Location, read, tell};
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
    pub(super) fn run(&self) -> io::Result<u8> {
        if self.reference {
            io::stdout().write_all(reference::document().as_bytes())?;
            return Ok(0);
        }
        let draft = match read(&self.location, None)? {
            Ok(draft) => draft,
            Err(code) => return Ok(code),
        };
        let findings = draft.check(Severity::Warning);
        if findings.stop() {
            tell(&findings, &mut io::stderr())?;
            return Ok(FAULTS);
        }
        match self.router {
            None => print(&draft.effective())?,
            Some(Router::Crossbar) => {
                let export = draft.for_crossbar(self.with_secrets);
                for lost in &export.lost {
                    writeln!(io::stderr(), "lost: {lost}")?;
                }
                print(&export.tree)?;
            }
        }
        Ok(0)
    }
}

fn print(tree: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, tree)?;
    writeln!(out)
}
