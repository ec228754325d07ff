//! The messages that clients send by the million, read without building one: a [`Plain`] says
//! where its parts stand. What is in any way unusual is left to [`decode`](super::decode), which
//! reads the same from the same bytes.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

use crate::id::RequestId;
use crate::message::{
    Call, CallOptions, Message, MessageType, Publish, PublishOptions, Yield, YieldOptions,
};
use crate::payload::{Layout, Payload, PayloadSlice};
use crate::serializer::{CborReader, End, Limits, Next, Open, Reader, Serializer, Token, is_ascii};

mod json; // the form that programs write JSON in
mod msgpack; // and MessagePack

/// A PUBLISH, CALL or YIELD without options, or with none but these two, and with a name of ASCII:
/// where it stands in the block of bytes that it came in. Small, and holds nothing alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// Which of the three.
    pub kind: PlainKind,
    /// Whether PUBLISHED or ERROR is wanted; false but for a PUBLISH.
    pub acknowledge: bool,
    /// Whether the publisher itself gets no EVENT; true but for a PUBLISH that says otherwise.
    pub exclude_me: bool,
    elements: u8,
    /// The sender's number for it, or of what it answers.
    pub request: RequestId,
    name: Place,
    payload: Place,
    args_end: u32,
    kwargs_begin: u32,
}

/// What sort of message a [`Plain`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainKind {
    /// A PUBLISH, named by its topic.
    Publish,
    /// A CALL, named by its procedure.
    Call,
    /// A YIELD, which has no name.
    Yield,
}

/// From where to where. 32 bits: no block has 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    begin: u32,
    end: u32,
}

impl Place {
    fn of(self, block: &[u8]) -> &[u8] {
        let Self { begin, end } = self;
        block.get(begin as usize..end as usize).unwrap_or_default()
    }

    /// Where `text` stands that ends at `end`.
    #[inline(always)]
    const fn behind(text: &[u8], end: usize) -> Self {
        Self {
            begin: (end - text.len()) as u32,
            end: end as u32,
        }
    }
}

/// What a message without options begins with.
pub(super) struct Head {
    kind: PlainKind,
    request: RequestId,
    /// Whether it is acknowledged, and not sent to the publisher itself.
    options: (bool, bool),
    name: Place,
}

/// Where its arguments stand.
#[derive(Default)]
pub(super) struct Arguments {
    elements: u8,
    payload: Place,
    args_end: u32,
    kwargs_begin: u32,
}

impl Arguments {
    /// A list and no map.
    #[inline(always)]
    const fn of_list(args: Place) -> Self {
        let length = args.end - args.begin;
        Self {
            elements: 1,
            payload: args,
            args_end: length,
            kwargs_begin: length,
        }
    }
}

/// What holds without any options: no acknowledgement, and the publisher gets no EVENT.
const USUAL_OPTIONS: (bool, bool) = (false, true);

impl Plain {
    /// A place for [`Self::read_into`]: a YIELD without anything.
    pub const EMPTY: Self = Self {
        kind: PlainKind::Yield,
        acknowledge: false,
        exclude_me: true,
        elements: 0,
        request: RequestId::FIRST,
        name: Place { begin: 0, end: 0 },
        payload: Place { begin: 0, end: 0 },
        args_end: 0,
        kwargs_begin: 0,
    };

    /// Reads the message at `place` of `block`. `None` means no more than that it has to go the
    /// general way: where this succeeds, [`decode`](super::decode) does too, and gives the same as
    /// [`Self::message`].
    #[must_use]
    pub fn read(
        serializer: Serializer,
        block: &Bytes,
        place: Range<u32>,
        limits: &Limits,
    ) -> Option<Self> {
        let mut plain = Self::EMPTY;
        plain
            .read_into(serializer, block, place, limits)
            .then_some(plain)
    }

    /// As [`Self::read`], to where the result is to stay: to move it as soon as it is written costs
    /// as much as reading it. If it is false, nothing has been changed.
    #[must_use]
    #[inline]
    pub fn read_into(
        &mut self,
        serializer: Serializer,
        block: &Bytes,
        place: Range<u32>,
        limits: &Limits,
    ) -> bool {
        let Some(frame) = block.get(place.start as usize..place.end as usize) else {
            return false;
        };
        let read = match serializer {
            Serializer::Json => return self.read_json(block, frame, place.start, limits),
            Serializer::MsgPack => {
                msgpack::usual(block, frame, limits).or_else(|| msgpack::any(block, frame, limits))
            }
            Serializer::Cbor => read(CborReader::within(block, frame), limits),
        };
        read.is_some_and(|(head, arguments)| self.put(&head, &arguments, place.start))
    }

