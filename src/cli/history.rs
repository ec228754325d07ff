//! `rewamp history`: the stores themselves, without a node. Reading changes no byte of a store;
//! what is made stands under its name only when it is whole.

mod which; //    the stores that are meant
mod list; //     what they hold
mod get; //      events of one
mod export; //   all of them, into a file
mod follow; //   and what comes as well
mod import; //   and out of one
mod ask; //      or out of a running router
mod convert; //  from a store into another
mod compare; //  what two routers send
mod comparison; // held against each other
mod verify; //   whether a store is whole
mod repair; //   what is sound of one that is not
mod compact; //  without what is free in it
mod progress; // how far it is

use std::fmt::Display;
use std::io;

use clap::{Args, Subcommand};

use super::{Console, FAILED};

pub(super) use import::{Kind, MAXSIZE};

/// Look into event stores, copy and check them.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct History {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what stores hold: realms, filters, counts, sizes, times
    Ls(list::List),
    /// Print events of one history, one JSON object a line
    Get(get::Get),
    /// Write all events of a store into a file, NDJSON or Parquet
    Export(export::Export),
    /// Make a store of such a file
    Import(import::Import),
    /// Make a store of another one
    Convert(convert::Convert),
    /// Join two routers and report where they differ
    Compare(compare::Compare),
    /// Read a whole store and say whether anything is missing
    Verify(verify::Verify),
    /// Set aside what is damaged in a store and keep the rest
    Repair(repair::Repair),
    /// Give disk space back to the system
    Compact(compact::Compact),
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the configuration has faults, 2 wrong command line, 3 it could not be done,
4 done, and events are missing (verify, repair), or routers differ (compare)";

/// Events are missing, or routers differ.
const MISSING: u8 = 4;

impl History {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        // What the engines have to say is said here as well: it may be the cause of an error.
        let mut logging = env_logger::Builder::new();
        logging.filter_level(log::LevelFilter::Warn);
        logging.filter_module("sled", log::LevelFilter::Off);
        let _ = logging.try_init();
        let done = match &self.command {
            Command::Ls(list) => list.run(console),
            Command::Get(get) => get.run(console),
            Command::Export(export) => export.run(console),
            Command::Import(import) => import.run(console),
            Command::Convert(convert) => convert.run(console),
            Command::Compare(compare) => compare.run(console),
            Command::Verify(verify) => verify.run(console),
            Command::Repair(repair) => repair.run(console),
            Command::Compact(compact) => compact.run(console),
        };
        match done {
            Ok(code) => Ok(code),
            Err(Failure::Console(error)) => Err(error),
            Err(Failure::Told(code)) => Ok(code),
            Err(Failure::Failed(why)) => {
                writeln!(console.err, "rewamp: {why}")?;
                Ok(FAILED)
            }
        }
    }
}

/// Why a command did not do what it should.
#[derive(Debug)]
enum Failure {
    /// Its output cannot be written: `rewamp history … | head`.
    Console(io::Error),
    /// Why, was said already.
    Told(u8),
    /// Why.
    Failed(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Console(error)
    }
}

/// What a command did, as its exit code.
type Outcome = Result<u8, Failure>;

fn failed(why: impl Display) -> Failure {
    Failure::Failed(why.to_string())
}
