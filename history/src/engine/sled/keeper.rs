//! The keeper: one thread a store that does what a commit should not wait for. It prepares the
//! next segment, seals those that are full, drops the oldest to stay within `maxsize` and those
//! that nobody keeps (`retain.rs`), and gives the space back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::active::Db;
use super::index::{Growing, Index as _};
use super::scan::scan;
use super::seal::{SealError, bad_path, seal};
use super::segment::{Blocks, Body, Fault, Hole, Segment, store_error};
use super::shared::Shared;
use crate::error::StoreError;
use crate::event::{EventRef, Sequence};
use crate::filter::FilterTable;
use crate::store::Full;

/// How long events may be without a sync where `sync` is off.
const UNSYNCED: Duration = Duration::from_secs(1);

/// How soon it is asked again whether a segment that was dropped is read by nobody any more.
const RELEASED: Duration = Duration::from_millis(100);

/// More than a database without events takes.
const EMPTY_SEGMENT: u64 = 64 << 10;

/// A sealed file of up to this is always sealed anew with what comes after it, in bytes.
const SMALL: u64 = 64 << 10;

/// The folder of a growing segment.
pub(super) fn active_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:010}.active"))
}

/// The keeper's own state.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    next_generation: u64,
    /// Databases that were sealed or dropped, to be removed when no reader looks at them any more.
    pub(super) retired: Vec<Arc<Segment>>,
    /// Since when there have been events that no sync has reached.
    unsynced_since: Option<Instant>,
    /// The last work could not be done.
    failing: bool,
}

impl Keeper {
    /// Starts the thread. Generations below `next_generation` are taken.
    pub(super) fn start(
        shared: Arc<Shared>,
        next_generation: u64,
    ) -> std::io::Result<JoinHandle<()>> {
        let mut keeper = Self {
            shared,
            next_generation,
            retired: Vec::new(),
            unsynced_since: None,
            failing: false,
        };
        let name = format!("history {}", keeper.shared.head.origin.realm);
        std::thread::Builder::new()
            .name(name)
            .spawn(move || keeper.run())
    }

