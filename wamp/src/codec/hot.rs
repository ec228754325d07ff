//! The messages that a router sends by the million, put together on the stack: everything but the
//! payload is short, so it is laid out first, its length known before the frame's header is
//! written, and nothing is moved afterwards. What does not fit here goes by way of `framed.rs`,
//! which writes the same bytes.

use bytes::{Buf, Bytes, BytesMut};

use crate::framing::{FrameTooLong, Wire};
use crate::id::{PublicationId, RegistrationId, RequestId};
use crate::message::MessageType;
use crate::payload::Payload;
use crate::serializer::{Serializer, append_value};
use crate::value::{Dict, Value};

/// Bytes of everything but the payload, at most.
const HEAD_BYTES: usize = 96;

/// What stands before the payload of one message.
pub(super) struct Head {
    serializer: Serializer,
    bytes: [u8; HEAD_BYTES],
    length: usize,
}

/// It does not fit; nothing has been written.
pub(super) struct TooLong;

impl Head {
    /// The beginning of a list of that many elements, at most 15.
    pub(super) fn of_list(serializer: Serializer, elements: usize) -> Self {
        let elements = elements as u8 & 0x0f;
        let first = match serializer {
            Serializer::Json => b'[',
            Serializer::MsgPack => 0x90 | elements,
            Serializer::Cbor => 0x80 | elements,
        };
        let mut bytes = [0; HEAD_BYTES];
        if let Some(place) = bytes.first_mut() {
            *place = first;
        }
        Self {
            serializer,
            bytes,
            length: 1,
        }
    }

    /// Appends bytes that are already serialized, separators included.
    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let end = self.length + bytes.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(TooLong)?;
        place.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Appends a number.
    #[inline]
    pub(super) fn number(&mut self, number: u64) -> Result<(), TooLong> {
        match self.serializer {
            Serializer::Json => self.raw(itoa::Buffer::new().format(number).as_bytes()),
            Serializer::MsgPack => self.binary_number(number, [0xcc, 0xcd, 0xce, 0xcf], 0x7f, 0),
            Serializer::Cbor => self.binary_number(number, [0x18, 0x19, 0x1a, 0x1b], 0x17, 0),
        }
    }

    /// The shortest of the forms that MessagePack and CBOR share but for their first bytes.
    #[inline]
    fn binary_number(
        &mut self,
        number: u64,
        [of_8, of_16, of_32, of_64]: [u8; 4],
        largest_in_one: u64,
        base: u8,
    ) -> Result<(), TooLong> {
        let bytes = number.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = bytes;
        if number > u64::from(u32::MAX) {
            self.raw(&[of_64, a, b, c, d, e, f, g, h])
        } else if number <= largest_in_one {
            self.raw(&[base | h])
        } else if number <= u64::from(u8::MAX) {
            self.raw(&[of_8, h])
        } else if number <= u64::from(u16::MAX) {
            self.raw(&[of_16, g, h])
        } else {
            self.raw(&[of_32, e, f, g, h])
        }
    }

    /// Appends a separator and a number.
    #[inline]
    fn next_number(&mut self, number: u64) -> Result<(), TooLong> {
        if self.serializer == Serializer::Json {
            self.raw(b",")?;
        }
        self.number(number)
    }

    /// Appends a separator and an empty map.
    #[inline]
    fn empty_map(&mut self) -> Result<(), TooLong> {
        self.raw(match self.serializer {
            Serializer::Json => b",{}",
            Serializer::MsgPack => &[0x80],
            Serializer::Cbor => &[0xa0],
        })
    }

    /// Appends the frame of the message to `out`, with `payload` of the same serializer at its
    /// end, and returns the length of the message in it.
    ///
    /// # Errors
    /// If no frame is so long; nothing is appended.
    #[inline]
    pub(super) fn finish(
        mut self,
        wire: Wire,
        payload: &Payload,
        out: &mut BytesMut,
    ) -> Result<usize, FrameTooLong> {
        let json = self.serializer == Serializer::Json;
        let tail = payload.tail();
        if json && !payload.is_empty() && self.raw(b",").is_err() {
            return Err(FrameTooLong {
                bytes: self.length + tail.len(),
            });
        }
        let length = self.length + tail.len() + usize::from(json);
        let header = wire.header(length)?;
        let header = header.as_bytes();
        out.reserve(header.len() + length);
        out.extend_from_slice(header);
        out.extend_from_slice(self.bytes.get(..self.length).unwrap_or_default());
        out.extend_from_slice(tail);
        if json {
            out.extend_from_slice(b"]");
        }
        Ok(length)
    }
}

