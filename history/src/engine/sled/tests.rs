//! The sled engine against the contract, and what is its own: segments, crashes, damage, a full
//! and a failing disk.

mod crash; //   killed at random moments
mod damage; //  flipped, zeroed, cut, removed
mod failing; // the k-th file operation fails
mod aged; //    what is too old leaves the disk
mod purging; // what was purged is in no file
mod reclaiming; // what nobody keeps leaves the disk
mod refuse; //  a full store takes nothing more
mod torn; //    commits of which the power left a part
mod room; //    maxsize holds at every moment
mod readonly; // nothing changes, everything is read
mod resting; // closed and opened while it is asked
mod at_once; // the newest events, from memory alone

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};

use super::*;
use crate::contract;
use crate::contract::desk::{Desk, anybody, filter, limited};
use crate::error::OpenError;
use crate::filter::Filter;
use crate::store::{Engine, Full, MIN_SLED_MAXSIZE, RESERVATION};

fn config(path: &Path, filters: &[Filter], limit: Option<u64>) -> StoreConfig {
    StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Sled {
            path: path.to_owned(),
            readonly: false,
        },
        maxsize: 64 << 20,
        full: Full::DropOldest,
        sync: true,
        limit,
        filters: filters.to_vec(),
        memory_begin: Sequence::new(1),
    }
}

fn open(path: &Path, filters: &[Filter], limit: Option<u64>) -> Arc<dyn EventStore> {
    crate::store::open(config(path, filters, limit)).unwrap()
}

/// A store whose growing segment is full with `segment` bytes.
fn open_small(
    path: &Path,
    filters: &[Filter],
    limit: Option<u64>,
    segment: u64,
) -> Arc<dyn EventStore> {
    Arc::new(open_sled(path, filters, limit, segment))
}

fn open_sled(path: &Path, filters: &[Filter], limit: Option<u64>, segment: u64) -> Sled {
    let sizes = Sizes {
        max: 64 << 20,
        segment,
    };
    Sled::open_on(Disk::default(), sizes, path, config(path, filters, limit)).unwrap()
}

/// Waits until `met`, which it must be within ten seconds.
fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !met() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// All sequences of a history, in order.
fn sequences(store: &dyn EventStore, uri: &str) -> Vec<u64> {
    sequences_of(store, uri, Prefix)
}

fn sequences_of(store: &dyn EventStore, uri: &str, match_policy: MatchPolicy) -> Vec<u64> {
    let filter = store.covering(uri, match_policy).unwrap();
    let scope = Scope {
        uri: uri.into(),
        match_policy,
        filter,
    };
    let mut found = Vec::new();
    let page = store.read(&Query::all(scope, anybody()), &[], &mut |event| {
        found.push(event.sequence.get());
        ControlFlow::Continue(())
    });
    page.unwrap();
    found
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn numbered(folder: &tempfile::TempDir) -> impl Fn() -> PathBuf {
    let (path, number) = (folder.path().to_owned(), std::cell::Cell::new(0));
    move || {
        number.set(number.get() + 1);
        path.join(number.get().to_string())
    }
}

#[test]
fn sled_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    contract::run(&|filters, limit| open(&next(), filters, limit));
}

#[test]
fn sled_keeps_the_contract_when_every_commit_begins_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    contract::run(&|filters, limit| open_small(&next(), filters, limit, 8_192));
}

#[test]
fn sled_keeps_the_contract_over_several_lives() {
    contract::outlives(&|path, filters, limit| open(path, filters, limit));
}

#[test]
fn sled_keeps_the_contract_over_several_lives_of_small_segments() {
    contract::outlives(&|path, filters, limit| open_small(path, filters, limit, 40_000));
}

#[test]
fn a_history_reads_the_same_before_and_after_it_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [
        filter("com.", Prefix),
        filter("com..x", Wildcard),
        filter("com.1.x", Exact),
    ];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 600_000));
    let topics = |number: usize| format!("com.{}.{}", number * number % 97, ["x", "y"][number % 2]);
    desk.publish_all((0..9_000).map(topics), 100);
    let ask = |desk: &Desk| {
        let queries = [
            desk.all("com.", Prefix),
            desk.all("com..x", Wildcard),
            desk.all("com.1.x", Exact),
            desk.all("com.9", Prefix),
            desk.all("com..y", Wildcard),
            Query {
                reverse: true,
                limit: 333,
                ..desk.all("com.1", Prefix)
            },
            Query {
                last_per_topic: Some(30),
                ..desk.all("com.", Prefix)
            },
        ];
        queries.map(|query| desk.ask(&query))
    };
    let before = ask(&desk);
    assert_eq!(before[0].len(), 9_000);
    // A new life has nothing that grows: in the end all is sealed.
    drop(desk);
    let first = Sequence::new(1);
    for _ in 0..2 {
        let sled = open_sled(folder.path(), &filters, None, 600_000);
        let shared = Arc::clone(&sled.shared);
        let desk = Desk {
            first,
            ..Desk::at(Arc::new(sled))
        };
        assert_eq!(ask(&desk), before);
        wait_until("everything is sealed", || {
            shared
                .segments()
                .iter()
                .all(|segment| segment.sealed().is_some())
        });
        assert!(shared.segments().len() >= 2);
        assert_eq!(ask(&desk), before);
    }
}

#[test]
fn many_short_lives_leave_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    for _ in 0..20 {
        let mut desk = Desk::at(open(folder.path(), &filters, None));
        desk.publish("com.a");
        wait_until("earlier lives are sealed", || {
            desk.store.usage().segments <= 2
        });
    }
    let store = open(folder.path(), &filters, None);
    assert_eq!(store.opened().events, 20);
    wait_until("all lives are sealed together", || {
        store.usage().segments == 1
    });
    assert_eq!(sequences(&*store, "com.").len(), 20);
    let bytes = store.usage().bytes;
    assert!(bytes < 3 << 20, "{bytes} bytes for 20 events");
}

