//! A history that is asked without a realm of ours: `rewamp record` keeps it for another router, and
//! answers the calls that this one hands on. The keywords, pages and errors are those of a node.
//! Who may ask is that router's matter.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use rewamp_history::{EventStore, Query, Scope, Timestamp, Viewer};
use rewamp_wamp::codec;
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::{Framing, Wire};
use rewamp_wamp::id::{RequestId, SessionId, SubscriptionId};
use rewamp_wamp::message::Message;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::Value;

use super::arguments::Given;
use super::get_events::{Reading, limits};
use super::{Answered, Arguments, Failure, PROCEDURES, Procedure};
use crate::history::{About, Question, answer};
use crate::session::encoding;
use crate::session::outbox::{Outbox, OutboxLimits, Ticket};

/// Bytes that an answer may have: as much as fits a message of any router of ours, with what stands
/// around it.
const MAX_ANSWER: usize = (16 << 20) - 1024;

/// Bytes before a message in the framing that answers are made in.
const HEADER: usize = 4;

/// The procedures that a recorder registers at the router, and what they answer. The only ones
/// below `rewamp.` that a client may register.
pub const RECORDED: [(&str, Asked); 2] = [
    ("rewamp.history.get_events", Asked::Events),
    ("rewamp.history.history_info", Asked::Info),
];

/// Whether a procedure is a recorder's.
pub(crate) fn is_recorded(procedure: &str) -> bool {
    RECORDED.iter().any(|(uri, _)| *uri == procedure)
}

/// A keyword of the recorder's own: how a URI in place of a subscription is compared.
const MATCH: &str = "match";

/// See the head of this file.
#[derive(Debug)]
pub struct Recorded {
    store: Arc<dyn EventStore>,
    realm: Arc<str>,
    maxsize: u64,
    /// A question belongs to a session's outbox; no answer goes through this one.
    outbox: Arc<Outbox>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// As `wamp.subscription.get_events`.
    Events,
    /// As `rewamp.subscription.history_info`.
    Info,
}

/// Of which subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// The router's ID of it, or ours.
    Id(u64),
    /// Its topic or pattern.
    Uri(ByteString, MatchPolicy),
    /// Not named at all.
    Nothing,
}

/// A call that has been looked at.
pub struct Asking {
    asked: Asked,
    parameter: &'static str,
    args: Arguments,
    /// The subscription it is about.
    pub named: Named,
}

/// The error for a call, by its URI, and its arguments.
pub type Refused = (ByteString, Payload);

impl Asked {
    fn procedure(self) -> Option<&'static Procedure> {
        let uri = match self {
            Self::Events => super::get_events::GET_EVENTS,
            Self::Info => "rewamp.subscription.history_info",
        };
        PROCEDURES.iter().find(|row| row.uri == uri)
    }
}

impl Recorded {
    /// The history that `store` keeps of a realm, in at most `maxsize` bytes.
    pub fn new(store: Arc<dyn EventStore>, realm: &str, maxsize: u64) -> Self {
        Self {
            store,
            realm: realm.into(),
            maxsize,
            outbox: Arc::new(Outbox::new(OutboxLimits::default())),
        }
    }

