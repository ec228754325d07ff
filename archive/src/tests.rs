//! Records go through every form, and through a store, unchanged.

use std::io::{BufReader, Cursor};
use std::ops::ControlFlow;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rewamp_history::{
    Engine, Filter, Full, Identity, Sequence, StoreConfig, Timestamp, identify, open,
};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Serializer, append_value};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use crate::draft::Finished;
use crate::*;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e9..1.0e9).prop_map(|number: f64| Value::from(number)),
        "[a-zäöü\n\"\\\\\u{0}]{0,12}"
            .prop_map(|text| Value::from(bytestring::ByteString::from(text))),
        proptest::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| Value::Binary(Bytes::from(bytes))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec(("[a-z]{1,5}", inner), 0..4).prop_map(|entries| {
                Value::Map(
                    entries
                        .into_iter()
                        .map(|(key, value)| (bytestring::ByteString::from(key), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    let serializer = prop_oneof![
        Just(Serializer::Json),
        Just(Serializer::MsgPack),
        Just(Serializer::Cbor)
    ];
    let args = proptest::option::of(proptest::collection::vec(value(), 0..4));
    let kwargs = proptest::option::of(proptest::collection::vec(("[a-z]{1,5}", value()), 0..3));
    (serializer, args, kwargs).prop_filter_map("expressible", |(serializer, args, kwargs)| {
        let kwargs: Option<Dict> = args.as_ref().and(kwargs).map(|entries| {
            entries
                .into_iter()
                .map(|(key, value)| (bytestring::ByteString::from(key), value))
                .collect()
        });
        Payload::from_values(serializer, args.as_deref(), kwargs.as_ref()).ok()
    })
}

fn record() -> impl Strategy<Value = Record> {
    let name = || "[a-z]{1,6}";
    let names = || proptest::collection::vec(name(), 0..3);
    let lists = (names(), names(), names(), names()).prop_map(|(one, two, three, four)| {
        let texts = |names: Vec<String>| names.into_iter().map(Into::into).collect();
        ReceiverLists {
            exclude_authid: texts(one),
            exclude_authrole: texts(two),
            eligible_authid: texts(three),
            eligible_authrole: texts(four),
            ..ReceiverLists::default()
        }
    });
    let details = proptest::option::of(("[a-z_]{1,8}", leaf())).prop_map(|entry| {
        entry.map(|(key, value)| {
            let map: Dict = [(bytestring::ByteString::from(key), value)]
                .into_iter()
                .collect();
            let mut out = BytesMut::new();
            append_value(Serializer::MsgPack, &Value::Map(map), &mut out).unwrap();
            out.freeze()
        })
    });
    (
        (1..1_u64 << 53, 1..1_u64 << 53, any::<bool>()),
        "[a-z]{1,4}(\\.[a-z0-9]{1,4}){0,3}",
        proptest::option::of((name(), name())),
        lists,
        details,
        payload(),
    )
        .prop_map(
            |((publication, publisher, exclude_me), topic, who, receivers, details, payload)| {
                Record {
                    sequence: Sequence::new(1),
                    time: Timestamp::from_nanos(1),
                    publication: PublicationId::new(publication).unwrap(),
                    topic: topic.into(),
                    publisher,
                    exclude_me,
                    disclosed: who.map(|(authid, authrole)| Identity {
                        authid: authid.into(),
                        authrole: authrole.into(),
                    }),
                    receivers,
                    details,
                    payload,
                }
            },
        )
}

/// Records one after another, with gaps.
fn records() -> impl Strategy<Value = Vec<Record>> {
    proptest::collection::vec((record(), 1..1_000_u64, 1..10_000_000_000_u64), 0..20).prop_map(
        |records| {
            let (mut sequence, mut time) = (0, 1_795_000_000_000_000_000);
            let placed = records.into_iter().map(|(record, gap, pause)| {
                sequence += gap;
                time += pause;
                Record {
                    sequence: Sequence::new(sequence),
                    time: Timestamp::from_nanos(time),
                    ..record
                }
            });
            placed.collect()
        },
    )
}

fn through_ndjson(records: &[Record]) -> Vec<Record> {
    let mut text = Vec::new();
    for record in records {
        ndjson::write(record, &mut text).unwrap();
    }
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, records.len());
    ndjson::Reader::new(BufReader::new(Cursor::new(text)))
        .map(Result::unwrap)
        .collect()
}

fn through_parquet(records: &[Record], folder: &Path) -> Vec<Record> {
    let path = folder.join("events.parquet");
    let notes = [("realm", "realm1".to_owned())];
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = parquet::Writer::begin(file, &notes).unwrap();
    for record in records {
        writer.add(record).unwrap();
    }
    writer.finish().unwrap();
    let open = || std::fs::File::open(&path).unwrap();
    assert_eq!(
        parquet::Reader::count(open()).unwrap(),
        records.len() as u64
    );
    parquet::Reader::open(open())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn config(path: &Path, filters: &[Filter]) -> StoreConfig {
    StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Sled {
            path: path.to_owned(),
            readonly: false,
        },
        maxsize: 64 << 20,
        full: Full::DropOldest,
        sync: true,
        limit: None,
        filters: filters.to_vec(),
        memory_begin: Sequence::ZERO,
    }
}

fn everything(path: &Path, from: Sequence) -> Vec<Record> {
    let found = identify(path).unwrap();
    assert_eq!(found.realm, "realm1");
    let store = open(found.to_read()).unwrap();
    let mut records = Vec::new();
    read(&*store, &found.filters, from, &mut |record| {
        records.push(record);
        ControlFlow::Continue(())
    })
    .unwrap();
    records
}

fn stored(records: &[Record], path: &Path, filters: &[Filter]) -> Finished {
    let mut draft = Draft::begin(config(path, filters)).unwrap();
    for record in records {
        draft.add(record.clone()).unwrap();
    }
    draft.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_go_through_ndjson_unchanged(records in records()) {
        prop_assert_eq!(through_ndjson(&records), records);
    }

    #[test]
    fn records_go_through_parquet_unchanged(records in records()) {
        let folder = tempfile::tempdir().unwrap();
        prop_assert_eq!(through_parquet(&records, folder.path()), records);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn records_go_through_a_store_unchanged(records in records()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let all = [Filter::new("", MatchPolicy::Prefix), Filter::new("a", MatchPolicy::Prefix)];
        let finished = stored(&records, &path, &all);
        prop_assert_eq!(finished.events, records.len() as u64);
        prop_assert_eq!(&everything(&path, Sequence::ZERO), &records);
        let half = records.get(records.len() / 2).map_or(Sequence::MAX, |record| record.sequence);
        let later: Vec<_> = records.iter().filter(|record| record.sequence >= half).cloned().collect();
        prop_assert_eq!(everything(&path, half), later);
    }
}

fn plain(number: u64, topic: &str) -> Record {
    Record {
        sequence: Sequence::new(number),
        time: Timestamp::from_nanos(1_795_000_000_000_000_000 + number),
        publication: PublicationId::new(number + 1_000).unwrap(),
        topic: topic.into(),
        publisher: 7,
        exclude_me: true,
        disclosed: None,
        receivers: ReceiverLists::default(),
        details: None,
        payload: Payload::from_raw(Serializer::Json, Some(b"[1]"), None, &Default::default())
            .unwrap(),
    }
}

#[test]
fn every_event_that_some_filter_keeps_is_read_once_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let newest = |uri: &str, limit| Filter {
        limit: Some(limit),
        ..Filter::new(uri, MatchPolicy::Prefix)
    };
    let filters = [newest("com.", 5), newest("com.a", 900), newest("net.", 700)];
    let topics = ["com.a", "com.b", "net.c", "org.d"];
    let records: Vec<_> = (1..=4_000)
        .map(|number| plain(number, topics[number as usize % 4]))
        .collect();
    let finished = stored(&records, &path, &filters);
    assert_eq!((finished.events, finished.uncovered), (3_000, 1_000));
    let kept = |topic: &str, count: usize| {
        let of_topic = records.iter().filter(|record| &*record.topic == topic);
        let of_topic: Vec<_> = of_topic.cloned().collect();
        of_topic[of_topic.len() - count..].to_vec()
    };
    // Of the last five below `com.`, three are of `com.b`: 4,000 is of `com.a`.
    let mut expected = [kept("com.a", 900), kept("net.c", 700), kept("com.b", 2)].concat();
    expected.sort_by_key(|record| record.sequence);
    assert_eq!(everything(&path, Sequence::ZERO), expected);
}

#[test]
fn a_draft_is_found_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let all = [Filter::new("", MatchPolicy::Prefix)];
    let mut draft = Draft::begin(config(&path, &all)).unwrap();
    draft.add(plain(5, "com.a")).unwrap();
    let disorder = draft.add(plain(5, "com.a"));
    assert!(
        matches!(disorder, Err(DraftError::OutOfOrder { .. })),
        "{disorder:?}"
    );
    assert!(!path.exists());
    drop(draft);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    stored(&[plain(5, "com.a")], &path, &all);
    let again = Draft::begin(config(&path, &all));
    assert!(matches!(again, Err(DraftError::Exists { .. })), "{again:?}");
    assert_eq!(everything(&path, Sequence::ZERO), [plain(5, "com.a")]);
    // The realm goes on after the newest event, and no number is given twice.
    let store = open(config(&path, &all)).unwrap();
    assert_eq!(store.opened().next_sequence, Sequence::new(6));
}

#[test]
fn what_is_no_event_is_told_with_its_line_and_key() {
    let wrong = [
        (r#"{"topic":"com.a","time_ns":1}"#, "publication"),
        (r#"{"topic":"com.a","publication":1}"#, "time"),
        (
            r#"{"topic":"com.a","publication":0,"time_ns":1}"#,
            "publication",
        ),
        (
            r#"{"topic":"com.a","publication":1,"time":"soon"}"#,
            "`soon`",
        ),
        (
            r#"{"topic":"com.a","publication":1,"time_ns":1,"colour":3}"#,
            "colour",
        ),
        (
            r#"{"topic":"com.a","publication":1,"time_ns":1,"args":3}"#,
            "args",
        ),
        (
            r#"{"topic":"com.a","publication":1,"time_ns":1,"serializer":"xml"}"#,
            "xml",
        ),
        (
            r#"{"topic":"com.a","publication":1,"time_ns":1,"serializer":"cbor","args_base64":"!"}"#,
            "args_base64",
        ),
        ("[", "EOF"),
    ];
    for (line, named) in wrong {
        let text = format!("\n{line}\n");
        let mut reader = ndjson::Reader::new(BufReader::new(text.as_bytes()));
        let error = reader.next().unwrap().unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: ") && error.contains(named),
            "{error}"
        );
    }
}

#[test]
fn a_record_of_get_events_is_read() {
    let line = r#"{"timestamp":"2026-11-24T12:00:00.5Z","subscription":5,"publication":9,
        "topic":"com.a","details":{"topic":"com.a"},"args":[1, 2],"kwargs":null,"realm":"realm1",
        "publisher":3,"session_id":3,"publisher_authid":"joe","authid":"joe",
        "publisher_authrole":"user","authrole":"user"}"#
        .replace('\n', "");
    let mut reader = ndjson::Reader::new(BufReader::new(line.as_bytes()));
    let record = reader.next().unwrap().unwrap();
    assert_eq!(record.sequence, Sequence::new(1));
    assert_eq!(time_text(record.time), "2026-11-24T12:00:00.5Z");
    assert_eq!(record.disclosed.unwrap().authid, "joe");
    assert_eq!(record.payload.args(), Some(&b"[1, 2]"[..]));
    assert_eq!(record.payload.kwargs(), None);
}