    /// Apart from the others: in one function with them, all would take longer.
    #[inline(never)]
    fn read_json(&mut self, block: &Bytes, frame: &[u8], begin: u32, limits: &Limits) -> bool {
        match json::usual(block, frame, limits).or_else(|| json::any(block, frame, limits)) {
            Some((head, arguments)) => self.put(&head, &arguments, begin),
            None => false,
        }
    }

    /// Takes over what was read from a message that begins at `begin` of its block.
    #[inline(always)]
    fn put(&mut self, head: &Head, arguments: &Arguments, begin: u32) -> bool {
        let moved = |place: Place| Place {
            begin: place.begin + begin,
            end: place.end + begin,
        };
        *self = Self {
            kind: head.kind,
            acknowledge: head.options.0,
            exclude_me: head.options.1,
            elements: arguments.elements,
            request: head.request,
            name: moved(head.name),
            payload: moved(arguments.payload),
            args_end: arguments.args_end,
            kwargs_begin: arguments.kwargs_begin,
        };
        true
    }

    /// Its type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self.kind {
            PlainKind::Publish => MessageType::Publish,
            PlainKind::Call => MessageType::Call,
            PlainKind::Yield => MessageType::Yield,
        }
    }

    /// The topic or procedure, which is ASCII, in the block that this was read from.
    #[must_use]
    #[inline]
    pub fn name<'b>(&self, block: &'b [u8]) -> &'b [u8] {
        self.name.of(block)
    }

    /// Whether that is its topic or procedure. In large pieces: names are short, and asked for once
    /// a message.
    #[must_use]
    #[inline]
    pub fn is_named(&self, name: &[u8], block: &[u8]) -> bool {
        let own = self.name(block);
        let (pieces, _) = own.as_chunks::<8>();
        let (others, _) = name.as_chunks::<8>();
        own.len() == name.len()
            && pieces.iter().zip(others).all(|(own, other)| own == other)
            && match (own.last_chunk::<8>(), name.last_chunk::<8>()) {
                (Some(own), Some(other)) => own == other,
                _ => own == name,
            }
    }

    /// The arguments in the block that this was read from, to be sent on.
    #[must_use]
    #[inline]
    pub fn payload<'b>(&self, serializer: Serializer, block: &'b [u8]) -> PayloadSlice<'b> {
        PayloadSlice {
            serializer,
            elements: self.elements,
            tail: self.payload.of(block),
        }
    }

    /// The message in full, which keeps the block alive.
    #[must_use]
    pub fn message(&self, serializer: Serializer, block: &Bytes) -> Message {
        let slice = |place: Place| block.slice_ref(place.of(block));
        // Only ASCII was taken for a name.
        let name = ByteString::try_from(slice(self.name)).unwrap_or_default();
        let layout = Layout {
            elements: self.elements,
            args_end: self.args_end,
            kwargs_begin: self.kwargs_begin,
        };
        let payload = Payload::from_places(serializer, layout, slice(self.payload));
        let request = self.request;
        match self.kind {
            PlainKind::Publish => Message::Publish(Publish {
                request,
                options: PublishOptions {
                    acknowledge: self.acknowledge,
                    exclude_me: self.exclude_me,
                    ..PublishOptions::default()
                },
                topic: name,
                payload,
            }),
            PlainKind::Call => Message::Call(Call {
                request,
                options: CallOptions::default(),
                procedure: name,
                payload,
            }),
            PlainKind::Yield => Message::Yield(Yield {
                request,
                options: YieldOptions::default(),
                payload,
            }),
        }
    }
}

#[inline(always)]
fn read<'a, R: Reader<'a>>(mut reader: R, limits: &Limits) -> Option<(Head, Arguments)> {
    let mut open = reader.enter(End::List)?;
    let head = head(&mut reader, &mut open)?;
    let arguments = arguments(&mut reader, &mut open, limits)?;
    Some((head, arguments))
}

