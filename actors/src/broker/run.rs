//! A run: consecutive EVENTs of one subscription, encoded once for each kind of wire and handed to
//! every receiver as the same bytes. Measured, the largest single gain on the way of a publication.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_history::{Sequence, Timestamp};
use rewamp_wamp::codec::EventHead;
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::message::{EventDetails, ReceiverLists};
use rewamp_wamp::payload::{Payload, PayloadSlice};
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use super::receivers::{FORMS, Form};
use super::{Delivery, Subscription};
use crate::history::rfc3339;
use crate::realm::member::Member;
use crate::session::SessionDetails;
use crate::session::outbox::Place;

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
    /// Its place in the history, if it is stored, with the time at which it was accepted.
    pub stored: Option<(Sequence, Timestamp)>,
    /// The newest sequence that the realm had given before it.
    pub behind: Sequence,
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

    /// The details that name its place in the history of the subscription, for those who asked.
    fn sequenced(&self, subscription: &Subscription) -> Option<EventDetails> {
        let (sequence, time) = self.stored?;
        subscription.filter.get()?;
        let mut details = self.details(subscription);
        sequence_details(
            &mut details.extra,
            sequence,
            subscription.newest.get(),
            time,
        );
        Some(details)
    }

    /// Where it stands in the realm's order, for those who get events of `subscription`.
    fn place(&self, subscription: &Subscription) -> Place {
        let stored = self.stored.filter(|_| subscription.filter.get().is_some());
        Place {
            subscription: subscription.id,
            in_history: stored.is_some(),
            sequence: stored.map_or(self.behind, |(sequence, _)| sequence),
        }
    }

    pub(super) fn admits(&self, member: &Member) -> bool {
        let details = &member.details;
        self.except() != Some(details.id)
            && self
                .receivers
                .is_none_or(|lists| lists.admit(details.id, &details.authid, &details.authrole))
    }
}

/// Adds to an EVENT's details where it stands in the history of its subscription: `previous` is the
/// event before it there.
pub(crate) fn sequence_details(
    details: &mut Dict,
    sequence: Sequence,
    previous: Option<Sequence>,
    time: Timestamp,
) {
    details.insert("_sequence", sequence.get());
    details.insert(
        "_previous",
        previous.map_or(Value::Null, |previous| Value::from(previous.get())),
    );
    details.insert("_timestamp", rfc3339(time.nanos()));
}

/// The run under way: of one subscription, with a buffer for each form of its events.
#[derive(Default)]
pub(super) struct Run {
    open: Option<Open>,
    forms: [Frames; FORMS],
    alone: BytesMut,
}

struct Open {
    subscription: Rc<Subscription>,
    except: Option<SessionId>,
    /// Of the publication that the heads were made for.
    topic: ByteString,
    is_disclosed: bool,
    is_plain: bool,
    is_stored: bool,
    /// The only form in which somebody gets it, and the smallest message limit there.
    only: Option<(Form, usize)>,
    /// Where the publication stands that the heads were made for.
    place: Place,
}

impl Open {
    fn of(subscription: &Rc<Subscription>, publication: &Publication<'_>) -> Self {
        Self {
            subscription: Rc::clone(subscription),
            except: publication.except(),
            topic: publication.topic.clone(),
            is_disclosed: publication.disclosed.is_some(),
            is_plain: publication.extra.is_empty(),
            is_stored: publication.stored.is_some(),
            only: subscription.receivers.borrow().only_form(),
            place: publication.place(subscription),
        }
    }

