//! What sessions, the history and the node tell a realm. Each is a message of the actor.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use rewamp_wamp::codec::Plain;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::message::{Message as WampMessage, MessageType};

use crate::session::SessionDetails;
use crate::session::outbox::{Outbox, Ticket};

/// A session has been authenticated: it gets WELCOME, or ABORT if the realm has no such role.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Join {
    /// Who joins.
    pub details: Arc<SessionDetails>,
    /// Where its messages go.
    pub outbox: Arc<Outbox>,
    /// How they are written.
    pub wire: Wire,
    /// Bytes that one message to it may have.
    pub max_message: usize,
}

/// What one read of a session's connection held.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Batch {
    /// Whose.
    pub session: SessionId,
    /// What it was read into.
    pub block: Bytes,
    /// In the order they came.
    pub messages: Vec<Sent>,
    /// Lets the session's transport read on once the batch is done.
    pub ticket: Ticket,
}

/// A message that a session sent.
#[derive(Debug)]
pub enum Sent {
    /// Most: where it stands in the batch's block.
    Plain(Plain),
    /// All others.
    Message(Box<WampMessage>),
}

impl Sent {
    /// Its type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Plain(plain) => plain.message_type(),
            Self::Message(message) => message.message_type(),
        }
    }
}

/// A session's connection is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Which.
    pub session: SessionId,
}

/// The history has room again for publications that were held back.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Room;
