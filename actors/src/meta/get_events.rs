//! `wamp.subscription.get_events`: what was asked for. Whose rules hold depends on how it is
//! called: purely by position it is Crossbar's (newest first, 10 unless more are asked for); with
//! any keyword besides `subscription_id` it is the spec's (oldest first, a page at most).
//! Spec: "Event History".

use rewamp_history::{EventStore, Incarnation, Query, Scope, Viewer};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RequestId, SubscriptionId};
use rewamp_wamp::uri::is_restricted;
use rewamp_wamp::value::{Dict, Value};

use super::keywords::Keywords;
use super::subscriptions::Known;
use super::{Arguments, Failure};
use crate::history::{About, Cursor, Paging, Question, Walk};
use crate::realm::member::Member;
use crate::realm::{Realm, Unavailable};
use crate::session::outbox::Ticket;

/// The procedure.
pub(crate) const GET_EVENTS: &str = "wamp.subscription.get_events";

/// Events of a page, at most.
const PAGE: u64 = 10_000;

/// Events that a page looks at, at most: what it costs where few of them are for the caller.
const BUDGET: u64 = 200_000;

/// `wamp.subscription.get_events(subscription_id|id, [limit|int], …)`: the question that the
/// history will answer.
pub(super) fn question(
    realm: &Realm,
    member: &Member,
    args: &mut Arguments,
) -> Result<Question, Failure> {
    let store = store(realm, args, "subscription_id")?;
    let reading = Reading::begin(args, store.opened().incarnation)?;
    let known = realm.subscription(args.id("subscription_id")?)?;
    let scope = scope(realm, member, &known)?;
    let (query, paging) = reading.query(args, known.id, scope, viewer(member))?;
    Ok(ask(realm, member, &known, query, About::Events(paging)))
}

/// How a call is read: by whose rules, and whether it is a page of a walk.
pub(super) struct Reading {
    by_spec: bool,
    walking: Walking,
}

impl Reading {
    /// Looks at the arguments, of which none but the subscription has been taken.
    pub(super) fn begin(args: &mut Arguments, incarnation: Incarnation) -> Result<Self, Failure> {
        let by_spec = args.has_keyword_besides(&["subscription_id"]);
        let walking = walking(args, incarnation)?;
        Ok(Self { by_spec, walking })
    }

    /// Takes the other arguments: what is asked of the history, and how much of it at once.
    pub(super) fn query(
        self,
        args: &mut Arguments,
        subscription: SubscriptionId,
        scope: Scope,
        viewer: Viewer,
    ) -> Result<(Query, Paging), Failure> {
        let keywords = Keywords::read(args)?;
        let walks = !matches!(self.walking, Walking::Not);
        let (walk, resume, limit) = match self.walking {
            Walking::GoesOn(cursor) => {
                let limit = keywords.go_on(args, subscription, &cursor.walk)?;
                let Cursor { walk, resume, .. } = *cursor;
                (walk, Some(resume), limit)
            }
            Walking::Begins | Walking::Not => {
                let walk = keywords.walk(subscription, self.by_spec);
                let limit = walk.limit;
                (walk, None, limit)
            }
        };
        if walks && limit == Some(0) {
            return Err(args.invalid("limit", "is below 1, which no walk ends with"));
        }
        let page = limit.map_or(PAGE, |limit| limit.min(PAGE));
        let capped = limit.is_none_or(|limit| limit > PAGE);
        let query = Query {
            // One more than the page shows tells whether there would have been others.
            limit: if capped || walks { page + 1 } else { page },
            resume,
            ..query(scope, viewer, &walk)
        };
        let paging = Paging {
            page,
            capped,
            walk: walks.then(|| Box::new(walk)),
        };
        Ok((query, paging))
    }
}

fn query(scope: Scope, viewer: Viewer, walk: &Walk) -> Query {
    Query {
        topic: walk.topic.clone(),
        time: walk.time,
        publication: walk.publication,
        sequence: walk.sequence,
        last_per_topic: walk.last_per_topic,
        reverse: walk.reverse,
        budget: BUDGET,
        ..Query::all(scope, viewer)
    }
}

/// `rewamp.subscription.history_info(subscription|id)`: the same for what there is.
pub(super) fn info(
    realm: &Realm,
    member: &Member,
    args: &mut Arguments,
) -> Result<Question, Failure> {
    let store = store(realm, args, "subscription")?;
    let known = realm.subscription(args.id("subscription")?)?;
    let scope = scope(realm, member, &known)?;
    let maxsize = realm.history.as_ref().map(|history| history.maxsize());
    let limits = limits(store, &scope, maxsize);
    let query = Query::all(scope, viewer(member));
    Ok(ask(realm, member, &known, query, About::Info(limits)))
}

