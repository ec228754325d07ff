//! A realm whose event store is not open: it routes, and what its history should have kept is said
//! not to be kept. When the store can be opened after all, the history begins then and there.
//! Called by the realm; the node tries again.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use log::info;
use rewamp_history::{EventStore, Filter};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::{MatchPolicy, covers};
use rewamp_wamp::uri_map::UriMap;

use super::route::Routes;
use super::{Realm, tell_late_clock};
use crate::broker::Subscription;
use crate::dealer::Refusal;
use crate::history::{History, HistorySettings};
use crate::metrics::Id;

/// What is known of a history whose store is not open: what it should keep, and why it does not.
pub struct Unavailable {
    filters: Vec<Filter>,
    topics: UriMap<()>,
    why: String,
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unavailable").field(&self.why).finish()
    }
}

impl Unavailable {
    /// A history of `filters`, which is not there, with the reason.
    #[must_use]
    pub fn new(filters: Vec<Filter>, why: String) -> Self {
        let mut topics = UriMap::new();
        for filter in filters.iter().filter(|filter| filter.limit != Some(0)) {
            topics.insert(&filter.uri, filter.match_policy, ());
        }
        Self {
            filters,
            topics,
            why,
        }
    }

    /// Why, for people.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// Whether publications to `topic` should be kept.
    pub(super) fn stores(&self, topic: &str) -> bool {
        let mut stores = false;
        self.topics.for_each_match(topic, |_, _, ()| stores = true);
        stores
    }

    /// Whether the subscription `(uri, match_policy)` should have a history.
    pub(crate) fn covers(&self, uri: &str, match_policy: MatchPolicy) -> bool {
        let wide =
            |filter: &Filter| covers((&filter.uri, filter.match_policy), (uri, match_policy));
        self.filters.iter().any(wide)
    }
}

impl Realm {
    /// Why a subscription that no open store covers cannot begin with its past.
    pub(super) fn no_past(&self, uri: &str, match_policy: MatchPolicy) -> Refusal {
        let unavailable = self.unavailable.as_ref();
        match unavailable.filter(|history| history.covers(uri, match_policy)) {
            Some(history) => Refusal {
                uri: error_uri::STORE_UNAVAILABLE,
                text: history.why().to_owned(),
            },
            None => Refusal {
                uri: error_uri::HISTORY_UNAVAILABLE,
                text: format!("option `_replay`: no history filter covers '{uri}'"),
            },
        }
    }
}

/// Comparisons of subscriptions with filters at a time: well under a millisecond.
const COMPARISONS: usize = 8_192;

/// These subscriptions were held before the store was open, and may have a history now. A message of
/// the realm to itself, so that many of them hold nobody up.
#[derive(Message)]
#[rtype(result = "()")]
struct Cover {
    held: Vec<SubscriptionId>,
}

impl Realm {
    /// Whether the subscription will have a history when its store is open.
    pub(super) fn will_cover(&self, uri: &str, match_policy: MatchPolicy) -> bool {
        let unavailable = self.unavailable.as_ref();
        unavailable.is_some_and(|history| history.covers(uri, match_policy))
    }

    /// The subscription has a history from here on, if a filter covers it: who cannot keep up gets
    /// what follows from there, and who asked for it is told the place of every event.
    fn cover(&mut self, subscription: &Rc<Subscription>) {
        if subscription.filter.get().is_some() {
            return;
        }
        let filter = self.covering_filter(&subscription.uri, subscription.match_policy);
        if filter.is_none() {
            return;
        }
        subscription.filter.set(filter);
        let members: Vec<_> = subscription.receivers.borrow().iter().cloned().collect();
        for member in members {
            if subscription.is_sequenced_for(&member) {
                self.name_places(&member, subscription);
            } else {
                self.follow_also(&member, subscription);
            }
        }
    }
}

/// The store is open: the history begins.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StoreOpened {
    /// The store.
    pub store: Arc<dyn EventStore>,
    /// How it is used.
    pub settings: HistorySettings,
}

/// The store is not open still, perhaps for another reason.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StoreNotOpened {
    /// Why, for people.
    pub why: String,
}

impl Handler<StoreOpened> for Realm {
    type Result = ();

    fn handle(&mut self, opened: StoreOpened, ctx: &mut Context<Self>) {
        if self.unavailable.take().is_none() {
            return;
        }
        let history = History::start(
            Arc::clone(&self.name),
            &self.address,
            opened.store,
            opened.settings,
            self.clock.clone(),
            self.metrics.clone(),
            self.turns.clone(),
        );
        info!(realm = &*self.name; "the event store is open: publications are stored from now on");
        self.metrics.gauge(Id::HistoryUnavailable).set(0);
        tell_late_clock(&self.name, history.last_time().nanos(), self.clock.now());
        self.filters = history.filter_subscriptions().into_iter().collect();
        self.routes = Routes::new(self.metrics.clone());
        if !self.members.is_empty() {
            history.expect_publications();
        }
        let now = self.clock.now();
        for member in self.members.values() {
            history.joined(&member.details, now);
        }
        self.history = Some(history);
        let held = self.broker.iter().map(|held| held.id).collect();
        self.handle(Cover { held }, ctx);
    }
}

impl Handler<Cover> for Realm {
    type Result = ();

    fn handle(&mut self, cover: Cover, ctx: &mut Context<Self>) {
        let Cover { mut held } = cover;
        let at_once = COMPARISONS / self.filters.len().max(1);
        for _ in 0..at_once.max(1) {
            let Some(id) = held.pop() else {
                return;
            };
            if let Some(subscription) = self.broker.get(id).cloned() {
                self.cover(&subscription);
            }
        }
        ctx.notify(Cover { held });
    }
}

impl Handler<StoreNotOpened> for Realm {
    type Result = ();

    fn handle(&mut self, not_opened: StoreNotOpened, _: &mut Context<Self>) {
        if let Some(unavailable) = &mut self.unavailable {
            unavailable.why = not_opened.why;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    #[test]
    fn what_should_have_been_kept_is_known_without_the_store() {
        let filters = vec![
            Filter::new("com.", Prefix),
            Filter::new("org..x", Wildcard),
            Filter {
                limit: Some(0),
                ..Filter::new("net.a", Exact)
            },
        ];
        let unavailable = Unavailable::new(filters, "gone".to_owned());
        for (topic, stored) in [("com.a", true), ("org.a.x", true), ("net.a", false)] {
            assert_eq!(unavailable.stores(topic), stored, "{topic}");
        }
        assert!(unavailable.covers("com.a", Prefix));
        assert!(unavailable.covers("org.b.x", Exact));
        assert!(!unavailable.covers("org.", Prefix));
    }
}
