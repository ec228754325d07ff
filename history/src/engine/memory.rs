//! The memory engine: events in queues, one a filter and one a topic, gone with the process.
//! Events are shared with whoever handed them in; nothing is copied.

mod shelf; // the queues

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::{Mutex, RwLock};
use rewamp_wamp::id::{PublicationId, SubscriptionId};
use rewamp_wamp::uri::MatchPolicy;

use self::shelf::Shelf;
use crate::error::{AppendError, OpenError, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, FilterId, FilterTable, StoredTopic};
use crate::page::{self, Amount, Committed, Newest, Reach, Target, Visit};
use crate::query::{PageEnd, Purge, Query, Scope, Viewer};
use crate::retention;
use crate::store::{
    Appended, EventStore, Incarnation, Info, Lost, Opened, RESERVATION, Span, StoreConfig, Usage,
};
use crate::subscription::{PatternTable, StoreKey};

/// Events that a filter keeps where neither it nor the store says: as at Crossbar.
const DEFAULT_LIMIT: u64 = 100;

/// The memory engine.
#[derive(Debug)]
pub(crate) struct Memory {
    opened: Opened,
    key: StoreKey,
    filters: FilterTable,
    patterns: Mutex<PatternTable>,
    reserved: AtomicU64,
    closed: AtomicBool,
    /// The latest time that the store was told.
    now: AtomicU64,
    shelf: RwLock<Shelf>,
    lost: Mutex<Vec<Lost>>,
}

impl Memory {
    /// A store without events, which begins at [`StoreConfig::memory_begin`].
    pub(crate) fn begin(config: StoreConfig) -> Result<Self, OpenError> {
        let mut secret = [0; 48];
        getrandom::fill(&mut secret).map_err(|error| OpenError::Random(error.to_string()))?;
        let (incarnation, key) = secret.split_at(16);
        let incarnation = Incarnation(incarnation.try_into().unwrap_or_default());
        let key = StoreKey::from_bytes(key.try_into().unwrap_or_default());
        let default = config.limit.unwrap_or(DEFAULT_LIMIT);
        let filters =
            config
                .filters
                .into_iter()
                .zip(0..)
                .map(|(filter, number)| ConfiguredFilter {
                    id: FilterId::new(number),
                    filter: filter.or_limit(Some(default)),
                });
        let filters = FilterTable::new(filters.collect());
        let begin = config.memory_begin.max(Sequence::new(1));
        let reserved = Sequence::new(begin.get().saturating_add(RESERVATION));
        let limits = filters
            .configured()
            .iter()
            .map(|filter| (filter.id, &filter.filter));
        Ok(Self {
            opened: Opened {
                incarnation,
                next_sequence: begin,
                reserved,
                last_time: Timestamp::ZERO,
                events: 0,
                bytes: 0,
                readonly: false,
                recovered: false,
                lost: Vec::new(),
                set_aside: Vec::new(),
                path: None,
            },
            // What an earlier life had is dropped: clients that resume from it are told.
            shelf: RwLock::new(Shelf::new(
                limits,
                config.maxsize,
                config.full,
                begin.previous(),
            )),
            key,
            filters,
            lost: Mutex::default(),
            patterns: Mutex::default(),
            reserved: AtomicU64::new(reserved.get()),
            closed: AtomicBool::new(false),
            now: AtomicU64::new(0),
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::Acquire))
    }

    fn committed(&self) -> Moment<'_> {
        Moment {
            store: self,
            newest: self.shelf.read().newest(),
        }
    }
}

