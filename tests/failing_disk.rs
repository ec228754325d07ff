//! A disk that fails is a state: routing goes on, publishers are told, nothing that was
//! acknowledged is lost, and when the disk works again so does the store, in the same process.
//!
//! The layer below the node (`power_loss/shim.c`) lets operations fail by their number, sled's as
//! well as our own; and once it is a real file system that is full.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::mount::{self, Mounts};
use crate::harness::node::{self, Node, Ports, Surroundings};
use crate::power_loss::journal::shim;

const TOPIC: &str = "com.kept.topic";
/// So that a few hundred publications go through several segments, and old ones are dropped.
const MAXSIZE: u64 = 8 << 20;

fn config(ports: &Ports, engine: &str) -> Value {
    let store = json!({
        "type": engine, "path": "disk/history", "maxsize": MAXSIZE, "sync": true,
        "event-history": [{"uri": "com.kept.", "match": "prefix"}]
    });
    node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
}

/// Kinds of operations, as `shim.c` numbers them.
mod kind {
    pub(super) const WRITE: u64 = 1;
    pub(super) const SYNC: u64 = 2;
    pub(super) const CREATE: u64 = 4;
    pub(super) const RENAME: u64 = 8;
    pub(super) const REMOVE: u64 = 32;
    pub(super) const OPEN: u64 = 64;
    pub(super) const ALL: u64 = 127;
}

const EIO: u64 = 5;
const ENOSPC: u64 = 28;
const EROFS: u64 = 30;

/// What fails, told to the running node.
struct Faults(File);

impl Faults {
    fn begin(path: &Path) -> Self {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .expect("a file");
        file.write_all(&[0; 64]).expect("written");
        Self(file)
    }

    fn word(&self, index: u64) -> u64 {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, index * 8).expect("a word");
        u64::from_le_bytes(word)
    }

    fn set(&self, index: u64, word: u64) {
        let bytes = word.to_le_bytes();
        self.0.write_all_at(&bytes, index * 8).expect("written");
    }

    /// Operations of these kinds fail, from the `after`th on, `count` of them.
    fn fail(&self, kinds: u64, error: u64, after: u64, count: u64) {
        self.mend();
        self.set(3, error);
        self.set(4, kinds);
        let first = self.word(0) + after;
        self.set(2, first.saturating_add(count - 1));
        self.set(1, first);
    }

    fn mend(&self) {
        self.set(1, 0);
    }

    fn failed(&self) -> u64 {
        self.word(5)
    }
}

/// A publisher, a subscriber, and what they were told.
struct Desk {
    publisher: Client,
    subscriber: Client,
    published: u64,
    acknowledged: Vec<u64>,
    refused: u64,
}

impl Desk {
    fn at(node: &Node) -> Self {
        let mut subscriber = Client::join(node.ports.raw).expect("a session");
        subscriber
            .send(&json!([32, 1, {}, TOPIC]))
            .expect("SUBSCRIBE");
        subscriber.flush().expect("SUBSCRIBE");
        assert_eq!(subscriber.receive().expect("SUBSCRIBED")[0], 33);
        Self {
            publisher: Client::join(node.ports.raw).expect("a session"),
            subscriber,
            published: 0,
            acknowledged: Vec::new(),
            refused: 0,
        }
    }

    /// Publishes once: whatever becomes of it in the store, it reaches the subscriber. Whether it
    /// was stored.
    fn publish(&mut self) -> bool {
        self.published += 1;
        let arguments = json!([self.published, "x".repeat(4_000)]);
        let answer = self
            .publisher
            .publish(TOPIC, &arguments)
            .expect("an answer");
        let event = self.subscriber.receive().expect("an EVENT");
        assert_eq!(event[4][0], self.published, "{event}");
        if answer[0] == code::PUBLISHED {
            assert_eq!(answer[2], event[2]);
            self.acknowledged.push(answer[2].as_u64().expect("an ID"));
            return true;
        }
        assert_eq!(answer[0], code::ERROR, "{answer}");
        assert_eq!(answer[4], "rewamp.error.store_unavailable", "{answer}");
        assert_eq!(answer[3]["_routed"], true, "{answer}");
        self.refused += 1;
        false
    }

