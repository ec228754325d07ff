//! The sled engine: events in segments below one folder. The newest segment grows in a sled
//! database, one durable transaction a commit; when it is full the next takes its place, and a
//! thread of the store's own seals it: its events go, densely packed and indexed, into one file
//! that never changes. `maxsize` holds by dropping the oldest files. See `FORMAT.md`.

mod disk; //     the file operations
mod lock; //     nobody else writes here
pub(super) mod head; //     who a store is, and how a segment begins
mod catalog; //  the `store` file: filters, floors, losses
mod mark; //     the `mark` file: how far sequences are given out
mod patterns; // the `patterns` file: subscriptions by ID
mod block; //    events, packed
mod piece; //    large blocks, in pieces
mod index; //    where events are, in memory
mod pages; //    where events are, on disk
mod bloom; //    where publications are not
mod cursor; //   lists read as one
mod segment; //  blocks and the index over them
mod active; //   the sled database that grows
mod recent; //   its newest blocks, in memory
mod sealed; //   the file that does not
mod seal; //     from the one to the other
mod scan; //     blocks found without either's help
mod floors; //   how far the bounds of a filter reach
mod per_topic; // from where on a topic is kept
mod rescan; //   a segment read anew
mod shared; //   what the following share
mod writer; //   append
mod dispose; //  what is removed, now or later
mod keeper; //   the thread that prepares and seals
mod retain; //   and drops what nobody keeps
mod unwanted; // what that is, event by event
mod reclaim; //  and writes segments anew without it
mod pace; //     stride by stride
mod purge; //    events that have to go at once
mod newest; //   the newest of every topic, in a segment
mod count; //    how many there are
mod moment; //   read
mod at_once; //  read what is in memory
mod recover; //  open
mod revive; //   one segment from what is left of its files
mod begin; //    a life of it begins
mod glance; //   what can be said without opening
mod identify; // and by whom it was written
mod on_demand; // open while it is used

pub(crate) use on_demand::OnDemand;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use self::begin::{note_holes, opened, reserve_first, sizes, take_over};
use self::disk::Disk;
use self::head::{Head, Origin};
use self::keeper::Keeper;
use self::lock::FolderLock;
use self::mark::{Marked, Rest};
use self::moment::Moment;
use self::patterns::Patterns;
use self::recover::{Recovered, recover};
use self::segment::store_error;
use self::shared::{Keeping, Shared, Sizes};
use self::writer::Writer;
use crate::error::{AppendError, OpenError, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, FilterId, FilterTable, StoredTopic};
use crate::page;
use crate::query::{PageEnd, Purge, Query, Scope, Viewer};
use crate::store::{Appended, EventStore, Full, Info, Lost, Opened, Span, StoreConfig, Usage};

/// The sled engine.
#[derive(Debug)]
pub(crate) struct Sled {
    opened: Opened,
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// Held by the one purge at a time.
    purging: Mutex<()>,
    /// The lock on the folder goes with the last who uses the store. One that is only read holds
    /// none: whoever comes to write is not kept from it, and what he removes stays readable while
    /// it is open.
    _lock: Option<Arc<FolderLock>>,
}

/// Where a store is and what it may do there: the same each time it is opened by this process.
#[derive(Debug, Clone)]
struct Site {
    disk: Disk,
    sizes: Sizes,
    path: PathBuf,
    full: Full,
    sync: bool,
    /// None where the folder of a store that is only read has no such file.
    lock: Option<Arc<FolderLock>>,
}

impl Site {
    /// Creates the folder where missing, unless it is only read, and locks it.
    fn take(
        disk: Disk,
        sizes: Sizes,
        path: &Path,
        config: &StoreConfig,
    ) -> Result<Self, OpenError> {
        let lock = if disk.is_readonly() {
            FolderLock::to_read(path)?
        } else {
            disk.create_folder(path)?;
            Some(FolderLock::to_write(&disk, path)?)
        };
        Ok(Self {
            disk,
            sizes,
            path: path.to_owned(),
            full: config.full,
            sync: config.sync,
            lock: lock.map(Arc::new),
        })
    }
}

impl Site {
    /// [`EventStore::room`] where all that takes so many bytes is sealed.
    fn room(&self, bytes: u64) -> u64 {
        match self.full {
            Full::DropOldest => u64::MAX,
            Full::Refuse => self.sizes.capacity().saturating_sub(bytes),
        }
    }
}

impl Sled {
    /// Opens or begins the store in a folder.
    pub(crate) fn open(path: &Path, config: StoreConfig) -> Result<Self, OpenError> {
        let sizes = sizes(&config)?;
        Self::open_on(Disk::default(), sizes, path, config)
    }