impl EventStore for Memory {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn filters(&self) -> &[ConfiguredFilter] {
        self.filters.configured()
    }

    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        self.filters.topic(topic)
    }

    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.filters.covering(uri, match_policy)
    }

    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.filters.covering(uri, match_policy)
    }

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.key.subscription(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        let filters = self
            .filters
            .configured()
            .iter()
            .map(|configured| &configured.filter);
        for filter in filters {
            if self.key.subscription(&filter.uri, filter.match_policy) == id {
                return Some((filter.uri.clone(), filter.match_policy));
            }
        }
        let topic = self.shelf.read().subscribed_topic(id);
        topic
            .map(|topic| (topic, MatchPolicy::Exact))
            .or_else(|| self.patterns.lock().find(id))
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        let id = self.key.subscription(uri, match_policy);
        self.patterns.lock().remember(id, uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        let before = self.reserved.fetch_max(end.get(), Ordering::AcqRel);
        Ok(Sequence::new(before.max(end.get())))
    }

    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError {
                stored: 0,
                cause: StoreError::Closed,
            });
        }
        let mut shelf = self.shelf.write();
        let mut bytes = 0;
        for (stored, event) in events.iter().enumerate() {
            let newest = shelf.newest();
            if event.sequence <= newest {
                let cause = StoreError::OutOfOrder {
                    newest,
                    sequence: event.sequence,
                };
                return Err(AppendError { stored, cause });
            }
            bytes += event.footprint();
            shelf.put(event, &self.key);
        }
        Ok(Appended { commits: 1, bytes })
    }

    fn commit_bytes(&self) -> u64 {
        u64::MAX
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        page::read(&self.committed(), query, pending, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        page::span(&self.committed(), scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        page::info(&self.committed(), scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        page::previous(&self.committed(), scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.now.fetch_max(now.nanos(), Ordering::AcqRel);
        for ConfiguredFilter { id, filter } in self.filters.configured() {
            let oldest = filter.oldest_at(self.now());
            if filter.max_age.is_some() && self.shelf.read().is_older(*id, oldest) {
                self.shelf.write().drop_older(*id, oldest);
            }
        }
    }

    fn tell_time_every(&self) -> Option<Duration> {
        let filters = self.filters.configured().iter();
        retention::tell_time_every(filters.map(|configured| &configured.filter))
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        let doomed = page::doomed(&self.committed(), scope, viewer, what)?;
        let mut shelf = self.shelf.write();
        doomed.runs.each().for_each(|event| shelf.purge(event));
        if let Some(floor) = doomed.floor {
            shelf.raise_floor(scope.filter, floor);
        }
        Ok(doomed.events)
    }

    fn room(&self) -> u64 {
        self.shelf.read().room()
    }

    fn usage(&self) -> Usage {
        let shelf = self.shelf.read();
        let filters = self.filters.configured().iter();
        Usage {
            events: shelf.events(),
            bytes: shelf.bytes(),
            segments: 0,
            filters: filters
                .map(|filter| (filter.id, shelf.kept(filter.id)))
                .collect(),
        }
    }

    fn lost(&self) -> Vec<Lost> {
        self.lost.lock().clone()
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        lost.note(&mut self.lost.lock());
        Ok(())
    }

    fn close(&self, _next: Sequence) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

/// Events copied out of the queues at once: the lock is never held while a page is made.
/// Small at first, since most pages are; 16 bytes each.
const BATCHES: [usize; 3] = [32, 256, 1_024];

/// The store as of one moment. What retention drops meanwhile is missing from the rest of the
/// walk; what comes in is not seen.
struct Moment<'s> {
    store: &'s Memory,
    newest: Sequence,
}

impl Committed for Moment<'_> {
    fn newest(&self) -> Sequence {
        self.newest
    }

    fn reserved(&self) -> Sequence {
        Sequence::new(self.store.reserved.load(Ordering::Acquire))
    }

    fn is_whole(&self, scope: &Scope) -> bool {
        self.store
            .filters
            .is_own(scope.filter, &scope.uri, scope.match_policy)
    }

    fn limit(&self, filter: FilterId) -> Option<u64> {
        self.store.shelf.read().limit(filter)
    }

    fn floor(&self, filter: FilterId, more: u64) -> Result<Sequence, StoreError> {
        Ok(self.store.shelf.read().floor(filter, more))
    }

    fn limit_per_topic(&self, filter: FilterId) -> Option<u64> {
        self.store.shelf.read().limit_per_topic(filter)
    }

    fn topic_floor(
        &self,
        filter: FilterId,
        topic: &str,
        newer: u64,
    ) -> Result<Sequence, StoreError> {
        Ok(self.store.shelf.read().topic_floor(filter, topic, newer))
    }

    fn oldest(&self, filter: FilterId) -> Timestamp {
        let mut configured = self.store.filters.configured().iter();
        let own = configured.find(|configured| configured.id == filter);
        own.map_or(Timestamp::ZERO, |own| {
            own.filter.oldest_at(self.store.now())
        })
    }

    fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, StoreError> {
        Ok(self.store.shelf.read().locate(publication))
    }

    fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, StoreError> {
        let mut events = 0;
        let count = |target: Target<'_>| self.store.shelf.read().count(filter, target, reach);
        match target {
            Target::Pattern(..) => self.each_topic(target, |topic| {
                events += count(Target::Topic(topic));
            }),
            _ => events = count(target),
        }
        let shelf = self.store.shelf.read();
        let share = u128::from(shelf.bytes()) * u128::from(events);
        let bytes = share / u128::from(shelf.events().max(1));
        Ok(Amount {
            events,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        })
    }

    fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.each_event(filter, target, reach, reverse, |event| {
            visit(&EventRef::from(&**event))
        });
        Ok(())
    }

    fn walk_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut chosen = Vec::new();
        self.each_topic(newest.target, |topic| {
            self.choose(newest, topic, &mut chosen);
        });
        chosen.retain(|event| shown.holds(&EventRef::from(&**event)));
        chosen.sort_unstable_by_key(|event| event.sequence);
        if reverse {
            chosen.reverse();
        }
        let _ = chosen
            .iter()
            .try_for_each(|event| visit(&EventRef::from(&**event)));
        Ok(())
    }
}

