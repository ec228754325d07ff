//! `rewamp start`: logging, configuration, node, exit code.

use std::io;

use clap::Args;
use log::{LevelFilter, error, warn};

use super::{Console, FAILED, FAULTS, Level, Location, read, tell};
use crate::config::Config;
use crate::config::finding::Findings;
use crate::node;

/// Run the node.
#[derive(Debug, Args)]
pub(super) struct Start {
    #[command(flatten)]
    location: Location,
    /// How much is logged; overrides `rewamp.loglevel` and RUST_LOG
    #[arg(long, value_name = "LEVEL")]
    loglevel: Option<Level>,
}

impl Start {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        let draft = match read(&self.location, self.loglevel, console)? {
            Ok(draft) => draft,
            Err(code) => return Ok(code),
        };
        let (config, warnings) = match draft.config() {
            Ok(checked) => checked,
            Err(findings) => {
                tell(&findings, console.err)?;
                writeln!(console.err, "the node does not start")?;
                return Ok(FAULTS);
            }
        };
        self.start_logging(config.loglevel);
        log_warnings(&warnings);
        run(config)
    }

    /// Lines to standard error. `RUST_LOG` filters by module where `--loglevel` says nothing.
    fn start_logging(&self, level: LevelFilter) {
        let mut builder = env_logger::Builder::new();
        builder.filter_level(level);
        // What it fails at is an error to the store that uses it, which says so once.
        builder.filter_module("sled", LevelFilter::Off);
        if self.loglevel.is_none() {
            builder.parse_default_env();
        }
        // Fails only when a logger is there already, which then logs.
        let _ = builder.try_init();
    }
}

fn log_warnings(warnings: &Findings) {
    for warning in warnings {
        warn!("configuration: {}: {}", warning.path, warning.text);
    }
}

fn run(config: Config) -> io::Result<u8> {
    match actix_rt::System::new().block_on(node::run(config)) {
        Ok(()) => Ok(0),
        Err(error) => {
            error!("{error}");
            Ok(FAILED)
        }
    }
}
