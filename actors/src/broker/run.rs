//! A run: consecutive EVENTs of one subscription, encoded once for each kind of wire and handed to
//! every receiver as the same bytes. Measured, the largest single gain on the way of a publication.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_wamp::codec::EventHead;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::message::{EventDetails, ReceiverLists};
use rewamp_wamp::payload::{Payload, PayloadSlice};
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::Dict;

use super::receivers::WIRES;
use super::{Delivery, Subscription};
use crate::realm::member::Member;
use crate::session::SessionDetails;

/// EVENTs of a run at most: bounds how long the first of them waits for the last.
const EVENTS: u32 = 512;

/// Bytes of a run at most, on one wire: what one socket write takes anyway.
const BYTES: usize = 256 * 1024;

/// From this length on frames are shared among receivers; shorter ones are copied by the outbox.
const SHARE_FROM: usize = 2048;

/// A publication on its way to its receivers.
pub struct Publication<'a> {
    /// Its ID.
    pub id: PublicationId,
    /// The session that published it; `None` for the router itself.
    pub publisher: Option<SessionId>,
    /// Whether the publisher gets no EVENT.
    pub exclude_me: bool,
    /// The topic.
    pub topic: &'a ByteString,
    /// The arguments as they came in, and in other serializers once a receiver needs that.
    pub payload: Payloads<'a>,
    /// Who published it, where receivers may know.
    pub disclosed: Option<&'a SessionDetails>,
    /// Who may receive it.
    pub receivers: Option<&'a ReceiverLists>,
    /// Options that receivers get as details: `ppt_*`, `enc_*`.
    pub extra: &'a Dict,
}

/// The arguments of one publication in every serializer: transcoded at most once into each.
pub struct Payloads<'a> {
    original: &'a Payload,
    transcoded: [OnceCell<Option<Payload>>; Serializer::ALL.len()],
}

impl<'a> Payloads<'a> {
    /// The arguments as they came in.
    #[must_use]
    pub fn new(original: &'a Payload) -> Self {
        Self {
            original,
            transcoded: Default::default(),
        }
    }

    /// The arguments for receivers with `serializer`; `None` where it cannot express them.
    pub fn of(&self, serializer: Serializer) -> Option<&Payload> {
        if self.original.serializer() == serializer {
            return Some(self.original);
        }
        self.transcoded
            .get(serializer.index())?
            .get_or_init(|| self.original.transcode(serializer).ok())
            .as_ref()
    }
}

impl Publication<'_> {
    fn except(&self) -> Option<SessionId> {
        self.publisher.filter(|_| self.exclude_me)
    }

    fn details(&self, subscription: &Subscription) -> EventDetails {
        let pattern = subscription.match_policy != MatchPolicy::Exact;
        EventDetails {
            topic: pattern.then(|| self.topic.clone()),
            publisher: self.disclosed.map(|who| who.id),
            publisher_authid: self.disclosed.map(|who| who.authid.clone()),
            publisher_authrole: self.disclosed.map(|who| who.authrole.clone()),
            retained: false,
            extra: self.extra.clone(),
        }
    }

    fn admits(&self, member: &Member) -> bool {
        let details = &member.details;
        self.except() != Some(details.id)
            && self
                .receivers
                .is_none_or(|lists| lists.admit(details.id, &details.authid, &details.authrole))
    }
}

/// The run under way: of one subscription, with a buffer for each kind of wire.
#[derive(Default)]
pub(super) struct Run {
    open: Option<Open>,
    wires: [Frames; WIRES],
    alone: BytesMut,
}

struct Open {
    subscription: Rc<Subscription>,
    except: Option<SessionId>,
    /// Of the publication that the heads were made for.
    topic: ByteString,
    is_disclosed: bool,
    is_plain: bool,
    /// The only kind of wire that somebody receives on, and the smallest message limit there.
    only: Option<(Wire, usize)>,
}

impl Open {
    fn of(subscription: &Rc<Subscription>, publication: &Publication<'_>) -> Self {
        Self {
            subscription: Rc::clone(subscription),
            except: publication.except(),
            topic: publication.topic.clone(),
            is_disclosed: publication.disclosed.is_some(),
            is_plain: publication.extra.is_empty(),
            only: subscription.receivers.borrow().only_wire(),
        }
    }

    fn goes_on_with(&self, subscription: &Rc<Subscription>, publication: &Publication<'_>) -> bool {
        Rc::ptr_eq(&self.subscription, subscription) && self.except == publication.except()
    }

    /// Whether the EVENT has the same details as the one before. A run is within one batch, hence
    /// of one publisher.
    fn has_details_of(&self, publication: &Publication<'_>) -> bool {
        self.is_plain
            && publication.extra.is_empty()
            && self.is_disclosed == publication.disclosed.is_some()
            && (self.subscription.match_policy == MatchPolicy::Exact
                || self.topic == *publication.topic)
    }
}

/// Whole frames for the receivers on one kind of wire.
#[derive(Default)]
struct Frames {
    bytes: BytesMut,
    events: u32,
    /// What the EVENTs have in common.
    head: Option<EventHead>,
    /// Bytes that the last run had: what is made room for when one begins.
    usual: usize,
}