    /// Reads which subscription a call is about.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn read(&self, asked: Asked, payload: &Payload) -> Result<Asking, Refused> {
        self.named(asked, payload)
            .map_err(|failure| refused(payload.serializer(), &failure))
    }

    fn named(&self, asked: Asked, payload: &Payload) -> Result<Asking, Failure> {
        let procedure = asked.procedure();
        let procedure = procedure.filter(|row| matches!(row.call, Answered::ByHistory(_)));
        let (Some(procedure), Some(parameter)) = (
            procedure,
            procedure.and_then(|row| row.parameters.first().copied()),
        ) else {
            let text = "there is no such question";
            return Err(Failure::new(error_uri::NO_SUCH_PROCEDURE, text));
        };
        let mut args = Arguments::read(procedure, payload)?;
        let policy = match args.keyword(MATCH) {
            None => None,
            Some(value) => {
                let policy = value.as_str().and_then(MatchPolicy::from_name);
                let expected = "`exact`, `prefix` or `wildcard`";
                Some(policy.ok_or_else(|| args.wrong(MATCH, &value, expected))?)
            }
        };
        let named = match args.take(parameter)? {
            Given::Absent | Given::Positional(Value::Null) => Named::Nothing,
            Given::Positional(value) | Given::Keyword(value) => match value {
                Value::String(uri) => Named::Uri(uri, policy.unwrap_or_default()),
                value => match value.as_u64() {
                    Some(id) => Named::Id(id),
                    None => return Err(args.wrong(parameter, &value, "a subscription or a URI")),
                },
            },
        };
        if policy.is_some() && !matches!(named, Named::Uri(..)) {
            return Err(args.invalid(MATCH, "is for a URI, and there is none"));
        }
        Ok(Asking {
            asked,
            parameter,
            args,
            named,
        })
    }

    /// Answers it for the subscription `(uri, match_policy)`, which is called `id`.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn answer(
        &self,
        asking: Asking,
        (id, uri, match_policy): (SubscriptionId, ByteString, MatchPolicy),
        serializer: Serializer,
        now: Timestamp,
    ) -> Result<Payload, Refused> {
        let question = self
            .question(asking, (id, uri, match_policy), serializer)
            .map_err(|failure| refused(serializer, &failure))?;
        self.store.at(now);
        let mut size = 0;
        let pending: [Arc<[_]>; 2] = [Arc::from([]), Arc::from([])];
        let frame = answer(&*self.store, &pending, &question, &mut size);
        taken_out(serializer, &frame)
    }

    /// The error for a subscription that nothing is known of.
    pub fn unknown(&self, asking: &Asking, serializer: Serializer) -> Refused {
        let failure = match &asking.named {
            Named::Nothing => asking.args.invalid(asking.parameter, "is missing"),
            Named::Id(id) => Failure::new(
                error_uri::NO_SUCH_SUBSCRIPTION,
                format!("no subscription with ID {id} is known here"),
            ),
            Named::Uri(uri, _) => unavailable(uri),
        };
        refused(serializer, &failure)
    }

    fn question(
        &self,
        asking: Asking,
        (id, uri, match_policy): (SubscriptionId, ByteString, MatchPolicy),
        serializer: Serializer,
    ) -> Result<Question, Failure> {
        let Asking {
            asked, mut args, ..
        } = asking;
        let store = &*self.store;
        let reading = match asked {
            Asked::Events => Some(Reading::begin(&mut args, store.opened().incarnation)?),
            Asked::Info => None,
        };
        let filter = store
            .readable(&uri, match_policy)
            .ok_or_else(|| unavailable(&uri))?;
        let scope = Scope {
            uri,
            match_policy,
            filter,
        };
        // All that is here was shown to a session at that router, without lists of receivers.
        let viewer = Viewer::Operator;
        let (query, about) = match reading {
            Some(reading) => {
                let (query, paging) = reading.query(&mut args, id, scope, viewer)?;
                (query, About::Events(paging))
            }
            None => {
                let limits = limits(store, &scope, Some(self.maxsize));
                (Query::all(scope, viewer), About::Info(limits))
            }
        };
        args.done()?;
        Ok(Question {
            session: SessionId::FIRST,
            outbox: Arc::clone(&self.outbox),
            wire: Wire {
                serializer,
                framing: Framing::RawSocket,
            },
            max_message: MAX_ANSWER,
            request: RequestId::FIRST,
            subscription: id,
            realm: Arc::clone(&self.realm),
            query,
            about,
            ticket: Ticket::new(&self.outbox),
        })
    }
}

fn unavailable(uri: &str) -> Failure {
    Failure::message(
        error_uri::HISTORY_UNAVAILABLE,
        format!("nothing is recorded of \"{uri}\""),
    )
}

fn refused(serializer: Serializer, failure: &Failure) -> Refused {
    let kwargs = (!failure.kwargs.is_empty()).then_some(&failure.kwargs);
    let payload = encoding::arguments(serializer, &failure.args, kwargs);
    (ByteString::from_static(failure.uri), payload)
}

/// What the RESULT or ERROR in a frame carries.
fn taken_out(serializer: Serializer, frame: &Bytes) -> Result<Payload, Refused> {
    let broken = |text: String| {
        let failure = Failure::new(error_uri::STORE_UNAVAILABLE, text);
        refused(serializer, &failure)
    };
    if frame.len() < HEADER {
        return Err(broken("the answer could not be written".to_owned()));
    }
    let limits = Limits::default().with_values(usize::MAX);
    match codec::decode(serializer, &frame.slice(HEADER..), &limits) {
        Ok(Message::Result(result)) => Ok(result.payload),
        Ok(Message::Error(error)) => Err((error.error, error.payload)),
        Ok(_) => Err(broken("the answer is none".to_owned())),
        Err(error) => Err(broken(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
