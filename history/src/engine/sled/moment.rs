//! The store as of one moment, which a query is answered from. What is dropped meanwhile stays
//! readable until the query is done: files that are gone live on while they are open.

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::id::PublicationId;

use super::floors::limit_floor;
use super::newest::Stretch;
use super::per_topic::topic_floor;
use super::rescan::rescan;
use super::segment::{Fault, Hole, Segment, Segments, store_error};
use super::shared::Shared;
use crate::error::StoreError;
use crate::event::{EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::page::{Amount, Committed, Newest, Reach, Target, Visit};
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
            Err(fault) if segment.is_renewable(&fault) => {}
            Err(fault) => return Err(store_error("cannot read", &segment.path, fault)),
        }
        let renewed = rescan(self.shared, segment)?;
        match shown {
            Some(shown) if reverse => reach.last = reach.last.min(shown.previous()),
            Some(shown) => reach.first = reach.first.max(shown.next()),
            None => {}
        }
        let mut unseen = |event: &EventRef<'_>| {
            if reach.holds(event) {
                return visit(event);
            }
            ControlFlow::Continue(())
        };
        renewed
            .walk(filter, target, &reach, reverse, &mut unseen, &mut holes)
            .map_err(|fault| store_error("cannot read", &segment.path, fault))
    }
}

