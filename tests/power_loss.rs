//! The power goes: not only the process ends, as with SIGKILL, but the disk forgets what was never
//! synced. What was acknowledged with `sync: true` is there all the same; with `sync: false` all but
//! the last second; and never is the store lost.
//!
//! A layer under the node (`shim.c`) writes down what it does to its disk, `model.rs` works out what
//! may be left. `REWAMP_SEED` repeats a run's cuts, `REWAMP_ROUNDS` makes more of them.

pub(crate) mod journal; // what the node did to its disk
mod model; // what is left of it

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use self::journal::environment;
use self::model::{Dice, Disk, Left, Tree};
use crate::crash::{self, Stored, Told};
use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, poll, within};
use crate::harness::node::{self, Node, Surroundings};

/// Rounds with `sync: true` in an ordinary run.
const ROUNDS: u64 = 50;
const PUBLISHERS: u64 = 3;

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => otherwise,
    }
}

/// A seed, printed so that the run can be repeated.
fn seed() -> Dice {
    let seed = setting("REWAMP_SEED", RandomState::new().hash_one(0));
    println!("REWAMP_SEED={seed}");
    Dice(seed)
}

/// A node whose disk is watched.
struct Watched {
    node: Node,
    engine: &'static str,
    disk: PathBuf,
    model: Disk,
    starts: u32,
}

/// Bytes that the store may have.
const MAXSIZE: u64 = 8 << 20;

impl Watched {
    /// A store of type `engine`.
    fn start(engine: &'static str, sync: bool) -> Self {
        let store = json!({
            "type": engine, "path": "disk/history", "maxsize": MAXSIZE, "sync": sync,
            "event-history": [{"uri": "com.crash.", "match": "prefix"}]
        });
        let mut node = Node::start(|ports| {
            let realms = json!([node::open_realm(store.clone())]);
            node::config(ports, realms, &node::anonymous())
        });
        node.kill();
        let disk = node.dir().join("disk");
        // Begun once more, so that its beginning is watched.
        model::write(&disk, &Tree::new());
        let mut watched = Self {
            node,
            engine,
            model: Disk::with(&disk),
            disk,
            starts: 0,
        };
        watched.restart();
        watched
    }

    fn journal(&self) -> PathBuf {
        self.node.dir().join(format!("journal-{}", self.starts))
    }

    /// Starts the node. The disk is as it is after a cut, or as the node that was killed left it.
    fn restart(&mut self) {
        self.starts += 1;
        let environment = environment(&self.disk, &self.journal());
        self.node.surround(Surroundings {
            environment,
            ..Surroundings::default()
        });
        self.node.restart();
    }

    /// Ends the node at this moment, and mostly takes the power away.
    fn cut(&mut self, dice: &mut Dice) -> String {
        self.node.kill();
        self.model
            .follow_killed(&journal::read(&self.journal()), &self.disk);
        std::fs::remove_file(self.journal()).expect("a journal");
        if dice.percent(20) {
            // What is not synced is still there, and may go with a later cut.
            return "killed".to_owned();
        }
        let (data, names) = (Left::any(dice), Left::any(dice));
        model::write(&self.disk, &self.model.cut(data, names, dice));
        self.model = Disk::with(&self.disk);
        if self.engine == "cfxdb" && dice.percent(50) {
            self.spoil_lock_file(dice);
        }
        format!("data {data:?}, names {names:?}")
    }

    /// What LMDB's processes share in memory may have been written to the disk at any moment.
    fn spoil_lock_file(&self, dice: &mut Dice) {
        let garbage: Vec<u8> = (0..dice.up_to(12_000)).map(|_| dice.roll() as u8).collect();
        std::fs::write(self.disk.join("history/lock.mdb"), garbage).expect("written");
    }

    /// Waits until nothing waits for its commit and nothing that is committed for its sync.
    fn await_sync(&self) {
        let mut waiting = Vec::new();
        let synced = poll(SOON, || {
            let buffered = self.node.metric("rewamp_history_buffered_events");
            waiting = journal::unsynced(&journal::read(&self.journal()));
            (buffered == 0 && waiting.is_empty()).then_some(())
        });
        assert!(synced.is_some(), "not synced: {waiting:?}");
    }

    /// Ends the node cleanly. Then the disk has to have exactly what the model says it was given:
    /// no operation was overlooked.
    fn stop(&mut self) {
        assert!(self.node.stop().success());
        self.model.follow(&journal::read(&self.journal()));
        self.model.agrees_with(&self.disk);
    }
}

