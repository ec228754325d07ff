//! RawSocket: the handshake, frame headers, and frames found in a read buffer.
//! Spec: "RawSocket Transport".

use std::ops::Range;

use crate::serializer::Serializer;

/// The first byte of a handshake, which no HTTP request begins with.
pub const MAGIC: u8 = 0x7f;

/// The longest content of a frame that is sent, 2^24 − 1 bytes: what 24 bits hold.
pub const MAX_PAYLOAD: usize = (1 << 24) - 1;

/// The bytes of a frame's header.
pub const HEADER_BYTES: usize = 4;

/// The longest message that a peer takes: 2^9, 2^10, … or 2^24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxLength(u8);

impl MaxLength {
    /// 2^24 bytes.
    pub const LARGEST: Self = Self(15);

    /// The largest one that is not above `bytes`; 512 if that is less.
    pub fn at_most(bytes: usize) -> Self {
        let exponent = bytes.max(512).ilog2().saturating_sub(9);
        Self(u8::try_from(exponent).unwrap_or(15).min(15))
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        1 << (self.0 + 9)
    }
}

/// What client and router say to each other first: each which serializer, and how much it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// The serializer asked for, or agreed to.
    pub serializer: Serializer,
    /// The longest message that the sender of this takes.
    pub max_length: MaxLength,
}

/// Why a router does not go on; the number on the wire is `self as u8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// The serializer is unknown or disabled.
    #[error("serializer unsupported")]
    SerializerUnsupported = 1,
    /// The client takes too little.
    #[error("maximum message length unacceptable")]
    MaxLengthUnacceptable = 2,
    /// Bits are set that mean nothing yet.
    #[error("use of reserved bits")]
    ReservedBits = 3,
    /// There is no room for another connection.
    #[error("maximum connection count reached")]
    TooManyConnections = 4,
}

impl Refusal {
    const ALL: [Self; 4] = [
        Self::SerializerUnsupported,
        Self::MaxLengthUnacceptable,
        Self::ReservedBits,
        Self::TooManyConnections,
    ];

    /// The router's answer.
    pub const fn to_bytes(self) -> [u8; 4] {
        [MAGIC, (self as u8) << 4, 0, 0]
    }
}

/// A handshake that does not lead to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// It is not RawSocket: there is nothing to answer.
    #[error("a handshake begins with 0x7f, not with {first:#04x}")]
    NotRawSocket {
        /// The first byte.
        first: u8,
    },
    /// The serializer is 0, which the spec makes illegal: there is nothing to answer.
    #[error("serializer 0 is illegal")]
    IllegalSerializer,
    /// The router refuses, or has to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The router's answer names another serializer, or an error that does not exist.
    #[error("the router answers {second:#04x}, which is neither an agreement nor an error")]
    Answer {
        /// The second byte.
        second: u8,
    },
}

impl Handshake {
    /// A client's request.
    ///
    /// # Errors
    /// [`HandshakeError::Refused`] is to be answered with [`Refusal::to_bytes`], the others
    /// close the connection.
    pub fn parse_request(request: [u8; 4]) -> Result<Self, HandshakeError> {
        let [first, second, reserved @ ..] = request;
        if first != MAGIC {
            return Err(HandshakeError::NotRawSocket { first });
        }
        if reserved != [0, 0] {
            return Err(Refusal::ReservedBits.into());
        }
        let serializer = match second & 0x0f {
            0 => return Err(HandshakeError::IllegalSerializer),
            number => serializer_of(number).ok_or(Refusal::SerializerUnsupported)?,
        };
        Ok(Self {
            serializer,
            max_length: MaxLength(second >> 4),
        })
    }

    /// A router's answer to a request for `serializer`.
    ///
    /// # Errors
    /// If the router refuses, or it is no answer.
    pub fn parse_reply(reply: [u8; 4], serializer: Serializer) -> Result<Self, HandshakeError> {
        let [first, second, ..] = reply;
        if first != MAGIC {
            return Err(HandshakeError::NotRawSocket { first });
        }
        if second & 0x0f == 0 {
            let refusal = Refusal::ALL
                .into_iter()
                .find(|refusal| *refusal as u8 == second >> 4);
            return Err(refusal.map_or(HandshakeError::Answer { second }, Into::into));
        }
        match serializer_of(second & 0x0f) {
            Some(agreed) if agreed == serializer => Ok(Self {
                serializer,
                max_length: MaxLength(second >> 4),
            }),
            _ => Err(HandshakeError::Answer { second }),
        }
    }