/// A framed `[50, request, {}, …payload]`; `None` if `payload` is of another serializer or does
/// not fit a frame.
pub fn append_result(
    wire: Wire,
    request: RequestId,
    payload: &Payload,
    out: &mut BytesMut,
) -> Option<usize> {
    let ids = [request.get()];
    append(wire, MessageType::Result, &ids, true, payload, out)
}

/// A framed `[68, request, registration, {}, …payload]`; `None` as for [`append_result`].
pub fn append_invocation(
    wire: Wire,
    request: RequestId,
    registration: RegistrationId,
    payload: &Payload,
    out: &mut BytesMut,
) -> Option<usize> {
    let ids = [request.get(), registration.get()];
    append(wire, MessageType::Invocation, &ids, true, payload, out)
}

/// A framed PUBLISHED; returns the length of the message in it.
pub fn append_published(
    wire: Wire,
    request: RequestId,
    publication: PublicationId,
    out: &mut BytesMut,
) -> usize {
    let ids = [request.get(), publication.get()];
    let nothing = Payload::empty(wire.serializer);
    append(wire, MessageType::Published, &ids, false, &nothing, out).unwrap_or_default()
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
    let mut head = Head::of_list(wire.serializer, 4);
    head.number(MessageType::Result.code()).ok()?;
    head.next_number(request.get()).ok()?;
    let separator: &[u8] = if wire.serializer == Serializer::Json {
        b","
    } else {
        b""
    };
    if details.is_empty() {
        head.empty_map().ok()?;
    } else {
        let mut map = BytesMut::new();
        append_value(wire.serializer, &Value::Map(details.clone()), &mut map).ok()?;
        head.raw(separator).ok()?;
        head.raw(&map).ok()?;
    }
    head.raw(separator).ok()?;
    if wire.serializer == Serializer::Json {
        bytes.extend_from_slice(b"]");
    }
    let head = head.bytes.get(..head.length)?;
    let header = wire
        .header(head.len() + bytes.len().checked_sub(begin)?)
        .ok()?;
    let header = header.as_bytes();
    bytes.advance(begin.checked_sub(header.len() + head.len())?);
    let (place_of_header, rest) = bytes.split_at_mut_checked(header.len())?;
    place_of_header.copy_from_slice(header);
    rest.get_mut(..head.len())?.copy_from_slice(head);
    Some(bytes.freeze())
}

#[inline]
fn append(
    wire: Wire,
    message_type: MessageType,
    ids: &[u64],
    with_details: bool,
    payload: &Payload,
    out: &mut BytesMut,
) -> Option<usize> {
    if payload.serializer() != wire.serializer {
        return None;
    }
    let elements = 1 + ids.len() + usize::from(with_details) + payload.elements();
    let mut head = Head::of_list(wire.serializer, elements);
    head.number(message_type.code()).ok()?;
    for id in ids {
        head.next_number(*id).ok()?;
    }
    if with_details {
        head.empty_map().ok()?;
    }
    head.finish(wire, payload, out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode_framed;
    use crate::id::Id;
    use crate::message::{
        CallResult, Invocation, InvocationDetails, Message, Published, ResultDetails,
    };

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
                        append_result(wire, request, payload, out).unwrap()
                    });
                    let registration = Id::new(*second).unwrap();
                    let invocation = Message::Invocation(Invocation {
                        request,
                        registration,
                        details: Box::new(InvocationDetails::default()),
                        payload: payload.clone(),
                    });
                    check(wire, invocation, |out| {
                        append_invocation(wire, request, registration, payload, out).unwrap()
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
            append_result(Wire::ALL[0], request, &payload, &mut out),
            None
        );
        assert!(out.is_empty());
    }
}
