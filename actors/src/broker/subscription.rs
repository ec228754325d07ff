//! A Subscription: a topic or pattern and who receives what is published to it.
//! Spec: "Subscribing and Unsubscribing", "Pattern-based Subscription".

use std::cell::RefCell;

use bytestring::ByteString;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use super::receivers::Receivers;

/// Shared by everybody who subscribes to the same topic and match.
pub struct Subscription {
    /// Its ID: for what a history filter covers, the same for the life of the store.
    pub id: SubscriptionId,
    /// The topic or pattern.
    pub uri: ByteString,
    /// How it matches.
    pub match_policy: MatchPolicy,
    /// When it came to be, ns since 1970.
    pub created: u64,
    /// Who receives.
    pub receivers: RefCell<Receivers>,
}
