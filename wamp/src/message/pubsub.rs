//! Messages between publishers, broker and subscribers. Spec: "Publish and Subscribe".

use bytestring::ByteString;

use crate::id::{PublicationId, RequestId, SessionId, SubscriptionId};
use crate::payload::Payload;
use crate::uri::MatchPolicy;
use crate::value::Dict;

/// `[16, Request|id, Options|dict, Topic|uri, Arguments|list?, ArgumentsKw|dict?]`,
/// spec: "PUBLISH". Publisher to broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// The publisher's number for it.
    pub request: RequestId,
    /// How to publish.
    pub options: PublishOptions,
    /// Where; not checked to be a URI.
    pub topic: ByteString,
    /// What, as the bytes came in.
    pub payload: Payload,
}

/// `PUBLISH.Options`.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishOptions {
    /// Whether PUBLISHED or ERROR is wanted.
    pub acknowledge: bool,
    /// Whether the publisher itself gets no EVENT; true unless it says otherwise.
    /// Spec: "Publisher Exclusion".
    pub exclude_me: bool,
    /// Whether the publisher wants to be named. Spec: "Publisher Identification".
    pub disclose_me: bool,
    /// Whether the event is to be kept for later subscribers. Spec: "Event Retention".
    pub retain: bool,
    /// Who may receive it; `None` if there is no list, or only empty ones.
    pub receivers: Option<Box<ReceiverLists>>,
    /// All other keys.
    pub extra: Dict,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            acknowledge: false,
            exclude_me: true,
            disclose_me: false,
            retain: false,
            receivers: None,
            extra: Dict::new(),
        }
    }
}

/// Spec: "Subscriber Black- and Whitelisting". An empty list counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ReceiverLists {
    /// Sessions that get nothing.
    pub exclude: Vec<SessionId>,
    /// Users whose sessions get nothing.
    pub exclude_authid: Vec<ByteString>,
    /// Roles whose sessions get nothing.
    pub exclude_authrole: Vec<ByteString>,
    /// If not empty, only these sessions get it.
    pub eligible: Vec<SessionId>,
    /// If not empty, only sessions of these users get it.
    pub eligible_authid: Vec<ByteString>,
    /// If not empty, only sessions of these roles get it.
    pub eligible_authrole: Vec<ByteString>,
}

impl ReceiverLists {
    /// Whether there is nothing in any list.
    pub fn is_empty(&self) -> bool {
        !self.names_sessions()
            && self.exclude_authid.is_empty()
            && self.exclude_authrole.is_empty()
            && self.eligible_authid.is_empty()
            && self.eligible_authrole.is_empty()
    }

    /// Whether sessions are named by their IDs, which mean nothing later: such a publication is
    /// not stored. Spec: "Event History", security.
    pub fn names_sessions(&self) -> bool {
        !self.exclude.is_empty() || !self.eligible.is_empty()
    }

    /// Whether a session of that user and role is among the receivers, as far as these lists say.
    pub fn admit(&self, session: SessionId, authid: &str, authrole: &str) -> bool {
        let excluded = self.exclude.contains(&session) || self.excludes_user(authid, authrole);
        let eligible = self.eligible.is_empty() || self.eligible.contains(&session);
        !excluded && eligible && self.eligible_user(authid, authrole)
    }

    /// The same for who asks later, when session IDs mean nothing.
    pub fn admit_user(&self, authid: &str, authrole: &str) -> bool {
        !self.excludes_user(authid, authrole) && self.eligible_user(authid, authrole)
    }

    fn excludes_user(&self, authid: &str, authrole: &str) -> bool {
        has(&self.exclude_authid, authid) || has(&self.exclude_authrole, authrole)
    }

    fn eligible_user(&self, authid: &str, authrole: &str) -> bool {
        (self.eligible_authid.is_empty() || has(&self.eligible_authid, authid))
            && (self.eligible_authrole.is_empty() || has(&self.eligible_authrole, authrole))
    }
}

fn has(list: &[ByteString], name: &str) -> bool {
    list.iter().any(|item| item == name)
}

