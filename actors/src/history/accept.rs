//! The realm's side of its history: gives sequence and time, says whether there is room, and
//! collects what a batch accepted into one message to the actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::prelude::*;
use bytes::Bytes;
use rewamp_history::{
    Event, EventStore, Filter, Identity, RESERVATION, Receivers, Sequence, StoreError, StoredTopic,
    Timestamp,
};
use rewamp_wamp::id::{PublicationId, SessionId, SubscriptionId};
use rewamp_wamp::payload::Payload;

use super::fullness::Fullness;
use super::{
    Close, Flush, Follow, History, HistorySettings, Lookup, Question, Reserve, Resolve, Store,
    Track, Visited, Waiting,
};
use crate::session::SessionDetails;

/// What the realm and the actor both see.
pub(super) struct Shared {
    /// Bytes accepted and not yet committed.
    bytes: AtomicU64,
    /// Sequences below may be given out.
    reserved: AtomicU64,
    reserving: AtomicBool,
    room_wanted: AtomicBool,
    /// The actor knows that somebody has joined or left since the last commit began.
    visited: AtomicBool,
    fullness: Fullness,
}

impl Shared {
    pub(super) fn new(reserved: Sequence, fullness: Fullness) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            reserved: AtomicU64::new(reserved.get()),
            reserving: AtomicBool::new(false),
            room_wanted: AtomicBool::new(false),
            visited: AtomicBool::new(false),
            fullness,
        }
    }

    /// Bytes that the store can still take besides those that are accepted already.
    fn room(&self, store: &dyn EventStore) -> u64 {
        match store.room() {
            u64::MAX => u64::MAX,
            room => room.saturating_sub(self.bytes.load(Ordering::Acquire)),
        }
    }

    /// Ends the state of being full where there is room for more than the next small publication:
    /// a 64th of `maxsize`, so that it does not come and go with each.
    pub(super) fn judge_room(&self, store: &dyn EventStore, settings: &HistorySettings) {
        if self.fullness.is_full() && self.room(store) >= settings.largest / 8 {
            self.fullness.ended();
        }
    }

    /// Takes committed bytes off; true if the realm waits for room and there is some now.
    pub(super) fn freed(&self, bytes: u64, below: u64) -> bool {
        let left = self.bytes.fetch_sub(bytes, Ordering::AcqRel) - bytes;
        left < below && self.is_room_wanted()
    }

    /// True once after the realm asked to be told of room.
    pub(super) fn is_room_wanted(&self) -> bool {
        self.room_wanted.swap(false, Ordering::AcqRel)
    }

    /// A commit begins, which writes who has joined and left up to now.
    pub(super) fn writes_visits(&self) {
        self.visited.store(false, Ordering::Release);
    }

    pub(super) fn reserved(&self, end: Sequence) {
        self.reserved.fetch_max(end.get(), Ordering::AcqRel);
        self.reserving.store(false, Ordering::Release);
    }
}

/// A publication that a filter covers, before it has its place in the order.
pub struct Accepted<'a> {
    /// Its topic.
    pub topic: Arc<StoredTopic>,
    /// Its ID.
    pub publication: PublicationId,
    /// Who published it.
    pub publisher: SessionId,
    /// Whether he gets no EVENT.
    pub exclude_me: bool,
    /// Who he is, where receivers may know.
    pub disclosed: Option<Arc<Identity>>,
    /// Who may see it.
    pub receivers: Option<Arc<Receivers>>,
    /// Further details of its EVENTs.
    pub details: Option<Bytes>,
    /// Its arguments.
    pub payload: &'a Payload,
}

/// Why a publication is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstored {
    /// It has more bytes than the store keeps of one: it is not routed either.
    TooLarge {
        /// Bytes it would take.
        bytes: u64,
        /// Bytes it may take.
        limit: u64,
    },
    /// The store is full and does not drop others for it: it is not routed either.
    Full,
}

/// See the head of this file.
pub struct Acceptance {
    address: Addr<History>,
    store: Arc<dyn EventStore>,
    readonly: bool,
    settings: HistorySettings,
    shared: Arc<Shared>,
    next: Sequence,
    last_time: Timestamp,
    events: Vec<Arc<Event>>,
    waiting: Vec<Waiting>,
}

