//! A blocking WAMP client for everything that is not hot: joins, subscriptions, single calls.
//! A driver takes its socket over once the session is set up.

use super::fault::Fault;
use super::target::Target;
use crate::socket::Socket;
use crate::wire::{self, Kind, Wire};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::net::TcpStream;

/// RFC 6455 wants an unpredictable key so that proxies are not fooled; there is none on loopback,
/// and templates are masked once.
pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A joined session.
pub(crate) struct Session {
    stream: TcpStream,
    wire: Wire,
    inbox: Vec<u8>,
    taken: usize,
    request: u64,
}

impl Session {
    /// Connects and joins the target's realm anonymously.
    pub(crate) fn join(target: &Target) -> Result<Self, Fault> {
        let mut session = Self::open(target)?;
        let roles = json!({"publisher": {}, "subscriber": {}, "caller": {}, "callee": {}});
        session.send(&json!([1, target.realm, {"roles": roles}]))?;
        session.expect("HELLO", 2)?;
        Ok(session)
    }

    fn open(target: &Target) -> Result<Self, Fault> {
        let stream = target.connect()?;
        let wire = target.wire;
        let mut session = Self {
            stream,
            wire,
            inbox: Vec::new(),
            taken: 0,
            request: 0,
        };
        let handshake = wire::client_handshake(wire, &target.host, &target.path);
        session.stream.write_all(&handshake.request)?;
        loop {
            match handshake.answer(&session.inbox) {
                Ok(Some(used)) => {
                    session.taken = used;
                    return Ok(session);
                }
                Ok(None) => session.read_more()?,
                Err(refusal) => return Err(Fault::Handshake(refusal)),
            }
        }
    }

    /// Subscribes and gives the subscription's ID. `policy`: `exact` or `prefix`.
    pub(crate) fn subscribe(&mut self, topic: &str, policy: &str) -> Result<u64, Fault> {
        let options = if policy == "exact" {
            json!({})
        } else {
            json!({"match": policy})
        };
        self.subscribe_with(topic, &options)
    }

    /// The same with any options. No event that follows is passed over: see `into_socket`.
    pub(crate) fn subscribe_with(&mut self, topic: &str, options: &Value) -> Result<u64, Fault> {
        let request = self.next_request();
        self.send(&json!([32, request, options, topic]))?;
        self.expect("SUBSCRIBE", 33)?
            .get(2)
            .and_then(Value::as_u64)
            .ok_or_else(|| Fault::Answer {
                asked: "SUBSCRIBE".to_owned(),
                answer: "no subscription ID".to_owned(),
            })
    }

    /// Registers a procedure.
    pub(crate) fn register(&mut self, procedure: &str) -> Result<(), Fault> {
        let request = self.next_request();
        self.send(&json!([64, request, {}, procedure]))?;
        self.expect("REGISTER", 65).map(drop)
    }

    /// Publishes one payload and waits for its acknowledgement.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str) -> Result<(), Fault> {
        let request = self.next_request();
        self.send(&json!([16, request, {"acknowledge": true}, topic, [payload]]))?;
        self.expect("PUBLISH", 17).map(drop)
    }

    /// Calls and gives the bytes of the RESULT, whatever they hold; an ERROR is a fault.
    pub(crate) fn call(&mut self, procedure: &str, arguments: Value) -> Result<Vec<u8>, Fault> {
        let request = self.next_request();
        self.send(&json!([48, request, {}, procedure, arguments]))?;
        loop {
            let message = self.message()?.to_vec();
            if message_type(self.wire, &message) == Some(50) {
                return Ok(message);
            }
            self.judge(procedure, 50, &message)?;
        }
    }

    /// Sends GOODBYE and waits for its echo.
    pub(crate) fn leave(mut self) -> Result<(), Fault> {
        self.send(&json!([6, {}, "wamp.close.close_realm"]))?;
        self.expect("GOODBYE", 6).map(drop)
    }

    /// Sends bytes that are framed already.
    pub(crate) fn send_framed(&mut self, frames: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.write_all(frames)?)
    }

    /// The next WAMP message; pings are answered on the way.
    pub(crate) fn message(&mut self) -> Result<&[u8], Fault> {
        let found = loop {
            let waiting = self.inbox.get(self.taken..).unwrap_or_default();
            let frame = wire::peek(self.wire.framing, waiting)
                .map_err(|_| Fault::malformed("frame", waiting))?;
            let Some(frame) = frame.filter(|frame| frame.total() <= waiting.len()) else {
                self.read_more()?;
                continue;
            };
            let content = self.taken + frame.head..self.taken + frame.total();
            self.taken = content.end;
            match frame.kind {
                Kind::Message => break content,
                Kind::Pong => {}
                Kind::Close => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Kind::Ping => {
                    let mut pong = Vec::new();
                    let content = self.inbox.get(content).unwrap_or_default();
                    wire::finish_frame(self.wire, Kind::Pong, content, MASK, &mut pong);
                    self.stream.write_all(&pong)?;
                }
            }
        };
        Ok(self.inbox.get(found).unwrap_or_default())
    }

    /// Hands the socket over to a driver; `blocking` as the driver needs it.
    pub(crate) fn into_socket(mut self, blocking: bool) -> Result<Socket, Fault> {
        self.stream.set_nonblocking(!blocking)?;
        Ok(Socket::new(self.stream, self.inbox.split_off(self.taken)))
    }

    fn next_request(&mut self) -> u64 {
        self.request += 1;
        self.request
    }

    fn send(&mut self, message: &Value) -> Result<(), Fault> {
        let mut frame = Vec::new();
        wire::push_frame(
            self.wire,
            &self.wire.format.encode(message),
            MASK,
            &mut frame,
        );
        Ok(self.stream.write_all(&frame)?)
    }

    /// Waits for an answer of one type; events in between are passed over.
    fn expect(&mut self, asked: &str, wanted: u64) -> Result<Vec<Value>, Fault> {
        loop {
            let message = self.message()?.to_vec();
            if message_type(self.wire, &message) == Some(wanted)
                && let Some(Value::Array(elements)) = self.wire.format.decode(&message)
            {
                return Ok(elements);
            }
            self.judge(asked, wanted, &message)?;
        }
    }

    fn judge(&self, asked: &str, wanted: u64, message: &[u8]) -> Result<(), Fault> {
        let found = message_type(self.wire, message);
        if found == Some(36) && wanted != 36 {
            return Ok(());
        }
        let answer = self
            .wire
            .format
            .decode(message)
            .unwrap_or_default()
            .to_string();
        Err(Fault::Answer {
            asked: asked.to_owned(),
            answer,
        })
    }

    fn read_more(&mut self) -> Result<(), Fault> {
        if self.taken == self.inbox.len() {
            self.inbox.clear();
            self.taken = 0;
        } else if self.taken > 0 {
            self.inbox.drain(..self.taken);
            self.taken = 0;
        }
        // Not cleared before it is read into: that took longer than reading.
        self.inbox.reserve(wire::READ);
        let free = rustix::buffer::spare_capacity(&mut self.inbox);
        match rustix::io::read(&self.stream, free) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }
}

/// The type code of a message.
pub(crate) fn message_type(wire: Wire, message: &[u8]) -> Option<u64> {
    wire::Cursor::open(wire.format, message)?.uint()
}
