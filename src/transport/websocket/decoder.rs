//! WebSocket messages from a client: frames put together, pings answered, the closing noticed.
//! Pure: bytes in, messages out. RFC 6455, sections 5 and 7.

use std::ops::Range;

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};
use rewamp_wamp::serializer::Serializer;

use super::frame::{FrameFault, Head, head, unmask};
use crate::transport::reader::{Batch, Decode, Fault, likely_frames};

/// What one connection takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Decides whether messages are text or binary.
    pub(super) serializer: Serializer,
    /// Bytes that a message may have.
    pub(super) max_message: usize,
    /// Bytes that a frame may have.
    pub(super) max_frame: usize,
}

/// See the head of this file.
pub(super) struct Decoder {
    rules: Rules,
    /// A message of several frames, from its first frame on.
    begun: Option<BytesMut>,
}

impl Decoder {
    /// At the beginning of a connection.
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, begun: None }
    }

    /// Whether a frame may follow what came before it; before its payload is waited for.
    fn admit(&self, head: &Head) -> Result<(), FrameFault> {
        match head.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => return Ok(()),
            OpCode::Continue if self.begun.is_none() => return Err(FrameFault::NothingToContinue),
            OpCode::Continue => {}
            _ if self.begun.is_some() => return Err(FrameFault::Unfinished),
            opcode if opcode == self.opcode() => {}
            _ => {
                let expected = if self.opcode() == OpCode::Text {
                    "text"
                } else {
                    "binary"
                };
                let subprotocol = self.rules.serializer.subprotocol();
                return Err(FrameFault::WrongKind {
                    expected,
                    subprotocol,
                });
            }
        }
        let before = self.begun.as_ref().map_or(0, BytesMut::len);
        within("frame", head.payload, self.rules.max_frame)?;
        within(
            "message",
            head.payload.saturating_add(before as u64),
            self.rules.max_message,
        )
    }

    fn opcode(&self) -> OpCode {
        match self.rules.serializer {
            Serializer::Json => OpCode::Text,
            Serializer::MsgPack | Serializer::Cbor => OpCode::Binary,
        }
    }

    fn frames(&mut self, read: &mut BytesMut, batch: &mut Batch) -> Result<(), FrameFault> {
        let mut whole = Whole::default();
        let end = loop {
            match self.frame(read, &mut whole, batch) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        whole.move_to(read, batch);
        end
    }

    /// Takes the next frame; false when it is not all there, or the last one.
    fn frame(
        &mut self,
        read: &mut BytesMut,
        whole: &mut Whole,
        batch: &mut Batch,
    ) -> Result<bool, FrameFault> {
        let rest = read.get_mut(whole.end..).unwrap_or_default();
        let Some(head) = head(rest)? else {
            return Ok(false);
        };
        self.admit(&head)?;
        let Ok(length) = usize::try_from(head.payload) else {
            return Err(FrameFault::Length);
        };
        let Some(payload) = rest.get_mut(head.length..head.length + length) else {
            return Ok(false);
        };
        unmask(payload, head.mask);
        let start = whole.end + head.length;
        whole.end = start + length;
        match head.opcode {
            OpCode::Ping => answer(batch, OpCode::Pong, payload),
            OpCode::Close => {
                batch.closed = Some(echo(payload)?);
                return Ok(false);
            }
            OpCode::Continue => {
                let begun = self.begun.get_or_insert_default();
                begun.extend_from_slice(payload);
                if head.last {
                    let message = self.begun.take().unwrap_or_default().freeze();
                    // The messages before it come first.
                    whole.move_to(read, batch);
                    batch.frames.push(message.into());
                }
            }
            OpCode::Text | OpCode::Binary if head.last => {
                if whole.places.is_empty() {
                    let likely = likely_frames(read.len(), head.length + length);
                    whole.places.reserve(likely);
                }
                whole.places.push(start as u32..whole.end as u32);
            }
            OpCode::Text | OpCode::Binary => self.begun = Some(BytesMut::from(&*payload)),
            OpCode::Pong | OpCode::Bad => {}
        }
        Ok(true)
    }
}

/// The frames at the front of a read that are whole, while they are looked at.
#[derive(Default)]
struct Whole {
    /// Where the next frame begins.
    end: usize,
    /// Where the messages among them are.
    places: Vec<Range<u32>>,
}

