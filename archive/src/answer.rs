//! Events as `wamp.subscription.get_events` answers them: Crossbar's records and our own.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_history::{Identity, Sequence, Timestamp};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::{Payload, about_payload};
use rewamp_wamp::serializer::{Limits, Serializer, append_value, read_value};
use rewamp_wamp::value::{Dict, Value};

use crate::record::{Record, RecordError};
use crate::time::parse_time;

/// Events of several answers as one history, in the order of their times: each publication once.
#[derive(Debug, Default)]
pub struct Answers {
    records: Vec<Record>,
    seen: HashSet<PublicationId>,
    duplicates: u64,
}

impl Answers {
    /// Adds the answer to one question: its one positional argument is a list of records.
    ///
    /// # Errors
    /// If it is not.
    pub fn add(&mut self, answer: &Payload) -> Result<u64, RecordError> {
        let mut new = 0;
        for record in answered(answer)? {
            if self.seen.insert(record.publication) {
                self.records.push(record);
                new += 1;
            } else {
                self.duplicates += 1;
            }
        }
        Ok(new)
    }

    /// How many records came again, of a publication that was there.
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The events in order. Where they had no sequences, they are counted from 1; a time that is
    /// not after the one before it is put 1 ns after it.
    pub fn in_order(mut self) -> Vec<Record> {
        self.records
            .sort_by_key(|record| (record.time, record.sequence));
        let sequences = self.records.iter().map(|record| record.sequence);
        let numbered = sequences.clone().is_sorted_by(|one, next| one < next)
            && sequences.min().is_some_and(|first| first > Sequence::ZERO);
        let mut newest = Timestamp::ZERO;
        for (record, number) in self.records.iter_mut().zip(1..) {
            if !numbered {
                record.sequence = Sequence::new(number);
            }
            record.time = record.time.max(newest.next());
            newest = record.time;
        }
        self.records
    }
}

/// The events of one answer, as they stand there: its one positional argument is a list of records.
///
/// # Errors
/// If it is not.
pub fn answered(answer: &Payload) -> Result<Vec<Record>, RecordError> {
    let serializer = answer.serializer();
    let bytes = answer.tail().slice_ref(answer.args().unwrap_or_default());
    // As many as there are bytes: the connection bounds those.
    let limits = Limits::default().with_values(usize::MAX);
    let arguments = read_value(serializer, &bytes, &limits)
        .map_err(|error| RecordError::new("answer", error))?;
    let list = arguments.as_list().and_then(|arguments| arguments.first());
    let list = match list {
        Some(Value::List(list)) => list,
        Some(Value::Null) => return Ok(Vec::new()),
        _ => return Err(RecordError::new("answer", "is no list of events")),
    };
    let records = list.iter().map(|event| match event {
        Value::Map(event) => record(event, serializer),
        _ => Err(RecordError::new(
            "answer",
            "holds something that is no event",
        )),
    });
    records.collect()
}

/// What an EVENT has in its details for those who read its payload, as it is stored.
pub fn further_details(details: &Dict) -> Option<Bytes> {
    let further = about_payload(details);
    if further.is_empty() {
        return None;
    }
    let mut out = BytesMut::new();
    append_value(Serializer::MsgPack, &Value::Map(further), &mut out).ok()?;
    Some(out.freeze())
}

fn record(event: &Dict, serializer: Serializer) -> Result<Record, RecordError> {
    let number = |key: &str| event.get(key).and_then(Value::as_u64);
    let text = |keys: [&str; 2]| {
        let mut found = keys.iter().filter_map(|key| event.get(key));
        found.find_map(Value::as_str).map(ByteString::from)
    };
    let publication = number("publication")
        .and_then(PublicationId::new)
        .ok_or_else(|| RecordError::new("publication", "is not from 1 to 2^53"))?;
    let topic = text(["topic", "topic"]).ok_or_else(|| RecordError::new("topic", "is missing"))?;
    let time = match (number("time_ns"), text(["timestamp", "time"])) {
        (Some(nanos), _) => Timestamp::from_nanos(nanos),
        (None, Some(text)) => {
            parse_time(&text).map_err(|error| RecordError::new("timestamp", error))?
        }
        (None, None) => return Err(RecordError::new("time_ns", "is missing")),
    };
    let authid = text(["publisher_authid", "authid"]);
    Ok(Record {
        sequence: number("sequence").map_or(Sequence::ZERO, Sequence::new),
        time,
        publication,
        topic,
        publisher: number("publisher")
            .or_else(|| number("session_id"))
            .unwrap_or(0),
        exclude_me: true,
        disclosed: authid.map(|authid| Identity {
            authid,
            authrole: text(["publisher_authrole", "authrole"]).unwrap_or_default(),
        }),
        receivers: ReceiverLists::default(),
        details: match event.get("details") {
            Some(Value::Map(details)) => further_details(details),
            _ => None,
        },
        payload: payload(event, serializer)?,
    })
}

fn payload(event: &Dict, serializer: Serializer) -> Result<Payload, RecordError> {
    if let Some(opaque @ (Value::Binary(_) | Value::String(_))) = event.get("payload") {
        return self::opaque(opaque, serializer);
    }
    let args = match event.get("args") {
        None | Some(Value::Null) => None,
        Some(Value::List(args)) => Some(&**args),
        Some(_) => return Err(RecordError::new("args", "is no list")),
    };
    let kwargs = match event.get("kwargs") {
        None | Some(Value::Null) => None,
        Some(Value::Map(kwargs)) => Some(kwargs),
        Some(_) => return Err(RecordError::new("kwargs", "is no map")),
    };
    let args = match (args, kwargs) {
        (None, Some(_)) => Some(&[][..]),
        (args, _) => args,
    };
    Payload::from_values(serializer, args, kwargs).map_err(|error| RecordError::new("args", error))
}

