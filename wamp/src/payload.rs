//! `Payload`: the arguments of a message as the bytes they came in. A receiver with the same
//! serializer gets them untouched, another one gets them transcoded, the history stores them as
//! they are.

mod opaque;

use std::ops::Range;

use bytes::{Bytes, BytesMut};

pub(crate) use self::opaque::allowed_by;
pub use self::opaque::{ENC_ALGO, ENC_KEY, ENC_SERIALIZER, about_payload, is_opaque};
use crate::serializer::{
    CborReader, CborWriter, JsonReader, JsonWriter, Limits, MsgPackReader, MsgPackWriter, Next,
    Reader, Serializer, TranscodeError, Writer, copy, inspect, read_value, utf8, write_list,
    write_map,
};
use crate::value::{Dict, Value};

/// `Arguments|list?, ArgumentsKw|dict?` as one region of well-formed bytes.
///
/// In JSON the two elements are separated by a comma, in MessagePack and CBOR they follow one
/// another. There are no keyword arguments without a list before them: where none came in, an
/// empty one was put there. An opaque payload ([`is_opaque`]) is one text or binary value in place
/// of the list, without keyword arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    serializer: Serializer,
    layout: Layout,
    tail: Bytes,
}

/// Where the elements are in [`Payload::tail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Nothing, the list, or the list and the map: 0 to 2.
    pub elements: u8,
    /// Where the list ends; 0 without one.
    pub args_end: u32,
    /// Where the map begins; where the list ends without one.
    pub kwargs_begin: u32,
}

/// Bytes that are not the arguments of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not what the serializer allows, or nested too deeply.
    #[error("{element}: {what} at byte {at}")]
    Malformed {
        /// `args` or `kwargs`.
        element: &'static str,
        /// Where, in bytes from the start of the element.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Well-formed, but not a list or a map.
    #[error("{element}: expected {expected}")]
    WrongType {
        /// `args` or `kwargs`.
        element: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A layout that does not fit the bytes.
    #[error("{layout:?} does not fit a payload of {bytes} bytes")]
    Layout {
        /// The layout.
        layout: Layout,
        /// The length of the bytes.
        bytes: usize,
    },
}

/// The arguments of a message to be sent on, where they stand: a [`Payload`] that holds nothing
/// alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadSlice<'b> {
    pub(crate) serializer: Serializer,
    pub(crate) elements: u8,
    pub(crate) tail: &'b [u8],
}

impl<'b> PayloadSlice<'b> {
    /// The `elements` (0, 1 or 2) that stand in `tail` as at the end of a message.
    #[must_use]
    pub const fn new(serializer: Serializer, elements: u8, tail: &'b [u8]) -> Self {
        Self {
            serializer,
            elements,
            tail,
        }
    }

    /// What the bytes are.
    #[must_use]
    pub const fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// How many bytes they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tail.len()
    }

    /// Whether there are no arguments.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.elements == 0
    }
}

impl Payload {
    /// No arguments.
    pub const fn empty(serializer: Serializer) -> Self {
        let layout = Layout {
            elements: 0,
            args_end: 0,
            kwargs_begin: 0,
        };
        Self {
            serializer,
            layout,
            tail: Bytes::new(),
        }
    }

    /// From elements that are already serialized.
    ///
    /// # Errors
    /// If they are not one well-formed list and one well-formed map within `limits`, or one
    /// opaque value.
    pub fn from_raw(
        serializer: Serializer,
        args: Option<&[u8]>,
        kwargs: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<Self, PayloadError> {
        if let Some(args) = args {
            let opaque = kwargs.is_none() && is_opaque(serializer, args);
            let expected = if opaque { Next::Text } else { Next::List };
            check(serializer, args, expected, limits)?;
        }
        if let Some(kwargs) = kwargs {
            check(serializer, kwargs, Next::Map, limits)?;
        }
        Ok(Self::joined(serializer, args, kwargs))
    }

    /// From what [`Self::layout`] and [`Self::tail`] gave before. Whether the bytes are still
    /// well-formed is not looked at: they have to come from where a checksum guards them.
    ///
    /// # Errors
    /// If the layout does not fit the bytes.
    pub fn restore(
        serializer: Serializer,
        layout: Layout,
        tail: Bytes,
    ) -> Result<Self, PayloadError> {
        let Layout {
            elements,
            args_end,
            kwargs_begin,
        } = layout;
        let bytes = tail.len();
        let fits = match elements {
            0 => args_end == 0 && kwargs_begin == 0 && bytes == 0,
            1 => args_end as usize == bytes && args_end == kwargs_begin && bytes > 0,
            2 => 0 < args_end && args_end <= kwargs_begin && (kwargs_begin as usize) < bytes,
            _ => false,
        };
        match fits {
            true => Ok(Self {
                serializer,
                layout,
                tail,
            }),
            false => Err(PayloadError::Layout { layout, bytes }),
        }
    }

    /// From trees.
    ///
    /// # Errors
    /// What the serializer cannot express, see [`crate::serializer::append_value`].
    pub fn from_values(
        serializer: Serializer,
        args: Option<&[Value]>,
        kwargs: Option<&Dict>,
    ) -> Result<Self, TranscodeError> {
        match serializer {
            Serializer::Json => write::<JsonWriter>(args, kwargs),
            Serializer::MsgPack => write::<MsgPackWriter>(args, kwargs),
            Serializer::Cbor => write::<CborWriter>(args, kwargs),
        }
    }

    /// How it is serialized.
    pub const fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// How many elements there are: none, the list, or the list and the map.
    pub const fn elements(&self) -> usize {
        self.layout.elements as usize
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.layout.elements == 0
    }

    /// The elements as they stand at the end of a message.
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// Where they are in it.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether it is one text or binary value in place of the list, which [`Self::args`] gives.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.layout.elements == 1 && is_opaque(self.serializer, &self.tail)
    }