/// Topics that are listed at once.
const TOPICS: usize = 1_024;

impl Moment<'_> {
    /// The topics on target that may have events, in parts: the lock is not held for all.
    fn each_topic(&self, target: Target<'_>, mut visit: impl FnMut(&ByteString)) {
        let mut after = None;
        loop {
            let names = self
                .store
                .shelf
                .read()
                .names(target, after.as_ref(), TOPICS);
            names.iter().for_each(&mut visit);
            match names.last() {
                Some(last) if names.len() == TOPICS => after = Some(last.clone()),
                _ => return,
            }
        }
    }

    /// Appends the events of one topic that the choice wants.
    fn choose(&self, newest: &mut Newest<'_>, topic: &ByteString, chosen: &mut Vec<Arc<Event>>) {
        let (filter, range) = (newest.filter, newest.range);
        let left = newest.left(topic);
        let mut taken = 0;
        self.each_event(filter, Target::Topic(topic), &range, true, |event| {
            if taken == left || newest.is_cut() {
                return ControlFlow::Break(());
            }
            if newest.admits(&EventRef::from(&**event)) {
                chosen.push(Arc::clone(event));
                taken += 1;
            }
            ControlFlow::Continue(())
        });
        newest.take(topic, taken);
    }

    /// Visits the filter's events on target within `reach`, in order.
    fn each_event(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        mut visit: impl FnMut(&Arc<Event>) -> ControlFlow<()>,
    ) {
        let mut rest = *reach;
        let mut batch = Vec::new();
        for size in BATCHES.iter().chain(std::iter::repeat(&BATCHES[2])) {
            batch.clear();
            self.store
                .shelf
                .read()
                .collect(filter, target, &rest, reverse, *size, &mut batch);
            if batch.iter().try_for_each(&mut visit).is_break() {
                return;
            }
            match batch.last() {
                Some(last) if batch.len() == *size && reverse => {
                    rest.last = last.sequence.previous();
                }
                Some(last) if batch.len() == *size => rest.first = last.sequence.next(),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