    /// As a request, and as an answer that agrees.
    pub const fn to_bytes(self) -> [u8; 4] {
        [
            MAGIC,
            self.max_length.0 << 4 | (self.serializer as u8 + 1),
            0,
            0,
        ]
    }
}

/// Their numbers are 1 to 3, in the order of [`Serializer::ALL`].
fn serializer_of(number: u8) -> Option<Serializer> {
    Serializer::ALL
        .get(usize::from(number).checked_sub(1)?)
        .copied()
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A message.
    Message = 0,
    /// Are you there: to be answered with a [`FrameKind::Pong`] of the same content.
    Ping = 1,
    /// I am.
    Pong = 2,
}

/// The header of a frame whose content has that length, [`MAX_PAYLOAD`] at most.
pub const fn frame_header(kind: FrameKind, length: usize) -> Option<[u8; HEADER_BYTES]> {
    if length > MAX_PAYLOAD {
        return None;
    }
    let [_, a, b, c] = (length as u32).to_be_bytes();
    Some([kind as u8, a, b, c])
}

/// A frame that ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than was agreed.
    #[error("a frame of {bytes} bytes is too long, {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Neither message, ping nor pong, or reserved bits are set.
    #[error("a frame that begins with {first:#04x} is of no known kind")]
    UnknownKind {
        /// The first byte.
        first: u8,
    },
}

/// What [`split`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Bytes of the buffer that whole frames took.
    pub taken: usize,
    /// Bytes that there must be after those for the next frame to be whole, as far as that can
    /// be told.
    pub wanted: usize,
}

/// Finds the whole frames in `buffer` and visits each with where its content is. Contents up to
/// `limit` bytes are allowed.
///
/// # Errors
/// A frame that ends the connection; the frames before it have been visited.
pub fn split(
    buffer: &[u8],
    limit: usize,
    mut visit: impl FnMut(FrameKind, Range<usize>),
) -> Result<Rest, FrameError> {
    let mut taken = 0;
    // Messages that follow one another are often equally long. Then the next one is looked for
    // where it will be, before this one's length has come from memory.
    let (mut last, mut alike) = ([0; HEADER_BYTES], (FrameKind::Message, 0));
    loop {
        let rest = buffer.get(taken..).unwrap_or_default();
        let Some((&header, content)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Rest {
                taken,
                wanted: HEADER_BYTES,
            });
        };
        if header != last {
            (last, alike) = (header, parse_header(header, limit)?);
        }
        let (kind, length) = alike;
        if content.len() < length {
            return Ok(Rest {
                taken,
                wanted: HEADER_BYTES + length,
            });
        }
        let begins = taken + HEADER_BYTES;
        taken = begins + length;
        visit(kind, begins..taken);
    }
}

