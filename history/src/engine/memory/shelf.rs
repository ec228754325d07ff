//! Where the memory engine keeps its events: each once, in one queue a filter that covers it,
//! one of its topic and the order of all. Bounded in events a filter and in bytes altogether.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;
use rewamp_wamp::id::{PublicationId, SubscriptionId};
use rewamp_wamp::uri::{MatchPolicy, matches};

use crate::event::{Event, Sequence, Timestamp};
use crate::filter::{Filter, FilterId};
use crate::page::{Reach, Target};
use crate::store::Full;
use crate::subscription::StoreKey;
use crate::topics::literal_prefix;

type Queue = VecDeque<Arc<Event>>;
type Map<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// All events of a memory store.
#[derive(Debug)]
pub(super) struct Shelf {
    all: BTreeMap<Sequence, Kept>,
    filters: Map<FilterId, Kind>,
    topics: BTreeMap<ByteString, Topic>,
    subscriptions: Map<SubscriptionId, ByteString>,
    publications: Map<PublicationId, Sequence>,
    newest: Sequence,
    bytes: u64,
    maxsize: u64,
    full: Full,
}

/// An event and how many filters still keep it.
#[derive(Debug)]
struct Kept {
    event: Arc<Event>,
    keepers: usize,
}

/// What one filter keeps.
#[derive(Debug)]
struct Kind {
    events: Queue,
    limit: Option<u64>,
    limit_per_topic: Option<u64>,
    /// The newest event that it dropped.
    floor: Sequence,
}

impl Kind {
    fn is_over(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.events.len() as u64 > limit)
    }
}

/// A topic with at least one event.
#[derive(Debug)]
struct Topic {
    events: Queue,
    subscription: SubscriptionId,
}

impl Shelf {
    /// An empty shelf; everything up to `floor` counts as dropped.
    pub(super) fn new<'f>(
        filters: impl Iterator<Item = (FilterId, &'f Filter)>,
        maxsize: u64,
        full: Full,
        floor: Sequence,
    ) -> Self {
        let kind = |filter: &Filter| Kind {
            events: Queue::new(),
            limit: filter.limit,
            limit_per_topic: filter.limit_per_topic,
            floor,
        };
        Self {
            all: BTreeMap::new(),
            filters: filters.map(|(id, filter)| (id, kind(filter))).collect(),
            topics: BTreeMap::new(),
            subscriptions: Map::default(),
            publications: Map::default(),
            newest: Sequence::ZERO,
            bytes: 0,
            maxsize,
            full,
        }
    }

    pub(super) fn newest(&self) -> Sequence {
        self.newest
    }

    pub(super) fn events(&self) -> u64 {
        self.all.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that fit, if the oldest events do not make room.
    pub(super) fn room(&self) -> u64 {
        match self.full {
            Full::DropOldest => u64::MAX,
            Full::Refuse => self.maxsize.saturating_sub(self.bytes),
        }
    }

    pub(super) fn kept(&self, filter: FilterId) -> u64 {
        self.filters
            .get(&filter)
            .map_or(0, |kind| kind.events.len() as u64)
    }

    pub(super) fn limit(&self, filter: FilterId) -> Option<u64> {
        self.filters.get(&filter).and_then(|kind| kind.limit)
    }

    pub(super) fn limit_per_topic(&self, filter: FilterId) -> Option<u64> {
        self.filters.get(&filter)?.limit_per_topic
    }

    /// From where on the filter keeps the events of a topic, if `newer` more are to come.
    pub(super) fn topic_floor(&self, filter: FilterId, topic: &str, newer: u64) -> Sequence {
        let Some(each) = self.limit_per_topic(filter) else {
            return Sequence::ZERO;
        };
        let events = self.topics.get(topic).map(|topic| &topic.events);
        match each.checked_sub(newer).filter(|left| *left > 0) {
            None => Sequence::MAX,
            Some(left) => events
                .and_then(|events| {
                    let oldest = events.len().checked_sub(usize::try_from(left).ok()?)?;
                    events.get(oldest)
                })
                .map_or(Sequence::ZERO, |event| event.sequence),
        }
    }

    pub(super) fn locate(&self, publication: PublicationId) -> Option<Sequence> {
        self.publications.get(&publication).copied()
    }

    pub(super) fn subscribed_topic(&self, id: SubscriptionId) -> Option<ByteString> {
        self.subscriptions.get(&id).cloned()
    }

    /// The newest event that the filter dropped, or would drop if `more` came.
    pub(super) fn floor(&self, filter: FilterId, more: u64) -> Sequence {
        let Some(Kind {
            events,
            limit,
            limit_per_topic,
            floor,
        }) = self.filters.get(&filter)
        else {
            return Sequence::ZERO;
        };
        if limit_per_topic.is_some() {
            return *floor;
        }
        let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(more));
        let surplus = (events.len() as u64).saturating_sub(room) as usize;
        let dropped = surplus.checked_sub(1).and_then(|last| events.get(last));
        dropped.map_or(*floor, |event| event.sequence)
    }

