//! What can go wrong with another router.

use std::io;

use bytes::Bytes;
use rewamp_wamp::message::{self, Message};
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::value::Value;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::ClientHandshake;

use crate::tls::Stream;

/// Why another router did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot connect to {host}: {source}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// No TLS, or not with whom it should be.
    #[error("TLS: {0}")]
    Tls(String),
    /// No WebSocket, or not one as it should be.
    #[error("no WebSocket as it should be: {0}")]
    WebSocket(Box<tungstenite::Error>),
    /// None of our serializers.
    #[error("the router chose none of wamp.2.cbor, wamp.2.msgpack and wamp.2.json")]
    NoSubprotocol,
    /// The router did not let us in.
    #[error("the router refuses: {reason}{text}")]
    Aborted {
        /// `ABORT.Reason`.
        reason: String,
        /// What it said besides, after a colon; may be empty.
        text: String,
    },
    /// We cannot answer what the router asks for.
    #[error("cannot log in: {0}")]
    Login(String),
    /// The router answered ERROR.
    #[error("{asked}: {error}{text}")]
    Refused {
        /// The procedure or topic.
        asked: String,
        /// `ERROR.Error`.
        error: String,
        /// Its arguments, after a colon; may be empty.
        text: String,
    },
    /// A message that makes no sense.
    #[error("a message that makes no sense: {0}")]
    Protocol(String),
    /// No answer in time.
    #[error("the router does not answer")]
    Silent,
    /// The router ended the session.
    #[error("the router ended the session {0}")]
    Closed(String),
    /// More came in than may wait.
    #[error("too many events while an answer was waited for")]
    Flooded,
}

impl ClientError {
    pub(crate) fn aborted(abort: &message::Abort) -> Self {
        let text = abort.details.get("message").and_then(Value::as_str);
        Self::Aborted {
            reason: abort.reason.to_string(),
            text: text.map_or(String::new(), |text| format!(": {text}")),
        }
    }

    pub(crate) fn refused(asked: &str, error: &message::Error) -> Self {
        let json = error.payload.transcode(Serializer::Json).ok();
        let text = json.as_ref().map(|payload| payload.tail());
        Self::Refused {
            asked: asked.to_owned(),
            error: error.error.to_string(),
            text: text
                .filter(|tail: &&Bytes| !tail.is_empty())
                .map_or(String::new(), |tail| {
                    format!(": {}", String::from_utf8_lossy(tail))
                }),
        }
    }

    pub(crate) fn unexpected(message: &Message) -> Self {
        Self::Protocol(format!("{:?} is not expected here", message.message_type()))
    }

    pub(crate) fn from_handshake(error: HandshakeError<ClientHandshake<Stream>>) -> Self {
        match error {
            HandshakeError::Failure(error) => error.into(),
            HandshakeError::Interrupted(_) => Self::Silent,
        }
    }
}

impl From<tungstenite::Error> for ClientError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) => Self::Io(error),
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed(String::new())
            }
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Closed("without a word".to_owned())
            }
            other => Self::WebSocket(Box::new(other)),
        }
    }
}
