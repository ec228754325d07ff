//! Commits that were cut short. With the power any of their blocks may be missing, the first as well
//! as the last, and the mark may be an old one; whatever is left, the commits before are whole, and
//! nothing comes to light later that a life in between has not shown.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const COM: &str = "com.";

/// A store that cannot seal: what was open stays open, whatever time it is given.
fn open_unsealing(path: &Path) -> Sled {
    let disk = Disk::failing(|what, _| match what {
        "cannot rename" => Err(io::Error::other("nothing is renamed")),
        _ => Ok(()),
    });
    let sizes = Sizes {
        max: 64 << 20,
        segment: 4 << 20,
    };
    let config = config(path, &[filter(COM, Prefix)], None);
    Sled::open_on(disk, sizes, path, config).unwrap()
}

/// Appends one event, then leaves a commit of three blocks of which some reach the disk. Returns
/// the sequence of the whole one.
fn leave(path: &Path, reached: &[usize]) -> u64 {
    let sled = Sled::open(path, config(path, &[filter(COM, Prefix)], None)).unwrap();
    let old_mark = std::fs::read(path.join("mark")).unwrap();
    let shared = Arc::clone(&sled.shared);
    let mut desk = Desk::at(Arc::new(sled));
    let whole = desk.publish("com.a").sequence;
    let active = shared.keeping.lock().active.clone().unwrap();
    let (db, mark) = (active.db().unwrap(), shared.head.origin.block_mark());
    let mut previous = whole;
    for index in 0..3 {
        let event = desk.accept("com.a");
        let mut packer = block::Packer::default();
        packer.push(&EventRef::from(&event));
        let place = block::Place {
            commit_events: 3,
            commit_start: index as u32,
            previous,
        };
        let block = packer.finish(mark, &place);
        if reached.contains(&index) {
            db.put(event.sequence, block, mark, &mut Vec::new())
                .unwrap();
        }
        previous = event.sequence;
    }
    db.flush(&Disk::default(), true).unwrap();
    drop((active, desk, shared));
    std::fs::write(path.join("mark"), old_mark).unwrap();
    whole.get()
}

#[test]
fn whatever_is_left_of_the_last_commit_costs_nothing_but_itself() {
    for reached in [
        &[0_usize] as &[usize],
        &[1],
        &[2],
        &[0, 1],
        &[0, 2],
        &[1, 2],
        &[],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let whole = leave(folder.path(), reached);
        let store = open(folder.path(), &[filter(COM, Prefix)], None);
        assert_eq!(sequences(&*store, COM), [whole], "{reached:?}");
        assert_eq!(store.opened().lost, [], "{reached:?}");
        assert!(store.opened().set_aside.is_empty(), "{reached:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = leave(folder.path(), &[0, 1, 2]);
    let store = open(folder.path(), &[filter(COM, Prefix)], None);
    assert_eq!(
        sequences(&*store, COM),
        [whole, whole + 1, whole + 2, whole + 3],
        "all of it is there"
    );
}

#[test]
fn what_one_life_has_not_shown_does_not_come_back_in_a_later_one() {
    // The remains of a commit lay in a log that was not sealed yet when the next life was killed,
    // too. What that one had acknowledged was taken for an acknowledgement of the remains.
    let folder = tempfile::tempdir().unwrap();
    let whole = leave(folder.path(), &[0, 1]);
    let mut desk = Desk::at(Arc::new(open_unsealing(folder.path())));
    assert_eq!(sequences(&*desk.store, COM), [whole]);
    let later = desk.publish("com.a").sequence.get();
    drop(desk);
    for _ in 0..2 {
        let sled = open_unsealing(folder.path());
        assert_eq!(sequences(&sled, COM), [whole, later]);
        assert_eq!(sled.opened().lost, []);
        assert!(sled.opened().set_aside.is_empty());
    }
    let store = open(folder.path(), &[filter(COM, Prefix)], None);
    assert_eq!(sequences(&*store, COM), [whole, later]);
}

#[test]
fn the_name_of_a_new_folder_is_synced_with_those_above_it() {
    // Events were synced in a folder whose own name was not: power loss took all of it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/history");
    let synced = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let disk = Disk::failing({
        let synced = Arc::clone(&synced);
        move |what, path| {
            if what == "cannot sync" {
                synced.lock().push(path.to_owned());
            }
            Ok(())
        }
    });
    let sizes = Sizes::of(64 << 20);
    drop(
        Sled::open_on(
            disk,
            sizes,
            &path,
            config(&path, &[filter(COM, Prefix)], None),
        )
        .unwrap(),
    );
    for above in ["", "a", "a/b", "a/b/history"] {
        let above = match above {
            "" => folder.path().to_owned(),
            above => folder.path().join(above),
        };
        assert!(synced.lock().contains(&above), "{}", above.display());
    }
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with(|first: char| first.is_ascii_digit())
}

/// Appends an event that is stored, then some of which each commit fails when all of it has been
/// handed to the disk. With `then` another one that is stored. The life ends at once; the sequences
/// of those that are stored.
fn leave_failed(path: &Path, then: bool) -> Vec<u64> {
    let failing = Arc::new(AtomicBool::new(false));
    let disk = Disk::failing({
        let failing = Arc::clone(&failing);
        move |what, path| match what {
            "cannot rename" if is_segment(path) => Err(io::Error::other("nothing is sealed")),
            "cannot sync" if path.ends_with("db") && failing.load(Ordering::SeqCst) => {
                Err(io::Error::other("it may be there or not"))
            }
            _ => Ok(()),
        }
    });
    let sizes = Sizes {
        max: 64 << 20,
        segment: 4 << 20,
    };
    let config = config(path, &[filter(COM, Prefix)], None);
    let sled = Sled::open_on(disk, sizes, path, config).unwrap();
    let mut desk = Desk::at(Arc::new(sled));
    let mut stored = vec![desk.publish("com.a").sequence.get()];
    failing.store(true, Ordering::SeqCst);
    // The next segment is created before it gets its first event, and is synced then.
    let mut failed = 0;
    while failed < 2 {
        let events: Vec<_> = (0..3).map(|_| Arc::new(desk.accept("com.a"))).collect();
        assert!(desk.store.append(&events).is_err());
        failed += 1;
    }
    failing.store(false, Ordering::SeqCst);
    if then {
        let event = Arc::new(desk.accept("com.a"));
        wait_until("it is stored", || {
            desk.store.append(&[Arc::clone(&event)]).is_ok()
        });
        stored.push(event.sequence.get());
    }
    stored
}

#[test]
fn what_was_refused_stays_so_in_the_lives_that_follow() {
    for then in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut stored = leave_failed(folder.path(), then);
        for _ in 0..3 {
            let store = open(folder.path(), &[filter(COM, Prefix)], None);
            assert_eq!(sequences(&*store, COM), stored, "{then}");
            assert_eq!(store.opened().lost, []);
            assert!(store.opened().set_aside.is_empty());
            let mut desk = Desk::at(store);
            stored.push(desk.publish("com.a").sequence.get());
        }
    }
}