    fn publish_until_stored(&mut self, what: &str) {
        within(SOON, what, || self.publish().then_some(()));
    }

    /// All that was acknowledged is in the history, but for what had to make room.
    fn all_is_there(&mut self, node: &Node) {
        let mut client = Client::join(node.ports.raw).expect("a session");
        let look_up = client.call("wamp.subscription.lookup", json!([TOPIC]), json!({}));
        let mut there: Vec<u64> = Vec::new();
        let mut start = json!({"from_time": "2000-01-01T00:00:00Z", "limit": 500});
        let id = look_up.expect("an answer");
        loop {
            let page = client.call("wamp.subscription.get_events", json!([id]), start);
            let page = page.expect("a page");
            let page = page.as_array().expect("a list");
            let Some(last) = page.last() else { break };
            start = json!({"after_sequence": last["sequence"], "limit": 500});
            let publications = page.iter().map(|event| event["publication"].as_u64());
            there.extend(publications.map(|id| id.expect("an ID")));
        }
        let oldest = self.acknowledged.iter().position(|id| there.contains(id));
        let kept = &self.acknowledged[oldest.expect("some are there")..];
        assert!(kept.len() > 100, "only {} are there", kept.len());
        let there: HashSet<u64> = there.into_iter().collect();
        let lost = kept.iter().filter(|id| !there.contains(id)).count();
        assert_eq!(lost, 0, "lost of {}", kept.len());
    }
}

fn nothing_is_set_aside(folder: &Path) {
    let names = fs::read_dir(folder).expect("a folder");
    let names: Vec<_> = names
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    let bad = |name: &OsString| name.to_string_lossy().starts_with("bad-");
    assert!(!names.iter().any(bad), "{names:?}");
}

fn times(log: &str, words: &str) -> usize {
    log.lines().filter(|line| line.contains(words)).count()
}

/// A node with a store of type `engine` over a disk that fails when it is told to.
fn failing_node(engine: &str) -> (Node, Faults, PathBuf) {
    let mut node = Node::start(|ports| config(ports, engine));
    node.kill();
    let (disk, control) = (node.dir().join("disk"), node.dir().join("faults"));
    let faults = Faults::begin(&control);
    let environment = [
        ("LD_PRELOAD", shim().as_os_str()),
        ("DISK_ROOT", disk.as_os_str()),
        ("DISK_FAULTS", control.as_os_str()),
        // A panic of sled that is caught would read all of the binary's debug information into
        // memory, to print where it was.
        ("RUST_BACKTRACE", "0".as_ref()),
    ];
    node.surround(Surroundings {
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Surroundings::default()
    });
    node.restart();
    let history = disk.join("history");
    (node, faults, history)
}

#[test]
fn whatever_fails_routing_goes_on_and_the_store_comes_back_with_its_disk() {
    outlives_outages("sled", 20);
}

/// Of LMDB only what it does in a commit can fail: it has its files open.
#[test]
fn whatever_fails_routing_goes_on_and_a_cfxdb_store_comes_back_with_its_disk() {
    outlives_outages("cfxdb", 14);
}

