//! The sled engine: events in segments below one folder. The newest segment grows in a sled
//! database, one durable transaction a commit; when it is full the next takes its place, and a
//! thread of the store's own seals it: its events go, densely packed and indexed, into one file
//! that never changes. `maxsize` holds by dropping the oldest files. See `FORMAT.md`.

mod fields; //   little-endian fields, and the envelope around small files
mod disk; //     the file operations
mod head; //     who a store is, and how a segment begins
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
mod sealed; //   the file that does not
mod seal; //     from the one to the other
mod scan; //     blocks found without either's help
mod floors; //   how far the bounds of a filter reach
mod shared; //   what the following share
mod writer; //   append
mod keeper; //   the thread that prepares and seals
mod retain; //   and drops what nobody keeps
mod newest; //   the newest of every topic, in a segment
mod moment; //   read
mod recover; //  open
mod revive; //   one segment from what is left of its files

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::Mutex;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use self::catalog::{Catalog, Known};
use self::disk::Disk;
use self::head::Head;
use self::keeper::Keeper;
use self::mark::Marked;
use self::moment::Moment;
use self::patterns::Patterns;
use self::recover::{Recovered, recover};
use self::segment::{Segment, store_error};
use self::shared::{Shared, Sizes};
use self::writer::Writer;
use crate::error::{AppendError, OpenError, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, Filter, FilterId, StoredTopic};
use crate::page;
use crate::query::{PageEnd, Query, Scope, Viewer};
use crate::store::{
    Appended, EventStore, Lost, MIN_SLED_MAXSIZE, Opened, RESERVATION, Span, StoreConfig, Usage,
};

/// The sled engine.
#[derive(Debug)]
pub(crate) struct Sled {
    opened: Opened,
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    /// The lock on the folder goes with the store. One that is only read holds none: whoever
    /// comes to write is not kept from it, and what he removes stays readable while it is open.
    _lock: Option<std::fs::File>,
}

