//! The messages that a router sends by the million: their length is known before anything is
//! written, and every byte goes where it stays. (Put together on the stack and copied from there
//! they cost more: a wide load has to wait for the narrow stores before it.) All others go by way
//! of `framed.rs`, which writes the same bytes.

pub(super) mod event; // EVENTs, most of all

use bytes::{Buf, Bytes, BytesMut};

use super::number::Number;
use crate::framing::rawsocket::{FrameKind, MAX_PAYLOAD, frame_header};
use crate::framing::{Framing, Wire};
use crate::id::{PublicationId, RegistrationId, RequestId};
use crate::message::MessageType;
use crate::payload::PayloadSlice;
use crate::serializer::{Serializer, append_value};
use crate::value::{Dict, Value};

/// The first byte of a list of at most 15 elements.
const fn list_head(serializer: Serializer, elements: u8) -> u8 {
    match serializer {
        Serializer::Json => b'[',
        Serializer::MsgPack => 0x90 | (elements & 0x0f),
        Serializer::Cbor => 0x80 | (elements & 0x0f),
    }
}

/// Room for what stands before a payload: a header of ten bytes, the head of the list, a type, a
/// request and what is [`Behind`] it, with a comma each in JSON.
const ROOM: usize = 64;

/// What stands between the request of a message and its payload, the same for many messages.
#[derive(Debug, Clone, Copy)]
struct Behind {
    bytes: [u8; 24],
    length: usize,
}

impl Behind {
    /// Of an empty map alone.
    const fn nothing(serializer: Serializer) -> Self {
        let mut bytes = [0; 24];
        let (map, _) = bytes.split_at_mut(3);
        let length = match serializer {
            Serializer::Json => {
                map.copy_from_slice(b",{}");
                3
            }
            Serializer::MsgPack => {
                map.copy_from_slice(&[0x80, 0, 0]);
                1
            }
            Serializer::Cbor => {
                map.copy_from_slice(&[0xa0, 0, 0]);
                1
            }
        };
        Self { bytes, length }
    }

    /// Of an ID and an empty map.
    fn id(serializer: Serializer, id: u64) -> Self {
        let json = serializer == Serializer::Json;
        let mut written = BytesMut::new();
        written.extend_from_slice(if json { b"," } else { b"" });
        Number::new(serializer, id).append(&mut written);
        let map = Self::nothing(serializer);
        written.extend_from_slice(map.bytes.get(..map.length).unwrap_or_default());
        let length = written.len();
        written.resize(24, 0);
        let bytes = written.first_chunk().copied().unwrap_or_default();
        Self { bytes, length }
    }
}

/// The beginning of a message, put together where it stays.
struct Beginning<'o> {
    bytes: &'o mut [u8; ROOM],
    at: usize,
}

impl<'o> Beginning<'o> {
    /// At the end of `out`, which has room for `payload` bytes behind it.
    #[inline(always)]
    fn new(out: &'o mut BytesMut, payload: usize) -> Option<Self> {
        let begins = out.len();
        out.reserve(ROOM + payload + 1);
        out.extend_from_slice(&[0; ROOM]);
        let bytes = out.get_mut(begins..)?.first_chunk_mut()?;
        Some(Self { bytes, at: 0 })
    }

    /// Puts all of `piece` down and counts `length` bytes of it.
    #[inline(always)]
    fn put<const N: usize>(&mut self, piece: &[u8; N], length: usize) {
        let place = self.bytes.get_mut(self.at..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
            *place = *piece;
        }
        self.at += length;
    }

    #[inline(always)]
    fn header(&mut self, wire: Wire, length: usize) -> Option<()> {
        let [.., a, b, c, d] = length.to_be_bytes();
        let opcode = match (wire.framing, wire.serializer) {
            (Framing::RawSocket, _) => {
                self.put(&frame_header(FrameKind::Message, length)?, 4);
                return Some(());
            }
            (Framing::WebSocket, Serializer::Json) => 0x81,
            (Framing::WebSocket, _) => 0x82,
        };
        match length {
            0..126 => self.put(&[opcode, d], 2),
            126..0x1_0000 => self.put(&[opcode, 126, c, d], 4),
            _ => self.put(&[opcode, 127, 0, 0, 0, 0, a, b, c, d], 10),
        }
        Some(())
    }

    /// The head of the list, and the type.
    #[inline(always)]
    fn open(&mut self, serializer: Serializer, code: u8, elements: u8) {
        let list = list_head(serializer, elements);
        match serializer {
            Serializer::Json => {
                let (tens, ones) = (b'0' + code / 10, b'0' + code % 10);
                self.put(&[list, tens, ones, b','], 4);
            }
            Serializer::Cbor if code > 0x17 => self.put(&[list, 0x18, code], 3),
            _ => self.put(&[list, code], 2),
        }
    }

