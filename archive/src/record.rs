//! One event with all that a store knows of it, owned: what goes from a store into a file and
//! from a file into a store.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use rewamp_history::{Event, EventRef, Identity, Receivers, Sequence, StoredTopic, Timestamp};
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer, append_value, read_value};
use rewamp_wamp::value::Value;

/// See [`rewamp_history::Event`]; the same, but that the topic is a name here.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the realm's order.
    pub sequence: Sequence,
    /// When the router accepted it.
    pub time: Timestamp,
    /// `PUBLISHED.Publication`.
    pub publication: PublicationId,
    /// The topic it was published to.
    pub topic: ByteString,
    /// The session that published; 0 where that is not known.
    pub publisher: u64,
    /// `PUBLISH.Options.exclude_me`.
    pub exclude_me: bool,
    /// Who published, if receivers were told.
    pub disclosed: Option<Identity>,
    /// The lists by authid and authrole; all empty if everybody may see it.
    pub receivers: ReceiverLists,
    /// Further details of the EVENT as one MessagePack map.
    pub details: Option<Bytes>,
    /// `args` and `kwargs` as they came.
    pub payload: Payload,
}

/// The publisher of events whose publisher is not known: the last ID, which no session is likely
/// ever to draw. Nobody is told it, since it is not disclosed.
const UNKNOWN: SessionId = SessionId::MAX;

/// Why something is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {why}")]
pub struct RecordError {
    /// Which part of it.
    pub key: &'static str,
    /// What is wrong there, and what is allowed.
    pub why: String,
}

impl RecordError {
    pub(crate) fn new(key: &'static str, why: impl ToString) -> Self {
        let why = why.to_string();
        Self { key, why }
    }
}

impl Record {
    /// A copy of an event.
    ///
    /// # Errors
    /// If its arguments are damaged.
    pub fn of(event: &EventRef<'_>) -> Result<Self, RecordError> {
        let stored = &event.payload;
        let payload = Payload::from_raw(
            stored.serializer,
            stored.args,
            stored.kwargs,
            &Limits::default(),
        );
        Ok(Self {
            sequence: event.sequence,
            time: event.time,
            publication: event.publication,
            topic: event.topic.into(),
            publisher: match event.publisher {
                unknown if unknown == UNKNOWN => 0,
                known => known.get(),
            },
            exclude_me: event.exclude_me,
            disclosed: event.disclosed.map(|who| Identity {
                authid: who.authid.into(),
                authrole: who.authrole.into(),
            }),
            receivers: event
                .receivers
                .map(rewamp_history::ReceiversRef::lists)
                .unwrap_or_default(),
            details: event.details.map(Bytes::copy_from_slice),
            payload: payload.map_err(|error| RecordError::new("args", error))?,
        })
    }

    /// The event, of a topic of the store that it goes to.
    ///
    /// # Errors
    /// If its publisher is no session's ID.
    pub fn event(self, topic: Arc<StoredTopic>) -> Result<Event, RecordError> {
        let publisher = match self.publisher {
            0 => UNKNOWN,
            known => SessionId::new(known)
                .ok_or_else(|| RecordError::new("publisher", "is not from 0 to 2^53"))?,
        };
        Ok(Event {
            sequence: self.sequence,
            time: self.time,
            publication: self.publication,
            topic,
            publisher,
            exclude_me: self.exclude_me,
            disclosed: self.disclosed.map(Arc::new),
            receivers: Receivers::new(&self.receivers).map(Arc::new),
            details: self.details,
            payload: self.payload,
        })
    }

    /// The arguments as JSON text, `args` and `kwargs`, each `None` where none was sent; or why
    /// JSON cannot express them.
    pub(crate) fn arguments_as_json(&self) -> Result<(Option<String>, Option<String>), String> {
        let json = self
            .payload
            .transcode(Serializer::Json)
            .map_err(|error| error.to_string())?;
        let text = |bytes: Option<&[u8]>| bytes.map(one_line);
        Ok((text(json.args()), text(json.kwargs())))
    }

    /// The further details as JSON text, if it can express them.
    pub(crate) fn details_as_json(&self) -> Option<String> {
        let bytes = self.details.as_ref()?;
        let value = read_value(Serializer::MsgPack, bytes, &Limits::default()).ok()?;
        let mut out = bytes::BytesMut::new();
        append_value(Serializer::Json, &value, &mut out).ok()?;
        Some(one_line(&out))
    }
}

/// JSON on one line: outside of texts, line ends are white space; within, they cannot be.
fn one_line(json: &[u8]) -> String {
    let line = json.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    });
    // JSON that was checked when it came in is UTF-8.
    String::from_utf8(line.collect()).unwrap_or_default()
}

/// Further details that are written as JSON, as they are stored.
pub(crate) fn details_from_json(json: &str) -> Result<Option<Bytes>, RecordError> {
    let error = |why: String| RecordError::new("further_details", why);
    let json = Bytes::copy_from_slice(json.as_bytes());
    let value = read_value(Serializer::Json, &json, &Limits::default())
        .map_err(|why| error(why.to_string()))?;
    let Value::Map(map) = &value else {
        return Err(error("is no map".to_owned()));
    };
    if map.is_empty() {
        return Ok(None);
    }
    let mut out = bytes::BytesMut::new();
    append_value(Serializer::MsgPack, &value, &mut out).map_err(|why| error(why.to_string()))?;
    Ok(Some(out.freeze()))
}

/// Further details as they are stored, found to be one map.
pub(crate) fn details_from_bytes(bytes: &[u8]) -> Result<Bytes, RecordError> {
    let bytes = Bytes::copy_from_slice(bytes);
    match read_value(Serializer::MsgPack, &bytes, &Limits::default()) {
        Ok(Value::Map(_)) => Ok(bytes),
        Ok(_) => Err(RecordError::new("further_details", "is no map")),
        Err(why) => Err(RecordError::new("further_details", why)),
    }
}

/// Arguments that are written as JSON.
pub(crate) fn payload_from_json(
    args: Option<&str>,
    kwargs: Option<&str>,
) -> Result<Payload, RecordError> {
    let args = match (args, kwargs) {
        (None, Some(_)) => Some("[]"),
        (args, _) => args,
    };
    Payload::from_raw(
        Serializer::Json,
        args.map(str::as_bytes),
        kwargs.map(str::as_bytes),
        &Limits::default(),
    )
    .map_err(|error| RecordError::new("args", error))
}

/// The name of a serializer in files.
pub(crate) const fn serializer_name(serializer: Serializer) -> &'static str {
    match serializer {
        Serializer::Json => "json",
        Serializer::MsgPack => "msgpack",
        Serializer::Cbor => "cbor",
    }
}
