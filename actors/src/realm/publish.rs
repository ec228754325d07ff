//! A publication gets its place: may it, where does it stand in the realm's order, who receives it
//! live, and does the history keep it. Spec: "Publishing and Events", "Event History".

use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use log::debug;
use rewamp_history::{Receivers, Sequence, StoredTopic, Timestamp};
use rewamp_wamp::codec::{self, Plain};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{PublicationId, RequestId};
use rewamp_wamp::message::{MessageType, Publish, PublishOptions};
use rewamp_wamp::payload::about_payload;
use rewamp_wamp::serializer::{Serializer, append_value};
use rewamp_wamp::uri::{MatchPolicy, check_uri, is_restricted};
use rewamp_wamp::value::{Dict, Value};

use super::Realm;
use super::member::Member;
use super::role::PublishPermit;
use super::route::Route;
use crate::broker::{Payloads, Publication};
use crate::dealer::Refusal;
use crate::history::{Accepted, Unstored, Waiting, routed_not_stored, routed_readonly};
use crate::metrics::Id;
use crate::session::encoding;

/// What became of a PUBLISH.
#[must_use]
pub(super) enum Published {
    /// It is routed, or refused.
    Done,
    /// It is routed by this, to one subscription or none and into no history: the next may be like
    /// it.
    Plainly(Rc<Route>),
    /// The history has no room for it: it has to be tried again.
    NoRoom,
}

/// Its place in the history, and when it was accepted.
type Place = (Sequence, Timestamp);

/// What becomes of a publication besides its delivery.
enum Kept {
    /// No filter covers it, or it names session IDs.
    No,
    /// It is with the history at this place, which acknowledges it when it is durable, or never
    /// needs to.
    Yes(Place),
    /// The history has no room for it.
    NoRoom,
    /// The history is only read.
    ReadOnly,
    /// The history's store is not open.
    Unavailable,
}

/// A publication without options that receivers see, which went to one subscription or none and
/// into no history. It has to be forgotten when anything but publications and calls has changed the
/// realm since.
pub(super) struct LastPublication {
    pub(super) route: Rc<Route>,
    pub(super) exclude_me: bool,
}

impl Realm {
    /// Publishes. With `hold`, a publication for which the history has no room is left as it is,
    /// and nobody has seen it.
    pub(super) fn publish(
        &mut self,
        member: &Rc<Member>,
        publish: &Publish,
        hold: bool,
    ) -> Published {
        let (route, permit) = match self.route(member, &publish.topic) {
            Ok(found) => found,
            Err(refusal) => {
                self.refuse_publication(member, publish, &refusal);
                return Published::Done;
            }
        };
        let stored = route
            .stored
            .as_ref()
            .filter(|_| !names_sessions(&publish.options));
        let readonly = self.history.as_ref().is_some_and(|it| it.is_readonly());
        let has_room = || self.history.as_ref().is_some_and(|it| it.has_room());
        let has_room = stored.is_none() || readonly || has_room();
        if !has_room && hold {
            return Published::NoRoom;
        }
        let id = self.ids.draw();
        let kept = match stored {
            None if self.should_be_stored(publish, &route) => Kept::Unavailable,
            None => Kept::No,
            Some(_) if readonly => Kept::ReadOnly,
            Some(_) if !has_room => Kept::NoRoom,
            Some(topic) => match self.store(member, publish, topic, permit, id) {
                Ok(place) => Kept::Yes(place),
                Err(refusal) => {
                    self.metrics.count(Id::HistoryRefused, 1);
                    self.refuse_publication(member, publish, &refusal);
                    return Published::Done;
                }
            },
        };
        let place = match kept {
            Kept::Yes(place) => Some(place),
            _ => None,
        };
        self.deliver(member, publish, &route, permit, id, place);
        self.conclude(member, publish, id, &kept);
        let stored = route.stored.is_some() || self.unavailable.is_some();
        if stored || route.matches.len() > 1 {
            Published::Done
        } else {
            Published::Plainly(route)
        }
    }

