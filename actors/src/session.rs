//! A Session: one connection of one client, from HELLO to GOODBYE. Started by a transport with a
//! stream of whole messages; decodes them and hands each read to the realm as one batch.
//! Knows no socket, and nothing of topics or procedures.

pub mod outbox; // what waits for the client
mod frames; // what the client sent
mod details; // who it is
mod handshake; // from HELLO to a realm
pub(crate) mod encoding; // messages of the router's own
mod decoding; // what becomes of a message that cannot be read

pub use details::{Peer, SessionDetails};
pub use frames::Frames;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use log::{debug, info};
use rewamp_wamp::codec::{self, DecodeError, Plain};
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::SessionId;
use rewamp_wamp::message::{Abort, Message as WampMessage};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::value::Dict;

use crate::auth::Authenticators;
use crate::clock::Clock;
use crate::metrics::Id;
use crate::realm::messages::{Batch, Leave, Sent};
use crate::router::{RealmHandle, Router};
use handshake::Challenged;
use outbox::{Outbox, Ticket};

/// How long a connection may take until it has joined a realm. A client sends HELLO at once and
/// answers a challenge within a round trip; what takes longer only holds a descriptor.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that go to the realm together, at most. 128: enough that what is done once a batch costs
/// nothing, and few enough that they are still in the processor's cache when the realm gets them.
const BATCH: usize = 128;

/// What a transport hands over once its own handshake is done.
pub struct Connection {
    /// Serializer and framing: what the bytes in the outbox look like.
    pub wire: Wire,
    /// Drained by the transport's writer, asked by its reader.
    pub outbox: Arc<Outbox>,
    /// The other end.
    pub peer: Peer,
    /// Bytes that one message to this client may have, without the transport's header.
    pub max_message: usize,
    /// How clients of this transport show who they are.
    pub auth: Arc<Authenticators>,
    /// The realms of this node.
    pub router: Router,
    /// The time.
    pub clock: Clock,
}

/// What a transport reads.
#[derive(Debug)]
pub enum Inbound {
    /// The whole messages of one read, in order; mostly of one block.
    Frames(Vec<Frames>),
    /// The client broke the transport's protocol; the stream ends after this.
    Fault(String),
}

/// Starts the session's actor on the current arbiter. It ends with `inbound`.
pub fn start(connection: Connection, inbound: impl Stream<Item = Inbound> + 'static) {
    Session::create(|ctx| {
        ctx.add_stream(inbound);
        Session {
            connection,
            state: State::Opening,
            timeout: None,
        }
    });
}

/// See the head of this file.
struct Session {
    connection: Connection,
    state: State,
    /// Runs while no realm is joined.
    timeout: Option<SpawnHandle>,
}

/// How far a session is, and what is known in it.
enum State {
    /// Nobody yet: HELLO is awaited.
    Opening,
    /// Challenged: AUTHENTICATE is awaited.
    Authenticating(Box<Challenged>),
    /// In a realm, which has the last word about what it may.
    Joined { id: SessionId, realm: RealmHandle },
    /// Nothing is awaited any more.
    Over,
}

/// Why a session is ended by the router.
struct Violation {
    reason: &'static str,
    text: String,
}

impl Violation {
    fn protocol(text: impl Into<String>) -> Self {
        Self {
            reason: error_uri::PROTOCOL_VIOLATION,
            text: text.into(),
        }
    }
}

impl Session {
    fn frames(&mut self, read: Vec<Frames>) {
        for frames in &read {
            let mut batch = Vec::new();
            let result = self.block(frames, &mut batch);
            self.pass_on(frames.block(), &mut batch);
            if let Err(violation) = result {
                return self.abort(&violation);
            }
        }
    }

    /// Most messages are read where they lie; all others become messages of their own.
    fn block(&mut self, frames: &Frames, batch: &mut Vec<Sent>) -> Result<(), Violation> {
        let serializer = self.connection.wire.serializer;
        let (block, places) = (frames.block(), frames.places());
        let limits = Limits::default();
        let mut joined = matches!(self.state, State::Joined { .. });
        for (number, place) in places.iter().enumerate() {
            if batch.is_empty() {
                batch.reserve((places.len() - number).min(BATCH));
            }
            if !joined || !push_plain(batch, serializer, block, place, &limits) {
                match codec::decode(serializer, &frames.message(place), &limits) {
                    Ok(message) if self.is_for_realm(&message) => {
                        batch.push(Sent::Message(Box::new(message)));
                    }
                    Ok(message) => self.message(message, block, batch)?,
                    Err(error) => self.unreadable(&error)?,
                }
                joined = matches!(self.state, State::Joined { .. });
            }
            if batch.len() >= BATCH {
                self.pass_on(block, batch);
            }
        }
        Ok(())
    }

    /// Answers a message that cannot be read for itself, where that is possible.
    fn unreadable(&self, error: &DecodeError) -> Result<(), Violation> {
        let joined = matches!(self.state, State::Joined { .. });
        let answer = joined
            .then(|| decoding::answer(error, self.connection.wire))
            .flatten();
        match answer {
            Some(answer) => {
                self.send(&answer);
                Ok(())
            }
            None => Err(Violation::protocol(error.to_string())),
        }
    }

