//! The store as of one moment, which a query is answered from. What is dropped meanwhile stays
//! readable until the query is done: files that are gone live on while they are open.

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::id::PublicationId;

use super::floors::limit_floor;
use super::keeper::rescan;
use super::segment::{Fault, Hole, Segment, Segments, store_error};
use super::shared::Shared;
use crate::error::StoreError;
use crate::event::{EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::page::{Committed, Reach, Target, Visit};
use crate::query::Scope;

/// Committed events as of one moment.
pub(super) struct Moment<'s> {
    shared: &'s Shared,
    newest: Sequence,
    segments: Segments,
}

impl<'s> Moment<'s> {
    pub(super) fn now(shared: &'s Shared) -> Self {
        // In this order: every event up to `newest` is in one of the segments.
        let newest = shared.newest();
        Self {
            shared,
            newest,
            segments: shared.segments(),
        }
    }

    /// Walks one segment; where its index proves damaged, the segment is read anew from its
    /// blocks and the walk goes on behind the last event that was shown.
    fn walk_segment(
        &self,
        segment: &Arc<Segment>,
        question: &Question<'_>,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let Question {
            filter,
            target,
            reverse,
            mut reach,
        } = *question;
        let mut holes: Vec<Hole> = Vec::new();
        let mut shown = None;
        let mut watched = |event: &EventRef<'_>| {
            shown = Some(event.sequence);
            visit(event)
        };
        let walked = segment.walk(filter, target, &reach, reverse, &mut watched, &mut holes);
        self.shared
            .note_holes(&holes, "blocks of a segment are damaged");
        match walked {
            Ok(flow) => return Ok(flow),
            Err(Fault::Damaged) => {}
            Err(fault) => return Err(store_error("cannot read", &segment.path, fault)),
        }
        let renewed = rescan(self.shared, segment)?;
        match shown {
            Some(shown) if reverse => reach.last = reach.last.min(shown.previous()),
            Some(shown) => reach.first = reach.first.max(shown.next()),
            None => {}
        }
        renewed
            .walk(filter, target, &reach, reverse, visit, &mut holes)
            .map_err(|fault| store_error("cannot read", &segment.path, fault))
    }
}

#[derive(Clone, Copy)]
struct Question<'q> {
    filter: FilterId,
    target: Target<'q>,
    reach: Reach,
    reverse: bool,
}

impl Committed for Moment<'_> {
    fn newest(&self) -> Sequence {
        self.newest
    }

    fn reserved(&self) -> Sequence {
        self.shared.reserved()
    }

    fn is_whole(&self, scope: &Scope) -> bool {
        self.shared
            .filters
            .is_own(scope.filter, &scope.uri, scope.match_policy)
    }

    fn limit(&self, filter: FilterId) -> Option<u64> {
        self.shared.known_filter(filter)?.limit
    }

    fn floor(&self, filter: FilterId, more: u64) -> Result<Sequence, StoreError> {
        let dropped = self.shared.catalog.lock().floor(filter);
        let limited = limit_floor(&self.segments, filter, self.limit(filter), more);
        match limited {
            Ok(limited) => Ok(dropped.max(limited.unwrap_or_default())),
            // The page shows a few more than the limit, instead of nothing at all.
            Err(Fault::Damaged) => Ok(dropped),
            Err(fault) => Err(store_error("cannot read", &self.shared.folder, fault)),
        }
    }

    fn oldest(&self, filter: FilterId) -> Timestamp {
        let known = self.shared.known_filter(filter);
        known.map_or(Timestamp::ZERO, |known| known.oldest_at(self.shared.now()))
    }

    fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, StoreError> {
        for segment in self.segments.iter().rev() {
            let located = match segment.locate(publication) {
                Err(Fault::Damaged) => rescan(self.shared, segment)?.locate(publication),
                other => other,
            };
            match located {
                Ok(None) | Err(Fault::Damaged) => {}
                Ok(found) => return Ok(found),
                Err(fault) => return Err(store_error("cannot read", &segment.path, fault)),
            }
        }
        Ok(None)
    }

    fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let question = Question {
            filter,
            target,
            reach: *reach,
            reverse,
        };
        let within = |segment: &&Arc<Segment>| {
            segment
                .ends()
                .is_some_and(|(first, last)| first <= reach.last && last >= reach.first)
        };
        let mut forward = self.segments.iter().filter(within);
        let mut backward = self.segments.iter().rev().filter(within);
        let next = || {
            if reverse {
                backward.next()
            } else {
                forward.next()
            }
        };
        for segment in std::iter::from_fn(next) {
            if self.walk_segment(segment, &question, visit)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}
