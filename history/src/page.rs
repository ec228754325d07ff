//! How a question is answered, the same for every engine: conditions become one reach of the
//! realm's order, receiver lists, limit and budget are applied, and what is still pending is laid
//! over what is committed. Engines implement [`Committed`] and call [`read`].

mod history; // committed and pending events as one
mod doomed; //  what is to be purged
mod topics; //  those of which so many events are kept
mod newest; //  the newest of every topic

use std::ops::{AddAssign, ControlFlow};
use std::sync::Arc;

use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::{MatchPolicy, matches};

use self::history::History;
pub(crate) use self::newest::Newest;
use crate::error::{QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::query::{End, PageEnd, Query, Resume, Scope, Viewer};
use crate::store::{Info, Span};
pub(crate) use doomed::{Doomed, Runs, doomed};

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

    /// Whether an event is in the run.
    pub(crate) fn holds(&self, event: &EventRef<'_>) -> bool {
        !self.begins_after(event.sequence, event.time)
            && !self.ends_before(event.sequence, event.time)
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

/// Events and about how many bytes they take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Amount {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
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

    /// How many events of each topic the filter keeps; `u64::MAX` where an earlier such limit
    /// still shows. With it, [`floor`](Self::floor) leaves the filter's limit aside.
    fn limit_per_topic(&self, filter: FilterId) -> Option<u64>;

    /// Whether any filter keeps so many events of each topic, or did.
    fn is_any_by_topic(&self) -> bool {
        false
    }

    /// From where on the filter keeps the events of a topic, if `newer` more of it are to come.
    fn topic_floor(
        &self,
        filter: FilterId,
        topic: &str,
        newer: u64,
    ) -> Result<Sequence, StoreError>;

    /// Events before this time are too old for the filter's history.
    fn oldest(&self, filter: FilterId) -> Timestamp;

    /// The sequence of a publication, whichever filters hold it.
    fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, StoreError>;

    /// How many of the filter's events on target lie within `reach`, whoever may see them.
    fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, StoreError>;

    /// How many of its committed events a choice takes; `None` where looking at each of them is
    /// the way to know what is kept, as it is where what gave way is gone.
    fn count_newest(&self, _newest: &mut Newest<'_>) -> Result<Option<Amount>, StoreError> {
        Ok(None)
    }

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

    /// Chooses among the events of [`Newest::range`], and visits those that are chosen and within
    /// `shown`, in order. Some that the viewer may not see may be among them, and a few that lie
    /// just outside of `shown`.
    fn walk_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
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
    let mut range = history.reach(query)?;
    let target = match &query.topic {
        Some(topic) if matches(&scope.uri, scope.match_policy, topic) => Target::Topic(topic),
        Some(_) => return Ok(NOTHING),
        None => history.target,
    };
    if query.last_per_topic.is_some() {
        // The state of this moment, also on later pages.
        range.end_at(history.newest_accepted());
    }
    let mut reach = range;
    match query.resume {
        Some(resume) if query.reverse => reach.end_at(resume.next),
        Some(resume) => reach.begin_at(resume.next),
        None => {}
    }
    if reach.is_empty() {
        return Ok(NOTHING);
    }
    let resume = |next| Resume {
        next,
        first: range.first,
        last: range.last,
    };
    if query.limit == 0 {
        let next = if query.reverse {
            reach.last
        } else {
            reach.first
        };
        return Ok(PageEnd {
            end: End::Limit,
            next: Some(next),
            resume: Some(resume(next)),
            ..NOTHING
        });
    }
    let mut page = Page {
        query,
        reach,
        visit,
        shown: 0,
        scanned: 0,
        last: None,
        end: None,
    };
    let mut cut = false;
    let offer: Visit<'_> = &mut |event| page.offer(event);
    match query.last_per_topic {
        None => history.walk(target, &reach, query.reverse, offer)?,
        Some(0) => {}
        Some(each) => {
            let mut newest = Newest::new(query, each, target, range);
            history.walk_newest(&mut newest, &reach, query.reverse, offer)?;
            cut = newest.is_cut();
        }
    }
    let exhausted = if cut { End::Budget } else { End::Exhausted };
    let (end, next) = page.end.unwrap_or((exhausted, None));
    Ok(PageEnd {
        end,
        next,
        last: page.last,
        resume: next.map(resume),
        scanned: page.scanned,
    })
}

const NOTHING: PageEnd = PageEnd {
    end: End::Exhausted,
    next: None,
    last: None,
    resume: None,
    scanned: 0,
};

/// The newest event before a sequence; see [`crate::EventStore::previous`].
pub(crate) fn previous(
    committed: &impl Committed,
    scope: &Scope,
    before: Sequence,
    pending: &[&[Arc<Event>]],
) -> Result<Option<Sequence>, StoreError> {
    History::new(committed, scope, &Viewer::Operator, pending)?.newest_before(before)
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

/// What is in a history; see [`crate::EventStore::info`].
pub(crate) fn info(
    committed: &impl Committed,
    scope: &Scope,
    viewer: &Viewer,
    pending: &[&[Arc<Event>]],
) -> Result<Info, StoreError> {
    let history = History::new(committed, scope, viewer, pending)?;
    let Amount { events, bytes } = history.count()?;
    Ok(Info {
        span: history.span()?,
        events,
        bytes,
    })
}

/// A page in the making: who sees what, and how much of it.
struct Page<'a, 'v> {
    query: &'a Query,
    reach: Reach,
    visit: Visit<'v>,
    shown: u64,
    scanned: u64,
    /// The event before the one that is offered.
    last: Option<Sequence>,
    end: Option<(End, Option<Sequence>)>,
}

impl Page<'_, '_> {
    fn offer(&mut self, event: &EventRef<'_>) -> ControlFlow<()> {
        if self.scanned >= self.query.budget {
            return self.close(End::Budget, Some(event.sequence));
        }
        self.scanned += 1;
        let before = self.last.replace(event.sequence);
        if !self.query.viewer.may_see(event) {
            return ControlFlow::Continue(());
        }
        if self.show(event, before).is_break() {
            self.last = before;
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

    fn show(&mut self, event: &EventRef<'_>, before: Option<Sequence>) -> ControlFlow<()> {
        // What lies between two events of one topic, or two that were chosen, is not looked at.
        let whole = self.query.topic.is_none() && self.query.last_per_topic.is_none();
        if self.query.reverse || !whole {
            return (self.visit)(event);
        }
        (self.visit)(&EventRef {
            previous: before,
            ..*event
        })
    }

    fn close(&mut self, end: End, next: Option<Sequence>) -> ControlFlow<()> {
        self.end = Some((end, next));
        ControlFlow::Break(())
    }
}
