//! The keeper: one thread a store that does what a commit should not wait for. It prepares the
//! next segment, seals those that are full, drops the oldest to stay within `maxsize` and those
//! that nobody keeps (`retain.rs`), and gives the space back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{MutexGuard, RwLock};

use super::active::Db;
use super::dispose::Leaving;
use super::index::Growing;
use super::reclaim::{Reclaiming, Urgency};
use super::segment::{Blocks, Body, Segment};
use super::shared::{Keeping, Shared, Trouble};
use crate::error::StoreError;
use crate::event::Sequence;
use crate::store::Full;

/// How long events may be without a sync where `sync` is off.
const UNSYNCED: Duration = Duration::from_secs(1);

/// How soon it is asked again whether a segment that was dropped is read by nobody any more.
const RELEASED: Duration = Duration::from_millis(100);

/// More than a database without events takes.
pub(super) const EMPTY_SEGMENT: u64 = 64 << 10;

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
    /// What the disk has not let go yet.
    pub(super) leaving: Vec<Leaving>,
    /// What sealed segments have of no use.
    pub(super) reclaiming: Reclaiming,
    /// The last work could not be done.
    failing: Option<Failing>,
    /// The last sync of events that nobody waits for could not be done.
    sync_fails: Trouble,
}

/// Work fails: it is tried again, after longer and longer pauses if it is the disk's fault.
#[derive(Debug)]
struct Failing {
    error: StoreError,
    pause: Duration,
    /// Whoever asks for work before that is told the error.
    pause_ends: Instant,
    /// When it is tried again if nobody asks.
    again: Instant,
}