/// Publishes until `enough` is acknowledged or `patience` is over; then the power goes.
fn publish_and_cut(
    watched: &mut Watched,
    next: &[u64],
    enough: u64,
    dice: &mut Dice,
) -> (Vec<Told>, Vec<Stored>, String) {
    let subscription = crash::look_up(&watched.node);
    let acknowledged = AtomicU64::new(0);
    let raw = watched.node.ports.raw;
    // From many events in a block to many pieces of one event.
    let (filling, fewer) = [(20, 1), (300, 1), (3_000, 3), (9_000, 30)][dice.up_to(3)];
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .zip(next)
            .map(|(publisher, &from)| {
                let acknowledged = &acknowledged;
                scope.spawn(move || crash::publish(raw, publisher, from, filling, acknowledged))
            })
            .collect();
        let watcher = scope.spawn(move || crash::glimpse(raw, subscription));
        within(SOON, "acknowledgements", || {
            (acknowledged.load(Ordering::Relaxed) >= enough / fewer).then_some(())
        });
        let how = watched.cut(dice);
        let told = publishers
            .into_iter()
            .map(|it| it.join().expect("no panic"));
        (
            told.collect(),
            watcher.join().expect("the watcher does not panic"),
            how,
        )
    })
}

#[test]
fn what_was_acknowledged_survives_fifty_power_cuts() {
    let watched = survives_power_cuts("sled");
    crash::segments_came_and_went(&watched.disk.join("history"));
}

#[test]
fn what_a_cfxdb_store_acknowledged_survives_fifty_power_cuts() {
    let watched = survives_power_cuts("cfxdb");
    let file = std::fs::metadata(watched.disk.join("history/data.mdb")).expect("a file");
    assert!(file.len() <= MAXSIZE, "{}", file.len());
}

fn survives_power_cuts(engine: &'static str) -> Watched {
    let mut dice = seed();
    let mut watched = Watched::start(engine, true);
    let subscription = crash::look_up(&watched.node);
    let mut next = vec![0; PUBLISHERS as usize];
    let mut history: BTreeMap<u64, Stored> = BTreeMap::new();
    let mut acknowledged = 0;
    for round in 0..setting("REWAMP_ROUNDS", ROUNDS) {
        let enough = 1 + dice.up_to(900) as u64;
        let (told, glimpsed, how) = publish_and_cut(&mut watched, &next, enough, &mut dice);
        println!("round {round}: {how}");
        watched.restart();

        assert_eq!(crash::look_up(&watched.node), subscription);
        let before = history
            .last_key_value()
            .map_or(0, |(&sequence, _)| sequence);
        let new = crash::stored_after(&watched.node, subscription, before);
        crash::each_publisher_has_a_whole_prefix(&new, &next, &told);
        crash::every_acknowledgement_is_true(&new, &told);
        crash::no_sequence_was_given_twice(&new, &glimpsed);
        for (next, told) in next.iter_mut().zip(&told) {
            *next = told.end;
            acknowledged += told.acknowledged.len();
        }
        history.extend(new.into_iter().map(|event| (event.sequence, event)));
        nothing_is_said_to_be_lost(&watched.node);
        if round % 10 == 9 {
            watched.stop();
            watched.restart();
        }
    }
    crash::the_rest_is_as_it_was_and_only_the_oldest_is_gone(&watched.node, subscription, &history);
    println!("{acknowledged} acknowledged, {} stored", history.len());
    watched
}

/// Damage would be set aside and named: there must be none.
fn nothing_is_said_to_be_lost(node: &Node) {
    let (_, ready) = node.admin("/health/ready").expect("an answer");
    assert!(ready.contains("\"degraded\":[]"), "{ready}\n{}", node.log());
}

/// How long ago an event has to be acknowledged to be there with `sync: false`: a second, as the
/// documentation says, and another for the buffer and for a sync on a busy machine.
const SAFE: Duration = Duration::from_secs(2);
const UNSYNCED_ROUNDS: u64 = 6;

#[test]
fn without_sync_no_more_than_the_last_second_is_lost_and_never_the_store() {
    survives_unsynced("sled");
}

#[test]
fn without_sync_a_cfxdb_store_loses_no_more_than_the_last_second() {
    survives_unsynced("cfxdb");
}