#[test]
fn a_store_is_open_once_and_belongs_to_one_realm() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &[], None);
    let again = crate::store::open(config(folder.path(), &[], None));
    assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
    drop(store);
    let other = StoreConfig {
        realm: "realm2".to_owned(),
        ..config(folder.path(), &[], None)
    };
    let other = crate::store::open(other);
    assert!(
        matches!(other, Err(OpenError::OtherRealm { .. })),
        "{other:?}"
    );
    let small = StoreConfig {
        maxsize: 5_242_879,
        ..config(folder.path(), &[], None)
    };
    let small = crate::store::open(small);
    assert!(
        matches!(small, Err(OpenError::TooSmall { .. })),
        "{small:?}"
    );
}

#[test]
fn a_file_of_a_later_version_stops_the_start_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &[], None));
    let path = folder.path().join("store");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[8..16]);
    hasher.update(&bytes[20..]);
    bytes[16..20].copy_from_slice(&hasher.finalize().to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let opened = crate::store::open(config(folder.path(), &[], None));
    assert!(
        matches!(opened, Err(OpenError::NewerVersion { found: 9, .. })),
        "{opened:?}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn without_sync_events_outlive_the_process_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let unsynced = StoreConfig {
        sync: false,
        ..config(folder.path(), &filters, None)
    };
    let mut desk = Desk::at(crate::store::open(unsynced).unwrap());
    desk.publish_all((0..500).map(|_| "com.a".to_owned()), 7);
    drop(desk);
    assert_eq!(
        sequences(&*open(folder.path(), &filters, None), "com.").len(),
        500
    );
}

#[test]
fn a_transaction_cut_short_is_not_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let sled = Sled::open(folder.path(), config(folder.path(), &filters, None)).unwrap();
    let shared = Arc::clone(&sled.shared);
    let mut desk = Desk::at(Arc::new(sled));
    desk.publish("com.a");
    // The first of two blocks of a transaction reaches the disk, the second does not.
    let event = desk.accept("com.a");
    let mut packer = block::Packer::default();
    packer.push(&EventRef::from(&event));
    let place = block::Place {
        commit_events: 2,
        commit_start: 0,
        previous: Sequence::new(1),
    };
    let mark = shared.head.origin.block_mark();
    let active = shared.keeping.lock().active.clone().unwrap();
    let db = active.db().unwrap();
    db.put(
        event.sequence,
        packer.finish(mark, &place),
        mark,
        &mut Vec::new(),
    )
    .unwrap();
    db.flush(&Disk::default(), true).unwrap();
    drop((active, desk, shared));
    let store = open(folder.path(), &filters, None);
    assert_eq!(sequences(&*store, "com."), [1]);
    assert_eq!(store.opened().lost, []);
    assert!(store.opened().next_sequence > event.sequence);
}

#[test]
fn readers_see_one_run_without_gaps_while_events_come_and_segments_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 200_000));
    let store = Arc::clone(&desk.store);
    let stored = std::sync::atomic::AtomicU64::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reverse in [true, false] {
            let (store, stored, done) = (&store, &stored, &done);
            scope.spawn(move || {
                use std::sync::atomic::Ordering;
                let scope = Scope {
                    uri: "com.".into(),
                    match_policy: Prefix,
                    filter: store.covering("com.", Prefix).unwrap(),
                };
                let query = Query {
                    reverse,
                    limit: 700,
                    ..Query::all(scope, anybody())
                };
                while !done.load(Ordering::Acquire) {
                    let before = stored.load(Ordering::Acquire);
                    let mut found = Vec::new();
                    let read = store.read(&query, &[], &mut |event| {
                        found.push(event.sequence.get());
                        ControlFlow::Continue(())
                    });
                    read.unwrap();
                    let steady = |pair: &[u64]| pair[0].abs_diff(pair[1]) == 1;
                    assert!(found.windows(2).all(steady), "{found:?}");
                    assert!(found.is_sorted_by(|one, other| (one < other) != reverse));
                    let newest = if reverse { found.first() } else { found.last() };
                    let seen = newest.copied().unwrap_or(0);
                    let expected = if reverse { before } else { before.min(700) };
                    assert!(seen >= expected, "{seen} is the newest of {before}");
                }
            });
        }
        let topics = (0..6_000).map(|number| format!("com.{}", number % 7));
        for topics in topics.collect::<Vec<_>>().chunks(60) {
            desk.publish_all(topics.iter().cloned(), 60);
            stored.store(desk.next.get() - 1, std::sync::atomic::Ordering::Release);
        }
        done.store(true, std::sync::atomic::Ordering::Release);
    });
    assert!(store.usage().segments > 3);
}

#[test]
fn what_grows_is_never_taken_for_what_no_longer_does() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let sled = open_sled(folder.path(), &filters, None, 8_192);
    let shared = Arc::clone(&sled.shared);
    let mut desk = Desk::at(Arc::new(sled));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut begun = std::collections::BTreeSet::new();
            while !done.load(Ordering::Acquire) {
                let (segments, growing) = shared.segments_and_growing();
                if let Some(growing) = growing {
                    assert!(Arc::ptr_eq(segments.last().unwrap(), &growing));
                    begun.insert(growing.generation);
                }
            }
            begun.len()
        });
        for _ in 0..200 {
            desk.publish_all((0..20).map(|_| "com.a".to_owned()), 20);
        }
        done.store(true, Ordering::Release);
        assert!(watcher.join().unwrap() > 1);
    });
    assert_eq!(sequences(&*desk.store, "com.").len(), 4_000);
}