    /// Publishes what differs from `last` in nothing but its arguments and acknowledgement. False
    /// if it does in more, or has to go the long way for another reason.
    pub(super) fn publish_alike(
        &mut self,
        member: &Member,
        plain: &Plain,
        block: &Bytes,
        last: &LastPublication,
    ) -> bool {
        let LastPublication { route, exclude_me } = last;
        if *exclude_me != plain.exclude_me || !plain.is_named(route.topic.as_bytes(), block) {
            return false;
        }
        let id = self.ids.draw();
        let payload = plain.payload(member.wire.serializer, block);
        if !route.matches.is_empty() && !self.broker.publish_alike(id, payload, &mut self.delivery)
        {
            return false;
        }
        self.published += 1;
        if plain.acknowledge {
            self.published_at_once(member, plain.request, id);
        }
        true
    }

    /// Whether a publication belongs to a history whose store is not open.
    fn should_be_stored(&self, publish: &Publish, route: &Route) -> bool {
        let unavailable = self.unavailable.as_ref();
        unavailable.is_some_and(|history| history.stores(&route.topic))
            && !names_sessions(&publish.options)
    }

    /// What is known of the topic, and what the publisher's role may do there.
    fn route(
        &mut self,
        member: &Member,
        topic: &ByteString,
    ) -> Result<(Rc<Route>, PublishPermit), Refusal> {
        let generation = self.broker.generation();
        if let Some(known) = self.routes.known(topic, &member.role, generation) {
            return Ok(known);
        }
        check_uri(topic, MatchPolicy::Exact, self.uri_check).map_err(|error| Refusal {
            uri: error_uri::INVALID_URI,
            text: format!("publish with invalid topic URI '{topic}': {error}"),
        })?;
        if is_restricted(topic) {
            return Err(Refusal {
                uri: error_uri::INVALID_URI,
                text: format!("publish with restricted topic URI '{topic}'"),
            });
        }
        let history = &self.history;
        let stored = || {
            history
                .as_ref()
                .and_then(|history| history.store().topic(topic))
        };
        let (route, permit) = self.routes.learn(topic, &member.role, &self.broker, stored);
        permit
            .map(|permit| (route, permit))
            .map_err(|denied| member.not_authorized(denied))
    }

    fn store(
        &mut self,
        member: &Member,
        publish: &Publish,
        topic: &Arc<StoredTopic>,
        permit: PublishPermit,
        publication: PublicationId,
    ) -> Result<Place, Refusal> {
        let Some(history) = &mut self.history else {
            return Ok(Place::default());
        };
        let options = &publish.options;
        let lists = options.receivers.as_deref();
        let accepted = Accepted {
            topic: Arc::clone(topic),
            publication,
            publisher: member.id(),
            exclude_me: options.exclude_me,
            disclosed: permit
                .discloses_publisher()
                .then(|| Arc::clone(&member.identity)),
            receivers: lists.and_then(Receivers::new).map(Arc::new),
            details: event_details(&options.extra),
            payload: &publish.payload,
        };
        history
            .place(accepted, self.now)
            .map_err(|unstored| {
                match unstored {
            Unstored::Full => Refusal {
                uri: error_uri::STORE_FULL,
                text: "the event store of the topic is full, and refuses rather than to drop what \
                       it has: the publication was not routed"
                    .to_owned(),
            },
            Unstored::TooLarge { bytes, limit } => Refusal {
                uri: error_uri::STORE_FULL,
                text: format!(
                    "the publication takes {bytes} bytes in the event store of its topic, which \
                     takes at most {limit} (an eighth of its maxsize)"
                ),
            },
        }
            })
    }

    fn deliver(
        &mut self,
        member: &Member,
        publish: &Publish,
        route: &Route,
        permit: PublishPermit,
        id: PublicationId,
        stored: Option<(Sequence, Timestamp)>,
    ) {
        self.published += 1;
        if route.matches.is_empty() {
            return;
        }
        let options = &publish.options;
        let publication = Publication {
            id,
            publisher: Some(member.id()),
            exclude_me: options.exclude_me,
            topic: &route.topic,
            payload: Payloads::new(&publish.payload),
            disclosed: permit.discloses_publisher().then_some(&*member.details),
            receivers: options.receivers.as_deref(),
            extra: &about_payload(&options.extra),
            stored,
            behind: match stored {
                Some((sequence, _)) => sequence.previous(),
                None => self.newest(),
            },
        };
        self.broker
            .publish(&publication, &route.matches, &mut self.delivery);
    }

