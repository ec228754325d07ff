//! One run of one row against one server: made by a process of its own, kept as a line of JSON.

use super::plan::{Measure, Row};
use super::servers::Server;
use crate::load::{self, Mode, Outcome, Transport};
use crate::wire::Format;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What one run came to.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Number of the round, from 0.
    pub(crate) run: usize,
    /// The row.
    pub(crate) row: Row,
    /// The server.
    pub(crate) server: Server,
    /// Numbers, or why there are none.
    pub(crate) result: Result<Outcome, String>,
}

/// The part of a printed line that is needed here.
#[derive(Deserialize)]
struct Printed {
    failure: Option<String>,
    #[serde(flatten)]
    outcome: Value,
}

impl Sample {
    /// The value that the row is about.
    pub(crate) fn value(&self) -> Option<f64> {
        let outcome = self.result.as_ref().ok()?;
        match self.row.measure() {
            Measure::Rate => Some(outcome.rate),
            Measure::P50 => outcome.p50_us,
            Measure::Memory => outcome.kib_per_session,
        }
    }

    /// CPU time of the server per counted thing in ns.
    pub(crate) fn server_cpu(&self) -> Option<f64> {
        self.result.as_ref().ok()?.server_cpu_ns
    }

    /// CPU time of the generator per counted thing in ns.
    pub(crate) fn generator_cpu(&self) -> Option<f64> {
        self.result.as_ref().ok()?.generator_cpu_ns
    }

    /// As kept beside the results.
    pub(crate) fn line(&self) -> Value {
        let (transport, serializer) = self.row.transport(self.server);
        let mut line = json!({
            "run": self.run, "server": self.server.title(), "mode": load::mode_name(self.row.mode),
            "transport": transport, "serializer": serializer,
        });
        let fields = match &self.result {
            Ok(outcome) => serde_json::to_value(outcome).unwrap_or_default(),
            Err(failure) => json!({"failure": failure}),
        };
        let sizes = json!({"window": self.row.window, "limit": self.row.limit});
        for part in [sizes, fields] {
            if let (Value::Object(line), Value::Object(part)) = (&mut line, part) {
                line.extend(part.into_iter().filter(|(_, value)| !value.is_null()));
            }
        }
        line
    }
}

/// What every run of the generator is told.
pub(crate) struct Generator<'a> {
    /// Its CPUs, as `taskset -c` has it; anywhere where absent.
    pub(crate) cpus: Option<&'a str>,
    /// What to do.
    pub(crate) mode: Mode,
    /// Protocol and framing.
    pub(crate) transport: Transport,
    /// Serializer.
    pub(crate) format: Format,
    /// The server.
    pub(crate) url: String,
    /// WAMP realm.
    pub(crate) realm: &'a str,
    /// Process ID of the server.
    pub(crate) pid: u32,
}

impl Generator<'_> {
    /// This program as a generator.
    pub(crate) fn command(&self) -> io::Result<Command> {
        let program = std::env::current_exe()?;
        let mut command = match self.cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cpus]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(["load", "--mode", &load::mode_name(self.mode)])
            .args(["--transport", &name(self.transport)])
            .args(["--serializer", &name(self.format)])
            .args(["--url", &self.url])
            .args(["--realm", self.realm])
            .args(["--pid", &self.pid.to_string()]);
        Ok(command)
    }
}

/// As on the command line.
fn name(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map(|name| name.get_name().to_owned())
        .unwrap_or_default()
}

/// Runs the generator as given and reads its line; kills it after `patience`.
pub(crate) fn run(mut load: Command, patience: Duration) -> Result<Outcome, String> {
    let io = |error: io::Error| error.to_string();
    let mut child = load
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io)?;
    let begun = Instant::now();
    while child.try_wait().map_err(io)?.is_none() {
        if begun.elapsed() > patience {
            child.kill().map_err(io)?;
            child.wait().map_err(io)?;
            return Err(format!("no result within {} s", patience.as_secs()));
        }
        thread::park_timeout(Duration::from_millis(20));
    }
    let mut line = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut line).map_err(io)?;
    }
    parse(&line)
}

fn parse(line: &str) -> Result<Outcome, String> {
    let printed: Printed =
        serde_json::from_str(line).map_err(|_| "the generator printed no result".to_owned())?;
    match printed.failure {
        Some(failure) => Err(failure),
        None => serde_json::from_value(printed.outcome).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_line_is_numbers_or_a_failure() {
        let outcome = parse(r#"{"mode":"rpc","count":5,"seconds":0.5,"rate":10.0,"p50_us":7.5}"#);
        let outcome = outcome.unwrap();
        assert_eq!(
            (outcome.count, outcome.rate, outcome.p50_us),
            (5, 10.0, Some(7.5))
        );
        assert_eq!(
            parse(r#"{"mode":"rpc","failure":"lost"}"#).unwrap_err(),
            "lost"
        );
        assert!(parse("").is_err());
    }
}
