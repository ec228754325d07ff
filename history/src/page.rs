//! How a question is answered, the same for every engine: conditions become one reach of the
//! realm's order, receiver lists, limit and budget are applied, and what is still pending is laid
//! over what is committed. Engines implement [`Committed`] and call [`read`].

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::{MatchPolicy, matches};

use crate::error::{Position, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::query::{End, PageEnd, Query, Scope, Viewer};
use crate::store::Span;

/// A run of the realm's order; all ends inclusive. An event is in it if its sequence and its
/// time are, which agree: both increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Reach {
    pub(crate) const ALL: Self = Self {
        first: Sequence::ZERO,
        last: Sequence::MAX,
        start: Timestamp::ZERO,
        end: Timestamp::MAX,
    };

    /// Whether an event lies before the run.
    pub(crate) fn begins_after(&self, sequence: Sequence, time: Timestamp) -> bool {
        sequence < self.first || time < self.start
    }

    /// Whether an event lies behind the run.
    pub(crate) fn ends_before(&self, sequence: Sequence, time: Timestamp) -> bool {
        sequence > self.last || time > self.end
    }

    fn is_empty(&self) -> bool {
        self.first > self.last || self.start > self.end
    }

    fn only(sequence: Sequence) -> Self {
        Self {
            first: sequence,
            last: sequence,
            ..Self::ALL
        }
    }

    fn begin_at(&mut self, sequence: Sequence) {
        self.first = self.first.max(sequence);
    }

    fn end_at(&mut self, sequence: Sequence) {
        self.last = self.last.min(sequence);
    }
}

/// Which of a filter's events are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'q> {
    /// All.
    Filter,
    /// Those of one topic.
    Topic(&'q str),
    /// Those of the topics that a pattern narrower than the filter stands for.
    Pattern(&'q str, MatchPolicy),
}

impl Target<'_> {
    fn holds(&self, topic: &str) -> bool {
        match *self {
            Self::Filter => true,
            Self::Topic(name) => name == topic,
            Self::Pattern(pattern, match_policy) => matches(pattern, match_policy, topic),
        }
    }
}

/// Called with each event of a walk; breaks to end it.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>;

/// What an engine has committed, as of one moment.
pub(crate) trait Committed {
    /// The newest event; [`Sequence::ZERO`] without any.
    fn newest(&self) -> Sequence;

    /// The first sequence that the realm may not have given out yet.
    fn reserved(&self) -> Sequence;

    /// Whether a scope is that of its filter, and not narrower.
    fn is_whole(&self, scope: &Scope) -> bool;

    /// The limit in force.
    fn limit(&self, filter: FilterId) -> Option<u64>;

    /// The newest event of the filter that has been dropped, or would be if `more` events came:
    /// those up to it are not in the filter's history.
    fn floor(&self, filter: FilterId, more: u64) -> Result<Sequence, StoreError>;

    /// The sequence of a publication, whichever filters hold it.
    fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, StoreError>;

    /// Visits the filter's events on target in order, at least those within `reach`; a few just
    /// outside of it are no harm.
    fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;
}

/// Answers a query; see [`crate::EventStore::read`].
pub(crate) fn read(
    committed: &impl Committed,
    query: &Query,
    pending: &[&[Arc<Event>]],
    visit: Visit<'_>,
) -> Result<PageEnd, QueryError> {
    let scope = &query.scope;
    let history = History::new(committed, scope, &query.viewer, pending)?;
    let reach = history.reach(query)?;
    let target = match &query.topic {
        Some(topic) if matches(&scope.uri, scope.match_policy, topic) => Target::Topic(topic),
        Some(_) => return Ok(NOTHING),
        None => history.target,
    };
    if reach.is_empty() {
        return Ok(NOTHING);
    }
    if query.limit == 0 {
        let next = if query.reverse {
            reach.last
        } else {
            reach.first
        };
        return Ok(PageEnd {
            end: End::Limit,
            next: Some(next),
            scanned: 0,
        });
    }
    let mut page = Page {
        query,
        reach,
        visit,
        shown: 0,
        scanned: 0,
        end: None,
    };
    history.walk(target, &reach, query.reverse, &mut |event| {
        page.offer(event)
    })?;
    let (end, next) = page.end.unwrap_or((End::Exhausted, None));
    Ok(PageEnd {
        end,
        next,
        scanned: page.scanned,
    })
}

/// The ends of a history; see [`crate::EventStore::span`].
pub(crate) fn span(
    committed: &impl Committed,
    scope: &Scope,
    viewer: &Viewer,
    pending: &[&[Arc<Event>]],
) -> Result<Span, StoreError> {
    History::new(committed, scope, viewer, pending)?.span()
}

const NOTHING: PageEnd = PageEnd {
    end: End::Exhausted,
    next: None,
    scanned: 0,
};

