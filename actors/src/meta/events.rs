//! The meta events: what the router publishes of its sessions and subscriptions. They reach
//! pattern subscriptions too, and are never stored. Spec: "Session Meta Events", "Subscription
//! Meta Events".

use bytestring::ByteString;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::{MatchPolicy, is_restricted};
use rewamp_wamp::value::{Dict, Value};

use crate::broker::{Subscribed, Subscription, Unsubscribed};
use crate::history::rfc3339;
use crate::realm::Realm;
use crate::realm::member::Member;

/// `[details|dict]`
pub const SESSION_ON_JOIN: &str = "wamp.session.on_join";
/// `[session|id, authid|string, authrole|string]`
pub const SESSION_ON_LEAVE: &str = "wamp.session.on_leave";
/// `[session|id, subscription|dict]`
pub const SUBSCRIPTION_ON_CREATE: &str = "wamp.subscription.on_create";
/// `[session|id, subscription|id]`
pub const SUBSCRIPTION_ON_SUBSCRIBE: &str = "wamp.subscription.on_subscribe";
/// `[session|id, subscription|id]`
pub const SUBSCRIPTION_ON_UNSUBSCRIBE: &str = "wamp.subscription.on_unsubscribe";
/// `[session|id, subscription|id]`
pub const SUBSCRIPTION_ON_DELETE: &str = "wamp.subscription.on_delete";
/// `[subscription|id, sequence|int]`, to the session whose replay has caught up: it has got
/// everything up to that sequence. Ours.
pub const SUBSCRIPTION_ON_LIVE: &str = "rewamp.subscription.on_live";
/// `[subscription|id, from|int, to|int]`, to the session that misses what these sequences,
/// inclusive, had for it. Ours.
pub const SUBSCRIPTION_ON_GAP: &str = "rewamp.subscription.on_gap";

impl Realm {
    /// Tells of a session that has been added to a subscription; not where that is one to the
    /// router's own events, as at Crossbar: who watches would mostly watch the watching.
    pub(crate) fn tell_subscribed(&mut self, member: &Member, subscribed: &Subscribed) {
        let (session, subscription) = (member.id().get(), &subscribed.subscription);
        if is_restricted(&subscription.uri) {
            return;
        }
        if subscribed.created && !self.is_filter(subscription) {
            self.publish_meta(SUBSCRIPTION_ON_CREATE, || {
                let Subscription {
                    id,
                    uri,
                    match_policy,
                    created,
                    ..
                } = &**subscription;
                let details = describe(*id, uri, *match_policy, *created);
                vec![Value::from(session), Value::Map(details)]
            });
        }
        let id = subscription.id.get();
        self.publish_meta(SUBSCRIPTION_ON_SUBSCRIBE, || {
            vec![Value::from(session), Value::from(id)]
        });
    }

    /// Tells of a session that has been taken off a subscription, unless as above.
    pub(crate) fn tell_unsubscribed(&mut self, member: &Member, unsubscribed: &Unsubscribed) {
        if is_restricted(&unsubscribed.subscription.uri) {
            return;
        }
        let (session, id) = (member.id().get(), unsubscribed.subscription.id.get());
        let args = || vec![Value::from(session), Value::from(id)];
        self.publish_meta(SUBSCRIPTION_ON_UNSUBSCRIBE, args);
        if unsubscribed.deleted && !self.is_filter(&unsubscribed.subscription) {
            self.publish_meta(SUBSCRIPTION_ON_DELETE, args);
        }
    }

    /// A filter's subscription is permanent: no session creates or deletes it.
    fn is_filter(&self, subscription: &Subscription) -> bool {
        self.filters.contains_key(&subscription.id)
    }
}

/// A subscription as the meta API shows it.
pub(super) fn describe(
    id: SubscriptionId,
    uri: &ByteString,
    match_policy: MatchPolicy,
    created: u64,
) -> Dict {
    Dict::from([
        ("id", Value::from(id.get())),
        ("created", Value::from(rfc3339(created))),
        ("uri", Value::from(uri.clone())),
        ("match", Value::from(match_policy.name())),
    ])
}
