//! Who listens to what: `wamp.subscription.*`. The subscriptions of history filters are shown
//! whether or not anybody holds them; subscriptions to `wamp.*` and `rewamp.*` are the router's
//! own affair and are not listed. Spec: "Subscription Meta Procedures".

use bytestring::ByteString;
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{SessionId, SubscriptionId};
use rewamp_wamp::uri::{MatchPolicy, is_restricted, matches};
use rewamp_wamp::value::{Dict, Value};

use super::events::describe;
use super::get_events::unavailable_now;
use super::sessions::no_such_session;
use super::{Arguments, Failure};
use crate::realm::Realm;
use crate::realm::member::Member;

/// A subscription that exists, or whose history does.
pub(super) struct Known {
    pub(super) id: SubscriptionId,
    pub(super) uri: ByteString,
    pub(super) match_policy: MatchPolicy,
    created: u64,
}

impl Realm {
    /// The subscription with this ID: one that sessions hold, a filter's, or one that the store
    /// gave out in this life or an earlier one.
    pub(super) fn subscription(&self, number: u64) -> Result<Known, Failure> {
        SubscriptionId::new(number)
            .and_then(|id| self.find_subscription(id))
            .ok_or_else(|| {
                let text = format!("no subscription with ID {number} exists on this broker");
                Failure::new(error_uri::NO_SUCH_SUBSCRIPTION, text)
            })
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<Known> {
        if let Some(held) = self.broker.get(id) {
            let (uri, created) = (held.uri.clone(), held.created);
            return Some(Known {
                id,
                uri,
                match_policy: held.match_policy,
                created,
            });
        }
        let created = self.started;
        let (uri, match_policy) = match self.filters.get(&id) {
            Some(filter) => (filter.uri.clone(), filter.match_policy),
            None => match &self.looked_up {
                Some((of, found)) if *of == id => found.clone()?,
                _ => self.history.as_ref()?.store().find_remembered(id)?,
            },
        };
        Some(Known {
            id,
            uri,
            match_policy,
            created,
        })
    }

    /// Every subscription that is held, and every filter's that is not.
    fn listed(&self) -> impl Iterator<Item = (SubscriptionId, &str, MatchPolicy)> {
        let held = self
            .broker
            .iter()
            .map(|held| (held.id, &*held.uri, held.match_policy));
        let filters = self
            .filters
            .iter()
            .filter(|(id, _)| self.broker.get(**id).is_none())
            .map(|(id, filter)| (*id, &*filter.uri, filter.match_policy));
        held.chain(filters)
            .filter(|(_, uri, _)| !is_restricted(uri))
    }
}

/// `wamp.subscription.list([session_id|id?])` → `{exact: [id…], prefix: […], wildcard: […]}`.
pub(super) fn list(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let name = "session_id";
    let Some(value) = args.optional(name)? else {
        return Ok(by_match(realm.listed().map(|(id, _, policy)| (id, policy))));
    };
    let number = value
        .as_u64()
        .ok_or_else(|| args.wrong(name, &value, "an ID, an integer from 1 to 2^53"))?;
    let member = SessionId::new(number)
        .and_then(|id| realm.members.get(&id))
        .ok_or_else(|| no_such_session(number))?;
    let held = member.subscriptions.borrow();
    Ok(by_match(
        held.values().map(|held| (held.id, held.match_policy)),
    ))
}

fn by_match(subscriptions: impl Iterator<Item = (SubscriptionId, MatchPolicy)>) -> Value {
    let (mut exact, mut prefix, mut wildcard) = (Vec::new(), Vec::new(), Vec::new());
    for (id, match_policy) in subscriptions {
        let list = match match_policy {
            MatchPolicy::Exact => &mut exact,
            MatchPolicy::Prefix => &mut prefix,
            MatchPolicy::Wildcard => &mut wildcard,
        };
        list.push(Value::from(id.get()));
    }
    Value::Map(Dict::from([
        ("exact", Value::List(exact)),
        ("prefix", Value::List(prefix)),
        ("wildcard", Value::List(wildcard)),
    ]))
}

/// `wamp.subscription.get(subscription_id|id)` → `{id, created, uri, match}`.
pub(super) fn get(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let known = realm.subscription(args.id("subscription_id")?)?;
    Ok(Value::Map(describe(
        known.id,
        &known.uri,
        known.match_policy,
        known.created,
    )))
}

/// `wamp.subscription.lookup(topic|uri, [{match|string}])` → ID or null. A topic or pattern that a
/// history filter covers has an ID whether or not anybody subscribes to it.
pub(super) fn lookup(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let topic = args.text("topic")?;
    let match_policy = match args.optional("options")? {
        None => MatchPolicy::Exact,
        Some(Value::Map(options)) => args.match_policy(&options)?,
        Some(other) => return Err(args.wrong("options", &other, "a map")),
    };
    if is_restricted(&topic) {
        return Ok(Value::Null);
    }
    let held = realm
        .broker
        .lookup(&topic, match_policy)
        .map(|held| held.id);
    if let Some(unavailable) = &realm.unavailable
        && held.is_none()
        && unavailable.covers(&topic, match_policy)
    {
        return Err(unavailable_now(unavailable));
    }
    let id = held.or_else(|| {
        let store = realm.history.as_ref()?.store();
        store.readable(&topic, match_policy)?;
        store.remember_pattern(&topic, match_policy);
        Some(store.subscription_id(&topic, match_policy))
    });
    Ok(id.map_or(Value::Null, |id| Value::from(id.get())))
}

/// `wamp.subscription.match(topic|uri)` → list of the IDs that a publication to it reaches, or
/// null if there is none.
pub(super) fn match_topic(
    realm: &Realm,
    _: &Member,
    args: &mut Arguments,
) -> Result<Value, Failure> {
    let topic = args.text("topic")?;
    if is_restricted(&topic) {
        return Ok(Value::Null);
    }
    let held = realm.broker.matching(&topic);
    let mut ids: Vec<_> = held.iter().map(|held| held.id).collect();
    let filters = realm
        .filters
        .iter()
        .filter(|(_, filter)| matches(&filter.uri, filter.match_policy, &topic));
    ids.extend(
        filters
            .map(|(id, _)| *id)
            .filter(|id| realm.broker.get(*id).is_none()),
    );
    if ids.is_empty() {
        return Ok(Value::Null);
    }
    Ok(Value::List(
        ids.into_iter().map(|id| Value::from(id.get())).collect(),
    ))
}

/// `wamp.subscription.list_subscribers(subscription_id|id)` → list of session IDs.
pub(super) fn subscribers(
    realm: &Realm,
    _: &Member,
    args: &mut Arguments,
) -> Result<Value, Failure> {
    let known = realm.subscription(args.id("subscription_id")?)?;
    let Some(held) = realm.broker.get(known.id) else {
        return Ok(Value::List(Vec::new()));
    };
    let receivers = held.receivers.borrow();
    Ok(Value::List(
        receivers
            .iter()
            .map(|member| Value::from(member.id().get()))
            .collect(),
    ))
}

/// `wamp.subscription.count_subscribers(subscription_id|id)` → number of sessions.
pub(super) fn count(realm: &Realm, _: &Member, args: &mut Arguments) -> Result<Value, Failure> {
    let known = realm.subscription(args.id("subscription_id")?)?;
    let held = realm.broker.get(known.id);
    Ok(Value::from(
        held.map_or(0, |held| held.receivers.borrow().len() as u64),
    ))
}
