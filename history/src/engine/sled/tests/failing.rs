//! The k-th file operation fails, for k = 1, 2, 3 … until the work is done without meeting the
//! fault: whatever was acknowledged is there afterwards, nothing whole is set aside, and where
//! the fault passes, the store recovers by itself and leaves nothing lying about. sled's own
//! operations are out of reach here; `tests/failing_disk.rs` reaches them from below.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What a run of the work came to.
struct Run {
    stored: Vec<u64>,
    operations: usize,
}

/// Events that the filter keeps, so that segments are dropped, too.
const LIMIT: u64 = 3;

fn filters() -> [Filter; 2] {
    let limited = Filter {
        limit: Some(LIMIT),
        ..filter("com.a", Exact)
    };
    [limited, filter("com.b", Exact)]
}

/// Full with the first commit, so that every commit begins a segment.
const SMALL: Sizes = Sizes {
    max: 64 << 20,
    segment: 4_096,
};

/// Opens a store, appends over several segments, closes it; operations fail as `fails` says of
/// their number.
fn work(
    path: &Path,
    kind: io::ErrorKind,
    fails: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> Run {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let disk = Disk::failing(move |_, _| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        match fails(number) {
            true => Err(kind.into()),
            false => Ok(()),
        }
    });
    let mut stored = Vec::new();
    if let Ok(sled) = Sled::open_on(disk, SMALL, path, config(path, &filters(), None)) {
        let mut desk = Desk::at(Arc::new(sled));
        desk.store.remember_pattern("com.x", Prefix);
        for topic in ["com.b", "com.a", "com.b", "com.a"] {
            stored.extend(append(&mut desk, topic));
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

/// The sequence of an event that could be stored.
fn append(desk: &mut Desk, topic: &str) -> Option<u64> {
    let event = Arc::new(desk.accept(topic));
    let appended = desk.store.append(&[Arc::clone(&event)]);
    appended.ok().map(|_| event.sequence.get())
}

/// Whether five hundred events in one transaction could be stored.
fn append_many(desk: &mut Desk) -> bool {
    let events: Vec<_> = (0..500).map(|_| Arc::new(desk.accept("com.a"))).collect();
    desk.store.append(&events).is_ok()
}

fn found(store: &dyn EventStore) -> Vec<u64> {
    let mut found = sequences_of(store, "com.a", Exact);
    found.extend(sequences_of(store, "com.b", Exact));
    found.sort_unstable();
    found
}

fn check(path: &Path, run: &Run, what: &str) {
    let store = open(path, &filters(), None);
    let found = found(&*store);
    assert!(
        run.stored.iter().all(|stored| found.contains(stored)),
        "{what}: {found:?} of {:?}",
        run.stored
    );
    assert!(
        store.opened().set_aside.is_empty(),
        "{what}: {:?}",
        store.opened()
    );
    assert_eq!(store.opened().lost, [], "{what}");
    let last = run.stored.last().copied().unwrap_or(0);
    assert!(store.opened().next_sequence.get() > last, "{what}");
    Desk::at(store).publish("com.a");
    assert!(
        !names(path).iter().any(|name| name.starts_with("bad-")),
        "{what}"
    );
}

const KINDS: [io::ErrorKind; 3] = [
    io::ErrorKind::StorageFull,
    io::ErrorKind::Other,
    io::ErrorKind::ReadOnlyFilesystem,
];

#[test]
fn one_operation_that_fails_costs_at_most_the_commit_that_needed_it() {
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let kind = KINDS[number % KINDS.len()];
        let run = work(folder.path(), kind, move |operation| operation == number);
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
        let kind = KINDS[number % KINDS.len()];
        let run = work(folder.path(), kind, move |operation| operation >= number);
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

/// A disk that fails from some operation on, until it is mended.
#[derive(Default)]
struct Mendable {
    operations: AtomicUsize,
    from: AtomicUsize,
}

impl Mendable {
    fn disk(self: &Arc<Self>, kind: io::ErrorKind) -> Disk {
        let me = Arc::clone(self);
        Disk::failing(move |_, _| {
            let number = me.operations.fetch_add(1, Ordering::SeqCst) + 1;
            match number >= me.from.load(Ordering::SeqCst) {
                true => Err(kind.into()),
                false => Ok(()),
            }
        })
    }

    fn fail_after(&self, operations: usize) {
        let now = self.operations.load(Ordering::SeqCst);
        self.from.store(now + operations, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.from.store(usize::MAX, Ordering::SeqCst);
    }
}

#[test]
fn a_store_recovers_by_itself_when_its_disk_does_and_leaves_nothing_lying_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (disk, mut stored) = (Arc::new(Mendable::default()), Vec::new());
    disk.mend();
    let kind = io::ErrorKind::StorageFull;
    let sled = Sled::open_on(disk.disk(kind), SMALL, path, config(path, &filters(), None));
    let sled = sled.unwrap();
    let shared = Arc::clone(&sled.shared);
    let mut desk = Desk::at(Arc::new(sled));
    stored.extend(append(&mut desk, "com.b"));
    for after in (1..40).chain((40..70).step_by(3)) {
        wait_until("earlier segments are sealed", || shared.unsealed() <= 2);
        disk.fail_after(after);
        let mut failures = 0;
        for turn in 0..60 {
            match append(&mut desk, ["com.a", "com.b"][turn % 2]) {
                Some(sequence) => stored.push(sequence),
                None => failures += 1,
            }
            // Nobody knows what is wrong any better after the fifth time.
            if failures == 5 {
                break;
            }
        }
        // While it works it takes what comes; then it stops before they are many.
        let unsealed = shared.unsealed();
        assert!(unsealed <= after + 6, "{unsealed} unsealed");
        disk.mend();
        wait_until("the store takes events again", || {
            desk.store.append(&[]).is_ok()
        });
        stored.extend(append(&mut desk, "com.b"));
        assert_eq!(
            stored.last().copied(),
            Some(desk.next.get() - 1),
            "after {after}"
        );
    }
    wait_until("everything is tidy", || {
        shared.unsealed() <= 1 && !names(path).iter().any(|name| name.ends_with("tmp"))
    });
    wait_until("nothing is left that should have gone", || {
        let names = names(path);

        let active = names.iter().filter(|name| name.ends_with(".active"));
        active.count() <= 2
            && names
                .iter()
                .filter(|name| name.ends_with(".sealed"))
                .count()
                == shared.segments().len() - shared.unsealed()
            && !names.iter().any(|name| name.ends_with(".trash"))
    });
    let bad: Vec<_> = names(path)
        .into_iter()
        .filter(|name| name.starts_with("bad-"))
        .collect();
    assert_eq!(bad, Vec::<String>::new());
    let limited = sequences_of(&*desk.store, "com.a", Exact);
    assert_eq!(limited.len() as u64, LIMIT);
    let all = found(&*desk.store);
    let b: Vec<u64> = sequences_of(&*desk.store, "com.b", Exact);
    assert!(b.iter().all(|sequence| stored.contains(sequence)));
    assert!(all.iter().all(|sequence| stored.contains(sequence)));
    drop((desk, shared));
    let store = open(path, &filters(), None);
    assert_eq!(found(&*store), all);
    assert_eq!(store.opened().lost, []);
}

#[test]
fn while_nothing_can_be_removed_nothing_more_is_dropped() {
    // Each attempt to make room dropped another segment, of which the file stayed.
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let stuck = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let disk = Disk::failing({
        let stuck = Arc::clone(&stuck);
        move |what, path| match what {
            "cannot remove"
                if stuck.load(Ordering::SeqCst)
                    && path.extension().is_some_and(|kind| kind == "sealed") =>
            {
                Err(io::Error::other("it stays"))
            }
            _ => Ok(()),
        }
    });
    let sizes = Sizes {
        max: 12 << 20,
        segment: 512 << 10,
    };
    let config = StoreConfig {
        maxsize: 12 << 20,
        ..config(folder.path(), &filters, None)
    };
    let sled = Sled::open_on(disk, sizes, folder.path(), config).unwrap();
    let mut desk = Desk::at(Arc::new(sled));
    wait_until("the store is full", || !append_many(&mut desk));
    let oldest = sequences(&*desk.store, "com.")[0];
    for _ in 0..50 {
        append_many(&mut desk);
    }
    // One at most had been let go when it turned out to stay.
    let segment = 12_000;
    assert!(sequences(&*desk.store, "com.")[0] <= oldest + segment);
    stuck.store(false, Ordering::SeqCst);
    wait_until("there is room again", || {
        append(&mut desk, "com.a").is_some()
    });
}
