//! The newest events of each topic, of filters that keep so many: from which event on a topic is
//! kept. Found in the topic dictionaries of the segments, newest first, until there are enough:
//! a look-up a segment for a topic of which few events are new, one for a busy one.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;

use super::catalog::Known;
use super::pages::PageCache;
use super::segment::{Buffer, Fault, Segment, hit_at};
use crate::event::Sequence;
use crate::filter::FilterId;
use crate::page::{Reach, Target};

/// Topics of which it is remembered from where on they are kept, while many events are looked at.
///
/// 65,536: with names of 100 bytes some 10 MB. When it is full it begins anew: cost, not history.
const REMEMBERED: usize = 65_536;

/// From where on a filter keeps the events of a topic, as of the moment when `newest` was the
/// newest of all, if `newer` more are to come; before it, they gave way to newer ones.
pub(super) fn topic_floor(
    segments: &[Arc<Segment>],
    known: &Known,
    topic: &str,
    newer: u64,
    newest: Sequence,
) -> Result<Sequence, Fault> {
    let newest_of = |until, count| {
        let counted = Counted {
            filter: known.id,
            until,
            newest,
        };
        newest_of(segments, &counted, topic, count)
    };
    let mut floor = match known.filter.limit_per_topic {
        Some(each) if each <= newer => return Ok(Sequence::MAX),
        Some(each) => newest_of(Sequence::MAX, each - newer)?,
        None => Sequence::ZERO,
    };
    for era in &known.eras {
        let kept = newest_of(era.until, era.each)?;
        floor = floor.max(kept);
    }
    Ok(floor)
}

/// Which events count.
struct Counted {
    filter: FilterId,
    /// Those of segments that end here or before.
    until: Sequence,
    /// The newest of all.
    newest: Sequence,
}

/// The `count`th newest event of a topic.
fn newest_of(
    segments: &[Arc<Segment>],
    counted: &Counted,
    topic: &str,
    count: u64,
) -> Result<Sequence, Fault> {
    let mut left = count;
    for segment in segments.iter().rev() {
        let within = segment
            .last()
            .is_some_and(|(last, _)| last <= counted.until);
        if !within || !segment.knows(counted.filter) {
            continue;
        }
        let mut pages = PageCache::default();
        let list = segment.look_up(|index| index.topic(topic, &mut pages))?;
        let events = u64::from(segment.count_until(&list, counted.newest)?);
        match events.checked_sub(left) {
            Some(older) => {
                let hit = segment.look_up(|index| {
                    let ordinal = index.at(&list, older as u32, &mut pages)?;
                    hit_at(index, ordinal).ok_or(Fault::Damaged)
                })?;
                let mut buffer = Buffer::default();
                return Ok(segment.event(&hit, &mut buffer)?.sequence);
            }
            None => left -= events,
        }
    }
    Ok(Sequence::ZERO)
}

/// The floors of many topics of one filter.
pub(super) struct TopicFloors<'a> {
    segments: &'a [Arc<Segment>],
    known: &'a Known,
    floors: HashMap<ByteString, Sequence, foldhash::quality::RandomState>,
}

impl<'a> TopicFloors<'a> {
    pub(super) fn new(segments: &'a [Arc<Segment>], known: &'a Known) -> Self {
        Self {
            segments,
            known,
            floors: HashMap::default(),
        }
    }

    /// See [`topic_floor`].
    pub(super) fn of(&mut self, topic: &str) -> Result<Sequence, Fault> {
        if let Some(floor) = self.floors.get(topic) {
            return Ok(*floor);
        }
        let floor = topic_floor(self.segments, self.known, topic, 0, Sequence::MAX)?;
        if self.floors.len() >= REMEMBERED {
            self.floors.clear();
        }
        self.floors.insert(ByteString::from(topic), floor);
        Ok(floor)
    }

    /// The newest event that the filter's `limit` drops, where that counts what is left by the
    /// limit of the topics: found by counting, so at the cost of `limit` events and of those
    /// between them that gave way.
    pub(super) fn limit_floor(&mut self) -> Result<Option<Sequence>, Fault> {
        let Some(limit) = self.known.filter.limit else {
            return Ok(None);
        };
        let (mut left, mut failed, mut found) = (limit, None, None);
        let segments = self.segments;
        let filter = self.known.id;
        for segment in segments.iter().rev().filter(|it| it.filter(filter).0 > 0) {
            let target = Target::Filter;
            let walked = segment.walk(
                filter,
                target,
                &Reach::ALL,
                true,
                &mut |event| match self.of(event.topic) {
                    Ok(floor) if event.sequence < floor => ControlFlow::Continue(()),
                    Ok(_) if left > 0 => {
                        left -= 1;
                        ControlFlow::Continue(())
                    }
                    Ok(_) => {
                        found = Some(event.sequence);
                        ControlFlow::Break(())
                    }
                    Err(fault) => {
                        failed = Some(fault);
                        ControlFlow::Break(())
                    }
                },
                &mut Vec::new(),
            )?;
            if let Some(fault) = failed {
                return Err(fault);
            }
            if walked.is_break() {
                break;
            }
        }
        Ok(found)
    }
}
