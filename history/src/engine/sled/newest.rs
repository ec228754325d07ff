//! The newest events of every topic, of one segment: chosen in its index, which knows each
//! topic's events and which events have receiver lists. Only of those a record is read, so a
//! choice costs as much as there are topics, however many events lie behind them.

use std::ops::ControlFlow;

use bytestring::ByteString;

use super::cursor::Run;
use super::index::{List, Pattern};
use super::pages::PageCache;
use super::segment::{Buffer, Fault, Hole, Segment, hit_at};
use crate::page::{Newest, Reach, Target, Visit};

/// Topics, and ordinals, that are looked up at once: the index of a segment that grows is locked
/// meanwhile, and a commit waits for it.
const AT_ONCE: u32 = 2_048;

/// The newest events of one topic in a segment, those that the viewer may not see among them.
#[derive(Debug)]
pub(super) struct Stretch {
    topic: ByteString,
    run: Run,
    /// Events that are for the viewer.
    events: u64,
}

impl Segment {
    /// What the choice takes from this segment: [`Newest::take`] is up to the caller, once it
    /// knows that all of it could be read.
    pub(super) fn choose(&self, newest: &mut Newest<'_>) -> Result<Vec<Stretch>, Fault> {
        let mut stretches = Vec::new();
        if !self.knows(newest.filter) {
            return Ok(stretches);
        }
        let mut choice = Choice {
            segment: self,
            ordinals: self.exact_ordinals(&newest.range)?,
            restricted: Ordinals::default(),
            pages: PageCache::default(),
            buffer: Buffer::default(),
        };
        if choice.ordinals.0 < choice.ordinals.1 {
            if newest.is_for_one() {
                choice.find_restricted()?;
            }
            choice.choose(newest, &mut stretches)?;
        }
        Ok(stretches)
    }

