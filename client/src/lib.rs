//! A session with any WAMP router, as a client: for what Rewamp asks of other routers. One thread,
//! one connection over WebSocket, blocking with a deadline. Knows no store and no router of its own.

mod url; //   where the router is
mod tls; //   whether others can listen
mod login; // who asks
mod fault; // what can go wrong
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_wamp::codec;
use rewamp_wamp::id::{RegistrationId, RequestId, SessionId, SubscriptionId};
use rewamp_wamp::message::{
    Call, CallOptions, Error, Goodbye, Hello, HelloDetails, Message, MessageType, Register,
    RegisterOptions, Roles, Subscribe, SubscribeOptions, Yield, YieldOptions,
};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message as Frame, WebSocket};

pub use fault::ClientError;
pub use login::Login;
pub use tls::Trust;
pub use url::Url;

use tls::Stream;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest message that is taken, in bytes: answers with a whole history in one are large.
const LARGEST: usize = 1 << 30;

/// Values that one message may have: as many as bytes allow.
const MOST_VALUES: usize = LARGEST;

/// Events that wait while an answer is waited for; beyond that the connection is given up.
const MOST_WAITING: usize = 1 << 20;

/// A router that has said nothing for so long is asked whether it is there, and given up when it
/// has said nothing for twice as long.
const QUIET: Duration = Duration::from_secs(20);

/// The serializers that are offered, in this order: binary values stay what they are in the first.
const SERIALIZERS: [Serializer; 3] = [Serializer::Cbor, Serializer::MsgPack, Serializer::Json];

/// A session. Dropped, its connection closes.
pub struct Client {
    socket: WebSocket<Stream>,
    serializer: Serializer,
    session: SessionId,
    request: RequestId,
    waiting: VecDeque<Message>,
    /// The read timeout that the socket has: to set it costs a system call.
    timeout: Duration,
    /// When something came last.
    heard: Instant,
    /// Whether it has been asked since then if it is there.
    asked: bool,
}

/// What came in within a time.
enum Came {
    Message(Message),
    /// Something of the WebSocket's own.
    Frame,
    Nothing,
}

impl Client {
    /// Connects and joins a realm.
    ///
    /// # Errors
    /// If the router cannot be reached, or does not let the client in.
    pub fn join(url: &Url, login: &Login, trust: &Trust) -> Result<Self, ClientError> {
        let (socket, serializer) = connect(url, trust)?;
        let mut client = Self {
            socket,
            serializer,
            session: SessionId::FIRST,
            request: RequestId::FIRST,
            waiting: VecDeque::new(),
            timeout: PATIENCE,
            heard: Instant::now(),
            asked: false,
        };
        client.session = client.enter(login)?;
        Ok(client)
    }

    /// The session's ID.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// What messages are written in.
    pub const fn serializer(&self) -> Serializer {
        self.serializer
    }