fn survives_unsynced(engine: &'static str) {
    let mut dice = seed();
    let mut watched = Watched::start(engine, false);
    let subscription = crash::look_up(&watched.node);
    let (mut before, mut lost) = (0, 0);
    for round in 0..UNSYNCED_ROUNDS {
        let mut client = Client::join(watched.node.ports.raw).expect("a session");
        let (begin, length) = (
            Instant::now(),
            Duration::from_millis(2_200 + dice.roll() % 1_000),
        );
        let mut acknowledged: Vec<(u64, Instant)> = Vec::new();
        within(SOON, "the end of a round", || {
            let arguments = json!([0, acknowledged.len(), "x".repeat(200)]);
            let answer = client.publish(crash::TOPIC, &arguments).expect("an answer");
            assert_eq!(answer[0], code::PUBLISHED, "{answer}");
            let publication = answer[2].as_u64().expect("a publication ID");
            acknowledged.push((publication, Instant::now()));
            (begin.elapsed() >= length).then_some(())
        });
        // Nothing comes after it that would take the last ones along to the disk.
        let is_left_alone = round % 2 == 1;
        if is_left_alone {
            watched.await_sync();
        }
        let end = Instant::now();
        let how = watched.cut(&mut dice);
        watched.restart();
        assert_eq!(crash::look_up(&watched.node), subscription);
        let new = crash::stored_after(&watched.node, subscription, before);
        before = new.last().map_or(before, |event| event.sequence);
        assert!(new.is_sorted_by_key(|event| event.counter), "{new:?}");
        let there: HashSet<u64> = new.iter().map(|event| event.publication).collect();
        let mut safe = 0;
        for (publication, when) in &acknowledged {
            let is_there = there.contains(publication);
            let is_safe = is_left_alone || end - *when >= SAFE;
            assert!(is_there || !is_safe, "lost after {:?}", end - *when);
            safe += usize::from(is_safe);
            lost += usize::from(!is_there);
        }
        println!(
            "round {round}: {how}, {safe} of {} safe",
            acknowledged.len()
        );
        assert!(safe > 0);
    }
    println!("{lost} lost");
}

/// A program that keeps a number in a file, and says each that it has kept.
const KEEPER: &str = "
import os, sys
folder, careful = sys.argv[1], sys.argv[2] == 'careful'
for number in range(1, 21):
    with open(folder + '/draft', 'w') as draft:
        draft.write('%04d' % number * 600)
        draft.flush()
        if careful:
            os.fsync(draft.fileno())
    os.rename(folder + '/draft', folder + '/number')
    there = os.open(folder, os.O_RDONLY)
    os.fsync(there)
    os.close(there)
";

/// What a program leaves, at a hundred power cuts after its end.
fn left_by(program: &str, arguments: &[&str]) -> Vec<Tree> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (disk, journal) = (folder.path().join("disk"), folder.path().join("journal"));
    std::fs::create_dir(&disk).expect("a folder");
    let mut model = Disk::with(&disk);
    let output = Command::new("python3")
        .args(["-c", program])
        .arg(&disk)
        .args(arguments)
        .envs(environment(&disk, &journal))
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "{output:?}");
    model.follow(&journal::read(&journal));
    model.agrees_with(&disk);
    let mut dice = seed();
    (0..100)
        .map(|_| model.cut(Left::any(&mut dice), Left::any(&mut dice), &mut dice))
        .collect()
}

#[test]
fn the_model_lets_those_be_who_sync_before_they_rename() {
    let kept = "0020".repeat(600).into_bytes();
    for tree in left_by(KEEPER, &["careful"]) {
        assert_eq!(tree["number"].as_ref(), Some(&kept));
    }
}

#[test]
fn the_model_catches_those_who_rename_what_they_have_not_synced() {
    let kept = "0020".repeat(600).into_bytes();
    let left = left_by(KEEPER, &["careless"]);
    let wrong = left
        .iter()
        .filter(|tree| tree["number"].as_ref() != Some(&kept));
    assert!(wrong.count() > 20);
}

#[test]
fn the_model_forgets_what_was_written_and_not_synced() {
    // Starting to write back is not waiting until it is done.
    let program = "
import ctypes, os, sys
file = os.open(sys.argv[1] + '/file', os.O_CREAT | os.O_WRONLY)
os.write(file, b'synced' * 1000)
os.fsync(file)
os.fsync(os.open(sys.argv[1], os.O_RDONLY))
os.write(file, b'more' * 1000)
ctypes.CDLL(None).sync_file_range(file, ctypes.c_long(0), ctypes.c_long(0), 7)
os.mkdir(sys.argv[1] + '/folder')
";
    let (synced, more) = (b"synced".repeat(1000), b"more".repeat(1000));
    let left = left_by(program, &[]);
    let mut seen = [false; 4];
    for tree in &left {
        let file = tree["file"].as_ref().expect("a file");
        assert!(file.starts_with(&synced));
        let rest = &file[synced.len()..];
        seen[0] |= rest.is_empty();
        seen[1] |= rest == more;
        seen[2] |= !rest.is_empty() && rest != more;
        seen[3] |= !tree.contains_key("folder");
    }
    assert_eq!(seen, [true; 4]);
}