/// The pause after the second failure; after the first one work is tried again when it is asked
/// for.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts at what failed: how long after the disk the store
/// recovers. 2 s: a disk that fails is asked seldom enough not to be kept busy.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
            leaving: Vec::new(),
            reclaiming: Reclaiming::default(),
            failing: None,
            sync_fails: Trouble::default(),
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
            self.wait(&mut keeping);
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

    /// Waits until there is something to do: it is asked for, or its time has come.
    fn wait(&mut self, keeping: &mut MutexGuard<'_, Keeping>) {
        let shared = Arc::clone(&self.shared);
        while !keeping.closing {
            let now = Instant::now();
            if keeping.unsynced {
                self.unsynced_since.get_or_insert(now);
            }
            let sync = self.unsynced_since.map(|since| since + UNSYNCED);
            if sync.is_some_and(|sync| sync <= now) {
                return;
            }
            let again = match &self.failing {
                Some(failing) if now < failing.pause_ends => {
                    if std::mem::take(&mut keeping.work) {
                        keeping.failed = Some(failing.error.clone());
                        shared.changed.notify_all();
                    }
                    Some(failing.pause_ends)
                }
                _ if keeping.work => return,
                Some(failing) if failing.again <= now => {
                    keeping.work = true;
                    return;
                }
                Some(failing) => Some(failing.again),
                None if !self.retired.is_empty() => {
                    // Somebody still reads there.
                    let _ = shared.changed.wait_for(keeping, RELEASED);
                    keeping.work = true;
                    return;
                }
                None => None,
            };
            match sync.into_iter().chain(again).min() {
                Some(until) => {
                    let _ = shared.changed.wait_until(keeping, until);
                }
                None => shared.changed.wait(keeping),
            }
        }
    }

    /// Syncs what grows and what has grown and is not sealed yet, oldest first.
    fn sync(&self) {
        let shared = &self.shared;
        let segments = shared.segments();
        let mut synced = Ok(());
        for db in segments.iter().filter_map(|segment| segment.db()) {
            synced = synced.and(db.flush(&shared.disk, true));
        }
        if synced.is_err() {
            // The system may forget what it could not write, and say nothing the next time: what
            // is still known is sealed into a file of its own.
            shared.retire_active();
            shared.wake_keeper();
        }
        let realm = shared.head.origin.realm.as_str();
        self.sync_fails.note(realm, "events are not synced", synced);
    }

    /// Failing is a state: logged when it begins and when it ends.
    fn note(&mut self, worked: Result<(), StoreError>) {
        let realm = self.shared.head.origin.realm.as_str();
        match worked {
            // What was dropped is still being read, and gives its space back afterwards.
            Err(_) if self.shared.full == Full::Refuse && !self.retired.is_empty() => {}
            Err(error) => {
                let is_disk = matches!(error, StoreError::Io { .. });
                let pause = match &self.failing {
                    None => {
                        log::error!(realm; "the history cannot be kept up: {error}");
                        Duration::ZERO
                    }
                    Some(failing) if is_disk => {
                        (2 * failing.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE)
                    }
                    Some(_) => Duration::ZERO,
                };
                let now = Instant::now();
                let least = if is_disk { FIRST_PAUSE } else { LONGEST_PAUSE };
                self.failing = Some(Failing {
                    error: error.clone(),
                    pause,
                    pause_ends: now + pause,
                    again: now + pause.max(least),
                });
                let mut keeping = self.shared.keeping.lock();
                keeping.failed = Some(error);
                keeping.is_failing = true;
            }
            Ok(()) if self.failing.take().is_some() => {
                self.shared.keeping.lock().is_failing = false;
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
        let gone = self.let_all_go();
        self.expire()?;
        // First: a commit may be waiting for it.
        let prepared = self.prepare();
        self.make_room()?;
        let sealed = self.seal_oldest();
        prepared?;
        self.drop_dead()?;
        self.remove_retired()?;
        let reclaimed = self.reclaim();
        let shared = &self.shared;
        gone.and(shared.save_again())?;
        shared.count_room(&shared.keeping.lock());
        self.give_room()?;
        sealed.map(drop).and(reclaimed)
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

    /// Drops the oldest sealed segments until there is what the writer waits for; not before all
    /// is sealed, where that is what makes room.
    fn give_room(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.measure();
            let keeping = shared.keeping.lock();
            let wanted = keeping.wanted + shared.spared_for_sealing();
            if keeping.wanted == 0 || shared.used(&keeping) + wanted <= shared.sizes.max {
                return Ok(());
            }
            drop(keeping);
            if shared.by_topic && self.seal_oldest()? {
                self.remove_retired()?;
            } else if !self.drop_oldest()? {
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

    pub(super) fn no_room(&self) -> StoreError {
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
        self.prepare_next()
    }

    /// Prepares the next segment, for which room is set aside.
    pub(super) fn prepare_next(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let generation = self.next_generation;
        let path = active_path(&shared.folder, generation);
        let db = match Db::create(&shared.disk, &path, &shared.head, shared.sizes.cache()) {
            Ok(db) => db,
            Err(error) => {
                shared.has_taken(EMPTY_SEGMENT, 0);
                // An empty database is worth nothing, and is never opened a second time.
                if self.discard(&path).is_err() {
                    self.next_generation += 1;
                }
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
        shared.has_taken(EMPTY_SEGMENT, shared.disk.size(&segment.path));
        let mut keeping = shared.keeping.lock();
        keeping.next = Some(Arc::new(segment));
        keeping.wants_next = false;
        drop(keeping);
        shared.changed.notify_all();
        Ok(())
    }

    /// Seals the oldest segment that no longer grows, with those before it that are small; says
    /// whether there was one.
    fn seal_oldest(&mut self) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (segments, growing) = shared.segments_and_growing();
        let grows =
            |segment: &Arc<Segment>| growing.as_ref().is_some_and(|g| Arc::ptr_eq(g, segment));
        let full = |segment: &&Arc<Segment>| segment.sealed().is_none() && !grows(segment);
        let Some(at) = segments.iter().position(|segment| full(&segment)) else {
            return Ok(false);
        };
        let Some(segment) = segments.get(at) else {
            return Ok(false);
        };
        if segments.iter().filter(full).count() > 1 {
            shared.keeping.lock().work = true;
        }
        let survey = self.survey(&segments)?;
        if survey.is_dead(segment) {
            return self.drop_segment(Arc::clone(segment)).map(|()| true);
        }
        let before = segments.get(..at).unwrap_or_default();
        let sources = self.sources(survey, before, segment)?;
        drop(segments);
        self.merge(sources, Urgency::Due)
    }
}