    #[inline(always)]
    fn number(&mut self, number: &Number) {
        self.put(&number.first, number.first_length);
        self.put(&number.second, number.second_length);
    }
}

/// Bytes of the head of the list and the type.
const fn opening_length(serializer: Serializer, code: u8) -> usize {
    match serializer {
        Serializer::Json => 4,
        Serializer::Cbor if code > 0x17 => 3,
        _ => 2,
    }
}

/// What a message in a binary serializer begins with up to its request, put together in a register,
/// how much of it counts, and the length of the message: `whole` of what stands before the rest.
/// `None` if it is longer than a register: a WebSocket frame of 64 KiB or more.
#[inline(always)]
fn beginning(
    wire: Wire,
    (code, elements): (u8, u8),
    request: RequestId,
    whole: impl FnOnce(usize) -> usize,
) -> Option<([u8; 16], usize, usize)> {
    let serializer = wire.serializer;
    let list = u128::from(list_head(serializer, elements));
    let code = u128::from(code);
    let (opening, opening_length) = match serializer {
        Serializer::Json => return None,
        Serializer::Cbor if code > 0x17 => (list | 0x18 << 8 | code << 16, 3),
        _ => (list | code << 8, 2),
    };
    let (number, number_length) = match serializer {
        Serializer::Cbor => Number::in_register(request.get(), 0x17, 0x18),
        _ => Number::in_register(request.get(), 0x7f, 0xcc),
    };
    let front = opening_length + number_length;
    let length = whole(front as usize);
    let [.., c, d] = length.to_be_bytes();
    let (header, header_length) = match wire.framing {
        Framing::RawSocket => {
            let header = frame_header(FrameKind::Message, length)?;
            (u32::from_le_bytes(header), 4)
        }
        Framing::WebSocket if length < 126 => (u32::from_le_bytes([0x82, d, 0, 0]), 2),
        Framing::WebSocket if length < 0x1_0000 => (u32::from_le_bytes([0x82, 126, c, d]), 4),
        Framing::WebSocket => return None,
    };
    let bytes = u128::from(header)
        | opening << (8 * header_length)
        | number << (8 * (header_length + opening_length));
    Some((
        bytes.to_le_bytes(),
        (header_length + front) as usize,
        length,
    ))
}

/// A framed `[code, request, …behind, …payload]`; `elements` are those before the payload.
#[inline(always)]
fn append(
    wire: Wire,
    (code, elements): (u8, u8),
    request: RequestId,
    behind: &Behind,
    payload: PayloadSlice<'_>,
    out: &mut BytesMut,
) -> Option<usize> {
    let serializer = wire.serializer;
    if payload.serializer != serializer {
        return None;
    }
    let short = beginning(
        wire,
        (code, elements + payload.elements),
        request,
        |front| front + behind.length + payload.tail.len(),
    );
    if let Some((bytes, at, length)) = short {
        out.reserve(ROOM + payload.tail.len());
        let begins = out.len();
        out.extend_from_slice(&bytes);
        out.truncate(begins + at);
        out.extend_from_slice(&behind.bytes);
        out.truncate(begins + at + behind.length);
        out.extend_from_slice(payload.tail);
        return Some(length);
    }
    let json = serializer == Serializer::Json;
    let comma = json && payload.elements > 0;
    let request = Number::new(serializer, request.get());
    let length = opening_length(serializer, code)
        + request.length()
        + behind.length
        + usize::from(comma)
        + payload.tail.len()
        + usize::from(json);
    if wire.framing == Framing::RawSocket && length > MAX_PAYLOAD {
        return None;
    }
    let begins = out.len();
    let mut beginning = Beginning::new(out, payload.tail.len())?;
    beginning.header(wire, length)?;
    beginning.open(serializer, code, elements + payload.elements);
    beginning.number(&request);
    beginning.put(&behind.bytes, behind.length);
    beginning.put(b",", usize::from(comma));
    let at = beginning.at;
    out.truncate(begins + at);
    out.extend_from_slice(payload.tail);
    if json {
        out.extend_from_slice(b"]");
    }
    Some(length)
}

