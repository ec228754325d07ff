//! The command line: which command, with what. Each command returns its exit code; nothing below
//! this layer ends the process.

mod start; //  runs the node
mod check; //  names what is wrong with a configuration
mod show; //   prints the configuration that holds
mod init; //   writes one to begin with
mod history; // stores, without a node
mod record; // another router's events, kept
pub(crate) mod access; // how other routers are joined
pub(crate) mod stop; // commands that go on until they are told not to

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::finding::Findings;
use crate::config::{self, Draft, Sources};

/// A WAMP router that remembers.
#[derive(Debug, Parser)]
#[command(name = "rewamp", version, about, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until SIGTERM or SIGINT
    Start(start::Start),
    /// Name everything that is wrong with a configuration
    Check(Location),
    /// Print the configuration that holds, as JSON, secrets masked
    Config(show::Show),
    /// Write a configuration to begin with
    Init(init::Init),
    /// Look into event stores, copy and check them
    History(Box<history::History>),
    /// Keep what another router publishes, and answer for it there
    Record(Box<record::Record>),
    /// Print the version
    Version,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
struct Location {
    /// Configuration file, JSON or YAML (by the name's end)
    #[arg(long, value_name = "FILE", env = "CROSSBAR_CONFIG")]
    config: Option<PathBuf>,
    /// Node directory; `.crossbar` if the working folder has it
    #[arg(long, value_name = "DIR", env = "CROSSBAR_DIR")]
    cbdir: Option<PathBuf>,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    None,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for log::LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::Off,
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the configuration has faults or cannot be read, 2 wrong command line,
3 the node could not start or stopped on its own";

/// The configuration has faults, or cannot be read. Clap itself ends with 2.
const FAULTS: u8 = 1;
/// The node could not start, or stopped on its own.
const FAILED: u8 = 3;

/// Where a command says what: results to `out`, everything else to `err`.
struct Console<'a> {
    out: &'a mut dyn io::Write,
    err: &'a mut dyn io::Write,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let (mut out, mut err) = (io::stdout(), io::stderr());
    match command.run(&mut Console {
        out: &mut out,
        err: &mut err,
    }) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads our output (`| head`) may stop reading.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "rewamp: {error}");
            ExitCode::from(FAILED)
        }
    }
}

impl Command {
    fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        match self {
            Self::Start(start) => start.run(console),
            Self::Check(location) => check::run(location, console),
            Self::Config(show) => show.run(console),
            Self::Init(init) => init.run(console),
            Self::History(history) => history.run(console),
            Self::Record(record) => record.run(console),
            Self::Version => {
                writeln!(console.out, "rewamp {}", env!("CARGO_PKG_VERSION"))?;
                Ok(0)
            }
        }
    }
}

/// Reads the configuration; an error is told and becomes the exit code.
fn read(
    location: &Location,
    level: Option<Level>,
    console: &mut Console<'_>,
) -> io::Result<Result<Draft, u8>> {
    match Draft::read(&sources(location, level)?) {
        Ok(draft) => Ok(Ok(draft)),
        Err(error) => {
            writeln!(console.err, "fault: {error}")?;
            Ok(Err(FAULTS))
        }
    }
}

fn sources(location: &Location, level: Option<Level>) -> io::Result<Sources> {
    let level = level.and_then(|level| level.to_possible_value());
    config::sources(
        location.config.clone(),
        location.cbdir.clone(),
        level.map(|level| level.get_name().to_owned()),
    )
}

/// One line a finding.
fn tell(findings: &Findings, to: &mut dyn io::Write) -> io::Result<()> {
    for finding in findings {
        writeln!(to, "{finding}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