    fn goes_on_with(&self, subscription: &Rc<Subscription>, publication: &Publication<'_>) -> bool {
        Rc::ptr_eq(&self.subscription, subscription)
            && self.except == publication.except()
            && self.is_stored == publication.stored.is_some()
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

/// Whole frames for the receivers of one form.
#[derive(Default)]
struct Frames {
    bytes: BytesMut,
    events: u32,
    /// Where the first of them stands.
    place: Option<Place>,
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
            self.forms.iter_mut().for_each(|frames| frames.head = None);
        }
        let receivers = subscription.receivers.borrow();
        for form in receivers.forms() {
            let members = receivers.on(form);
            let Some(frames) = self.forms.get_mut(form.index()) else {
                continue;
            };
            let before = frames.bytes.len();
            let Some(length) = frames.append(form, subscription, publication) else {
                delivery.untranscodable(members.len());
                continue;
            };
            if length > receivers.smallest_limit(form) {
                let alone = frames.bytes.split_off(before).freeze();
                frames.flush(members, publication.except(), delivery);
                let place = publication.place(subscription);
                deliver(&alone, length, members, publication, &place, delivery);
            } else {
                if frames.events == 0 {
                    frames.place = Some(publication.place(subscription));
                }
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
        let serializer = payload.serializer();
        let only = open.only.filter(|_| !open.is_stored);
        let Some((form, limit)) = only.filter(|(form, _)| form.wire.serializer == serializer)
        else {
            return false;
        };
        let Some(frames) = self.forms.get_mut(form.index()) else {
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
        frames.place.get_or_insert(open.place);
        frames.events += 1;
        if frames.is_long() {
            let receivers = open.subscription.receivers.borrow();
            frames.flush(receivers.on(form), open.except, delivery);
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
        let receivers = subscription.receivers.borrow();
        let place = publication.place(subscription);
        for form in receivers.forms() {
            let members = receivers.on(form);
            match self.alone(form, subscription, publication) {
                Alone::Frame(frame, length) => {
                    deliver(&frame, length, members, publication, &place, delivery);
                }
                Alone::Inexpressible => delivery.untranscodable(members.len()),
                Alone::TooLong => delivery.oversize(members.len()),
            }
        }
    }

    /// Hands the EVENT, which the history does not have, to those who get all others from there.
    pub(super) fn deliver_to_followers(
        &mut self,
        subscription: &Subscription,
        publication: &Publication<'_>,
        delivery: &mut Delivery,
    ) {
        let receivers = subscription.receivers.borrow();
        let place = publication.place(subscription);
        for (member, track) in receivers.following() {
            if !publication.admits(member) {
                continue;
            }
            let form = Form {
                wire: member.wire,
                sequenced: false,
            };
            match self.alone(form, subscription, publication) {
                Alone::Frame(_, length) if length > member.max_message => delivery.oversize(1),
                Alone::Frame(frame, _) => delivery.aside(member, track, frame, place),
                Alone::Inexpressible => delivery.untranscodable(1),
                Alone::TooLong => delivery.oversize(1),
            }
        }
    }

    fn alone(
        &mut self,
        form: Form,
        subscription: &Subscription,
        publication: &Publication<'_>,
    ) -> Alone {
        let sequenced = form
            .sequenced
            .then(|| publication.sequenced(subscription))
            .flatten();
        let details = sequenced.unwrap_or_else(|| publication.details(subscription));
        let Some(payload) = publication.payload.of(form.wire.serializer) else {
            return Alone::Inexpressible;
        };
        let Ok(head) = EventHead::new(form.wire, subscription.id, &details) else {
            return Alone::Inexpressible;
        };
        match head.append(publication.id, payload, &mut self.alone) {
            Ok(length) => Alone::Frame(self.alone.split().freeze(), length),
            // Longer than any frame may be.
            Err(_) => Alone::TooLong,
        }
    }

    /// Hands the run over, if there is one: this is asked before every call.
    #[inline]
    pub(super) fn flush(&mut self, delivery: &mut Delivery) {
        if self.open.is_some() {
            self.hand_over(delivery);
        }
    }

    fn hand_over(&mut self, delivery: &mut Delivery) {
        let Some(open) = self.open.take() else { return };
        let receivers = open.subscription.receivers.borrow();
        for (form, frames) in Form::all().zip(&mut self.forms) {
            if frames.events > 0 {
                frames.flush(receivers.on(form), open.except, delivery);
            }
        }
    }
}

/// One EVENT by itself.
enum Alone {
    /// Its frame, and the length of the message in it.
    Frame(Bytes, usize),
    /// The serializer cannot express it.
    Inexpressible,
    /// No frame is so long.
    TooLong,
}

impl Frames {
    /// Appends one EVENT and returns its length; `None` if the serializer cannot express it or no
    /// frame can hold it.
    fn append(
        &mut self,
        form: Form,
        subscription: &Subscription,
        publication: &Publication<'_>,
    ) -> Option<usize> {
        let payload = publication.payload.of(form.wire.serializer)?;
        if self.bytes.is_empty() {
            self.bytes.reserve(self.usual);
        }
        if form.sequenced
            && let Some(details) = publication.sequenced(subscription)
        {
            let head = EventHead::new(form.wire, subscription.id, &details).ok()?;
            return head.append(publication.id, payload, &mut self.bytes).ok();
        }
        let head = match &mut self.head {
            Some(head) => head,
            none => {
                let details = publication.details(subscription);
                none.insert(EventHead::new(form.wire, subscription.id, &details).ok()?)
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
        let Some(place) = self.place.take().filter(|_| events > 0) else {
            return;
        };
        let receivers = members.iter().filter(|member| Some(member.id()) != except);
        if self.bytes.len() < SHARE_FROM {
            receivers
                .for_each(|member| delivery.copied_events(member, &self.bytes, events, &place));
            self.bytes.clear();
        } else {
            self.usual = self.bytes.len();
            let shared = self.bytes.split().freeze();
            receivers.for_each(|member| delivery.events(member, &shared, events, &place));
        }
    }
}

/// One EVENT to those whom it is for and whose message limit it keeps.
fn deliver(
    frame: &Bytes,
    length: usize,
    members: &[Rc<Member>],
    publication: &Publication<'_>,
    place: &Place,
    delivery: &mut Delivery,
) {
    for member in members.iter().filter(|member| publication.admits(member)) {
        if length > member.max_message {
            delivery.oversize(1);
        } else {
            delivery.events(member, frame, 1, place);
        }
    }
}
