//! Stores that are closed and opened again while they are asked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::event::Timestamp;
use crate::open_stores::{OpenStores, StoreNews};

const HOUR: Duration = Duration::from_secs(3_600);

fn stores(most: usize) -> Arc<OpenStores> {
    OpenStores::new(most, HOUR, |_, _| {})
}

/// Runs `work` while the stores of `stores` are closed again and again, at moments that have
/// nothing to do with it.
fn restless(stores: &OpenStores, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for pause in (0..).map(|number: u64| number * 7 % 23) {
                if over.load(Ordering::Acquire) {
                    return;
                }
                stores.rest_now();
                std::thread::park_timeout(Duration::from_millis(pause));
            }
        });
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        let _over = Over(&over);
        work();
    });
}

#[test]
fn a_store_keeps_the_contract_however_often_it_rests() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    for most in [1, 1_000] {
        let stores = stores(most);
        restless(&stores, || {
            contract::run(&|filters, limit| stores.open(config(&next(), filters, limit)).unwrap());
        });
    }
}

#[test]
fn a_store_keeps_the_contract_over_several_lives_however_often_it_rests() {
    let stores = stores(1_000);
    restless(&stores, || {
        contract::outlives(&|path, filters, limit| {
            stores.open(config(path, filters, limit)).unwrap()
        });
    });
}

/// Of another store, so that the ones that follow find no room.
fn full(folder: &Path) -> (Arc<OpenStores>, Arc<dyn EventStore>) {
    let stores = stores(1);
    let first = stores.open(config(folder, &[], None)).unwrap();
    (stores, first)
}

fn descriptors_below(folder: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.starts_with(folder))
        .count()
}

#[test]
fn a_store_at_rest_holds_no_descriptor_and_stays_locked() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stores = stores(1);
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(stores.open(config(folder.path(), &filters, None)).unwrap());
    desk.publish("com.a");
    assert!(descriptors_below(folder.path()) > 0);
    // There is room for one: the other one's first event closes this one.
    let mut second = Desk::at(stores.open(config(other.path(), &filters, None)).unwrap());
    assert_eq!(descriptors_below(other.path()), 0);
    second.publish("com.a");
    assert_eq!(descriptors_below(folder.path()), 0);
    assert!(
        names(folder.path())
            .iter()
            .all(|name| !name.contains(".active")),
        "{:?}",
        names(folder.path())
    );
    let again = crate::store::open(config(folder.path(), &filters, None));
    assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [1]);
    assert_eq!(descriptors_below(other.path()), 0);
}

#[test]
fn a_start_with_many_stores_opens_none_that_was_at_rest() {
    let (folder, occupied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let filters = [limited("com.", Prefix, 3), filter("", Prefix)];
    for clean in [true, false] {
        let (stores, _first) = full(occupied.path());
        let mut desk = Desk::at(stores.open(config(folder.path(), &filters, None)).unwrap());
        let id = desk.store.subscription_id("com..x", Wildcard);
        desk.publish_all((0..5).map(|_| "com.a.x".to_owned()), 2);
        stores.rest_now();
        // Subscribed while it rests, and durable with the end.
        desk.store.remember_pattern("com..x", Wildcard);
        let usage = desk.store.usage();
        let seen = desk.accept("com.a").sequence;
        if clean {
            desk.store.close(desk.next).unwrap();
        }
        let next = desk.next;
        drop((desk, stores, _first));

        let (stores, _first) = full(occupied.path());
        let before = written(folder.path());
        let store = stores.open(config(folder.path(), &filters, None)).unwrap();
        assert_eq!(descriptors_below(folder.path()), 0);
        let opened = store.opened();
        assert_eq!(opened.recovered, !clean);
        assert!(opened.next_sequence > seen, "{opened:?}");
        assert!(!clean || opened.next_sequence == next, "{opened:?}");
        assert_eq!(opened.reserved, opened.next_sequence);
        assert_eq!(store.usage(), usage);
        assert_eq!(opened.events, usage.events);
        assert_eq!(written(folder.path()), before, "a look changes nothing");
        if clean {
            assert_eq!(store.find_remembered(id), None);
            assert_eq!(
                store.find_subscription(id),
                Some(("com..x".into(), Wildcard))
            );
        }
        assert_eq!(sequences(&*store, "").len() as u64, usage.events);
        stores.rest_now();
        assert_eq!(written(folder.path()), before, "nor does reading");
    }
}

/// What is in the files of a folder, by name.
fn written(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        (name, bytes)
    };
    let kept = |name: &String| name != "patterns";
    names(folder).into_iter().filter(kept).map(read).collect()
}