fn parse_header(
    header: [u8; HEADER_BYTES],
    limit: usize,
) -> Result<(FrameKind, usize), FrameError> {
    /// Stands for 2^24, the one length that the other 24 bits do not hold.
    const EXTRA_BIT: u8 = 0x08;
    let [first, a, b, c] = header;
    let kind = match first & !EXTRA_BIT {
        0 => FrameKind::Message,
        1 => FrameKind::Ping,
        2 => FrameKind::Pong,
        _ => return Err(FrameError::UnknownKind { first }),
    };
    let extra = usize::from(first & EXTRA_BIT) << 21;
    let bytes = u32::from_be_bytes([0, a, b, c]) as usize + extra;
    match bytes <= limit {
        true => Ok((kind, bytes)),
        false => Err(FrameError::TooLong { bytes, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_request(request: [u8; 4], expected: Result<(Serializer, usize), HandshakeError>) {
        let parsed = Handshake::parse_request(request);
        assert_eq!(
            parsed.map(|h| (h.serializer, h.max_length.bytes())),
            expected,
            "{request:x?}"
        );
        if let Ok(handshake) = parsed {
            assert_eq!(handshake.to_bytes(), request);
        }
    }

    #[test]
    fn a_request_names_a_serializer_and_a_length() {
        check_request([0x7f, 0xf1, 0, 0], Ok((Serializer::Json, 1 << 24)));
        check_request([0x7f, 0x02, 0, 0], Ok((Serializer::MsgPack, 512)));
        check_request([0x7f, 0x73, 0, 0], Ok((Serializer::Cbor, 1 << 16)));
    }

    #[test]
    fn a_request_that_cannot_be_met_is_refused_with_its_number() {
        check_request(
            [0x7f, 0xf4, 0, 0],
            Err(Refusal::SerializerUnsupported.into()),
        );
        check_request([0x7f, 0xf1, 1, 0], Err(Refusal::ReservedBits.into()));
        check_request([0x7f, 0xf0, 0, 0], Err(HandshakeError::IllegalSerializer));
        check_request(
            [b'G', b'E', b'T', b' '],
            Err(HandshakeError::NotRawSocket { first: b'G' }),
        );
        assert_eq!(
            Refusal::SerializerUnsupported.to_bytes(),
            [0x7f, 0x10, 0, 0]
        );
        assert_eq!(Refusal::TooManyConnections.to_bytes(), [0x7f, 0x40, 0, 0]);
    }

    #[test]
    fn a_reply_agrees_or_says_why_not() {
        let reply = |second| Handshake::parse_reply([0x7f, second, 0, 0], Serializer::MsgPack);
        assert_eq!(reply(0xf2).unwrap().max_length, MaxLength::LARGEST);
        assert_eq!(reply(0x20), Err(Refusal::MaxLengthUnacceptable.into()));
        assert_eq!(reply(0xf1), Err(HandshakeError::Answer { second: 0xf1 }));
        assert_eq!(reply(0x00), Err(HandshakeError::Answer { second: 0 }));
    }

    #[test]
    fn a_length_is_rounded_down_to_a_power_of_two() {
        for (bytes, expected) in [
            (0, 512),
            (512, 512),
            (1_023, 512),
            (1_024, 1_024),
            (MAX_PAYLOAD, 1 << 23),
            (1 << 24, 1 << 24),
            (usize::MAX, 1 << 24),
        ] {
            assert_eq!(MaxLength::at_most(bytes).bytes(), expected, "{bytes}");
        }
    }

    fn check_split(buffer: &[u8], frames: &[(FrameKind, Range<usize>)], rest: Rest) {
        let mut found = Vec::new();
        let answer = split(buffer, 16, |kind, range| found.push((kind, range)));
        assert_eq!(
            (found.as_slice(), answer),
            (frames, Ok(rest)),
            "{buffer:x?}"
        );
    }

    #[test]
    fn whole_frames_are_found_and_the_started_one_left() {
        check_split(
            &[],
            &[],
            Rest {
                taken: 0,
                wanted: 4,
            },
        );
        check_split(
            &[0, 0, 0],
            &[],
            Rest {
                taken: 0,
                wanted: 4,
            },
        );
        check_split(
            &[0, 0, 0, 2, 9],
            &[],
            Rest {
                taken: 0,
                wanted: 6,
            },
        );
        check_split(
            &[0, 0, 0, 2, 9, 9, 1, 0, 0, 0, 2, 0, 0, 1, 9, 0, 0, 0, 1],
            &[
                (FrameKind::Message, 4..6),
                (FrameKind::Ping, 10..10),
                (FrameKind::Pong, 14..15),
            ],
            Rest {
                taken: 15,
                wanted: 5,
            },
        );
    }

    #[test]
    fn a_frame_over_the_limit_is_found_before_its_content_came() {
        let too_long = |bytes| Err(FrameError::TooLong { bytes, limit: 16 });
        assert_eq!(split(&[0, 0, 0, 17], 16, |_, _| ()), too_long(17));
        assert_eq!(split(&[8, 0, 0, 0], 16, |_, _| ()), too_long(1 << 24));
        assert_eq!(
            split(&[3, 0, 0, 0], 16, |_, _| ()),
            Err(FrameError::UnknownKind { first: 3 })
        );
        assert_eq!(
            split(&[16, 0, 0, 0], 16, |_, _| ()),
            Err(FrameError::UnknownKind { first: 16 })
        );
    }

    #[test]
    fn a_header_holds_24_bits() {
        assert_eq!(
            frame_header(FrameKind::Message, MAX_PAYLOAD),
            Some([0, 255, 255, 255])
        );
        assert_eq!(frame_header(FrameKind::Pong, 258), Some([2, 0, 1, 2]));
        assert_eq!(frame_header(FrameKind::Message, MAX_PAYLOAD + 1), None);
    }
}
