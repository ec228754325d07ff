//! The real binary: every mode against the floor server, briefly, over both wires.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use serde_json::Value;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BENCH: &str = env!("CARGO_BIN_EXE_rewamp-bench");

/// A floor server that ends with the test.
struct Floor {
    child: Child,
    raw: u16,
    ws: u16,
}

impl Floor {
    fn start() -> Self {
        let (raw, ws) = (free_port(), free_port());
        let child = Command::new(BENCH)
            .args(["floor", "--raw", &raw.to_string(), "--ws", &ws.to_string()])
            .spawn()
            .unwrap();
        for port in [raw, ws] {
            await_port(port);
        }
        Self { child, raw, ws }
    }

    fn load(&self, transport: &str, serializer: &str, arguments: &[&str]) -> Output {
        let url = match transport {
            "ws" => format!("ws://127.0.0.1:{}/ws", self.ws),
            _ => format!("tcp://127.0.0.1:{}", self.raw),
        };
        Command::new(BENCH)
            .args([
                "load",
                "--seconds",
                "0.2",
                "--warmup",
                "0.05",
                "--sessions",
                "20",
            ])
            .args([
                "--transport",
                transport,
                "--serializer",
                serializer,
                "--url",
                &url,
            ])
            .args(["--pid", &self.child.id().to_string()])
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn await_port(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "nothing listens at {port}"
        );
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn line(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(floor: &Floor, transport: &str, serializer: &str, arguments: &[&str]) -> Value {
    let output = floor.load(transport, serializer, arguments);
    let line = line(&output);
    assert!(output.status.success(), "{transport} {arguments:?}: {line}");
    assert!(
        line["count"].as_u64() > Some(0),
        "{transport} {arguments:?}: {line}"
    );
    line
}

#[test]
fn every_mode_that_the_floor_has_runs_over_both_wires() {
    let floor = Floor::start();
    for (transport, serializer) in [
        ("raw", "msgpack"),
        ("ws", "json"),
        ("raw", "json"),
        ("ws", "msgpack"),
    ] {
        for mode in ["one-to-one", "fan-out", "many", "acked", "joins"] {
            let line = check(&floor, transport, serializer, &["--mode", mode]);
            assert!(line["server_cpu_ns"].as_f64() > Some(0.0), "{line}");
        }
        for window in ["64", "1024"] {
            check(
                &floor,
                transport,
                serializer,
                &["--mode", "rpc", "--window", window],
            );
        }
        let latency = check(&floor, transport, serializer, &["--mode", "latency"]);
        assert!(
            latency["p50_us"].as_f64() <= latency["p99_us"].as_f64(),
            "{latency}"
        );
        let idle = check(&floor, transport, serializer, &["--mode", "idle"]);
        assert!(idle["kib_per_session"].is_number(), "{idle}");
    }
}

#[test]
fn the_bare_relay_is_measured_as_a_server_of_its_own() {
    for (transport, serializer) in [("bare-raw", "msgpack"), ("bare-ws", "json")] {
        let output = Command::new(BENCH)
            .args([
                "sockets",
                "--transport",
                transport,
                "--serializer",
                serializer,
            ])
            .args([
                "--port",
                &free_port().to_string(),
                "--seconds",
                "0.2",
                "--warmup",
                "0.05",
            ])
            .output()
            .unwrap();
        let line = line(&output);
        assert!(
            output.status.success() && line["count"].as_u64() > Some(0),
            "{line}"
        );
    }
}

#[test]
fn a_run_that_fails_says_why_and_has_no_numbers() {
    let floor = Floor::start();
    let output = floor.load("raw", "msgpack", &["--mode", "pages", "--limit", "5"]);
    let line = line(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        line["failure"]
            .as_str()
            .unwrap()
            .contains("no_such_procedure"),
        "{line}"
    );
    assert!(line.get("rate").is_none(), "{line}");
    let output = floor.load("raw", "msgpack", &["--mode", "replay", "--events", "5"]);
    assert_eq!(output.status.code(), Some(1));
    let line = self::line(&output);
    let why = line["failure"].as_str().unwrap();
    assert!(why.contains("no_such_procedure"), "{line}");
}

#[test]
fn the_storage_benchmark_writes_its_section_and_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results.md");
    std::fs::write(&out, "# Results\n\nkept\n").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let done = Command::new(BENCH)
        .args(["storage", "--quick", "--parts", "engine,replay"])
        .args(["--rewamp", &path("nothing"), "--folder", &path("")])
        .args(["--out", &path("results.md"), "--results", &path("results")])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success());
    let page = std::fs::read_to_string(&out).unwrap();
    assert!(
        page.starts_with("# Results\n\nkept\n\n# Storage\n"),
        "{page}"
    );
    let row = "| engine : bare | 1 a commit, 1 filter | ≥ 0.60 | ";
    let bar = page.lines().find(|line| line.contains(row)).unwrap();
    assert!(!bar.contains("not measured"), "{page}");
    assert!(
        page.contains("- Replay: RawSocket + MessagePack: is not there"),
        "{page}"
    );
    let lines = std::fs::read_to_string(folder.path().join("results/storage.jsonl")).unwrap();
    let samples: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let failed = samples.iter().filter(|one| one["failure"].is_string());
    assert_eq!(failed.count(), 2, "{lines}");
    assert!(
        samples.iter().any(|one| one["value"].as_f64() > Some(0.0)),
        "{lines}"
    );
}
