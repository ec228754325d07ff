//! How far the bounds of a filter reach: up to which event they have dropped its history.
//! Called by readers and by the keeper; knows no lock but that of a growing index.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::catalog::Known;
use super::index::List;
use super::pages::PageCache;
use super::per_topic::TopicFloors;
use super::segment::{Fault, Segment};
use crate::event::{Sequence, Timestamp};
use crate::filter::FilterId;
use crate::page::{Reach, Target};

/// The newest event of a filter that its limit drops, as of now.
pub(super) fn limit_floor_of(
    segments: &[Arc<Segment>],
    known: &Known,
) -> Result<Option<Sequence>, Fault> {
    if known.is_by_topic() {
        return TopicFloors::new(segments, known).limit_floor();
    }
    limit_floor(segments, known.id, known.filter.limit, 0, Sequence::MAX)
}

/// The newest event of a filter that its limit drops, as of the moment when `newest` was the
/// newest of all and with `more` to come; `None` if the limit drops none of those that are there.
pub(super) fn limit_floor(
    segments: &[Arc<Segment>],
    filter: FilterId,
    limit: Option<u64>,
    more: u64,
    newest: Sequence,
) -> Result<Option<Sequence>, Fault> {
    let Some(limit) = limit else { return Ok(None) };
    let mut room = limit.saturating_sub(more);
    for segment in segments.iter().rev() {
        let list = segment.look_up(|index| index.filter(filter));
        let count = segment.count_until(&list, newest)?;
        match u64::from(count).checked_sub(room) {
            None | Some(0) => room -= u64::from(count),
            Some(surplus) => return segment.sequence_at(filter, surplus as u32 - 1).map(Some),
        }
    }
    Ok(None)
}

impl Segment {
    /// How many events of a list there were when `newest`, the last of a commit, was the newest
    /// of all. What comes while a question is answered must push nothing out of its answer.
    pub(super) fn count_until(&self, list: &List, newest: Sequence) -> Result<u32, Fault> {
        if self.last().is_none_or(|(last, _)| last <= newest) {
            return Ok(list.len());
        }
        let reach = Reach {
            last: newest,
            ..Reach::ALL
        };
        let mut pages = PageCache::default();
        self.look_up(|index| {
            let (_, until) = index.ordinals(&reach);
            index.below(list, until, &mut pages)
        })
    }
}

/// The newest event of a filter from before `oldest`.
pub(super) fn age_floor(
    segments: &[Arc<Segment>],
    filter: FilterId,
    oldest: Timestamp,
) -> Result<Option<Sequence>, Fault> {
    if oldest == Timestamp::ZERO {
        return Ok(None);
    }
    let reach = Reach {
        end: oldest.previous(),
        ..Reach::ALL
    };
    for segment in segments.iter().rev() {
        let (count, last) = segment.filter(filter);
        if count == 0 {
            continue;
        }
        if segment.last().is_some_and(|(_, time)| time < oldest) {
            return Ok(Some(last));
        }
        let mut found = None;
        let mut holes = Vec::new();
        let _ = segment.walk(
            filter,
            Target::Filter,
            &reach,
            true,
            &mut |event| {
                found = (event.time < oldest).then_some(event.sequence);
                match found {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            },
            &mut holes,
        )?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
