//! The command line.

use crate::compare::Server;
use crate::load::{Mode, Transport};
use crate::storage::Part;
use crate::wire::Format;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Measures WAMP routers.
#[derive(Debug, Parser)]
#[command(name = "rewamp-bench", version, about)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve as the floor server: the least that any router does.
    Floor {
        /// Port for RawSocket (msgpack, json) on loopback.
        #[arg(long)]
        raw: Option<u16>,
        /// Port for WebSocket (json, msgpack) on loopback.
        #[arg(long)]
        ws: Option<u16>,
    },
    /// Serve as the bare relay: bytes from one socket to another, the yardstick of the floor.
    Relay {
        /// Port on loopback.
        #[arg(long)]
        port: u16,
    },
    /// Measure the bare relay, started for this one run: what sockets alone can do.
    Sockets(SocketsArgs),
    /// One run of one mode against a server that is running; prints one line of JSON.
    Load(LoadArgs),
    /// Start Rewamp, the floor server, the bare relay, Crossbar and NATS, measure them in turns and
    /// write the results. Builds and installs nothing: see bench/setup.sh.
    Compare(CompareArgs),
    /// Measure what a history costs: the engine beside a bare file, Rewamp beside the engine, replay
    /// beside live events, pages, disk; and write the results.
    Storage(StorageArgs),
}

/// Arguments of `sockets`.
#[derive(Debug, Args)]
pub(crate) struct SocketsArgs {
    /// `bare-raw` or `bare-ws`: how the events are framed.
    #[arg(long, value_enum, default_value = "bare-raw")]
    pub(crate) transport: Transport,
    /// How the events are serialized.
    #[arg(long, value_enum, default_value = "msgpack")]
    pub(crate) serializer: Format,
    /// Port of the relay on loopback.
    #[arg(long, default_value_t = 18299)]
    pub(crate) port: u16,
    /// Times.
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// What to measure.
    #[arg(long, value_enum)]
    pub(crate) mode: Mode,
    /// Protocol and framing.
    #[arg(long, value_enum, default_value = "raw")]
    pub(crate) transport: Transport,
    /// Serializer of a WAMP transport.
    #[arg(long, value_enum, default_value = "msgpack")]
    pub(crate) serializer: Format,
    /// The server: `tcp://127.0.0.1:8081`, `ws://127.0.0.1:8080/ws`, `nats://127.0.0.1:4222`.
    #[arg(long)]
    pub(crate) url: String,
    /// WAMP realm.
    #[arg(long, default_value = "realm1")]
    pub(crate) realm: String,
    /// Publications (for each publisher) or calls under way; else the mode's default.
    #[arg(long)]
    pub(crate) window: Option<u64>,
    /// Mode `pages`: events a page.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u64,
    /// Mode `idle`: sessions held.
    #[arg(long, default_value_t = 1000)]
    pub(crate) sessions: u64,
    /// Modes `stored` and `replay`: publications.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Mode `replay`: a run of `stored` has published them already, and nothing came after it.
    #[arg(long)]
    pub(crate) filled: bool,
    /// Bytes of the arguments of a publication, from 140; else 200 in `stored` and `replay`, and in
    /// the other modes one string of 128 bytes.
    #[arg(long)]
    pub(crate) size: Option<usize>,
    /// Process ID of the server: its CPU time and memory, with all its children, are read.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Times.
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Modes to measure, comma-separated; else all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,
    /// Servers to measure, comma-separated; else all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) servers: Vec<Server>,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// One round of half a second each: shows that everything works, not how fast.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Generator on CPU 0, every server on CPU 1; where that is fair: single-threaded servers.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Rewamp's binary.
    #[arg(long, default_value = "target/release/rewamp")]
    pub(crate) rewamp: PathBuf,
    /// Virtual environment with Crossbar and NATS.
    #[arg(long, default_value = "target/bench-venv")]
    pub(crate) venv: PathBuf,
    /// First of eight ports on loopback.
    #[arg(long, default_value_t = 18220)]
    pub(crate) port: u16,
    /// Markdown file to write.
    #[arg(long, default_value = "bench/RESULTS.md")]
    pub(crate) out: PathBuf,
    /// Folder for the single runs as JSON lines.
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
    /// Times.
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
}

/// Arguments of `storage`.
#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    /// Parts to measure, comma-separated; else all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) parts: Vec<Part>,
    /// Rounds of what is compared by ratio.
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// One short round and no store of 5,000,000 events or 1 GiB: shows that everything works, not
    /// how fast.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Part `maxsize`: largest sizes in MiB, comma-separated; else 5, 64 and 1024.
    #[arg(long, value_delimiter = ',')]
    pub(crate) maxsize: Vec<u64>,
    /// Rewamp's binary.
    #[arg(long, default_value = "target/release/rewamp")]
    pub(crate) rewamp: PathBuf,
    /// First of two ports on loopback.
    #[arg(long, default_value_t = 18240)]
    pub(crate) port: u16,
    /// Where the stores are made, on the disk that is to be measured: 4 GB for a while; else where
    /// temporary files go.
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// Markdown file: its section "Storage" is replaced.
    #[arg(long, default_value = "bench/RESULTS.md")]
    pub(crate) out: PathBuf,
    /// Folder for the single numbers as JSON lines.
    #[arg(long, default_value = "bench/results")]
    pub(crate) results: PathBuf,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct TimingArgs {
    /// Seconds measured.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Seconds before.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) warmup: f64,
}
