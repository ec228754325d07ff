//! `rewamp-bench`: a load generator for WAMP routers, the floor server that they are compared with,
//! and the runner that compares Rewamp with it, with Crossbar and with NATS.

mod cli; // what can be asked
mod stamp; // what every message carries
mod wire; // how bytes lie on a connection
mod poller; // epoll
mod socket; // a socket and its remainders
mod floor; // the null router
mod relay; // the bare copy that the null router is measured with
mod meter; // CPU time and memory of a server
mod stats; // medians and percentiles
mod load; // the generator
mod results; // the file of results
mod compare; // several servers in turns
mod storage; // what a history costs

use clap::Parser as _;
use cli::{Cli, Command, CompareArgs, LoadArgs, SocketsArgs, StorageArgs, TimingArgs};
use compare::{Comparison, Programs};
use load::{Line, Mode, Run, Target, Timing};
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;
use storage::Storage;

/// Exit codes: 0 done, 1 a run failed, 2 wrong arguments (clap).
fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Floor { raw, ws } => serve_floor(raw, ws),
        Command::Relay { port } => relay::run(port).map_err(Into::into),
        Command::Sockets(args) => measure_sockets(&args),
        Command::Load(args) => measure_load(&args),
        Command::Compare(args) => compare(args),
        Command::Storage(args) => measure_storage(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing better is left when standard error is closed too.
            let _ = writeln!(std::io::stderr(), "rewamp-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_floor(raw: Option<u16>, ws: Option<u16>) -> Result<(), Box<dyn Error>> {
    if raw.is_none() && ws.is_none() {
        return Err("floor needs --raw PORT, --ws PORT or both".into());
    }
    Ok(floor::Floor::bind(raw, ws)?.run()?)
}

/// The relay is a process of its own, as every server is.
fn measure_sockets(args: &SocketsArgs) -> Result<(), Box<dyn Error>> {
    if !args.transport.is_bare() {
        return Err("sockets measures only bare-raw and bare-ws".into());
    }
    let mut relay = process::Command::new(std::env::current_exe()?)
        .args(["relay", "--port", &args.port.to_string()])
        .spawn()?;
    let url = format!("tcp://127.0.0.1:{}", args.port);
    let target = Target::parse(args.transport, args.serializer, &url, "")?;
    let run = run_of(Mode::OneToOne, target, args.timing, Some(relay.id()));
    let reached = run.target.await_port(Duration::from_secs(5));
    let printed = match reached {
        Ok(()) => print_run(&run),
        Err(error) => Err(error.into()),
    };
    relay.kill()?;
    relay.wait()?;
    printed
}

fn measure_load(args: &LoadArgs) -> Result<(), Box<dyn Error>> {
    let target = Target::parse(args.transport, args.serializer, &args.url, &args.realm)?;
    let run = run_of(args.mode, target, args.timing, args.pid);
    print_run(&Run {
        window: args.window,
        limit: args.limit,
        sessions: args.sessions,
        events: args.events,
        filled: args.filled,
        size: args.size,
        ..run
    })
}

fn compare(args: CompareArgs) -> Result<(), Box<dyn Error>> {
    let (runs, seconds, warmup) = if args.quick {
        (1, 0.5, 0.2)
    } else {
        (args.runs, args.timing.seconds, args.timing.warmup)
    };
    let cpu = |number: &str| args.pin.then(|| number.to_owned());
    let comparison = Comparison {
        programs: Programs {
            rewamp: std::path::absolute(args.rewamp)?,
            venv: std::path::absolute(args.venv)?,
            cpus: cpu("1"),
            first_port: args.port,
        },
        modes: args.modes,
        servers: args.servers,
        runs,
        seconds,
        warmup,
        cpus: cpu("0"),
        out: args.out,
        results: args.results,
        command: command_line(std::env::args()),
    };
    Ok(comparison.execute()?)
}

fn measure_storage(args: StorageArgs) -> Result<(), Box<dyn Error>> {
    let storage = Storage {
        programs: Programs {
            rewamp: std::path::absolute(args.rewamp)?,
            venv: PathBuf::new(),
            cpus: None,
            first_port: args.port,
        },
        parts: args.parts,
        quick: args.quick,
        maxsizes: args.maxsize.iter().map(|mib| mib << 20).collect(),
        runs: args.runs,
        folder: std::path::absolute(args.folder.unwrap_or_else(std::env::temp_dir))?,
        out: args.out,
        results: args.results,
        command: command_line(std::env::args()),
    };
    Ok(storage.execute()?)
}

/// The command without the folders of this machine.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let short = |word: String| match Path::new(&word).file_name() {
        Some(name) if word.starts_with('/') => name.to_string_lossy().into_owned(),
        _ => word,
    };
    let mut words = words.skip(1).map(short);
    words
        .by_ref()
        .fold("rewamp-bench".to_owned(), |line, word| line + " " + &word)
}

fn run_of(mode: Mode, target: Target, times: TimingArgs, server: Option<u32>) -> Run {
    let timing = Timing {
        warmup: Duration::from_secs_f64(times.warmup.clamp(0.0, 600.0)),
        measure: Duration::from_secs_f64(times.seconds.clamp(0.001, 600.0)),
    };
    Run {
        mode,
        target,
        timing,
        window: None,
        limit: 20,
        sessions: 1000,
        events: 0,
        filled: false,
        size: None,
        server,
    }
}

/// Prints the line also when the run failed: whoever reads it learns why.
fn print_run(run: &Run) -> Result<(), Box<dyn Error>> {
    let result = run.execute();
    let (outcome, failure) = match result {
        Ok(outcome) => (Some(outcome), None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    let Target {
        transport, wire, ..
    } = run.target;
    let mode = load::mode_name(run.mode);
    let line = Line {
        mode,
        transport,
        serializer: wire.format,
        outcome,
        failure,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?)?;
    match line.failure {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}
