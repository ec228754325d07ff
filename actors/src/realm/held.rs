//! Publications that wait for room in the history. Publishers to stored topics, they alone, are
//! held back while both buffers are full: what they sent after waits behind it, and their reads
//! pause, since the tickets of their batches are not given back. After [`PATIENCE`] their
//! publications are routed and not stored, until there is room again.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use foldhash::HashMap;
use log::warn;
use rewamp_wamp::id::SessionId;

use super::Realm;
use super::messages::{Batch, Sent};
use crate::metrics::Gauge;
use crate::session::outbox::Ticket;

/// How long a publisher is held back, in a node. 5 s: a disk that stalls for a moment loses nothing, and a
/// publisher's own timeout, typically 10 s and more, is not reached.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is left of a batch.
pub(super) struct Remainder {
    pub(super) block: Bytes,
    pub(super) messages: Vec<Sent>,
    /// The first one that has not been handled.
    pub(super) next: usize,
    #[expect(dead_code, reason = "its drop lets the session's transport read on")]
    ticket: Ticket,
}

impl Remainder {
    pub(super) fn of(batch: Batch) -> Self {
        Self {
            block: batch.block,
            messages: batch.messages,
            next: 0,
            ticket: batch.ticket,
        }
    }
}

/// The sessions that wait, in the order they came.
pub(super) struct Held {
    sessions: HashMap<SessionId, Waiting>,
    order: VecDeque<SessionId>,
    /// Somebody's patience ended, and there has been no room since.
    pub(super) is_over: bool,
    timer: Option<SpawnHandle>,
    patience: Duration,
    depth: Gauge,
}

struct Waiting {
    batches: VecDeque<Remainder>,
    deadline: u64,
}

impl Held {
    pub(super) fn new(patience: Duration, depth: Gauge) -> Self {
        Self {
            sessions: HashMap::default(),
            order: VecDeque::new(),
            is_over: false,
            timer: None,
            patience,
            depth,
        }
    }

    pub(super) fn is_waiting(&self, session: SessionId) -> bool {
        !self.order.is_empty() && self.sessions.contains_key(&session)
    }

    /// Holds the first batch of a session.
    pub(super) fn hold(&mut self, session: SessionId, left: Remainder, now: u64) {
        let patience = u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX);
        let deadline = now.saturating_add(patience);
        self.sessions.insert(
            session,
            Waiting {
                batches: VecDeque::from([left]),
                deadline,
            },
        );
        self.order.push_back(session);
        self.depth.inc();
    }

    /// Holds another batch of a session that waits: at most as many as it has tickets.
    pub(super) fn hold_behind(&mut self, session: SessionId, batch: Remainder) {
        if let Some(waiting) = self.sessions.get_mut(&session) {
            waiting.batches.push_back(batch);
            self.depth.inc();
        }
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        if let Some(waiting) = self.sessions.remove(&session) {
            self.depth
                .dec_by(i64::try_from(waiting.batches.len()).unwrap_or(i64::MAX));
            self.order.retain(|waits| *waits != session);
        }
    }

    fn first(&self) -> Option<(SessionId, u64)> {
        let session = *self.order.front()?;
        Some((session, self.sessions.get(&session)?.deadline))
    }

    fn take_batch(&mut self, session: SessionId) -> Option<Remainder> {
        let batch = self.sessions.get_mut(&session)?.batches.pop_front()?;
        self.depth.dec();
        Some(batch)
    }

    fn put_back(&mut self, session: SessionId, left: Remainder) {
        if let Some(waiting) = self.sessions.get_mut(&session) {
            waiting.batches.push_front(left);
            self.depth.inc();
        }
    }
}

impl Realm {
    /// There is room: whoever waits goes on, in order, until there is none.
    pub(super) fn release_held(&mut self) {
        if std::mem::take(&mut self.held.is_over) {
            warn!(realm = &*self.name; "the history has room again, publications are stored");
        }
        while let Some((session, _)) = self.held.first() {
            if !self.run_held(session, true) {
                return;
            }
        }
    }

    /// Runs what a session had to wait with; false if it has to wait on.
    fn run_held(&mut self, session: SessionId, hold: bool) -> bool {
        let member = self.members.get(&session).cloned();
        while let (Some(member), Some(batch)) = (&member, self.held.take_batch(session)) {
            if let Err(left) = self.run(member, batch, hold) {
                self.held.put_back(session, left);
                return false;
            }
        }
        self.held.forget(session);
        true
    }

    /// Sees to it that nobody waits longer than [`PATIENCE`].
    pub(super) fn watch_held(&mut self, ctx: &mut Context<Self>) {
        if self.held.timer.is_some() {
            return;
        }
        let Some((_, deadline)) = self.held.first() else {
            return;
        };
        let wait = Duration::from_nanos(deadline.saturating_sub(self.clock.now()));
        self.held.timer = Some(ctx.run_later(wait, |realm, ctx| {
            realm.held.timer = None;
            realm.end_patience(realm.clock.now());
            realm.watch_held(ctx);
        }));
    }

    /// Routes what has waited until `now` without storing it.
    pub(super) fn end_patience(&mut self, now: u64) {
        while let Some((session, deadline)) = self.held.first() {
            if deadline > now {
                return;
            }
            if !std::mem::replace(&mut self.held.is_over, true) {
                warn!(realm = &*self.name;
                    "the history has had no room for {:?}: publications are routed and not stored",
                    self.held.patience);
            }
            self.run_held(session, false);
        }
    }
}