    /// Opens the store in a folder to read it, without changing a byte of it. sled has no part in
    /// this: it writes whenever it opens.
    pub(crate) fn open_readonly(path: &Path, config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_on(Disk::readonly(), Sizes::of(config.maxsize), path, config)
    }

    fn open_on(
        disk: Disk,
        sizes: Sizes,
        path: &Path,
        config: StoreConfig,
    ) -> Result<Self, OpenError> {
        let site = Site::take(disk, sizes, path, &config)?;
        let mut found = recover(&site.disk, path, &config.realm)?;
        let filters = take_over(&mut found, &site.disk, path, &config)?;
        let filters = FilterTable::new(filters).with_gone(found.catalog.gone());
        Self::begin(&site, found, &Arc::new(filters))
    }

    /// Opens a store of this process that was at rest: nothing about it is new. With `write`,
    /// the first segment is prepared at once.
    fn reopen(
        site: &Site,
        origin: &Origin,
        filters: &Arc<FilterTable>,
        write: bool,
    ) -> Result<Self, OpenError> {
        let mut found = recover(&site.disk, &site.path, &origin.realm)?;
        if found.catalog.origin != *origin {
            return Err(OpenError::Replaced {
                path: site.path.clone(),
            });
        }
        found.catalog.told = found.catalog.told.max(found.last_time);
        let before = found.catalog.clone();
        note_holes(&mut found);
        if found.catalog != before {
            found.catalog.write(&site.disk, &site.path)?;
        }
        let reserved = found.mark.now().reserved;
        Self::run(site, found, filters, reserved, write)
    }

    /// Lets a life of the store begin: the first sequences are reserved, and the first segment
    /// is prepared.
    fn begin(
        site: &Site,
        mut found: Recovered,
        filters: &Arc<FilterTable>,
    ) -> Result<Self, OpenError> {
        let reserved = match site.disk.is_readonly() {
            true => found.next_sequence,
            false => reserve_first(&mut found)?,
        };
        Self::run(site, found, filters, reserved, true)
    }

    /// Sets what was found going; with `write`, the first segment is prepared at once.
    fn run(
        site: &Site,
        mut found: Recovered,
        filters: &Arc<FilterTable>,
        reserved: Sequence,
        write: bool,
    ) -> Result<Self, OpenError> {
        let Site { disk, path, .. } = site;
        let opened = opened(&mut found, reserved, disk, path);
        let Recovered {
            catalog,
            mark,
            segments,
            ..
        } = found;
        let patterns = Patterns::open(disk, path, &catalog.origin.key)?;
        let newest = segments.iter().rev().find_map(|segment| segment.last());
        let newest = newest.map_or(Sequence::ZERO, |(newest, _)| newest);
        let writer = Writer::new(newest.max(mark.now().acknowledged), found.last_time);
        let head = Head {
            origin: catalog.origin.clone(),
            filters: head::bare(filters.configured()),
        };
        let unsealed = segments.iter().any(|segment| segment.sealed().is_none());
        let keeping = Keeping {
            work: write || unsealed,
            wants_next: write,
            ..Keeping::default()
        };
        let shared = Arc::new(Shared::new(
            disk.clone(),
            path.clone(),
            site.sizes,
            site.full,
            site.sync,
            head,
            Arc::clone(filters),
            catalog,
            mark,
            patterns,
            segments,
            keeping,
        ));
        shared.count_room(&shared.keeping.lock());
        let readonly = shared.disk.is_readonly();
        let keeper = match readonly {
            true => None,
            false => Some(start_keeper(&shared, found.next_generation)?),
        };
        Ok(Self {
            opened,
            shared,
            writer: Mutex::new(writer),
            keeper: Mutex::new(keeper),
            purging: Mutex::new(()),
            _lock: site.lock.clone().filter(|_| !readonly),
        })
    }

    /// Brings the store to where nothing is lost or left to do if it is never opened again: what
    /// it holds, if all of that could be sealed. It takes no more events.
    fn rest(&self) -> Result<Option<Rest>, StoreError> {
        let shared = &self.shared;
        let mut writer = self.writer.lock();
        let flushed = writer.close(shared);
        self.stop_keeper(true);
        shared.patterns.save(true)?;
        flushed?;
        // What became too old in this life stays so, whatever `max_age` the next one has.
        if shared.tell_time_every.is_some() {
            shared.save_catalog();
        }
        let segments = shared.segments();
        if segments.iter().any(|segment| segment.sealed().is_none()) {
            return Ok(None);
        }
        let rest = Rest::of(
            &shared.catalog.lock(),
            &segments,
            shared.disk.size(&shared.folder),
        );
        let mut mark = shared.mark.lock();
        let now = mark.now();
        mark.rest(now, &rest)?;
        Ok(Some(rest))
    }

