//! Newline-delimited JSON: one event a line. Keys that a line has, and their meaning, stand in
//! `docs/history.md`; a record of `get_events` is read as well.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytestring::ByteString;
use rewamp_history::{Identity, Sequence, Timestamp};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::{
    Record, RecordError, details_from_bytes, details_from_json, payload_from_json, serializer_name,
};
use crate::time::{parse_time, time_text};

/// The most bytes of a line that are read: more than any event makes, whose message has at most
/// 16 MiB.
pub const LONGEST: u64 = 64 << 20;

/// Why a file is not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum NdjsonError {
    /// The disk, or the pipe, did not do what it should.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// A line is no event.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong, and with which key.
        why: String,
    },
}

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "some are read only so that they are no unknown keys"
)]
struct Line {
    #[serde(default)]
    sequence: Option<u64>,
    publication: u64,
    #[serde(default, alias = "timestamp")]
    time: Option<String>,
    #[serde(default)]
    time_ns: Option<u64>,
    topic: ByteString,
    #[serde(default)]
    args: Option<Box<RawValue>>,
    #[serde(default)]
    kwargs: Option<Box<RawValue>>,
    #[serde(default)]
    publisher: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher_authid: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher_authrole: Option<ByteString>,
    #[serde(default = "yes")]
    exclude_me: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude_authid: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude_authrole: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_authid: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eligible_authrole: Vec<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    further_details: Option<Box<RawValue>>,
    /// MessagePack, where JSON cannot express them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    further_details_base64: Option<String>,
    #[serde(default = "json")]
    serializer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kwargs_base64: Option<String>,
    /// Why `args` and `kwargs` are not there as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inexpressible: Option<String>,
    // What a record of `get_events` has besides.
    #[serde(default, skip_serializing)]
    payload: Option<Box<RawValue>>,
    #[serde(default, skip_serializing)]
    subscription: IgnoredAny,
    #[serde(default, skip_serializing)]
    details: IgnoredAny,
    #[serde(default, skip_serializing)]
    realm: IgnoredAny,
    #[serde(default, skip_serializing)]
    session_id: IgnoredAny,
    #[serde(default, skip_serializing)]
    authid: IgnoredAny,
    #[serde(default, skip_serializing)]
    authrole: IgnoredAny,
}

fn yes() -> bool {
    true
}

fn json() -> String {
    serializer_name(Serializer::Json).to_owned()
}

