//! Starts and stops the servers of a comparison, and knows when they are ready.

use super::config;
use crate::load::{Target, Transport};
use crate::wire::Format;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest start: Crossbar loads half of PyPI.
const START: Duration = Duration::from_secs(60);
/// Longest stop before the process is killed.
const STOP: Duration = Duration::from_secs(15);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Server {
    /// The router that this is all about.
    Rewamp,
    /// The null router.
    Floor,
    /// The bare relay.
    Sockets,
    /// Crossbar with its memory store.
    Crossbar,
    /// NATS with JetStream.
    Nats,
}

impl Server {
    /// In the order of a turn.
    pub(crate) const ALL: [Self; 5] = [
        Self::Rewamp,
        Self::Floor,
        Self::Sockets,
        Self::Crossbar,
        Self::Nats,
    ];

    /// As in the tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rewamp => "Rewamp",
            Self::Floor => "floor",
            Self::Sockets => "bare sockets",
            Self::Crossbar => "Crossbar",
            Self::Nats => "NATS",
        }
    }

    /// Ports of WebSocket and RawSocket (or of its only protocol) counted from the first port.
    fn ports(self, first: u16) -> (u16, u16) {
        match self {
            Self::Rewamp => (first, first + 1),
            Self::Floor => (first + 2, first + 3),
            Self::Crossbar => (first + 4, first + 5),
            Self::Nats => (first + 6, first + 6),
            Self::Sockets => (first + 7, first + 7),
        }
    }

    /// Where the generator finds the server.
    pub(crate) fn url(self, first: u16, transport: Transport) -> String {
        let (ws, raw) = self.ports(first);
        match transport {
            Transport::Ws => format!("ws://127.0.0.1:{ws}/ws"),
            Transport::Nats => format!("nats://127.0.0.1:{raw}"),
            _ => format!("tcp://127.0.0.1:{raw}"),
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Rewamp's binary.
    pub(crate) rewamp: PathBuf,
    /// Folder of the virtual environment that `bench/setup.sh` makes.
    pub(crate) venv: PathBuf,
    /// CPUs of the servers, as `taskset -c` has it; anywhere where absent.
    pub(crate) cpus: Option<String>,
    /// First of eight ports.
    pub(crate) first_port: u16,
}

impl Programs {
    /// The program of a server, or why there is none.
    pub(crate) fn find(&self, server: Server) -> Result<PathBuf, String> {
        let (path, hint) = match server {
            Server::Rewamp => (self.rewamp.clone(), "cargo build --release makes it"),
            Server::Crossbar => (self.venv.join("bin/crossbar"), "bench/setup.sh installs it"),
            Server::Nats => (
                self.venv.join("bin/nats-server"),
                "bench/setup.sh installs it",
            ),
            Server::Floor | Server::Sockets => (
                std::env::current_exe().map_err(|error| error.to_string())?,
                "",
            ),
        };
        if path.exists() {
            Ok(path)
        } else {
            Err(format!("is not there: {hint}"))
        }
    }

    /// Starts a server with its files in `folder` and waits until it takes sessions.
    pub(crate) fn start(&self, server: Server, folder: &Path) -> Result<Running, String> {
        let io = |error: io::Error| error.to_string();
        fs::create_dir_all(folder).map_err(io)?;
        let arguments = self.arguments(server, folder).map_err(io)?;
        self.launch(server, folder, &arguments)
    }

    /// Starts Rewamp with a store of its own in `folder`, made where it is missing.
    pub(crate) fn start_rewamp(
        &self,
        folder: &Path,
        store: &Path,
        maxsize: u64,
        filters: usize,
    ) -> Result<Running, String> {
        let (ws, raw) = Server::Rewamp.ports(self.first_port);
        let node = config::rewamp(ws, raw, store, maxsize, filters);
        let arguments = node_file(folder, &node).map_err(|error| error.to_string())?;
        self.launch(Server::Rewamp, folder, &arguments)
    }

    fn launch(
        &self,
        server: Server,
        folder: &Path,
        arguments: &[String],
    ) -> Result<Running, String> {
        let program = self.find(server)?;
        let io = |error: io::Error| error.to_string();
        let log = folder.join("log");
        let output = File::create(&log).map_err(io)?;
        let mut command = match &self.cpus {
            Some(cpus) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cpus]).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let child = command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(io)?)
            .stderr(output)
            .spawn()
            .map_err(io)?;
        let mut running = Running { server, child };
        match running.await_ready(self.first_port) {
            Ok(()) => Ok(running),
            Err(why) => Err(format!(
                "did not start: {why}; its log ends: {}",
                last_line(&log)
            )),
        }
    }

    fn arguments(&self, server: Server, folder: &Path) -> io::Result<Vec<String>> {
        let (ws, raw) = server.ports(self.first_port);
        let text = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        Ok(match server {
            Server::Rewamp => {
                let store = folder.join("store");
                node_file(
                    folder,
                    &config::rewamp(ws, raw, &store, config::STORE_BYTES, 1),
                )?
            }
            Server::Crossbar => {
                let node = folder.join(".crossbar");
                fs::create_dir_all(&node)?;
                let configuration = config::crossbar(ws, raw).to_string();
                fs::write(node.join("config.json"), configuration)?;
                text(&["start", "--cbdir", &shown(node), "--loglevel", "warn"])
            }
            Server::Nats => {
                let file = folder.join("nats.conf");
                fs::write(&file, config::nats(raw, &folder.join("store")))?;
                text(&["-c", &shown(file)])
            }
            Server::Floor => text(&["floor", "--ws", &ws.to_string(), "--raw", &raw.to_string()]),
            Server::Sockets => text(&["relay", "--port", &raw.to_string()]),
        })
    }
}

/// Writes Rewamp's configuration and gives the arguments that start it.
fn node_file(folder: &Path, node: &Value) -> io::Result<Vec<String>> {
    let file = folder.join("rewamp.json");
    fs::write(&file, node.to_string())?;
    let file = file.to_string_lossy().into_owned();
    Ok(vec!["start".to_owned(), "--config".to_owned(), file])
}

/// A started server; ends with this value.
#[derive(Debug)]
pub(crate) struct Running {
    server: Server,
    child: Child,
}

impl Running {
    /// Process ID of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The process is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A port that listens proves little: a session joins each realm.
    fn await_ready(&mut self, first_port: u16) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let why = match self.probe(first_port) {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if begun.elapsed() > START {
                return Err(why);
            }
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn probe(&self, first_port: u16) -> Result<(), String> {
        let probe = |transport, format, realm: &str| {
            let url = self.server.url(first_port, transport);
            let target = Target::parse(transport, format, &url, realm)?;
            target.probe()
        };
        let done = match self.server {
            Server::Sockets => probe(Transport::BareRaw, Format::Json, ""),
            Server::Nats => probe(Transport::Nats, Format::Json, ""),
            _ => [config::PLAIN_REALM, config::STORED_REALM]
                .iter()
                .try_for_each(|realm| {
                    probe(Transport::Raw, Format::Msgpack, realm)?;
                    probe(Transport::Ws, Format::Json, realm)
                }),
        };
        done.map_err(|fault| fault.to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let signal = match self.server {
            // Crossbar stops cleanly only on this one.
            Server::Crossbar => Signal::INT,
            _ => Signal::TERM,
        };
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| matches!(self.child.try_wait(), Ok(None))) {
            // It may have ended just now.
            let _ = kill_process(pid, signal);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP {
                let _ = self.child.kill();
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    format!(
        "`{}`",
        line.unwrap_or("(empty)")
            .chars()
            .take(300)
            .collect::<String>()
    )
}
