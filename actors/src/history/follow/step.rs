//! One turn of a Track on a reader's thread: reads on from where each of its subscriptions stands,
//! and hands the session as much as it has room for, in the realm's order.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rewamp_history::{
    Bounds, End, Event, EventRef, EventStore, Query, QueryError, Resume, Sequence, StoreError,
};
use rewamp_wamp::id::SubscriptionId;

use super::super::turn::Pending;
use super::frames::Frames;
use super::source::{Source, sources};
use super::track::{Step, Track, TrackKind};
use crate::metrics::{Id, RealmMetrics};

/// Events that one step reads, at most: a few of the socket's writes.
const STEP: usize = 2_048;

/// Events of a step for each of several sources, at least.
const LEAST: u64 = 64;

/// Bytes of a step, about.
const STEP_BYTES: usize = 256 * 1024;

/// Events that a step looks at, at most, where few of them are for the session.
const BUDGET: u64 = 65_536;

/// Steps of one turn, so that others get theirs.
const STEPS: usize = 16;

/// What a turn has to know besides the track.
pub(super) struct Reading {
    pub(super) store: Arc<dyn EventStore>,
    /// Accepted and perhaps not committed.
    pub(super) pending: Pending,
    /// The newest event accepted when the turn began.
    pub(super) newest: Sequence,
    /// Runs of events that were accepted and then could not be stored, in order.
    pub(super) failed: Vec<(Sequence, Sequence)>,
    pub(super) metrics: RealmMetrics,
}

/// What one step reads, at most.
struct Most {
    events: u64,
    bytes: usize,
}

impl Most {
    /// An eighth of what may wait for the session, so that a step does not keep it from being read
    /// from.
    fn of(track: &Track) -> Self {
        let (bytes, events) = track.outbox.step_limit();
        Self {
            events: events.clamp(1, STEP) as u64,
            bytes: bytes.clamp(1, STEP_BYTES),
        }
    }
}

/// Why a turn ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// The session has enough to read.
    Filled,
    /// Others have their turn.
    Yielded,
    /// Everything accepted when the turn began has been handed over.
    AtTheEnd,
    /// Everything up to the track's end has been handed over.
    Done,
    /// The history does not have these any more, by these subscriptions.
    Gap {
        subscriptions: Vec<SubscriptionId>,
        from: Sequence,
        to: Sequence,
    },
    /// The store cannot be read now.
    Failed(StoreError),
    /// The track is over.
    Over,
}

/// Runs one turn.
pub(super) fn turn(reading: &Reading, track: &Track) -> Turn {
    let mut woken = Waking(track, false);
    let mut known = None;
    for _ in 0..STEPS {
        if track.outbox.is_filled() {
            return Turn::Filled;
        }
        let Some(step) = track.with(|state| state.begin(&track.outbox, track.kind)) else {
            return Turn::Over;
        };
        if track.outbox.is_closed() {
            return Turn::Over;
        }
        if let Some(query) = &step.newest_per_topic {
            match reading.newest_per_topic(track, &step, query) {
                Ok(()) => woken.1 = true,
                Err(error) => return Turn::Failed(error),
            }
            continue;
        }
        let after = step.after();
        let end = step.until.unwrap_or(Sequence::MAX).min(reading.newest);
        if let Some(behind) = step.aside
            && behind <= after
        {
            pass_aside(track, after);
            woken.1 = true;
            continue;
        }
        if after >= end {
            return match step.until {
                Some(until) if after >= until => Turn::Done,
                _ => {
                    reading.learn_newest(track, &step);
                    Turn::AtTheEnd
                }
            };
        }
        let failed = reading.failed.iter().find(|(from, _)| *from > after);
        if let Some((from, to)) = failed
            && *from == after.next()
        {
            return reading.pass_failed(track, &step, *from, *to);
        }
        let bounds = [step.aside, failed.map(|(from, _)| from.previous())];
        let end = bounds.into_iter().flatten().fold(end, Sequence::min);
        let sources = match &known {
            Some((generation, sources)) if *generation == step.generation() => sources,
            _ => {
                &known
                    .insert((step.generation(), sources(&*reading.store, &step)))
                    .1
            }
        };
        match reading.step(track, &step, sources, end) {
            Ok(()) => woken.1 = true,
            Err(turn) => return turn,
        }
    }
    Turn::Yielded
}

/// Wakes the session's writer when a turn ends that had something for it.
struct Waking<'a>(&'a Track, bool);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.outbox.wake();
        }
    }
}

/// Hands over what waited behind events up to `passed`.
fn pass_aside(track: &Track, passed: Sequence) {
    if track.kind == TrackKind::CatchUp {
        return track.outbox.pass(passed);
    }
    track.with(|state| {
        while let Some((frame, messages)) = state.take_aside(passed) {
            track.outbox.answer_shared(frame, messages);
        }
    });
}

