//! Delivery: how frames reach outboxes, what happens to a receiver that does not keep up, and who
//! is to be woken at the end of a batch. One place, for the Broker's EVENTs and the Dealer's
//! INVOCATIONs and RESULTs alike.

use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use log::info;
use rewamp_history::Sequence;
use rewamp_wamp::id::SubscriptionId;

use crate::history::Track;
use crate::metrics::{Id, RealmMetrics};
use crate::realm::member::Member;
use crate::session::outbox::{Outbox, Place, Push};

/// What to do with a receiver whose outbox is full; realm setting `rewamp.slow_consumer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlowConsumer {
    /// Send what the history has from there, in order and at its speed, and be live again when it
    /// has caught up. Without a history of one of its subscriptions as [`Self::Disconnect`].
    #[default]
    CatchUp,
    /// End its connection at once: it will come back and can ask for what it missed.
    Disconnect,
    /// Drop EVENTs for it, counted in `rewamp_dropped_events_total`.
    Drop,
}

/// A receiver that could not keep up and is to be sent what follows from the history.
pub struct Fallen {
    /// Which.
    pub member: Rc<Member>,
    /// It has got what the history has up to here, or will get it before it is live.
    pub position: Sequence,
    /// It has also got the next event by these subscriptions.
    pub ahead: Vec<SubscriptionId>,
}

/// See the head of this file.
pub struct Delivery {
    policy: SlowConsumer,
    metrics: RealmMetrics,
    dirty: Vec<Arc<Outbox>>,
    delivered: u64,
    /// Messages for `receiver` that are not in its outbox yet.
    messages: BytesMut,
    added: u32,
    /// Bytes of the most messages that were handed over lately: what is made room for.
    usual: usize,
    receiver: Option<Rc<Member>>,
    fallen: Vec<Fallen>,
    /// The subscriptions by which the event under way has been delivered already.
    ahead: Vec<SubscriptionId>,
}

/// Bytes of messages collected for one receiver, at most: bounds how long the first waits.
const MESSAGES: usize = 64 * 1024;

/// From this length on messages go to an outbox without a copy.
const SHARE_FROM: usize = 2048;

