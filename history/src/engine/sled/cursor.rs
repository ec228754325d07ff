//! Reading several lists of a segment as one, in either direction, some events at a time: the
//! index in memory is locked for one batch, never for a page.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::index::{BlockEntry, Index, List};
use super::pages::PageCache;
use super::segment::Fault;
use crate::event::Sequence;

/// An event to be read: which block, and which in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// The block's first sequence, by which it is known.
    pub(super) first: Sequence,
    /// Where the block is in its file.
    pub(super) place: u64,
    /// The block's bytes.
    pub(super) length: u32,
    /// The event's index in the block.
    pub(super) index: u16,
}

impl Hit {
    pub(super) fn new(block: &BlockEntry, ordinal: u32) -> Self {
        Self {
            first: block.first,
            place: block.place,
            length: block.length,
            index: (ordinal - block.ordinal) as u16,
        }
    }
}

/// Events of the first batch: small pages need no more.
const FIRST_BATCH: usize = 32;

/// Events of all others. Long pages do not notice the next batch.
const BATCH: usize = 128;

/// Where the reading of some lists stands.
#[derive(Debug)]
pub(super) struct Cursor {
    runs: Vec<Run>,
    /// The next event of each run that has one, the one to be read first on top.
    heads: BinaryHeap<(Reverse<u32>, usize)>,
    ordinals: (u32, u32),
    reverse: bool,
    started: bool,
    /// How many events the next batch has.
    batch: usize,
    /// Place of the block that was found last.
    near: usize,
    pages: PageCache,
}

/// A part of a list: what is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) list: List,
    /// Indexes in the list.
    pub(super) from: u32,
    pub(super) until: u32,
}

impl From<List> for Run {
    fn from(list: List) -> Self {
        Self {
            list,
            from: 0,
            until: list.len(),
        }
    }
}

impl Run {
    fn next(&mut self, reverse: bool) -> Option<u32> {
        if self.from >= self.until {
            return None;
        }
        if reverse {
            self.until -= 1;
            return Some(self.until);
        }
        self.from += 1;
        Some(self.from - 1)
    }
}

impl Cursor {
    /// Reads the events of the runs with ordinals from `ordinals.0` to below `ordinals.1`.
    pub(super) fn new(
        runs: Vec<Run>,
        ordinals: (u32, u32),
        reverse: bool,
        pages: PageCache,
    ) -> Self {
        Self {
            runs,
            heads: BinaryHeap::new(),
            ordinals,
            reverse,
            started: false,
            batch: FIRST_BATCH,
            near: 0,
            pages,
        }
    }

    /// The next events; none at the end.
    pub(super) fn fill(&mut self, index: &dyn Index, hits: &mut Vec<Hit>) -> Result<(), Fault> {
        if !self.started {
            self.start(index)?;
            self.started = true;
        }
        let batch = std::mem::replace(&mut self.batch, BATCH);
        let mut block: Option<(BlockEntry, u32)> = None;
        while hits.len() < batch
            && let Some(ordinal) = self.next(index)?
        {
            let inside =
                |(entry, end): &(BlockEntry, u32)| (entry.ordinal..*end).contains(&ordinal);
            if !block.as_ref().is_some_and(inside) {
                block = find_block(index, ordinal, &mut self.near);
            }
            let Some((entry, _)) = &block else {
                return Err(Fault::Damaged);
            };
            hits.push(Hit::new(entry, ordinal));
        }
        Ok(())
    }

