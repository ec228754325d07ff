//! The meta API: procedures of the router itself, in one table. Called by the realm for every CALL
//! whose procedure begins with `wamp.` or `rewamp.`, after the caller's role allowed it.
//! Spec: "Session Meta API", "Subscription Meta API", "Event History".

pub mod events; // what the router publishes of itself
mod arguments; // what a call came with
mod lookup; // which subscription it is about, where only the disk knows
mod sessions; // who is here
mod subscriptions; // who listens to what
mod replay; // who wants to hear the past
mod purge; // what has to go
mod recorded; // what was published at another router
pub(crate) mod get_events; // what was published
pub(crate) mod keywords; // with which keywords

use std::rc::Rc;

use bytestring::ByteString;
use rewamp_wamp::error_uri;
use rewamp_wamp::id::RequestId;
use rewamp_wamp::message::{
    Call, CallResult, Error, Message as WampMessage, MessageType, ResultDetails,
};
use rewamp_wamp::value::{Dict, Value};

use crate::dealer::Refusal;
use crate::history::Question;
use crate::realm::Realm;
use crate::realm::member::Member;
use crate::session::encoding;
use arguments::Arguments;

pub(crate) use lookup::Found;
pub(crate) use recorded::is_recorded;
pub use recorded::{Asked, Asking, Named, RECORDED, Recorded, Refused};

/// A procedure of the router.
pub struct Procedure {
    /// Its URI.
    pub uri: &'static str,
    /// Names of its arguments, which may come by position or by keyword. The last one may be
    /// followed by keywords of its own for `get_events`.
    pub parameters: &'static [&'static str],
    call: Answered,
}

/// How a procedure is answered.
#[derive(Clone, Copy)]
enum Answered {
    /// At once.
    Now(fn(&Realm, &Member, &mut Arguments) -> Result<Value, Failure>),
    /// By the history, on a thread of its own.
    ByHistory(fn(&Realm, &Member, &mut Arguments) -> Result<Question, Failure>),
}

const fn now(
    uri: &'static str,
    parameters: &'static [&'static str],
    call: fn(&Realm, &Member, &mut Arguments) -> Result<Value, Failure>,
) -> Procedure {
    Procedure {
        uri,
        parameters,
        call: Answered::Now(call),
    }
}

/// Every procedure of the router.
pub const PROCEDURES: &[Procedure] = &[
    now("wamp.session.count", &["filter_authroles"], sessions::count),
    now("wamp.session.list", &["filter_authroles"], sessions::list),
    now("wamp.session.get", &["session_id"], sessions::get),
    now(
        "wamp.subscription.list",
        &["session_id"],
        subscriptions::list,
    ),
    now(
        "wamp.subscription.get",
        &["subscription_id"],
        subscriptions::get,
    ),
    now(
        "wamp.subscription.lookup",
        &["topic", "options"],
        subscriptions::lookup,
    ),
    now(
        "wamp.subscription.match",
        &["topic"],
        subscriptions::match_topic,
    ),
    now(
        "wamp.subscription.list_subscribers",
        &["subscription_id"],
        subscriptions::subscribers,
    ),
    now(
        "wamp.subscription.count_subscribers",
        &["subscription_id"],
        subscriptions::count,
    ),
    now(
        "rewamp.subscription.prepare_replay",
        &["topic", "options"],
        replay::prepare,
    ),
    Procedure {
        uri: "wamp.subscription.get_events",
        parameters: &["subscription_id", "limit"],
        call: Answered::ByHistory(get_events::question),
    },
    Procedure {
        uri: "rewamp.history.purge",
        parameters: &["subscription", "options"],
        call: Answered::ByHistory(purge::question),
    },
    Procedure {
        uri: "rewamp.subscription.history_info",
        parameters: &["subscription"],
        call: Answered::ByHistory(get_events::info),
    },
];

/// Bytes of the arguments of a meta procedure, at most: they are read into a tree on the realm's
/// own thread, and none has use for more.
const ARGUMENT_BYTES: usize = 64 * 1024;

/// Why a meta procedure has no result.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The error URI.
    pub uri: &'static str,
    /// `ERROR.Arguments`.
    pub args: Vec<Value>,
    /// `ERROR.ArgumentsKw`.
    pub kwargs: Dict,
}

impl Failure {
    fn new(uri: &'static str, text: impl Into<String>) -> Self {
        Self {
            uri,
            args: vec![Value::from(text.into())],
            kwargs: Dict::new(),
        }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self::new(error_uri::INVALID_ARGUMENT, text)
    }

    /// In Crossbar's form for what concerns the history: a `message` by keyword.
    fn message(uri: &'static str, text: impl Into<String>) -> Self {
        Self {
            uri,
            args: Vec::new(),
            kwargs: Dict::from([("message", Value::from(text.into()))]),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.uri, refusal.text)
    }
}

impl Realm {
    /// Answers a call of one of the router's procedures, now or later.
    pub(crate) fn call_meta(&mut self, member: &Rc<Member>, call: &Call) {
        let Some(procedure) = PROCEDURES.iter().find(|row| call.procedure == row.uri) else {
            let text = format!("no callee registered for procedure <{}>", call.procedure);
            let failure = Failure::new(error_uri::NO_SUCH_PROCEDURE, text);
            return self.fail_meta(member, call.request, failure);
        };
        if self.looks_up(member, call, procedure) {
            return;
        }
        match self.call_procedure(member, call, procedure) {
            Ok(Some(value)) => {
                let message = WampMessage::Result(CallResult {
                    request: call.request,
                    details: ResultDetails::default(),
                    payload: encoding::arguments(member.wire.serializer, &[value], None),
                });
                self.answer(member, &message);
            }
            Ok(None) => {}
            Err(failure) => self.fail_meta(member, call.request, failure),
        }
    }

    fn call_procedure(
        &mut self,
        member: &Rc<Member>,
        call: &Call,
        procedure: &Procedure,
    ) -> Result<Option<Value>, Failure> {
        let mut arguments = Arguments::read(procedure, &call.payload)?;
        match procedure.call {
            Answered::Now(answer) => {
                let value = answer(self, member, &mut arguments)?;
                arguments.done()?;
                Ok(Some(value))
            }
            Answered::ByHistory(question) => {
                let mut question = question(self, member, &mut arguments)?;
                arguments.done()?;
                question.request = call.request;
                if let Some(history) = &mut self.history {
                    history.ask(question);
                }
                Ok(None)
            }
        }
    }

    fn fail_meta(&mut self, member: &Member, request: RequestId, failure: Failure) {
        let kwargs = (!failure.kwargs.is_empty()).then_some(&failure.kwargs);
        let message = WampMessage::Error(Error {
            request_type: MessageType::Call,
            request,
            details: Dict::new(),
            error: ByteString::from_static(failure.uri),
            payload: encoding::arguments(member.wire.serializer, &failure.args, kwargs),
        });
        self.answer(member, &message);
    }
}
