//! The keywords of `get_events`, checked: what they are, and whether those of a later page are
//! those that its cursor carries.

use bytestring::ByteString;
use rewamp_history::{Bounds, Sequence, Timestamp};
use rewamp_wamp::id::{PublicationId, SubscriptionId};
use rewamp_wamp::uri::{MatchPolicy, UriCheck, check_uri};
use rewamp_wamp::value::Value;

use super::arguments::Given;
use super::{Arguments, Failure};
use crate::history::Walk;

/// Events of a page that says nothing of its length. Crossbar's.
const DEFAULT_LIMIT: u64 = 10;

/// What came with a call besides its subscription.
pub(super) struct Keywords {
    topic: Option<ByteString>,
    time: Bounds<Timestamp>,
    publication: Bounds<PublicationId>,
    sequence: Bounds<Sequence>,
    last_per_topic: Option<u64>,
    reverse: Option<bool>,
    limit: Limit,
}

/// How many events are wanted.
enum Limit {
    Absent,
    /// `None`: as many as a page holds.
    Positional(Option<u64>),
    Keyword(u64),
}

impl Keywords {
    /// Takes them from the arguments of a call.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` for what is of a wrong type or out of range.
    pub(super) fn read(args: &mut Arguments) -> Result<Self, Failure> {
        Ok(Self {
            limit: limit(args)?,
            topic: topic(args)?,
            time: bounds(args, "time", time)?,
            publication: bounds(args, "publication", publication)?,
            sequence: bounds(args, "sequence", sequence)?,
            last_per_topic: last_per_topic(args)?,
            reverse: reverse(args)?,
        })
    }

    /// What they ask, by the spec's rules or by Crossbar's.
    pub(super) fn walk(self, subscription: SubscriptionId, by_spec: bool) -> Walk {
        Walk {
            subscription,
            topic: self.topic,
            time: self.time,
            publication: self.publication,
            sequence: self.sequence,
            last_per_topic: self.last_per_topic,
            reverse: self.reverse.unwrap_or(!by_spec),
            limit: match self.limit {
                Limit::Absent => (!by_spec).then_some(DEFAULT_LIMIT),
                Limit::Positional(limit) => limit,
                Limit::Keyword(limit) => Some(limit),
            },
        }
    }

    /// How many events a later page of a walk is to have: as the first, unless another number
    /// comes by position.
    ///
    /// # Errors
    /// `wamp.error.invalid_argument` for a keyword that is not what the walk began with.
    pub(super) fn go_on(
        self,
        args: &Arguments,
        subscription: SubscriptionId,
        walk: &Walk,
    ) -> Result<Option<u64>, Failure> {
        let differs =
            |name: &str| args.invalid(name, "is not what the walk of `_cursor` began with");
        if subscription != walk.subscription {
            return Err(differs("subscription_id"));
        }
        if self.topic.is_some() && self.topic != walk.topic {
            return Err(differs("topic"));
        }
        agree(&self.time, &walk.time).map_err(|side| differs(&format!("{side}_time")))?;
        agree(&self.publication, &walk.publication)
            .map_err(|side| differs(&format!("{side}_publication")))?;
        agree(&self.sequence, &walk.sequence)
            .map_err(|side| differs(&format!("{side}_sequence")))?;
        if self.last_per_topic.is_some() && self.last_per_topic != walk.last_per_topic {
            return Err(differs("last_per_topic"));
        }
        if self.reverse.is_some_and(|reverse| reverse != walk.reverse) {
            return Err(differs("reverse"));
        }
        match self.limit {
            Limit::Absent | Limit::Positional(None) => Ok(walk.limit),
            Limit::Positional(limit) => Ok(limit),
            Limit::Keyword(limit) if walk.limit != Some(limit) => Err(differs("limit")),
            Limit::Keyword(limit) => Ok(Some(limit)),
        }
    }
}

/// Whether every bound that is given is that of the walk; else which is not.
fn agree<T: PartialEq>(given: &Bounds<T>, walk: &Bounds<T>) -> Result<(), &'static str> {
    for (side, given, walk) in [
        ("from", &given.from, &walk.from),
        ("after", &given.after, &walk.after),
        ("before", &given.before, &walk.before),
        ("until", &given.until, &walk.until),
    ] {
        if given.is_some() && given != walk {
            return Err(side);
        }
    }
    Ok(())
}

fn limit(args: &mut Arguments) -> Result<Limit, Failure> {
    match args.take("limit")? {
        Given::Absent => Ok(Limit::Absent),
        Given::Positional(Value::Null) => Ok(Limit::Positional(None)),
        Given::Positional(value) => match value.as_i64() {
            Some(limit) => Ok(Limit::Positional(Some(u64::try_from(limit).unwrap_or(0)))),
            None => Err(args.wrong("limit", &value, "an integer")),
        },
        Given::Keyword(value) => match value.as_i64() {
            Some(limit @ 1..) => Ok(Limit::Keyword(limit.unsigned_abs())),
            Some(limit) => Err(args.invalid("limit", &format!("is {limit}, expected 1 or more"))),
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

fn reverse(args: &mut Arguments) -> Result<Option<bool>, Failure> {
    match args.keyword("reverse") {
        None => Ok(None),
        Some(Value::Bool(reverse)) => Ok(Some(reverse)),
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