/// Events looked at to find the end of a history that its viewer can see. An end that lies
/// deeper is not named: the answer to a mistake may not cost more than ten pages.
const SPAN_BUDGET: u64 = 100_000;

/// One history before one viewer: committed events, then pending ones.
struct History<'a, C> {
    committed: &'a C,
    scope: &'a Scope,
    viewer: &'a Viewer,
    target: Target<'a>,
    /// Pending slices; events up to `newest` are committed already.
    pending: &'a [&'a [Arc<Event>]],
    newest: Sequence,
    floor: Sequence,
}

impl<'a, C: Committed> History<'a, C> {
    fn new(
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
        };
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

    fn uncommitted(&self) -> impl DoubleEndedIterator<Item = &'a Arc<Event>> {
        let newest = self.newest;
        let fresh = move |slice: &&'a [Arc<Event>]| {
            let known = slice.partition_point(|event| event.sequence <= newest);
            slice.get(known..).unwrap_or_default()
        };
        self.pending.iter().flat_map(fresh)
    }

    /// The conditions of a query as one run of the order.
    fn reach(&self, query: &Query) -> Result<Reach, QueryError> {
        let mut reach = Reach::ALL;
        let Query {
            time,
            sequence,
            publication,
            ..
        } = query;
        let from = [time.from, time.after.map(Timestamp::next)];
        let until = [time.until, time.before.map(Timestamp::previous)];
        reach.start = from.into_iter().flatten().fold(reach.start, Timestamp::max);
        reach.end = until.into_iter().flatten().fold(reach.end, Timestamp::min);
        if time.before == Some(Timestamp::ZERO) || time.after == Some(Timestamp::MAX) {
            reach.first = Sequence::MAX;
            reach.last = Sequence::ZERO;
        }
        for from in [sequence.from, sequence.after.map(Sequence::next)]
            .into_iter()
            .flatten()
        {
            if from <= self.floor || from > self.committed.reserved() {
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

    /// Where a publication stands, if it is in this history and the viewer may see it.
    fn find(&self, publication: PublicationId) -> Result<Sequence, QueryError> {
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

    fn span(&self) -> Result<Span, StoreError> {
        Ok(Span {
            oldest: self.end(false)?,
            newest: self.end(true)?,
        })
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
        event
            .receivers
            .is_none_or(|receivers| receivers.admit(self.viewer.as_ref()))
    }

    /// Visits committed and pending events as one order.
    fn walk(
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
        self.committed
            .walk(self.scope.filter, target, reach, reverse, &mut |event| {
                let outside = reach.begins_after(event.sequence, event.time)
                    || reach.ends_before(event.sequence, event.time);
                if outside {
                    ControlFlow::Continue(())
                } else {
                    visit(event)
                }
            })
    }

    fn walk_pending<'p>(
        &self,
        events: impl Iterator<Item = &'p Arc<Event>>,
        target: Target<'_>,
        reach: &Reach,
        visit: Visit<'_>,
    ) -> ControlFlow<()> {
        for event in events {
            let Event {
                sequence,
                time,
                ref topic,
                ..
            } = **event;
            let inside = sequence > self.floor
                && !reach.begins_after(sequence, time)
                && !reach.ends_before(sequence, time);
            if inside && topic.filters().contains(&self.scope.filter) && target.holds(topic.name())
            {
                visit(&EventRef::from(&**event))?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// A page in the making: who sees what, and how much of it.
struct Page<'a, 'v> {
    query: &'a Query,
    reach: Reach,
    visit: Visit<'v>,
    shown: u64,
    scanned: u64,
    end: Option<(End, Option<Sequence>)>,
}

impl Page<'_, '_> {
    fn offer(&mut self, event: &EventRef<'_>) -> ControlFlow<()> {
        if self.scanned >= self.query.budget {
            return self.close(End::Budget, Some(event.sequence));
        }
        self.scanned += 1;
        let viewer = self.query.viewer.as_ref();
        if event
            .receivers
            .is_some_and(|receivers| !receivers.admit(viewer))
        {
            return ControlFlow::Continue(());
        }
        if (self.visit)(event).is_break() {
            return self.close(End::Stopped, Some(event.sequence));
        }
        self.shown += 1;
        if self.shown < self.query.limit {
            return ControlFlow::Continue(());
        }
        let next = if self.query.reverse {
            event.sequence.previous()
        } else {
            event.sequence.next()
        };
        let within = (self.reach.first..=self.reach.last).contains(&next);
        self.close(End::Limit, within.then_some(next))
    }

    fn close(&mut self, end: End, next: Option<Sequence>) -> ControlFlow<()> {
        self.end = Some((end, next));
        ControlFlow::Break(())
    }
}