#[inline(always)]
fn head<'a, R: Reader<'a>>(reader: &mut R, open: &mut Open) -> Option<Head> {
    another(reader, open)?;
    let kind = match reader.plain_unsigned()? {
        16 => PlainKind::Publish,
        48 => PlainKind::Call,
        70 => PlainKind::Yield,
        _ => return None,
    };
    another(reader, open)?;
    let request = RequestId::new(reader.plain_unsigned()?)?;
    another(reader, open)?;
    let options = options(reader, kind)?;
    let mut name = Place::default();
    if kind != PlainKind::Yield {
        another(reader, open)?;
        let text = reader.plain_text()?;
        if !is_ascii(text) {
            return None;
        }
        name = Place::behind(text, reader.end_of_text());
    }
    Some(Head {
        kind,
        request,
        options,
        name,
    })
}

/// There has to be another element.
#[inline(always)]
fn another<'a, R: Reader<'a>>(reader: &mut R, open: &mut Open) -> Option<()> {
    reader.more(open, End::List).ok()?.then_some(())
}

/// Whether an acknowledgement is wanted, and whether the publisher itself is left out.
#[inline(always)]
fn options<'a, R: Reader<'a>>(reader: &mut R, kind: PlainKind) -> Option<(bool, bool)> {
    let (mut acknowledge, mut exclude_me) = USUAL_OPTIONS;
    let mut open = reader.enter(End::Map)?;
    while reader.more(&mut open, End::Map).ok()? {
        let key = reader.plain_key()?;
        let Token::Bool(value) = reader.token().ok()? else {
            return None;
        };
        match (kind, key) {
            (PlainKind::Publish, b"acknowledge") => acknowledge = value,
            (PlainKind::Publish, b"exclude_me") => exclude_me = value,
            _ => return None,
        }
    }
    Some((acknowledge, exclude_me))
}

/// The rest of the message.
#[inline(always)]
fn arguments<'a, R: Reader<'a>>(
    reader: &mut R,
    open: &mut Open,
    limits: &Limits,
) -> Option<Arguments> {
    if !reader.more(open, End::List).ok()? {
        reader.finish().ok()?;
        return Some(Arguments::default());
    }
    let args = element(reader, Next::List, limits)?;
    let mut arguments = Arguments::of_list(args);
    if reader.more(open, End::List).ok()? {
        let kwargs = element(reader, Next::Map, limits)?;
        arguments.payload.end = kwargs.end;
        arguments.elements = 2;
        arguments.kwargs_begin = kwargs.begin - args.begin;
        if reader.more(open, End::List).ok()? {
            return None;
        }
    }
    reader.finish().ok()?;
    Some(arguments)
}

