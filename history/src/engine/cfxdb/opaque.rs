//! What Publications has of an opaque payload: what stands in place of the arguments, and how it
//! is encrypted. Numbers as in `realmstore.fbs`.

use rewamp_wamp::payload::{ENC_ALGO, ENC_KEY, ENC_SERIALIZER, Payload};
use rewamp_wamp::serializer::{Limits, Serializer, read_value};
use rewamp_wamp::value::Value;

use crate::event::Event;

/// The fields of a Publication whose payload is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opaque {
    /// The bytes, or the text as UTF-8.
    pub(super) payload: Vec<u8>,
    /// 0: an algorithm that cfxdb has no number for.
    pub(super) algorithm: u8,
    pub(super) key: Option<Vec<u8>>,
    /// 0: not said, or none that cfxdb has a number for.
    pub(super) serializer: u8,
}

impl Opaque {
    /// Of an event that has such a payload.
    pub(super) fn of(event: &Event) -> Option<Self> {
        if !event.payload.is_opaque() {
            return None;
        }
        let details = event.details.as_ref();
        let details = details
            .and_then(|details| read_value(Serializer::MsgPack, details, &Limits::default()).ok());
        let said = |key: &str| details.as_ref().and_then(Value::as_map)?.get(key);
        Some(Self {
            payload: content(&event.payload)?,
            algorithm: match said(ENC_ALGO).and_then(Value::as_str) {
                Some("cryptobox") => 1,
                Some("mqtt") => 2,
                Some("xbr") => 3,
                _ => 0,
            },
            key: said(ENC_KEY).and_then(bytes),
            serializer: match said(ENC_SERIALIZER).and_then(Value::as_str) {
                Some("json") => 1,
                Some("msgpack") => 2,
                Some("cbor") => 3,
                Some("ubjson") => 4,
                Some("opaque") => 5,
                Some("flatbuffers") => 6,
                _ => 0,
            },
        })
    }
}

fn content(payload: &Payload) -> Option<Vec<u8>> {
    let value = read_value(payload.serializer(), payload.tail(), &Limits::default());
    bytes(&value.ok()?)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Binary(bytes) => Some(bytes.to_vec()),
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}
