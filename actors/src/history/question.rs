//! A question: what one `get_events` asked for, with all that its answer needs to find its way.

use std::sync::Arc;

use actix::prelude::*;
use rewamp_history::Query;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::{RequestId, SessionId, SubscriptionId};

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
    /// Events that the answer may have; [`Query::limit`] is at most one more, which tells
    /// whether there would have been others.
    pub page: u64,
    /// While the question waits, one batch less of its session is read.
    pub ticket: Ticket,
}
