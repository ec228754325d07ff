//! `maxsize` holds at every moment while far more than that is written, and most of it is used
//! for events. `REWAMP_ROOM_MIB` adds a size in MiB to the ordinary run: 1024 takes minutes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What takes room in a folder: bytes in length or in blocks, whichever is more, by name.
fn sizes(path: &Path) -> Vec<(u64, String)> {
    let disk = Disk::default();
    // A file that goes while it is measured takes no room.
    let names = disk.list(path).unwrap_or_default();
    names
        .into_iter()
        .map(|name| (disk.size(&path.join(&name)), name))
        .collect()
}

fn total(sizes: &[(u64, String)]) -> u64 {
    sizes.iter().map(|(bytes, _)| bytes).sum()
}

/// Looks at a folder all the time until told to stop, and remembers when it was largest.
pub(super) struct Watcher {
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<(u64, String)>>,
}

impl Watcher {
    pub(super) fn of(path: &Path) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (path, ended) = (path.to_owned(), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            let mut peak = Vec::new();
            while !ended.load(Ordering::Acquire) {
                // A file may be seen under its old and its new name: what is real is there twice.
                let seen = [sizes(&path), sizes(&path)];
                let seen = seen.into_iter().min_by_key(|sizes| total(sizes)).unwrap();
                std::thread::park_timeout(Duration::from_micros(200));
                if total(&seen) > total(&peak) {
                    peak = seen;
                }
            }
            peak
        });
        Self { done, thread }
    }

    /// The folder was never larger than this.
    pub(super) fn saw_at_most(self, maxsize: u64) {
        self.done.store(true, Ordering::Release);
        let peak = self.thread.join().unwrap();
        assert!(
            total(&peak) <= maxsize,
            "{} of {maxsize} bytes were used: {peak:?}",
            total(&peak)
        );
    }
}

pub(super) fn payload_of(bytes: usize) -> rewamp_wamp::payload::Payload {
    let text = rewamp_wamp::value::Value::from("p".repeat(bytes));
    let cbor = rewamp_wamp::serializer::Serializer::Cbor;
    rewamp_wamp::payload::Payload::from_values(cbor, Some(&[text]), None).unwrap()
}

fn write_five_times(maxsize: u64, payload: usize, batch: usize, sync: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let config = StoreConfig {
        maxsize,
        sync,
        ..config(&path, &[filter("com.", Prefix)], None)
    };
    let mut desk = Desk::at(crate::store::open(config).unwrap());
    let watcher = Watcher::of(&path);
    let payload = payload_of(payload);
    let bytes = payload.tail().len() as u64;
    let (mut written, mut oldest) = (0, 0);
    while written < 5 * maxsize {
        let events: Vec<Arc<Event>> = (0..batch)
            .map(|number| {
                let event = desk.accept(&format!("com.{}", number % 9));
                Arc::new(Event {
                    payload: payload.clone(),
                    ..event
                })
            })
            .collect();
        desk.store.append(&events).unwrap();
        written += bytes * batch as u64;
        let span = desk
            .store
            .span(&desk.scope("com.", Prefix), &anybody(), &[])
            .unwrap();
        let now_oldest = span.oldest.unwrap().sequence.get();
        let dropped = (now_oldest - oldest.max(1)) * bytes;
        assert!(
            dropped <= maxsize / 4,
            "{dropped} of {maxsize} bytes dropped at once"
        );
        oldest = now_oldest;
    }
    watcher.saw_at_most(maxsize);
    // From here on nothing more is dropped.
    desk.store.close(desk.next).unwrap();
    let found = sequences(&*desk.store, "com.");
    let oldest = found[0];
    assert!(
        found.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "a run without gaps is kept"
    );
    assert_eq!(found.last(), Some(&(desk.next.get() - 1)));
    let kept = found.len() as u64 * bytes;
    assert!(kept >= maxsize / 4, "{kept} of {maxsize} bytes are events");
    assert!(!fs::exists(path.join("blobs")).unwrap());
    // What was dropped stays dropped, and a client that resumes from it is told.
    let mut query = desk.all("com.", Prefix);
    query.sequence.from = Some(Sequence::new(oldest - 1));
    assert!(matches!(
        desk.page(&query, &[]),
        Err(QueryError::NoSuchPublication { .. })
    ));
    query.sequence.from = Some(Sequence::new(oldest));
    assert!(desk.page(&query, &[]).is_ok());
    drop(desk);
}

#[test]
fn a_small_store_stays_within_maxsize_at_every_moment() {
    write_five_times(MIN_SLED_MAXSIZE, 200, 50, true);
    write_five_times(MIN_SLED_MAXSIZE, 50_000, 7, true);
}

#[test]
fn a_store_of_64_mib_stays_within_maxsize_at_every_moment() {
    // Without sync more is under way at any moment, and a disk that others use takes less time.
    write_five_times(64 << 20, 4_000, 120, false);
}

#[test]
fn a_larger_store_stays_within_maxsize_at_every_moment() {
    write_five_times(20 << 20, 2_000, 300, true);
    if let Some(mib) = std::env::var("REWAMP_ROOM_MIB")
        .ok()
        .and_then(|mib| mib.parse::<u64>().ok())
    {
        write_five_times(mib << 20, 1_000, 1_000, true);
    }
}
