//! Where a replay begins: what a client asked for, and what that is in the history as it stands.
//! Spec: none; options of our own, see the README's chapter on history.

use std::ops::ControlFlow;
use std::sync::Arc;

use actix::prelude::*;
use rewamp_history::{
    Bounds, Event, EventStore, PageEnd, Query, QueryError, Scope, Sequence, Timestamp, Viewer,
};
use rewamp_wamp::id::{PublicationId, RequestId, SessionId};
use rewamp_wamp::message::Subscribe;
use rewamp_wamp::value::Value;

use super::super::turn::Pending;
use crate::meta::keywords as bound;
use crate::session::outbox::Ticket;

/// Events that are looked at for the start of a replay before others get their turn.
const BUDGET: u64 = 200_000;

/// What `_replay` asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    start: Start,
    /// The newest of every topic only, of what comes after the start.
    last_per_topic: Option<u64>,
    /// Where the start is gone, from the oldest event.
    oldest: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Start {
    /// Everything.
    Everything,
    /// What is at or after a publication, a sequence or a time.
    At(Box<At>),
    /// That many of the newest events.
    Last(u64),
}

/// One of these is set, on one side.
#[derive(Debug, Clone, Default, PartialEq)]
struct At {
    time: Bounds<Timestamp>,
    publication: Bounds<PublicationId>,
    sequence: Bounds<Sequence>,
}

/// The keys that say where to start.
const STARTS: [&str; 7] = [
    "after_publication",
    "from_publication",
    "after_sequence",
    "from_sequence",
    "after_time",
    "from_time",
    "last",
];

impl Replay {
    /// Reads the value of `_replay`. Null counts as absent.
    ///
    /// # Errors
    /// What is wrong, naming the key.
    pub fn read(value: &Value) -> Result<Self, String> {
        let Value::Map(options) = value else {
            return Err(format!(
                "option `_replay` is {}, expected a dict",
                value.kind()
            ));
        };
        let mut given = options.iter().filter(|(_, value)| **value != Value::Null);
        let mut replay = Self {
            start: Start::Everything,
            last_per_topic: None,
            oldest: false,
        };
        let mut start: Option<&str> = None;
        given.try_for_each(|(key, value)| {
            match &**key {
                "oldest" => replay.oldest = boolean(key, value)?,
                "last_per_topic" => {
                    let number = value.as_u64().filter(|number| *number > 0);
                    let wrong = || wrong(key, value, "an integer from 1");
                    replay.last_per_topic = Some(number.ok_or_else(wrong)?);
                }
                key if STARTS.contains(&key) => {
                    if let Some(first) = start.replace(key) {
                        return Err(format!(
                            "option `_replay` has `{first}` and `{key}`: one start is allowed"
                        ));
                    }
                    replay.start = Start::read(key, value)?;
                }
                key => {
                    return Err(format!(
                        "option `_replay` has the unknown key `{key}`: allowed are {}, \
                         last_per_topic, oldest",
                        STARTS.join(", ")
                    ));
                }
            }
            Ok(())
        })?;
        if start.is_none() && replay.last_per_topic.is_none() {
            return Err(format!(
                "option `_replay` has no start: one of {}, last_per_topic is needed",
                STARTS.join(", ")
            ));
        }
        Ok(replay)
    }
}

impl Start {
    fn read(key: &str, value: &Value) -> Result<Self, String> {
        if key == "last" {
            let number = value.as_u64();
            return number
                .map(Self::Last)
                .ok_or_else(|| wrong(key, value, "an integer from 0"));
        }
        let said = |expected: &'static str| wrong(key, value, expected);
        let mut at = At::default();
        match key {
            "after_publication" => {
                at.publication.after = Some(bound::publication(value).map_err(said)?);
            }
            "from_publication" => {
                at.publication.from = Some(bound::publication(value).map_err(said)?);
            }
            "after_sequence" => at.sequence.after = Some(bound::sequence(value).map_err(said)?),
            "from_sequence" => at.sequence.from = Some(bound::sequence(value).map_err(said)?),
            "after_time" => at.time.after = Some(bound::time(value).map_err(said)?),
            _ => at.time.from = Some(bound::time(value).map_err(said)?),
        }
        Ok(Self::At(Box::new(at)))
    }
}

fn boolean(key: &str, value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        other => Err(wrong(key, other, "a bool")),
    }
}

fn wrong(key: &str, value: &Value, expected: &str) -> String {
    match value.as_str() {
        Some(text) => format!("option `_replay.{key}` is `{text}`, expected {expected}"),
        None => format!(
            "option `_replay.{key}` is {}, expected {expected}",
            value.kind()
        ),
    }
}