    /// Keeps an event, and drops what no longer has room.
    pub(super) fn put(&mut self, event: &Arc<Event>, key: &StoreKey) {
        self.newest = event.sequence;
        let mut keepers = 0;
        let mut over = Vec::new();
        let mut by_topic = Vec::new();
        for filter in event.topic.filters() {
            let Some(kind) = self.filters.get_mut(filter) else {
                continue;
            };
            kind.events.push_back(Arc::clone(event));
            keepers += 1;
            by_topic.extend(kind.limit_per_topic.map(|each| (*filter, each)));
            if kind.is_over() {
                over.push(*filter);
            }
        }
        if keepers == 0 {
            return;
        }
        self.bytes += event.footprint();
        self.all.insert(
            event.sequence,
            Kept {
                event: Arc::clone(event),
                keepers,
            },
        );
        self.publications.insert(event.publication, event.sequence);
        self.put_topic(event, key);
        for (filter, each) in by_topic {
            self.give_way(filter, event.topic.name(), each);
        }
        for filter in over {
            let kind = self.filters.get(&filter);
            if kind.is_some_and(|kind| kind.is_over()) {
                self.drop_oldest(filter);
            }
        }
        while self.full == Full::DropOldest
            && self.bytes > self.maxsize
            && let Some((_, oldest)) = self.all.first_key_value()
        {
            let topic = Arc::clone(&oldest.event.topic);
            let oldest = oldest.event.sequence;
            for filter in topic.filters() {
                if self.front(*filter) == Some(oldest) {
                    self.drop_oldest(*filter);
                }
            }
        }
    }

    fn put_topic(&mut self, event: &Arc<Event>, key: &StoreKey) {
        if let Some(topic) = self.topics.get_mut(event.topic.name()) {
            topic.events.push_back(Arc::clone(event));
            return;
        }
        let name = event.topic.name();
        let subscription = event.topic.subscription(key);
        self.subscriptions.insert(subscription, name.clone());
        let topic = Topic {
            events: Queue::from([Arc::clone(event)]),
            subscription,
        };
        self.topics.insert(name.clone(), topic);
    }

    /// Whether the filter has events from before `oldest`.
    pub(super) fn is_older(&self, filter: FilterId, oldest: Timestamp) -> bool {
        let front = self
            .filters
            .get(&filter)
            .and_then(|kind| kind.events.front());
        front.is_some_and(|event| event.time < oldest)
    }

    /// Drops the filter's events from before `oldest`.
    pub(super) fn drop_older(&mut self, filter: FilterId, oldest: Timestamp) {
        while self.is_older(filter, oldest) {
            self.drop_oldest(filter);
        }
    }

    fn front(&self, filter: FilterId) -> Option<Sequence> {
        self.filters
            .get(&filter)?
            .events
            .front()
            .map(|event| event.sequence)
    }

    fn drop_oldest(&mut self, filter: FilterId) {
        let Some(kind) = self.filters.get_mut(&filter) else {
            return;
        };
        let Some(event) = kind.events.pop_front() else {
            return;
        };
        kind.floor = event.sequence;
        self.let_go(&event);
    }

    /// Drops what a filter keeps of a topic beyond the newest `each`: at most one event, since
    /// each that comes makes one too many.
    fn give_way(&mut self, filter: FilterId, topic: &str, each: u64) {
        let events = self.topics.get(topic).map(|topic| &topic.events);
        let oldest = events.and_then(|events| {
            let older = events.len().checked_sub(usize::try_from(each).ok()? + 1)?;
            events.get(older).cloned()
        });
        let (Some(event), Some(kind)) = (oldest, self.filters.get_mut(&filter)) else {
            return;
        };
        let place = kind
            .events
            .binary_search_by_key(&event.sequence, |event| event.sequence);
        if let Ok(place) = place {
            kind.events.remove(place);
            self.let_go(&event);
        }
    }

    /// Takes an event from every filter that keeps it.
    pub(super) fn purge(&mut self, sequence: Sequence) {
        let Some(kept) = self.all.get(&sequence) else {
            return;
        };
        let event = Arc::clone(&kept.event);
        for filter in event.topic.filters() {
            let Some(kind) = self.filters.get_mut(filter) else {
                continue;
            };
            let place = kind.events.binary_search_by_key(&sequence, |e| e.sequence);
            if let Ok(place) = place {
                kind.events.remove(place);
                self.let_go(&event);
            }
        }
    }

    /// What is up to `dropped` counts as dropped by the filter.
    pub(super) fn raise_floor(&mut self, filter: FilterId, dropped: Sequence) {
        if let Some(kind) = self.filters.get_mut(&filter) {
            kind.floor = kind.floor.max(dropped);
        }
    }

    /// One filter less keeps an event.
    fn let_go(&mut self, event: &Arc<Event>) {
        if let Some(kept) = self.all.get_mut(&event.sequence) {
            kept.keepers -= 1;
            if kept.keepers == 0 {
                self.forget(event);
            }
        }
    }

