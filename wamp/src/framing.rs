//! What is around a message on the wire: RawSocket and WebSocket frames.

pub mod rawsocket;
pub mod websocket;

use bytes::BytesMut;

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

    /// The header of a frame with a message of that length.
    #[inline]
    pub(crate) fn header(self, length: usize) -> Result<Header, FrameTooLong> {
        match self.framing {
            Framing::RawSocket => {
                let header = rawsocket::frame_header(rawsocket::FrameKind::Message, length);
                header
                    .map(|header| Header::of(&header))
                    .ok_or(FrameTooLong { bytes: length })
            }
            Framing::WebSocket => {
                let opcode = match self.serializer {
                    Serializer::Json => websocket::Opcode::Text,
                    Serializer::MsgPack | Serializer::Cbor => websocket::Opcode::Binary,
                };
                Ok(websocket::frame_header(opcode, length))
            }
        }
    }
}

/// A message that does not fit a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a message of {bytes} bytes does not fit a frame, {} are allowed",
    rawsocket::MAX_PAYLOAD
)]
pub struct FrameTooLong {
    /// Its length.
    pub bytes: usize,
}

/// The bytes before a frame's content: four of RawSocket, two to ten of WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; 10],
    length: u8,
}

impl Header {
    /// `bytes` are ten at most; more are cut off.
    fn of(bytes: &[u8]) -> Self {
        let mut header = Self {
            bytes: [0; 10],
            length: 0,
        };
        for (place, byte) in header.bytes.iter_mut().zip(bytes) {
            *place = *byte;
            header.length += 1;
        }
        header
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or(&self.bytes)
    }
}

/// Appends a frame around what `append` appends, and returns the length of that.
///
/// `estimate` is how long it will probably be: where it is right the header finds its place
/// waiting, else the message is moved once. On failure nothing is appended.
pub(crate) fn append_framed<E: From<FrameTooLong>>(
    wire: Wire,
    estimate: usize,
    out: &mut BytesMut,
    append: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<usize, E> {
    let begins = out.len();
    let reserved = wire.header(estimate).unwrap_or(Header::of(&[0; 4]));
    let reserved = reserved.as_bytes();
    out.reserve(reserved.len() + estimate);
    out.extend_from_slice(reserved);
    let content = out.len();
    let header = append(out).and_then(|()| Ok(wire.header(out.len() - content)?));
    let header = header.inspect_err(|_| out.truncate(begins))?;
    let length = out.len() - content;
    let header = header.as_bytes();
    if header.len() != reserved.len() {
        let end = begins + header.len() + length;
        out.resize(end.max(out.len()), 0);
        out.copy_within(content..content + length, begins + header.len());
        out.truncate(end);
    }
    if let Some(place) = out.get_mut(begins..begins + header.len()) {
        place.copy_from_slice(header);
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wire_is_at_its_index() {
        for (index, wire) in Wire::ALL.into_iter().enumerate() {
            assert_eq!(wire.index(), index);
        }
    }

    #[test]
    fn a_wrong_estimate_makes_no_difference() {
        for wire in Wire::ALL {
            for length in [0, 5, 125, 126, 127, 65_535, 65_536, 70_000] {
                let content = vec![7; length];
                let mut expected = b"before".to_vec();
                expected.extend_from_slice(wire.header(length).unwrap().as_bytes());
                expected.extend_from_slice(&content);
                for estimate in [0, 125, 126, 65_535, 65_536, 1 << 25] {
                    let mut out = BytesMut::from("before");
                    let answer = append_framed(wire, estimate, &mut out, |out| {
                        out.extend_from_slice(&content);
                        Ok::<_, FrameTooLong>(())
                    });
                    assert_eq!(answer, Ok(length));
                    assert_eq!(out, expected, "{wire:?} {length} {estimate}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_leaves_nothing_behind() {
        let wire = Wire {
            serializer: Serializer::Json,
            framing: Framing::RawSocket,
        };
        let mut out = BytesMut::from("before");
        let answer = append_framed(wire, 10, &mut out, |out| {
            out.resize(out.len() + (1 << 24), 0);
            Ok::<_, FrameTooLong>(())
        });
        assert_eq!(answer, Err(FrameTooLong { bytes: 1 << 24 }));
        assert_eq!(out, "before");
    }
}
