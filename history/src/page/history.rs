//! One history before one viewer: what is still pending is laid over what is committed, and
//! conditions become one reach of the realm's order.

mod count; // how much there is

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::MatchPolicy;

use super::topics::Topics;
use super::{Committed, Newest, Reach, Target, Visit};
use crate::error::{Position, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::query::{Bounds, Query, Resume, Scope, Viewer};
use crate::store::Span;

/// Events looked at to find the end of a history that its viewer can see. An end that lies
/// deeper is not named: the answer to a mistake may not cost more than ten pages.
const SPAN_BUDGET: u64 = 100_000;

/// One history before one viewer: committed events, then pending ones.
pub(super) struct History<'a, C> {
    committed: &'a C,
    scope: &'a Scope,
    viewer: &'a Viewer,
    pub(super) target: Target<'a>,
    /// Pending slices; events up to `newest` are committed already.
    pending: &'a [&'a [Arc<Event>]],
    newest: Sequence,
    floor: Sequence,
    /// What was accepted before is too old.
    oldest: Timestamp,
    /// Where topics begin, if the filter keeps so many events of each.
    topics: Option<Topics>,
}

impl<'a, C: Committed> History<'a, C> {
    pub(super) fn new(
        committed: &'a C,
        scope: &'a Scope,
        viewer: &'a Viewer,
        pending: &'a [&'a [Arc<Event>]],
    ) -> Result<Self, StoreError> {
        let target = match scope.match_policy {
            _ if committed.is_whole(scope) => Target::Filter,
            MatchPolicy::Exact => Target::Topic(&scope.uri),
            policy => Target::Pattern(&scope.uri, policy),
        };
        let newest = committed.newest();
        let mut history = Self {
            committed,
            scope,
            viewer,
            target,
            pending,
            newest,
            floor: Sequence::ZERO,
            oldest: committed.oldest(scope.filter),
            topics: None,
        };
        if let Some(each) = committed.limit_per_topic(scope.filter) {
            let pending = history.uncommitted().rev();
            let pending = pending.filter(|event| event.topic.filters().contains(&scope.filter));
            history.topics = Some(Topics::new(each, pending));
        }
        history.floor = history.find_floor()?;
        Ok(history)
    }

    /// Pending events count as kept already, or a page would show more than the limit until
    /// they are committed.
    fn find_floor(&self) -> Result<Sequence, StoreError> {
        let filter = self.scope.filter;
        let Some(limit) = self.committed.limit(filter) else {
            return self.committed.floor(filter, 0);
        };
        if self.topics.is_some() {
            return self.count_to_floor(limit, self.committed.floor(filter, 0)?);
        }
        let kept = |event: &&Arc<Event>| event.topic.filters().contains(&filter);
        let more = self.uncommitted().filter(kept).count() as u64;
        match more.checked_sub(limit) {
            Some(surplus @ 1..) => {
                let last = self.uncommitted().filter(kept).nth(surplus as usize - 1);
                Ok(last.map_or(self.newest, |event| event.sequence))
            }
            _ => self.committed.floor(filter, more),
        }
    }

    /// The floor where the limit counts what is left by that of the topics.
    fn count_to_floor(&self, limit: u64, dropped: Sequence) -> Result<Sequence, StoreError> {
        let (mut left, mut floor) = (limit, dropped);
        self.walk_all(Target::Filter, &Reach::ALL, true, &mut |event| {
            if left == 0 {
                floor = floor.max(event.sequence);
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        })?;
        Ok(floor)
    }

    /// Whether an event did not give way to newer ones of its topic.
    fn is_kept(&self, topic: &str, sequence: Sequence) -> Result<bool, StoreError> {
        let Some(topics) = &self.topics else {
            return Ok(true);
        };
        let floor = topics.floor(topic, |newer| {
            self.committed.topic_floor(self.scope.filter, topic, newer)
        })?;
        Ok(sequence >= floor)
    }

    fn uncommitted(&self) -> impl DoubleEndedIterator<Item = &'a Arc<Event>> {
        let newest = self.newest;
        let fresh = move |slice: &&'a [Arc<Event>]| {
            let known = slice.partition_point(|event| event.sequence <= newest);
            slice.get(known..).unwrap_or_default()
        };
        self.pending.iter().flat_map(fresh)
    }

    /// The newest event of the realm that is stored or pending.
    pub(super) fn newest_accepted(&self) -> Sequence {
        let pending = self.uncommitted().next_back();
        pending.map_or(self.newest, |event| event.sequence)
    }

    /// The conditions of a query as one run of the order.
    pub(super) fn reach(&self, query: &Query) -> Result<Reach, QueryError> {
        let mut reach = times(&query.time);
        if let Some(Resume { first, last, .. }) = query.resume {
            reach.begin_at(first);
            reach.end_at(last);
            return Ok(reach);
        }
        let Query {
            sequence,
            publication,
            ..
        } = query;
        for from in [sequence.from, sequence.after.map(Sequence::next)]
            .into_iter()
            .flatten()
        {
            if from <= self.floor || from > self.committed.reserved() || self.is_aged(from)? {
                return Err(self.no_such_publication());
            }
            reach.begin_at(from);
        }
        let until = [sequence.until, sequence.before.map(Sequence::previous)];
        until
            .into_iter()
            .flatten()
            .for_each(|until| reach.end_at(until));
        if let Some(publication) = publication.from {
            reach.begin_at(self.find(publication)?);
        }
        if let Some(publication) = publication.after {
            reach.begin_at(self.find(publication)?.next());
        }
        if let Some(publication) = publication.before {
            reach.end_at(self.find(publication)?.previous());
        }
        if let Some(publication) = publication.until {
            reach.end_at(self.find(publication)?);
        }
        Ok(reach)
    }

    /// Whether an event of this history at or after `from` is too old by now.
    fn is_aged(&self, from: Sequence) -> Result<bool, StoreError> {
        let mut found = false;
        if self.oldest > Timestamp::ZERO {
            let reach = Reach {
                first: from,
                end: self.oldest.previous(),
                ..Reach::ALL
            };
            self.walk_all(self.target, &reach, false, &mut |_| {
                found = true;
                ControlFlow::Break(())
            })?;
        }
        Ok(found)
    }

    /// Where a publication stands, if it is in this history and the viewer may see it.
    pub(super) fn find(&self, publication: PublicationId) -> Result<Sequence, QueryError> {
        let pending = self
            .uncommitted()
            .find(|event| event.publication == publication);
        let sequence = match pending {
            Some(event) => Some(event.sequence),
            None => self.committed.locate(publication)?,
        };
        if let Some(sequence) = sequence {
            let mut found = false;
            self.walk(self.target, &Reach::only(sequence), false, &mut |event| {
                found |= event.publication == publication && self.may_see(event);
                ControlFlow::Continue(())
            })?;
            if found {
                return Ok(sequence);
            }
        }
        Err(self.no_such_publication())
    }

    fn no_such_publication(&self) -> QueryError {
        match self.span() {
            Ok(Span { oldest, newest }) => QueryError::NoSuchPublication { oldest, newest },
            Err(error) => QueryError::Store(error),
        }
    }

    pub(super) fn span(&self) -> Result<Span, StoreError> {
        Ok(Span {
            oldest: self.end(false)?,
            newest: self.end(true)?,
        })
    }

    /// The newest event before that sequence, whoever may see it.
    pub(super) fn newest_before(&self, before: Sequence) -> Result<Option<Sequence>, StoreError> {
        let reach = Reach {
            last: before.previous(),
            ..Reach::ALL
        };
        let mut found = None;
        if before > Sequence::ZERO {
            self.walk(self.target, &reach, true, &mut |event| {
                found = Some(event.sequence);
                ControlFlow::Break(())
            })?;
        }
        Ok(found)
    }

    fn end(&self, reverse: bool) -> Result<Option<Position>, StoreError> {
        let mut found = None;
        let mut looked_at = 0;
        self.walk(self.target, &Reach::ALL, reverse, &mut |event| {
            looked_at += 1;
            if self.may_see(event) {
                let EventRef {
                    publication,
                    sequence,
                    time,
                    ..
                } = *event;
                found = Some(Position {
                    publication,
                    sequence,
                    time,
                });
            }
            if found.is_some() || looked_at == SPAN_BUDGET {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn may_see(&self, event: &EventRef<'_>) -> bool {
        self.viewer.may_see(event)
    }

    /// Visits committed and pending events as one order.
    pub(super) fn walk(
        &self,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let reach = Reach {
            start: reach.start.max(self.oldest),
            ..*reach
        };
        self.walk_all(target, &reach, reverse, visit)
    }

    /// The same with those that are too old.
    fn walk_all(
        &self,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut committed = *reach;
        committed.begin_at(self.floor.next());
        committed.end_at(self.newest);
        let mut broken = false;
        let mut watched = |event: &EventRef<'_>| {
            let flow = visit(event);
            broken |= flow.is_break();
            flow
        };
        if reverse {
            if self
                .walk_pending(self.uncommitted().rev(), target, reach, &mut watched)
                .is_break()
            {
                return Ok(());
            }
            self.walk_committed(target, &committed, reverse, &mut watched)
        } else {
            self.walk_committed(target, &committed, reverse, &mut watched)?;
            if !broken {
                let _ = self.walk_pending(self.uncommitted(), target, reach, visit);
            }
            Ok(())
        }
    }

    /// Chooses among committed and pending events, and visits what is chosen and within `shown`
    /// as one order.
    pub(super) fn walk_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut pending = Vec::new();
        newest.range.start = newest.range.start.max(self.oldest);
        let (target, range) = (newest.target, newest.range);
        for event in self.uncommitted().rev() {
            let wanted = self.is_asked_for(event, target, &range)
                && newest.take_pending(event.topic.name(), &EventRef::from(&**event));
            if wanted {
                pending.push(event);
            }
        }
        newest.range.begin_at(self.floor.next());
        newest.range.end_at(self.newest);
        let mut committed = *shown;
        committed.begin_at(self.floor.next());
        committed.end_at(self.newest);
        let mut flow = ControlFlow::Continue(());
        let mut failed = None;
        if reverse {
            flow = self.walk_pending(pending.iter().copied(), target, shown, visit);
        }
        if flow.is_continue() && !committed.is_empty() {
            self.committed
                .walk_newest(newest, &committed, reverse, &mut |event| {
                    if committed.holds(event) {
                        flow = self.visit_kept(event, visit, &mut failed);
                    }
                    flow
                })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        if !reverse && flow.is_continue() {
            let _ = self.walk_pending(pending.into_iter().rev(), target, shown, visit);
        }
        Ok(())
    }

    fn walk_committed(
        &self,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        if reach.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        self.committed
            .walk(self.scope.filter, target, reach, reverse, &mut |event| {
                if !reach.holds(event) {
                    return ControlFlow::Continue(());
                }
                self.visit_kept(event, visit, &mut failed)
            })?;
        failed.map_or(Ok(()), Err)
    }

    /// Visits an event, unless it gave way to newer ones of its topic.
    fn visit_kept(
        &self,
        event: &EventRef<'_>,
        visit: Visit<'_>,
        failed: &mut Option<StoreError>,
    ) -> ControlFlow<()> {
        match self.is_kept(event.topic, event.sequence) {
            Ok(true) => visit(event),
            Ok(false) => ControlFlow::Continue(()),
            Err(error) => {
                *failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn walk_pending<'p>(
        &self,
        events: impl Iterator<Item = &'p Arc<Event>>,
        target: Target<'_>,
        reach: &Reach,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        for event in events {
            if self.is_asked_for(event, target, reach) {
                visit(&EventRef::from(&**event))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn is_asked_for(&self, event: &Event, target: Target<'_>, reach: &Reach) -> bool {
        let Event {
            sequence,
            time,
            ref topic,
            ..
        } = *event;
        sequence > self.floor
            && !reach.begins_after(sequence, time)
            && !reach.ends_before(sequence, time)
            && topic.filters().contains(&self.scope.filter)
            && target.holds(topic.name())
            // Pending events give way to pending ones alone: nothing can fail.
            && self.topics.as_ref().is_none_or(|topics| topics.keeps_pending(event))
    }
}

/// Conditions on the time as a run of the order.
fn times(time: &Bounds<Timestamp>) -> Reach {
    let mut reach = Reach::ALL;
    let from = [time.from, time.after.map(Timestamp::next)];
    let until = [time.until, time.before.map(Timestamp::previous)];
    reach.start = from.into_iter().flatten().fold(reach.start, Timestamp::max);
    reach.end = until.into_iter().flatten().fold(reach.end, Timestamp::min);
    if time.before == Some(Timestamp::ZERO) || time.after == Some(Timestamp::MAX) {
        reach.first = Sequence::MAX;
        reach.last = Sequence::ZERO;
    }
    reach
}
