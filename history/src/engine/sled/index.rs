//! Where the events of a segment are: by filter, by topic, by publication, by place and time.
//! Events are numbered from 0 within their segment (*ordinals*); a list of them is ascending.
//! [`Growing`] is the index in memory, of the active segment and of one that was just recovered;
//! `sealed.rs` has the one on disk. Both are read through [`Index`].

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicU32, Ordering};

use bytestring::ByteString;
use hashbrown::HashMap;
use rewamp_wamp::id::{PublicationId, SubscriptionId};
use rewamp_wamp::uri::{MatchPolicy, matches};

use super::pages::PageCache;
use super::segment::Fault;
use crate::event::{Sequence, Timestamp};
use crate::filter::{FilterId, StoredTopic};
use crate::page::{Reach, Target};
use crate::subscription::StoreKey;
use crate::topics::literal_prefix;

/// Where a block is, and what it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// Its first event's sequence.
    pub(super) first: Sequence,
    /// Its first event's time.
    pub(super) time: Timestamp,
    /// Its first event's ordinal.
    pub(super) ordinal: u32,
    /// Its bytes.
    pub(super) length: u32,
    /// Where it begins in its file; 0 in sled.
    pub(super) place: u64,
}

/// An ascending list of ordinals: first all below `dense`, then `count` others, which the index
/// finds at `start`. A filter of everything is dense, and takes no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) dense: u32,
    pub(super) start: u32,
    pub(super) count: u32,
}

impl List {
    /// How many ordinals.
    pub(super) fn len(&self) -> u32 {
        self.dense + self.count
    }
}

/// What stands for several topics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern<'q> {
    pub(super) uri: &'q str,
    pub(super) match_policy: MatchPolicy,
}

impl<'q> Pattern<'q> {
    /// What the names of its topics begin with.
    pub(super) fn prefix(&self) -> &'q str {
        literal_prefix(self.uri, self.match_policy)
    }

    pub(super) fn holds(&self, topic: &str) -> bool {
        matches(self.uri, self.match_policy, topic)
    }
}

/// The events that have receiver lists are listed as those of a filter are, under this number,
/// which no filter has: where a choice has to look at records, and where not. A segment that was
/// sealed without the list counts as having them all over.
pub(super) const RESTRICTED: FilterId = FilterId::new(FILTERS - 1);

/// How an index is read.
pub(super) trait Index {
    /// Events of the segment.
    fn events(&self) -> u32;

    /// Blocks in order.
    fn blocks(&self) -> &[BlockEntry];

    /// How many topics there are.
    fn topics(&self) -> u32;

    /// The filter's events.
    fn filter(&self, filter: FilterId) -> List;

    /// The events of one topic.
    fn topic(&self, name: &str, pages: &mut PageCache) -> Result<List, Fault>;

    /// The events that not everybody may see: those with receiver lists.
    fn restricted(&self) -> List;

    /// Visits each topic that a pattern stands for, by name, behind `after`, with its events.
    fn each_topic(
        &self,
        pattern: Pattern<'_>,
        after: Option<&str>,
        pages: &mut PageCache,
        visit: &mut dyn FnMut(&str, List) -> ControlFlow<()>,
    ) -> Result<(), Fault>;

    /// The ordinal at `index` of a list.
    fn at(&self, list: &List, index: u32, pages: &mut PageCache) -> Result<u32, Fault>;

