//! Purging: events leave answers and disk together. The keeper writes every segment that holds
//! some of them anew without them, one after another, each put in the place of the old one with
//! one rename; whoever asked waits. So nothing has to be remembered of what was purged, however
//! much that is.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use hashbrown::HashSet;

use super::Sled;
use super::catalog::Known;
use super::floors::limit_floor_of;
use super::keeper::Keeper;
use super::moment::Moment;
use super::per_topic::topic_floor;
use super::reclaim::Urgency;
use super::seal::Source;
use super::segment::{Fault, Segment, store_error};
use crate::error::{QueryError, StoreError};
use crate::event::{EventRef, Sequence};
use crate::filter::FilterTable;
use crate::page::{self, Doomed, Reach, Runs, Target};
use crate::query::{Purge, Scope, Viewer};

/// How long the keeper waits for a commit that is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the keeper is to do, and what came of it.
#[derive(Debug, Default)]
pub(super) enum Order {
    #[default]
    None,
    Waits(Arc<Runs>),
    Done(Result<(), StoreError>),
}

impl Order {
    /// Whether somebody waits for it to be done.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Waits(_))
    }
}

impl Sled {
    /// See [`crate::EventStore::purge`].
    pub(super) fn purge_events(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        what: &Purge,
    ) -> Result<u64, QueryError> {
        if self.opened.readonly {
            return Err(StoreError::ReadOnly.into());
        }
        // One after another: what one has purged is not counted by the next.
        let _one = self.purging.lock();
        let moment = Moment::now(&self.shared);
        let mut doomed = page::doomed(&moment, scope, viewer, what)?;
        if doomed.events == 0 {
            return Ok(0);
        }
        self.keep_floors(&mut doomed, scope)
            .map_err(|fault| store_error("cannot read", &self.shared.folder, fault))?;
        drop(moment);
        let shared = &self.shared;
        let mut keeping = shared.keeping.lock();
        if keeping.closing {
            return Err(StoreError::Closed.into());
        }
        keeping.order = Order::Waits(Arc::new(doomed.runs));
        keeping.work = true;
        shared.changed.notify_all();
        loop {
            if let Order::Done(_) = keeping.order {
                let Order::Done(result) = std::mem::take(&mut keeping.order) else {
                    continue;
                };
                return result.map(|()| doomed.events).map_err(QueryError::from);
            }
            if keeping.closing {
                return Err(StoreError::Closed.into());
            }
            shared.changed.wait(&mut keeping);
        }
    }

    /// What bounds have dropped stays dropped when fewer events count towards them.
    fn keep_floors(&self, doomed: &mut Doomed, scope: &Scope) -> Result<(), Fault> {
        let shared = &self.shared;
        let segments = shared.segments();
        let filters = shared.catalog.lock().filters.clone();
        let mut raised = false;
        for known in &filters {
            let limited = limit_floor_of(&segments, known)?;
            let whole = doomed.floor.filter(|_| known.id == scope.filter);
            for floor in [limited, whole].into_iter().flatten() {
                raised |= shared.catalog.lock().raise_floor(known.id, floor);
            }
        }
        if raised {
            shared.save_catalog();
        }
        if !doomed.topics.is_empty() {
            let filters = shared.catalog.lock().filters.clone();
            let older = given_way(&segments, &filters, &doomed.topics)?;
            older.into_iter().for_each(|event| doomed.runs.add(event));
            doomed.runs.sort();
        }
        Ok(())
    }
}

/// Events of some topics that every filter that holds them has dropped, some for newer ones of
/// their topic: with one of those gone they would be back.
fn given_way(
    segments: &[Arc<Segment>],
    filters: &[Known],
    topics: &HashSet<ByteString>,
) -> Result<Vec<Sequence>, Fault> {
    let mut found = Vec::new();
    for segment in segments {
        let table = FilterTable::new(segment.head.filters.clone());
        for topic in topics {
            let holding = table.topic_or_bare(topic);
            let Some(filter) = holding.filters().first() else {
                continue;
            };
            let mut floor = Sequence::MAX;
            for id in holding.filters() {
                let known = filters.iter().find(|known| known.id == *id);
                let dropped = known.map_or(Sequence::ZERO, |known| known.floor.next());
                floor = floor.min(match known {
                    Some(known) if known.is_by_topic() => {
                        dropped.max(topic_floor(segments, known, topic, 0, Sequence::MAX)?)
                    }
                    _ => dropped,
                });
            }
            let _ = segment.walk(
                *filter,
                Target::Topic(topic),
                &Reach::ALL,
                false,
                &mut |event| {
                    if event.sequence >= floor {
                        return ControlFlow::Break(());
                    }
                    found.push(event.sequence);
                    ControlFlow::Continue(())
                },
                &mut Vec::new(),
            )?;
        }
    }
    Ok(found)
}

