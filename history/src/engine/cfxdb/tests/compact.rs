//! A file that shrinks, with nobody's rows lost and nothing left of what is gone.

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};

use super::*;
use crate::contract::desk::{Desk, anybody, filter};
use crate::engine::cfxdb::compact::{DRAFT, compact};

fn everything() -> [Filter; 1] {
    [filter("", Prefix)]
}

/// So many events, half of them of a topic that is named for what is not to be found any more.
fn filled(path: &Path, events: u64) -> Desk {
    let mut desk = Desk::at(open(path, &everything(), None));
    let topics = (0..events).map(|number| match number % 2 {
        0 => "com.secret.topic".to_owned(),
        _ => format!("com.{}", number % 10),
    });
    desk.publish_all(topics, 100);
    desk
}

fn shown(store: Arc<dyn EventStore>) -> Vec<u64> {
    let filter = store.covering("", Prefix).unwrap();
    let scope = Scope {
        uri: "".into(),
        match_policy: Prefix,
        filter,
    };
    let mut found = Vec::new();
    let read = store.read(&Query::all(scope, anybody()), &[], &mut |event| {
        found.push(event.sequence.get());
        ControlFlow::Continue(())
    });
    read.unwrap();
    found
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path.join("data.mdb")).unwrap().len()
}

/// Whether these bytes are in a file of the folder.
fn holds(path: &Path, text: &[u8]) -> bool {
    std::fs::read_dir(path).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        memchr::memmem::find(&bytes, text).is_some()
    })
}

#[test]
fn what_was_purged_is_in_no_byte_of_a_compacted_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let desk = filled(path, 2_000);
    let scope = desk.scope("com.secret.topic", Exact);
    let all = Purge::All;
    assert_eq!(desk.store.purge(&scope, &anybody(), &all).unwrap(), 1_000);
    let expected = shown(Arc::clone(&desk.store));
    assert_eq!(expected.len(), 1_000);
    assert!(matches!(
        compact(path, &mut |_| ()),
        Err(OpenError::InUse { .. })
    ));
    desk.store.close(desk.next).unwrap();
    drop(desk);
    assert!(holds(path, b"secret"), "free pages keep what was in them");
    let before = length(path);
    let (mut rows, mut total) = (0, 0);
    let compacted = compact(path, &mut |all| (rows, total) = (rows + 1, all)).unwrap();
    assert_eq!(rows, total);
    assert_eq!((compacted.before, compacted.after), (before, length(path)));
    assert!(compacted.after < before / 3 * 2, "{compacted:?}");
    assert!(!holds(path, b"secret"));
    assert!(!path.join(DRAFT).exists());
    let mut desk = Desk::at(open(path, &everything(), None));
    assert!(!desk.store.opened().recovered);
    assert_eq!(shown(Arc::clone(&desk.store)), expected);
    desk.publish("com.new");
    assert_eq!(shown(Arc::clone(&desk.store)).len(), 1_001);
}

#[test]
fn a_compaction_that_is_cut_short_leaves_the_store_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let desk = filled(path, 500);
    let expected = shown(Arc::clone(&desk.store));
    desk.store.close(desk.next).unwrap();
    drop(desk);
    let before = std::fs::read(path.join("data.mdb")).unwrap();
    let cut = std::panic::catch_unwind(|| {
        let mut left = 700;
        compact(path, &mut |_| {
            left -= 1;
            assert!(left > 0, "the end of the process");
        })
    });
    assert!(cut.is_err());
    assert!(path.join(DRAFT).exists());
    assert!(std::fs::read(path.join("data.mdb")).unwrap() == before);
    compact(path, &mut |_| ()).unwrap();
    assert!(!path.join(DRAFT).exists());
    std::fs::create_dir(path.join(DRAFT)).unwrap();
    let store = open(path, &everything(), None);
    assert_eq!(shown(store), expected);
    assert!(!path.join(DRAFT).exists(), "a start removes it as well");
}