    /// Visits the events of some stretches that may lie within `shown`, in order.
    pub(super) fn walk_stretches(
        &self,
        stretches: &[Stretch],
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<ControlFlow<()>, Fault> {
        let runs = stretches.iter().map(|stretch| stretch.run).collect();
        let ordinals = self.look_up(|index| index.ordinals(shown));
        self.walk_runs(runs, ordinals, reverse, PageCache::default(), visit, holes)
    }

    /// The ordinals within `reach`, to the event: the ends lie in blocks that have to be read.
    pub(super) fn exact_ordinals(&self, reach: &Reach) -> Result<(u32, u32), Fault> {
        let (mut from, mut until) = self.look_up(|index| index.ordinals(reach));
        let mut buffer = Buffer::default();
        while from < until && self.is_outside(from, reach, &mut buffer)? {
            from += 1;
        }
        while from < until && self.is_outside(until - 1, reach, &mut buffer)? {
            until -= 1;
        }
        Ok((from, until))
    }

    /// The part of a list with ordinals from `ordinals.0` to below `ordinals.1`.
    pub(super) fn within(
        &self,
        list: List,
        ordinals: (u32, u32),
        pages: &mut PageCache,
    ) -> Result<Run, Fault> {
        let mut run = Run::from(list);
        self.look_up(|index| {
            if ordinals.0 > 0 {
                run.from = index.below(&list, ordinals.0, pages)?;
            }
            if ordinals.1 < index.events() {
                run.until = index.below(&list, ordinals.1, pages)?;
            }
            Ok(run)
        })
    }

    fn is_outside(&self, ordinal: u32, reach: &Reach, buffer: &mut Buffer) -> Result<bool, Fault> {
        let hit = self.look_up(|index| hit_at(index, ordinal));
        match self.event(&hit.ok_or(Fault::Damaged)?, buffer) {
            Ok(event) => Ok(!reach.holds(&event)),
            // A damaged block is passed over wherever it is met.
            Err(Fault::Damaged) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

impl Stretch {
    /// Events in it that the choice takes.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Notes in the choice what was taken.
    pub(super) fn note(&self, newest: &mut Newest<'_>) {
        newest.take(&self.topic, self.events);
    }
}

/// The choice in one segment.
struct Choice<'s> {
    segment: &'s Segment,
    /// Where is chosen from.
    ordinals: (u32, u32),
    restricted: Ordinals,
    pages: PageCache,
    buffer: Buffer,
}

impl Choice<'_> {
    fn choose(
        &mut self,
        newest: &mut Newest<'_>,
        stretches: &mut Vec<Stretch>,
    ) -> Result<(), Fault> {
        let mut after: Option<ByteString> = None;
        while !newest.is_cut() {
            let (topics, last) = self.some_topics(newest, after.as_deref())?;
            for (topic, list) in topics {
                let left = newest.left(&topic);
                if let Some((run, events)) = self.choose_of(list, left, newest)? {
                    stretches.push(Stretch { topic, run, events });
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        Ok(())
    }

    /// Topics behind `after` that still want events, and where to go on.
    #[expect(
        clippy::type_complexity,
        reason = "topics with their lists, and a name"
    )]
    fn some_topics(
        &mut self,
        newest: &Newest<'_>,
        after: Option<&str>,
    ) -> Result<(Vec<(ByteString, List)>, Option<ByteString>), Fault> {
        let mut topics = Vec::new();
        let pattern = match newest.target {
            Target::Pattern(uri, match_policy) => Pattern { uri, match_policy },
            Target::Topic(name) => {
                let list = self
                    .segment
                    .look_up(|index| index.topic(name, &mut self.pages))?;
                if newest.left(name) > 0 {
                    topics.push((ByteString::from(name), list));
                }
                return Ok((topics, None));
            }
            Target::Filter => return Ok((topics, None)),
        };
        let (mut looked_at, mut last) = (0, None);
        self.segment.look_up(|index| {
            index.each_topic(pattern, after, &mut self.pages, &mut |name, list| {
                if newest.left(name) > 0 {
                    topics.push((ByteString::from(name), list));
                }
                looked_at += 1;
                if looked_at < AT_ONCE {
                    return ControlFlow::Continue(());
                }
                last = Some(ByteString::from(name));
                ControlFlow::Break(())
            })
        })?;
        Ok((topics, last))
    }

    /// The newest `left` events of a list that are for the viewer, and how many they are.
    fn choose_of(
        &mut self,
        list: List,
        left: u64,
        newest: &mut Newest<'_>,
    ) -> Result<Option<(Run, u64)>, Fault> {
        let mut run = self.within(list)?;
        let (begin, until) = (run.from, run.until);
        if self.restricted.is_empty() {
            let events = left.min(u64::from(until - begin));
            run.from = until - events as u32;
            return Ok((events > 0).then_some((run, events)));
        }
        run.from = until;
        let (mut events, mut ordinals) = (0, Vec::new());
        while run.from > begin && events < left && !newest.is_cut() {
            // No more at once than may be enough, and no less than is worth a lock.
            let at_once = (left - events).clamp(16, u64::from(AT_ONCE)) as u32;
            let some = Run {
                from: begin.max(run.from.saturating_sub(at_once)),
                until: run.from,
                list,
            };
            ordinals.clear();
            self.read_ordinals(some, &mut ordinals)?;
            for ordinal in ordinals.iter().rev() {
                if events == left || newest.is_cut() {
                    break;
                }
                run.from -= 1;
                events += u64::from(self.is_for_viewer(*ordinal, newest)?);
            }
        }
        Ok((events > 0).then_some((run, events)))
    }

    fn is_for_viewer(&mut self, ordinal: u32, newest: &mut Newest<'_>) -> Result<bool, Fault> {
        if !self.restricted.holds(ordinal) {
            return Ok(true);
        }
        let hit = self.segment.look_up(|index| hit_at(index, ordinal));
        match self
            .segment
            .event(&hit.ok_or(Fault::Damaged)?, &mut self.buffer)
        {
            Ok(event) => Ok(newest.admits(&event)),
            Err(Fault::Damaged) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// The part of a list that is chosen from.
    fn within(&mut self, list: List) -> Result<Run, Fault> {
        self.segment.within(list, self.ordinals, &mut self.pages)
    }

    fn find_restricted(&mut self) -> Result<(), Fault> {
        let list = self.segment.look_up(|index| index.restricted());
        let all = self.within(list)?;
        let (from, until) = self.ordinals;
        let mut ordinals = Vec::new();
        for from in (all.from..all.until).step_by(AT_ONCE as usize) {
            let until = all.until.min(from + AT_ONCE);
            self.read_ordinals(Run { from, until, list }, &mut ordinals)?;
        }
        if !ordinals.is_empty() {
            self.restricted = Ordinals::of(&ordinals, from, until);
        }
        Ok(())
    }

    fn read_ordinals(&mut self, run: Run, ordinals: &mut Vec<u32>) -> Result<(), Fault> {
        let pages = &mut self.pages;
        self.segment.look_up(|index| {
            for at in run.from..run.until {
                ordinals.push(index.at(&run.list, at, pages)?);
            }
            Ok(())
        })
    }
}

/// A set of ordinals: a bit each.
#[derive(Debug, Default)]
struct Ordinals {
    first: u32,
    bits: Vec<u64>,
}

impl Ordinals {
    /// A set of ordinals from `first` to below `end`.
    fn of(ordinals: &[u32], first: u32, end: u32) -> Self {
        let mut bits = vec![0; (end - first).div_ceil(64) as usize];
        for ordinal in ordinals {
            let at = ordinal.wrapping_sub(first);
            if let Some(word) = bits.get_mut(at as usize / 64) {
                *word |= 1 << (at % 64);
            }
        }
        Self { first, bits }
    }

    fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    fn holds(&self, ordinal: u32) -> bool {
        let at = ordinal.wrapping_sub(self.first);
        let word = self.bits.get(at as usize / 64);
        word.is_some_and(|word| word & 1 << (at % 64) != 0)
    }
}
