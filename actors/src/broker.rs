//! The Broker: who gets a publication. Called by `realm.rs`; hands EVENTs to outboxes through a
//! [`Delivery`]. A plain struct: knows no actor, no permission and no history.
//! Spec: "Publish and Subscribe", "Ordering guarantees".

mod subscription; // a topic or pattern
mod receivers; // who receives, grouped by wire
mod delivery; // into outboxes
mod run; // consecutive EVENTs, encoded once

pub use delivery::{Delivery, Fallen, SlowConsumer};
pub use receivers::{Form, Receivers};
pub(crate) use run::sequence_details;
pub use run::{Payloads, Publication};
pub use subscription::Subscription;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytestring::ByteString;
use foldhash::HashMap;
use rewamp_history::FilterId;
use rewamp_wamp::id::{PublicationId, SubscriptionId};
use rewamp_wamp::payload::PayloadSlice;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::uri_map::UriMap;
use smallvec::SmallVec;

use crate::history::Track;
use crate::realm::member::Member;
use run::Run;

/// The subscriptions that match a topic and have a receiver.
pub type Matches = SmallVec<[Rc<Subscription>; 2]>;

/// What a new subscription begins with.
#[derive(Debug, Clone, Copy)]
pub struct Created {
    /// Its ID.
    pub id: SubscriptionId,
    /// The time, ns since 1970.
    pub time: u64,
    /// The history filter that covers it.
    pub filter: Option<FilterId>,
}

/// What became of a SUBSCRIBE.
pub struct Subscribed {
    /// What the session now holds.
    pub subscription: Rc<Subscription>,
    /// False if the session held it already: then nothing changed.
    pub added: bool,
    /// True if it did not exist before.
    pub created: bool,
}

/// What became of an UNSUBSCRIBE.
pub struct Unsubscribed {
    /// What the session held.
    pub subscription: Rc<Subscription>,
    /// True if that was its last receiver, and it is gone.
    pub deleted: bool,
}

/// See the head of this file.
#[derive(Default)]
pub struct Broker {
    by_id: HashMap<SubscriptionId, Rc<Subscription>>,
    by_uri: UriMap<Rc<Subscription>>,
    generation: u64,
    run: Run,
}

impl Broker {
    /// Adds `member` to the subscription to `uri`. Subscribing again to the same is answered with
    /// the same ID (spec, "SUBSCRIBED"). A new subscription is made of what `create` gives. With a
    /// track the member gets its events from the history until it is told that it is live.
    pub fn subscribe(
        &mut self,
        member: &Rc<Member>,
        uri: &ByteString,
        match_policy: MatchPolicy,
        sequenced: bool,
        track: Option<&Arc<Track>>,
        create: impl FnOnce() -> Created,
    ) -> Subscribed {
        let known = self.by_uri.get(uri, match_policy).cloned();
        let created = known.is_none();
        let subscription = known.unwrap_or_else(|| self.create(uri, match_policy, create()));
        let mut receivers = subscription.receivers.borrow_mut();
        let added = match track {
            Some(track) => receivers.follow(member, sequenced, Arc::clone(track)),
            None => receivers.add(member, sequenced),
        };
        drop(receivers);
        if added {
            member
                .subscriptions
                .borrow_mut()
                .insert(subscription.id, Rc::clone(&subscription));
        }
        Subscribed {
            subscription,
            added,
            created,
        }
    }

    fn create(
        &mut self,
        uri: &ByteString,
        match_policy: MatchPolicy,
        created: Created,
    ) -> Rc<Subscription> {
        let id = created.id;
        let subscription = Rc::new(Subscription {
            id,
            uri: uri.clone(),
            match_policy,
            created: created.time,
            filter: Cell::new(created.filter),
            newest: Cell::new(None),
            receivers: Default::default(),
        });
        self.by_id.insert(id, Rc::clone(&subscription));
        self.by_uri
            .insert(uri, match_policy, Rc::clone(&subscription));
        self.generation += 1;
        subscription
    }