/// A framed `[50, request, {}, …payload]`; `None` if `payload` is of another serializer or does
/// not fit a frame.
#[inline]
pub fn append_result(
    wire: Wire,
    request: RequestId,
    payload: PayloadSlice<'_>,
    out: &mut BytesMut,
) -> Option<usize> {
    const CODE: u8 = MessageType::Result as u8;
    let behind = match wire.serializer {
        Serializer::Json => const { &Behind::nothing(Serializer::Json) },
        Serializer::MsgPack => const { &Behind::nothing(Serializer::MsgPack) },
        Serializer::Cbor => const { &Behind::nothing(Serializer::Cbor) },
    };
    append(wire, (CODE, 3), request, behind, payload, out)
}

/// What all INVOCATIONs of one registration on one wire have in common, encoded once: everything
/// but the request and the payload.
#[derive(Debug, Clone)]
pub struct InvocationHead {
    wire: Wire,
    behind: Behind,
}

impl InvocationHead {
    /// For calls of `registration` that show the callee nothing but their arguments.
    #[must_use]
    pub fn new(wire: Wire, registration: RegistrationId) -> Self {
        let behind = Behind::id(wire.serializer, registration.get());
        Self { wire, behind }
    }

    /// Appends a framed `[68, request, registration, {}, …payload]`; `None` as for
    /// [`append_result`].
    #[inline]
    pub fn append(
        &self,
        request: RequestId,
        payload: PayloadSlice<'_>,
        out: &mut BytesMut,
    ) -> Option<usize> {
        const CODE: u8 = MessageType::Invocation as u8;
        append(self.wire, (CODE, 4), request, &self.behind, payload, out)
    }
}

/// A framed PUBLISHED; returns the length of the message in it.
#[inline]
pub fn append_published(
    wire: Wire,
    request: RequestId,
    publication: PublicationId,
    out: &mut BytesMut,
) -> usize {
    const CODE: u8 = MessageType::Published as u8;
    let serializer = wire.serializer;
    let punctuation = usize::from(serializer == Serializer::Json);
    let request = Number::new(serializer, request.get());
    let publication = Number::new(serializer, publication.get());
    let length = opening_length(serializer, CODE)
        + request.length()
        + publication.length()
        + 2 * punctuation;
    let begins = out.len();
    let Some(mut beginning) = Beginning::new(out, 0) else {
        return 0;
    };
    // So short a frame always is one.
    let _ = beginning.header(wire, length);
    beginning.open(serializer, CODE, 3);
    beginning.number(&request);
    beginning.put(b",", punctuation);
    beginning.number(&publication);
    beginning.put(b"]", punctuation);
    let at = beginning.at;
    out.truncate(begins + at);
    length
}

