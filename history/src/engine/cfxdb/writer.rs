//! Whatever changes a store: one at a time, in transactions. Where pages run short the oldest
//! events go with the transaction that needs some; where readers keep them, nothing does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Cfxdb;
use super::begin::in_parts;
use super::lmdb::LmdbError;
use super::moment::Moment;
use super::shelf::Shelf;
use super::space::{Fill, PAGE};
use super::state::{Progress, write_lost};
use super::visits::ROW;
use crate::error::{AppendError, QueryError, StoreError};
use crate::event::{Event, Sequence, Timestamp};
use crate::page;
use crate::query::{Purge, Scope, Viewer};
use crate::store::{Appended, Full, Lost};

/// How often room is made for one part of an append, at most.
const TRIES: u32 = 12;

/// How long readers are waited for where they are what keeps pages from being used, and how long
/// between two looks. As long as publishers are held back where both buffers are full: a Python
/// program decodes some ten thousand rows a second, and nobody who publishes is turned away for it.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// How long at least between two syncs that nobody waits for, ns. Half of how often the store is
/// told the time then.
const UNSYNCED: u64 = 500_000_000;

/// What the one who changes something knows.
#[derive(Debug)]
pub(super) struct Writing {
    /// As of the last commit.
    progress: Progress,
    fill: Fill,
    closed: bool,
    /// Nothing can be written for want of pages: said once.
    full: bool,
}

impl Writing {
    pub(super) fn new(progress: Progress, fill: Fill) -> Self {
        Self {
            progress,
            fill,
            closed: false,
            full: false,
        }
    }
}