/// What one source gave in a step.
struct Found {
    /// The frames, with the event and where they lie.
    frames: Vec<(Sequence, usize, usize)>,
    bytes: BytesMut,
    /// Up to here it gave everything.
    through: Sequence,
    /// The last event of its history up to there.
    last: Option<Sequence>,
}

impl Reading {
    /// Reads on up to `end`, at most, and hands over what it found.
    fn step(
        &self,
        track: &Track,
        step: &Step,
        sources: &[Source],
        end: Sequence,
    ) -> Result<(), Turn> {
        let mut found = Vec::with_capacity(sources.len());
        for source in sources {
            match self.read(track, step, source, sources.len() as u64, end) {
                Ok(part) => found.push(part),
                Err(QueryError::Store(error)) => return Err(Turn::Failed(error)),
                Err(QueryError::NoSuchPublication { oldest, .. }) => {
                    let after = source.after(step);
                    let oldest = oldest.map_or(end.next(), |oldest| oldest.sequence);
                    let to = oldest.previous().max(after).min(end);
                    return Err(self.skip(track, step, source, to));
                }
            }
        }
        let through = found.iter().map(|part| part.through).min().unwrap_or(end);
        let (bytes, events) = merged(&mut found, through);
        let mut newest = vec![None; step.followed.len()];
        for (source, part) in sources.iter().zip(&found) {
            if let (Some(alone), true) = (source.alone(), part.through == through)
                && let Some(place) = newest.get_mut(alone)
            {
                *place = Some(part.last);
            }
        }
        if let Some(part) = found.pop() {
            track.keep_buffer(part.bytes);
        }
        let handed_over = track.with(|state| {
            let may = state.pass(step, through, &newest);
            if may && events > 0 {
                track.outbox.answer_shared(bytes, events);
            }
            may
        });
        if handed_over {
            self.metrics.count(Id::Replayed, u64::from(events));
        }
        Ok(())
    }