    fn start(&mut self, index: &dyn Index) -> Result<(), Fault> {
        let Self {
            runs,
            heads,
            ordinals,
            reverse,
            pages,
            ..
        } = self;
        for run in runs.iter_mut() {
            // Of a segment that is wanted as a whole no page is read for that.
            if ordinals.0 > 0 {
                run.from = run.from.max(index.below(&run.list, ordinals.0, pages)?);
            }
            if ordinals.1 < index.events() {
                run.until = run.until.min(index.below(&run.list, ordinals.1, pages)?);
            }
        }
        if runs.len() > 1 {
            for (number, run) in runs.iter_mut().enumerate() {
                if let Some(next) = run.next(*reverse) {
                    heads.push((key(index.at(&run.list, next, pages)?, *reverse), number));
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, index: &dyn Index) -> Result<Option<u32>, Fault> {
        let Self {
            runs,
            heads,
            reverse,
            pages,
            ..
        } = self;
        if let [run] = runs.as_mut_slice() {
            let Some(next) = run.next(*reverse) else {
                return Ok(None);
            };
            return index.at(&run.list, next, pages).map(Some);
        }
        let Some((Reverse(first), number)) = heads.pop() else {
            return Ok(None);
        };
        if let Some(run) = runs.get_mut(number)
            && let Some(next) = run.next(*reverse)
        {
            heads.push((key(index.at(&run.list, next, pages)?, *reverse), number));
        }
        Ok(Some(if *reverse { !first } else { first }))
    }
}

/// The heap gives the largest first: ordinals count backwards in it, or twice so.
fn key(ordinal: u32, reverse: bool) -> Reverse<u32> {
    Reverse(if reverse { !ordinal } else { ordinal })
}

/// The block of an event, and the first ordinal behind it. Looked for beside that at `near`, the
/// last one, before it is searched for.
fn find_block(index: &dyn Index, ordinal: u32, near: &mut usize) -> Option<(BlockEntry, u32)> {
    let blocks = index.blocks();
    let found = |place: usize| {
        let entry = *blocks.get(place).filter(|block| block.ordinal <= ordinal)?;
        let next = blocks.get(place + 1);
        let end = next.map_or(index.events(), |next| next.ordinal);
        (ordinal < end || next.is_none()).then_some((entry, end))
    };
    for place in [near.saturating_sub(1), *near + 1] {
        if let Some(block) = found(place) {
            *near = place;
            return Some(block);
        }
    }
    let after = blocks.partition_point(|block| block.ordinal <= ordinal);
    *near = after.checked_sub(1)?;
    found(*near)
}

#[cfg(test)]
mod tests {
    use super::super::index::Growing;
    use super::*;
    use crate::event::Timestamp;
    use crate::filter::{FilterId, StoredTopic};
    use crate::page::{Reach, Target};
    use crate::subscription::StoreKey;
    use bytestring::ByteString;
    use rewamp_wamp::id::PublicationId;
    use rewamp_wamp::uri::MatchPolicy;

    /// Ten thousand events over seven topics, in blocks of 28, of which filter 1 has the even
    /// topics and filter 0 all.
    fn index() -> Growing {
        let key = StoreKey::from_bytes([1; 32]);
        let topics: Vec<StoredTopic> = (0..7)
            .map(|number| {
                let filters = (0..=1 - number % 2).map(FilterId::new).collect();
                StoredTopic::new(ByteString::from(format!("t.{number}")), filters)
            })
            .collect();
        let mut index = Growing::after(Sequence::ZERO);
        for number in 0..10_000_u64 {
            let sequence = Sequence::new(number + 1);
            let time = Timestamp::from_nanos(number * 10);
            if number % 28 == 0 {
                let entry = BlockEntry {
                    first: sequence,
                    time,
                    ordinal: 0,
                    length: 9,
                    place: 0,
                };
                index.begin_block(entry);
            }
            let publication = PublicationId::new(number + 1).unwrap();
            let topic = &topics[(number * number % 7) as usize];
            index.add(&key, topic, sequence, time, publication, false);
        }
        index
    }

    fn sequences(target: Target<'_>, filter: u32, reach: &Reach, reverse: bool) -> Vec<u64> {
        let index = index();
        let mut pages = PageCache::default();
        let lists = index
            .lists(FilterId::new(filter), target, &mut pages)
            .unwrap();
        let lists = lists.into_iter().map(Run::from).collect();
        let mut cursor = Cursor::new(lists, index.ordinals(reach), reverse, pages);
        let (mut found, mut hits) = (Vec::new(), Vec::new());
        loop {
            hits.clear();
            cursor.fill(&index, &mut hits).unwrap();
            if hits.is_empty() {
                return found;
            }
            found.extend(
                hits.iter()
                    .map(|hit| hit.first.get() + u64::from(hit.index)),
            );
        }
    }

    #[track_caller]
    fn check(target: Target<'_>, filter: u32, holds: impl Fn(u64) -> bool) {
        let mut expected: Vec<u64> = (1..=10_000)
            .filter(|sequence| holds((sequence - 1) * (sequence - 1) % 7))
            .collect();
        assert_eq!(sequences(target, filter, &Reach::ALL, false), expected);
        expected.reverse();
        assert_eq!(sequences(target, filter, &Reach::ALL, true), expected);
    }

    #[test]
    fn a_cursor_shows_every_event_of_its_target_once_in_either_direction() {
        check(Target::Filter, 0, |_| true);
        check(Target::Filter, 1, |topic| topic % 2 == 0);
        check(Target::Topic("t.4"), 0, |topic| topic == 4);
        check(Target::Topic("t.5"), 0, |_| false);
        check(Target::Pattern("t.", MatchPolicy::Wildcard), 0, |_| true);
        check(Target::Pattern("t.1", MatchPolicy::Prefix), 0, |topic| {
            topic == 1
        });
        check(Target::Pattern("u", MatchPolicy::Prefix), 0, |_| false);
    }

    #[test]
    fn a_reach_is_kept_to_whole_blocks() {
        let reach = Reach {
            first: Sequence::new(100),
            last: Sequence::new(200),
            ..Reach::ALL
        };
        let found = sequences(Target::Filter, 0, &reach, false);
        assert_eq!((found[0], found[found.len() - 1]), (85, 224));
        let reach = Reach {
            start: Timestamp::from_nanos(990),
            end: Timestamp::from_nanos(1_990),
            ..Reach::ALL
        };
        assert_eq!(sequences(Target::Filter, 0, &reach, false), found);
    }
}
