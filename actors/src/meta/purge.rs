//! `rewamp.history.purge`: which events are to go, of which history.

use rewamp_history::{Purge, Query};
use rewamp_wamp::error_uri;
use rewamp_wamp::uri::{MatchPolicy, UriCheck, check_uri};
use rewamp_wamp::value::Value;

use super::get_events::{ask, scope, store, viewer};
use super::keywords::{publication, time};
use super::{Arguments, Failure};
use crate::history::{About, Question};
use crate::realm::Realm;
use crate::realm::member::Member;

/// The keywords, of which there has to be one.
const KEYWORDS: [&str; 5] = [
    "before_time",
    "until_publication",
    "topic",
    "publication",
    "all",
];

/// `rewamp.history.purge(subscription|id, …)`, with exactly one keyword, or a map that holds it as
/// the second argument → `{events}`. Whoever may call it and subscribe there may purge.
pub(super) fn question(
    realm: &Realm,
    member: &Member,
    args: &mut Arguments,
) -> Result<Question, Failure> {
    let opened = store(realm, args, "subscription")?.opened();
    let known = realm.subscription(args.id("subscription")?)?;
    let scope = scope(realm, member, &known)?;
    args.spread("options")?;
    let what = what(args)?;
    if opened.readonly {
        let text = "the event store is only read: nothing is purged";
        return Err(Failure::new(error_uri::STORE_READONLY, text));
    }
    let query = Query::all(scope, viewer(member));
    Ok(ask(realm, member, &known, query, About::Purge(what)))
}

fn what(args: &mut Arguments) -> Result<Purge, Failure> {
    let given = KEYWORDS.map(|name| args.keyword(name).map(|value| (name, value)));
    let mut given = given.into_iter().flatten();
    let (Some((name, value)), None) = (given.next(), given.next()) else {
        let text = format!(
            "exactly one of the keywords {} is needed",
            KEYWORDS.join(", ")
        );
        return Err(args.refused(&text));
    };
    let expected = match (name, &value) {
        ("all", Value::Bool(true)) => return Ok(Purge::All),
        ("all", _) => "true",
        ("topic", Value::String(topic)) => {
            check_uri(topic, MatchPolicy::Exact, UriCheck::Loose)
                .map_err(|error| args.invalid(name, &format!("is no topic: {error}")))?;
            return Ok(Purge::Topic(topic.clone()));
        }
        ("topic", _) => "a string",
        ("before_time", value) => match time(value) {
            Ok(time) => return Ok(Purge::BeforeTime(time)),
            Err(expected) => expected,
        },
        (name, value) => match publication(value) {
            Ok(id) if name == "publication" => return Ok(Purge::Publication(id)),
            Ok(id) => return Ok(Purge::UntilPublication(id)),
            Err(expected) => expected,
        },
    };
    Err(args.wrong(name, &value, expected))
}