impl Whole {
    fn move_to(&mut self, read: &mut BytesMut, batch: &mut Batch) {
        batch.take(read, self.end, std::mem::take(&mut self.places));
        self.end = 0;
    }
}

impl Decode for Decoder {
    fn decode(&mut self, read: &mut BytesMut, batch: &mut Batch) -> Result<(), Fault> {
        self.frames(read, batch).map_err(|fault| {
            let text = fault.to_string();
            let farewell = close_frame(CloseReason::from((fault.code(), text.clone())));
            Fault { text, farewell }
        })
    }
}

fn within(what: &'static str, bytes: u64, limit: usize) -> Result<(), FrameFault> {
    if bytes > limit as u64 {
        Err(FrameFault::TooLong { what, bytes, limit })
    } else {
        Ok(())
    }
}

/// An unmasked control frame.
fn answer(batch: &mut Batch, opcode: OpCode, payload: &[u8]) {
    Parser::write_message(&mut batch.answers, payload, opcode, true, false);
    batch.answered += 1;
}

/// A close frame is answered by its own code. RFC 6455, section 5.5.1.
fn echo(payload: &[u8]) -> Result<Bytes, FrameFault> {
    let reason = Parser::try_parse_close_payload(payload).map_err(|_| FrameFault::BadClose)?;
    let code = reason.map_or(CloseCode::Normal, |reason| reason.code);
    Ok(close_frame(CloseReason::from(code)))
}

/// The last frame to a client.
pub(super) fn close_frame(reason: CloseReason) -> Bytes {
    let mut frame = BytesMut::new();
    Parser::write_close(&mut frame, Some(reason), false);
    frame.freeze()
}

