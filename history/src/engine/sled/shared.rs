//! What the writer, the keeper and the readers of one store share: the list of segments, what is
//! known of filters and losses, and how full the disk is. Locks are taken one at a time, except
//! that `keeping` may be held while `segments` is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use super::active::Db;
use super::catalog::{Catalog, Known};
use super::disk::{Disk, Done};
use super::head::Head;
use super::mark::{Mark, Marked};
use super::patterns::Patterns;
use super::purge::Order;
use super::segment::{Hole, Segment, Segments};
use crate::error::StoreError;
use crate::event::{Sequence, Timestamp};
use crate::filter::{Filter, FilterId, FilterTable};
use crate::retention;
use crate::store::Full;

/// How large things are, all in bytes; everything follows from `maxsize`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The whole folder at most.
    pub(super) max: u64,
    /// A growing segment that has reached this is followed by the next.
    pub(super) segment: u64,
}

impl Sizes {
    /// A sixteenth of all for the growing segment: small enough that dropping one is a small
    /// loss, and large enough that there are not many.
    pub(super) fn of(maxsize: u64) -> Self {
        Self {
            max: maxsize,
            segment: (maxsize / 16).clamp(512 << 10, 64 << 20),
        }
    }

    /// A growing segment takes no more events above this, even if the next is not ready.
    pub(super) fn segment_end(&self) -> u64 {
        self.segment + self.segment / 8
    }

    /// One transaction.
    pub(super) fn commit(&self) -> u64 {
        self.segment / 8
    }

    /// What a transaction of so many bytes makes the log grow by at most. sled writes a block
    /// again whenever its page is consolidated or split, up to four times in all (measured: 3.3),
    /// in units of half a MiB.
    pub(super) fn growth(&self, commit: u64) -> u64 {
        4 * commit + (512 << 10)
    }

    /// What is kept free of sealed segments: for the one that grows, for the sealed copy of the
    /// last one, for the next, which is prepared, and for small files.
    pub(super) fn headroom(&self) -> u64 {
        self.segment_end() + self.segment * 3 / 4 + (1 << 20)
    }

    /// What sealed segments may have where nothing makes room for what was accepted: besides the
    /// headroom, a full log may wait to be sealed while the next one grows.
    pub(super) fn capacity(&self) -> u64 {
        let spared = self.headroom() + self.segment_end() + (512 << 10);
        self.max.saturating_sub(spared)
    }

    /// What sled may keep in memory for the growing segment.
    pub(super) fn cache(&self) -> u64 {
        self.segment.min(32 << 20)
    }
}

/// The shared state of one store.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Disk,
    pub(super) folder: PathBuf,
    pub(super) sizes: Sizes,
    pub(super) full: Full,
    /// Whether commits wait for the disk.
    pub(super) sync: bool,
    /// What segments of this life begin with.
    pub(super) head: Head,
    pub(super) filters: Arc<FilterTable>,
    /// Whether a filter keeps so many events of each topic: what is sealed loses much then.
    pub(super) by_topic: bool,
    pub(super) catalog: Mutex<Catalog>,
    pub(super) catalog_fails: Trouble,
    pub(super) mark_fails: Trouble,
    pub(super) patterns_fail: Trouble,
    /// Held while the catalog is written, so that the file never goes back; readers of the
    /// catalog do not wait for that.
    saving: Mutex<()>,
    pub(super) mark: Mutex<Mark>,
    pub(super) patterns: Patterns,
    segments: RwLock<Segments>,
    /// The newest event that readers see.
    newest: AtomicU64,
    /// What the mark says, for those who must not wait while it is written.
    reserved: AtomicU64,
    /// The latest time that the store was told, ns since 1970.
    now: AtomicU64,
    /// When the keeper looked for what is too old, on the same clock.
    aged: AtomicU64,
    /// How often it does; `None`: no filter has a `max_age`.
    pub(super) tell_time_every: Option<Duration>,
    /// See [`crate::EventStore::room`]. Written with `keeping` locked.
    room: AtomicU64,
    /// Bytes of the folder without the growing segment's log.
    others: AtomicU64,
    pub(super) keeping: Mutex<Keeping>,
    /// Told when `keeping` changes.
    pub(super) changed: Condvar,
}