impl Moment<'_> {
    /// The segments that may have events within `reach`, oldest first.
    fn within(&self, reach: &Reach) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        let Reach { first, last, .. } = *reach;
        self.segments.iter().filter(move |segment| {
            let ends = segment.ends();
            ends.is_some_and(|(from, until)| from <= last && until >= first)
        })
    }

    /// Chooses from the newest segment to the oldest and shows what is chosen; or says whose
    /// index proved damaged meanwhile.
    fn try_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<Result<(), Arc<Segment>>, StoreError> {
        let range = newest.range;
        let mut chosen: Vec<(&Arc<Segment>, Vec<Stretch>)> = Vec::new();
        for segment in self.within(&range).rev() {
            let stretches = match segment.choose(newest) {
                Ok(stretches) => stretches,
                Err(fault) if segment.is_renewable(&fault) => return Ok(Err(Arc::clone(segment))),
                Err(fault) => return Err(store_error("cannot read", &segment.path, fault)),
            };
            stretches.iter().for_each(|stretch| stretch.note(newest));
            if !reverse {
                chosen.push((segment, stretches));
            } else {
                match self.show(segment, &stretches, shown, reverse, visit)? {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(Ok(())),
                    Err(damaged) => return Ok(Err(damaged)),
                }
            }
            if newest.is_cut() {
                break;
            }
        }
        for (segment, stretches) in chosen.iter().rev() {
            match self.show(segment, stretches, shown, reverse, visit)? {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(damaged) => return Ok(Err(damaged)),
            }
        }
        Ok(Ok(()))
    }

    fn show(
        &self,
        segment: &Arc<Segment>,
        stretches: &[Stretch],
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<Result<ControlFlow<()>, Arc<Segment>>, StoreError> {
        let mut holes = Vec::new();
        let walked = segment.walk_stretches(stretches, shown, reverse, visit, &mut holes);
        self.shared
            .note_holes(&holes, "blocks of a segment are damaged");
        match walked {
            Ok(flow) => Ok(Ok(flow)),
            Err(fault) if segment.is_renewable(&fault) => Ok(Err(Arc::clone(segment))),
            Err(fault) => Err(store_error("cannot read", &segment.path, fault)),
        }
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
        let known = self.shared.catalog.lock().known(filter).cloned();
        let Some(known) = known else {
            return Ok(Sequence::ZERO);
        };
        let dropped = known.floor;
        if known.is_by_topic() {
            return Ok(dropped);
        }
        let limited = limit_floor(
            &self.segments,
            filter,
            self.limit(filter),
            more,
            self.newest,
        );
        match limited {
            Ok(limited) => Ok(dropped.max(limited.unwrap_or_default())),
            // The page shows a few more than the limit, instead of nothing at all.
            Err(Fault::Damaged) => Ok(dropped),
            Err(fault) => Err(store_error("cannot read", &self.shared.folder, fault)),
        }
    }

    fn limit_per_topic(&self, filter: FilterId) -> Option<u64> {
        let catalog = self.shared.catalog.lock();
        let known = catalog.known(filter)?;
        known
            .is_by_topic()
            .then(|| known.filter.limit_per_topic.unwrap_or(u64::MAX))
    }

    fn is_any_by_topic(&self) -> bool {
        self.shared.by_topic
    }

    fn topic_floor(
        &self,
        filter: FilterId,
        topic: &str,
        newer: u64,
    ) -> Result<Sequence, StoreError> {
        let known = self.shared.catalog.lock().known(filter).cloned();
        let Some(known) = known else {
            return Ok(Sequence::ZERO);
        };
        match topic_floor(&self.segments, &known, topic, newer, self.newest) {
            Ok(floor) => Ok(floor),
            // A few more are shown than the limit, instead of nothing at all.
            Err(Fault::Damaged) => Ok(Sequence::ZERO),
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
                Err(fault) if segment.is_renewable(&fault) => {
                    rescan(self.shared, segment)?.locate(publication)
                }
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

    fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, StoreError> {
        let mut all = Amount::default();
        for segment in self.within(reach) {
            let counted = match segment.count(filter, target, reach) {
                Err(fault) if segment.is_renewable(&fault) => {
                    rescan(self.shared, segment)?.count(filter, target, reach)
                }
                other => other,
            };
            all += counted.map_err(|fault| store_error("cannot read", &segment.path, fault))?;
        }
        Ok(all)
    }

    fn count_newest(&self, newest: &mut Newest<'_>) -> Result<Option<Amount>, StoreError> {
        let known = self.shared.catalog.lock().known(newest.filter).cloned();
        // A limit that is no more leaves traces, which no list knows of.
        if known.is_none_or(|known| !known.eras.is_empty()) {
            return Ok(None);
        }
        let mut all = Amount::default();
        let range = newest.range;
        for segment in self.within(&range).rev() {
            let (stretches, segment) = match segment.choose(newest) {
                Err(Fault::Damaged) => {
                    let renewed = rescan(self.shared, segment)?;
                    (renewed.choose(newest), renewed)
                }
                stretches => (stretches, Arc::clone(segment)),
            };
            let stretches =
                stretches.map_err(|fault| store_error("cannot read", &segment.path, fault))?;
            stretches.iter().for_each(|stretch| stretch.note(newest));
            let events = stretches.iter().map(|stretch| stretch.events()).sum();
            all += segment.share(events);
        }
        Ok(Some(all))
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
        let mut forward = self.within(reach);
        let mut backward = self.within(reach).rev();
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

    fn walk_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut rest = *shown;
        let mut renewed = None;
        // Each segment proves damaged once.
        for _ in 0..=self.segments.len() {
            let moment: &Self = renewed.as_ref().unwrap_or(self);
            let shown = rest;
            let mut watched = |event: &EventRef<'_>| {
                if !shown.holds(event) {
                    return ControlFlow::Continue(());
                }
                if reverse {
                    rest.last = event.sequence.previous();
                } else {
                    rest.first = event.sequence.next();
                }
                visit(event)
            };
            let Err(damaged) = moment.try_newest(newest, &shown, reverse, &mut watched)? else {
                return Ok(());
            };
            // Its index is made anew from its blocks, and with it the choice: what was shown is
            // not shown again.
            rescan(self.shared, &damaged)?;
            newest.restart();
            renewed = Some(Self::now(self.shared));
        }
        let fault = Fault::Damaged;
        Err(store_error("cannot read", &self.shared.folder, fault))
    }
}
