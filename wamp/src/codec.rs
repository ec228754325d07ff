//! Bytes ↔ messages, for every message and both directions. The transports call
//! [`decode`] with one frame's content; the outboxes are filled by the `encode…` functions.

mod fault;
mod fields;
mod read;
mod read_options;
mod write;
mod write_options;
mod framed;
mod number;
mod hot;
mod plain;

use bytes::{Bytes, BytesMut};

pub use self::fault::{DecodeError, DecodeErrorKind};
pub use self::framed::{EncodeError, EventHead, encode_framed};
pub use self::hot::{InvocationHead, append_published, append_result, frame_result};
pub use self::plain::{Plain, PlainKind};
use crate::message::Message;
use crate::serializer::{
    CborReader, CborWriter, JsonReader, JsonWriter, Limits, MsgPackReader, MsgPackWriter,
    Serializer, TranscodeError, all_or_nothing, utf8,
};

/// Reads one message. Its text and payload are slices of `frame`, which they keep alive:
/// see [`crate::payload::Payload::detach`] for what is kept longer.
///
/// Accepted beyond the spec, because widespread clients send it: null or `undefined` for an
/// option or for arguments counts as absent; an ID or a count may be a float without a fraction,
/// up to 2^53. Of a key that comes in twice, the last one counts.
///
/// # Errors
/// If the frame is not one well-formed message within `limits`; the text names the element.
/// (In a box, so that the way of what succeeds is short.)
pub fn decode(
    serializer: Serializer,
    frame: &Bytes,
    limits: &Limits,
) -> Result<Message, Box<DecodeError>> {
    match serializer {
        Serializer::Json => {
            let text = utf8(frame).map_err(fault::malformed)?;
            read::message(JsonReader::new(frame, text), serializer, limits)
        }
        Serializer::MsgPack => read::message(MsgPackReader::new(frame), serializer, limits),
        Serializer::Cbor => read::message(CborReader::new(frame), serializer, limits),
    }
}

/// Appends `message` without a frame around it; on failure nothing is appended. A payload of
/// another serializer is transcoded.
///
/// # Errors
/// What the serializer cannot express, in the payload or in other keys of options and details.
pub fn encode(
    serializer: Serializer,
    message: &Message,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    all_or_nothing(out, |out| match serializer {
        Serializer::Json => write::message::<JsonWriter>(out, message),
        Serializer::MsgPack => write::message::<MsgPackWriter>(out, message),
        Serializer::Cbor => write::message::<CborWriter>(out, message),
    })
}

#[cfg(test)]
mod tests;