/// A SUBSCRIBE that waits until it is known where its replay begins. A message to the History
/// actor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Resolve {
    /// Whose.
    pub(crate) session: SessionId,
    /// What the session sees.
    pub(crate) viewer: Viewer,
    /// The history.
    pub(crate) scope: Scope,
    /// What of it.
    pub(crate) replay: Replay,
    /// The SUBSCRIBE itself.
    pub(crate) subscribe: Box<Subscribe>,
    /// Whether its EVENTs name their place.
    pub(crate) sequenced: bool,
    /// While it waits, one batch less of its session is read.
    #[expect(dead_code, reason = "its drop lets the session's transport read on")]
    pub(crate) ticket: Ticket,
}

/// Where a replay begins. A message to the realm.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Resolved {
    /// The same.
    pub(crate) asked: Resolve,
    /// Where, or why not.
    pub(crate) begin: Result<Begin, QueryError>,
}

/// Where a track begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Begin {
    /// Behind this event.
    pub(crate) after: Sequence,
    /// Before that, the newest events of each topic.
    pub(crate) newest_per_topic: Option<Box<Query>>,
}

impl Resolve {
    /// The SUBSCRIBE's request.
    pub(crate) fn request(&self) -> RequestId {
        self.subscribe.request
    }

    /// Finds out where it begins. `newest` is the newest event accepted.
    pub(super) fn begin(
        &self,
        store: &dyn EventStore,
        pending: &Pending,
        newest: Sequence,
    ) -> Result<Begin, QueryError> {
        let history = History {
            store,
            pending: [&pending[0], &pending[1]],
            asked: self,
            newest,
        };
        let after = match history.after() {
            Err(QueryError::NoSuchPublication { oldest, .. }) if self.replay.oldest => {
                oldest.map_or(newest, |oldest| oldest.sequence.previous())
            }
            other => other?,
        };
        let Some(number) = self.replay.last_per_topic else {
            return Ok(Begin {
                after,
                newest_per_topic: None,
            });
        };
        let from = (self.replay.start != Start::Everything).then(|| after.next());
        let query = Query {
            sequence: Bounds {
                from,
                until: Some(newest),
                ..Bounds::default()
            },
            last_per_topic: Some(number),
            ..history.everything()
        };
        Ok(Begin {
            after: newest,
            newest_per_topic: (after < newest).then(|| Box::new(query)),
        })
    }
}

/// The history in which a start is looked for.
struct History<'a> {
    store: &'a dyn EventStore,
    pending: [&'a [Arc<Event>]; 2],
    asked: &'a Resolve,
    newest: Sequence,
}

impl History<'_> {
    fn everything(&self) -> Query {
        Query {
            budget: BUDGET,
            ..Query::all(self.asked.scope.clone(), self.asked.viewer.clone())
        }
    }

    /// The event behind which the replay begins.
    fn after(&self) -> Result<Sequence, QueryError> {
        match &self.asked.replay.start {
            Start::Everything => Ok(Sequence::ZERO),
            Start::Last(0) => Ok(self.newest),
            Start::Last(number) => self.before_last(*number),
            Start::At(start) => {
                let query = Query {
                    time: start.time,
                    publication: start.publication,
                    sequence: start.sequence,
                    ..self.everything()
                };
                let mut first = None;
                let page = self.store.read(&query, &self.pending, &mut |event| {
                    first = Some(event.sequence);
                    ControlFlow::Break(())
                })?;
                Ok(match first.or(page.next) {
                    Some(first) => first.previous(),
                    None => self.newest,
                })
            }
        }
    }

    /// The event before the newest `number`.
    fn before_last(&self, number: u64) -> Result<Sequence, QueryError> {
        let mut left = number;
        let mut first = None;
        let mut until = self.newest;
        loop {
            let query = Query {
                sequence: Bounds {
                    until: Some(until),
                    ..Bounds::default()
                },
                reverse: true,
                ..self.everything()
            };
            let PageEnd { next, .. } = self.store.read(&query, &self.pending, &mut |event| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                let is_own = event.exclude_me && event.publisher == self.asked.session;
                if !is_own {
                    first = Some(event.sequence);
                    left -= 1;
                }
                ControlFlow::Continue(())
            })?;
            match next {
                Some(next) if left > 0 => until = next,
                _ => return Ok(first.map_or(self.newest, Sequence::previous)),
            }
        }
    }
}