/// A ping without payload.
pub(super) fn ping_frame() -> Bytes {
    let mut frame = BytesMut::new();
    Parser::write_message(&mut frame, [], OpCode::Ping, true, false);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rewamp_actors::session::Frames;

    const RULES: Rules = Rules {
        serializer: Serializer::Json,
        max_message: 1000,
        max_frame: 800,
    };

    /// A client's frame: first byte, payload, masked.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        Parser::write_message(&mut bytes, payload, OpCode::Text, true, true);
        bytes[0] = first;
        bytes.to_vec()
    }

    fn decode_at_once(decoder: &mut Decoder, bytes: &[u8]) -> (Batch, Result<(), Fault>, usize) {
        let (mut read, mut batch) = (BytesMut::from(bytes), Batch::default());
        let result = decoder.decode(&mut read, &mut batch);
        (batch, result, read.len())
    }

    fn check(frames: &[Vec<u8>], messages: &[&[u8]]) {
        let bytes = frames.concat();
        let (batch, result, left) = decode_at_once(&mut Decoder::new(RULES), &bytes);
        assert_eq!(result, Ok(()));
        assert_eq!((messages_of(&batch), left), (bytes_of(messages), 0));

        // The same byte by byte.
        let (mut decoder, mut read, mut batch) =
            (Decoder::new(RULES), BytesMut::new(), Batch::default());
        for byte in bytes {
            read.extend_from_slice(&[byte]);
            decoder.decode(&mut read, &mut batch).unwrap();
        }
        assert_eq!(messages_of(&batch), bytes_of(messages));
    }

    fn messages_of(batch: &Batch) -> Vec<Bytes> {
        batch.frames.iter().flat_map(Frames::messages).collect()
    }

    fn bytes_of(messages: &[&[u8]]) -> Vec<Bytes> {
        messages
            .iter()
            .map(|message| Bytes::copy_from_slice(message))
            .collect()
    }

    #[test]
    fn messages_come_out_in_order_however_they_are_cut_into_frames() {
        check(
            &[frame(0x81, b"one"), frame(0x81, b""), frame(0x81, b"two")],
            &[b"one", b"", b"two"],
        );
        check(
            &[frame(0x01, b"on"), frame(0x80, b"e"), frame(0x81, b"two")],
            &[b"one", b"two"],
        );
        check(
            &[
                frame(0x81, b"one"),
                frame(0x01, b"t"),
                frame(0x00, b""),
                frame(0x80, b"wo"),
            ],
            &[b"one", b"two"],
        );
        check(
            &[
                frame(0x01, b"a"),
                frame(0x89, b"ping"),
                frame(0x8A, b""),
                frame(0x80, b"b"),
            ],
            &[b"ab"],
        );
    }

    #[test]
    fn a_ping_is_answered_with_its_own_payload() {
        let (batch, _, _) =
            decode_at_once(&mut Decoder::new(RULES), &frame(0x89, b"are you there"));
        assert_eq!(&batch.answers[..], b"\x8A\x0Dare you there");
        assert_eq!(batch.answered, 1);
    }

    #[test]
    fn a_close_is_answered_with_its_own_code_and_ends_the_stream() {
        let check = |payload: &[u8], farewell: &[u8]| {
            let bytes = [
                frame(0x81, b"last"),
                frame(0x88, payload),
                frame(0x81, b"late"),
            ]
            .concat();
            let (batch, result, _) = decode_at_once(&mut Decoder::new(RULES), &bytes);
            assert_eq!(result, Ok(()));
            assert_eq!(messages_of(&batch), bytes_of(&[b"last"]));
            assert_eq!(batch.closed.as_deref(), Some(farewell));
        };
        check(&[], &[0x88, 2, 0x03, 0xE8]);
        check(&[0x03, 0xE9, b'b', b'y', b'e'], &[0x88, 2, 0x03, 0xE9]);
        check(&[0x0F, 0xA0], &[0x88, 2, 0x0F, 0xA0]);
    }

    #[test]
    fn a_fault_closes_with_its_code_and_reason_after_the_messages_before_it() {
        let check = |bytes: &[u8], code: u16, reason: &str| {
            let all = [&frame(0x81, b"good"), bytes].concat();
            let (batch, result, _) = decode_at_once(&mut Decoder::new(RULES), &all);
            assert_eq!(messages_of(&batch), bytes_of(&[b"good"]));
            let fault = result.unwrap_err();
            assert_eq!(fault.text, reason);
            assert_eq!(fault.farewell[..2], [0x88, 2 + reason.len() as u8]);
            assert_eq!(fault.farewell[2..4], code.to_be_bytes());
            assert_eq!(&fault.farewell[4..], reason.as_bytes());
        };
        check(&[0x81, 0x01, b'x'], 1002, "a frame is not masked");
        check(
            &frame(0x82, b"x"),
            1003,
            "wamp.2.json takes text messages only",
        );
        check(
            &frame(0x80, b"x"),
            1002,
            "a frame continues a message that never began",
        );
        check(
            &frame(0x88, b"x"),
            1002,
            "a close frame has no valid code and reason",
        );
        check(
            &frame(0x88, &[0x03, 0xEC]),
            1002,
            "a close frame has no valid code and reason",
        );
        check(
            &[frame(0x01, b"x"), frame(0x81, b"y")].concat(),
            1002,
            "a message begins before the last one has ended",
        );
    }

    #[test]
    fn what_is_too_long_is_refused_on_its_head_alone() {
        let check = |bytes: &[u8], reason: &str| {
            let (_, result, _) = decode_at_once(&mut Decoder::new(RULES), bytes);
            assert_eq!(result.unwrap_err().text, reason);
        };
        let whole = frame(0x81, &[b'x'; 801]);
        check(&whole[..8], "a frame of 801 bytes is over the limit of 800");
        let (first, second) = (frame(0x01, &[b'x'; 700]), frame(0x80, &[b'x'; 301]));
        check(
            &[&first, &second[..8]].concat(),
            "a message of 1001 bytes is over the limit of 1000",
        );
        let (_, fits, _) = decode_at_once(&mut Decoder::new(RULES), &frame(0x81, &[b'x'; 800]));
        assert_eq!(fits, Ok(()));
    }

    #[test]
    fn binary_serializers_take_binary_messages() {
        let rules = Rules {
            serializer: Serializer::Cbor,
            ..RULES
        };
        let (batch, _, _) = decode_at_once(&mut Decoder::new(rules), &frame(0x82, &[0x80]));
        assert_eq!(messages_of(&batch), bytes_of(&[&[0x80]]));
        let (_, result, _) = decode_at_once(&mut Decoder::new(rules), &frame(0x81, b"[]"));
        assert_eq!(
            result.unwrap_err().text,
            "wamp.2.cbor takes binary messages only"
        );
    }
}