#[inline(always)]
fn element<'a, R: Reader<'a>>(reader: &mut R, expected: Next, limits: &Limits) -> Option<Place> {
    if reader.next().ok()? != expected {
        return None;
    }
    let begin = reader.position() as u32;
    reader.skip(limits.max_nesting()).ok()?;
    let end = reader.position() as u32;
    Some(Place { begin, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::decode;
    use crate::serializer::{append_value, read_value};
    use bytes::BytesMut;

    fn read_in(serializer: Serializer, text: &str) -> Option<Plain> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        let value = read_value(Serializer::Json, &text, &Limits::default()).unwrap();
        let mut block = BytesMut::from("before");
        append_value(serializer, &value, &mut block).unwrap();
        let place = 6..block.len() as u32;
        block.extend_from_slice(b"after");
        let block = block.freeze();
        let plain = Plain::read(serializer, &block, place.clone(), &Limits::default())?;
        let frame = block.slice(place.start as usize..place.end as usize);
        let decoded = decode(serializer, &frame, &Limits::default()).unwrap();
        let message = plain.message(serializer, &block);
        assert_eq!(message, decoded, "{serializer} {text:?}");
        assert_eq!(message.message_type(), plain.message_type());
        let payload = message.payload().unwrap();
        assert_eq!(payload.as_slice(), plain.payload(serializer, &block));
        let name = plain.name(&block).to_vec();
        assert!(plain.is_named(&name, &block));
        assert!(!plain.is_named(&[&name, &b"x"[..]].concat(), &block));
        for place in 0..name.len() {
            let mut other = name.clone();
            other[place] ^= 1;
            assert!(!plain.is_named(&other, &block), "{place}");
        }
        Some(plain)
    }

    #[test]
    fn what_clients_send_by_the_million_is_read_the_short_way_in_every_serializer() {
        for text in [
            r#"[16,7,{},"com.a"]"#,
            r#"[16,239714735,{},"com.a",[]]"#,
            r#"[16,7,{},"com.a",[1,"two é",{"three":[]}],{"four":null}]"#,
            r#"[16,9007199254740992,{"acknowledge":true},"com.a",[1]]"#,
            r#"[16,7,{"acknowledge":true,"exclude_me":false},"com.a",[[[-1.5]]],{}]"#,
            r#"[48,7,{},"com.a",[1],{"a":2}]"#,
            r#"[48,7,{},"",[1]]"#,
            r#"[48,7,{},"com.eight.and.more",[1]]"#,
            r#"[70,7,{},[1]]"#,
            r#"[70,7,{}]"#,
            r#"[48,7,{},"com.a",["one\"two",1]]"#,
            r#"[48,7,{},"com.a",["é",-1,{}],{"a":2}]"#,
            r#" [ 48 , 7 , { } , "com.a" , [ 1 , "two" ] ] "#,
            r#"[16,7,{"acknowledge":true},"com.a",["one","two",3.5e-1,"",null]]"#,
        ] {
            for serializer in Serializer::ALL {
                assert!(read_in(serializer, text).is_some(), "{serializer} {text}");
            }
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_general_way() {
        for text in [
            r#"[17,7,8]"#,
            r#"[32,7,{},"com.a"]"#,
            r#"[16,7,{"exclude":[5]},"com.a",[1]]"#,
            r#"[16,7,{"acknowledge":null},"com.a",[1]]"#,
            r#"[16,7,{"_mine":1},"com.a",[1]]"#,
            r#"[16,7,{},"com.é",[1]]"#,
            r#"[16,7,{},"com.a",null,{}]"#,
            r#"[16,7,{},"com.a",[],null]"#,
            r#"[48,7,{"acknowledge":true},"com.a"]"#,
            r#"[70,7,{"progress":true},[1]]"#,
        ] {
            for serializer in Serializer::ALL {
                assert_eq!(read_in(serializer, text), None, "{serializer} {text}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_not_read_the_short_way() {
        for text in [
            r#"[16,0,{},"com.a",[1]]"#,
            r#"[16,7,{},"com.a",[1],{},{}]"#,
            r#"[16,7,{},"com.a",{}]"#,
            r#"[16,7,{},"com.a",[1]"#,
            r#"[16,7,{},"com.a",[01]]"#,
            r#"[16,7,{},"com.a",[1]]]"#,
            r#"[16,7,{"acknowledge":1},"com.a",[1]]"#,
            r#"[16,7,{}]"#,
            r#"[48,07,{},"com.a"]"#,
            r#"[48,7.0,{},"com.a"]"#,
            r#"[48,7,{},"com.a",["one"two"]]"#,
            r#"[48,7,{},"com.a",["one",]]"#,
            r#"[48,7,{},"com.a",[1 2]]"#,
            r#"[48,7,{},"com.a",[-]]"#,
            r#"[48,7,{},"com.a",["one"]"#,
            r#"[48,7,{},"com.a",["one"]],"#,
            "[48,7,{},\"com.a\",[\"a\tb\"]]",
        ] {
            let block = Bytes::copy_from_slice(text.as_bytes());
            let place = 0..block.len() as u32;
            let limits = Limits::default();
            assert_eq!(
                Plain::read(Serializer::Json, &block, place, &limits),
                None,
                "{text}"
            );
        }
        let deep = format!("[70,7,{{}},{}1{}]", "[".repeat(5), "]".repeat(5));
        let block = Bytes::from(deep);
        let read = |levels| {
            let limits = Limits::default().with_nesting(levels);
            Plain::read(Serializer::Json, &block, 0..block.len() as u32, &limits)
        };
        assert!(read(5).is_some());
        assert_eq!(read(4), None);
        assert_eq!(
            Plain::read(Serializer::Json, &block, 5..99, &Limits::default()),
            None
        );
    }
}