impl Cfxdb {
    /// Does something in one transaction.
    fn transact(
        &self,
        writing: &mut Writing,
        work: impl FnOnce(&mut Shelf<'_>) -> Result<(), LmdbError>,
    ) -> Result<(), LmdbError> {
        let mut shelf = Shelf::begin(&self.env, &self.plan, writing.progress.clone())?;
        work(&mut shelf)?;
        let progress = shelf.commit()?;
        self.came_to(writing, progress);
        Ok(())
    }

    fn came_to(&self, writing: &mut Writing, progress: Progress) {
        writing.progress = progress;
        self.unsynced.store(true, Ordering::Release);
        *self.shown.write() = Arc::new(writing.progress.clone());
        // What is committed is, whether it can be measured or not.
        if let Ok(fill) = Fill::of(&self.env, self.limits) {
            writing.fill = fill;
        }
        self.bytes.store(writing.fill.bytes, Ordering::Relaxed);
        self.room
            .store(self.room_in(&writing.fill), Ordering::Release);
    }

    /// What may still be accepted, by footprint, if so many pages are left: an event takes up to
    /// four times its arguments, on half-filled pages of two tables, and some rows a filter.
    pub(super) fn room_in(&self, fill: &Fill) -> u64 {
        match self.full {
            Full::DropOldest => u64::MAX,
            Full::Refuse => {
                let each = 4 + self.plan.limits.len() as u64;
                fill.spare(self.limits) * PAGE / each
            }
        }
    }

    pub(super) fn append_all(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        let mut writing = self.writing.lock();
        let refused = |stored, cause| Err(AppendError { stored, cause });
        if writing.closed {
            return refused(0, StoreError::Closed);
        }
        let mut newest = writing.progress.newest;
        for event in events {
            let sequence = event.sequence;
            if sequence <= newest {
                return refused(0, StoreError::OutOfOrder { newest, sequence });
            }
            newest = sequence;
        }
        let (mut stored, mut commits) = (0, 0);
        let mut most = usize::MAX;
        while stored < events.len() || commits == 0 {
            let rest = events.get(stored..).unwrap_or_default();
            let part = self.portion(rest).min(most);
            let part = rest.get(..part).unwrap_or(rest);
            match self.append_part(&mut writing, part) {
                Ok(()) => (stored, commits) = (stored + part.len(), commits + 1),
                Err(Stopped::TooMuch) => most = part.len() / 2,
                Err(Stopped::Failed(cause)) => return refused(stored, cause),
            }
        }
        match self.write_visits(&mut writing) {
            Ok(more) => commits += more,
            Err(cause) => return refused(stored, cause),
        }
        self.say_fullness(&mut writing, None);
        let bytes = events.iter().map(|event| event.footprint()).sum();
        Ok(Appended { commits, bytes })
    }

    /// Writes who was there, as far as an append has not; gives the transactions that it took.
    fn write_visits(&self, writing: &mut Writing) -> Result<u32, StoreError> {
        let (mut commits, mut waiting) = (0, self.visits.waiting());
        while waiting > 0 {
            match self.append_part(writing, &[]) {
                Ok(()) => commits += 1,
                Err(Stopped::TooMuch) => break,
                Err(Stopped::Failed(cause)) => return Err(cause),
            }
            let left = self.visits.waiting();
            if left >= waiting {
                // There is no room for them: the next one who writes tries again.
                break;
            }
            waiting = left;
        }
        Ok(commits)
    }

    /// How many events go into one transaction: as many as change no more pages than are kept in
    /// reserve for it.
    fn portion(&self, events: &[Arc<Event>]) -> usize {
        let mut pages = 0;
        let fits = |event: &&Arc<Event>| {
            let filters = event.topic.filters().len() as u64;
            pages += 2 * (1 + 2 * filters) + 2 * event.footprint() / PAGE;
            pages <= self.limits.at_once()
        };
        events.iter().take_while(fits).count().max(1)
    }

    /// Stores events in one transaction; nothing of them if it fails.
    fn append_part(&self, writing: &mut Writing, events: &[Arc<Event>]) -> Result<(), Stopped> {
        let mut dropped = 0;
        for attempt in 0..TRIES {
            let unsaved = self.patterns.take_unsaved();
            // Who was there is not what an event may fail for.
            let changes = match attempt {
                0 => self.visits.take(self.limits.removed_at_once().div_ceil(2)),
                _ => Vec::new(),
            };
            let goes = self.makes_way(writing, events, changes.len());
            let is_tight = self.full == Full::Refuse && writing.fill.missing(self.limits) > 0;
            let mut rows = 0;
            let appended = self.transact(writing, |shelf| {
                self.patterns.write(&unsaved, shelf, &self.plan)?;
                for _ in 0..goes {
                    shelf.drop_oldest_of_all()?;
                }
                events.iter().try_for_each(|event| shelf.put(event))?;
                rows = self.visits.write(&changes, shelf, &self.plan, is_tight)?;
                Ok(())
            });
            let Err(error) = appended else {
                self.visits.committed(rows);
                return Ok(());
            };
            self.visits.put_back(changes);
            self.patterns.put_back(unsaved);
            match error {
                LmdbError::MAP_FULL | LmdbError::TXN_FULL if events.len() > 1 => {
                    return Err(Stopped::TooMuch);
                }
                LmdbError::MAP_FULL | LmdbError::TXN_FULL => {
                    self.press(writing, attempt, &mut dropped)?;
                }
                error => return Err(Stopped::Failed(self.failed("cannot write", error))),
            }
        }
        Err(Stopped::Failed(self.no_room(writing)))
    }

    /// How many of the oldest events are to go with those that come: none while the reserve is
    /// whole, then about as much as comes, and more if that is not enough.
    fn makes_way(&self, writing: &Writing, events: &[Arc<Event>], sessions: usize) -> u64 {
        let missing = writing.fill.missing(self.limits);
        if missing == 0 || self.full == Full::Refuse {
            return 0;
        }
        let there = writing.progress.events;
        let footprint: u64 = events.iter().map(|event| event.footprint()).sum();
        let each = (writing.fill.bytes / there.max(1)).max(PAGE / 16);
        let mut bytes = 3 * footprint + sessions as u64 * ROW;
        if missing > self.limits.reserve() / 2 {
            bytes += missing * PAGE / 4;
        }
        (bytes / each + 1).min(there / 8 + events.len() as u64)
    }

    /// Makes room where a transaction found none: with what earlier ones have freed, then by
    /// dropping the oldest events, at most a quarter of them.
    fn press(&self, writing: &mut Writing, attempt: u32, dropped: &mut u64) -> Result<(), Stopped> {
        let failed = |error| Stopped::Failed(self.failed("cannot write", error));
        self.env.clear_dead_readers().map_err(failed)?;
        writing.fill = Fill::of(&self.env, self.limits).map_err(failed)?;
        let waited_since = Instant::now();
        while writing.fill.is_pinned() {
            if writing.full || waited_since.elapsed() > PATIENCE {
                return Err(Stopped::Failed(self.no_room(writing)));
            }
            std::thread::park_timeout(LOOK);
            self.env.clear_dead_readers().map_err(failed)?;
            writing.fill = Fill::of(&self.env, self.limits).map_err(failed)?;
        }
        if self.full == Full::DropOldest && attempt > 0 {
            let mut goes = 8 << attempt.min(6);
            let allowed = (writing.progress.events / 4 + 16).saturating_sub(*dropped);
            goes = allowed.min(goes);
            while goes > 0 {
                let done = self.transact(writing, |shelf| {
                    (0..goes).try_for_each(|_| shelf.drop_oldest_of_all().map(drop))
                });
                match done {
                    Ok(()) => break,
                    Err(LmdbError::MAP_FULL) => goes /= 2,
                    Err(error) => return Err(failed(error)),
                }
            }
            *dropped += goes;
        }
        self.settle(writing);
        Ok(())
    }

    /// Lets the number of transactions go on, so that what was freed can be used.
    fn settle(&self, writing: &mut Writing) {
        for _ in 0..2 {
            // Where not even this fits, whoever needs room finds out.
            let _ = self.transact(writing, |_| Ok(()));
        }
    }

    /// Why there is no room, said once until there is.
    fn no_room(&self, writing: &mut Writing) -> StoreError {
        let reason = match writing.fill.reader {
            Some(reader) if writing.fill.pinned > 0 => format!(
                "it is full: process {} has been reading one state of it for so long that {} of \
                 its {} pages cannot be used again",
                reader.pid, writing.fill.pinned, self.limits.pages
            ),
            _ => format!("it is full: no room in its {} pages", self.limits.pages),
        };
        self.say_fullness(writing, Some(&reason));
        StoreError::Engine {
            what: "cannot write",
            path: self.path.clone(),
            reason,
        }
    }

    fn say_fullness(&self, writing: &mut Writing, full: Option<&str>) {
        let path = self.path.display();
        match full {
            Some(reason) if !writing.full => log::error!("the store `{path}`: {reason}"),
            None if writing.full => log::info!("the store `{path}` has room again"),
            _ => {}
        }
        writing.full = full.is_some();
    }

    /// Does something small, for which the reserve is there.
    fn transact_within_reserve(
        &self,
        writing: &mut Writing,
        work: impl Fn(&mut Shelf<'_>) -> Result<(), LmdbError>,
    ) -> Result<(), StoreError> {
        let mut done = self.transact(writing, &work);
        if done == Err(LmdbError::MAP_FULL) {
            self.settle(writing);
            done = self.transact(writing, &work);
        }
        match done {
            Err(LmdbError::MAP_FULL) => {
                if let Ok(fill) = Fill::of(&self.env, self.limits) {
                    writing.fill = fill;
                }
                Err(self.no_room(writing))
            }
            done => done.map_err(|error| self.failed("cannot write", error)),
        }
    }

    pub(super) fn reserve_up_to(&self, end: Sequence) -> Result<Sequence, StoreError> {
        let mut writing = self.writing.lock();
        let reserved = end.max(writing.progress.reserved);
        self.transact_within_reserve(&mut writing, |shelf| {
            shelf.progress.reserved = reserved;
            Ok(())
        })?;
        self.synced()?;
        Ok(reserved)
    }

    /// See [`crate::EventStore::note_lost`].
    pub(super) fn note_gap(&self, gap: Lost) -> Result<(), StoreError> {
        let mut writing = self.writing.lock();
        let mut lost = self.lost.lock().clone();
        if !gap.note(&mut lost) {
            return Ok(());
        }
        self.transact_within_reserve(&mut writing, |shelf| {
            write_lost(shelf.rows(), &self.plan.tables, &lost)
        })?;
        *self.lost.lock() = lost;
        self.synced()
    }

    fn synced(&self) -> Result<(), StoreError> {
        let was_unsynced = self.unsynced.swap(false, Ordering::AcqRel);
        let synced = self.env.sync();
        if synced.is_err() && was_unsynced {
            self.unsynced.store(true, Ordering::Release);
        }
        synced.map_err(|error| self.failed("cannot sync", error))
    }

    /// Where commits do not wait for the disk, it is waited for here, some time after the last.
    pub(super) fn sync_what_is_left(&self, now: Timestamp) -> Result<(), StoreError> {
        let before = self.synced_at.load(Ordering::Acquire);
        if self.sync || !self.unsynced.load(Ordering::Acquire) || now.nanos() < before + UNSYNCED {
            return Ok(());
        }
        self.synced_at.store(now.nanos(), Ordering::Release);
        self.synced()
    }

    pub(super) fn drop_what_is_too_old(&self) -> Result<(), StoreError> {
        for (id, known) in &self.plan.limits {
            if known.filter.max_age.is_none() {
                continue;
            }
            let oldest = known.filter.oldest_at(self.told());
            if !Moment::now(self)?.has_older(*id, oldest)? {
                continue;
            }
            let mut writing = self.writing.lock();
            if writing.closed {
                return Ok(());
            }
            let (told, most) = (self.told(), self.limits.removed_at_once());
            let progress = in_parts(&self.env, &self.plan, writing.progress.clone(), |shelf| {
                shelf.progress.told = told;
                shelf.drop_older(*id, oldest, most)
            });
            // Where a later part failed, earlier ones hold.
            let there = match &progress {
                Ok(progress) => Ok(progress.clone()),
                Err(_) => self
                    .env
                    .read()
                    .and_then(|txn| Progress::read(&txn, &self.plan.tables)),
            };
            if let Ok(there) = there {
                self.came_to(&mut writing, there);
            }
            progress.map_err(|error| self.failed("cannot write", error))?;
        }
        Ok(())
    }

    pub(super) fn purge_now(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        what: &Purge,
    ) -> Result<u64, QueryError> {
        let mut writing = self.writing.lock();
        if writing.closed {
            return Err(QueryError::Store(StoreError::Closed));
        }
        let doomed = page::doomed(&Moment::now(self)?, scope, viewer, what)?;
        let sequences: Vec<Sequence> = doomed.runs.each().collect();
        for part in sequences.chunks(self.limits.removed_at_once()) {
            self.transact_within_reserve(&mut writing, |shelf| {
                part.iter().try_for_each(|sequence| shelf.purge(*sequence))
            })?;
        }
        self.transact_within_reserve(&mut writing, |shelf| {
            if let Some(floor) = doomed.floor {
                shelf.raise_floor(scope.filter, floor);
            }
            Ok(())
        })?;
        self.synced()?;
        Ok(doomed.events)
    }

    pub(super) fn close_cleanly(&self, next: Sequence) -> Result<(), StoreError> {
        let mut writing = self.writing.lock();
        if writing.closed {
            return Ok(());
        }
        let told = self.told().max(writing.progress.last_time);
        self.visits.all_left(told);
        // What is stored is whole without it.
        if let Err(error) = self.write_visits(&mut writing) {
            log::warn!("who was there is not all written: {error}");
        }
        let unsaved = self.patterns.take_unsaved();
        self.transact_within_reserve(&mut writing, |shelf| {
            self.patterns.write(&unsaved, shelf, &self.plan)?;
            shelf.progress.clean = next.max(shelf.progress.newest.next());
            shelf.progress.told = shelf.progress.told.max(told);
            Ok(())
        })?;
        self.synced()?;
        writing.closed = true;
        Ok(())
    }
}

/// Why a part of an append is not stored.
#[derive(Debug)]
enum Stopped {
    /// Fewer events may fit.
    TooMuch,
    Failed(StoreError),
}
