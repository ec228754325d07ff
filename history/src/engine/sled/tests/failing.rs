//! The k-th file operation fails, for k = 1, 2, 3 … until the work is done without meeting the
//! fault: whatever was acknowledged is there afterwards, nothing whole is set aside, and where
//! the fault passes, the store recovers by itself. sled's own operations are out of reach.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What a run of the work came to.
struct Run {
    stored: Vec<u64>,
    operations: usize,
}

/// Opens a store, appends over several segments, closes it; operations fail as `fails` says of
/// their number.
fn work(path: &Path, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> Run {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let disk = Disk::failing(move |_, _| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let full = || io::Error::new(io::ErrorKind::StorageFull, "no space left");
        if fails(number) { Err(full()) } else { Ok(()) }
    });
    let mut stored = Vec::new();
    // Full with the first commit, so that every commit begins a segment.
    let sizes = Sizes {
        max: 64 << 20,
        segment: 4_096,
    };
    if let Ok(sled) = Sled::open_on(
        disk,
        sizes,
        path,
        config(path, &[filter("com.", Prefix)], None),
    ) {
        let mut desk = Desk::at(Arc::new(sled));
        desk.store.remember_pattern("com.x", Prefix);
        for _ in 0..4 {
            let event = Arc::new(desk.accept("com.a"));
            if desk.store.append(&[Arc::clone(&event)]).is_ok() {
                stored.push(event.sequence.get());
            }
            let _ = desk
                .store
                .reserve(Sequence::new(desk.next.get() + 3 * RESERVATION));
        }
        let _ = desk.store.close(desk.next);
    }
    Run {
        stored,
        operations: count.load(Ordering::SeqCst),
    }
}

fn check(path: &Path, run: &Run, what: &str) {
    let store = open(path, &[filter("com.", Prefix)], None);
    let found = sequences(&*store, "com.");
    assert!(
        run.stored.iter().all(|stored| found.contains(stored)),
        "{what}: {found:?}"
    );
    assert!(
        found.is_sorted_by(|one, other| one < other),
        "{what}: {found:?}"
    );
    assert!(
        store.opened().set_aside.is_empty(),
        "{what}: {:?}",
        store.opened()
    );
    let last = run.stored.last().copied().unwrap_or(0);
    assert!(store.opened().next_sequence.get() > last, "{what}");
    Desk::at(store).publish("com.a");
    assert!(
        !names(path).iter().any(|name| name.starts_with("bad-")),
        "{what}"
    );
}

#[test]
fn one_operation_that_fails_costs_at_most_the_commit_that_needed_it() {
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let run = work(folder.path(), move |operation| operation == number);
        let what = format!("operation {number} failed");
        // The fault may hit the opening; then nothing was stored.
        assert!(
            run.stored.len() >= 3 || run.stored.is_empty(),
            "{what}: {:?}",
            run.stored
        );
        check(folder.path(), &run, &what);
        if run.operations < number {
            assert_eq!(run.stored.len(), 4);
            break;
        }
    }
}

#[test]
fn a_disk_that_fails_for_good_loses_nothing_that_was_acknowledged() {
    for number in (1..).step_by(3) {
        let folder = tempfile::tempdir().unwrap();
        let run = work(folder.path(), move |operation| operation >= number);
        check(
            folder.path(),
            &run,
            &format!("operations from {number} on failed"),
        );
        if run.operations < number {
            break;
        }
    }
}