    fn run(&mut self) {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut keeping = shared.keeping.lock();
            while !keeping.work && !keeping.closing {
                if !self.retired.is_empty() {
                    // Somebody still reads there.
                    let _ = shared.changed.wait_for(&mut keeping, RELEASED);
                    keeping.work = true;
                    break;
                }
                match self.unsynced_since.filter(|_| keeping.unsynced) {
                    None if keeping.unsynced => self.unsynced_since = Some(Instant::now()),
                    None => shared.changed.wait(&mut keeping),
                    Some(since) if since.elapsed() < UNSYNCED => {
                        let _ = shared.changed.wait_until(&mut keeping, since + UNSYNCED);
                    }
                    Some(_) => break,
                }
            }
            if keeping.closing {
                let settle = std::mem::take(&mut keeping.settle);
                drop(keeping);
                if settle {
                    let settled = self.guarded(Self::settle);
                    self.note(settled);
                }
                return;
            }
            let work = std::mem::take(&mut keeping.work);
            let overdue = self
                .unsynced_since
                .is_some_and(|since| since.elapsed() >= UNSYNCED);
            if overdue {
                keeping.unsynced = false;
                self.unsynced_since = None;
            }
            drop(keeping);
            if overdue {
                self.sync();
            }
            if work {
                let worked = self.guarded(Self::work);
                self.note(worked);
            }
            shared.changed.notify_all();
        }
    }

    /// Syncs what grows and what has grown and is not sealed yet, oldest first.
    fn sync(&self) {
        let segments = self.shared.segments();
        for db in segments.iter().filter_map(|segment| segment.db()) {
            if let Err(error) = db.flush(&self.shared.disk, true) {
                log::error!(
                    realm = self.shared.head.origin.realm.as_str();
                    "events may be lost with a power failure: {error}"
                );
            }
        }
    }

    /// Failing is a state: logged when it begins and when it ends.
    fn note(&mut self, worked: Result<(), StoreError>) {
        let realm = self.shared.head.origin.realm.as_str();
        match worked {
            // What was dropped is still being read, and gives its space back afterwards.
            Err(_) if self.shared.full == Full::Refuse && !self.retired.is_empty() => {}
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::error!(realm; "the history cannot be kept up: {error}");
                }
                self.shared.keeping.lock().failed = Some(error);
            }
            Ok(()) if std::mem::take(&mut self.failing) => {
                log::info!(realm; "the history is kept up again");
            }
            Ok(()) => {}
        }
    }

    /// A panic in here must not leave the writer waiting for ever.
    fn guarded(&mut self, work: fn(&mut Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let worked = catch_unwind(AssertUnwindSafe(|| work(self)));
        if worked.is_err() {
            self.end_order();
        }
        worked.unwrap_or_else(|_| {
            Err(StoreError::Engine {
                what: "cannot keep up",
                path: self.shared.folder.clone(),
                reason: "the keeper panicked".to_owned(),
            })
        })
    }

    /// Everything there is to do now.
    fn work(&mut self) -> Result<(), StoreError> {
        self.obey();
        self.expire()?;
        self.make_room()?;
        self.prepare()?;
        let sealed = self.seal_oldest();
        self.drop_dead()?;
        self.remove_retired()?;
        let shared = &self.shared;
        shared.count_room(&shared.keeping.lock());
        self.give_room()?;
        sealed
    }

    /// Seals all that is not sealed, for a store that goes to rest: nothing grows any more.
    fn settle(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut keeping = shared.keeping.lock();
        self.retired.extend(keeping.next.take());
        keeping.active = None;
        drop(keeping);
        shared.measure();
        while shared
            .segments()
            .iter()
            .any(|segment| segment.sealed().is_none())
        {
            self.seal_oldest()?;
        }
        self.drop_dead()?;
        self.remove_retired()?;
        shared.measure();
        Ok(())
    }

    /// Drops the oldest sealed segments until there is headroom for what grows.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let sizes = self.shared.sizes;
        self.shared.measure();
        loop {
            let segments = self.shared.segments();
            let sealed: u64 = segments
                .iter()
                .filter_map(|s| s.sealed())
                .map(|s| s.size())
                .sum();
            if sealed + sizes.headroom() <= sizes.max || !self.drop_oldest()? {
                return Ok(());
            }
        }
    }

    /// Drops the oldest sealed segments until there is what the writer waits for.
    fn give_room(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.measure();
            let keeping = shared.keeping.lock();
            if keeping.wanted == 0 || shared.used(&keeping) + keeping.wanted <= shared.sizes.max {
                return Ok(());
            }
            drop(keeping);
            if !self.drop_oldest()? {
                return Err(self.no_room());
            }
        }
    }

    /// Sets bytes aside that are about to be written here, and drops the oldest sealed segments
    /// for them if it must be.
    pub(super) fn set_aside(&mut self, bytes: u64) -> Result<(), StoreError> {
        while !self.shared.set_aside(bytes) {
            if !self.drop_oldest()? {
                return Err(self.no_room());
            }
        }
        Ok(())
    }

    fn no_room(&self) -> StoreError {
        StoreError::Engine {
            what: "cannot make room",
            path: self.shared.folder.clone(),
            reason: format!(
                "maxsize {} is used up by other files",
                self.shared.sizes.max
            ),
        }
    }

    /// Prepares the next segment if it is wanted and not there.
    fn prepare(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let keeping = shared.keeping.lock();
        if keeping.next.is_some() || !keeping.wants_next {
            return Ok(());
        }
        drop(keeping);
        self.set_aside(EMPTY_SEGMENT)?;
        let generation = self.next_generation;
        let path = active_path(&shared.folder, generation);
        let db = match Db::create(&shared.disk, &path, &shared.head, shared.sizes.cache()) {
            Ok(db) => db,
            Err(error) => {
                // An empty database is worth nothing; what is left of it goes with the next start.
                let _ = shared.disk.remove(&path);
                return Err(error);
            }
        };
        self.next_generation += 1;
        let segment = Segment {
            generation,
            path,
            head: shared.head.clone(),
            body: Body::Open {
                index: Box::new(RwLock::new(Growing::after(Sequence::ZERO))),
                blocks: Blocks::Db(db),
            },
            mark: shared.head.origin.block_mark(),
            damaged: false,
        };
        self.shared.measure();
        let mut keeping = shared.keeping.lock();
        keeping.next = Some(Arc::new(segment));
        keeping.wants_next = false;
        drop(keeping);
        shared.changed.notify_all();
        Ok(())
    }

    /// Seals the oldest segment that no longer grows, with those before it that are small.
    fn seal_oldest(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let active = shared.keeping.lock().active.clone();
        let grows =
            |segment: &Arc<Segment>| active.as_ref().is_some_and(|a| Arc::ptr_eq(a, segment));
        let segments = shared.segments();
        let full = |segment: &&Arc<Segment>| segment.sealed().is_none() && !grows(segment);
        let Some(at) = segments.iter().position(|segment| full(&segment)) else {
            return Ok(());
        };
        let Some(segment) = segments.get(at) else {
            return Ok(());
        };
        if segments.iter().filter(full).count() > 1 {
            shared.keeping.lock().work = true;
        }
        if self.is_dead(segment, &segments)? {
            let segment = Arc::clone(segment);
            drop(segments);
            return self.drop_segment(&segment);
        }
        let before = segments.get(..at).unwrap_or_default();
        let mut sources = self.with_small_ones_before(before, segment);
        self.set_aside(sources.iter().map(|source| source.sealed_bytes()).sum())?;
        let sealed = match self.seal(&sources, &|_| true) {
            // sled does not answer any more, or its memory and its file disagree: the file has
            // what was committed.
            Err(SealError::Source(error)) => {
                log::warn!("{error}; reading the file instead");
                sources = vec![rescan(&shared, segment)?];
                self.seal(&sources, &|_| true)?
            }
            sealed => sealed?,
        };
        let old: Vec<u64> = sources.iter().map(|source| source.generation).collect();
        shared.change_segments(|segments| {
            let at = segments
                .iter()
                .position(|kept| old.contains(&kept.generation));
            segments.retain(|kept| !old.contains(&kept.generation));
            if let (Some(at), Some(sealed)) = (at, sealed) {
                segments.insert(at.min(segments.len()), Arc::new(sealed));
            }
        });
        drop(segments);
        for source in sources {
            match source.sealed() {
                Some(_) => shared.disk.remove(&source.path)?,
                None => self.retired.push(source),
            }
        }
        self.shared.measure();
        Ok(())
    }

    /// Seals those events of some segments that are to be kept.
    pub(super) fn seal(
        &self,
        sources: &[Arc<Segment>],
        keep: &dyn Fn(&EventRef<'_>) -> bool,
    ) -> Result<Option<Segment>, SealError> {
        let mut holes = Vec::new();
        let sealed = seal(
            &self.shared.disk,
            &self.shared.folder,
            sources,
            keep,
            &mut holes,
        )?;
        self.shared
            .note_holes(&holes, "blocks of a segment are damaged");
        Ok(sealed)
    }

    /// A segment and the sealed ones before it that are to make one file with it: many short
    /// lives must not leave many small files. One that is more than twice as large as what comes
    /// after it waits until more has come, so that no event is written again more often than its
    /// file doubles.
    fn with_small_ones_before(
        &self,
        before: &[Arc<Segment>],
        segment: &Arc<Segment>,
    ) -> Vec<Arc<Segment>> {
        let mut sources = vec![Arc::clone(segment)];
        let mut size = segment.sealed_bytes();
        for before in before.iter().rev() {
            let Some(sealed) = before.sealed() else { break };
            let joins = before.head == segment.head
                && !before.damaged
                && !self.shared.catalog.lock().has_era_between(before, segment)
                && sealed.size() <= (2 * size).max(SMALL)
                && sealed.size() + size <= self.shared.sizes.segment / 4;
            if !joins {
                break;
            }
            size += sealed.size();
            sources.insert(0, Arc::clone(before));
        }
        sources
    }

    /// Removes the files of sealed databases at once: who reads there reads on, since his files
    /// are open.
    pub(super) fn remove_retired_now(&self) -> Result<(), StoreError> {
        let disk = &self.shared.disk;
        for segment in self.retired.iter().filter(|segment| segment.path.is_dir()) {
            if segment.damaged {
                disk.rename(&segment.path, &bad_path(&segment.path))?;
                continue;
            }
            let trash = segment.path.with_extension("trash");
            disk.rename(&segment.path, &trash)?;
            disk.remove(&trash)?;
        }
        Ok(())
    }

    /// Removes sealed databases that nobody reads any more.
    pub(super) fn remove_retired(&mut self) -> Result<(), StoreError> {
        let disk = &self.shared.disk;
        let (idle, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|segment| Arc::strong_count(segment) == 1);
        self.retired = busy;
        for segment in idle {
            let (path, damaged) = (segment.path.clone(), segment.damaged);
            drop(segment);
            if !path.is_dir() {
                continue; // a damaged sealed file, which made place for its successor
            }
            if damaged {
                disk.rename(&path, &bad_path(&path))?;
                continue;
            }
            // Renamed first, so that a crash in the middle leaves nothing that looks alive.
            let trash = path.with_extension("trash");
            disk.rename(&path, &trash)?;
            disk.remove(&trash)?;
        }
        Ok(())
    }
}

