//! Purged bytes leave the disk, whatever else goes on and wherever it is cut off.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::aged::holds;
use super::*;
use crate::query::Purge;

fn purge(store: &dyn EventStore, uri: &str, what: &Purge) -> Result<u64, QueryError> {
    let scope = Scope {
        uri: uri.into(),
        match_policy: Prefix,
        filter: store.covering(uri, Prefix).unwrap(),
    };
    store.purge(&scope, &anybody(), what)
}

#[test]
fn purged_bytes_are_in_no_file_when_the_call_returns() {
    for segment in [40_000, 4 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let filters = [filter("com.", Prefix), filter("", Prefix)];
        let mut desk = Desk::at(open_small(folder.path(), &filters, None, segment));
        let topics = |number: usize| ["com.grey", "com.blue", "net.grey"][number % 3].to_owned();
        desk.publish_all((0..3_000).map(topics), 40);
        assert!(holds(folder.path(), b"com.grey"));
        let gone = purge(&*desk.store, "com.", &Purge::Topic("com.grey".into()));
        assert_eq!(gone.unwrap(), 1_000);
        assert!(!holds(folder.path(), b"com.grey"));
        assert_eq!(sequences(&*desk.store, "").len(), 2_000);
        let opened = |desk: Desk| {
            drop(desk);
            Desk::at(open_small(folder.path(), &filters, None, segment))
        };
        let desk = opened(desk);
        assert_eq!(desk.store.opened().lost, []);
        assert_eq!(sequences(&*desk.store, "").len(), 2_000);
        assert_eq!(purge(&*desk.store, "", &Purge::All).unwrap(), 2_000);
        for text in [&b"com.blue"[..], b"net.grey"] {
            assert!(!holds(folder.path(), text));
        }
        let desk = opened(desk);
        assert_eq!(
            (desk.store.opened().lost.len(), desk.store.opened().events),
            (0, 0)
        );
    }
}

#[test]
fn purges_and_commits_do_not_lose_each_others_work() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("", Prefix)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 100_000));
    let store = Arc::clone(&desk.store);
    let done = std::sync::atomic::AtomicBool::new(false);
    let purged = std::thread::scope(|scope| {
        let purger = scope.spawn(|| {
            let mut purged = 0;
            while !done.load(Ordering::Acquire) {
                purged += purge(&*store, "", &Purge::Topic("com.grey".into())).unwrap();
            }
            purged
        });
        for _ in 0..100 {
            let topics = (0..60).map(|number| ["com.grey", "com.blue"][number % 2].to_owned());
            desk.publish_all(topics, 20);
        }
        done.store(true, Ordering::Release);
        purger.join().unwrap()
    });
    let left = purge(&*store, "", &Purge::Topic("com.grey".into())).unwrap();
    assert_eq!(purged + left, 3_000);
    assert_eq!(sequences(&*store, "").len(), 3_000);
    assert!(!holds(folder.path(), b"com.grey"));
    drop((store, desk));
    let store = open(folder.path(), &filters, None);
    assert_eq!(store.opened().lost, []);
    assert_eq!(sequences(&*store, "").len(), 3_000);
}

#[test]
fn a_purge_of_which_an_operation_fails_is_done_or_can_be_asked_for_again() {
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let filters = [filter("com.", Prefix)];
        let path = folder.path();
        let mut desk = Desk::at(open_small(path, &filters, None, 20_000));
        let topics = |number: usize| ["com.grey", "com.blue"][number % 2].to_owned();
        desk.publish_all((0..400).map(topics), 40);
        desk.store.close(desk.next).unwrap();
        drop(desk);
        let armed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&armed);
        let disk = Disk::failing(move |_, _| {
            let before = count.load(Ordering::SeqCst);
            if before == 0 {
                return Ok(());
            }
            count.fetch_add(1, Ordering::SeqCst);
            match before == number {
                true => Err(std::io::Error::other("it fails once")),
                false => Ok(()),
            }
        });
        let sizes = Sizes {
            max: 64 << 20,
            segment: 20_000,
        };
        let sled = Sled::open_on(disk, sizes, path, config(path, &filters, None)).unwrap();
        let shared = Arc::clone(&sled.shared);
        wait_until("all is sealed", || {
            let segments = shared.segments();
            segments.iter().all(|segment| segment.sealed().is_some())
                && shared.keeping.lock().next.is_some()
        });
        armed.store(1, Ordering::SeqCst);
        let purged = purge(&sled, "com.", &Purge::Topic("com.grey".into()));
        let operations = armed.swap(0, Ordering::SeqCst);
        drop((sled, shared));
        let store = open(path, &filters, None);
        assert_eq!(store.opened().lost, [], "operation {number}");
        let left = sequences(&*store, "com.").len();
        match purged {
            Ok(purged) => assert_eq!((purged, left), (200, 200), "operation {number}"),
            Err(error) => {
                assert!((200..=400).contains(&left), "operation {number}: {error}");
                purge(&*store, "com.", &Purge::Topic("com.grey".into())).unwrap();
            }
        }
        assert_eq!(sequences(&*store, "com.").len(), 200);
        assert!(!holds(path, b"com.grey"), "operation {number}");
        assert!(!names(path).iter().any(|name| name.starts_with("bad-")));
        if operations <= number {
            break;
        }
    }
}