    /// Takes `member` off the subscription; `None` if it does not hold it.
    pub fn unsubscribe(&mut self, member: &Rc<Member>, id: SubscriptionId) -> Option<Unsubscribed> {
        let subscription = member.subscriptions.borrow_mut().remove(&id)?;
        Some(self.remove(member, subscription))
    }

    /// Takes `member` off everything it holds.
    pub fn leave(&mut self, member: &Rc<Member>) -> Vec<Unsubscribed> {
        let held = std::mem::take(&mut *member.subscriptions.borrow_mut());
        held.into_values()
            .map(|subscription| self.remove(member, subscription))
            .collect()
    }

    fn remove(&mut self, member: &Member, subscription: Rc<Subscription>) -> Unsubscribed {
        let mut receivers = subscription.receivers.borrow_mut();
        receivers.remove(member);
        let deleted = receivers.is_empty();
        drop(receivers);
        if deleted {
            self.by_id.remove(&subscription.id);
            self.by_uri
                .remove(&subscription.uri, subscription.match_policy);
            self.generation += 1;
        }
        Unsubscribed {
            subscription,
            deleted,
        }
    }

    /// Changes whenever what [`Broker::matching`] answers may have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The subscriptions that a publication to `topic` reaches: exact, then prefixes, then
    /// wildcards. Costs grow with the URI, not with the number of subscriptions.
    #[must_use]
    pub fn matching(&self, topic: &str) -> Matches {
        let mut matches = Matches::new();
        self.by_uri.for_each_match(topic, |_, _, subscription| {
            matches.push(Rc::clone(subscription))
        });
        matches
    }

    /// Delivers a publication to those who subscribed to `matches`. Consecutive EVENTs of one
    /// subscription are collected into a run; [`Broker::flush`] sends the last one on its way.
    pub fn publish(
        &mut self,
        publication: &Publication<'_>,
        matches: &Matches,
        delivery: &mut Delivery,
    ) {
        match matches.as_slice() {
            [] => return,
            [subscription] if publication.receivers.is_none() => {
                self.run.append(subscription, publication, delivery);
            }
            // Several subscriptions of one session see their events in the order of publication
            // only if no run of one of them overtakes the other's.
            several => {
                self.run.flush(delivery);
                for subscription in several {
                    self.run.deliver(subscription, publication, delivery);
                    if publication.stored.is_some() {
                        delivery.delivered_by(subscription.id);
                    }
                }
                delivery.delivered();
            }
        }
        match publication.stored {
            Some((sequence, _)) => matches
                .iter()
                .filter(|subscription| subscription.filter.get().is_some())
                .for_each(|subscription| subscription.newest.set(Some(sequence))),
            None => self.publish_aside(publication, matches, delivery),
        }
    }

    /// Those who get what is published from the history get this, which it does not have.
    fn publish_aside(
        &mut self,
        publication: &Publication<'_>,
        matches: &Matches,
        delivery: &mut Delivery,
    ) {
        for subscription in matches {
            if !subscription.receivers.borrow().nobody_follows() {
                self.run
                    .deliver_to_followers(subscription, publication, delivery);
            }
        }
    }

    /// As [`Broker::publish`], for a publication that differs from the one before it in nothing but
    /// its ID and its arguments. False if it has to go that way.
    pub fn publish_alike(
        &mut self,
        id: PublicationId,
        payload: PayloadSlice<'_>,
        delivery: &mut Delivery,
    ) -> bool {
        self.run.append_alike(id, payload, delivery)
    }

    /// The end of a batch: sends what [`Broker::publish`] has collected.
    #[inline]
    pub fn flush(&mut self, delivery: &mut Delivery) {
        self.run.flush(delivery);
    }

    /// The subscription with this ID.
    #[must_use]
    pub fn get(&self, id: SubscriptionId) -> Option<&Rc<Subscription>> {
        self.by_id.get(&id)
    }

    /// The subscription to exactly this topic or pattern.
    #[must_use]
    pub fn lookup(&self, uri: &str, match_policy: MatchPolicy) -> Option<&Rc<Subscription>> {
        self.by_uri.get(uri, match_policy)
    }

    /// All subscriptions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Subscription>> {
        self.by_id.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True if nobody subscribes to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
