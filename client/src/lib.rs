//! A session with any WAMP router, as a client: for what Rewamp asks of other routers. One thread,
//! one connection over WebSocket, blocking with a deadline. Knows no store and no router of its own.

mod url; //   where the router is
mod login; // who asks
mod fault; // what can go wrong

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_wamp::codec;
use rewamp_wamp::id::{RequestId, SessionId, SubscriptionId};
use rewamp_wamp::message::{
    Call, CallOptions, Goodbye, Hello, HelloDetails, Message, Roles, Subscribe, SubscribeOptions,
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
pub use url::Url;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest message that is taken, in bytes: answers with a whole history in one are large.
const LARGEST: usize = 1 << 30;

/// Values that one message may have: as many as bytes allow.
const MOST_VALUES: usize = LARGEST;

/// Events that wait while an answer is waited for; beyond that the connection is given up.
const MOST_WAITING: usize = 1 << 20;

/// The serializers that are offered, in this order: binary values stay what they are in the first.
const SERIALIZERS: [Serializer; 3] = [Serializer::Cbor, Serializer::MsgPack, Serializer::Json];

/// A session. Dropped, its connection closes.
pub struct Client {
    socket: WebSocket<TcpStream>,
    serializer: Serializer,
    session: SessionId,
    request: RequestId,
    waiting: VecDeque<Message>,
}

impl Client {
    /// Connects and joins a realm.
    ///
    /// # Errors
    /// If the router cannot be reached, or does not let the client in.
    pub fn join(url: &Url, login: &Login) -> Result<Self, ClientError> {
        let (socket, serializer) = connect(url)?;
        let mut client = Self {
            socket,
            serializer,
            session: SessionId::FIRST,
            request: RequestId::FIRST,
            waiting: VecDeque::new(),
        };
        client.session = client.enter(login)?;
        Ok(client)
    }

    /// The session's ID.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    fn enter(&mut self, login: &Login) -> Result<SessionId, ClientError> {
        let roles = Roles::new()
            .with("caller", &[])
            .with("callee", &[])
            .with("publisher", &[])
            .with("subscriber", &["pattern_based_subscription"]);
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

    /// Subscribes and waits until the router has confirmed it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn subscribe(
        &mut self,
        topic: &str,
        match_policy: MatchPolicy,
    ) -> Result<SubscriptionId, ClientError> {
        let request = self.next_request();
        self.send(&Message::Subscribe(Subscribe {
            request,
            options: SubscribeOptions {
                match_policy,
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

    /// The next message that nobody waits for; `None` at the deadline.
    ///
    /// # Errors
    /// If the connection ends.
    pub fn receive(&mut self, deadline: Instant) -> Result<Option<Message>, ClientError> {
        match self.waiting.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.next(deadline),
        }
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
            let stream = self.socket.get_ref();
            stream
                .set_read_timeout(Some(left))
                .map_err(ClientError::Io)?;
            let bytes: Bytes = match self.socket.read() {
                Ok(Frame::Text(text)) => text.into(),
                Ok(Frame::Binary(bytes)) => bytes,
                Ok(Frame::Close(_)) => return Err(ClientError::Closed(String::new())),
                // A ping is answered with the next read or write.
                Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_)) => continue,
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let limits = Limits::default().with_values(MOST_VALUES);
            return codec::decode(self.serializer, &bytes, &limits)
                .map(Some)
                .map_err(|error| ClientError::Protocol(error.to_string()));
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn connect(url: &Url) -> Result<(WebSocket<TcpStream>, Serializer), ClientError> {
    let stream = url.connect()?;
    stream.set_nodelay(true).map_err(ClientError::Io)?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(ClientError::Io)?;
    stream
        .set_write_timeout(Some(PATIENCE))
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
