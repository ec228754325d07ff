//! JSON, MessagePack and CBOR: which one a peer speaks, the limits of what it may send, and
//! single values as bytes. Messages are `codec.rs`'s, their arguments `payload.rs`'s.

mod token;
mod write;
mod json;
mod msgpack;
mod cbor;
mod transcode;

use std::fmt;

use bytes::{Bytes, BytesMut};

pub(crate) use self::cbor::CborReader;
pub use self::cbor::CborWriter;
#[cfg(test)]
pub(crate) use self::json::BASE64;
pub use self::json::JsonWriter;
pub(crate) use self::json::{JsonReader, flat_list_end, plain_name};
pub(crate) use self::msgpack::MsgPackReader;
pub use self::msgpack::MsgPackWriter;
pub(crate) use self::token::{End, Fault, Malformed, Next, Open, Reader, Text, Token};
pub use self::transcode::TranscodeError;
pub(crate) use self::transcode::{Builder, NOT_A_KEY, copy};
pub use self::write::Writer;
pub(crate) use self::write::{write_entries, write_list, write_map, write_value};
use crate::value::Value;

/// A serialization format. Spec: "Serializers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Serializer {
    /// RFC 8259.
    Json,
    /// MessagePack of version 5 or later, which tells strings from binary data.
    MsgPack,
    /// RFC 8949.
    Cbor,
}

impl Serializer {
    /// All of them, in the order of their RawSocket numbers.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// The name in configurations and WebSocket subprotocols (`wamp.2.<name>`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Cbor => "cbor",
        }
    }

    /// The serializer of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|serializer| serializer.name() == name)
    }

    /// The WebSocket subprotocol, one message a WebSocket message.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "wamp.2.json",
            Self::MsgPack => "wamp.2.msgpack",
            Self::Cbor => "wamp.2.cbor",
        }
    }

    /// The serializer of that WebSocket subprotocol.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|serializer| serializer.subprotocol() == name)
    }

    /// 0 to 2, for tables with a place for each.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Serializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a message may be at most. Its size is bounded by the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_nesting: u8,
    max_values: usize,
}

impl Limits {
    /// The deepest nesting that can be allowed.
    ///
    /// 128: what widespread JSON parsers take, so that what is forwarded can be read.
    pub const MAX_NESTING: u8 = 128;

    /// Values in the options or details of one message, and in a tree made of its arguments,
    /// unless [`Self::with_values`] says otherwise.
    ///
    /// 65,536: room for lists of ten thousands of sessions. A value in a tree takes 40 bytes
    /// where one on the wire may take a single byte; this bounds what a message can grow to.
    pub const DEFAULT_VALUES: usize = 65_536;

    /// Lists and maps within one another in one element of a message (the arguments list itself
    /// is the first level), at most [`Self::MAX_NESTING`]; a larger number means that.
    #[must_use]
    pub fn with_nesting(self, max_nesting: u8) -> Self {
        Self {
            max_nesting: max_nesting.min(Self::MAX_NESTING),
            ..self
        }
    }

    /// Values in the options or details of one message, and in a tree made of its arguments.
    #[must_use]
    pub fn with_values(self, max_values: usize) -> Self {
        Self { max_values, ..self }
    }

    /// The levels allowed, 0 to [`Self::MAX_NESTING`].
    pub const fn max_nesting(&self) -> u8 {
        self.max_nesting
    }

    /// The values allowed.
    pub const fn max_values(&self) -> usize {
        self.max_values
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_nesting: Self::MAX_NESTING,
            max_values: Self::DEFAULT_VALUES,
        }
    }
}

/// Appends `value`; on failure nothing is appended.
///
/// # Errors
/// JSON has no number that is not finite, and no text of NUL and base64 (which stands for binary
/// data there).
pub fn append_value(
    serializer: Serializer,
    value: &Value,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    all_or_nothing(out, |out| match serializer {
        Serializer::Json => write_value::<JsonWriter>(out, value),
        Serializer::MsgPack => write_value::<MsgPackWriter>(out, value),
        Serializer::Cbor => write_value::<CborWriter>(out, value),
    })
}

/// Reads `bytes`, which must be one value and nothing else.
///
/// # Errors
/// If they are malformed, or are or contain something that [`Value`] does not have (a MessagePack
/// extension but 0, a CBOR tag, an integer of more than 64 bits, a key that is not a string), or
/// go beyond `limits`.
pub fn read_value(
    serializer: Serializer,
    bytes: &Bytes,
    limits: &Limits,
) -> Result<Value, TranscodeError> {
    match serializer {
        Serializer::Json => read_with(JsonReader::new(bytes, utf8(bytes)?), limits),
        Serializer::MsgPack => read_with(MsgPackReader::new(bytes), limits),
        Serializer::Cbor => read_with(CborReader::new(bytes), limits),
    }
}

fn read_with<'a, R: Reader<'a>>(mut reader: R, limits: &Limits) -> Result<Value, TranscodeError> {
    let value = Builder::new(limits.max_values).value(&mut reader, limits.max_nesting)?;
    reader.finish()?;
    Ok(value)
}

/// Whether `bytes` are one well-formed value and nothing else, and what it is; no tree is built.
pub(crate) fn inspect(
    serializer: Serializer,
    bytes: &Bytes,
    limits: &Limits,
) -> Result<Next, Malformed> {
    match serializer {
        Serializer::Json => inspect_with(JsonReader::new(bytes, utf8(bytes)?), limits),
        Serializer::MsgPack => inspect_with(MsgPackReader::new(bytes), limits),
        Serializer::Cbor => inspect_with(CborReader::new(bytes), limits),
    }
}

fn inspect_with<'a, R: Reader<'a>>(mut reader: R, limits: &Limits) -> Result<Next, Malformed> {
    let next = reader.next()?;
    reader.skip(limits.max_nesting)?;
    reader.finish()?;
    Ok(next)
}

/// JSON is read from text known to be UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|error| Malformed::new(error.valid_up_to(), Fault::NotUtf8))
}

/// As the standard one, which goes byte by byte through what is left behind the last 32.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = |word: &[u8; 8]| u64::from_ne_bytes(*word);
    // What the last piece shares with the one before it is looked at twice. All pieces are added
    // up side by side, and to one only at the end.
    let all = if let Some(last) = bytes.last_chunk::<32>() {
        let words = |piece: &[u8; 32]| -> [u64; 4] {
            let (words, _) = piece.as_chunks();
            [0, 1, 2, 3].map(|at| words.get(at).map_or(0, word))
        };
        let mut all = words(last);
        for piece in bytes.as_chunks().0 {
            for (all, word) in all.iter_mut().zip(words(piece)) {
                *all |= word;
            }
        }
        all.iter().fold(0, |all, word| all | word)
    } else if let Some(last) = bytes.last_chunk() {
        let (words, _) = bytes.as_chunks();
        words.iter().fold(word(last), |all, next| all | word(next))
    } else {
        bytes.iter().fold(0, |all, byte| all | u64::from(*byte))
    };
    all & HIGH == 0
}

/// Cuts off what was appended if `append` fails.
pub(crate) fn all_or_nothing<T, E>(
    out: &mut BytesMut,
    append: impl FnOnce(&mut BytesMut) -> Result<T, E>,
) -> Result<T, E> {
    let before = out.len();
    append(out).inspect_err(|_| out.truncate(before))
}

#[cfg(test)]
mod tests;
