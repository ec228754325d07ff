//! How bytes lie on a WAMP connection, as far as a generator and a null router need it.
//! Used by the floor server and the load generator alike.

mod cursor; // walk a message without building it
mod frame; // where a frame begins and ends
mod handshake; // the bytes before the first frame

pub(crate) use cursor::Cursor;
pub(crate) use frame::{Kind, begin_frame, finish_frame, mask_in_place, peek, push_frame};
pub(crate) use handshake::{accept_raw, accept_websocket, client_handshake};

use serde_json::Value;

/// Bytes that a server or the generator reads at once: the same for floor, relay and generator, so
/// that their batches are the same. 128 KiB stays in a second-level cache.
pub(crate) const READ: usize = 128 * 1024;

/// How messages are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// RawSocket: four bytes of type and length.
    Raw,
    /// WebSocket, without extensions.
    Ws,
}

/// How messages are serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
}

/// Framing and serializer of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    /// RawSocket or WebSocket.
    pub(crate) framing: Framing,
    /// JSON or MessagePack.
    pub(crate) format: Format,
}

impl Format {
    /// Bytes of a message that is built rarely: joins, subscriptions, the one frame of a template.
    pub(crate) fn encode(self, message: &Value) -> Vec<u8> {
        match self {
            // A `Value` has string keys only and a `Vec` takes every write: neither can fail.
            Self::Json => serde_json::to_vec(message).unwrap_or_default(),
            Self::Msgpack => rmp_serde::to_vec(message).unwrap_or_default(),
        }
    }

    /// A whole message as a tree; `None` when the bytes are not one.
    pub(crate) fn decode(self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Json => serde_json::from_slice(bytes).ok(),
            Self::Msgpack => rmp_serde::from_slice(bytes).ok(),
        }
    }
}
