//! What no filter keeps any more of a segment: found in topic dictionaries, its own and those of
//! newer segments, without looking at an event. Called by the keeper before it writes a segment.
//! What is not found counts as kept, so a survey may end early.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::catalog::Known;
use super::cursor::Hit;
use super::floors::limit_floor_of;
use super::head::Head;
use super::index::{BlockEntry, List, Pattern};
use super::pages::PageCache;
use super::segment::{Buffer, Fault, Hole, Segment};
use super::shared::Shared;
use crate::event::Sequence;
use crate::filter::{FilterId, FilterTable};
use crate::page::{Reach, Visit};
use rewamp_wamp::uri::MatchPolicy;

/// Topics of a segment that are looked at together: with names of 100 bytes some 4 MB.
const TOGETHER: usize = 16_384;

/// Topics that are read while an index is locked: a commit waits for it.
const AT_ONCE: usize = 2_048;

/// Entries of topic dictionaries that one survey reads at most: some 0.1 s.
pub(super) const BUDGET: u64 = 1 << 20;

/// A segment in which something is looked up costs as much as reading so many.
const SEGMENT: u64 = 64;

/// A look-up of one topic costs as much as reading so many on the way.
const LOOK_UP: u64 = 16;

/// Events of one segment that no filter keeps: a bit each.
#[derive(Debug, Default)]
pub(super) struct Unwanted {
    bits: Vec<u64>,
    events: u32,
    /// About how much of the sealed file they take.
    bytes: u64,
}

impl Unwanted {
    fn of(events: u32) -> Self {
        Self {
            bits: vec![0; events.div_ceil(64) as usize],
            ..Self::default()
        }
    }

    fn add(&mut self, ordinal: u32) {
        if let Some(word) = self.bits.get_mut(ordinal as usize / 64) {
            self.events += u32::from(*word & 1 << (ordinal % 64) == 0);
            *word |= 1 << (ordinal % 64);
        }
    }

    pub(super) fn holds(&self, ordinal: u32) -> bool {
        let word = self.bits.get(ordinal as usize / 64);
        word.is_some_and(|word| word & 1 << (ordinal % 64) != 0)
    }

    /// How many.
    pub(super) fn events(&self) -> u32 {
        self.events
    }

    /// About how many bytes of the sealed file they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Events in a block count by its length.
    fn weigh(&mut self, segment: &Segment) {
        let blocks: Vec<BlockEntry> = segment.look_up(|index| index.blocks().to_vec());
        let ends = blocks.iter().skip(1).map(|next| next.ordinal);
        let ends = ends.chain([segment.events()]);
        let (mut all, mut unwanted) = (0, 0);
        for (block, end) in blocks.iter().zip(ends) {
            let events = u64::from(end.saturating_sub(block.ordinal)).max(1);
            let gone = (block.ordinal..end).filter(|ordinal| self.holds(*ordinal));
            let length = u64::from(block.length);
            unwanted += length * gone.count() as u64 / events;
            all += length;
        }
        let bytes = u128::from(segment.sealed_bytes()) * u128::from(unwanted);
        self.bytes = u64::try_from(bytes / u128::from(all.max(1))).unwrap_or(u64::MAX);
    }
}

