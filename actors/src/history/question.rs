//! A question: what one `get_events` or `history_info` asked for, with all that its answer needs
//! to find its way.

use std::sync::Arc;

use actix::prelude::*;
use rewamp_history::{Purge, Query};
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{RequestId, SessionId, SubscriptionId};
use rewamp_wamp::value::Dict;

use super::Walk;
use crate::session::outbox::{Outbox, Ticket};

/// See the head of this file. A message to the History actor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Question {
    /// Who asks.
    pub session: SessionId,
    /// Where the answer goes.
    pub outbox: Arc<Outbox>,
    /// How it is written.
    pub wire: Wire,
    /// Bytes that the answer may have.
    pub max_message: usize,
    /// The CALL.
    pub request: RequestId,
    /// The subscription asked for: every event of the answer names it.
    pub subscription: SubscriptionId,
    /// The realm: every event of the answer names it.
    pub realm: Arc<str>,
    /// Which events.
    pub query: Query,
    /// What of it is wanted.
    pub about: About,
    /// While the question waits, one batch less of its session is read.
    pub ticket: Ticket,
}

/// What a question is about.
#[derive(Debug)]
pub enum About {
    /// The events themselves.
    Events(Paging),
    /// They are to go.
    Purge(Purge),
    /// What there is; the bounds in force, by the names of their configuration keys.
    Info(Dict),
}

/// How much of a history is shown at once.
#[derive(Debug)]
pub struct Paging {
    /// Events that the answer may have; [`Query::limit`] is at most one more, which tells
    /// whether there would have been others.
    pub page: u64,
    /// Whether that is less than was asked for.
    pub capped: bool,
    /// For the cursor with which the answer ends, where one is wanted.
    pub walk: Option<Box<Walk>>,
}