fn outlives_outages(engine: &str, least: usize) {
    let (mut node, faults, history) = failing_node(engine);
    let mut desk = Desk::at(&node);
    let cases = [
        (kind::WRITE, ENOSPC),
        (kind::SYNC, EIO),
        (kind::CREATE, ENOSPC),
        (kind::RENAME, EIO),
        (kind::REMOVE, EROFS),
        (kind::OPEN, EIO),
        (kind::ALL, EROFS),
    ];
    let (mut before, mut outages) = (None, 0);
    for after in [1, 2, 4, 7, 12, 20, 33] {
        for (kinds, error) in cases {
            desk.publish_until_stored("a publication is stored");
            let failed = faults.failed();
            faults.fail(kinds, error, after, u64::MAX);
            // Some kinds are only needed with the next segment.
            let is_out = (0..120).any(|_| !desk.publish());
            if is_out && faults.failed() > failed {
                outages += 1;
                let last = (0..8).map(|_| desk.publish()).last();
                let (code, ready) = node.admin("/health/ready").expect("an answer");
                assert_eq!(code, 200);
                let is_said = ready.contains("cannot be written");
                assert!(is_said || last == Some(true), "{ready}");
            }
            faults.mend();
            let what = format!("stored after kind {kinds}, {after} operations");
            desk.publish_until_stored(&what);
        }
        let now = node.resident();
        let before = *before.get_or_insert(now);
        assert!(now < before + (64 << 20), "{before} bytes, then {now}");
    }
    println!(
        "{outages} outages, {} of {} refused",
        desk.refused, desk.published
    );
    assert!(outages >= least);
    let not_stored = format!(
        "rewamp_history_not_stored_total{{realm=\"realm1\"}} {}",
        desk.refused
    );
    let (_, metrics) = node.admin("/metrics").expect("metrics");
    assert!(metrics.contains(&not_stored), "{not_stored}");
    nothing_is_set_aside(&history);
    desk.all_is_there(&node);
    // Said when it begins and when it ends, whatever is tried in between.
    let log = node.log();
    let begun = times(&log, "the event store cannot be written");
    assert_eq!(begun, times(&log, "the event store can be written again"));
    assert!((1..=outages * 3).contains(&begun), "{begun} times");
    assert!(times(&log, "ERROR") <= outages * 6, "{log}");

    node.kill();
    node.restart();
    desk.all_is_there(&node);
    nothing_is_set_aside(&history);
    let (_, ready) = node.admin("/health/ready").expect("an answer");
    assert!(ready.contains("\"degraded\":[]"), "{ready}");
}

#[test]
fn one_operation_that_fails_costs_one_publication_at_most_two() {
    outlives_single_faults("sled");
}

/// Also where it is the one after which LMDB does nothing more with what it has open.
#[test]
fn one_operation_that_fails_costs_a_cfxdb_store_one_publication_at_most_two() {
    outlives_single_faults("cfxdb");
}

fn outlives_single_faults(engine: &str) {
    let (mut node, faults, history) = failing_node(engine);
    let mut desk = Desk::at(&node);
    for after in 1..=60 {
        desk.publish_until_stored("a publication is stored");
        within(SOON, "what failed before is done", || {
            let log = node.log();
            let failed = times(&log, "the history cannot be kept up");
            (failed == times(&log, "the history is kept up again")).then_some(())
        });
        let (error, refused) = ([EIO, ENOSPC, EROFS][after as usize % 3], desk.refused);
        faults.fail(kind::ALL, error, after, 1);
        for _ in 0..25 {
            desk.publish();
        }
        faults.mend();
        let cost = desk.refused - refused;
        assert!(cost <= 2, "operation {after} cost {cost} publications");
    }
    nothing_is_set_aside(&history);
    desk.all_is_there(&node);
    node.kill();
    node.restart();
    desk.all_is_there(&node);
    nothing_is_set_aside(&history);
}

/// A node that is stopped, and the folder of its disk, to be mounted.
fn node_with_a_disk(engine: &str) -> (Node, PathBuf) {
    let mut node = Node::start(|ports| config(ports, engine));
    node.kill();
    let disk = node.dir().join("disk");
    fs::remove_dir_all(&disk).expect("removed");
    fs::create_dir(&disk).expect("created");
    (node, disk)
}

#[test]
fn a_file_system_that_is_full_is_used_again_when_it_has_room() {
    outlives_a_full_disk("sled");
}

#[test]
fn a_file_system_that_is_full_is_used_again_by_a_cfxdb_store() {
    outlives_a_full_disk("cfxdb");
}

