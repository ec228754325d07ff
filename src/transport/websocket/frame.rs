//! WebSocket frames from clients, as bytes: the head of one, and taking off its mask. RFC 6455,
//! section 5. Knows no connection and no message.

use std::fmt;

use actix_http::ws::{CloseCode, OpCode};

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether the message ends with this frame.
    pub(super) last: bool,
    /// What the frame is.
    pub(super) opcode: OpCode,
    /// What the payload is masked with.
    pub(super) mask: [u8; 4],
    /// Bytes of the head itself.
    pub(super) length: usize,
    /// Bytes of the payload, as announced.
    pub(super) payload: u64,
}

/// A client breaks RFC 6455, or a limit. `Display` is the reason in the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// Every frame of a client is masked.
    Unmasked,
    /// No extension was agreed on.
    ReservedBits,
    /// Not one of 0, 1, 2, 8, 9 and 10.
    UnknownOpcode(u8),
    /// A control frame in several parts.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    LongControl(u64),
    /// A length of 2^63 bytes and more.
    Length,
    /// A close frame with half a code, or text that is not UTF-8.
    BadClose,
    /// A frame that continues a message although none has begun.
    NothingToContinue,
    /// A frame that begins a message although another one is under way.
    Unfinished,
    /// Text where the subprotocol has binary messages, or the other way round.
    WrongKind {
        /// What the subprotocol has: `text` or `binary`.
        expected: &'static str,
        /// The subprotocol.
        subprotocol: &'static str,
    },
    /// A frame or message over its limit.
    TooLong {
        /// `frame` or `message`.
        what: &'static str,
        /// Bytes it would have.
        bytes: u64,
        /// Bytes it may have.
        limit: usize,
    },
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmasked => f.write_str("a frame is not masked"),
            Self::ReservedBits => {
                f.write_str("a frame has reserved bits set, no extension is used")
            }
            Self::UnknownOpcode(code) => write!(f, "a frame has the unknown opcode {code}"),
            Self::FragmentedControl => f.write_str("a control frame is fragmented"),
            Self::LongControl(bytes) => {
                write!(f, "a control frame has {bytes} bytes, 125 are allowed")
            }
            Self::Length => f.write_str("the length of a frame does not fit 63 bits"),
            Self::BadClose => f.write_str("a close frame has no valid code and reason"),
            Self::NothingToContinue => f.write_str("a frame continues a message that never began"),
            Self::Unfinished => f.write_str("a message begins before the last one has ended"),
            Self::WrongKind {
                expected,
                subprotocol,
            } => {
                write!(f, "{subprotocol} takes {expected} messages only")
            }
            Self::TooLong { what, bytes, limit } => {
                write!(f, "a {what} of {bytes} bytes is over the limit of {limit}")
            }
        }
    }
}

impl FrameFault {
    /// The code of the close frame. RFC 6455, section 7.4.1.
    pub(super) fn code(&self) -> CloseCode {
        match self {
            Self::WrongKind { .. } => CloseCode::Unsupported,
            Self::TooLong { .. } => CloseCode::Size,
            _ => CloseCode::Protocol,
        }
    }
}

/// The head at the front of `bytes`; none while it is not all there.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, FrameFault> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(FrameFault::ReservedBits);
    }
    if second & 0x80 == 0 {
        return Err(FrameFault::Unmasked);
    }
    let (opcode, last) = (OpCode::from(first & 0x0F), first & 0x80 != 0);
    if opcode == OpCode::Bad {
        return Err(FrameFault::UnknownOpcode(first & 0x0F));
    }
    let Some((payload, rest)) = payload_length(second & 0x7F, rest) else {
        return Ok(None);
    };
    if payload > i64::MAX as u64 {
        return Err(FrameFault::Length);
    }
    if matches!(opcode, OpCode::Close | OpCode::Ping | OpCode::Pong) {
        if !last {
            return Err(FrameFault::FragmentedControl);
        }
        if payload > 125 {
            return Err(FrameFault::LongControl(payload));
        }
    }
    let Some((&mask, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    Ok(Some(Head {
        last,
        opcode,
        mask,
        length: bytes.len() - rest.len(),
        payload,
    }))
}

fn payload_length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        126 => rest
            .split_first_chunk()
            .map(|(&two, rest)| (u16::from_be_bytes(two).into(), rest)),
        127 => rest
            .split_first_chunk()
            .map(|(&eight, rest)| (u64::from_be_bytes(eight), rest)),
        short => Some((short.into(), rest)),
    }
}

/// Takes the mask off `payload`, in place; eight bytes at a time, which the compiler widens further.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut()
        .zip([a, b, c, d, a, b, c])
        .for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_all_there_and_not_before() {
        let check = |bytes: &[u8], length: usize, payload: u64| {
            let whole = head(bytes).unwrap().unwrap();
            assert_eq!(
                (whole.length, whole.payload),
                (length, payload),
                "{bytes:?}"
            );
            for cut in 0..length {
                assert_eq!(
                    head(&bytes[..cut]),
                    Ok(None),
                    "the first {cut} of {bytes:?}"
                );
            }
        };
        check(&[0x81, 0x80, 1, 2, 3, 4], 6, 0);
        check(&[0x82, 0xFD, 1, 2, 3, 4, 9, 9], 6, 125);
        check(&[0x82, 0xFE, 1, 0, 1, 2, 3, 4], 8, 256);
        check(
            &[0x02, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4],
            14,
            65_536,
        );
    }

    #[test]
    fn what_the_standard_forbids_is_named() {
        let check = |bytes: &[u8], fault: FrameFault| assert_eq!(head(bytes), Err(fault));
        check(&[0x81, 0x05], FrameFault::Unmasked);
        check(&[0xC1, 0x85], FrameFault::ReservedBits);
        check(&[0x83, 0x80], FrameFault::UnknownOpcode(3));
        check(&[0x8B, 0x80], FrameFault::UnknownOpcode(11));
        check(&[0x09, 0x80], FrameFault::FragmentedControl);
        check(&[0x89, 0xFE, 0, 126], FrameFault::LongControl(126));
        check(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], FrameFault::Length);
    }

    #[test]
    fn every_reason_fits_into_a_close_frame() {
        let longest = [
            FrameFault::TooLong {
                what: "message",
                bytes: i64::MAX as u64,
                limit: 1 << 24,
            },
            FrameFault::WrongKind {
                expected: "binary",
                subprotocol: "wamp.2.msgpack",
            },
            FrameFault::LongControl(i64::MAX as u64),
        ];
        for fault in longest {
            assert!(fault.to_string().len() <= 123, "{fault}");
        }
    }

    #[test]
    fn unmasking_is_the_same_byte_by_byte_for_every_length() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        for length in 0..40u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut masked: Vec<u8> = plain
                .iter()
                .zip(mask.iter().cycle())
                .map(|(a, b)| a ^ b)
                .collect();
            unmask(&mut masked, mask);
            assert_eq!(masked, plain);
        }
    }
}