/// Writes an event as one line.
///
/// # Errors
/// What the writer says.
pub fn write(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Line::of(record);
    match record.arguments_as_json() {
        Ok((args, kwargs)) => {
            line.args = args.and_then(|json| RawValue::from_string(json).ok());
            line.kwargs = kwargs.and_then(|json| RawValue::from_string(json).ok());
        }
        Err(why) => line.inexpressible = Some(why),
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// The events of a file, one by one, up to the first that is none. A record without a `sequence`
/// gets the one after that of the record before it.
pub struct Reader<R> {
    source: R,
    line: u64,
    last: Sequence,
    text: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from there.
    pub const fn new(source: R) -> Self {
        Self {
            source,
            line: 0,
            last: Sequence::ZERO,
            text: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<Option<Record>, NdjsonError> {
        loop {
            self.text.clear();
            self.line += 1;
            let mut bounded = io::Read::take(&mut self.source, LONGEST);
            if bounded.read_until(b'\n', &mut self.text)? == 0 {
                return Ok(None);
            }
            if self.text.len() as u64 == LONGEST && !self.text.ends_with(b"\n") {
                return Err(self.wrong(format!("is longer than {LONGEST} bytes")));
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        let line: Line =
            serde_json::from_slice(&self.text).map_err(|error| self.wrong(error.to_string()))?;
        let record = line
            .record(self.last.next())
            .map_err(|error| self.wrong(error.to_string()))?;
        self.last = record.sequence;
        Ok(Some(record))
    }

    fn wrong(&self, why: String) -> NdjsonError {
        let line = self.line;
        NdjsonError::Line { line, why }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, NdjsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl Line {
    /// All but the arguments as JSON.
    fn of(record: &Record) -> Self {
        let Record {
            disclosed,
            receivers,
            payload,
            ..
        } = record;
        let is_json = payload.serializer() == Serializer::Json;
        let details = record
            .details_as_json()
            .and_then(|json| RawValue::from_string(json).ok());
        let details_raw = record.details.as_ref().filter(|_| details.is_none());
        let raw = |bytes: Option<&[u8]>| bytes.filter(|_| !is_json).map(|raw| BASE64.encode(raw));
        Self {
            sequence: Some(record.sequence.get()),
            publication: record.publication.get(),
            time: Some(time_text(record.time)),
            time_ns: Some(record.time.nanos()),
            topic: record.topic.clone(),
            args: None,
            kwargs: None,
            publisher: record.publisher,
            publisher_authid: disclosed.as_ref().map(|who| who.authid.clone()),
            publisher_authrole: disclosed.as_ref().map(|who| who.authrole.clone()),
            exclude_me: record.exclude_me,
            exclude_authid: receivers.exclude_authid.clone(),
            exclude_authrole: receivers.exclude_authrole.clone(),
            eligible_authid: receivers.eligible_authid.clone(),
            eligible_authrole: receivers.eligible_authrole.clone(),
            further_details: details,
            further_details_base64: details_raw.map(|raw| BASE64.encode(raw)),
            serializer: serializer_name(payload.serializer()).to_owned(),
            args_base64: raw(payload.args()),
            kwargs_base64: raw(payload.kwargs()),
            inexpressible: None,
            payload: None,
            subscription: IgnoredAny,
            details: IgnoredAny,
            realm: IgnoredAny,
            session_id: IgnoredAny,
            authid: IgnoredAny,
            authrole: IgnoredAny,
        }
    }

    fn record(self, next: Sequence) -> Result<Record, RecordError> {
        let time = match (self.time_ns, &self.time) {
            (Some(nanos), _) => Timestamp::from_nanos(nanos),
            (None, Some(text)) => {
                parse_time(text).map_err(|error| RecordError::new("time", error))?
            }
            (None, None) => {
                return Err(RecordError::new(
                    "time",
                    "neither it nor `time_ns` is there",
                ));
            }
        };
        let publication = PublicationId::new(self.publication)
            .ok_or_else(|| RecordError::new("publication", "is not from 1 to 2^53"))?;
        let payload = self.payload()?;
        let details = match (&self.further_details, &self.further_details_base64) {
            (_, Some(text)) => Some(details_from_bytes(&decoded(
                "further_details_base64",
                text,
            )?)?),
            (Some(json), None) => details_from_json(json.get())?,
            (None, None) => None,
        };
        let disclosed = self.publisher_authid.map(|authid| Identity {
            authid,
            authrole: self.publisher_authrole.unwrap_or_default(),
        });
        Ok(Record {
            sequence: self.sequence.map_or(next, Sequence::new),
            time,
            publication,
            topic: self.topic,
            publisher: self.publisher,
            exclude_me: self.exclude_me,
            disclosed,
            receivers: ReceiverLists {
                exclude_authid: self.exclude_authid,
                exclude_authrole: self.exclude_authrole,
                eligible_authid: self.eligible_authid,
                eligible_authrole: self.eligible_authrole,
                ..ReceiverLists::default()
            },
            details,
            payload,
        })
    }

    fn payload(&self) -> Result<Payload, RecordError> {
        let serializer = Serializer::from_name(&self.serializer).ok_or_else(|| {
            let why = format!("is `{}`; allowed are json, msgpack, cbor", self.serializer);
            RecordError::new("serializer", why)
        })?;
        if self.args_base64.is_none() && self.kwargs_base64.is_none() {
            if let Some(why) = &self.inexpressible {
                return Err(RecordError::new(
                    "args_base64",
                    format!("is missing, and JSON cannot express the arguments: {why}"),
                ));
            }
            let args = self.args.as_deref().or(self.payload.as_deref());
            if args.is_none() && self.kwargs.is_none() {
                return Ok(Payload::empty(serializer));
            }
            let args = args.map(RawValue::get);
            return payload_from_json(args, self.kwargs.as_deref().map(RawValue::get));
        }
        let bytes =
            |key, text: &Option<String>| text.as_ref().map(|text| decoded(key, text)).transpose();
        let args = bytes("args_base64", &self.args_base64)?;
        let kwargs = bytes("kwargs_base64", &self.kwargs_base64)?;
        Payload::from_raw(
            serializer,
            args.as_deref(),
            kwargs.as_deref(),
            &Limits::default(),
        )
        .map_err(|error| RecordError::new("args_base64", error))
    }
}

fn decoded(key: &'static str, text: &str) -> Result<Vec<u8>, RecordError> {
    BASE64
        .decode(text)
        .map_err(|error| RecordError::new(key, error))
}
