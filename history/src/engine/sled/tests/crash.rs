//! A process that appends at full rate is killed at random moments, again and again, over the
//! same store: every acknowledged event is there once and in order, and no sequence comes twice.
//! `REWAMP_CRASH_ROUNDS` sets how often (6 in the ordinary run).

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use super::*;
use crate::open_stores::OpenStores;
use rewamp_wamp::id::RandomIds;

const FOLDER: &str = "REWAMP_CRASH_FOLDER";
const ROUNDS: &str = "REWAMP_CRASH_ROUNDS";
const RESTS: &str = "REWAMP_CRASH_RESTS";
const MAXSIZE: u64 = 8 << 20;

fn crashing(path: &Path) -> StoreConfig {
    let filters = [filter("com.", Prefix), filter("com.big", Exact)];
    StoreConfig {
        maxsize: MAXSIZE,
        ..config(path, &filters, None)
    }
}

fn open_crashing(path: &Path) -> Arc<dyn EventStore> {
    crate::store::open(crashing(path)).unwrap()
}

/// Opens a store that is closed and opened again at moments that have nothing to do with what it
/// is asked.
fn open_restless(path: &Path) -> Arc<dyn EventStore> {
    let stores = OpenStores::new(1, Duration::from_secs(3_600), |_, _| {});
    let store = stores.open(crashing(path)).unwrap();
    let rest = move || {
        for pause in (0..).map(|number: u64| number * 7 % 31) {
            stores.rest_now();
            std::thread::park_timeout(Duration::from_millis(pause));
        }
    };
    std::thread::spawn(rest);
    store
}

/// Not a test by itself: what the killed process does.
#[test]
fn publisher_to_be_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = match std::env::var(RESTS) {
        Ok(_) => open_restless(Path::new(&folder)),
        Err(_) => open_crashing(Path::new(&folder)),
    };
    let mut desk = Desk::at(store);
    let mut random = RandomIds::from_os().unwrap();
    let mut draw = move |below: u64| random.draw::<rewamp_wamp::id::kind::Request>().get() % below;
    let mut out = std::io::stdout().lock();
    writeln!(out, "begin {}", desk.next).unwrap();
    loop {
        let count = [1, 3, 30, 300][draw(4) as usize];
        let events: Vec<Arc<Event>> = (0..count)
            .map(|_| {
                let big = draw(100) == 0;
                let mut event = desk.accept(if big { "com.big" } else { "com.a" });
                if big {
                    let text = rewamp_wamp::value::Value::from("z".repeat(draw(60_000) as usize));
                    let json = rewamp_wamp::serializer::Serializer::Json;
                    let payload =
                        rewamp_wamp::payload::Payload::from_values(json, Some(&[text]), None);
                    event.payload = payload.unwrap();
                }
                Arc::new(event)
            })
            .collect();
        desk.store.append(&events).unwrap();
        writeln!(out, "stored {}", events[events.len() - 1].sequence).unwrap();
        out.flush().unwrap();
    }
}

/// One life: what it gave out and what it was told is stored.
struct Life {
    begin: u64,
    stored: u64,
}

fn live_and_die(folder: &Path, lines: usize, rests: bool) -> Life {
    let test = "engine::sled::tests::crash::publisher_to_be_killed";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder);
    if rests {
        child.env(RESTS, "");
    }
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut life = Life {
        begin: 0,
        stored: 0,
    };
    let mut note = |line: &str| {
        if let Some((_, begin)) = line.split_once("begin ") {
            life.begin = begin.parse().unwrap();
        } else if let Some(stored) = line.strip_prefix("stored ") {
            life.stored = stored.parse().unwrap();
        }
    };
    for line in out.by_ref().take(lines + 3) {
        note(&line.unwrap());
    }
    child.kill().unwrap();
    // What it had said before it died counts as well; a line cut short does not.
    let rest: Vec<String> = out.map_while(Result::ok).collect();
    child.wait().unwrap();
    let whole = rest.len().saturating_sub(1);
    rest[..whole].iter().for_each(|line| note(line));
    life
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled() {
    kill_again_and_again(false, 300);
}

#[test]
fn killed_while_it_is_closed_or_opened_nothing_acknowledged_is_lost_or_doubled() {
    kill_again_and_again(true, 60);
}

fn kill_again_and_again(rests: bool, most: u64) {
    let folder = tempfile::tempdir().unwrap();
    let rounds = std::env::var(ROUNDS)
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(6);
    let mut random = RandomIds::from_os().unwrap();
    let mut lives: Vec<Life> = Vec::new();
    for round in 0..rounds {
        let lines = random.draw::<rewamp_wamp::id::kind::Request>().get() % most;
        let life = live_and_die(folder.path(), lines as usize, rests);
        assert!(
            life.begin > lives.last().map_or(0, |before| before.stored),
            "round {round}"
        );
        lives.push(life);
        let store = open_crashing(folder.path());
        let opened = store.opened();
        assert_eq!(
            (opened.lost.len(), opened.set_aside.len()),
            (0, 0),
            "{opened:?}"
        );
        check(&sequences(&*store, "com."), &lives);
        check_payloads(&*store);
        assert!(opened.next_sequence.get() > lives[lives.len() - 1].stored);
        drop(store);
        assert!(
            !names(folder.path())
                .iter()
                .any(|name| name.starts_with("bad-"))
        );
    }
}

/// What is found are whole lives, each from its beginning to its last acknowledged event at
/// least, except that the oldest may be gone or begin later.
fn check(found: &[u64], lives: &[Life]) {
    assert!(found.is_sorted_by(|one, other| one < other));
    let oldest = found.first().copied().unwrap_or(0);
    for life in lives {
        let expected: Vec<u64> = (life.begin.max(oldest)..=life.stored).collect();
        let inside = |number: &&u64| (life.begin..=life.stored).contains(*number);
        let inside: Vec<u64> = found.iter().filter(inside).copied().collect();
        assert_eq!(inside, expected, "of {} to {}", life.begin, life.stored);
    }
}

fn check_payloads(store: &dyn EventStore) {
    let filter = store.covering("com.a", Exact).unwrap();
    let scope = Scope {
        uri: "com.a".into(),
        match_policy: Exact,
        filter,
    };
    let read = store.read(&Query::all(scope, anybody()), &[], &mut |event| {
        let expected = format!("[{},\"com.a\"]", event.sequence);
        assert_eq!(event.payload.args, Some(expected.as_bytes()));
        ControlFlow::Continue(())
    });
    read.unwrap();
}
