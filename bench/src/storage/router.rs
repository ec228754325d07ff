//! The whole router: what it stores beside the engine, and what it replays beside what is live.

use super::engine::commits;
use super::plan::{self, ACKED_OF_ENGINE, GROWTH, OF_LIVE, Part, SIZE, USUAL_BATCH, WIRES};
use super::realm::{Rate, Realm};
use super::{Bench, Done};
use crate::compare::{
    Generator, PLAIN_REALM, RowWire, Running, STORE_BYTES, STORED_REALM, Server, sample,
};
use crate::load::{Mode, Outcome, Transport};
use crate::wire::Format;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Most that a run of the generator takes beside its times.
const PATIENCE: Duration = Duration::from_secs(180);

/// Events stored per second, with few and many filters.
pub(super) fn measure(bench: &mut Bench<'_>) -> Done {
    for run in 0..bench.scale.runs {
        for (wire, filters) in plan::router_rows() {
            let row = plan::router_row(wire, filters);
            if let Err(why) = measure_stored(bench, run, wire, filters, &row) {
                bench.book.fail(Part::Router, &format!("{row}: {why}"));
            }
        }
    }
    Ok(())
}

/// Events replayed per second.
pub(super) fn measure_replay(bench: &mut Bench<'_>) -> Done {
    for run in 0..bench.scale.runs {
        for wire in WIRES {
            if let Err(why) = measure_replay_of(bench, run, wire) {
                let row = wire.title();
                bench.book.fail(Part::Replay, &format!("{row}: {why}"));
            }
        }
    }
    Ok(())
}

/// One run of the generator against Rewamp.
pub(super) fn load(
    bench: &Bench<'_>,
    node: &Running,
    mode: Mode,
    wire: RowWire,
    arguments: &[(&str, u64)],
) -> Done<Outcome> {
    let command = generator(bench, node, mode, wire, arguments)?;
    Ok(sample::run(command, PATIENCE)?)
}

/// The command of such a run.
pub(super) fn generator(
    bench: &Bench<'_>,
    node: &Running,
    mode: Mode,
    wire: RowWire,
    arguments: &[(&str, u64)],
) -> Done<Command> {
    let (transport, format) = match wire {
        RowWire::RawMsgpack => (Transport::Raw, Format::Msgpack),
        RowWire::WsJson => (Transport::Ws, Format::Json),
    };
    let realm = match mode {
        Mode::OneToOne => PLAIN_REALM,
        _ => STORED_REALM,
    };
    let generator = Generator {
        cpus: None,
        mode,
        transport,
        format,
        url: Server::Rewamp.url(bench.programs.first_port, transport),
        realm,
        pid: node.pid(),
    };
    let mut command = generator.command()?;
    command
        .args(["--size", &SIZE.to_string()])
        .args(["--seconds", &bench.scale.seconds.to_string()])
        .args(["--warmup", &(bench.scale.seconds / 4.0).to_string()]);
    for (name, value) in arguments {
        command.args([*name, &value.to_string()]);
    }
    Ok(command)
}

fn measure_stored(
    bench: &mut Bench<'_>,
    run: usize,
    wire: RowWire,
    filters: usize,
    row: &str,
) -> Done {
    let folder = fresh(&bench.folder.join("router"))?;
    let store = folder.join("store");
    let node = bench
        .programs
        .start_rewamp(&folder, &store, STORE_BYTES, filters)?;
    let mut realm = Realm::open(&folder.join("engine"), STORE_BYTES, filters)?;
    let (mut committed, half) = (Vec::new(), bench.scale.seconds / 2.0);
    let mut engine = || {
        let half = Duration::from_secs_f64(half);
        commits(half, || realm.publish(USUAL_BATCH), &mut committed)
    };
    engine()?;
    let acked = load(bench, &node, Mode::AckedDurable, wire, &[("--window", 256)])?;
    engine()?;
    let events = bench.scale.published;
    let stored = load(bench, &node, Mode::Stored, wire, &[("--events", events)])?;
    let engine = Rate::of(committed, USUAL_BATCH).rate;
    let mut enter = |column: &str, value| bench.book.enter(run, Part::Router, row, column, value);
    enter("engine at 100, events/s", engine);
    enter("acknowledged, events/s", acked.rate);
    enter(ACKED_OF_ENGINE, acked.rate / engine);
    enter("fire-and-forget, events/s", stored.rate);
    enter("fire-and-forget : engine", stored.rate / engine);
    for (column, outcome) in [
        ("acknowledged, CPU ns an event", &acked),
        ("fire-and-forget, CPU ns an event", &stored),
    ] {
        if let Some(cpu) = outcome.server_cpu_ns {
            enter(column, cpu);
        }
    }
    drop(node);
    Ok(fs::remove_dir_all(&folder)?)
}

fn measure_replay_of(bench: &mut Bench<'_>, run: usize, wire: RowWire) -> Done {
    let folder = fresh(&bench.folder.join("replay"))?;
    let store = folder.join("store");
    let start = || bench.programs.start_rewamp(&folder, &store, STORE_BYTES, 1);
    let events = [("--events", bench.scale.replayed)];
    let node = start()?;
    load(bench, &node, Mode::Stored, wire, &events)?;
    drop(node);
    // Another process: what the first needed to store is no room that a replay may take unseen.
    let node = start()?;
    let mut replay = generator(bench, &node, Mode::Replay, wire, &events)?;
    replay.arg("--filled");
    let replay = sample::run(replay, PATIENCE)?;
    let live = load(bench, &node, Mode::OneToOne, wire, &[])?;
    let mut enter = |column: &str, value| {
        bench
            .book
            .enter(run, Part::Replay, wire.title(), column, value);
    };
    enter("replay, events/s", replay.rate);
    enter("live 1 to 1, events/s", live.rate);
    enter(OF_LIVE, replay.rate / live.rate);
    if let (Some(replay), Some(live)) = (replay.server_cpu_ns, live.server_cpu_ns) {
        enter("replay, CPU ns an event", replay);
        enter("live, CPU ns an event", live);
    }
    if let Some(kib) = replay.peak_growth_kib {
        enter(GROWTH, kib / 1024.0);
    }
    drop(node);
    Ok(fs::remove_dir_all(&folder)?)
}

/// The folder, empty whatever an earlier failure left there.
pub(super) fn fresh(folder: &Path) -> Done<std::path::PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}
