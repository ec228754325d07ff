//! Commits straight into the cfxdb engine, beside a bare LMDB writer of the same rows, in turns; and
//! bytes on disk.

use super::folder;
use super::plan::{self, ALONE, BATCHES, BYTES, OF_LMDB, Part, USUAL_BATCH};
use super::realm::{Rate, Realm, ms, store_config};
use super::router::fresh;
use super::{Bench, Done};
use crate::compare::STORE_BYTES;
use rewamp_history::{BareCfxdb, Engine, Rows, StoreConfig};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Most events of a turn: the bare writer has its rows from another store, which takes time.
const PER_TURN: usize = 20_000;

/// All batches, round by round, and then the bytes.
pub(super) fn measure(bench: &mut Bench<'_>) -> Done {
    for run in 0..bench.scale.runs {
        for batch in BATCHES {
            measure_batch(bench, run, batch)?;
        }
    }
    measure_bytes(bench)
}

fn config(path: &Path) -> StoreConfig {
    let engine = Engine::Cfxdb {
        path: path.to_owned(),
        readonly: false,
        mode: 0o640,
    };
    store_config(engine, STORE_BYTES, 1)
}

/// A bare writer, and the realm that makes its events.
struct Lmdb {
    writer: BareCfxdb,
    realm: Realm,
    taken: Vec<Duration>,
}

impl Lmdb {
    fn begin(folder: &Path, which: Rows) -> Done<Self> {
        let [file, scratch, events] = ["file", "scratch", "events"].map(|name| folder.join(name));
        fs::create_dir_all(&file)?;
        Ok(Self {
            writer: BareCfxdb::begin(&file, &scratch, &config(&scratch), which)?,
            realm: Realm::open_with(config(&events))?,
            taken: Vec::new(),
        })
    }

    fn commit(&mut self, batch: usize) -> Done<Duration> {
        self.writer.prepare(self.realm.next(batch)?)?;
        let begin = Instant::now();
        self.writer.commit()?;
        Ok(begin.elapsed())
    }
}

fn measure_batch(bench: &mut Bench<'_>, run: usize, batch: usize) -> Done {
    let folder = fresh(&bench.folder.join("cfxdb"))?;
    let mut realm = Realm::open_with(config(&folder.join("engine")))?;
    let mut taken = Vec::new();
    let mut bare = [("same", Rows::All), ("alone", Rows::OfCfxdb)]
        .into_iter()
        .map(|(name, which)| Lmdb::begin(&folder.join(name), which))
        .collect::<Done<Vec<_>>>()?;
    // As many commits of each in a turn, since a tree grows slower as it grows.
    let least = bench.scale.turn;
    for _ in 0..bench.scale.turns {
        let before = taken.len();
        let most = (PER_TURN / batch).max(1);
        let begin = Instant::now();
        while taken.len() == before || (begin.elapsed() < least && taken.len() - before < most) {
            taken.push(realm.publish(batch)?);
        }
        let count = taken.len() - before;
        for lmdb in &mut bare {
            for _ in 0..count {
                let took = lmdb.commit(batch)?;
                lmdb.taken.push(took);
            }
        }
    }
    let engine = Rate::of(taken, batch);
    let rates = bare
        .into_iter()
        .map(|lmdb| Rate::of(lmdb.taken, batch))
        .collect::<Vec<_>>();
    let row = plan::commit_row(batch, 1);
    let mut enter = |column: &str, value| bench.book.enter(run, Part::Cfxdb, &row, column, value);
    enter("engine, events/s", engine.rate);
    if let [same, alone] = rates.as_slice() {
        enter("bare LMDB, events/s", same.rate);
        enter(OF_LMDB, engine.rate / same.rate);
        enter("rows of cfxdb alone, events/s", alone.rate);
        enter(ALONE, engine.rate / alone.rate);
        enter("p99 commit, ms", ms(engine.p99));
        enter("p99 bare, ms", ms(same.p99));
    }
    Ok(fs::remove_dir_all(&folder)?)
}

/// Bytes an event where nothing is dropped.
fn measure_bytes(bench: &mut Bench<'_>) -> Done {
    let folder = fresh(&bench.folder.join("cfxdb"))?;
    let store = folder.join("store");
    let mut realm = Realm::open_with(config(&store))?;
    for _ in 0..bench.scale.cfxdb / USUAL_BATCH as u64 {
        realm.publish(USUAL_BATCH)?;
    }
    let events = realm.store.usage().events;
    if events != bench.scale.cfxdb {
        return Err(format!("{events} events are there").into());
    }
    let bytes = folder::size(&store)? as f64;
    let row = plan::store_name(events);
    let mut enter = |column: &str, value| bench.book.enter(0, Part::Cfxdb, &row, column, value);
    enter(BYTES, bytes / events as f64);
    drop(realm);
    Ok(fs::remove_dir_all(&folder)?)
}