    /// The list of positional arguments, or what stands in its place.
    pub fn args(&self) -> Option<&[u8]> {
        match self.layout.elements {
            0 => None,
            _ => self.tail.get(..self.layout.args_end as usize),
        }
    }

    /// The map of keyword arguments.
    pub fn kwargs(&self) -> Option<&[u8]> {
        match self.layout.elements {
            2 => self.tail.get(self.layout.kwargs_begin as usize..),
            _ => None,
        }
    }

    /// A copy of its own, for keeping: the bytes are otherwise a slice of a whole read block.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self {
            tail: Bytes::copy_from_slice(&self.tail),
            ..self.clone()
        }
    }

    /// The positional arguments as trees; none if there is no list, nor are there in an opaque
    /// payload.
    ///
    /// # Errors
    /// As [`read_value`], with the default limits.
    pub fn args_value(&self) -> Result<Vec<Value>, TranscodeError> {
        match self.tree(self.args(), "args")? {
            Some(Value::List(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// The keyword arguments as trees; none if there is no map.
    ///
    /// # Errors
    /// As [`read_value`], with the default limits.
    pub fn kwargs_value(&self) -> Result<Dict, TranscodeError> {
        match self.tree(self.kwargs(), "kwargs")? {
            Some(Value::Map(dict)) => Ok(dict),
            _ => Ok(Dict::new()),
        }
    }

    /// The same arguments in another serializer; for the same one without a copy.
    ///
    /// # Errors
    /// What the other one cannot express exactly; the path begins with `args` or `kwargs`.
    pub fn transcode(&self, to: Serializer) -> Result<Self, TranscodeError> {
        if to == self.serializer || self.is_empty() {
            return Ok(Self {
                serializer: to,
                ..self.clone()
            });
        }
        let mut out = BytesMut::with_capacity(self.tail.len() + self.tail.len() / 4 + 16);
        let mut layout = Layout {
            elements: self.layout.elements,
            ..Layout::default()
        };
        for (element, name) in [(self.args(), "args"), (self.kwargs(), "kwargs")] {
            let Some(element) = element else { continue };
            if name == "kwargs" {
                if to == Serializer::Json {
                    out.extend_from_slice(b",");
                }
                layout.kwargs_begin = out.len() as u32;
            }
            let element = self.tail.slice_ref(element);
            transcode_to(self.serializer, &element, to, &mut out)
                .map_err(|error| error.within(name))?;
            if name == "args" {
                layout.args_end = out.len() as u32;
                layout.kwargs_begin = layout.args_end;
            }
        }
        Ok(Self {
            serializer: to,
            layout,
            tail: out.freeze(),
        })
    }

    /// From elements of a message, found to be well-formed where `layout` says.
    pub(crate) fn from_places(serializer: Serializer, layout: Layout, tail: Bytes) -> Self {
        Self {
            serializer,
            layout,
            tail,
        }
    }

    /// The same for sending it on.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> PayloadSlice<'_> {
        PayloadSlice {
            serializer: self.serializer,
            elements: self.layout.elements,
            tail: &self.tail,
        }
    }

    /// From elements of a message, found to be well-formed: a slice where they stand together
    /// in it, `args` before `kwargs`.
    pub(crate) fn from_message(
        serializer: Serializer,
        source: &Bytes,
        args: Option<Range<usize>>,
        kwargs: Option<Range<usize>>,
    ) -> Self {
        let element = |range: &Range<usize>| source.get(range.clone()).unwrap_or_default();
        match (args, kwargs) {
            (None, None) => Self::empty(serializer),
            (Some(args), None) => {
                let args_end = args.len() as u32;
                let layout = Layout {
                    elements: 1,
                    args_end,
                    kwargs_begin: args_end,
                };
                Self {
                    serializer,
                    layout,
                    tail: source.slice(args),
                }
            }
            (Some(args), Some(kwargs)) => {
                let args_end = args.len() as u32;
                let kwargs_begin = (kwargs.start - args.start) as u32;
                let layout = Layout {
                    elements: 2,
                    args_end,
                    kwargs_begin,
                };
                Self {
                    serializer,
                    layout,
                    tail: source.slice(args.start..kwargs.end),
                }
            }
            (None, Some(kwargs)) => Self::joined(serializer, None, Some(element(&kwargs))),
        }
    }

    /// Well-formed elements put together.
    fn joined(serializer: Serializer, args: Option<&[u8]>, kwargs: Option<&[u8]>) -> Self {
        let empty_list: &[u8] = match serializer {
            Serializer::Json => b"[]",
            Serializer::MsgPack => &[0x90],
            Serializer::Cbor => &[0x80],
        };
        let Some(args) = args.or(kwargs.is_some().then_some(empty_list)) else {
            return Self::empty(serializer);
        };
        let mut tail = args.to_vec();
        let mut layout = Layout {
            elements: 1,
            args_end: tail.len() as u32,
            kwargs_begin: tail.len() as u32,
        };
        if let Some(kwargs) = kwargs {
            if serializer == Serializer::Json {
                tail.push(b',');
            }
            layout.elements = 2;
            layout.kwargs_begin = tail.len() as u32;
            tail.extend_from_slice(kwargs);
        }
        Self {
            serializer,
            layout,
            tail: tail.into(),
        }
    }

    fn tree(
        &self,
        element: Option<&[u8]>,
        name: &'static str,
    ) -> Result<Option<Value>, TranscodeError> {
        let Some(element) = element else {
            return Ok(None);
        };
        let element = self.tail.slice_ref(element);
        let value = read_value(self.serializer, &element, &Limits::default());
        value.map(Some).map_err(|error| error.within(name))
    }
}

/// One element, and nothing else, of the type that is expected.
fn check(
    serializer: Serializer,
    element: &[u8],
    expected: Next,
    limits: &Limits,
) -> Result<(), PayloadError> {
    let bytes = Bytes::copy_from_slice(element);
    let found = inspect(serializer, &bytes, limits);
    let (element, expected_text) = match expected {
        Next::Map => ("kwargs", "a map"),
        _ => ("args", "a list"),
    };
    match found {
        Ok(found) if found == expected => Ok(()),
        Ok(_) => Err(PayloadError::WrongType {
            element,
            expected: expected_text,
        }),
        Err(malformed) => {
            let (at, what) = (malformed.at(), malformed.fault.text());
            Err(PayloadError::Malformed { element, at, what })
        }
    }
}

fn write<W: Writer>(
    args: Option<&[Value]>,
    kwargs: Option<&Dict>,
) -> Result<Payload, TranscodeError> {
    let mut out = BytesMut::new();
    let mut layout = Layout::default();
    if args.is_some() || kwargs.is_some() {
        write_list::<W>(&mut out, args.unwrap_or_default())
            .map_err(|error| error.within("args"))?;
        layout.elements = 1;
        layout.args_end = out.len() as u32;
        layout.kwargs_begin = layout.args_end;
    }
    if let Some(kwargs) = kwargs {
        W::separate(&mut out, false);
        layout.elements = 2;
        layout.kwargs_begin = out.len() as u32;
        write_map::<W>(&mut out, kwargs).map_err(|error| error.within("kwargs"))?;
    }
    Ok(Payload {
        serializer: W::SERIALIZER,
        layout,
        tail: out.freeze(),
    })
}

/// Appends `element` of one serializer in another.
fn transcode_to(
    from: Serializer,
    element: &Bytes,
    to: Serializer,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    match from {
        Serializer::Json => copy_to(&mut JsonReader::new(element, utf8(element)?), to, out),
        Serializer::MsgPack => copy_to(&mut MsgPackReader::new(element), to, out),
        Serializer::Cbor => copy_to(&mut CborReader::new(element), to, out),
    }
}

fn copy_to<'a, R: Reader<'a>>(
    reader: &mut R,
    to: Serializer,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    match to {
        Serializer::Json => copy::<R, JsonWriter>(reader, Limits::MAX_NESTING, out),
        Serializer::MsgPack => copy::<R, MsgPackWriter>(reader, Limits::MAX_NESTING, out),
        Serializer::Cbor => copy::<R, CborWriter>(reader, Limits::MAX_NESTING, out),
    }
}
