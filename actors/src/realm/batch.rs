//! A batch: the messages of one read of one session, and what is handed over at its end.

use std::rc::Rc;

use rewamp_wamp::message::{Message as WampMessage, MessageType};

use super::Realm;
use super::held::Remainder;
use super::member::Member;
use super::messages::Batch;
use super::publish::Published;
use crate::metrics::{Counter, Id, RealmMetrics};

/// Messages received, by type.
pub(super) struct Received {
    /// By the type's code.
    counts: [u64; CODES],
    counters: Vec<(MessageType, Counter)>,
}

/// One more than the largest code of a message type.
const CODES: usize = MessageType::Yield as usize + 1;

/// The types that reach a realm.
const FROM_CLIENTS: [MessageType; 11] = [
    MessageType::Hello,
    MessageType::Goodbye,
    MessageType::Error,
    MessageType::Publish,
    MessageType::Subscribe,
    MessageType::Unsubscribe,
    MessageType::Call,
    MessageType::Cancel,
    MessageType::Register,
    MessageType::Unregister,
    MessageType::Yield,
];

impl Received {
    pub(super) fn new(metrics: &RealmMetrics) -> Self {
        let counters = FROM_CLIENTS
            .into_iter()
            .map(|message_type| (message_type, metrics.messages(message_type.name())))
            .collect();
        Self {
            counts: [0; CODES],
            counters,
        }
    }

    pub(super) fn count(&mut self, message_type: MessageType) {
        if let Some(count) = self.counts.get_mut(message_type as usize) {
            *count += 1;
        }
    }

    fn hand_over(&mut self) {
        for (message_type, counter) in &self.counters {
            match self.counts.get_mut(*message_type as usize) {
                Some(count) if *count > 0 => {
                    counter.inc_by(std::mem::take(count));
                }
                _ => {}
            }
        }
    }
}

impl Realm {
    /// Handles a batch, or has it wait behind others of its session.
    pub(super) fn batch(&mut self, batch: Batch) {
        let session = batch.session;
        let Some(member) = self.members.get(&session).cloned() else {
            return;
        };
        if self.held.is_waiting(session) {
            return self.held.hold_behind(session, Remainder::of(batch));
        }
        let hold = !self.held.is_over;
        if let Err(left) = self.run(&member, Remainder::of(batch), hold) {
            self.held.hold(session, left, self.now);
        }
    }

    /// Handles what is left of a batch. Messages are looked at where they lie: moving one costs
    /// more than most of what is done with it.
    ///
    /// # Errors
    /// With `hold`, a publication for which the history has no room, and what comes behind it.
    /// Without, it is routed and not stored.
    pub(super) fn run(
        &mut self,
        member: &Rc<Member>,
        mut left: Remainder,
        hold: bool,
    ) -> Result<(), Remainder> {
        self.now = self.clock.now();
        let mut result = Ok(());
        while let Some(message) = left.messages.get(left.next) {
            match message {
                WampMessage::Publish(publish) => {
                    if self.publish(member, publish, hold) == Published::NoRoom {
                        result = Err(left);
                        break;
                    }
                }
                request => self.request(member, request),
            }
            self.received.count(message.message_type());
            left.next += 1;
        }
        self.acknowledge(member);
        self.hand_over();
        result
    }

    fn request(&mut self, member: &Rc<Member>, request: &WampMessage) {
        // Who subscribes now must not get what was published before.
        self.broker.flush(&mut self.delivery);
        if matches!(request, WampMessage::Goodbye(_)) {
            // GOODBYE comes behind everything that was asked before.
            self.acknowledge(member);
            self.delivery.flush_messages();
        }
        match request {
            WampMessage::Subscribe(subscribe) => self.subscribe(member, subscribe),
            WampMessage::Unsubscribe(unsubscribe) => self.unsubscribe(member, unsubscribe),
            WampMessage::Register(register) => self.register(member, register),
            WampMessage::Unregister(unregister) => self.unregister(member, unregister),
            WampMessage::Call(call) => self.call(member, call),
            WampMessage::Yield(answer) => self.dealer.answer(member, answer, &mut self.delivery),
            WampMessage::Error(error) => self.dealer.fail(member, error, &mut self.delivery),
            WampMessage::Goodbye(_) => self.goodbye(member),
            // CANCEL is not announced; whoever sends it gets the result of his call. All other
            // types are refused by the session.
            _ => {}
        }
    }

    /// The end of a batch: everything collected goes on its way.
    pub(super) fn hand_over(&mut self) {
        self.broker.flush(&mut self.delivery);
        if let Some(history) = &mut self.history {
            history.send();
        }
        self.dealer.report();
        self.received.hand_over();
        self.metrics
            .count(Id::Publications, std::mem::take(&mut self.published));
        self.delivery.wake();
    }
}