impl Keeper {
    /// Does what was ordered, if anything was.
    pub(super) fn obey(&mut self) {
        let shared = Arc::clone(&self.shared);
        let keeping = shared.keeping.lock();
        let Order::Waits(runs) = &keeping.order else {
            return;
        };
        let runs = Arc::clone(runs);
        drop(keeping);
        let purged = self.purge(&runs);
        shared.keeping.lock().order = Order::Done(purged);
        shared.changed.notify_all();
    }

    /// An order that a panic left undone is done: nobody waits for ever.
    pub(super) fn end_order(&self) {
        let mut keeping = self.shared.keeping.lock();
        if keeping.order.waits() {
            let fault = Fault::Failed("the keeper panicked".to_owned(), std::io::ErrorKind::Other);
            let error = store_error("cannot purge", &self.shared.folder, fault);
            keeping.order = Order::Done(Err(error));
        }
    }

    fn purge(&mut self, runs: &Runs) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let until = Instant::now() + PATIENCE;
        let grows = || shared.keeping.lock().active.clone();
        while grows().is_some_and(|active| is_touched(&active, runs)) && !shared.retire_active() {
            self.pause(until)?;
        }
        for segment in shared.segments().iter() {
            if is_touched(segment, runs) {
                self.rewrite(segment, &|event| !runs.holds(event.sequence))?;
            }
        }
        self.remove_retired_now()?;
        shared.measure();
        shared.count_room(&shared.keeping.lock());
        Ok(())
    }

    fn pause(&self, until: Instant) -> Result<(), StoreError> {
        let mut keeping = self.shared.keeping.lock();
        if Instant::now() >= until {
            return Err(store_error(
                "cannot purge",
                &self.shared.folder,
                Fault::Failed(
                    "it is in use all the time".to_owned(),
                    std::io::ErrorKind::TimedOut,
                ),
            ));
        }
        let moment = Duration::from_millis(1);
        let _ = self.shared.changed.wait_for(&mut keeping, moment);
        Ok(())
    }

    /// Writes a segment that does not grow anew, with those of its events that are to be kept.
    pub(super) fn rewrite(
        &mut self,
        segment: &Arc<Segment>,
        keep: &dyn Fn(&EventRef<'_>) -> bool,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut last = None;
        let mut all = true;
        let looked = segment.walk_all(
            &mut |event| {
                match keep(event) {
                    true => last = Some(event.sequence),
                    false => all = false,
                }
                ControlFlow::Continue(())
            },
            &mut Vec::new(),
        );
        let _ = looked.map_err(|fault| store_error("cannot read", &segment.path, fault))?;
        if all {
            return Ok(());
        }
        if last.is_none()
            && let Some((end, _)) = segment.last()
        {
            // No floor: what is older is not gone.
            shared.catalog.lock().note_dropped(segment.previous(), end);
            shared.save_catalog();
            return self.take_out(Arc::clone(segment));
        }
        let Some(last) = last else { return Ok(()) };
        self.set_aside(segment.sealed_bytes())?;
        let segments = shared.segments();
        if !segments.iter().any(|kept| Arc::ptr_eq(kept, segment)) {
            return Ok(()); // It was dropped to make room.
        }
        drop(segments);
        if let Some((end, _)) = segment.last()
            && last < end
        {
            shared.catalog.lock().note_dropped(last, end);
            shared.save_catalog();
        }
        let source = Source::whole(segment);
        let sealed = self.seal(&[source], keep, Urgency::Due, segment.sealed_bytes());
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => return error.unless_urgent(),
        };
        shared.change_segments(|segments| {
            let at = segments.iter().position(|kept| Arc::ptr_eq(kept, segment));
            if let (Some(at), Some(sealed)) = (at, sealed)
                && let Some(place) = segments.get_mut(at)
            {
                *place = Arc::new(sealed);
            }
        });
        if segment.sealed().is_none() {
            self.retired.push(Arc::clone(segment));
        }
        shared.measure();
        Ok(())
    }
}

fn is_touched(segment: &Segment, runs: &Runs) -> bool {
    segment
        .ends()
        .is_some_and(|(first, last)| runs.touches(first, last))
}