    /// How many ordinals of a list are below `ordinal`.
    fn below(&self, list: &List, ordinal: u32, pages: &mut PageCache) -> Result<u32, Fault> {
        if ordinal <= list.dense {
            return Ok(ordinal);
        }
        let (mut low, mut high) = (list.dense, list.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(list, middle, pages)? < ordinal {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    /// The lists of a target.
    fn lists(
        &self,
        filter: FilterId,
        target: Target<'_>,
        pages: &mut PageCache,
    ) -> Result<Vec<List>, Fault> {
        Ok(match target {
            Target::Filter => vec![self.filter(filter)],
            Target::Topic(name) => vec![self.topic(name, pages)?],
            Target::Pattern(uri, match_policy) => {
                let mut lists = Vec::new();
                let pattern = Pattern { uri, match_policy };
                self.each_topic(pattern, None, pages, &mut |_, list| {
                    lists.push(list);
                    ControlFlow::Continue(())
                })?;
                lists
            }
        })
    }

    /// The ordinals that may lie within `reach`: whole blocks.
    fn ordinals(&self, reach: &Reach) -> (u32, u32) {
        let blocks = self.blocks();
        let begun = blocks.partition_point(|block| reach.begins_after(block.first, block.time));
        let ended = blocks.partition_point(|block| !reach.ends_before(block.first, block.time));
        let from = begun.checked_sub(1).and_then(|block| blocks.get(block));
        let until = blocks
            .get(ended)
            .map_or(self.events(), |block| block.ordinal);
        (from.map_or(0, |block| block.ordinal), until)
    }

    /// The block that an event is in.
    fn block_of(&self, ordinal: u32) -> Option<&BlockEntry> {
        let blocks = self.blocks();
        let after = blocks.partition_point(|block| block.ordinal <= ordinal);
        blocks.get(after.checked_sub(1)?)
    }
}

/// The index in memory. About 30 bytes an event with one filter.
#[derive(Debug)]
pub(super) struct Growing {
    /// Tells the topics' notes of this index from those of every other in this process.
    serial: u32,
    blocks: Vec<BlockEntry>,
    events: u32,
    filters: HashMap<FilterId, Ordinals, foldhash::quality::RandomState>,
    names: BTreeMap<ByteString, u32>,
    /// Bytes of all names.
    name_bytes: u64,
    topics: Vec<Ordinals>,
    subscriptions: HashMap<SubscriptionId, ByteString, foldhash::quality::RandomState>,
    publications: Publications,
    previous: Sequence,
    last: Option<(Sequence, Timestamp)>,
}

#[derive(Debug, Default)]
struct Ordinals {
    dense: u32,
    rest: Vec<u32>,
    last: Sequence,
}

impl Ordinals {
    fn push(&mut self, ordinal: u32, sequence: Sequence) {
        if self.rest.is_empty() && ordinal == self.dense {
            self.dense += 1;
        } else {
            self.rest.push(ordinal);
        }
        self.last = sequence;
    }

    fn list(&self, start: u32) -> List {
        List {
            dense: self.dense,
            start,
            count: self.rest.len() as u32,
        }
    }
}

/// The list of a filter has its place in `start`: filters count from here, topics from 0.
const FILTERS: u32 = 1 << 31;

impl Growing {
    /// An empty index for events that come after `previous`.
    pub(super) fn after(previous: Sequence) -> Self {
        // From 1, so that a topic without a note (0) is told from the first topic of an index.
        static SERIALS: AtomicU32 = AtomicU32::new(1);
        Self {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            blocks: Vec::new(),
            events: 0,
            filters: HashMap::from_iter([(RESTRICTED, Ordinals::default())]),
            names: BTreeMap::new(),
            name_bytes: 0,
            topics: Vec::new(),
            subscriptions: HashMap::default(),
            publications: Publications::default(),
            previous,
            last: None,
        }
    }

    /// The event stored before the first one.
    pub(super) fn previous(&self) -> Sequence {
        self.previous
    }

    /// Says so afterwards, of an index that is still empty.
    pub(super) fn set_previous(&mut self, previous: Sequence) {
        self.previous = previous;
    }

    /// Notes a block; its events follow by [`Self::add`].
    pub(super) fn begin_block(&mut self, entry: BlockEntry) {
        self.blocks.push(BlockEntry {
            ordinal: self.events,
            ..entry
        });
    }

    /// Notes an event of the newest block. `key` is the store's.
    pub(super) fn add(
        &mut self,
        key: &StoreKey,
        topic: &StoredTopic,
        sequence: Sequence,
        time: Timestamp,
        publication: PublicationId,
        restricted: bool,
    ) {
        let ordinal = self.events;
        self.events += 1;
        self.last = Some((sequence, time));
        for filter in topic
            .filters()
            .iter()
            .chain(restricted.then_some(&RESTRICTED))
        {
            self.filters
                .entry(*filter)
                .or_default()
                .push(ordinal, sequence);
        }
        let number = self.number(key, topic);
        if let Some(events) = self.topics.get_mut(number as usize) {
            events.push(ordinal, sequence);
        }
        self.publications.insert(publication, ordinal);
    }

    fn number(&mut self, key: &StoreKey, topic: &StoredTopic) -> u32 {
        let note = topic.place();
        if (note >> 32) as u32 == self.serial {
            return note as u32;
        }
        let number = match self.names.get(&**topic.name()) {
            Some(number) => *number,
            None => {
                let number = self.topics.len() as u32;
                self.names.insert(topic.name().clone(), number);
                self.name_bytes += topic.name().len() as u64;
                self.topics.push(Ordinals::default());
                self.subscriptions
                    .insert(topic.subscription(key), topic.name().clone());
                number
            }
        };
        topic.set_place(u64::from(self.serial) << 32 | u64::from(number));
        number
    }

    /// The newest event.
    pub(super) fn last(&self) -> Option<(Sequence, Timestamp)> {
        self.last
    }

    /// The sequence of the filter's newest event.
    pub(super) fn last_of(&self, filter: FilterId) -> Sequence {
        self.filters
            .get(&filter)
            .map_or(Sequence::ZERO, |events| events.last)
    }

    /// About how many bytes this index takes on disk, rather more than less.
    pub(super) fn sealed_bytes(&self) -> u64 {
        // A publication takes 12 bytes and 1.25 of the filter in front; a topic's event 4, and
        // as much for each filter that is not dense. Every array ends with a page.
        let filters: u64 = self
            .filters
            .values()
            .map(|events| events.rest.len() as u64 * 4)
            .sum();
        let topics = self.names.len() as u64 * 64 + self.name_bytes * 2;
        u64::from(self.events) * 20 + filters + topics + 32_768
    }

    /// The ordinal of a publication.
    pub(super) fn publication(&self, publication: PublicationId) -> Option<u32> {
        self.publications.get(publication)
    }

    /// The topic whose exact subscription has this ID.
    pub(super) fn subscribed_topic(&self, id: SubscriptionId) -> Option<&ByteString> {
        self.subscriptions.get(&id)
    }

    /// The IDs of all topics' exact subscriptions.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (SubscriptionId, &ByteString)> {
        self.subscriptions.iter().map(|(id, name)| (*id, name))
    }

    /// Each filter with the sequence of its newest event, its dense part and the rest; by ID.
    pub(super) fn filter_lists(&self) -> Vec<(FilterId, Sequence, u32, &[u32])> {
        let lists = self.filters.iter();
        let mut lists: Vec<_> = lists
            .map(|(filter, events)| (*filter, events.last, events.dense, events.rest.as_slice()))
            .collect();
        lists.sort_unstable_by_key(|(filter, ..)| *filter);
        lists
    }

    /// Each topic with its dense part and the rest; by name.
    pub(super) fn topic_lists(&self) -> impl Iterator<Item = (&ByteString, u32, &[u32])> {
        self.names.iter().filter_map(|(name, number)| {
            let events = self.topics.get(*number as usize)?;
            Some((name, events.dense, events.rest.as_slice()))
        })
    }

    /// All publications with their ordinals, by ID.
    pub(super) fn publications(&self) -> Vec<(u64, u32)> {
        self.publications.sorted()
    }
}

impl Index for Growing {
    fn events(&self) -> u32 {
        self.events
    }

    fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    fn topics(&self) -> u32 {
        self.topics.len() as u32
    }

    fn filter(&self, filter: FilterId) -> List {
        let events = self.filters.get(&filter);
        events.map_or(List::default(), |events| {
            events.list(FILTERS + filter.get())
        })
    }

    fn topic(&self, name: &str, _: &mut PageCache) -> Result<List, Fault> {
        let number = self.names.get(name).copied();
        let events = number.and_then(|number| Some((number, self.topics.get(number as usize)?)));
        Ok(events.map_or(List::default(), |(number, events)| events.list(number)))
    }

    fn restricted(&self) -> List {
        self.filter(RESTRICTED)
    }

    fn each_topic(
        &self,
        pattern: Pattern<'_>,
        after: Option<&str>,
        _: &mut PageCache,
        visit: &mut dyn FnMut(&str, List) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let prefix = pattern.prefix();
        let begin = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let names = self.names.range::<str, _>((begin, Bound::Unbounded));
        let mut topics = names
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(name, _)| pattern.holds(name))
            .filter_map(|(name, number)| {
                Some((name, self.topics.get(*number as usize)?.list(*number)))
            });
        let _ = topics.try_for_each(|(name, list)| visit(name, list));
        Ok(())
    }

    fn at(&self, list: &List, index: u32, _: &mut PageCache) -> Result<u32, Fault> {
        let Some(index) = index.checked_sub(list.dense) else {
            return Ok(index);
        };
        let events = match list.start.checked_sub(FILTERS) {
            Some(filter) => self.filters.get(&FilterId::new(filter)),
            None => self.topics.get(list.start as usize),
        };
        // The lists only grow: what was there when the list was asked for still is.
        let found = events.and_then(|events| events.rest.get(index as usize));
        found.copied().ok_or(Fault::Damaged)
    }
}

/// Publications to ordinals. In parts, so that growing one never rehashes all: a commit must
/// not wait 10 ms for that.
#[derive(Debug)]
struct Publications(Box<[HashMap<u64, u32, foldhash::fast::RandomState>]>);

const PARTS: usize = 64;

impl Default for Publications {
    fn default() -> Self {
        Self((0..PARTS).map(|_| HashMap::default()).collect())
    }
}

impl Publications {
    fn insert(&mut self, publication: PublicationId, ordinal: u32) {
        if let Some(part) = self.0.get_mut(publication.get() as usize % PARTS) {
            part.insert(publication.get(), ordinal);
        }
    }

    fn get(&self, publication: PublicationId) -> Option<u32> {
        let part = self.0.get(publication.get() as usize % PARTS)?;
        part.get(&publication.get()).copied()
    }

    fn sorted(&self) -> Vec<(u64, u32)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .flatten()
            .map(|(publication, ordinal)| (*publication, *ordinal))
            .collect();
        all.sort_unstable();
        all
    }
}