/// The bounds in force for a history, by the names of their configuration keys.
pub(super) fn limits(store: &dyn EventStore, scope: &Scope, maxsize: Option<u64>) -> Dict {
    let mut limits = Dict::new();
    let configured = store
        .filters()
        .iter()
        .find(|known| known.id == scope.filter);
    if let Some(configured) = configured {
        let filter = &configured.filter;
        if let Some(limit) = filter.limit {
            limits.insert("limit", limit);
        }
        if let Some(limit) = filter.limit_per_topic {
            limits.insert("limit-per-topic", limit);
        }
        if let Some(age) = filter.max_age {
            limits.insert("max-age", seconds(age));
        }
    }
    if let Some(maxsize) = maxsize {
        limits.insert("maxsize", maxsize);
    }
    let full = match store.room() {
        u64::MAX => "drop-oldest",
        _ => "refuse",
    };
    limits.insert("full", full);
    limits
}

/// Whole seconds as an integer, as they are mostly configured.
fn seconds(age: std::time::Duration) -> Value {
    match age.subsec_nanos() {
        0 => Value::from(age.as_secs()),
        _ => Value::from(age.as_secs_f64()),
    }
}

/// The store, if it is open; `parameter` names the subscription that is asked for.
pub(super) fn store<'r>(
    realm: &'r Realm,
    args: &mut Arguments,
    parameter: &str,
) -> Result<&'r dyn EventStore, Failure> {
    match &realm.history {
        Some(history) => Ok(&**history.store()),
        None => Err(no_history(realm, args, parameter)?),
    }
}

pub(super) fn viewer(member: &Member) -> Viewer {
    Viewer::Session {
        authid: member.details.authid.clone(),
        authrole: member.details.authrole.clone(),
    }
}

pub(super) fn ask(
    realm: &Realm,
    member: &Member,
    known: &Known,
    query: Query,
    about: About,
) -> Question {
    Question {
        session: member.id(),
        outbox: std::sync::Arc::clone(&member.outbox),
        wire: member.wire,
        max_message: member.max_message,
        request: RequestId::FIRST,
        subscription: known.id,
        realm: realm.name(),
        query,
        about,
        ticket: Ticket::new(&member.outbox),
    }
}

/// Whether it is a page of a walk.
enum Walking {
    Not,
    Begins,
    GoesOn(Box<Cursor>),
}

fn walking(args: &mut Arguments, incarnation: Incarnation) -> Result<Walking, Failure> {
    let name = "_cursor";
    let text = match args.keyword(name) {
        None | Some(Value::Bool(false)) => return Ok(Walking::Not),
        Some(Value::Bool(true)) => return Ok(Walking::Begins),
        Some(Value::String(text)) => text,
        Some(other) => return Err(args.wrong(name, &other, "true or a cursor")),
    };
    let cursor = Cursor::decode(&text)
        .ok_or_else(|| args.invalid(name, "is no cursor that this router gave out"))?;
    if cursor.incarnation != incarnation {
        let text = "the cursor belongs to another life of this history: its events are not the \
                    ones that are here";
        return Err(Failure {
            uri: error_uri::NO_SUCH_CURSOR,
            args: vec![Value::from(text)],
            kwargs: Dict::from([
                (
                    "cursor_incarnation",
                    Value::from(cursor.incarnation.to_string()),
                ),
                ("incarnation", Value::from(incarnation.to_string())),
            ]),
        });
    }
    Ok(Walking::GoesOn(Box::new(cursor)))
}

/// Why there is no history to ask.
fn no_history(realm: &Realm, args: &mut Arguments, parameter: &str) -> Result<Failure, Failure> {
    let none = Failure::message(
        error_uri::HISTORY_UNAVAILABLE,
        "event history not available or enabled",
    );
    let Some(unavailable) = &realm.unavailable else {
        return Ok(none);
    };
    // Which subscription an ID is, the store alone may know.
    let known = realm.subscription(args.id(parameter)?);
    let uncovered = known.is_ok_and(|known| !unavailable.covers(&known.uri, known.match_policy));
    Ok(match uncovered {
        true => none,
        false => unavailable_now(unavailable),
    })
}

/// What is asked of a history whose store is not open.
pub(super) fn unavailable_now(unavailable: &Unavailable) -> Failure {
    Failure::new(error_uri::STORE_UNAVAILABLE, unavailable.why())
}

/// Which history that is, if there is one and the caller may see it.
pub(super) fn scope(realm: &Realm, member: &Member, known: &Known) -> Result<Scope, Failure> {
    let (uri, match_policy) = (&known.uri, known.match_policy);
    if is_restricted(uri) {
        return Err(Failure::message(
            error_uri::NOT_AUTHORIZED,
            format!("not authorized to retrieve event history for protected URI \"{uri}\""),
        ));
    }
    // It shows what the caller may receive live.
    let _permit = member
        .role
        .may_subscribe(uri, match_policy)
        .map_err(|denied| member.not_authorized(denied))?;
    let store = realm.history.as_ref().map(|history| history.store());
    let filter = store.and_then(|store| store.readable(uri, match_policy));
    let Some(filter) = filter else {
        return Err(Failure::message(
            error_uri::HISTORY_UNAVAILABLE,
            "event history for the given subscription is not available or enabled",
        ));
    };
    Ok(Scope {
        uri: uri.clone(),
        match_policy,
        filter,
    })
}
