//! A Track: one session gets events from the history, for one subscription that began with its
//! past, or for all that it holds since it could not keep up. The realm says what it is of and
//! where it ends; a reader's thread moves it on. Shared by both.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rewamp_history::{Query, Scope, Sequence, Viewer};
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{SessionId, SubscriptionId};

use crate::metrics::Gauge;
use crate::session::outbox::{Outbox, Place, Push, Staging};

/// See the head of this file.
#[derive(Debug)]
pub struct Track {
    /// Who gets the events.
    pub(crate) session: SessionId,
    /// The same, as the receiver lists of events see it.
    pub(crate) viewer: Viewer,
    /// Where the events go.
    pub(crate) outbox: Arc<Outbox>,
    /// How they are written.
    pub(crate) wire: Wire,
    /// Bytes that one message may have.
    pub(crate) max_message: usize,
    /// Why there is this track.
    pub(crate) kind: TrackKind,
    state: Mutex<TrackState>,
    /// Where frames are written: what the last step has left of it.
    buffer: Mutex<BytesMut>,
    /// Tracks of the realm that are not over.
    gauge: Gauge,
}

/// Why there is a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrackKind {
    /// A subscription that began with its past.
    Replay {
        /// Whether its EVENTs say that they are replayed.
        marked: bool,
    },
    /// A session that could not keep up.
    CatchUp,
}

#[derive(Debug)]
pub(crate) struct TrackState {
    /// Nothing more may be sent.
    is_over: bool,
    /// What is sent, each from where it stands.
    followed: Vec<Followed>,
    /// Changes with `followed`, but for the places in it.
    generation: u64,
    /// Where the track ends, once that is known.
    until: Option<Sequence>,
    /// The newest events of each topic, which come before all others; and where the next page of
    /// them begins.
    newest_per_topic: Option<Box<Query>>,
    /// What the history does not have and waits for its place.
    aside: Staging,
}

/// A subscription whose events a track sends.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// Its ID.
    pub(crate) subscription: SubscriptionId,
    /// Its history.
    pub(crate) scope: Scope,
    /// Whether its EVENTs name their place.
    pub(crate) sequenced: bool,
    /// Everything up to here has been sent.
    pub(crate) after: Sequence,
    /// The newest event of its history that has been seen, whoever may see it.
    pub(crate) newest: Option<Sequence>,
}

/// What the realm begins a track with.
pub(crate) struct NewTrack {
    pub(crate) session: SessionId,
    pub(crate) viewer: Viewer,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) wire: Wire,
    pub(crate) max_message: usize,
    pub(crate) kind: TrackKind,
    pub(crate) followed: Vec<Followed>,
    pub(crate) newest_per_topic: Option<Box<Query>>,
    pub(crate) gauge: Gauge,
}

impl Track {
    pub(crate) fn new(new: NewTrack) -> Arc<Self> {
        new.gauge.inc();
        Arc::new(Self {
            session: new.session,
            viewer: new.viewer,
            outbox: new.outbox,
            wire: new.wire,
            max_message: new.max_message,
            kind: new.kind,
            state: Mutex::new(TrackState {
                is_over: false,
                followed: new.followed,
                generation: 0,
                until: None,
                newest_per_topic: new.newest_per_topic,
                aside: Staging::default(),
            }),
            buffer: Mutex::default(),
            gauge: new.gauge,
        })
    }

    /// Room for about `bytes` of frames. Tracks move from thread to thread, and what one of those
    /// allocates and another frees comes back late to either: so the same memory is used again as
    /// soon as the client has read what was in it. Give it back with [`Track::keep_buffer`].
    pub(super) fn buffer(&self, bytes: usize) -> BytesMut {
        let mut buffer = std::mem::take(&mut *self.buffer.lock());
        let enough = bytes + bytes / 4;
        buffer.clear();
        if buffer.capacity() < enough && !buffer.try_reclaim(enough) {
            buffer = BytesMut::with_capacity(2 * enough);
        }
        buffer
    }

    /// Keeps what frames have left of a buffer.
    pub(super) fn keep_buffer(&self, buffer: BytesMut) {
        *self.buffer.lock() = buffer;
    }

    /// Has an EVENT that the history does not have wait for its place; false if too much waits.
    pub fn aside(&self, frame: Bytes, place: Place) -> bool {
        let limit = self.outbox.staging_limit();
        self.state.lock().aside.push(frame, 1, place, limit)
    }