    /// The requests and answers of a session that has joined: most of what ever comes.
    fn is_for_realm(&self, message: &WampMessage) -> bool {
        matches!(self.state, State::Joined { .. })
            && matches!(
                message,
                WampMessage::Publish(_)
                    | WampMessage::Subscribe(_)
                    | WampMessage::Unsubscribe(_)
                    | WampMessage::Call(_)
                    | WampMessage::Cancel(_)
                    | WampMessage::Yield(_)
                    | WampMessage::Error(_)
                    | WampMessage::Register(_)
                    | WampMessage::Unregister(_)
            )
    }

    fn message(
        &mut self,
        message: WampMessage,
        block: &Bytes,
        batch: &mut Vec<Sent>,
    ) -> Result<(), Violation> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Opening => self.opening(message),
            State::Authenticating(challenged) => self.authenticating(*challenged, message),
            State::Joined { id, realm } => {
                self.state = State::Joined { id, realm };
                self.joined(message, block, batch)
            }
            State::Over => Ok(()),
        }
    }

    fn joined(
        &mut self,
        message: WampMessage,
        block: &Bytes,
        batch: &mut Vec<Sent>,
    ) -> Result<(), Violation> {
        match message {
            WampMessage::Goodbye(_) => {
                batch.push(Sent::Message(Box::new(message)));
                self.pass_on(block, batch);
                // The transport stays: the client may say HELLO again (spec, "Session Closing").
                self.state = State::Opening;
            }
            WampMessage::Abort(abort) => {
                debug!(peer = &*self.connection.peer.address; "client aborted: {}", abort.reason);
                self.pass_on(block, batch);
                self.leave();
                self.connection.outbox.finish();
            }
            WampMessage::Hello(_) => {
                return Err(Violation::protocol(
                    "HELLO in a session that has joined a realm",
                ));
            }
            other => {
                let name = other.message_type().name();
                return Err(Violation::protocol(format!(
                    "{name} is not for clients to send here"
                )));
            }
        }
        Ok(())
    }

    /// One read, one message to the realm; a large one in pieces.
    #[expect(
        clippy::disallowed_methods,
        reason = "the ticket bounds it: with a few batches under way nothing more is read"
    )]
    fn pass_on(&self, block: &Bytes, batch: &mut Vec<Sent>) {
        if let State::Joined { id, realm } = &self.state
            && !batch.is_empty()
        {
            realm.address.do_send(Batch {
                session: *id,
                block: block.clone(),
                messages: std::mem::take(batch),
                ticket: Ticket::new(&self.connection.outbox),
            });
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one for each session that joined"
    )]
    fn leave(&mut self) {
        if let State::Joined { id, realm } = std::mem::replace(&mut self.state, State::Over) {
            realm.address.do_send(Leave { session: id });
        }
    }

    fn send(&self, message: &WampMessage) {
        let mut frame = BytesMut::new();
        encoding::append(self.connection.wire, message, &mut frame);
        self.connection.outbox.answer(&frame, 1);
        self.connection.outbox.wake();
    }

    /// Runs the timeout exactly while no realm is joined.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let waits = matches!(self.state, State::Opening | State::Authenticating(_));
        if !waits {
            if let Some(timeout) = self.timeout.take() {
                ctx.cancel_future(timeout);
            }
        } else if self.timeout.is_none() {
            self.timeout = Some(ctx.run_later(HANDSHAKE_TIMEOUT, |session, _| {
                session.abort(&Violation {
                    reason: error_uri::TIMEOUT,
                    text: "no realm was joined in time".to_owned(),
                });
            }));
        }
    }

    /// Ends the session: the client is told why, then the connection closes.
    fn abort(&mut self, violation: &Violation) {
        let Violation { reason, text } = violation;
        debug!(peer = &*self.connection.peer.address, reason; "session aborted: {text}");
        self.connection.router.metrics.aborted(reason);
        let message = WampMessage::Abort(Abort {
            details: Dict::from([("message", text.as_str())]),
            reason: ByteString::from_static(reason),
            payload: Payload::empty(self.connection.wire.serializer),
        });
        self.send(&message);
        self.leave();
        self.state = State::Over;
        self.connection.outbox.finish();
    }
}

/// Adds the message at `place` as it lies there, if it can be; it is read to where it stays.
#[inline(always)]
fn push_plain(
    batch: &mut Vec<Sent>,
    serializer: Serializer,
    block: &Bytes,
    place: &Range<u32>,
    limits: &Limits,
) -> bool {
    batch.push(Sent::Plain(Plain::EMPTY));
    let read = match batch.last_mut() {
        Some(Sent::Plain(plain)) => plain.read_into(serializer, block, place.clone(), limits),
        _ => false,
    };
    if !read {
        batch.pop();
    }
    read
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.connection.router.metrics.gauge(Id::Connections).inc();
        self.watch(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.leave();
        self.connection.outbox.finish();
        self.connection.router.metrics.gauge(Id::Connections).dec();
    }
}

impl StreamHandler<Inbound> for Session {
    fn handle(&mut self, inbound: Inbound, ctx: &mut Context<Self>) {
        match inbound {
            Inbound::Frames(frames) => self.frames(frames),
            Inbound::Fault(fault) => {
                info!(peer = &*self.connection.peer.address; "transport fault: {fault}");
                self.connection.router.metrics.aborted("transport");
                self.leave();
                self.connection.outbox.finish();
            }
        }
        self.watch(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