fn outlives_a_full_disk(engine: &str) {
    let Some(mounts) = Mounts::allowed() else {
        return;
    };
    let (mut node, disk) = node_with_a_disk(engine);
    let script = "mount -t tmpfs -o size=12m none \"$0\" && exec \"$@\"";
    node.surround(mounts.around(script, &disk));
    node.restart();
    let inside = mount::seen_by(&node, &disk);
    let mut desk = Desk::at(&node);
    for _ in 0..3 {
        for _ in 0..120 {
            assert!(desk.publish());
        }
        let mut foreign = File::create(inside.join("foreign")).expect("a file");
        // Until nothing goes in any more.
        while foreign.write_all(&[7; 4096]).is_ok() {}
        within(SOON, "a publication that is not stored", || {
            (!desk.publish()).then_some(())
        });
        for _ in 0..20 {
            desk.publish();
        }
        desk.all_is_there(&node);
        drop(foreign);
        fs::remove_file(inside.join("foreign")).expect("removed");
        desk.publish_until_stored("stored when there is room again");
    }
    desk.all_is_there(&node);
    nothing_is_set_aside(&inside.join("history"));
    assert!(node.stop().success());
}

/// The kernel refuses to make a mount read-only while files on it are open to be written, unless
/// the file system has failed. So a read-only mount of the same files is laid over the disk of the
/// running node: what is open goes on, and nothing can be created, renamed or removed.
#[test]
fn a_disk_that_becomes_read_only_is_used_again_when_it_can_be_written() {
    let Some(mounts) = Mounts::allowed() else {
        return;
    };
    let (mut node, disk) = node_with_a_disk("sled");
    let script = "mount -t tmpfs -o size=32m none \"$0\" && exec \"$@\"";
    node.surround(mounts.around(script, &disk));
    node.restart();
    let history = mount::seen_by(&node, &disk).join("history");
    let mut desk = Desk::at(&node);
    let over = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    for off in ["mount -o remount,bind,rw \"$0\"", "umount \"$0\""] {
        for _ in 0..120 {
            assert!(desk.publish());
        }
        mounts.change(&node, over, &disk);
        let probe = File::create(history.join("probe")).expect_err("it is read-only");
        assert_eq!(probe.kind(), ErrorKind::ReadOnlyFilesystem);
        within(SOON, "a publication that is not stored", || {
            (!desk.publish()).then_some(())
        });
        for _ in 0..20 {
            desk.publish();
        }
        let (code, ready) = node.admin("/health/ready").expect("an answer");
        assert_eq!(code, 200);
        assert!(ready.contains("\"realm\":\"realm1\""), "{ready}");
        desk.all_is_there(&node);
        mounts.change(&node, off, &disk);
        desk.publish_until_stored("stored when it can be written again");
        within(SOON, "the store is well", || {
            let (_, ready) = node.admin("/health/ready").expect("an answer");
            ready.contains("\"degraded\":[]").then_some(())
        });
        desk.all_is_there(&node);
    }
    nothing_is_set_aside(&history);
    assert!(node.stop().success());
}

/// What a node meets that was killed with its disk: the same folder, on a mount that is read-only
/// until somebody has mended it.
#[test]
fn a_node_that_starts_on_a_read_only_disk_stores_as_soon_as_it_can() {
    starts_on_a_read_only_disk("sled");
}

#[test]
fn a_node_that_starts_on_a_read_only_disk_stores_in_cfxdb_as_soon_as_it_can() {
    starts_on_a_read_only_disk("cfxdb");
}

fn starts_on_a_read_only_disk(engine: &str) {
    let Some(mounts) = Mounts::allowed() else {
        return;
    };
    let mut node = Node::start(|ports| config(ports, engine));
    let mut desk = Desk::at(&node);
    for _ in 0..200 {
        assert!(desk.publish());
    }
    node.kill();
    let disk = node.dir().join("disk");
    // A copy, in a file system of its own that becomes read-only as a whole.
    let script = "cp -a \"$0\" \"$0-copy\" && mount -t tmpfs none \"$0\" && \
                  cp -a \"$0-copy/.\" \"$0\" && mount -o remount,ro \"$0\" && exec \"$@\"";
    node.surround(mounts.around(script, &disk));
    node.restart();
    let acknowledged = std::mem::take(&mut desk.acknowledged);
    desk = Desk::at(&node);
    for _ in 0..20 {
        assert!(!desk.publish(), "stored on a disk that is read-only");
    }
    let (code, ready) = node.admin("/health/ready").expect("an answer");
    assert_eq!(code, 200);
    assert!(ready.contains("\"realm\":\"realm1\""), "{ready}");
    mounts.change(&node, "mount -o remount,rw \"$0\"", &disk);
    desk.publish_until_stored("stored when it can be written");
    desk.acknowledged.splice(0..0, acknowledged);
    desk.all_is_there(&node);
    nothing_is_set_aside(&mount::seen_by(&node, &disk).join("history"));
    assert!(node.stop().success());
}

