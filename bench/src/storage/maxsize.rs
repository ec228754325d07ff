//! What a store takes on disk: bytes an event, and never more than it may, however much is written.

use super::bare::{Bare, BareStore};
use super::folder::{self, Watch};
use super::plan::{
    self, BESIDE, BYTES, DELAY, LARGE, LARGEST, Part, SIZE, TIMES, TURNS_OF_SIZE, USUAL_BATCH,
};
use super::realm::{Rate, Realm, ms};
use super::router::fresh;
use super::{Bench, Done};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// `maxsize` of the store whose bytes are counted.
const ROOMY: u64 = 1 << 30;
/// What the bare store copies at once is a part of its size: about the events of one of the
/// engine's segments, of which a log takes three times as much as they do.
const SEGMENTS: u64 = 48;
/// Commits that take this much longer than the median are counted.
const LATE: Duration = Duration::from_millis(10);

/// Bytes an event where nothing is dropped.
pub(super) fn measure_bytes(bench: &mut Bench<'_>) -> Done {
    let folder = fresh(&bench.folder.join("disk"))?;
    let store = folder.join("store");
    let mut realm = Realm::open(&store, ROOMY, 1)?;
    for _ in 0..bench.scale.counted / USUAL_BATCH as u64 {
        realm.publish(USUAL_BATCH)?;
    }
    let events = realm.store.usage().events;
    if events != bench.scale.counted {
        return Err(format!("{events} events are there").into());
    }
    let bytes = folder::size(&store)? as f64;
    let row = plan::store_name(events);
    let mut enter = |column: &str, value| bench.book.enter(0, Part::Disk, &row, column, value);
    enter(BYTES, bytes / events as f64);
    enter("MiB", bytes / f64::from(1 << 20));
    drop(realm);
    Ok(fs::remove_dir_all(&folder)?)
}

/// Five times each `maxsize`, while somebody looks.
pub(super) fn measure(bench: &mut Bench<'_>) -> Done {
    for maxsize in bench.scale.maxsizes.clone() {
        let runs = if maxsize < LARGE { bench.scale.runs } else { 1 };
        for run in 0..runs {
            let folder = fresh(&bench.folder.join("maxsize"))?;
            let watch = Watch::default();
            let written = watched(&folder, maxsize, &watch)?;
            enter(bench, run, maxsize, written, &watch);
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

fn watched(folder: &Path, maxsize: u64, watch: &Watch) -> Done<Written> {
    let store = folder.join("store");
    thread::scope(|scope| {
        let watching = scope.spawn(|| watch.run(&store));
        let written = overfill(folder, maxsize, watch);
        watch.end();
        match watching.join() {
            Ok(seen) => seen?,
            Err(_) => return Err("nobody looked at the folder to the end".into()),
        }
        written
    })
}

/// Commits of the engine, of the bare file beside it and of the bare store, and how large the
/// folder was after each multiple.
#[derive(Default)]
struct Written {
    engine: Vec<Duration>,
    bare: Vec<Duration>,
    bare_store: Vec<Duration>,
    sizes: Vec<u64>,
}

fn overfill(folder: &Path, maxsize: u64, watch: &Watch) -> Done<Written> {
    let (store, batch) = (folder.join("store"), plan::maxsize_batch(maxsize));
    let mut realm = Realm::open(&store, maxsize, 1)?;
    let mut bare = Bare::begin(&folder.join("bare"), batch)?;
    let path = folder.join("bare-store");
    let mut bare_store = BareStore::begin(&path, batch, maxsize / SEGMENTS, maxsize)?;
    let commits = maxsize.div_ceil((SIZE * batch) as u64);
    let mut written = Written::default();
    for turn in 1..=TIMES * TURNS_OF_SIZE {
        for _ in 0..commits.div_ceil(TURNS_OF_SIZE) {
            written.engine.push(realm.publish(batch)?);
            written.bare.push(bare.append()?);
        }
        if turn % TURNS_OF_SIZE == 0 {
            written.sizes.push(folder::size(&store)?);
        }
        // It is full by now: how far it shrinks when it drops is what counts.
        if turn == TURNS_OF_SIZE {
            watch.forget_smallest();
        }
        folder::settle(&store)?;
        for _ in 0..commits.div_ceil(TURNS_OF_SIZE) {
            written.bare_store.push(bare_store.append()?);
        }
        bare_store.quiet()?;
    }
    Ok(written)
}

fn enter(bench: &mut Bench<'_>, run: usize, maxsize: u64, written: Written, watch: &Watch) {
    let (row, batch) = (plan::maxsize_row(maxsize), plan::maxsize_batch(maxsize));
    let mut enter = |column: &str, value| bench.book.enter(run, Part::Maxsize, &row, column, value);
    let percent = |bytes: u64| bytes as f64 * 100.0 / maxsize as f64;
    for (time, bytes) in (1..).zip(&written.sizes) {
        enter(&format!("after {time}x, %"), percent(*bytes));
    }
    let (looks, smallest, largest) = watch.seen();
    enter(LARGEST, percent(largest));
    enter("at least, %", percent(smallest));
    enter("looks", looks as f64);
    let names = ["commit", "bare", "bare store"];
    let all = [written.engine, written.bare, written.bare_store];
    let mut worst = Vec::new();
    for (name, commits) in names.into_iter().zip(all) {
        let late = late(&commits);
        let rate = Rate::of(commits, batch);
        enter(&format!("{name}, events/s"), rate.rate);
        enter(&format!("p99 {name}, ms"), ms(rate.p99));
        enter(&format!("worst {name}, ms"), ms(rate.worst));
        enter(&format!("{name} 10 ms over the median"), late);
        worst.push(rate.worst);
    }
    if let [engine, bare, bare_store] = worst[..] {
        enter(BESIDE, ms(engine.saturating_sub(bare)));
        enter(DELAY, ms(engine.saturating_sub(bare_store)));
    }
}

fn late(commits: &[Duration]) -> f64 {
    let mut sorted = commits.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let late = sorted.iter().filter(|commit| **commit > median + LATE);
    late.count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_ten_milliseconds_over_the_median() {
        let commits = [30, 1, 1, 11, 1, 12, 2].map(Duration::from_millis);
        assert_eq!(late(&commits), 1.0);
        let commits = [30, 1, 1, 14, 1, 12, 2].map(Duration::from_millis);
        assert_eq!(late(&commits), 2.0);
        assert_eq!(late(&[]), 0.0);
    }

    #[test]
    fn a_small_store_stays_within_its_size_at_every_look() {
        let folder = tempfile::tempdir().unwrap();
        let (watch, maxsize) = (Watch::default(), 5 << 20);
        let written = watched(folder.path(), maxsize, &watch).unwrap();
        let (looks, smallest, largest) = watch.seen();
        assert!(looks > 0 && smallest > 0 && largest <= maxsize, "{watch:?}");
        assert_eq!(written.sizes.len() as u64, TIMES);
        assert_eq!(written.engine.len(), written.bare.len());
        assert_eq!(written.engine.len(), written.bare_store.len());
    }
}