    fn read(
        &self,
        track: &Track,
        step: &Step,
        source: &Source,
        parts: u64,
        end: Sequence,
    ) -> Result<Found, QueryError> {
        let after = source.after(step);
        let most = Most::of(track);
        let most_bytes = most.bytes / usize::try_from(parts).unwrap_or(1).max(1);
        let mut frames = Frames::new(track, &self.metrics, most_bytes);
        let mut found = Vec::new();
        let mut newest = source.alone().and_then(|at| step.followed.get(at)?.newest);
        if after >= end {
            return Ok(Found {
                frames: found,
                bytes: frames.bytes,
                through: after.max(end),
                last: newest,
            });
        }
        let query = Query {
            sequence: Bounds {
                after: Some(after),
                until: Some(end),
                ..Bounds::default()
            },
            limit: (most.events / parts).max(1),
            budget: (BUDGET / parts).max(LEAST),
            ..Query::all(source.scope.clone(), track.viewer.clone())
        };
        let pending: [&[Arc<Event>]; 2] = [&self.pending[0], &self.pending[1]];
        let mut visit = |event: &EventRef<'_>| {
            if frames.bytes.len() >= most_bytes {
                return ControlFlow::Break(());
            }
            if event.exclude_me && event.publisher == track.session {
                return ControlFlow::Continue(());
            }
            for followed in source.followed(step, event) {
                let previous = event.previous.or(newest).or_else(|| {
                    let asked = followed.sequenced.then(|| {
                        self.store
                            .previous(&followed.scope, event.sequence, &pending)
                    });
                    asked.and_then(Result::ok).flatten()
                });
                let begin = frames.bytes.len();
                if frames.append(followed, event, previous) {
                    found.push((event.sequence, begin, frames.bytes.len()));
                }
            }
            newest = Some(event.sequence);
            ControlFlow::Continue(())
        };
        let read = match self.store.read(&query, &pending, &mut visit) {
            // What is gone lies between events that are still there, as where each topic has a limit
            // of its own: nobody waits for it.
            Err(QueryError::NoSuchPublication {
                oldest: Some(oldest),
                ..
            }) if oldest.sequence <= after.next() => {
                let query = Query {
                    sequence: Bounds::default(),
                    resume: Some(Resume {
                        next: after.next(),
                        first: after.next(),
                        last: end,
                    }),
                    ..query
                };
                self.store.read(&query, &pending, &mut visit)?
            }
            read => read?,
        };
        let through = match (read.end, read.next) {
            (End::Exhausted, _) | (_, None) => end,
            (_, Some(next)) => next.previous().min(end),
        };
        let known = source.alone().and_then(|at| step.followed.get(at)?.newest);
        Ok(Found {
            frames: found,
            bytes: frames.bytes,
            through,
            last: read.last.or(known),
        })
    }

    /// Who is told what comes before each event is told so of the first live one as well.
    fn learn_newest(&self, track: &Track, step: &Step) {
        let pending: [&[Arc<Event>]; 2] = [&self.pending[0], &self.pending[1]];
        for followed in &step.followed {
            if followed.sequenced && followed.newest.is_none() {
                let before = followed.after.next();
                let newest = self.store.previous(&followed.scope, before, &pending);
                // What cannot be read is not known: `null`, from which nobody concludes anything.
                if let Ok(Some(newest)) = newest {
                    track.with(|state| state.learn(followed.subscription, newest));
                }
            }
        }
    }

    /// Events that were accepted and could not be stored are a gap for all that are behind them.
    /// What else may lie in the run, where several have become one, is read all the same.
    fn pass_failed(&self, track: &Track, step: &Step, from: Sequence, to: Sequence) -> Turn {
        let behind = step.followed.iter().filter(|it| it.after < from);
        let subscriptions: Vec<_> = behind.map(|it| it.subscription).collect();
        track.with(|state| state.skip(step, &subscriptions, from));
        self.metrics.count(Id::Gaps, subscriptions.len() as u64);
        Turn::Gap {
            subscriptions,
            from,
            to,
        }
    }

    /// The history does not have what `source` should give up to `to`.
    fn skip(&self, track: &Track, step: &Step, source: &Source, to: Sequence) -> Turn {
        let mut from = Sequence::MAX;
        let mut subscriptions = Vec::new();
        for followed in source.places(step).filter_map(|at| step.followed.get(at)) {
            if followed.after < to {
                from = from.min(followed.after.next());
                subscriptions.push(followed.subscription);
            }
        }
        track.with(|state| state.skip(step, &subscriptions, to));
        self.metrics.count(Id::Gaps, subscriptions.len() as u64);
        Turn::Gap {
            subscriptions,
            from,
            to,
        }
    }

    /// Hands over a page of the newest events of each topic.
    fn newest_per_topic(
        &self,
        track: &Track,
        step: &Step,
        query: &Query,
    ) -> Result<(), StoreError> {
        let Some(followed) = step.followed.first() else {
            return Ok(());
        };
        let most = Most::of(track);
        let query = Query {
            limit: most.events,
            ..query.clone()
        };
        let mut frames = Frames::new(track, &self.metrics, most.bytes);
        let mut events = 0;
        let pending: [&[Arc<Event>]; 2] = [&self.pending[0], &self.pending[1]];
        let read = self.store.read(&query, &pending, &mut |event| {
            if frames.bytes.len() >= most.bytes {
                return ControlFlow::Break(());
            }
            let is_own = event.exclude_me && event.publisher == track.session;
            let previous = followed.sequenced.then(|| {
                self.store
                    .previous(&followed.scope, event.sequence, &pending)
            });
            let previous = previous.and_then(Result::ok).flatten();
            if !is_own && frames.append(followed, event, previous) {
                events += 1;
            }
            ControlFlow::Continue(())
        });
        let next = match read {
            Ok(page) => page.resume.map(|resume| {
                Box::new(Query {
                    sequence: Bounds::default(),
                    resume: Some(resume),
                    ..query
                })
            }),
            // There is nothing in its range any more.
            Err(QueryError::NoSuchPublication { .. }) => None,
            Err(QueryError::Store(error)) => return Err(error),
        };
        let bytes = frames.bytes.split().freeze();
        track.keep_buffer(frames.bytes);
        track.with(|state| {
            if state.pass_newest(step, next) && events > 0 {
                track.outbox.answer_shared(bytes, events);
            }
        });
        self.metrics.count(Id::Replayed, u64::from(events));
        Ok(())
    }
}

/// The frames of all sources in the realm's order, up to `through`, and how many they are.
fn merged(found: &mut [Found], through: Sequence) -> (Bytes, u32) {
    if let [one] = found {
        let events = u32::try_from(one.frames.len()).unwrap_or(u32::MAX);
        return (one.bytes.split().freeze(), events);
    }
    let mut order: Vec<(Sequence, usize, usize, usize)> = Vec::new();
    for (at, part) in found.iter().enumerate() {
        let frames = part.frames.iter();
        order.extend(
            frames
                .filter(|(sequence, ..)| *sequence <= through)
                .map(|(sequence, begin, end)| (*sequence, at, *begin, *end)),
        );
    }
    order.sort_unstable();
    let mut bytes = BytesMut::new();
    for (_, at, begin, end) in &order {
        let frame = found.get(*at).and_then(|part| part.bytes.get(*begin..*end));
        bytes.extend_from_slice(frame.unwrap_or_default());
    }
    let events = u32::try_from(order.len()).unwrap_or(u32::MAX);
    (bytes.freeze(), events)
}
