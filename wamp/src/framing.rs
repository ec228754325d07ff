//! What is around a message on the wire: RawSocket and WebSocket frames.

use crate::serializer::Serializer;

/// How messages are told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A four-byte prefix. Spec: "RawSocket Transport".
    RawSocket,
    /// An unmasked WebSocket frame, as servers send them. RFC 6455, section 5.2.
    WebSocket,
}

/// What a message must look like for one receiver: those with the same wire share encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wire {
    /// How a message becomes bytes.
    pub serializer: Serializer,
    /// How bytes become a frame.
    pub framing: Framing,
}

impl Wire {
    /// All of them, each at its [`index`](Self::index).
    pub const ALL: [Self; 6] = [
        Self {
            serializer: Serializer::Json,
            framing: Framing::RawSocket,
        },
        Self {
            serializer: Serializer::MsgPack,
            framing: Framing::RawSocket,
        },
        Self {
            serializer: Serializer::Cbor,
            framing: Framing::RawSocket,
        },
        Self {
            serializer: Serializer::Json,
            framing: Framing::WebSocket,
        },
        Self {
            serializer: Serializer::MsgPack,
            framing: Framing::WebSocket,
        },
        Self {
            serializer: Serializer::Cbor,
            framing: Framing::WebSocket,
        },
    ];

    /// 0 to 5, for tables with a place for each.
    pub const fn index(self) -> usize {
        let framing = match self.framing {
            Framing::RawSocket => 0,
            Framing::WebSocket => Serializer::ALL.len(),
        };
        framing + self.serializer.index()
    }
}