/// Puts a frame and a RESULT around its one element, the list of arguments, which stands in
/// `bytes` from `begin` on: what is before it there is overwritten, so that nothing long is moved.
/// Returns the frame; `None` if there is no room before the list, if no frame is so long, or if the
/// serializer cannot express `details`.
pub fn frame_result(
    wire: Wire,
    request: RequestId,
    details: &Dict,
    mut bytes: BytesMut,
    begin: usize,
) -> Option<Bytes> {
    let serializer = wire.serializer;
    let separator: &[u8] = if serializer == Serializer::Json {
        b","
    } else {
        b""
    };
    let mut head = BytesMut::new();
    head.extend_from_slice(&[list_head(serializer, 4)]);
    Number::new(serializer, MessageType::Result.code()).append(&mut head);
    head.extend_from_slice(separator);
    Number::new(serializer, request.get()).append(&mut head);
    head.extend_from_slice(separator);
    append_value(serializer, &Value::Map(details.clone()), &mut head).ok()?;
    head.extend_from_slice(separator);
    if serializer == Serializer::Json {
        bytes.extend_from_slice(b"]");
    }
    let header = wire
        .header(head.len() + bytes.len().checked_sub(begin)?)
        .ok()?;
    let header = header.as_bytes();
    bytes.advance(begin.checked_sub(header.len() + head.len())?);
    let (place_of_header, rest) = bytes.split_at_mut_checked(header.len())?;
    place_of_header.copy_from_slice(header);
    rest.get_mut(..head.len())?.copy_from_slice(&head);
    Some(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{EventHead, encode_framed};
    use crate::id::Id;
    use crate::message::{
        CallResult, Event, EventDetails, Invocation, InvocationDetails, Message, Published,
        ResultDetails,
    };
    use crate::payload::Payload;

    const NUMBERS: [u64; 14] = [
        1,
        23,
        24,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        4_294_967_295,
        4_294_967_296,
        9_999_999_999,
        (1 << 53) - 1,
        1 << 53,
    ];

    fn check(wire: Wire, message: Message, append: impl FnOnce(&mut BytesMut) -> usize) {
        let (mut expected, mut found) = (BytesMut::new(), BytesMut::new());
        let length = encode_framed(wire, &message, &mut expected).unwrap();
        assert_eq!(append(&mut found), length);
        assert_eq!(found, expected, "{wire:?} {message:?}");
    }

    #[test]
    fn it_writes_what_the_general_way_writes() {
        for wire in Wire::ALL {
            let args = [Value::from("x".repeat(200))];
            let kwargs = Dict::from([("k", 1_u64)]);
            let payloads = [
                Payload::empty(wire.serializer),
                Payload::from_values(wire.serializer, Some(&args), None).unwrap(),
                Payload::from_values(wire.serializer, Some(&args), Some(&kwargs)).unwrap(),
            ];
            for (first, second) in NUMBERS.iter().zip(NUMBERS.iter().rev()) {
                let request = Id::new(*first).unwrap();
                for payload in &payloads {
                    let result = Message::Result(CallResult {
                        request,
                        details: ResultDetails::default(),
                        payload: payload.clone(),
                    });
                    check(wire, result, |out| {
                        append_result(wire, request, payload.as_slice(), out).unwrap()
                    });
                    let registration = Id::new(*second).unwrap();
                    let invocation = Message::Invocation(Invocation {
                        request,
                        registration,
                        details: Box::new(InvocationDetails::default()),
                        payload: payload.clone(),
                    });
                    check(wire, invocation, |out| {
                        let head = InvocationHead::new(wire, registration);
                        head.append(request, payload.as_slice(), out).unwrap()
                    });
                }
                let publication = Id::new(*second).unwrap();
                let published = Message::Published(Published {
                    request,
                    publication,
                });
                check(wire, published, |out| {
                    append_published(wire, request, publication, out)
                });
            }
        }
    }

    #[test]
    fn an_event_from_its_head_is_what_the_general_way_writes() {
        let topics = [
            None,
            Some("com.a"),
            Some("com.example.a.topic.that.is.rather.long"),
        ];
        for (wire, topic) in Wire::ALL
            .into_iter()
            .flat_map(|wire| topics.map(|it| (wire, it)))
        {
            let details = EventDetails {
                topic: topic.map(Into::into),
                ..EventDetails::default()
            };
            // Around the lengths at which a WebSocket header changes its form.
            for length in (0..130).chain(65_450..65_540) {
                let args = [Value::from("x".repeat(length))];
                let args = Payload::from_values(wire.serializer, Some(&args), None).unwrap();
                let payload = if length == 1 {
                    Payload::empty(wire.serializer)
                } else {
                    args
                };
                let publication =
                    NUMBERS[length % NUMBERS.len()].max(1 + ((length as u64 % 3) << 51));
                let publication = Id::new(publication).unwrap();
                let subscription = Id::new(NUMBERS[length / 3 % NUMBERS.len()]).unwrap();
                let head = EventHead::new(wire, subscription, &details).unwrap();
                let event = Message::Event(Event {
                    subscription,
                    publication,
                    details: Box::new(details.clone()),
                    payload: payload.clone(),
                });
                check(wire, event, |out| {
                    head.append(publication, &payload, out).unwrap()
                });
            }
        }
    }

    #[test]
    fn a_result_is_framed_around_its_list_where_that_stands() {
        for wire in Wire::ALL {
            for length in [0, 100, 70_000] {
                for details in [Dict::new(), Dict::from([("_complete", false)])] {
                    let args = [Value::from("x".repeat(length))];
                    let payload = Payload::from_values(wire.serializer, Some(&args), None).unwrap();
                    let request = RequestId::new(300).unwrap();
                    let mut expected = BytesMut::new();
                    let result = Message::Result(CallResult {
                        request,
                        details: ResultDetails {
                            progress: false,
                            extra: details.clone(),
                        },
                        payload: payload.clone(),
                    });
                    encode_framed(wire, &result, &mut expected).unwrap();
                    let mut bytes = BytesMut::zeroed(64);
                    bytes.extend_from_slice(payload.tail());
                    let found = frame_result(wire, request, &details, bytes.clone(), 64);
                    assert_eq!(found.unwrap(), expected, "{wire:?} {length}");
                    bytes.advance(62);
                    assert_eq!(frame_result(wire, request, &details, bytes, 2), None);
                }
            }
        }
    }

    #[test]
    fn a_payload_of_another_serializer_is_left_to_the_general_way() {
        let payload = Payload::empty(Serializer::Cbor);
        let mut out = BytesMut::new();
        let request = RequestId::FIRST;
        assert_eq!(
            append_result(Wire::ALL[0], request, payload.as_slice(), &mut out),
            None
        );
        assert!(out.is_empty());
    }
}
