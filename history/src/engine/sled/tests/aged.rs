//! What is too old leaves the disk, whether anything comes in or not, and is not taken for lost.

use super::*;
use crate::event::Timestamp;

fn aged(path: &Path) -> Arc<dyn EventStore> {
    let aged = Filter {
        max_age: Some(Duration::from_secs(10)),
        ..filter("com.", Prefix)
    };
    open_small(path, &[aged], None, 40_000)
}

/// Whether the bytes are in any file of a folder.
pub(super) fn holds(path: &Path, bytes: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else {
        // A file, or something that has gone meanwhile.
        let content = std::fs::read(path).unwrap_or_default();
        return memchr::memmem::find(&content, bytes).is_some();
    };
    entries.flatten().any(|entry| holds(&entry.path(), bytes))
}

#[test]
fn an_idle_store_gives_back_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(aged(folder.path()));
    desk.publish_all(
        (0..2_000).map(|number| format!("com.grey{}", number % 7)),
        50,
    );
    assert!(desk.store.usage().segments > 3);
    let now = Timestamp::from_nanos(desk.time.nanos() + 11_000_000_000);
    assert_eq!(desk.store.tell_time_every(), Some(Duration::from_secs(1)));
    desk.store.at(now);
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), []);
    wait_until("all is given back", || desk.store.usage().events == 0);
    wait_until("no byte is left", || !holds(folder.path(), b"com.grey"));
    let acknowledged = desk.next;
    drop(desk);
    let store = aged(folder.path());
    assert_eq!(store.opened().lost, []);
    assert!(store.opened().next_sequence >= acknowledged);
    let mut desk = Desk::at(store);
    desk.time = now;
    desk.publish("com.blue");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [1]);
    let mut from = desk.all("com.", Prefix);
    from.sequence.from = Some(Sequence::new(1_000));
    assert!(desk.page(&from, &[]).is_err(), "it was dropped");
    drop(desk);
    assert_eq!(aged(folder.path()).opened().lost, []);
}

#[test]
fn old_segments_go_while_new_events_come() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(aged(folder.path()));
    for second in 0..60_u64 {
        desk.publish_all((0..200).map(|_| "com.a".to_owned()), 100);
        desk.time = Timestamp::from_nanos(desk.time.nanos() + 1_000_000_000);
        desk.store.at(desk.time);
        let shown = desk.ask(&desk.all("com.", Prefix)).len();
        assert_eq!(shown as u64, (second + 1).min(9) * 200);
    }
    wait_until("old segments are dropped", || {
        desk.store.usage().events < 4_000
    });
    let span = desk
        .store
        .span(&desk.scope("com.", Prefix), &anybody(), &[]);
    assert_eq!(span.unwrap().newest.unwrap().sequence, desk.next.previous());
    drop(desk);
    assert_eq!(aged(folder.path()).opened().lost, []);
}