/// LMDB writes to its lock file through memory: where there is no room for it on the disk, that
/// would end the process.
#[test]
fn a_node_that_starts_on_a_full_disk_stores_in_cfxdb_as_soon_as_there_is_room() {
    let Some(mounts) = Mounts::allowed() else {
        return;
    };
    let mut node = Node::start(|ports| config(ports, "cfxdb"));
    let mut desk = Desk::at(&node);
    for _ in 0..200 {
        assert!(desk.publish());
    }
    assert!(node.stop().success());
    let disk = node.dir().join("disk");
    fs::remove_file(disk.join("history/lock.mdb")).expect("removed");
    fs::rename(&disk, node.dir().join("disk-copy")).expect("renamed");
    fs::create_dir(&disk).expect("created");
    let script = "mount -t tmpfs -o size=12m none \"$0\" && cp -a \"$0\"-copy/. \"$0\" && \
                  { head -c 99m /dev/zero > \"$0\"/foreign; exec \"$@\"; }";
    node.surround(mounts.around(script, &disk));
    node.restart();
    let inside = mount::seen_by(&node, &disk);
    let acknowledged = std::mem::take(&mut desk.acknowledged);
    desk = Desk::at(&node);
    for _ in 0..20 {
        assert!(!desk.publish(), "stored on a disk that is full");
    }
    fs::remove_file(inside.join("foreign")).expect("removed");
    desk.publish_until_stored("stored when there is room");
    desk.acknowledged.splice(0..0, acknowledged);
    desk.all_is_there(&node);
    nothing_is_set_aside(&inside.join("history"));
    assert!(node.stop().success());
}

/// ext4 that finds an error in itself is read-only at once, also to whoever has files open: what
/// can happen at any moment to a disk that ages. It is mended while nobody has it.
#[test]
fn a_file_system_that_fails_under_the_store_costs_nothing_that_was_acknowledged() {
    let Some(mounts) = Mounts::with_disks() else {
        return;
    };
    let (mut node, disk) = node_with_a_disk("sled");
    node.surround(mounts.around(mount::NEW_DISK, &disk));
    node.restart();
    let mut desk = Desk::at(&node);
    for _ in 0..2 {
        let history = mount::seen_by(&node, &disk).join("history");
        for _ in 0..200 {
            desk.publish_until_stored("stored on a disk that works");
        }
        mounts.change(&node, mount::FAILS, &disk);
        let probe = File::create(history.join("probe")).expect_err("it is read-only");
        assert_eq!(probe.kind(), ErrorKind::ReadOnlyFilesystem);
        within(SOON, "a publication that is not stored", || {
            (!desk.publish()).then_some(())
        });
        for _ in 0..20 {
            assert!(!desk.publish(), "stored on a disk that is read-only");
        }
        let (code, ready) = node.admin("/health/ready").expect("an answer");
        assert_eq!(code, 200);
        assert!(ready.contains("\"realm\":\"realm1\""), "{ready}");
        desk.all_is_there(&node);
        assert!(node.stop().success());
        node.surround(mounts.around(mount::MENDED_DISK, &disk));
        node.restart();
        let acknowledged = std::mem::take(&mut desk.acknowledged);
        desk = Desk::at(&node);
        desk.publish_until_stored("stored on the disk that was mended");
        desk.acknowledged.splice(0..0, acknowledged);
        desk.all_is_there(&node);
        nothing_is_set_aside(&mount::seen_by(&node, &disk).join("history"));
    }
    assert!(node.stop().success());
}