    /// Removes an event that no filter keeps.
    fn forget(&mut self, event: &Arc<Event>) {
        self.all.remove(&event.sequence);
        self.publications.remove(&event.publication);
        self.bytes -= event.footprint();
        let Some(topic) = self.topics.get_mut(event.topic.name()) else {
            return;
        };
        // Nearly always the first: filters drop in order.
        if let Ok(place) = topic
            .events
            .binary_search_by_key(&event.sequence, |e| e.sequence)
        {
            topic.events.remove(place);
        }
        if topic.events.is_empty() {
            self.subscriptions.remove(&topic.subscription);
            self.topics.remove(event.topic.name());
        }
    }

    /// Appends up to `size` of the filter's events on target within `reach` to `batch`.
    pub(super) fn collect(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        size: usize,
        batch: &mut Vec<Arc<Event>>,
    ) {
        match target {
            Target::Filter => {
                let events = self.filters.get(&filter).map(|kind| &kind.events);
                merge(events.into_iter(), reach, reverse, size, batch);
            }
            Target::Topic(name) => {
                let events = self.topics.get(name).map(|topic| &topic.events);
                merge(events.into_iter(), reach, reverse, size, batch);
            }
            Target::Pattern(pattern, match_policy) => {
                let topics = self.matching(pattern, match_policy, None);
                merge(
                    topics.map(|(_, topic)| &topic.events),
                    reach,
                    reverse,
                    size,
                    batch,
                );
            }
        }
    }

    /// How many of the filter's events on target lie within `reach`; of a topic or all.
    pub(super) fn count(&self, filter: FilterId, target: Target<'_>, reach: &Reach) -> u64 {
        let events = match target {
            Target::Topic(name) => self.topics.get(name).map(|topic| &topic.events),
            _ => self.filters.get(&filter).map(|kind| &kind.events),
        };
        events.map_or(0, |events| {
            let run = Run::within(events, reach, false);
            run.until.saturating_sub(run.from) as u64
        })
    }

    /// The first `size` topics on target behind `after`, by name.
    pub(super) fn names(
        &self,
        target: Target<'_>,
        after: Option<&ByteString>,
        size: usize,
    ) -> Vec<ByteString> {
        match target {
            // Nobody asks: a choice names a pattern.
            Target::Filter => Vec::new(),
            Target::Topic(name) => vec![ByteString::from(name)],
            Target::Pattern(pattern, match_policy) => self
                .matching(pattern, match_policy, after)
                .take(size)
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }

    /// The topics that a pattern stands for, by name, behind `after`.
    fn matching<'a>(
        &'a self,
        pattern: &'a str,
        match_policy: MatchPolicy,
        after: Option<&ByteString>,
    ) -> impl Iterator<Item = (&'a ByteString, &'a Topic)> {
        let prefix = literal_prefix(pattern, match_policy);
        let begin = after.map_or(Bound::Included(prefix), |after| Bound::Excluded(&**after));
        self.topics
            .range::<str, _>((begin, Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter(move |(name, _)| matches(pattern, match_policy, name))
    }
}

/// The first `size` events of several queues within `reach`, in one order.
fn merge<'a>(
    queues: impl Iterator<Item = &'a Queue>,
    reach: &Reach,
    reverse: bool,
    size: usize,
    batch: &mut Vec<Arc<Event>>,
) {
    let mut runs: Vec<_> = queues
        .map(|queue| Run::within(queue, reach, reverse))
        .collect();
    if let [run] = runs.as_mut_slice() {
        batch.extend(run.take(size).cloned());
        return;
    }
    let key = |event: &Event| {
        let sequence = event.sequence.get();
        Reverse(if reverse { !sequence } else { sequence })
    };
    let mut heads: BinaryHeap<(Reverse<u64>, usize)> = runs
        .iter()
        .enumerate()
        .filter_map(|(index, run)| Some((key(run.peek()?), index)))
        .collect();
    while batch.len() < size
        && let Some((_, index)) = heads.pop()
        && let Some(run) = runs.get_mut(index)
    {
        batch.extend(run.next().cloned());
        heads.extend(run.peek().map(|event| (key(event), index)));
    }
}

/// What is left of one queue, in the direction of reading.
struct Run<'a> {
    queue: &'a Queue,
    from: usize,
    until: usize,
    reverse: bool,
}

impl<'a> Run<'a> {
    fn within(queue: &'a Queue, reach: &Reach, reverse: bool) -> Self {
        let from = queue.partition_point(|event| reach.begins_after(event.sequence, event.time));
        let until = queue.partition_point(|event| !reach.ends_before(event.sequence, event.time));
        Self {
            queue,
            from,
            until,
            reverse,
        }
    }

    fn peek(&self) -> Option<&'a Arc<Event>> {
        if self.from >= self.until {
            return None;
        }
        self.queue.get(if self.reverse {
            self.until - 1
        } else {
            self.from
        })
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = &'a Arc<Event>;

    fn next(&mut self) -> Option<&'a Arc<Event>> {
        let next = self.peek()?;
        if self.reverse {
            self.until -= 1;
        } else {
            self.from += 1;
        }
        Some(next)
    }
}
