//! JSON, MessagePack and CBOR: which one a peer speaks, and the limits of what it may send.

use std::fmt;

/// A serialization format. Spec: "Serializers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Serializer {
    /// RFC 8259.
    Json,
    /// MessagePack of version 5 or later, which tells strings from binary data.
    MsgPack,
    /// RFC 8949.
    Cbor,
}

impl Serializer {
    /// All of them, in the order of their RawSocket numbers.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// The name in configurations and WebSocket subprotocols (`wamp.2.<name>`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Cbor => "cbor",
        }
    }

    /// The serializer of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|serializer| serializer.name() == name)
    }

    /// The WebSocket subprotocol, one message a WebSocket message.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "wamp.2.json",
            Self::MsgPack => "wamp.2.msgpack",
            Self::Cbor => "wamp.2.cbor",
        }
    }

    /// The serializer of that WebSocket subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|serializer| serializer.subprotocol() == name)
    }

    /// 0 to 2, for tables with a place for each.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Serializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a message may be at most. Its size is bounded by the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_nesting: u8,
}

impl Limits {
    /// The deepest nesting that can be allowed.
    ///
    /// 128: what widespread JSON parsers take, so that what is forwarded can be read.
    pub const MAX_NESTING: u8 = 128;

    /// Lists and maps within one another in one element of a message (the arguments list itself
    /// is the first level), at most [`Self::MAX_NESTING`]; a larger number means that.
    pub fn with_nesting(max_nesting: u8) -> Self {
        Self {
            max_nesting: max_nesting.min(Self::MAX_NESTING),
        }
    }

    /// The levels allowed, 0 to [`Self::MAX_NESTING`].
    pub const fn max_nesting(&self) -> u8 {
        self.max_nesting
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_nesting: Self::MAX_NESTING,
        }
    }
}
