//! Join and leave. Spec: "WELCOME", "Session Meta Events".

use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use bytestring::ByteString;
use log::{debug, info};
use rewamp_wamp::error_uri;
use rewamp_wamp::feature::{self, role};
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::message::{
    Abort, Goodbye, Message as WampMessage, MessageType, Roles as WampRoles, Welcome,
    WelcomeDetails,
};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::value::{Dict, Value};

use super::Realm;
use super::member::Member;
use super::messages::Join;
use super::route::Routes;
use crate::meta::events;
use crate::metrics::Id;
use crate::session::encoding;
use crate::session::outbox::Outbox;

/// What the router says it is.
const AGENT: &str = concat!("Rewamp-", env!("CARGO_PKG_VERSION"));

/// What the Broker can do.
const BROKER: &[&str] = &[
    feature::PUBLISHER_IDENTIFICATION,
    feature::PUBLISHER_EXCLUSION,
    feature::SUBSCRIBER_BLACKWHITE_LISTING,
    feature::PATTERN_BASED_SUBSCRIPTION,
    feature::SESSION_META_API,
    feature::SUBSCRIPTION_META_API,
    feature::PAYLOAD_PASSTHRU_MODE,
    feature::PAYLOAD_TRANSPARENCY,
    feature::PAYLOAD_ENCRYPTION_CRYPTOBOX,
];

/// What the Dealer can do.
const DEALER: &[&str] = &[
    feature::CALLER_IDENTIFICATION,
    feature::SESSION_META_API,
    feature::PAYLOAD_PASSTHRU_MODE,
    feature::PAYLOAD_TRANSPARENCY,
    feature::PAYLOAD_ENCRYPTION_CRYPTOBOX,
];

impl Realm {
    pub(super) fn join(&mut self, join: Join) {
        self.received.count(MessageType::Hello, 1);
        let details = join.details;
        let Some(role) = self.roles.get(&details.authrole).cloned() else {
            let text = format!(
                "no role \"{}\" exists on realm \"{}\"",
                details.authrole, details.realm
            );
            self.turn_away(&join.outbox, join.wire, error_uri::NO_SUCH_ROLE, &text);
            return;
        };
        if self.members.contains_key(&details.id) {
            let text = "the session ID that was drawn is in use: please try again";
            self.turn_away(&join.outbox, join.wire, error_uri::UNAVAILABLE, text);
            return;
        }
        join.outbox
            .joined(self.outbox_limits, self.gauges.depth.clone());
        let member = Rc::new(Member::new(
            details,
            role,
            join.wire,
            join.outbox,
            join.max_message,
        ));
        let welcome = self.welcome(&member);
        self.answer(&member, &welcome);
        self.members.insert(member.id(), Rc::clone(&member));
        if let Some(history) = &self.history {
            history.expect_publications();
            history.joined(&member.details, self.now);
        }
        self.gauges.sessions.inc();
        self.metrics.count(Id::Joins, 1);
        let details = &member.details;
        info!(realm = &*self.name, session = details.id.get(), authid = &*details.authid,
            authrole = &*details.authrole, authmethod = details.authmethod,
            peer = &*details.peer.address; "session joined");
        self.publish_meta(events::SESSION_ON_JOIN, || {
            vec![Value::Map(details.to_dict())]
        });
    }

    fn turn_away(&self, outbox: &Arc<Outbox>, wire: Wire, reason: &'static str, text: &str) {
        info!(realm = &*self.name; "session refused: {text}");
        let mut frame = BytesMut::new();
        let message = WampMessage::Abort(Abort {
            details: Dict::from([("message", text)]),
            reason: ByteString::from_static(reason),
            payload: Payload::empty(wire.serializer),
        });
        encoding::append(wire, &message, &mut frame);
        outbox.answer(&frame, 1);
        outbox.finish();
    }

    fn welcome(&self, member: &Member) -> WampMessage {
        let details = &member.details;
        let mut broker = BROKER.to_vec();
        if self.history.is_some() || self.unavailable.is_some() {
            broker.push(feature::EVENT_HISTORY);
            broker.push(feature::REPLAY);
        }
        WampMessage::Welcome(Welcome {
            session: details.id,
            details: Box::new(WelcomeDetails {
                roles: WampRoles::new()
                    .with(role::BROKER, &broker)
                    .with(role::DEALER, DEALER),
                realm: Some(details.realm.clone()),
                authid: Some(details.authid.clone()),
                authrole: Some(details.authrole.clone()),
                authmethod: Some(ByteString::from_static(details.authmethod)),
                authprovider: Some(ByteString::from_static(details.authprovider)),
                authextra: None,
                agent: Some(ByteString::from_static(AGENT)),
                extra: Dict::new(),
            }),
        })
    }

    /// GOODBYE: answered in kind, behind what still waits. The connection stays.
    pub(super) fn goodbye(&mut self, member: &Rc<Member>) {
        let message = WampMessage::Goodbye(Goodbye {
            details: Dict::new(),
            reason: ByteString::from_static(error_uri::CLOSE_GOODBYE_AND_OUT),
        });
        self.leave(member.id());
        self.answer(member, &message);
    }

    /// Takes a session out of the realm; nothing if it is out already.
    pub(super) fn leave(&mut self, session: SessionId) {
        let Some(member) = self.members.remove(&session) else {
            return;
        };
        member.has_left.set(true);
        member.end_tracks();
        self.held.forget(session);
        self.gauges.sessions.dec();
        self.dealer.leave(&member, &mut self.delivery);
        self.gauges
            .registrations
            .set(i64::try_from(self.dealer.len()).unwrap_or(i64::MAX));
        for left in self.broker.leave(&member) {
            self.unsubscribed(&member, &left);
        }
        let details = &member.details;
        if let Some(history) = &self.history {
            history.left(details.id, self.now);
        }
        info!(realm = &*self.name, session = details.id.get(), peer = &*details.peer.address;
            "session left");
        self.publish_meta(events::SESSION_ON_LEAVE, || {
            vec![
                Value::from(details.id.get()),
                Value::from(details.authid.clone()),
                Value::from(details.authrole.clone()),
            ]
        });
        debug!(realm = &*self.name; "{} sessions", self.members.len());
        if self.members.is_empty() {
            // A realm with nobody in it shall cost little.
            self.routes = Routes::new(self.metrics.clone());
        }
    }
}