/// Reads a segment anew from its file: its index or its database does not serve any more. The
/// new one takes its place. The segment that grows is left alone: its writer would not know.
pub(super) fn rescan(shared: &Shared, segment: &Arc<Segment>) -> Result<Arc<Segment>, StoreError> {
    if shared
        .keeping
        .lock()
        .active
        .as_ref()
        .is_some_and(|a| Arc::ptr_eq(a, segment))
    {
        return Err(store_error("cannot read", &segment.path, Fault::Damaged));
    }
    let log = if segment.path.is_dir() {
        segment.path.join("db")
    } else {
        segment.path.clone()
    };
    let file = shared.disk.open(&log)?;
    let filters = FilterTable::new(segment.head.filters.clone());
    let (first, until) = segment.ends().unwrap_or_default();
    let scanned = scan(file, &segment.head.origin, &filters, until, until)
        .map_err(|fault| store_error("cannot read", &log, fault))?;
    let begin = scanned
        .index
        .blocks()
        .first()
        .map_or(until.next(), |block| block.first);
    let end = scanned.index.last().map_or(until, |(last, _)| last);
    let mut holes = scanned.holes;
    holes.push(Hole {
        from: first,
        to: begin.previous(),
    });
    holes.push(Hole {
        from: end.next(),
        to: until,
    });
    holes.retain(|hole| hole.from <= hole.to);
    shared.note_holes(&holes, "blocks of a segment are damaged");
    let replacement = Arc::new(Segment {
        generation: segment.generation,
        path: segment.path.clone(),
        head: segment.head.clone(),
        body: Body::Open {
            index: Box::new(RwLock::new(scanned.index)),
            blocks: scanned.blocks,
        },
        mark: segment.mark,
        damaged: segment.damaged || !holes.is_empty() || segment.sealed().is_some(),
    });
    shared.change_segments(|segments| {
        for kept in segments
            .iter_mut()
            .filter(|kept| Arc::ptr_eq(kept, segment))
        {
            *kept = Arc::clone(&replacement);
        }
    });
    shared.wake_keeper();
    Ok(replacement)
}