#[test]
fn sequences_seen_before_a_crash_are_not_given_out_again_by_a_store_that_never_woke() {
    let (folder, occupied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut seen = Sequence::ZERO;
    for _ in 0..4 {
        let (stores, _first) = full(occupied.path());
        let store = stores
            .open(config(folder.path(), &[filter("com.", Prefix)], None))
            .unwrap();
        let mut desk = Desk::at(store);
        assert!(desk.next > seen);
        // Live subscribers have seen it; the process dies before it is stored.
        seen = desk.accept("com.a").sequence;
        assert_eq!(descriptors_below(folder.path()), 0);
    }
}

#[test]
fn idle_stores_are_closed_and_busy_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    let stores = OpenStores::new(10, Duration::from_millis(100), |_, _| {});
    let filters = [filter("com.", Prefix)];
    let (busy, quiet) = (next(), next());
    let mut desk = Desk::at(stores.open(config(&busy, &filters, None)).unwrap());
    desk.publish("com.a");
    let query = desk.all("com.", Prefix);
    let read = desk.store.read(&query, &[], &mut |_| {
        // However long it takes, this one is being used.
        let other = stores.open(config(&quiet, &filters, None)).unwrap();
        wait_until("the quiet one is closed", || descriptors_below(&quiet) == 0);
        assert!(descriptors_below(&busy) > 0);
        assert_eq!(sequences(&*other, "com."), [0; 0]);
        ControlFlow::Continue(())
    });
    read.unwrap();
    wait_until("the other one too, in the end", || {
        descriptors_below(&busy) == 0
    });
    assert_eq!(sequences(&*desk.store, "com."), [1]);
}

#[test]
fn a_store_in_use_is_never_closed_and_the_budget_is_exceeded_rather() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    let over = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&over);
    let stores = OpenStores::new(1, HOUR, move |news, _| {
        if news == StoreNews::OverBudget {
            told.fetch_add(1, Ordering::SeqCst);
        }
    });
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(stores.open(config(&next(), &filters, None)).unwrap());
    let other = stores.open(config(&next(), &filters, None)).unwrap();
    desk.publish_all((0..3).map(|_| "com.a".to_owned()), 1);
    let mut found = Vec::new();
    let query = desk.all("com.", Prefix);
    let read = desk.store.read(&query, &[], &mut |event| {
        assert_eq!(sequences(&*other, "com."), [0; 0]);
        found.push(event.sequence.get());
        ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(over.load(Ordering::SeqCst), 1);
}

/// `REWAMP_REST_CYCLES` sets how often (100 in the ordinary run).
#[test]
fn many_closings_leave_few_files_and_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(1);
    let cycles = std::env::var("REWAMP_REST_CYCLES")
        .ok()
        .and_then(|cycles| cycles.parse().ok())
        .unwrap_or(100);
    let began = Instant::now();
    let config = StoreConfig {
        sync: false,
        ..config(folder.path(), &[filter("com.", Prefix)], None)
    };
    let mut desk = Desk::at(stores.open(config).unwrap());
    let mut most = 0;
    for _ in 0..cycles {
        desk.publish("com.a");
        stores.rest_now();
        most = most.max(names(folder.path()).len());
    }
    assert_eq!(sequences(&*desk.store, "com.").len(), cycles);
    assert!(
        most <= 12,
        "{most} files at once: {:?}",
        names(folder.path())
    );
    let usage = desk.store.usage();
    println!(
        "{cycles} times opened, written and closed: {:?} each, {most} files at most, {usage:?}",
        began.elapsed() / cycles as u32
    );
    assert!(usage.bytes < 2 << 20, "{usage:?}");
}

#[test]
fn a_store_that_was_replaced_while_it_rested_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(1);
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(stores.open(config(folder.path(), &filters, None)).unwrap());
    desk.publish("com.a");
    stores.rest_now();
    for name in names(folder.path()) {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let event = Arc::new(desk.accept("com.a"));
    let refused = desk.store.append(&[event]).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("was replaced while it was in use"), "{text}");
    assert!(desk.time > Timestamp::from_nanos(0));
}

#[test]
fn a_store_that_cannot_be_opened_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(1);
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(stores.open(config(folder.path(), &filters, None)).unwrap());
    desk.publish("com.a");
    stores.rest_now();
    let catalog = folder.path().join("store");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&catalog, &elsewhere).unwrap();
    // A folder cannot be read as a file.
    std::fs::create_dir(&catalog).unwrap();
    let event = Arc::new(desk.accept("com.a"));
    assert!(desk.store.append(&[Arc::clone(&event)]).is_err());
    std::fs::remove_dir(&catalog).unwrap();
    std::fs::rename(&elsewhere, &catalog).unwrap();
    wait_until("it is opened again", || {
        desk.store.append(&[Arc::clone(&event)]).is_ok()
    });
    assert_eq!(sequences(&*desk.store, "com.").len(), 2);
}

#[test]
fn what_becomes_too_old_leaves_the_disk_of_a_store_at_rest() {
    let (folder, occupied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let short = Filter {
        max_age: Some(Duration::from_secs(60)),
        ..filter("com.", Prefix)
    };
    let open = |stores: &Arc<OpenStores>| {
        let config = config(folder.path(), std::slice::from_ref(&short), None);
        stores.open(config).unwrap()
    };
    let (stores, _first) = full(occupied.path());
    let mut desk = Desk::at(open(&stores));
    assert!(desk.store.tell_time_every().is_some());
    desk.publish("com.a");
    let after = |seconds: u64| Timestamp::from_nanos(desk.time.nanos() + seconds * 1_000_000_000);
    stores.rest_now();
    desk.store.at(after(59));
    assert_eq!(
        descriptors_below(folder.path()),
        0,
        "there is nothing to do"
    );
    desk.store.close(desk.next).unwrap();
    let (too_old, time) = (after(61), desk.time);
    drop((desk, stores, _first));

    // The next life has only looked at it.
    let (stores, _first) = full(occupied.path());
    let store = open(&stores);
    store.at(time);
    assert_eq!(descriptors_below(folder.path()), 0);
    assert_eq!(store.usage().events, 1);
    store.at(too_old);
    wait_until("its file is gone", || store.usage().events == 0);
}
