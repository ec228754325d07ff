//! A batch: the messages of one read of one session, and what is handed over at its end.

use std::rc::Rc;

use bytes::Bytes;
use rewamp_wamp::codec::{Plain, PlainKind};
use rewamp_wamp::message::{Message as WampMessage, MessageType};

use super::Realm;
use super::held::Remainder;
use super::member::Member;
use super::messages::{Batch, Sent};
use super::publish::{LastPublication, Published};
use crate::dealer::{Registration, Stretch};
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

    pub(super) fn count(&mut self, message_type: MessageType, messages: usize) {
        if let Some(count) = self.counts.get_mut(message_type as usize) {
            *count += messages as u64;
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

/// What the next message of a batch may be like.
#[derive(Default)]
struct Last {
    publication: Option<LastPublication>,
    called: Option<Rc<Registration>>,
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
        let mut last = Last::default();
        let mut result = Ok(());
        while let Some(rest) = left.messages.get(left.next..)
            && let [sent, ..] = rest
        {
            let alike = self.alike(member, rest, &left.block, &last);
            if alike > 0 {
                self.received.count(sent.message_type(), alike);
                left.next += alike;
                continue;
            }
            let done = match sent {
                Sent::Plain(plain) => self.plain(member, plain, &left.block, hold, &mut last),
                Sent::Message(message) => {
                    last = Last::default();
                    self.message(member, message, hold)
                }
            };
            if matches!(done, Published::NoRoom) {
                result = Err(left);
                break;
            }
            self.received.count(sent.message_type(), 1);
            left.next += 1;
        }
        self.acknowledge(member);
        self.hand_over();
        result
    }

    fn message(&mut self, member: &Rc<Member>, message: &WampMessage, hold: bool) -> Published {
        match message {
            WampMessage::Publish(publish) => self.publish(member, publish, hold),
            request => {
                self.request(member, request);
                Published::Done
            }
        }
    }

    /// Most messages are like one before them in their batch, but for their arguments. Handles the
    /// first of `rest`, as many as are; returns how many.
    fn alike(&mut self, member: &Rc<Member>, rest: &[Sent], block: &Bytes, last: &Last) -> usize {
        let Some(Sent::Plain(plain)) = rest.first() else {
            return 0;
        };
        let stretch = Stretch {
            messages: rest,
            block,
        };
        match (plain.kind, last) {
            (
                PlainKind::Publish,
                Last {
                    publication: Some(last),
                    ..
                },
            ) => usize::from(self.publish_alike(member, plain, block, last)),
            (
                PlainKind::Call,
                Last {
                    called: Some(last), ..
                },
            ) => self.call_alike(member, stretch, last),
            (PlainKind::Yield, _) => {
                // What was published before is seen before.
                self.broker.flush(&mut self.delivery);
                self.dealer
                    .answer_plainly(member, stretch, &mut self.delivery)
            }
            _ => 0,
        }
    }

    /// Handles a message by itself, and remembers what the next one may be like.
    fn plain(
        &mut self,
        member: &Rc<Member>,
        plain: &Plain,
        block: &Bytes,
        hold: bool,
        last: &mut Last,
    ) -> Published {
        let message = plain.message(member.wire.serializer, block);
        let done = self.message(member, &message, hold);
        match &message {
            WampMessage::Publish(publish) => {
                last.publication = match &done {
                    Published::Plainly(route) => Some(LastPublication {
                        route: Rc::clone(route),
                        exclude_me: publish.options.exclude_me,
                    }),
                    Published::Done | Published::NoRoom => None,
                };
            }
            WampMessage::Call(call) => last.called = self.last_called(member, call),
            _ => {}
        }
        done
    }

    fn request(&mut self, member: &Rc<Member>, request: &WampMessage) {
        // Who subscribes now must not get what was published before.
        self.broker.flush(&mut self.delivery);
        self.catch_up_fallen();
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
        self.catch_up_fallen();
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