    /// As [`EventStore::close`]; where little is left to seal, it is sealed, so that the next
    /// start has nothing to look at.
    fn close_at_rest(&self, next: Sequence) -> Result<(), StoreError> {
        let segments = self.shared.segments();
        let unsealed = segments.iter().filter(|segment| segment.sealed().is_none());
        let bytes: u64 = unsealed.map(|segment| segment.sealed_bytes()).sum();
        drop(segments);
        let rest = match bytes <= SEALED_AT_THE_END {
            true => self.rest()?,
            false => None,
        };
        let Some(rest) = rest else {
            return self.close(next);
        };
        let mut mark = self.shared.mark.lock();
        let now = mark.now();
        let clean = next.max(now.acknowledged.next());
        Ok(mark.rest(Marked { clean, ..now }, &rest)?)
    }

    /// Ends the keeper; with `settle`, it seals first what is not sealed.
    fn stop_keeper(&self, settle: bool) {
        let Some(keeper) = self.keeper.lock().take() else {
            return;
        };
        let mut keeping = self.shared.keeping.lock();
        keeping.closing = true;
        keeping.settle = settle;
        drop(keeping);
        self.shared.changed.notify_all();
        if keeper.join().is_err() {
            log::error!("the keeper of a history panicked");
        }
    }
}

fn start_keeper(shared: &Arc<Shared>, generation: u64) -> Result<JoinHandle<()>, OpenError> {
    Keeper::start(Arc::clone(shared), generation).map_err(|source| OpenError::Io {
        what: "cannot start a thread for",
        path: shared.folder.clone(),
        source,
    })
}

/// Bytes that a clean end seals, at most: a few milliseconds.
const SEALED_AT_THE_END: u64 = 1 << 20;

impl Drop for Sled {
    fn drop(&mut self) {
        self.stop_keeper(false);
    }
}

impl EventStore for Sled {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn filters(&self) -> &[ConfiguredFilter] {
        self.shared.filters.configured()
    }

    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        self.shared.filters.topic(topic)
    }

    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.shared.filters.covering(uri, match_policy)
    }

    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.shared.filters.readable(uri, match_policy)
    }

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.shared.head.origin.key.subscription(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        let key = &self.shared.head.origin.key;
        for filter in self.shared.filters.all() {
            if key.subscription(&filter.uri, filter.match_policy) == id {
                return Some((filter.uri.clone(), filter.match_policy));
            }
        }
        if let Some(found) = self.find_remembered(id) {
            return Some(found);
        }
        for segment in self.shared.segments().iter().rev() {
            match segment.subscribed_topic(id) {
                Ok(Some(topic)) => return Some((topic, MatchPolicy::Exact)),
                Ok(None) => {}
                Err(fault) => {
                    log::warn!("{}", store_error("cannot read", &segment.path, fault));
                }
            }
        }
        None
    }

    fn find_remembered(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.shared.patterns.find(id)
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        let id = self.subscription_id(uri, match_policy);
        self.shared.patterns.remember(id, uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        if self.opened.readonly {
            return Err(StoreError::ReadOnly);
        }
        self.shared.reserve(end)
    }

    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        if self.opened.readonly {
            return Err(AppendError {
                stored: 0,
                cause: StoreError::ReadOnly,
            });
        }
        self.writer.lock().append(&self.shared, events)
    }

    fn commit_bytes(&self) -> u64 {
        self.shared.sizes.commit()
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        page::read(&Moment::now(&self.shared), query, pending, visit)
    }

    fn read_at_once(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        now: Timestamp,
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Option<PageEnd> {
        self.shared.at(now);
        at_once::read(&self.shared, query, pending, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        page::span(&Moment::now(&self.shared), scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        page::info(&Moment::now(&self.shared), scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        page::previous(&Moment::now(&self.shared), scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.shared.at(now);
    }

    fn tell_time_every(&self) -> Option<Duration> {
        self.shared.tell_time_every
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        self.purge_events(scope, viewer, what)
    }

    fn room(&self) -> u64 {
        self.shared.room()
    }

    fn usage(&self) -> Usage {
        count::usage(&self.shared)
    }

    fn lost(&self) -> Vec<Lost> {
        self.shared.catalog.lock().lost.clone()
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        match self.opened.readonly {
            true => Err(StoreError::ReadOnly),
            false => self.shared.note_gap(lost),
        }
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        if self.opened.readonly {
            return Ok(());
        }
        self.writer.lock().close(&self.shared)?;
        self.stop_keeper(false);
        self.shared.patterns.save(true)?;
        // What became too old in this life stays so, whatever `max_age` the next one has.
        if self.shared.tell_time_every.is_some() {
            self.shared.save_catalog();
        }
        let mut mark = self.shared.mark.lock();
        let now = mark.now();
        let next = next.max(now.acknowledged.next());
        mark.set(Marked { clean: next, ..now })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