    /// Sees to the acknowledgement, if one is wanted.
    fn conclude(&mut self, member: &Member, publish: &Publish, id: PublicationId, kept: &Kept) {
        let request = publish.request;
        let wanted = publish.options.acknowledge;
        match (kept, &mut self.history) {
            (Kept::NoRoom, _) => {
                self.metrics.count(Id::HistoryNotStored, 1);
                if wanted {
                    let why = "the store has been too slow for too long";
                    self.answer(member, &routed_not_stored(request, member.wire, why));
                }
            }
            (Kept::Unavailable, _) => {
                self.metrics.count(Id::HistoryNotStored, 1);
                if let Some(unavailable) = self.unavailable.as_ref().filter(|_| wanted) {
                    let refusal = routed_not_stored(request, member.wire, unavailable.why());
                    self.answer(member, &refusal);
                }
            }
            (Kept::ReadOnly, _) => {
                self.metrics.count(Id::HistoryNotStored, 1);
                if wanted {
                    self.answer(member, &routed_readonly(request, member.wire));
                }
            }
            (Kept::Yes(_), Some(history)) if wanted && history.is_durable() => {
                let (outbox, wire) = (Arc::clone(&member.outbox), member.wire);
                let accepted = self.now;
                history.acknowledge(|place| Waiting {
                    outbox,
                    wire,
                    request,
                    publication: id,
                    accepted,
                    place,
                });
            }
            _ if wanted => self.published_at_once(member, request, id),
            _ => {}
        }
    }

    fn published_at_once(&mut self, member: &Member, request: RequestId, id: PublicationId) {
        codec::append_published(member.wire, request, id, &mut self.acknowledgements);
        self.acknowledged += 1;
    }

    /// The end of a batch: the acknowledgements that wait for nothing go out together.
    pub(super) fn acknowledge(&mut self, member: &Member) {
        if self.acknowledged > 0 {
            member.outbox.answer(
                &self.acknowledgements,
                std::mem::take(&mut self.acknowledged),
            );
            self.acknowledgements.clear();
            self.delivery.dirty(&member.outbox);
        }
    }

    fn refuse_publication(&mut self, member: &Member, publish: &Publish, refusal: &Refusal) {
        debug!(realm = &*self.name, session = member.id().get(); "publication refused: {}", refusal.text);
        if publish.options.acknowledge {
            let error = refusal.error(MessageType::Publish, publish.request, member);
            self.answer(member, &error);
        }
    }

    /// Publishes a meta event to whoever subscribes to it; `args` is asked only if somebody does.
    pub(crate) fn publish_meta(&mut self, topic: &'static str, args: impl FnOnce() -> Vec<Value>) {
        let matches = self.broker.matching(topic);
        if matches.is_empty() {
            return;
        }
        self.broker.flush(&mut self.delivery);
        let payload = encoding::arguments(Serializer::MsgPack, &args(), None);
        let publication = Publication {
            id: self.ids.draw(),
            publisher: None,
            exclude_me: false,
            topic: &ByteString::from_static(topic),
            payload: Payloads::new(&payload),
            disclosed: None,
            receivers: None,
            extra: &Dict::new(),
            stored: None,
            behind: self.newest(),
        };
        self.broker
            .publish(&publication, &matches, &mut self.delivery);
        self.broker.flush(&mut self.delivery);
    }
}

fn names_sessions(options: &PublishOptions) -> bool {
    options
        .receivers
        .as_deref()
        .is_some_and(|lists| lists.names_sessions())
}

/// Options that receivers get as details, as the bytes that the store keeps.
fn event_details(extra: &Dict) -> Option<Bytes> {
    let passed = about_payload(extra);
    if passed.is_empty() {
        return None;
    }
    let mut bytes = BytesMut::new();
    append_value(Serializer::MsgPack, &Value::Map(passed), &mut bytes).ok()?;
    Some(bytes.freeze())
}
