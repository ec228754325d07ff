//! The newest events at once, for the one who cannot wait: only from blocks that are in memory, and
//! only as long as nobody holds a lock. What takes more is left to `moment.rs`.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::RwLock;
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::MatchPolicy;

use super::active::Db;
use super::block::Block;
use super::cursor::{Cursor, Run};
use super::index::{Growing, Index};
use super::pages::PageCache;
use super::segment::{Blocks, Body, Segments};
use super::shared::Shared;
use crate::error::StoreError;
use crate::event::{Event, Sequence, Timestamp};
use crate::filter::{Filter, FilterId};
use crate::page::{self, Amount, Committed, Newest, Reach, Target, Visit};
use crate::query::{Bounds, PageEnd, Query, Scope};

/// Events that are looked at, at most, committed or pending. 512: some 50 us.
const EVENTS: usize = 512;

/// As [`crate::EventStore::read_at_once`].
pub(super) fn read(
    shared: &Shared,
    query: &Query,
    pending: &[&[Arc<Event>]],
    visit: Visit<'_>,
) -> Option<PageEnd> {
    let Query { scope, .. } = query;
    let is_pending = pending.iter().map(|events| events.len()).sum::<usize>();
    if !is_newest(query) || is_pending > EVENTS {
        return None;
    }
    let at_once = AtOnce::now(shared, scope.filter)?;
    let is_whole = at_once.is_whole(scope);
    // A limit counts the events of all topics.
    if !is_whole && (scope.match_policy != MatchPolicy::Exact || at_once.filter.limit.is_some()) {
        return None;
    }
    let end = page::read(&at_once, query, pending, visit).ok()?;
    // Of so many events nothing has given way yet.
    let within = at_once
        .filter
        .limit
        .is_none_or(|limit| end.scanned <= limit);
    (within && !at_once.more.get()).then_some(end)
}

/// Whether the newest events are asked for, and nothing else.
fn is_newest(query: &Query) -> bool {
    let Query {
        scope: _,
        viewer: _,
        topic: None,
        time,
        publication,
        sequence,
        last_per_topic: None,
        reverse: true,
        resume: None,
        limit: _,
        budget: _,
    } = query
    else {
        return false;
    };
    *time == Bounds::default()
        && *publication == Bounds::default()
        && *sequence == Bounds::default()
}

/// What is in memory, as of one moment.
struct AtOnce<'s> {
    shared: &'s Shared,
    filter: Filter,
    /// The newest event that the filter has dropped, but for its limit.
    floor: Sequence,
    newest: Sequence,
    segments: Segments,
    /// More would have to be looked at than is in memory, or at hand.
    more: Cell<bool>,
    looked_at: Cell<usize>,
}

impl<'s> AtOnce<'s> {
    /// `None` where events give way to others of their topic.
    fn now(shared: &'s Shared, filter: FilterId) -> Option<Self> {
        // In this order: every event up to `newest` is in one of the segments.
        let newest = shared.newest();
        let segments = shared.segments();
        let floor = {
            let catalog = shared.catalog.try_lock()?;
            let known = catalog.known(filter)?;
            (!known.is_by_topic()).then_some(known.floor)?
        };
        Some(Self {
            shared,
            filter: shared.known_filter(filter)?,
            floor,
            newest,
            segments,
            more: Cell::new(false),
            looked_at: Cell::new(0),
        })
    }

    /// Visits the filter's events on target that a growing segment has within `reach`, from the
    /// newest on; `None` where not all that is wanted of them is in memory.
    fn walk_growing(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        (index, db): (&RwLock<Growing>, &Db),
        visit: Visit<'_>,
    ) -> Option<ControlFlow<()>> {
        let index = index.try_read()?;
        let mut pages = PageCache::default();
        let lists = index.lists(filter, target, &mut pages).ok()?;
        let runs = lists.into_iter().map(Run::from).collect();
        let mut cursor = Cursor::new(runs, index.ordinals(reach), true, pages);
        let (mut hits, mut near) = (Vec::new(), 0);
        loop {
            hits.clear();
            cursor.fill(&*index, &mut hits).ok()?;
            if hits.is_empty() {
                return Some(ControlFlow::Continue(()));
            }
            for run in hits.chunk_by(|one, other| one.first == other.first) {
                let block = db.kept(run.first()?.first, &mut near)?;
                let block = Block::trust(&block)?;
                for hit in run {
                    let looked_at = self.looked_at.get() + 1;
                    self.looked_at.set(looked_at);
                    if looked_at > EVENTS {
                        return None;
                    }
                    if visit(&block.event(hit.index)?).is_break() {
                        return Some(ControlFlow::Break(()));
                    }
                }
            }
        }
    }

    /// As [`Committed::walk`], from the newest on; `None` where more would be needed.
    fn walk_newest_first(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        visit: Visit<'_>,
    ) -> Option<()> {
        for segment in self.segments.iter().rev() {
            match &segment.body {
                Body::Open {
                    index,
                    blocks: Blocks::Db(db),
                } => {
                    let growing = (&**index, db);
                    let walked = match segment.knows(filter) {
                        true => self.walk_growing(filter, target, reach, growing, visit)?,
                        false => ControlFlow::Continue(()),
                    };
                    if walked.is_break() {
                        return Some(());
                    }
                }
                Body::Sealed(sealed) if sealed.last().0 < reach.first => return Some(()),
                Body::Open { .. } | Body::Sealed(_) => return None,
            }
        }
        Some(())
    }

    /// It is not at hand.
    fn pass<T: Default>(&self) -> Result<T, StoreError> {
        self.more.set(true);
        Ok(T::default())
    }
}

impl Committed for AtOnce<'_> {
    fn newest(&self) -> Sequence {
        self.newest
    }

    fn reserved(&self) -> Sequence {
        self.shared.reserved()
    }

    fn is_whole(&self, scope: &Scope) -> bool {
        let Scope {
            filter,
            uri,
            match_policy,
        } = scope;
        self.shared.filters.is_own(*filter, uri, *match_policy)
    }

    /// The one who asks counts: the sequence where the limit ends is on disk.
    fn limit(&self, _: FilterId) -> Option<u64> {
        None
    }

    fn floor(&self, _: FilterId, _: u64) -> Result<Sequence, StoreError> {
        Ok(self.floor)
    }

    fn limit_per_topic(&self, _: FilterId) -> Option<u64> {
        None
    }

    fn topic_floor(&self, _: FilterId, _: &str, _: u64) -> Result<Sequence, StoreError> {
        self.pass()
    }

    fn oldest(&self, _: FilterId) -> Timestamp {
        self.filter.oldest_at(self.shared.now())
    }

    fn locate(&self, _: PublicationId) -> Result<Option<Sequence>, StoreError> {
        self.pass()
    }

    fn count(&self, _: FilterId, _: Target<'_>, _: &Reach) -> Result<Amount, StoreError> {
        self.pass()
    }

    fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let walked = reverse.then(|| self.walk_newest_first(filter, target, reach, visit));
        match walked.flatten() {
            Some(()) => Ok(()),
            None => self.pass(),
        }
    }

    fn walk_newest(
        &self,
        _: &mut Newest<'_>,
        _: &Reach,
        _: bool,
        _: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.pass()
    }
}