impl Delivery {
    /// Nothing under way yet.
    #[must_use]
    pub fn new(policy: SlowConsumer, metrics: RealmMetrics) -> Self {
        Self {
            policy,
            metrics,
            dirty: Vec::new(),
            delivered: 0,
            messages: BytesMut::new(),
            added: 0,
            usual: 0,
            receiver: None,
            fallen: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// Hands a run of `events` EVENTs to a receiver; `place` is where the first of them stands.
    pub fn events(&mut self, member: &Rc<Member>, frames: &Bytes, events: u32, place: &Place) {
        match member.outbox.push(frames, events, place) {
            Push::Queued => self.queued(member, events),
            Push::Full => self.too_slow(member, frames, events, place),
            Push::Later | Push::Closed => {}
        }
    }

    /// As [`Delivery::events`], for frames in a buffer that is used again.
    pub fn copied_events(
        &mut self,
        member: &Rc<Member>,
        frames: &[u8],
        events: u32,
        place: &Place,
    ) {
        match member.outbox.push_copy(frames, events, place) {
            Push::Queued => self.queued(member, events),
            Push::Full => self.too_slow(member, frames, events, place),
            Push::Later | Push::Closed => {}
        }
    }

    /// Hands an EVENT that the history does not have to a receiver that gets the others from there:
    /// it waits for its place in `track`.
    pub fn aside(&mut self, member: &Rc<Member>, track: &Arc<Track>, frame: Bytes, place: Place) {
        if !track.aside(frame, place) {
            self.cut(member);
        }
    }

    /// The event under way is next delivered by another subscription than `subscription`.
    pub(super) fn delivered_by(&mut self, subscription: SubscriptionId) {
        self.ahead.push(subscription);
    }

    /// The event under way has been delivered.
    pub(super) fn delivered(&mut self) {
        self.ahead.clear();
    }

    /// Those who could not keep up since this was asked last.
    pub fn fallen(&mut self) -> Vec<Fallen> {
        std::mem::take(&mut self.fallen)
    }

    /// Where to append a message that another session caused and that must not get lost, an
    /// INVOCATION or a RESULT. Consecutive ones for one receiver go to its outbox together; tell of
    /// each with [`Delivery::message_added`].
    pub fn messages_for(&mut self, member: &Rc<Member>) -> &mut BytesMut {
        let goes_on = self
            .receiver
            .as_ref()
            .is_some_and(|receiver| Rc::ptr_eq(receiver, member));
        if !goes_on {
            self.flush_messages();
            self.receiver = Some(Rc::clone(member));
            self.messages.reserve(self.usual);
        }
        &mut self.messages
    }

    /// A whole message has been appended.
    pub fn message_added(&mut self) {
        self.added += 1;
        if self.messages.len() >= MESSAGES {
            self.flush_messages();
        }
    }

    /// Hands over what was appended. A receiver with no room for it is cut under either policy,
    /// since what waits for such a message would wait for ever; who waits for a session that is
    /// cut is told when it leaves.
    pub fn flush_messages(&mut self) {
        let added = std::mem::take(&mut self.added);
        let Some(member) = self.receiver.take().filter(|_| added > 0) else {
            return;
        };
        let pushed = if self.messages.len() < SHARE_FROM {
            let pushed = member.outbox.push_messages(&self.messages, added);
            self.messages.clear();
            pushed
        } else {
            // Callers and callees take turns, and one of them gets the longer messages.
            self.usual = self.messages.len().max(self.usual - self.usual / 8);
            let messages = self.messages.split().freeze();
            member.outbox.push_shared_messages(messages, added)
        };
        match pushed {
            Push::Queued => self.dirty(&member.outbox),
            Push::Full => self.cut(&member),
            Push::Later | Push::Closed => {}
        }
    }

    /// Answers something that this client asked for.
    pub fn answer(&mut self, outbox: &Arc<Outbox>, frame: &[u8]) {
        outbox.answer(frame, 1);
        self.dirty(outbox);
    }

    /// Counts receivers whose serializer cannot express an event: they do not get it.
    pub fn untranscodable(&self, receivers: usize) {
        self.metrics
            .count(Id::UntranscodableEvents, receivers as u64);
    }

    /// Counts receivers whose message limit is below an event: they do not get it.
    pub fn oversize(&self, receivers: usize) {
        self.metrics.count(Id::OversizeEvents, receivers as u64);
    }

    /// Has this outbox woken at the end of the batch.
    pub fn dirty(&mut self, outbox: &Arc<Outbox>) {
        if outbox.mark_dirty() {
            self.dirty.push(Arc::clone(outbox));
        }
    }

    /// The end of a batch: every receiver that got something is woken, once.
    pub fn wake(&mut self) {
        self.flush_messages();
        self.metrics
            .count(Id::Deliveries, std::mem::take(&mut self.delivered));
        self.dirty.drain(..).for_each(|outbox| outbox.wake());
    }

    fn queued(&mut self, member: &Rc<Member>, events: u32) {
        self.delivered += u64::from(events);
        self.dirty(&member.outbox);
    }

    fn too_slow(&mut self, member: &Rc<Member>, frames: &[u8], events: u32, place: &Place) {
        let outbox = &member.outbox;
        // What waits for a session to join its replay to the live events is in the history, so that
        // it need not be cut or miss something, whatever the policy.
        let joins = outbox.is_joining();
        let catches_up = self.policy == SlowConsumer::CatchUp || joins;
        if catches_up && !outbox.is_catching_up() && member.has_history() {
            let behind = place.behind();
            let mark = outbox.catch_up();
            self.fallen.push(Fallen {
                member: Rc::clone(member),
                position: mark.unwrap_or(behind),
                ahead: match mark {
                    Some(_) => Vec::new(),
                    None => self.ahead.clone(),
                },
            });
            self.metrics.count(Id::CatchUps, 1);
            if place.in_history {
                return;
            }
            if outbox.push_copy(frames, events, place) == Push::Queued {
                return self.queued(member, events);
            }
        }
        match self.policy {
            SlowConsumer::Drop => self.metrics.count(Id::DroppedEvents, u64::from(events)),
            SlowConsumer::CatchUp | SlowConsumer::Disconnect => self.cut(member),
        }
    }

    fn cut(&mut self, member: &Rc<Member>) {
        self.metrics.count(Id::CutSlowConsumers, 1);
        let details = &member.details;
        info!(realm = &*details.realm, session = details.id.get(), peer = &*details.peer.address;
            "session cut: it reads too slowly, its outbox is full");
        member.outbox.cut();
    }
}