/// What writer and keeper say to each other.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// An empty segment, ready to be written to.
    pub(super) next: Option<Arc<Segment>>,
    /// The segment that grows.
    pub(super) active: Option<Arc<Segment>>,
    /// Bytes that the writer waits for; 0 if it does not.
    pub(super) wanted: u64,
    /// The writer waits for the keeper, for whatever it may be.
    pub(super) waits: bool,
    /// Bytes that the commit under way may add to the log; 0 without one.
    pub(super) writing: u64,
    /// The keeper could not do what the writer waits for.
    pub(super) failed: Option<StoreError>,
    /// What the keeper did last did not work.
    pub(super) is_failing: bool,
    /// There may be something to do for the keeper.
    pub(super) work: bool,
    /// The next segment is to be prepared; not before the growing one is half full, since a
    /// database takes memory and descriptors even if it is empty.
    pub(super) wants_next: bool,
    /// What is to be purged.
    pub(super) order: Order,
    /// The keeper shall end.
    pub(super) closing: bool,
    /// Before it ends, it shall seal all that is not sealed.
    pub(super) settle: bool,
    /// Something was written that no sync has reached; only without `sync`.
    pub(super) unsynced: bool,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "each is a field of its own")]
    pub(super) fn new(
        disk: Disk,
        folder: PathBuf,
        sizes: Sizes,
        full: Full,
        sync: bool,
        head: Head,
        filters: Arc<FilterTable>,
        catalog: Catalog,
        mark: Mark,
        patterns: Patterns,
        segments: Vec<Arc<Segment>>,
        keeping: Keeping,
    ) -> Self {
        let last = segments.last().and_then(|segment| segment.last());
        let newest = last.map_or(Sequence::ZERO, |(sequence, _)| sequence);
        let reserved = mark.now().reserved;
        let others = disk.size(&folder);
        Self {
            disk,
            folder,
            sizes,
            full,
            sync,
            head,
            tell_time_every: retention::tell_time_every(
                catalog.filters.iter().map(|known| &known.filter),
            ),
            filters,
            by_topic: catalog.filters.iter().any(Known::is_by_topic),
            now: AtomicU64::new(catalog.told.nanos()),
            aged: AtomicU64::new(0),
            catalog: Mutex::new(catalog),
            catalog_fails: Trouble::default(),
            mark_fails: Trouble::default(),
            patterns_fail: Trouble::default(),
            saving: Mutex::new(()),
            mark: Mutex::new(mark),
            patterns,
            segments: RwLock::new(Arc::new(segments)),
            newest: AtomicU64::new(newest.get()),
            reserved: AtomicU64::new(reserved.get()),
            room: AtomicU64::new(u64::MAX),
            others: AtomicU64::new(others),
            keeping: Mutex::new(keeping),
            changed: Condvar::new(),
        }
    }

    /// The segments as of now.
    pub(super) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read())
    }

    /// The segments, and the one among them that grows. Both as of one moment: a segment that has
    /// begun to grow between two questions would pass for one that no longer does.
    pub(super) fn segments_and_growing(&self) -> (Segments, Option<Arc<Segment>>) {
        let keeping = self.keeping.lock();
        (self.segments(), keeping.active.clone())
    }

    /// How many segments are not sealed, the growing one included.
    pub(super) fn unsealed(&self) -> usize {
        let segments = self.segments();
        let unsealed = segments.iter().filter(|it| it.sealed().is_none());
        unsealed.count()
    }

    /// Changes the list of segments.
    pub(super) fn change_segments(&self, change: impl FnOnce(&mut Vec<Arc<Segment>>)) {
        let mut segments = self.segments.write();
        let mut changed = Vec::clone(&segments);
        change(&mut changed);
        *segments = Arc::new(changed);
    }

    /// The newest event that readers see; to be asked before [`Self::segments`].
    pub(super) fn newest(&self) -> Sequence {
        Sequence::new(self.newest.load(Ordering::Acquire))
    }

    /// Sequences below it may have been given out.
    pub(super) fn reserved(&self) -> Sequence {
        Sequence::new(self.reserved.load(Ordering::Acquire))
    }

    /// Lets the realm give out sequences below `end`, durably.
    pub(super) fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        let mut mark = self.mark.lock();
        let now = mark.now();
        // A mark of a clean end allows none: the next start would give them out again.
        if end > now.reserved || now.clean > Sequence::ZERO {
            mark.set(Marked {
                reserved: end.max(now.reserved),
                clean: Sequence::ZERO,
                ..now
            })?;
            self.reserved.fetch_max(end.get(), Ordering::AcqRel);
        }
        Ok(mark.now().reserved)
    }

    /// Lets readers see events up to this one.
    pub(super) fn publish(&self, newest: Sequence) {
        self.newest.store(newest.get(), Ordering::Release);
    }

    /// Bytes that the store takes, with what the commit under way may add.
    pub(super) fn used(&self, keeping: &Keeping) -> u64 {
        let log = keeping
            .active
            .as_ref()
            .and_then(|active| active.db())
            .map_or(0, |db| db.size());
        self.others.load(Ordering::Acquire) + log + keeping.writing
    }

    /// Sets bytes aside that the keeper is about to write, if there is room for them.
    pub(super) fn set_aside(&self, bytes: u64) -> bool {
        let keeping = self.keeping.lock();
        let fits = self.used(&keeping) + bytes <= self.sizes.max;
        if fits {
            self.others.fetch_add(bytes, Ordering::AcqRel);
        }
        fits
    }

    /// The same for what can wait: only if what grows has its room as well, to its end and on in
    /// the next one.
    pub(super) fn set_aside_idle(&self, bytes: u64) -> bool {
        let keeping = self.keeping.lock();
        let log = keeping.active.as_ref().and_then(|active| active.db());
        let log = log.map_or(0, Db::size);
        let sizes = &self.sizes;
        let growth = sizes.segment_end().saturating_sub(log) + sizes.growth(sizes.commit());
        let fits = self.used(&keeping) + bytes + growth <= sizes.max;
        if fits {
            self.others.fetch_add(bytes, Ordering::AcqRel);
        }
        fits
    }

    /// Sets aside again what [`Self::measure`] has let go.
    pub(super) fn keep_aside(&self, bytes: u64) {
        self.others.fetch_add(bytes, Ordering::AcqRel);
    }

    /// What was set aside has been written, and takes so much.
    pub(super) fn has_taken(&self, aside: u64, taken: u64) {
        self.others.fetch_add(taken, Ordering::AcqRel);
        self.others.fetch_sub(aside, Ordering::AcqRel);
    }

    /// Measures the folder. What was set aside is not any more.
    pub(super) fn measure(&self) {
        loop {
            let active = self.keeping.lock().active.clone();
            // The log first: what it grows by meanwhile is counted twice, never not at all.
            let log = active
                .as_ref()
                .map_or(0, |active| self.disk.size(&active.path.join("db")));
            let others = self.disk.size(&self.folder).saturating_sub(log);
            let keeping = self.keeping.lock();
            if same(keeping.active.as_ref(), active.as_ref()) {
                self.others.store(others, Ordering::Release);
                return;
            }
        }
    }

    /// Bytes that a commit leaves for sealing what waits for it: by that comes more room than by
    /// dropping history, where events give way to newer ones of their topic.
    pub(super) fn spared_for_sealing(&self) -> u64 {
        if !self.by_topic {
            return 0;
        }
        match self.unsealed() {
            ..2 => 0,
            2 => self.sizes.segment / 4,
            _ => self.sizes.segment * 3 / 4,
        }
    }

    /// Lets the prepared segment grow instead of the active one, whose log now is one of the
    /// others.
    pub(super) fn rotate(&self, keeping: &mut Keeping, next: Arc<Segment>) {
        let log = |segment: Option<&Arc<Segment>>| {
            segment
                .and_then(|segment| segment.db())
                .map_or(0, |db| db.size())
        };
        let others = self.others.load(Ordering::Acquire) + log(keeping.active.as_ref());
        self.others
            .store(others.saturating_sub(log(Some(&next))), Ordering::Release);
        self.change_segments(|segments| segments.push(Arc::clone(&next)));
        keeping.active = Some(next);
    }

    /// Ends the growth of the active segment, if it has events and no commit is under way: the
    /// next commit begins another one. Says whether it did.
    pub(super) fn retire_active(&self) -> bool {
        let mut keeping = self.keeping.lock();
        let quiet = keeping.writing == 0;
        let grown = |active: &mut Arc<Segment>| active.last().is_some();
        let Some(active) = keeping.active.take_if(|active| quiet && grown(active)) else {
            return false;
        };
        let log = active.db().map_or(0, Db::size);
        self.others.fetch_add(log, Ordering::AcqRel);
        true
    }

    /// Notes runs that could not be read: in the log once, in the catalog for good.
    pub(super) fn note_holes(&self, holes: &[Hole], why: &str) {
        if holes.is_empty() {
            return;
        }
        let mut catalog = self.catalog.lock();
        let mut news = false;
        for hole in holes {
            if catalog.note_lost(hole.from, hole.to, why) {
                news = true;
                log::error!(
                    realm = self.head.origin.realm.as_str(), from = hole.from.get(),
                    to = hole.to.get(); "events may be missing from the history: {why}"
                );
            }
        }
        drop(catalog);
        if news {
            self.save_catalog();
        }
    }

    /// Writes the catalog. If the disk does not let us, the keeper [tries again](Self::save_again).
    pub(super) fn save_catalog(&self) {
        let what = "what was dropped or lost is not noted";
        let realm = self.head.origin.realm.as_str();
        self.catalog_fails.note(realm, what, self.write_catalog());
    }

    /// Writes the catalog if it could not be written the last time: a life that ends before it
    /// is would leave what was dropped looking like a loss.
    pub(super) fn save_again(&self) -> Result<(), StoreError> {
        if !self.catalog_fails.is_on() {
            return Ok(());
        }
        self.write_catalog()?;
        self.save_catalog();
        Ok(())
    }

    pub(super) fn write_catalog(&self) -> Done {
        if self.disk.is_readonly() {
            return Ok(());
        }
        let _saving = self.saving.lock();
        let catalog = {
            let mut catalog = self.catalog.lock();
            catalog.told = catalog.told.max(self.now());
            catalog.clone()
        };
        catalog.write(&self.disk, &self.folder)
    }

    /// See [`crate::EventStore::room`].
    pub(super) fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    /// Takes what was committed off the room that is left; where that is little, it is counted
    /// exactly.
    pub(super) fn take_room(&self, keeping: &Keeping, bytes: u64) {
        if self.full == Full::DropOldest {
            return;
        }
        let left = self.room().saturating_sub(bytes);
        self.room.store(left, Ordering::Release);
        if left < self.sizes.segment {
            self.count_room(keeping);
        }
    }

    /// Counts how much room is left, as of now: nothing is committed while `keeping` is locked.
    pub(super) fn count_room(&self, _keeping: &Keeping) {
        if self.full == Full::Refuse {
            let segments = self.segments();
            let sealed: u64 = segments.iter().map(|segment| segment.sealed_bytes()).sum();
            let left = self.sizes.capacity().saturating_sub(sealed);
            self.room.store(left, Ordering::Release);
        }
    }

    /// The latest time that the store was told.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::Acquire))
    }

    /// See [`crate::EventStore::at`].
    pub(super) fn at(&self, now: Timestamp) {
        self.now.fetch_max(now.nanos(), Ordering::AcqRel);
        let Some(every) = self.tell_time_every else {
            return;
        };
        let before = self.aged.load(Ordering::Acquire);
        let since = now.nanos().saturating_sub(before);
        // A timer may come a little early, and the next one is as late again.
        if u128::from(since) >= every.as_nanos() * 9 / 10
            && self
                .aged
                .compare_exchange(before, now.nanos(), Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        {
            self.wake_keeper();
        }
    }

    /// What a filter keeps, with its bounds, configured or not.
    pub(super) fn known_filter(&self, filter: FilterId) -> Option<Filter> {
        let configured = self.filters.configured();
        let own = configured.iter().find(|configured| configured.id == filter);
        match own {
            Some(own) => Some(own.filter.clone()),
            None => {
                let catalog = self.catalog.lock();
                catalog.known(filter).map(|known| known.filter.clone())
            }
        }
    }

    /// Tells the keeper that there may be something to do.
    pub(super) fn wake_keeper(&self) {
        self.keeping.lock().work = true;
        self.changed.notify_all();
    }
}

/// Something that can wait for the disk to work again: logged when that begins and when it ends.
#[derive(Debug, Default)]
pub(super) struct Trouble(AtomicBool);

impl Trouble {
    /// Whether it did not go the last time.
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Notes how it went.
    pub(super) fn note(&self, realm: &str, what: &str, done: Result<(), impl Into<StoreError>>) {
        let failed = done.is_err();
        let before = self.0.swap(failed, Ordering::AcqRel);
        match done {
            Err(error) if !before => log::warn!(realm; "{what}: {}", error.into()),
            Ok(()) if before => log::info!(realm; "no longer: {what}"),
            _ => {}
        }
    }
}

fn same(one: Option<&Arc<Segment>>, other: Option<&Arc<Segment>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}