/// `[17, PUBLISH.Request|id, Publication|id]`, spec: "PUBLISHED". Broker to publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Which PUBLISH.
    pub request: RequestId,
    /// The publication's ID.
    pub publication: PublicationId,
}

/// `[32, Request|id, Options|dict, Topic|uri]`, spec: "SUBSCRIBE". Subscriber to broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The subscriber's number for it.
    pub request: RequestId,
    /// How to subscribe.
    pub options: SubscribeOptions,
    /// To what; not checked to be a URI or pattern.
    pub topic: ByteString,
}

/// `SUBSCRIBE.Options`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubscribeOptions {
    /// How topics are compared, key `match`.
    pub match_policy: MatchPolicy,
    /// Whether the retained event is wanted. Spec: "Event Retention".
    pub get_retained: bool,
    /// All other keys.
    pub extra: Dict,
}

/// `[33, SUBSCRIBE.Request|id, Subscription|id]`, spec: "SUBSCRIBED". Broker to subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribed {
    /// Which SUBSCRIBE.
    pub request: RequestId,
    /// The subscription's ID.
    pub subscription: SubscriptionId,
}

/// `[34, Request|id, SUBSCRIBED.Subscription|id]`, spec: "UNSUBSCRIBE". Subscriber to broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscribe {
    /// The subscriber's number for it.
    pub request: RequestId,
    /// Which subscription.
    pub subscription: SubscriptionId,
}

/// Spec: "UNSUBSCRIBED", "Subscription Revocation". Broker to subscriber.
#[derive(Debug, Clone, PartialEq)]
pub enum Unsubscribed {
    /// `[35, UNSUBSCRIBE.Request|id]`: as asked.
    Answer {
        /// Which UNSUBSCRIBE.
        request: RequestId,
    },
    /// `[35, 0, Details|dict]`: the router took the subscription away.
    Revoked {
        /// Which subscription.
        subscription: SubscriptionId,
        /// Why.
        reason: Option<ByteString>,
    },
}

/// `[36, SUBSCRIBED.Subscription|id, PUBLISHED.Publication|id, Details|dict,
/// PUBLISH.Arguments|list?, PUBLISH.ArgumentsKw|dict?]`, spec: "EVENT". Broker to subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose event it is.
    pub subscription: SubscriptionId,
    /// The publication's ID.
    pub publication: PublicationId,
    /// About the event. Boxed, like those of INVOCATION, so that a message is small: what is moved
    /// about by the million has none.
    pub details: Box<EventDetails>,
    /// What was published.
    pub payload: Payload,
}

/// `EVENT.Details`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventDetails {
    /// The topic published to, where the subscription is a pattern.
    pub topic: Option<ByteString>,
    /// The publisher's session, where it is disclosed.
    pub publisher: Option<SessionId>,
    /// The publisher's user, where it is disclosed.
    pub publisher_authid: Option<ByteString>,
    /// The publisher's role, where it is disclosed.
    pub publisher_authrole: Option<ByteString>,
    /// Whether it is the retained event; not written if false.
    pub retained: bool,
    /// All other keys.
    pub extra: Dict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_must_be_in_every_white_list_and_in_no_black_list() {
        let id = |number| SessionId::new(number).unwrap();
        let lists = ReceiverLists {
            exclude: vec![id(1)],
            exclude_authrole: vec!["guest".into()],
            eligible_authid: vec!["joe".into(), "ann".into()],
            ..ReceiverLists::default()
        };
        for (session, authid, authrole, expected) in [
            (2, "joe", "user", true),
            (1, "joe", "user", false),
            (2, "joe", "guest", false),
            (2, "bob", "user", false),
        ] {
            assert_eq!(
                lists.admit(id(session), authid, authrole),
                expected,
                "{session} {authid}"
            );
        }
        assert!(
            lists.admit_user("joe", "user"),
            "a session list is not for later"
        );
        assert!(lists.names_sessions() && !lists.is_empty());
        assert!(ReceiverLists::default().admit(id(1), "", ""));
    }
}