    /// Nothing more is sent: what was read and not handed over yet is dropped.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.is_over, true) {
            self.gauge.dec();
        }
    }

    /// Ends at `until`: what comes after is sent by others.
    pub(crate) fn end_at(&self, until: Sequence) {
        self.state.lock().until = Some(until);
    }

    /// Where it ends, once that is known.
    pub(crate) fn ends_at(&self) -> Option<Sequence> {
        self.state.lock().until
    }

    /// Hands over all that waits for its place: everything before it has been sent.
    pub(crate) fn pass_all(&self) {
        let mut state = self.state.lock();
        while let Some((frame, messages)) = state.aside.take(Sequence::MAX) {
            self.outbox.answer_shared(frame, messages);
        }
    }

    /// Has all that waits for its place wait in the outbox.
    pub(crate) fn stage_all(&self) {
        let mut aside = std::mem::take(&mut self.state.lock().aside);
        while let Some(entry) = aside.take_entry() {
            let (frame, messages, place) = entry;
            // Full: the one who asked for so much at once is told as if he read too slowly.
            if self.outbox.push(&frame, messages, &place) == Push::Full {
                return self.outbox.cut();
            }
        }
    }

    /// Sends another subscription's events as well.
    pub(crate) fn add(&self, followed: Followed) {
        let mut state = self.state.lock();
        state.followed.push(followed);
        state.generation += 1;
    }

    /// Sends that subscription's events no more; false if it never did.
    pub(crate) fn remove(&self, subscription: SubscriptionId) -> bool {
        let mut state = self.state.lock();
        let before = state.followed.len();
        state
            .followed
            .retain(|followed| followed.subscription != subscription);
        state.generation += 1;
        state.followed.len() < before
    }

    /// What it sends, and how far it is.
    pub(crate) fn followed(&self) -> Vec<Followed> {
        self.state.lock().followed.clone()
    }

    /// Looks at the state and changes it, while nobody else does.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut TrackState) -> R) -> R {
        change(&mut self.state.lock())
    }
}

impl TrackState {
    /// What a step begins from; `None` once nothing more may be sent.
    pub(super) fn begin(&self, outbox: &Outbox, kind: TrackKind) -> Option<Step> {
        if self.is_over {
            return None;
        }
        let aside = match kind {
            TrackKind::Replay { .. } => self.aside.first(),
            TrackKind::CatchUp => outbox.first_staged().filter(|_| outbox.is_catching_up()),
        };
        Some(Step {
            generation: self.generation,
            followed: self.followed.clone(),
            until: self.until,
            aside,
            newest_per_topic: self.newest_per_topic.clone(),
        })
    }

    /// The step that began at `generation` has read events up to `passed`: true if they may be
    /// handed over, and then they count as sent.
    /// `newest` has for each subscription the last event of its history up to there, where that is
    /// known.
    pub(super) fn pass(
        &mut self,
        step: &Step,
        passed: Sequence,
        newest: &[Option<Option<Sequence>>],
    ) -> bool {
        if self.is_over || self.generation != step.generation {
            return false;
        }
        for (followed, newest) in self.followed.iter_mut().zip(newest) {
            if followed.after < passed {
                followed.after = passed;
                followed.newest = newest.flatten();
            }
        }
        true
    }

    /// These subscriptions do not get what they have not got up to `to`.
    pub(super) fn skip(&mut self, step: &Step, subscriptions: &[SubscriptionId], to: Sequence) {
        if self.generation != step.generation {
            return;
        }
        for followed in &mut self.followed {
            if subscriptions.contains(&followed.subscription) {
                followed.after = followed.after.max(to);
            }
        }
    }

    /// The newest event of a subscription's history up to where it stands.
    pub(super) fn learn(&mut self, subscription: SubscriptionId, newest: Sequence) {
        for followed in &mut self.followed {
            if followed.subscription == subscription && followed.newest.is_none() {
                followed.newest = Some(newest);
            }
        }
    }

    /// Whether the step may hand over a page of the newest events of each topic; `next` is where
    /// the next one begins, if there is one.
    pub(super) fn pass_newest(&mut self, step: &Step, next: Option<Box<Query>>) -> bool {
        if self.is_over || self.generation != step.generation {
            return false;
        }
        self.newest_per_topic = next;
        true
    }

    /// Takes out what waited behind events up to `passed`.
    pub(super) fn take_aside(&mut self, passed: Sequence) -> Option<(Bytes, u32)> {
        self.aside.take(passed)
    }
}

/// What one step of a track begins from.
pub(super) struct Step {
    generation: u64,
    pub(super) followed: Vec<Followed>,
    pub(super) until: Option<Sequence>,
    /// The event behind which something waits for its place.
    pub(super) aside: Option<Sequence>,
    pub(super) newest_per_topic: Option<Box<Query>>,
}

impl Step {
    /// Changes with what is followed.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Everything has been sent up to here by all subscriptions.
    pub(super) fn after(&self) -> Sequence {
        let after = self.followed.iter().map(|followed| followed.after);
        after.min().unwrap_or(Sequence::MAX)
    }
}
