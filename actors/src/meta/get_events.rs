//! `wamp.subscription.get_events`: what was asked for. Whose rules hold depends on how it is
//! called: purely by position it is Crossbar's (newest first, 10 unless more are asked for); with
//! any keyword besides `subscription_id` it is the spec's (oldest first, a page at most).
//! Spec: "Event History".

use bytestring::ByteString;
use rewamp_history::{Bounds, Query, Scope, Sequence, Timestamp, Viewer};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{PublicationId, RequestId};
use rewamp_wamp::uri::{MatchPolicy, UriCheck, check_uri, is_restricted};
use rewamp_wamp::value::Value;

use super::arguments::Given;
use super::subscriptions::Known;
use super::{Arguments, Failure};
use crate::history::Question;
use crate::realm::Realm;
use crate::realm::member::Member;
use crate::session::outbox::Ticket;

/// The procedure.
pub(crate) const GET_EVENTS: &str = "wamp.subscription.get_events";

/// Events of a page, at most.
const PAGE: u64 = 10_000;

/// Events that a page looks at, at most: what it costs where few of them are for the caller.
const BUDGET: u64 = 200_000;

/// Events of a page that says nothing of its length. Crossbar's.
const DEFAULT_LIMIT: u64 = 10;

/// `wamp.subscription.get_events(subscription_id|id, [limit|int], …)`: the question that the
/// history will answer.
pub(super) fn question(
    realm: &Realm,
    member: &Member,
    args: &mut Arguments,
) -> Result<Question, Failure> {
    if realm.history.is_none() {
        return Err(Failure::message(
            error_uri::HISTORY_UNAVAILABLE,
            "event history not available or enabled",
        ));
    };
    let known = realm.subscription(args.id("subscription_id")?)?;
    let scope = scope(realm, member, &known)?;
    let by_spec = args.has_keyword_besides(&["subscription_id"]);
    let limit = limit(args, by_spec)?;
    let page = limit.min(PAGE);
    let viewer = Viewer {
        authid: member.details.authid.clone(),
        authrole: member.details.authrole.clone(),
    };
    let query = Query {
        topic: topic(args)?,
        time: bounds(args, "time", time)?,
        publication: bounds(args, "publication", publication)?,
        sequence: bounds(args, "sequence", sequence)?,
        last_per_topic: last_per_topic(args)?,
        reverse: if by_spec { reverse(args)? } else { true },
        // One more than a capped page shows tells whether there would have been others.
        limit: if limit > page { page + 1 } else { limit },
        budget: BUDGET,
        ..Query::all(scope, viewer)
    };
    Ok(Question {
        session: member.id(),
        outbox: std::sync::Arc::clone(&member.outbox),
        wire: member.wire,
        max_message: member.max_message,
        request: RequestId::FIRST,
        subscription: known.id,
        realm: realm.name(),
        query,
        page,
        ticket: Ticket::new(&member.outbox),
    })
}

/// Which history that is, if there is one and the caller may see it.
fn scope(realm: &Realm, member: &Member, known: &Known) -> Result<Scope, Failure> {
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
    let filter = store.and_then(|store| store.covering(uri, match_policy));
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

/// How many events are wanted.
fn limit(args: &mut Arguments, by_spec: bool) -> Result<u64, Failure> {
    let expected = "an integer";
    match args.take("limit")? {
        Given::Absent if by_spec => Ok(u64::MAX),
        Given::Absent => Ok(DEFAULT_LIMIT),
        Given::Positional(Value::Null) => Ok(u64::MAX),
        Given::Positional(value) => match value.as_i64() {
            Some(limit) => Ok(u64::try_from(limit).unwrap_or(0)),
            None => Err(args.wrong("limit", &value, expected)),
        },
        Given::Keyword(value) => match value.as_i64() {
            Some(limit) => u64::try_from(limit)
                .ok()
                .filter(|limit| *limit > 0)
                .ok_or_else(|| args.invalid("limit", &format!("is {limit}, expected 1 or more"))),
            None => Err(args.wrong("limit", &value, "an integer from 1")),
        },
    }
}

fn last_per_topic(args: &mut Arguments) -> Result<Option<u64>, Failure> {
    let name = "last_per_topic";
    let Some(value) = args.keyword(name) else {
        return Ok(None);
    };
    match value.as_i64() {
        Some(number @ 1..) => Ok(Some(number.unsigned_abs())),
        Some(number) => Err(args.invalid(name, &format!("is {number}, expected 1 or more"))),
        None => Err(args.wrong(name, &value, "an integer from 1")),
    }
}

fn reverse(args: &mut Arguments) -> Result<bool, Failure> {
    match args.keyword("reverse") {
        None => Ok(false),
        Some(Value::Bool(reverse)) => Ok(reverse),
        Some(other) => Err(args.wrong("reverse", &other, "a bool")),
    }
}

fn topic(args: &mut Arguments) -> Result<Option<ByteString>, Failure> {
    match args.keyword("topic") {
        None => Ok(None),
        Some(Value::String(topic)) => {
            check_uri(&topic, MatchPolicy::Exact, UriCheck::Loose)
                .map_err(|error| args.invalid("topic", &format!("is no topic: {error}")))?;
            Ok(Some(topic))
        }
        Some(other) => Err(args.wrong("topic", &other, "a string")),
    }
}

fn bounds<T>(
    args: &mut Arguments,
    of: &str,
    read: fn(&Value) -> Result<T, &'static str>,
) -> Result<Bounds<T>, Failure> {
    let mut bound = |side: &str| {
        let name = format!("{side}_{of}");
        match args.keyword(&name) {
            None => Ok(None),
            Some(value) => match read(&value) {
                Ok(bound) => Ok(Some(bound)),
                Err(expected) => match value.as_str() {
                    Some(text) => {
                        let what = format!("is `{text}`, expected {expected}");
                        Err(args.invalid(&name, &what))
                    }
                    None => Err(args.wrong(&name, &value, expected)),
                },
            },
        }
    };
    Ok(Bounds {
        from: bound("from")?,
        after: bound("after")?,
        before: bound("before")?,
        until: bound("until")?,
    })
}

/// Reads a time as clients write it, or says what is expected.
pub(crate) fn time(value: &Value) -> Result<Timestamp, &'static str> {
    let parsed = value
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let time = parsed.ok_or("a time as RFC 3339 has it, such as `2026-11-24T08:00:00Z`")?;
    // Times that no event can have stand for the first or the last one that it can.
    let nanoseconds = u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX);
    Ok(Timestamp::from_nanos(nanoseconds))
}

/// Reads a publication's ID, or says what is expected.
pub(crate) fn publication(value: &Value) -> Result<PublicationId, &'static str> {
    value
        .as_u64()
        .and_then(PublicationId::new)
        .ok_or("an ID, an integer from 1 to 2^53")
}

/// Reads a sequence, or says what is expected.
pub(crate) fn sequence(value: &Value) -> Result<Sequence, &'static str> {
    value
        .as_u64()
        .map(Sequence::new)
        .ok_or("a sequence, an integer from 0")
}
