//! RawSocket and WebSocket frames: where one begins and ends, and how one is written.
//! Spec: "RawSocket Transport" and RFC 6455, section 5.2.

use super::{Format, Framing, Wire};

/// Where the next frame of a buffer lies and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What the frame carries.
    pub(crate) kind: Kind,
    /// Bytes of header, mask key included.
    pub(crate) head: usize,
    /// Bytes of content behind the header.
    pub(crate) len: usize,
    /// WebSocket's mask key, on what a client sent.
    pub(crate) mask: Option<[u8; 4]>,
}

impl Frame {
    /// Bytes of the whole frame.
    pub(crate) fn total(&self) -> usize {
        self.head + self.len
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A WAMP message.
    Message,
    /// To be answered with the same content.
    Ping,
    /// An answer to a ping.
    Pong,
    /// The peer closes.
    Close,
}

/// The frame at the start of `bytes`, whether or not all its content is there yet; `None` while
/// its header is incomplete. `Err` names the byte that no frame of this framing has.
pub(crate) fn peek(framing: Framing, bytes: &[u8]) -> Result<Option<Frame>, u8> {
    match framing {
        Framing::Raw => peek_raw(bytes),
        Framing::Ws => peek_websocket(bytes),
    }
}

fn peek_raw(bytes: &[u8]) -> Result<Option<Frame>, u8> {
    let Some(&[kind, a, b, c]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let kind = match kind {
        0 => Kind::Message,
        1 => Kind::Ping,
        2 => Kind::Pong,
        other => return Err(other),
    };
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    Ok(Some(Frame {
        kind,
        head: 4,
        len,
        mask: None,
    }))
}

fn peek_websocket(bytes: &[u8]) -> Result<Option<Frame>, u8> {
    let Some(&[first, second]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let kind = match first {
        // Only whole messages: no peer of a run fragments the short ones that are sent here.
        0x81 | 0x82 => Kind::Message,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        other => return Err(other),
    };
    let (head, len) = match second & 0x7f {
        126 => match bytes.get(2..).and_then(|b| b.first_chunk()) {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(|b| b.first_chunk()) {
            Some(length) => (10, u64::from_be_bytes(*length) as usize),
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    if second & 0x80 == 0 {
        return Ok(Some(Frame {
            kind,
            head,
            len,
            mask: None,
        }));
    }
    match bytes.get(head..).and_then(|b| b.first_chunk()) {
        Some(&mask) => Ok(Some(Frame {
            kind,
            head: head + 4,
            len,
            mask: Some(mask),
        })),
        None => Ok(None),
    }
}

/// Applies WebSocket's mask to `content`, whose first byte meets the first byte of `mask`.
pub(crate) fn mask_in_place(content: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = content.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends the header of a server's frame with `len` bytes of content.
#[inline(always)]
pub(crate) fn begin_frame(wire: Wire, len: usize, out: &mut Vec<u8>) {
    match wire.framing {
        Framing::Raw => out.extend_from_slice(&(len as u32 & 0x00ff_ffff).to_be_bytes()),
        Framing::Ws => websocket_head(opcode(wire.format), 0, len, out),
    }
}

/// Appends one whole client frame; `mask` is used on a WebSocket only.
pub(crate) fn push_frame(wire: Wire, content: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    finish_frame(wire, Kind::Message, content, mask, out);
}

/// As `push_frame`, for any kind.
pub(crate) fn finish_frame(
    wire: Wire,
    kind: Kind,
    content: &[u8],
    mask: [u8; 4],
    out: &mut Vec<u8>,
) {
    let len = content.len();
    match wire.framing {
        Framing::Raw => {
            let code = match kind {
                Kind::Ping => 1u32,
                Kind::Pong => 2,
                Kind::Message | Kind::Close => 0,
            };
            out.extend_from_slice(&((code << 24) | (len as u32 & 0x00ff_ffff)).to_be_bytes());
            out.extend_from_slice(content);
        }
        Framing::Ws => {
            let first = match kind {
                Kind::Message => opcode(wire.format),
                Kind::Ping => 0x89,
                Kind::Pong => 0x8a,
                Kind::Close => 0x88,
            };
            websocket_head(first, 0x80, len, out);
            out.extend_from_slice(&mask);
            let start = out.len();
            out.extend_from_slice(content);
            if let Some(content) = out.get_mut(start..) {
                mask_in_place(content, mask);
            }
        }
    }
}

fn opcode(format: Format) -> u8 {
    match format {
        Format::Json => 0x81,
        Format::Msgpack => 0x82,
    }
}

#[inline(always)]
fn websocket_head(first: u8, mask_bit: u8, len: usize, out: &mut Vec<u8>) {
    if len < 126 {
        out.extend_from_slice(&[first, mask_bit | len as u8]);
    } else if let Ok(short) = u16::try_from(len) {
        let [a, b] = short.to_be_bytes();
        out.extend_from_slice(&[first, mask_bit | 126, a, b]);
    } else {
        out.extend_from_slice(&[first, mask_bit | 127]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_frame_is_found_and_unmasked() {
        for (framing, len) in [
            (Framing::Raw, 5),
            (Framing::Raw, 70_000),
            (Framing::Ws, 0),
            (Framing::Ws, 125),
            (Framing::Ws, 126),
            (Framing::Ws, 70_000),
        ] {
            let wire = Wire {
                framing,
                format: Format::Json,
            };
            let content: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut out = Vec::new();
            push_frame(wire, &content, [1, 2, 3, 4], &mut out);
            let frame = peek(framing, &out).unwrap().unwrap();
            assert_eq!((frame.kind, frame.total()), (Kind::Message, out.len()));
            if let Some(mask) = frame.mask {
                mask_in_place(&mut out[frame.head..], mask);
            }
            assert_eq!(&out[frame.head..], &content[..]);
        }
    }

    #[test]
    fn an_incomplete_header_waits_and_a_wrong_one_is_named() {
        assert_eq!(peek(Framing::Raw, &[0, 0, 0]), Ok(None));
        assert_eq!(peek(Framing::Raw, &[9, 0, 0, 0]), Err(9));
        assert_eq!(peek(Framing::Ws, &[0x81, 126, 0]), Ok(None));
        assert_eq!(peek(Framing::Ws, &[0x81, 0x80 | 5, 1, 2, 3]), Ok(None));
        assert_eq!(peek(Framing::Ws, &[0x01, 5]), Err(1));
    }
}