impl Sled {
    /// Opens or begins the store in a folder.
    pub(crate) fn open(path: &Path, config: StoreConfig) -> Result<Self, OpenError> {
        if config.maxsize < MIN_SLED_MAXSIZE {
            let maxsize = config.maxsize;
            return Err(OpenError::TooSmall {
                maxsize,
                least: MIN_SLED_MAXSIZE,
            });
        }
        Self::open_on(Disk::default(), Sizes::of(config.maxsize), path, config)
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
        let mut found = recover(&disk, path, &config.realm)?;
        let filters = take_over(&mut found, &disk, path, &config)?;
        let reserved = match disk.is_readonly() {
            true => found.next_sequence,
            false => reserve_first(&mut found)?,
        };
        let opened = opened(&mut found, reserved, &disk, path);
        let Recovered {
            catalog,
            mark,
            segments,
            ..
        } = found;
        let patterns = Patterns::open(&disk, path, &catalog.origin.key)?;
        let newest = segments.iter().rev().find_map(|segment| segment.last());
        let newest = newest.map_or(Sequence::ZERO, |(newest, _)| newest);
        let writer = Writer::new(newest.max(mark.now().acknowledged), found.last_time);
        let head = Head {
            origin: catalog.origin.clone(),
            filters: bare(&filters),
        };
        let shared = Arc::new(Shared::new(
            disk,
            path.to_owned(),
            sizes,
            config.sync,
            head,
            filters,
            catalog,
            mark,
            patterns,
            segments,
        ));
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
            _lock: found.lock.filter(|_| !readonly),
        })
    }

    fn stop_keeper(&self) {
        let Some(keeper) = self.keeper.lock().take() else {
            return;
        };
        self.shared.keeping.lock().closing = true;
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

/// What segments know of filters: not how much is kept.
fn bare(filters: &[ConfiguredFilter]) -> Vec<ConfiguredFilter> {
    let filters = filters.iter().map(|ConfiguredFilter { id, filter }| {
        let filter = Filter::new(filter.uri.clone(), filter.match_policy);
        ConfiguredFilter { id: *id, filter }
    });
    filters.collect()
}

/// Brings the catalog up to what is configured and what was found missing.
fn take_over(
    found: &mut Recovered,
    disk: &Disk,
    path: &Path,
    config: &StoreConfig,
) -> Result<Vec<ConfiguredFilter>, OpenError> {
    found.catalog.told = found.catalog.told.max(found.last_time);
    let before = found.catalog.clone();
    raise_floors(&mut found.catalog, &found.segments);
    let filters = config.filters.iter().cloned();
    let filters = filters.map(|filter| filter.or_limit(config.limit));
    let filters = found.catalog.configure(filters.collect());
    for (hole, why) in &found.holes {
        if found.catalog.note_lost(hole.from, hole.to, why) {
            log::error!(
                realm = config.realm.as_str(), from = hole.from.get(), to = hole.to.get();
                "events may be missing from the history: {why}"
            );
        }
    }
    let is_new = found.catalog != before || !Catalog::path(path).exists();
    if is_new && !disk.is_readonly() {
        found.catalog.write(disk, path)?;
    }
    Ok(filters)
}

/// Reserves the first sequences, and marks the store as in use.
fn reserve_first(found: &mut Recovered) -> Result<Sequence, OpenError> {
    let marked = found.mark.now();
    let end = Sequence::new(found.next_sequence.get().saturating_add(RESERVATION));
    let reserved = end.max(marked.reserved);
    let (last_time, clean) = (found.last_time, Sequence::ZERO);
    found.mark.set(Marked {
        reserved,
        last_time,
        clean,
        ..marked
    })?;
    Ok(reserved)
}

fn opened(found: &mut Recovered, reserved: Sequence, disk: &Disk, path: &Path) -> Opened {
    let events = found
        .segments
        .iter()
        .map(|segment| u64::from(segment.events()));
    Opened {
        incarnation: found.catalog.origin.incarnation,
        next_sequence: found.next_sequence,
        reserved,
        last_time: found.last_time,
        events: events.sum(),
        bytes: disk.size(path),
        readonly: disk.is_readonly(),
        recovered: found.recovered,
        lost: found.catalog.lost.clone(),
        set_aside: std::mem::take(&mut found.set_aside),
        path: Some(path.to_owned()),
    }
}

/// What the bounds of the last life dropped stays dropped, whatever the bounds are now.
fn raise_floors(catalog: &mut Catalog, segments: &[Arc<Segment>]) {
    for Known { id, filter, .. } in catalog.filters.clone() {
        let limit = floors::limit_floor(segments, id, filter.limit, 0);
        let age = floors::age_floor(segments, id, filter.oldest_at(catalog.told));
        // A block that cannot be read costs a bound its memory, nothing else.
        for floor in [limit, age].into_iter().flatten().flatten() {
            catalog.raise_floor(id, floor);
        }
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        self.stop_keeper();
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

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.shared.head.origin.key.subscription(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        let key = &self.shared.head.origin.key;
        let filters = self.filters().iter().map(|configured| &configured.filter);
        for filter in filters {
            if key.subscription(&filter.uri, filter.match_policy) == id {
                return Some((filter.uri.clone(), filter.match_policy));
            }
        }
        if let Some(found) = self.shared.patterns.find(id) {
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

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        page::span(&Moment::now(&self.shared), scope, viewer, pending)
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

    fn usage(&self) -> Usage {
        let segments = self.shared.segments();
        let kept = |filter: &ConfiguredFilter| {
            let counts = segments
                .iter()
                .map(|segment| u64::from(segment.filter(filter.id).0));
            let count: u64 = counts.sum();
            (
                filter.id,
                filter.filter.limit.map_or(count, |limit| count.min(limit)),
            )
        };
        Usage {
            events: segments
                .iter()
                .map(|segment| u64::from(segment.events()))
                .sum(),
            bytes: self.shared.used(&self.shared.keeping.lock()),
            segments: segments.len() as u64,
            filters: self.filters().iter().map(kept).collect(),
        }
    }

    fn lost(&self) -> Vec<Lost> {
        self.shared.catalog.lock().lost.clone()
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        if self.opened.readonly {
            return Ok(());
        }
        self.writer.lock().close(&self.shared)?;
        self.stop_keeper();
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