    fn enter(&mut self, login: &Login) -> Result<SessionId, ClientError> {
        let roles = Roles::new()
            .with("caller", &[])
            .with("callee", &[])
            .with("publisher", &[])
            .with(
                "subscriber",
                &["pattern_based_subscription", "publisher_identification"],
            );
        self.send(&Message::Hello(Hello {
            realm: login.realm.clone(),
            details: Box::new(HelloDetails {
                roles,
                authmethods: login.methods(),
                authid: login.authid.clone(),
                ..HelloDetails::default()
            }),
        }))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline)? {
                Some(Message::Welcome(welcome)) => return Ok(welcome.session),
                Some(Message::Challenge(challenge)) => {
                    let answer = login.answer(&challenge)?;
                    self.send(&Message::Authenticate(answer))?;
                }
                Some(Message::Abort(abort)) => return Err(ClientError::aborted(&abort)),
                Some(other) => return Err(ClientError::unexpected(&other)),
                None => return Err(ClientError::Silent),
            }
        }
    }

    /// Calls a procedure and waits for its result; events that come meanwhile are kept for
    /// [`Self::receive`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] where the router answers ERROR; all others end the session.
    pub fn call(
        &mut self,
        procedure: &str,
        args: &[Value],
        kwargs: Option<&Dict>,
    ) -> Result<Payload, ClientError> {
        let request = self.next_request();
        let payload = Payload::from_values(self.serializer, Some(args), kwargs);
        self.send(&Message::Call(Call {
            request,
            options: CallOptions::default(),
            procedure: procedure.into(),
            payload: payload.map_err(|error| ClientError::Protocol(error.to_string()))?,
        }))?;
        self.answer(procedure, |message| match message {
            Message::Result(result) if result.request == request => Some(result.payload.clone()),
            _ => None,
        })
    }

    /// Subscribes and waits until the router has confirmed it; `options` are those beside `match`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn subscribe(
        &mut self,
        topic: &str,
        match_policy: MatchPolicy,
        options: Dict,
    ) -> Result<SubscriptionId, ClientError> {
        let request = self.next_request();
        self.send(&Message::Subscribe(Subscribe {
            request,
            options: SubscribeOptions {
                match_policy,
                extra: options,
                ..SubscribeOptions::default()
            },
            topic: topic.into(),
        }))?;
        self.answer(topic, |message| match message {
            Message::Subscribed(subscribed) if subscribed.request == request => {
                Some(subscribed.subscription)
            }
            _ => None,
        })
    }

    /// Registers a procedure and waits until the router has confirmed it: its calls then come as
    /// INVOCATIONs.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn register(&mut self, procedure: &str) -> Result<RegistrationId, ClientError> {
        let request = self.next_request();
        self.send(&Message::Register(Register {
            request,
            options: RegisterOptions::default(),
            procedure: procedure.into(),
        }))?;
        self.answer(procedure, |message| match message {
            Message::Registered(registered) if registered.request == request => {
                Some(registered.registration)
            }
            _ => None,
        })
    }

    /// Answers an INVOCATION with its result.
    ///
    /// # Errors
    /// If the connection ends.
    pub fn give(&mut self, invocation: RequestId, payload: Payload) -> Result<(), ClientError> {
        self.send(&Message::Yield(Yield {
            request: invocation,
            options: YieldOptions::default(),
            payload,
        }))
    }

    /// Answers an INVOCATION with an error.
    ///
    /// # Errors
    /// If the connection ends.
    pub fn refuse(
        &mut self,
        invocation: RequestId,
        error: ByteString,
        payload: Payload,
    ) -> Result<(), ClientError> {
        self.send(&Message::Error(Error {
            request_type: MessageType::Invocation,
            request: invocation,
            details: Dict::new(),
            error,
            payload,
        }))
    }

    /// The next message that nobody waits for; `None` if none comes within that time.
    ///
    /// # Errors
    /// If the connection ends, or the router has been silent for long and does not answer a ping.
    pub fn receive(&mut self, within: Duration) -> Result<Option<Message>, ClientError> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        match self.come(within)? {
            Came::Message(message) => Ok(Some(message)),
            Came::Frame => Ok(None),
            Came::Nothing => {
                self.look_after()?;
                Ok(None)
            }
        }
    }

    /// Asks a router that says nothing whether it is there.
    fn look_after(&mut self) -> Result<(), ClientError> {
        let silent = self.heard.elapsed();
        if silent >= 2 * QUIET && self.asked {
            return Err(ClientError::Silent);
        }
        if silent >= QUIET && !self.asked {
            self.asked = true;
            self.socket.send(Frame::Ping(Bytes::new()))?;
        }
        Ok(())
    }

    /// Says goodbye and closes the connection.
    pub fn leave(mut self) {
        let goodbye = Message::Goodbye(Goodbye {
            details: Dict::new(),
            reason: ByteString::from_static("wamp.close.normal"),
        });
        // The router learns it from the end of the connection as well.
        let _ = self.send(&goodbye);
        let _ = self.next(Instant::now() + Duration::from_secs(1));
        let _ = self.socket.close(None);
    }

    fn answer<T>(
        &mut self,
        asked: &str,
        take: impl Fn(&Message) -> Option<T>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        let last = self.request;
        loop {
            let message = self.next(deadline)?.ok_or(ClientError::Silent)?;
            if let Some(answer) = take(&message) {
                return Ok(answer);
            }
            match message {
                Message::Error(error) if error.request.next() == last => {
                    return Err(ClientError::refused(asked, &error));
                }
                Message::Goodbye(goodbye) => {
                    return Err(ClientError::Closed(goodbye.reason.to_string()));
                }
                Message::Abort(abort) => return Err(ClientError::aborted(&abort)),
                _ if self.waiting.len() >= MOST_WAITING => return Err(ClientError::Flooded),
                other => self.waiting.push_back(other),
            }
        }
    }

    fn next_request(&mut self) -> RequestId {
        let request = self.request;
        self.request = request.next();
        request
    }

    fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        codec::encode(self.serializer, message, &mut out)
            .map_err(|error| ClientError::Protocol(error.to_string()))?;
        let frame = match self.serializer {
            Serializer::Json => {
                let text = String::from_utf8(out.into()).unwrap_or_default();
                Frame::text(text)
            }
            Serializer::MsgPack | Serializer::Cbor => Frame::binary(out.freeze()),
        };
        self.socket.send(frame).map_err(ClientError::from)
    }

    /// The next message of the router; `None` at the deadline.
    fn next(&mut self, deadline: Instant) -> Result<Option<Message>, ClientError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if let Came::Message(message) = self.come(left)? {
                return Ok(Some(message));
            }
        }
    }

    fn come(&mut self, within: Duration) -> Result<Came, ClientError> {
        // The system takes no timeout of nothing.
        let within = within.max(Duration::from_millis(1));
        if within != self.timeout {
            let stream = self.socket.get_ref().tcp();
            stream
                .set_read_timeout(Some(within))
                .map_err(ClientError::Io)?;
            self.timeout = within;
        }
        let bytes: Bytes = match self.socket.read() {
            Ok(Frame::Text(text)) => text.into(),
            Ok(Frame::Binary(bytes)) => bytes,
            Ok(Frame::Close(_)) => return Err(ClientError::Closed(String::new())),
            // A ping is answered with the next read or write.
            Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_)) => {
                self.has_spoken();
                return Ok(Came::Frame);
            }
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => return Ok(Came::Nothing),
            Err(error) => return Err(error.into()),
        };
        self.has_spoken();
        let limits = Limits::default().with_values(MOST_VALUES);
        codec::decode(self.serializer, &bytes, &limits)
            .map(Came::Message)
            .map_err(|error| ClientError::Protocol(error.to_string()))
    }

    fn has_spoken(&mut self) {
        (self.heard, self.asked) = (Instant::now(), false);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        // A signal that somebody else sees to.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn connect(url: &Url, trust: &Trust) -> Result<(WebSocket<Stream>, Serializer), ClientError> {
    let stream = url.connect(trust)?;
    let tcp = stream.tcp();
    tcp.set_nodelay(true).map_err(ClientError::Io)?;
    tcp.set_read_timeout(Some(PATIENCE))
        .map_err(ClientError::Io)?;
    tcp.set_write_timeout(Some(PATIENCE))
        .map_err(ClientError::Io)?;
    let mut request = url.as_str().into_client_request()?;
    let offered = SERIALIZERS.map(Serializer::subprotocol).join(",");
    let offered = HeaderValue::from_str(&offered)
        .map_err(|error| ClientError::Protocol(error.to_string()))?;
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", offered);
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let shaken = tungstenite::client::client_with_config(request, stream, Some(config));
    let (socket, response) = shaken.map_err(ClientError::from_handshake)?;
    let chosen = response
        .headers()
        .get("Sec-WebSocket-Protocol")
        .and_then(|chosen| chosen.to_str().ok())
        .and_then(Serializer::from_subprotocol);
    match chosen {
        Some(serializer) => Ok((socket, serializer)),
        None => Err(ClientError::NoSubprotocol),
    }
}