impl Acceptance {
    pub(super) fn new(
        address: Addr<History>,
        store: Arc<dyn EventStore>,
        settings: HistorySettings,
        shared: Arc<Shared>,
    ) -> Self {
        let opened = store.opened();
        let (next, last_time) = (opened.next_sequence, opened.last_time);
        Self {
            address,
            readonly: opened.readonly,
            store,
            settings,
            shared,
            next,
            last_time,
            events: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The store, for look-ups that wait for no disk.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// The subscription of each filter, in configured order.
    #[must_use]
    pub fn filter_subscriptions(&self) -> Vec<(SubscriptionId, Filter)> {
        let filters = self
            .store
            .filters()
            .iter()
            .map(|configured| configured.filter.clone());
        filters
            .map(|filter| {
                (
                    self.store.subscription_id(&filter.uri, filter.match_policy),
                    filter,
                )
            })
            .collect()
    }

    /// Whether PUBLISHED has to wait for the commit.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.settings.durable
    }

    /// The time of the newest event ever accepted.
    #[must_use]
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Whether the store is only read: it accepts nothing.
    #[must_use]
    pub fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// The newest sequence given to a publication.
    #[must_use]
    pub fn newest(&self) -> Sequence {
        self.next.previous()
    }

    /// Whether a publication can be accepted now. If not, the realm is told when it can
    /// ([`Room`](crate::realm::messages::Room)).
    #[must_use]
    pub fn has_room(&self) -> bool {
        let has_room = || {
            self.shared.bytes.load(Ordering::Acquire) < 2 * self.settings.maxbuffer_bytes
                && self.next.get() < self.shared.reserved.load(Ordering::Acquire)
        };
        if has_room() {
            return true;
        }
        self.reserve_when_due();
        // Asked again after the wish is on record: what was freed in between would else tell
        // nobody.
        self.shared.room_wanted.store(true, Ordering::Release);
        has_room() && self.shared.is_room_wanted()
    }

    /// Gives a publication its place: the next sequence, and a time later than every other's.
    /// It goes to the history with [`Acceptance::send`].
    ///
    /// # Errors
    /// [`Unstored`]: then it has no place and evicts nobody else's.
    pub fn place(
        &mut self,
        accepted: Accepted<'_>,
        now: u64,
    ) -> Result<(Sequence, Timestamp), Unstored> {
        let mut event = Event {
            sequence: self.next,
            time: self.last_time.next().max(Timestamp::from_nanos(now)),
            publication: accepted.publication,
            topic: accepted.topic,
            publisher: accepted.publisher,
            exclude_me: accepted.exclude_me,
            disclosed: accepted.disclosed,
            receivers: accepted.receivers,
            details: accepted.details,
            payload: accepted.payload.clone(),
        };
        let bytes = event.footprint();
        let limit = self.settings.largest;
        if bytes > limit {
            return Err(Unstored::TooLarge { bytes, limit });
        }
        if bytes > self.shared.room(&*self.store) {
            self.shared.fullness.refused();
            return Err(Unstored::Full);
        }
        event.payload = accepted.payload.detach();
        self.next = self.next.next();
        self.last_time = event.time;
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        let place = (event.sequence, event.time);
        self.events.push(Arc::new(event));
        Ok(place)
    }

    /// Has the publisher of the publication placed last told when it is durable.
    pub fn acknowledge(&mut self, waiting: impl FnOnce(usize) -> Waiting) {
        if let Some(place) = self.events.len().checked_sub(1) {
            self.waiting.push(waiting(place));
        }
    }

    /// The end of a batch: hands over what it accepted.
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by `has_room` in bytes, and one message a batch"
    )]
    pub fn send(&mut self) {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            let waiting = std::mem::take(&mut self.waiting);
            self.address.do_send(Store { events, waiting });
            self.reserve_when_due();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "at most one is under way")]
    fn reserve_when_due(&self) {
        let left = self
            .shared
            .reserved
            .load(Ordering::Acquire)
            .saturating_sub(self.next.get());
        if left < RESERVATION / 2 && !self.shared.reserving.swap(true, Ordering::AcqRel) {
            let end = Sequence::new(self.next.get() + RESERVATION);
            self.address.do_send(Reserve { end });
        }
    }

    /// Bytes that the store takes at most.
    pub fn maxsize(&self) -> u64 {
        self.settings.maxsize
    }

    /// Somebody may publish soon: what that needs of the disk is seen to before he does.
    pub fn expect_publications(&self) {
        if !self.readonly {
            self.reserve_when_due();
        }
    }

    /// A session has joined at that time, for stores that keep who was there.
    pub fn joined(&self, session: &SessionDetails, at: u64) {
        if self.store.keeps_visits() {
            let at = Timestamp::from_nanos(at);
            self.store.joined(session.visit(at));
            self.visited();
        }
    }

    /// A session has left at that time.
    pub fn left(&self, session: SessionId, at: u64) {
        if self.store.keeps_visits() {
            self.store.left(session, Timestamp::from_nanos(at));
            self.visited();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "at most one is under way")]
    fn visited(&self) {
        if !self.shared.visited.swap(true, Ordering::AcqRel) {
            self.address.do_send(Visited);
        }
    }

    /// Has a subscription looked for.
    #[expect(
        clippy::disallowed_methods,
        reason = "calls are read from clients only as fast as their sessions' tickets allow"
    )]
    pub(crate) fn look_up(&self, lookup: Lookup) {
        self.address.do_send(lookup);
    }

    /// Has a question answered. What was accepted before is in the answer.
    #[expect(
        clippy::disallowed_methods,
        reason = "questions are read from clients only as fast as their sessions' tickets allow"
    )]
    pub fn ask(&mut self, question: Question) {
        self.send();
        self.address.do_send(question);
    }

    /// Has it found out where a replay begins. What was accepted before counts.
    #[expect(
        clippy::disallowed_methods,
        reason = "subscriptions are read from clients only as fast as their sessions' tickets allow"
    )]
    pub(crate) fn resolve(&mut self, resolve: Resolve) {
        self.send();
        self.address.do_send(resolve);
    }

    /// Has a track go on, with everything accepted so far.
    #[expect(
        clippy::disallowed_methods,
        reason = "at most one a track is under way"
    )]
    pub(crate) fn follow(&mut self, track: &Arc<Track>) {
        self.send();
        self.address.do_send(Follow(Arc::clone(track)));
    }

    /// Commits everything accepted; done when everybody who waited has been told.
    pub fn flush(&mut self) -> impl Future<Output = ()> + 'static {
        self.send();
        let flushed = self.address.send(Flush);
        // A closed mailbox has nothing left to flush.
        async move { flushed.await.unwrap_or_default() }
    }

    /// Ends the store cleanly. Nothing can be accepted afterwards.
    pub fn close(&mut self) -> impl Future<Output = Result<(), StoreError>> + 'static {
        self.send();
        let closed = self.address.send(Close { next: self.next });
        async move { closed.await.unwrap_or(Err(StoreError::Closed)) }
    }
}
