//! A Subscription: a topic or pattern and who receives what is published to it.
//! Spec: "Subscribing and Unsubscribing", "Pattern-based Subscription".

use std::cell::{Cell, RefCell};

use bytestring::ByteString;
use rewamp_history::{FilterId, Sequence};
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
    /// The history filter that covers it, if one does and its store has been opened.
    pub filter: Cell<Option<FilterId>>,
    /// The newest event of its history, as far as it is known: published since it exists, or told
    /// by the history.
    pub newest: Cell<Option<Sequence>>,
    /// Who receives.
    pub receivers: RefCell<Receivers>,
}