fn opaque(value: &Value, serializer: Serializer) -> Result<Payload, RecordError> {
    let mut bytes = BytesMut::new();
    append_value(serializer, value, &mut bytes).map_err(|why| RecordError::new("payload", why))?;
    Payload::from_raw(serializer, Some(&bytes), None, &Limits::default())
        .map_err(|why| RecordError::new("payload", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Payload {
        let bytes = format!("[{json}]");
        let limits = Limits::default();
        Payload::from_raw(Serializer::Json, Some(bytes.as_bytes()), None, &limits).unwrap()
    }

    #[test]
    fn answers_become_one_history_with_each_publication_once() {
        let mut answers = Answers::default();
        // Crossbar's: newest first, an event again for each of its receivers.
        let first = answer(
            r#"[{"time_ns":30,"realm":"r","session_id":5,"authid":"joe","authrole":"user",
                 "publication":3,"topic":"com.a","args":[2],"kwargs":{"k":"v"}},
                {"time_ns":30,"realm":"r","session_id":5,"authid":"joe","authrole":"user",
                 "publication":3,"topic":"com.a","args":[2],"kwargs":{"k":"v"}},
                {"time_ns":10,"realm":"r","session_id":5,"authid":"joe","authrole":"user",
                 "publication":1,"topic":"com.a","args":null,"kwargs":null}]"#,
        );
        assert_eq!(answers.add(&first).unwrap(), 2);
        let second = answer(r#"[{"time_ns":30,"publication":4,"topic":"com.b","args":[]}]"#);
        assert_eq!(answers.add(&second).unwrap(), 1);
        assert_eq!(answers.add(&answer("null")).unwrap(), 0);
        assert_eq!(answers.duplicates(), 1);
        let records = answers.in_order();
        let told: Vec<_> = records
            .iter()
            .map(|record| {
                let (sequence, time) = (record.sequence.get(), record.time.nanos());
                (sequence, record.publication.get(), time, record.publisher)
            })
            .collect();
        assert_eq!(told, [(1, 1, 10, 5), (2, 3, 30, 5), (3, 4, 31, 0)]);
        assert_eq!(records[0].payload.args(), None);
        assert_eq!(records[1].payload.kwargs(), Some(&br#"{"k":"v"}"#[..]));
        assert_eq!(records[1].disclosed.as_ref().unwrap().authrole, "user");
        assert_eq!(records[2].payload.args(), Some(&b"[]"[..]));
    }

    #[test]
    fn an_opaque_payload_comes_with_what_says_how_to_read_it() {
        let mut answers = Answers::default();
        let event = r#"[{"time_ns":1,"publication":1,"topic":"a","args":null,"kwargs":null,
            "payload":"\u0000AQI=","details":{"topic":"a","enc_algo":"cryptobox"}}]"#;
        answers.add(&answer(event)).unwrap();
        let records = answers.in_order();
        assert!(records[0].payload.is_opaque());
        assert_eq!(records[0].payload.tail(), &br#""\u0000AQI=""#[..]);
        let details = records[0].details_as_json();
        assert_eq!(details.as_deref(), Some(r#"{"enc_algo":"cryptobox"}"#));
    }

    #[test]
    fn what_else_the_details_say_of_an_event_stays() {
        let said = r#"[{"time_ns":1,"publication":1,"topic":"a","details":
                        {"topic":"a","publisher":7,"_sequence":3,"ppt_scheme":"x_mine"}}]"#;
        let records = answered(&answer(said)).unwrap();
        let kept = records[0].details.as_ref().unwrap();
        let value = read_value(Serializer::MsgPack, kept, &Limits::default()).unwrap();
        let expected = Dict::from([("ppt_scheme", "x_mine")]);
        assert_eq!(value, Value::Map(expected));
        let said = r#"[{"time_ns":1,"publication":1,"topic":"a","details":{"topic":"a"}}]"#;
        assert_eq!(answered(&answer(said)).unwrap()[0].details, None);
    }

    #[test]
    fn sequences_that_are_there_stay() {
        let mut answers = Answers::default();
        answers
            .add(&answer(
                r#"[{"timestamp":"2026-11-24T12:00:00Z","sequence":7,"publication":1,"topic":"a"},
                    {"timestamp":"2026-11-24T12:00:01Z","sequence":9,"publication":2,"topic":"a"}]"#,
            ))
            .unwrap();
        let sequences: Vec<_> = answers
            .in_order()
            .iter()
            .map(|it| it.sequence.get())
            .collect();
        assert_eq!(sequences, [7, 9]);
    }

    #[test]
    fn what_is_no_list_of_events_is_told() {
        for (json, named) in [
            ("7", "answer"),
            ("[7]", "answer"),
            (r#"[{"topic":"a","time_ns":1}]"#, "publication"),
            (r#"[{"publication":1,"time_ns":1}]"#, "topic"),
            (r#"[{"publication":1,"topic":"a"}]"#, "time_ns"),
            (
                r#"[{"publication":1,"topic":"a","time_ns":1,"args":{}}]"#,
                "args",
            ),
        ] {
            let error = Answers::default().add(&answer(json)).unwrap_err();
            assert_eq!(error.key, named);
        }
    }
}