impl Run {
    /// Adds the EVENT to the run, or ends that and begins another.
    pub(super) fn append(
        &mut self,
        subscription: &Rc<Subscription>,
        publication: &Publication<'_>,
        delivery: &mut Delivery,
    ) {
        let goes_on = self
            .open
            .as_ref()
            .is_some_and(|open| open.goes_on_with(subscription, publication));
        if !goes_on {
            self.flush(delivery);
        }
        if !self
            .open
            .as_ref()
            .is_some_and(|open| open.has_details_of(publication))
        {
            self.open = Some(Open::of(subscription, publication));
            self.wires.iter_mut().for_each(|frames| frames.head = None);
        }
        let receivers = subscription.receivers.borrow();
        for (wire, frames) in Wire::ALL.into_iter().zip(&mut self.wires) {
            let members = receivers.on(wire);
            if members.is_empty() {
                continue;
            }
            let before = frames.bytes.len();
            let Some(length) = frames.append(wire, subscription, publication) else {
                delivery.untranscodable(members.len());
                continue;
            };
            if length > receivers.smallest_limit(wire) {
                let alone = frames.bytes.split_off(before).freeze();
                frames.flush(members, publication.except(), delivery);
                deliver(&alone, length, members, publication, delivery);
            } else {
                frames.events += 1;
                if frames.is_long() {
                    frames.flush(members, publication.except(), delivery);
                }
            }
        }
    }

    /// Adds the EVENT of a publication that differs from the one before it in nothing but its ID and
    /// its arguments, and was not kept by a history either. False if it has to go the long way.
    pub(super) fn append_alike(
        &mut self,
        id: PublicationId,
        payload: PayloadSlice<'_>,
        delivery: &mut Delivery,
    ) -> bool {
        let Some(open) = self.open.as_ref().filter(|open| open.is_plain) else {
            return false;
        };
        let Some((wire, limit)) = open
            .only
            .filter(|(wire, _)| wire.serializer == payload.serializer())
        else {
            return false;
        };
        let Some(frames) = self.wires.get_mut(wire.index()) else {
            return false;
        };
        let before = frames.bytes.len();
        let head = frames.head.as_ref();
        match head.and_then(|head| head.append_slice(id, payload, &mut frames.bytes).ok()) {
            Some(length) if length <= limit => {}
            _ => {
                frames.bytes.truncate(before);
                return false;
            }
        }
        frames.events += 1;
        if frames.is_long() {
            let receivers = open.subscription.receivers.borrow();
            frames.flush(receivers.on(wire), open.except, delivery);
        }
        true
    }

    /// Delivers the EVENT by itself, to those receivers that its lists admit.
    pub(super) fn deliver(
        &mut self,
        subscription: &Subscription,
        publication: &Publication<'_>,
        delivery: &mut Delivery,
    ) {
        let details = publication.details(subscription);
        let receivers = subscription.receivers.borrow();
        for wire in Wire::ALL {
            let members = receivers.on(wire);
            if members.is_empty() {
                continue;
            }
            let Some(payload) = publication.payload.of(wire.serializer) else {
                delivery.untranscodable(members.len());
                continue;
            };
            let Ok(head) = EventHead::new(wire, subscription.id, &details) else {
                delivery.untranscodable(members.len());
                continue;
            };
            match head.append(publication.id, payload, &mut self.alone) {
                Ok(length) => {
                    let frame = self.alone.split().freeze();
                    deliver(&frame, length, members, publication, delivery);
                }
                // Longer than any frame may be.
                Err(_) => delivery.oversize(members.len()),
            }
        }
    }

    /// Hands the run over.
    pub(super) fn flush(&mut self, delivery: &mut Delivery) {
        let Some(open) = self.open.take() else { return };
        let receivers = open.subscription.receivers.borrow();
        for (wire, frames) in Wire::ALL.into_iter().zip(&mut self.wires) {
            frames.flush(receivers.on(wire), open.except, delivery);
        }
    }
}

impl Frames {
    /// Appends one EVENT and returns its length; `None` if the serializer cannot express it or no
    /// frame can hold it.
    fn append(
        &mut self,
        wire: Wire,
        subscription: &Subscription,
        publication: &Publication<'_>,
    ) -> Option<usize> {
        let payload = publication.payload.of(wire.serializer)?;
        if self.bytes.is_empty() {
            self.bytes.reserve(self.usual);
        }
        let head = match &mut self.head {
            Some(head) => head,
            none => {
                let details = publication.details(subscription);
                none.insert(EventHead::new(wire, subscription.id, &details).ok()?)
            }
        };
        head.append(publication.id, payload, &mut self.bytes).ok()
    }

    fn is_long(&self) -> bool {
        self.events >= EVENTS || self.bytes.len() >= BYTES
    }

    fn flush(
        &mut self,
        members: &[Rc<Member>],
        except: Option<SessionId>,
        delivery: &mut Delivery,
    ) {
        let events = std::mem::take(&mut self.events);
        if events == 0 {
            return;
        }
        let receivers = members.iter().filter(|member| Some(member.id()) != except);
        if self.bytes.len() < SHARE_FROM {
            receivers.for_each(|member| delivery.copied_events(member, &self.bytes, events));
            self.bytes.clear();
        } else {
            self.usual = self.bytes.len();
            let shared = self.bytes.split().freeze();
            receivers.for_each(|member| delivery.events(member, &shared, events));
        }
    }
}

/// One EVENT to those whom it is for and whose message limit it keeps.
fn deliver(
    frame: &Bytes,
    length: usize,
    members: &[Rc<Member>],
    publication: &Publication<'_>,
    delivery: &mut Delivery,
) {
    for member in members.iter().filter(|member| publication.admits(member)) {
        if length > member.max_message {
            delivery.oversize(1);
        } else {
            delivery.events(member, frame, 1);
        }
    }
}
