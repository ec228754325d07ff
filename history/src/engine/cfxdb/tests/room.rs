//! `maxsize` holds at every moment, and a store that is full stays alive.

use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy::Prefix;
use rewamp_wamp::value::Value;

use super::*;
use crate::contract::desk::{Desk, filter};

fn sized(path: &Path, maxsize: u64, full: Full) -> StoreConfig {
    StoreConfig {
        maxsize,
        full,
        sync: false,
        ..config(path, &[filter("com.", Prefix)], None)
    }
}

/// A folder on a disk that need not be waited for, where there is one: many commits are made here.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn file_bytes(path: &Path) -> u64 {
    std::fs::metadata(path.join("data.mdb")).unwrap().len()
}

/// An event with so many bytes of text.
fn sized_event(desk: &mut Desk, bytes: usize) -> Arc<Event> {
    let text = Value::from("x".repeat(bytes));
    let payload = Payload::from_values(Serializer::Json, Some(&[text]), None).unwrap();
    Arc::new(Event {
        payload,
        ..desk.accept("com.a")
    })
}

#[test]
fn the_oldest_events_make_room_and_the_file_never_outgrows_maxsize() {
    for (maxsize, bytes, batch, times) in [
        (131_072, 20, 7, 300),
        (1 << 20, 100, 50, 200),
        (1 << 20, 3_000, 20, 100),
        (4 << 20, 200, 400, 100),
        (4 << 20, 200_000, 3, 40),
    ] {
        let folder = in_memory();
        let open = || crate::store::open(sized(folder.path(), maxsize, Full::DropOldest)).unwrap();
        let mut desk = Desk::at(open());
        let first = desk.first;
        let mut shown = 0;
        for _ in 0..times {
            let events: Vec<_> = (0..batch).map(|_| sized_event(&mut desk, bytes)).collect();
            desk.store.append(&events).unwrap();
            let file = file_bytes(folder.path());
            assert!(file <= maxsize, "{file} > {maxsize}");
            let all = desk.ask(&desk.all("com.", Prefix));
            let newest = desk.next.get() - desk.first.get();
            assert_eq!(all.last(), Some(&newest));
            assert!(all.windows(2).all(|pair| pair[0] + 1 == pair[1]), "one run");
            assert_eq!(all.len() as u64, desk.store.usage().events);
            shown = all.len() as u64;
        }
        let kept = shown * (bytes as u64 + 100);
        assert!(
            kept > maxsize / 20,
            "{shown} events of {bytes} B in {maxsize} B"
        );
        let before = desk.ask(&desk.all("com.", Prefix));
        drop(desk);
        let desk = Desk {
            first,
            ..Desk::at(open())
        };
        assert_eq!(desk.ask(&desk.all("com.", Prefix)), before);
    }
}

#[test]
fn a_store_that_refuses_takes_what_it_said_it_would() {
    let folder = in_memory();
    let store = crate::store::open(sized(folder.path(), 1 << 20, Full::Refuse)).unwrap();
    let mut desk = Desk::at(store);
    let mut taken = 0_u64;
    'full: loop {
        let mut room = desk.store.room();
        let mut events = Vec::new();
        for number in 0..50 {
            let event = sized_event(&mut desk, number * number);
            if event.footprint() > room {
                desk.store.append(&events).unwrap();
                taken += events.len() as u64;
                break 'full;
            }
            room -= event.footprint();
            events.push(event);
        }
        desk.store.append(&events).unwrap();
        taken += events.len() as u64;
    }
    assert!(taken > 300, "{taken}");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)).len() as u64, taken);
    assert!(file_bytes(folder.path()) <= 1 << 20);
    // Retention makes room.
    let scope = desk.scope("com.", Prefix);
    let viewer = crate::contract::desk::anybody();
    let before = desk.store.room();
    desk.store.purge(&scope, &viewer, &Purge::All).unwrap();
    assert!(desk.store.room() > before + 10_000);
}

#[test]
fn a_reader_that_pins_pages_makes_the_store_full_and_not_empty() {
    let folder = in_memory();
    let cfxdb = Cfxdb::open(
        folder.path(),
        0o640,
        &sized(folder.path(), 1 << 20, Full::DropOldest),
    )
    .unwrap();
    let cfxdb = Arc::new(cfxdb);
    let mut desk = Desk::at(Arc::clone(&cfxdb) as Arc<dyn EventStore>);
    desk.publish_all((0..2_000).map(|_| "com.a".to_owned()), 50);
    let there = desk.store.usage().events;
    let reader = cfxdb.env.read().unwrap();
    let mut failed = None;
    for _ in 0..200 {
        let events: Vec<_> = (0..20).map(|_| Arc::new(desk.accept("com.a"))).collect();
        if let Err(error) = desk.store.append(&events) {
            failed = Some(error.to_string());
            break;
        }
    }
    let failed = failed.expect("pages run out");
    let pid = format!("process {}", std::process::id());
    assert!(failed.contains("full") && failed.contains(&pid), "{failed}");
    assert!(desk.store.usage().events > there / 2, "events stay");
    assert!(desk.store.append(&[]).is_err(), "it is still full");
    assert!(!desk.ask(&desk.all("com.", Prefix)).is_empty(), "and read");
    drop(reader);
    desk.store.append(&[]).unwrap();
    desk.publish("com.a");
    let newest = desk.next.get() - desk.first.get();
    assert_eq!(desk.ask(&desk.all("com.", Prefix)).last(), Some(&newest));
}

#[test]
fn a_store_that_is_larger_than_it_may_be_by_now_opens_and_comes_down() {
    let folder = in_memory();
    let config = |maxsize| sized(folder.path(), maxsize, Full::DropOldest);
    let mut desk = Desk::at(crate::store::open(config(8 << 20)).unwrap());
    desk.publish_all((0..5_000).map(|_| "com.a".to_owned()), 500);
    let next = desk.next;
    desk.store.close(next).unwrap();
    drop(desk);
    let file = file_bytes(folder.path());
    assert!(file > 2 << 20, "{file}");
    let mut desk = Desk::at(crate::store::open(config(1 << 20)).unwrap());
    desk.publish_all((0..1_000).map(|_| "com.a".to_owned()), 50);
    let there = desk.store.usage().events;
    assert!((200..3_000).contains(&there), "{there}");
    // What LMDB has taken it keeps, and uses again.
    assert!(file_bytes(folder.path()) <= file + (1 << 20));
}