impl Segment {
    /// Visits all events but some, in order. Blocks that hold no others are not read.
    pub(super) fn walk_but(
        &self,
        unwanted: &Unwanted,
        visit: Visit<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<ControlFlow<()>, Fault> {
        let blocks: Vec<BlockEntry> = self.look_up(|index| index.blocks().to_vec());
        let ends = blocks.iter().skip(1).map(|next| next.ordinal);
        let ends = ends.chain([self.events()]);
        let mut buffer = Buffer::default();
        for (block, end) in blocks.iter().zip(ends) {
            let mut wanted = (block.ordinal..end).filter(|ordinal| !unwanted.holds(*ordinal));
            let Some(first) = wanted.next() else { continue };
            let loaded = match self.load(&Hit::new(block, first), &mut buffer) {
                Ok(loaded) => loaded,
                Err(Fault::Damaged) => {
                    holes.push(self.hole(&Hit::new(block, first)));
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            for ordinal in [first].into_iter().chain(wanted) {
                if let Some(event) = loaded.event(Hit::new(block, ordinal).index)
                    && visit(&event).is_break()
                {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Looks at segments as of one moment.
pub(super) struct Survey<'s> {
    segments: &'s [Arc<Segment>],
    filters: HashMap<FilterId, Bounds, foldhash::quality::RandomState>,
    /// Whether events of logs that grow or grew count as newer ones: what is not synced may go,
    /// and what it pushed out would be gone as well.
    synced: bool,
    budget: u64,
}

/// What a filter keeps.
struct Bounds {
    /// It has dropped what is not above.
    floor: Sequence,
    known: Known,
}

impl Bounds {
    /// How many of each topic, counted up to an event.
    fn by_topic(&self, last: Sequence) -> impl Iterator<Item = (u64, Sequence)> {
        let now = self.known.filter.limit_per_topic;
        let now = now.map(|each| (each, Sequence::MAX));
        let eras = self.known.eras.iter().map(|era| (era.each, era.until));
        now.into_iter()
            .chain(eras)
            .filter(move |(_, until)| *until >= last)
    }
}

impl<'s> Survey<'s> {
    pub(super) fn new(shared: &Shared, segments: &'s [Arc<Segment>]) -> Result<Self, Fault> {
        let known = shared.catalog.lock().filters.clone();
        let bounds = known.into_iter().map(|known| {
            let limited = limit_floor_of(segments, &known)?;
            let floor = known.floor.max(limited.unwrap_or_default());
            Ok((known.id, Bounds { floor, known }))
        });
        Ok(Self {
            segments,
            filters: bounds.collect::<Result<_, Fault>>()?,
            synced: shared.sync,
            budget: BUDGET,
        })
    }

    /// One that reads less.
    pub(super) fn with_budget(self, budget: u64) -> Self {
        Self { budget, ..self }
    }

    /// What is left.
    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// Up to where each filter has dropped its history, by its limit too.
    pub(super) fn floors(&self) -> impl Iterator<Item = (FilterId, Sequence)> {
        self.filters
            .iter()
            .map(|(filter, bounds)| (*filter, bounds.floor))
    }

    /// Whether there are events, of which no filter keeps any.
    pub(super) fn is_dead(&self, segment: &Segment) -> bool {
        let filters = segment.filters();
        let dropped = |(filter, last): &(FilterId, Sequence)| {
            let bounds = self.filters.get(filter);
            bounds.is_some_and(|bounds| *last <= bounds.floor)
        };
        !filters.is_empty() && filters.iter().all(dropped)
    }

    /// The events of a segment, one of those of the survey, that no filter keeps.
    pub(super) fn unwanted(&mut self, segment: &Segment) -> Result<Unwanted, Fault> {
        let mut unwanted = Unwanted::of(segment.events());
        let rules = self.rules(segment)?;
        if rules.values().all(|rule| rule.keeps_all()) || segment.damaged {
            return Ok(unwanted);
        }
        let table = FilterTable::new(segment.head.filters.clone());
        let mut pages = PageCache::default();
        let mut after = None;
        loop {
            let (topics, last) = some_topics(segment, after.as_deref(), TOGETHER, &mut pages)?;
            self.spend(SEGMENT + topics.len() as u64);
            let mut candidates: Vec<Candidate> = Vec::new();
            for (name, list) in topics {
                let filters = table.topic_or_bare(&name);
                let rules = filters.filters().iter().map(|filter| rules.get(filter));
                candidates.extend(Candidate::of(name, list, rules, segment, &mut pages)?);
            }
            self.count_newer(segment, after.as_deref(), &mut candidates)?;
            for candidate in &candidates {
                candidate.mark(segment, &mut unwanted, &mut pages)?;
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        unwanted.weigh(segment);
        Ok(unwanted)
    }

    /// What the filters of a segment keep of it.
    fn rules(&self, segment: &Segment) -> Result<Rules, Fault> {
        let Some((last, _)) = segment.last() else {
            return Ok(Rules::default());
        };
        let rule = |filter: FilterId| {
            let Some(bounds) = self.filters.get(&filter) else {
                return Ok((filter, Rule::default()));
            };
            let reach = Reach {
                first: bounds.floor.next(),
                ..Reach::ALL
            };
            let gone = match bounds.floor >= last {
                true => segment.events(),
                false => segment.exact_ordinals(&reach)?.0,
            };
            let wants = bounds.by_topic(last).map(|(left, until)| Want {
                filter,
                until,
                left,
            });
            let wants = wants.collect();
            Ok((filter, Rule { gone, wants }))
        };
        let filters = segment.head.filters.iter();
        filters.map(|filter| rule(filter.id)).collect()
    }

    fn spend(&mut self, entries: u64) {
        self.budget = self.budget.saturating_sub(entries);
    }

    /// Counts newer events of topics that are in order, behind `after`, until it makes no
    /// difference any more.
    fn count_newer(
        &mut self,
        segment: &Segment,
        after: Option<&str>,
        candidates: &mut [Candidate],
    ) -> Result<(), Fault> {
        let segments = self.segments;
        let newer = segments.iter().rev();
        let newer = newer.take_while(|newer| newer.generation != segment.generation);
        let synced = self.synced;
        for newer in newer.filter(|newer| synced || newer.sealed().is_some()) {
            let open = candidates.iter().filter(|it| it.is_open()).count() as u64;
            if open == 0 || self.budget == 0 {
                break;
            }
            let Some((last, _)) = newer.last() else {
                continue;
            };
            let counts = Counts::of(segment, newer, last);
            let mut pages = PageCache::default();
            let all = u64::from(newer.look_up(|index| index.topics()));
            let counted = if open * LOOK_UP < all {
                self.spend(SEGMENT + open * LOOK_UP);
                look_up(newer, &counts, candidates, &mut pages)
            } else {
                self.spend(SEGMENT + all);
                read_along(newer, &counts, after, candidates, &mut pages)
            };
            match counted {
                // What cannot be read pushes nothing out.
                Ok(()) | Err(Fault::Damaged) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

type Rules = HashMap<FilterId, Rule, foldhash::quality::RandomState>;

/// What one filter keeps of a segment.
#[derive(Default)]
struct Rule {
    /// Events before this ordinal have been dropped.
    gone: u32,
    wants: SmallVec<[Want; 1]>,
}

impl Rule {
    fn keeps_all(&self) -> bool {
        self.gone == 0 && self.wants.is_empty()
    }
}

/// A filter wants so many events of a topic besides the newer ones that were found.
#[derive(Clone, Copy)]
struct Want {
    filter: FilterId,
    /// Only segments that end here or before count.
    until: Sequence,
    left: u64,
}

/// A topic of which every filter may have dropped something.
struct Candidate {
    name: ByteString,
    list: List,
    /// The fewest events, from the oldest on, that a filter has dropped without looking at newer
    /// ones, and what each filter wants else.
    parts: SmallVec<[(u32, SmallVec<[Want; 1]>); 1]>,
}

impl Candidate {
    /// `None` if one of the filters keeps all.
    fn of<'r>(
        name: ByteString,
        list: List,
        rules: impl Iterator<Item = Option<&'r Rule>>,
        segment: &Segment,
        pages: &mut PageCache,
    ) -> Result<Option<Self>, Fault> {
        let mut parts = SmallVec::new();
        for rule in rules {
            let Some(rule) = rule.filter(|rule| !rule.keeps_all()) else {
                return Ok(None);
            };
            let gone = segment.look_up(|index| match rule.gone >= index.events() {
                true => Ok(list.len()),
                false => index.below(&list, rule.gone, pages),
            })?;
            if gone == 0 && rule.wants.is_empty() {
                return Ok(None);
            }
            parts.push((gone, rule.wants.clone()));
        }
        Ok((!parts.is_empty()).then_some(Self { name, list, parts }))
    }

    /// Whether newer events may make a difference.
    fn is_open(&self) -> bool {
        let wants = self.parts.iter().flat_map(|(_, wants)| wants);
        wants.clone().any(|want| want.left > 0)
    }

    fn found(&mut self, events: u32, counts: &Counts<'_>) {
        let wants = self.parts.iter_mut().flat_map(|(_, wants)| wants);
        for want in wants.filter(|want| counts.is_for(want)) {
            want.left = want.left.saturating_sub(u64::from(events));
        }
    }

    /// How many of its events, from the oldest on, no filter keeps.
    fn dropped(&self) -> u32 {
        let all = self.list.len();
        let dropped = |(gone, wants): &(u32, SmallVec<[Want; 1]>)| {
            let left = wants.iter().map(|want| want.left).min();
            let left = left.map_or(all, |left| u32::try_from(left).unwrap_or(all));
            (*gone).max(all.saturating_sub(left))
        };
        self.parts.iter().map(dropped).min().unwrap_or(0)
    }

    fn mark(
        &self,
        segment: &Segment,
        unwanted: &mut Unwanted,
        pages: &mut PageCache,
    ) -> Result<(), Fault> {
        let dropped = self.dropped();
        segment.look_up(|index| {
            for at in 0..dropped {
                unwanted.add(index.at(&self.list, at, pages)?);
            }
            Ok(())
        })
    }
}

/// For whom the events of a newer segment count.
struct Counts<'s> {
    last: Sequence,
    /// `None`: for all filters of the older one.
    head: Option<&'s Head>,
}

impl<'s> Counts<'s> {
    fn of(older: &Segment, newer: &'s Segment, last: Sequence) -> Self {
        let head = (older.head != newer.head).then_some(&newer.head);
        Self { last, head }
    }

    fn is_for(&self, want: &Want) -> bool {
        let known = |head: &Head| (head.filters.iter()).any(|filter| filter.id == want.filter);
        self.last <= want.until && self.head.is_none_or(known)
    }
}

/// Topics with their events, and behind which to go on.
type Topics = (Vec<(ByteString, List)>, Option<ByteString>);

/// Topics of a segment behind `after`.
fn some_topics(
    segment: &Segment,
    after: Option<&str>,
    together: usize,
    pages: &mut PageCache,
) -> Result<Topics, Fault> {
    let mut topics: Vec<(ByteString, List)> = Vec::new();
    segment.look_up(|index| {
        index.each_topic(EVERY_TOPIC, after, pages, &mut |name, list| {
            topics.push((ByteString::from(name), list));
            match topics.len() < together {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })
    })?;
    let last = topics.last().filter(|_| topics.len() == together);
    let last = last.map(|(name, _)| name.clone());
    Ok((topics, last))
}

const EVERY_TOPIC: Pattern<'static> = Pattern {
    uri: "",
    match_policy: MatchPolicy::Prefix,
};

/// Finds the topics one by one.
fn look_up(
    newer: &Segment,
    counts: &Counts<'_>,
    candidates: &mut [Candidate],
    pages: &mut PageCache,
) -> Result<(), Fault> {
    for candidate in candidates.iter_mut().filter(|it| it.is_open()) {
        let list = newer.look_up(|index| index.topic(&candidate.name, pages))?;
        candidate.found(list.len(), counts);
    }
    Ok(())
}

/// Finds the topics on the way through the dictionary, which has the same order.
fn read_along(
    newer: &Segment,
    counts: &Counts<'_>,
    after: Option<&str>,
    candidates: &mut [Candidate],
    pages: &mut PageCache,
) -> Result<(), Fault> {
    let mut after = after.map(ByteString::from);
    let mut rest = candidates.iter_mut().peekable();
    while rest.peek().is_some() {
        let (topics, last) = some_topics(newer, after.as_deref(), AT_ONCE, pages)?;
        for (name, list) in &topics {
            while rest.next_if(|candidate| candidate.name < *name).is_some() {}
            if let Some(candidate) = rest.next_if(|candidate| candidate.name == *name) {
                candidate.found(list.len(), counts);
            }
        }
        if last.is_none() {
            break;
        }
        after = last;
    }
    Ok(())
}
