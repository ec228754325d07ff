//! The node as its users have it: the built binary, started on a configuration file in a folder
//! of its own, reached over its sockets, ended by signals.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::deadline::{self, SOON};

const BINARY: &str = env!("CARGO_BIN_EXE_rewamp");

/// Where a node listens; the same over all its restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) ws: u16,
    pub(crate) raw: u16,
    pub(crate) admin: u16,
}

/// A running node. Dropping it kills the process and removes its folder.
pub(crate) struct Node {
    pub(crate) ports: Ports,
    dir: TempDir,
    process: Option<Child>,
    starts: u32,
    surroundings: Surroundings,
}

/// What a node is started in, if it is not the world as it is.
#[derive(Debug, Default, Clone)]
pub(crate) struct Surroundings {
    /// A command that becomes the node: its last arguments are the node's command line.
    pub(crate) wrapper: Vec<OsString>,
    /// More environment variables.
    pub(crate) environment: Vec<(String, OsString)>,
}

impl Node {
    /// Starts a node with the configuration that `config` writes for its ports, and returns when
    /// it is ready.
    pub(crate) fn start(config: impl Fn(&Ports) -> Value) -> Self {
        Self::first_start(|dir, ports| write_config(dir, &config(ports)))
    }

    /// Starts a node with nothing configured, as `rewamp start` in an empty folder, but for the
    /// ports: those come from the environment, so that many tests can run at a time.
    pub(crate) fn start_with_nothing_configured() -> Self {
        Self::first_start(|_, _| {})
    }

    /// Starts the node again after [`Node::kill`] or [`Node::stop`]: same folder, same ports.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.is_none(), "the node still runs");
        self.spawn();
        assert!(
            self.becomes_ready(),
            "the node did not become ready again; its log:\n{}",
            self.log()
        );
    }

    /// What the next start reads.
    pub(crate) fn configure(&self, config: impl Fn(&Ports) -> Value) {
        write_config(self.dir(), &config(&self.ports));
    }

    /// What the next start happens in.
    pub(crate) fn surround(&mut self, surroundings: Surroundings) {
        self.surroundings = surroundings;
    }

    /// Starts the node again, which must end by itself: its exit status, and what it said.
    pub(crate) fn fails_to_start(&mut self) -> (Option<i32>, String) {
        assert!(self.process.is_none(), "the node still runs");
        self.spawn();
        let mut process = self.process.take().expect("the node was spawned");
        let status = deadline::within(SOON, "the end of a node that cannot start", || {
            process.try_wait().expect("the node is our child")
        });
        let said = fs::read_to_string(self.log_file(self.starts)).expect("a log");
        (status.code(), said)
    }

    /// SIGKILL: the node has no moment to put anything away.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the node can be killed");
            process.wait().expect("a killed process is waited for");
        }
    }

    /// SIGTERM, then the exit status with which the node ends by itself.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.end_by("TERM")
    }

    /// A signal by its name without `SIG`, then the exit status with which the node ends by
    /// itself.
    pub(crate) fn end_by(&mut self, name: &str) -> ExitStatus {
        let mut process = self.process.take().expect("the node runs");
        signal(&process, name);
        let ended = deadline::poll(SOON, || process.try_wait().expect("the node is our child"));
        ended.unwrap_or_else(|| {
            let _ = process.kill();
            panic!("no exit after SIG{name}; the log:\n{}", self.log());
        })
    }

    /// The process ID of the running node.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    /// Bytes of memory that the node has.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("a number of kilobytes") * 1_024
    }

    /// The folder with the configuration file; relative store paths begin here.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything the node has logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        (1..=self.starts)
            .filter_map(|start| fs::read_to_string(self.log_file(start)).ok())
            .collect()
    }

    /// For WebSocket clients.
    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.ports.ws)
    }

    /// For RawSocket clients, in Autobahn's spelling.
    pub(crate) fn raw(&self) -> String {
        format!("rs://127.0.0.1:{}", self.ports.raw)
    }

    /// The first number of that metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.admin("/metrics").expect("metrics").1;
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} is not in {text}")) as u64
    }

    /// Status line's code and body of an admin page, or `None` where nobody listens.
    pub(crate) fn admin(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.ports.admin, path)
    }

    fn first_start(prepare: impl Fn(&Path, &Ports)) -> Self {
        // Another process may take a port between our look and the node's bind: then once more.
        for _ in 0..3 {
            let mut node = Self {
                ports: Ports {
                    ws: free_port(),
                    raw: free_port(),
                    admin: free_port(),
                },
                dir: tempfile::tempdir().expect("a temporary folder"),
                process: None,
                starts: 0,
                surroundings: Surroundings::default(),
            };
            prepare(node.dir(), &node.ports);
            node.spawn();
            if node.becomes_ready() {
                return node;
            }
            if !node.log().contains("in use") {
                panic!("the node did not become ready; its log:\n{}", node.log());
            }
        }
        panic!("no free ports in three attempts");
    }

    fn spawn(&mut self) {
        self.starts += 1;
        let log = File::create(self.log_file(self.starts)).expect("a log file");
        let child = self
            .command()
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one log for both streams"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.process = Some(child);
    }

    fn command(&self) -> Command {
        let mut words = self.surroundings.wrapper.clone();
        words.push(BINARY.into());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("start");
        command.envs(self.surroundings.environment.iter().cloned());
        let file = self.dir().join("config.json");
        if file.exists() {
            command.arg("--config").arg(file);
        } else {
            let Ports { ws, raw, admin } = self.ports;
            command
                .env("REWAMP__TRANSPORTS__0__ENDPOINT__PORT", ws.to_string())
                .env("REWAMP__TRANSPORTS__1__ENDPOINT__PORT", raw.to_string())
                .env("REWAMP__ADMIN__PORT", admin.to_string());
        }
        command
    }

    /// Whether the node says it is ready before it exits or the time is over.
    fn becomes_ready(&mut self) -> bool {
        let ports = self.ports;
        let process = self.process.as_mut().expect("the node was spawned");
        let ready = deadline::poll(SOON, || {
            if process.try_wait().expect("the node is our child").is_some() {
                return Some(false);
            }
            let answer = http_get(ports.admin, "/health/ready");
            matches!(answer, Some((200, _))).then_some(true)
        });
        ready.unwrap_or(false)
    }

    fn log_file(&self, start: u32) -> PathBuf {
        self.dir().join(format!("node-{start}.log"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            println!("log of the node:\n{}", self.log());
        }
    }
}

