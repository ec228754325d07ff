//! How far the bounds of a filter reach: up to which event they have dropped its history.
//! Called by readers and by the keeper; knows no lock but that of a growing index.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::catalog::Known;
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
    limit_floor(segments, known.id, known.filter.limit, 0)
}

/// The newest event of a filter that its limit drops, with `more` to come; `None` if the limit
/// drops none of those that are there.
pub(super) fn limit_floor(
    segments: &[Arc<Segment>],
    filter: FilterId,
    limit: Option<u64>,
    more: u64,
) -> Result<Option<Sequence>, Fault> {
    let Some(limit) = limit else { return Ok(None) };
    let mut room = limit.saturating_sub(more);
    for segment in segments.iter().rev() {
        let (count, last) = segment.filter(filter);
        match u64::from(count).checked_sub(room) {
            None | Some(0) => room -= u64::from(count),
            Some(_) if room == 0 => return Ok(Some(last)),
            Some(surplus) => return segment.sequence_at(filter, surplus as u32 - 1).map(Some),
        }
    }
    Ok(None)
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
