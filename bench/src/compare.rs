//! Runs Rewamp, the floor server, the bare relay, Crossbar and NATS in turns and writes the
//! results. Knows nothing of how a mode is driven: every run is a `rewamp-bench load` of its own.

mod config; // what the servers are told
mod servers; // start, ready, stop
mod plan; // rows and bars
pub(crate) mod sample; // one run
pub(crate) mod machine; // facts for the reader
mod report; // Markdown

pub(crate) use config::{PLAIN_REALM, STORE_BYTES, STORED_REALM, stored_prefixes};
pub(crate) use plan::RowWire;
pub(crate) use sample::Generator;
pub(crate) use servers::{Programs, Running, Server};

use crate::load::Mode;
use crate::results;
use plan::Row;
use report::Report;
use sample::Sample;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Where the servers are.
    pub(crate) programs: Programs,
    /// Modes; all where empty.
    pub(crate) modes: Vec<Mode>,
    /// Servers; all where empty.
    pub(crate) servers: Vec<Server>,
    /// Rounds.
    pub(crate) runs: usize,
    /// Measured seconds of a run.
    pub(crate) seconds: f64,
    /// Seconds before.
    pub(crate) warmup: f64,
    /// CPUs of the generator, as `taskset -c` has it.
    pub(crate) cpus: Option<String>,
    /// Markdown file.
    pub(crate) out: PathBuf,
    /// Folder for the single runs.
    pub(crate) results: PathBuf,
    /// The command, for the reader.
    pub(crate) command: String,
}

/// The servers of one round, as far as they are running.
struct Round<'a> {
    comparison: &'a Comparison,
    folder: &'a Path,
    running: Vec<(Server, Running)>,
    starts: usize,
}

impl Comparison {
    /// Measures everything, then writes the page and the single runs.
    pub(crate) fn execute(&self) -> io::Result<()> {
        let rows = Row::all(&self.modes);
        let mut absent = Vec::new();
        for server in Server::ALL.into_iter().filter(|server| self.wants(*server)) {
            if let Err(why) = self.programs.find(server) {
                absent.push((server, why));
            }
        }
        let mut samples = Vec::new();
        for run in 0..self.runs {
            let folder = tempfile::tempdir()?;
            let (running, starts) = (Vec::new(), 0);
            let mut round = Round {
                comparison: self,
                folder: folder.path(),
                running,
                starts,
            };
            for row in &rows {
                let missing = |server: &Server| absent.iter().any(|(absent, _)| absent == server);
                for server in row.servers() {
                    if self.wants(server) && !missing(&server) {
                        let result = round.measure(row, server);
                        let sample = Sample {
                            run,
                            row: *row,
                            server,
                            result,
                        };
                        tell(&sample);
                        samples.push(sample);
                    }
                }
            }
            // After every round: hours of measuring are not lost to a later fault.
            self.write(&rows, &samples, &absent, run + 1)?;
        }
        Ok(())
    }

    fn wants(&self, server: Server) -> bool {
        self.servers.is_empty() || self.servers.contains(&server)
    }

    fn write(
        &self,
        rows: &[Row],
        samples: &[Sample],
        absent: &[(Server, String)],
        runs: usize,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.results)?;
        let lines: String = samples
            .iter()
            .map(|sample| format!("{}\n", sample.line()))
            .collect();
        fs::write(self.results.join("runs.jsonl"), lines)?;
        let versions = Server::ALL.into_iter().filter(|server| self.wants(*server));
        let versions = versions.filter_map(|server| {
            let version = machine::version(&self.programs, server)?;
            Some(format!("{}: {version}", server.title()))
        });
        let report = Report {
            command: self.command.clone(),
            machine: machine::machine(),
            versions: versions.collect(),
            rows,
            samples,
            absent,
            runs,
            seconds: self.seconds,
        };
        results::replace(&self.out, results::COMPARISON, &report.markdown())
    }

    fn load(&self, row: &Row, server: Server, pid: u32) -> io::Result<Command> {
        let (transport, format) = row.transport(server);
        let generator = Generator {
            cpus: self.cpus.as_deref(),
            mode: row.mode,
            transport,
            format,
            url: server.url(self.programs.first_port, transport),
            realm: row.realm(),
            pid,
        };
        let mut command = generator.command()?;
        command
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--warmup", &self.warmup.to_string()]);
        if let Some(window) = row.window {
            command.args(["--window", &window.to_string()]);
        }
        if let Some(limit) = row.limit {
            command.args(["--limit", &limit.to_string()]);
        }
        Ok(command)
    }
}

impl Round<'_> {
    fn measure(&mut self, row: &Row, server: Server) -> Result<crate::load::Outcome, String> {
        if row.wants_fresh_servers() {
            self.running.clear();
        }
        let pid = self.ensure(server)?;
        let load = self
            .comparison
            .load(row, server, pid)
            .map_err(|error| error.to_string())?;
        let times = self.comparison.seconds + self.comparison.warmup;
        sample::run(load, Duration::from_secs_f64(times + 60.0))
    }

    /// The server's process, started where it is not there or no longer.
    fn ensure(&mut self, server: Server) -> Result<u32, String> {
        self.running
            .retain_mut(|(other, running)| *other != server || running.is_alive());
        if let Some((_, running)) = self.running.iter().find(|(other, _)| *other == server) {
            return Ok(running.pid());
        }
        self.starts += 1;
        let folder = self.folder.join(self.starts.to_string());
        let running = self.comparison.programs.start(server, &folder)?;
        let pid = running.pid();
        self.running.push((server, running));
        Ok(pid)
    }
}

/// One line of progress on standard error.
fn tell(sample: &Sample) {
    // Nobody reads it where standard error is closed.
    let _ = writeln!(io::stderr(), "{}", sample.line());
}