/// Crossbar's node configuration for one router with `realms` and one `auth` on both transports.
pub(crate) fn config(ports: &Ports, realms: Value, auth: &Value) -> Value {
    let endpoint = |port| json!({"type": "tcp", "interface": "127.0.0.1", "port": port});
    json!({
        "version": 2,
        "controller": {},
        "workers": [{
            "type": "router",
            "realms": realms,
            "transports": [
                {"type": "web", "endpoint": endpoint(ports.ws),
                 "paths": {"/": {"type": "path", "paths": {}},
                           "ws": {"type": "websocket", "auth": auth}}},
                {"type": "rawsocket", "endpoint": endpoint(ports.raw), "auth": auth}
            ]
        }],
        "rewamp": {"admin": endpoint(ports.admin)}
    })
}

/// A realm `realm1` where role `anonymous` may do everything, with `store` as its history.
pub(crate) fn open_realm(store: Value) -> Value {
    json!({
        "name": "realm1",
        "roles": [{"name": "anonymous", "permissions": [{
            "uri": "", "match": "prefix",
            "allow": {"call": true, "register": true, "publish": true, "subscribe": true},
            "disclose": {"caller": false, "publisher": false}, "cache": true
        }]}],
        "store": store
    })
}

/// Everybody who comes has role `anonymous`.
pub(crate) fn anonymous() -> Value {
    json!({"anonymous": {"type": "static", "role": "anonymous"}})
}

/// What `rewamp check` says of a configuration, and how it exits.
pub(crate) fn check(config: &Value) -> Output {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write_config(dir.path(), config);
    Command::new(BINARY)
        .args(["check", "--config"])
        .arg(dir.path().join("config.json"))
        .current_dir(dir.path())
        .output()
        .expect("the binary runs")
}

/// Sends bytes to a port and reads until the other side ends the connection.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    // A reset is an end as well; what came before it counts.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn write_config(dir: &Path, config: &Value) {
    let text = serde_json::to_string_pretty(config).expect("a configuration is JSON");
    fs::write(dir.join("config.json"), text).expect("the configuration is written");
}

/// A port that nobody uses, below those that the system gives to outgoing connections: while a
/// node is down between two starts, no client's own end may sit on its port.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("below 32,000");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} on is taken");
}

fn signal(process: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &process.id().to_string()])
        .status()
        .expect("`kill` is a command of every Unix");
    assert!(status.success(), "signal {name} was not delivered");
}

/// Status line's code and body of a page, or `None` where nobody listens.
pub(crate) fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((code, body.to_owned()))
}
