//! A store that refuses when it is full: what it accepts it never turns away, it drops nothing, and
//! when retention makes room it goes on by itself.

use super::room::{Watcher, payload_of};
use super::*;
use crate::event::Timestamp;

fn refusing(path: &Path, maxsize: u64) -> Desk {
    let aged = Filter {
        max_age: Some(Duration::from_secs(10)),
        ..filter("com.", Prefix)
    };
    let config = StoreConfig {
        maxsize,
        full: Full::Refuse,
        ..config(path, &[aged], None)
    };
    Desk::at(crate::store::open(config).unwrap())
}

/// Appends as a realm would, until there is no room for one more; returns how many bytes of
/// the disk that were.
fn fill(desk: &mut Desk, payload: usize, batch: usize) -> u64 {
    let payload = payload_of(payload);
    let mut written = 0;
    loop {
        let mut pending = Vec::new();
        let mut bytes = 0;
        let room = desk.store.room();
        for _ in 0..batch {
            let (next, time) = (desk.next, desk.time);
            let event = Event {
                payload: payload.clone(),
                ..desk.accept("com.a")
            };
            if bytes + event.footprint() > room {
                // It was not accepted, so it has no place.
                (desk.next, desk.time) = (next, time);
                break;
            }
            bytes += event.footprint();
            pending.push(Arc::new(event));
        }
        let full = pending.len() < batch;
        desk.store.append(&pending).unwrap();
        // Sealed, an event takes about 60 bytes besides.
        written += ((payload.tail().len() + 60) * pending.len()) as u64;
        if full {
            return written;
        }
    }
}

fn fills_and_goes_on(maxsize: u64, payload: usize, batch: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = refusing(folder.path(), maxsize);
    let watcher = Watcher::of(folder.path());
    let least = payload as u64 + 16_000;
    for round in 0..3 {
        let before = desk.next;
        let mut written = 0;
        // Once the last segment is sealed a little more may fit.
        for _ in 0..20 {
            written += fill(&mut desk, payload, batch);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert!(
            written >= maxsize / 5,
            "round {round}: {written} of {maxsize} bytes were taken"
        );
        assert!(desk.store.room() < least, "{}", desk.store.room());
        let found = sequences(&*desk.store, "com.");
        assert_eq!(found[0], before.get(), "nothing was dropped");
        assert_eq!(found.len() as u64, desk.next.get() - before.get());
        // A restart neither makes nor takes room.
        if round == 1 {
            let (time, next) = (desk.time, desk.next);
            drop(desk);
            desk = refusing(folder.path(), maxsize);
            (desk.time, desk.next) = (time, desk.next.max(next));
            wait_until("all is sealed", || {
                desk.store.usage().segments == 0 || desk.store.room() < maxsize / 8
            });
            assert_eq!(sequences(&*desk.store, "com."), found);
        }
        desk.time = Timestamp::from_nanos(desk.time.nanos() + 11_000_000_000);
        desk.store.at(desk.time);
        wait_until("there is room again", || desk.store.room() > maxsize / 4);
    }
    watcher.saw_at_most(maxsize);
}

#[test]
fn a_full_store_refuses_and_goes_on_when_there_is_room() {
    fills_and_goes_on(MIN_SLED_MAXSIZE, 200, 50);
    fills_and_goes_on(MIN_SLED_MAXSIZE, 50_000, 7);
    fills_and_goes_on(MIN_SLED_MAXSIZE, 10, 700);
    fills_and_goes_on(20 << 20, 2_000, 300);
}

#[test]
fn without_refusing_there_is_always_room() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(folder.path(), &[], None).room(), u64::MAX);
}
