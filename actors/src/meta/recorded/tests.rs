use rewamp_history::{Engine, Event, Filter, Full, Lost, Sequence, StoreConfig, Timestamp, open};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::value::Dict;

use super::*;

const SERIALIZERS: [Serializer; 3] = [Serializer::Json, Serializer::MsgPack, Serializer::Cbor];

fn recorded(events: u64) -> Recorded {
    let store = open(StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Memory,
        maxsize: 1 << 20,
        full: Full::DropOldest,
        sync: false,
        limit: Some(1_000),
        filters: vec![Filter::new("com.", MatchPolicy::Prefix)],
        memory_begin: Sequence::ZERO,
    })
    .unwrap();
    let topic = store.topic("com.a").unwrap();
    let events: Vec<_> = (1..=events)
        .map(|number| {
            Arc::new(Event {
                sequence: Sequence::new(number),
                time: Timestamp::from_nanos(number),
                publication: PublicationId::new(number).unwrap(),
                topic: Arc::clone(&topic),
                publisher: SessionId::FIRST,
                exclude_me: true,
                disclosed: None,
                receivers: None,
                details: None,
                payload: Payload::from_values(Serializer::Cbor, Some(&[number.into()]), None)
                    .unwrap(),
            })
        })
        .collect();
    store.append(&events).unwrap();
    Recorded::new(store, "realm1", 1 << 20)
}

fn ask(
    recorded: &Recorded,
    asked: Asked,
    serializer: Serializer,
    args: &[Value],
    kwargs: &Dict,
) -> Result<Value, String> {
    let payload = Payload::from_values(serializer, Some(args), Some(kwargs)).unwrap();
    let told = |(uri, payload): Refused| format!("{uri} {:?}", payload.args_value().unwrap());
    let asking = recorded.read(asked, &payload).map_err(told)?;
    let subscription = match &asking.named {
        Named::Uri(uri, policy) => (uri.clone(), *policy),
        Named::Id(7) | Named::Nothing => ("com.".into(), MatchPolicy::Prefix),
        Named::Id(_) => return Err(told(recorded.unknown(&asking, serializer))),
    };
    let (uri, policy) = subscription;
    let id = SubscriptionId::new(7).unwrap();
    let answered = recorded.answer(asking, (id, uri, policy), serializer, Timestamp::MAX);
    let args = answered.map_err(told)?.args_value().unwrap();
    Ok(args.into_iter().next().unwrap())
}

fn numbers(answer: Result<Value, String>) -> Vec<u64> {
    let answer = answer.unwrap();
    let events = answer.as_list().unwrap().iter();
    events
        .map(|event| {
            let Value::Map(event) = event else {
                panic!("an event is a map")
            };
            assert_eq!(event.get("subscription").and_then(Value::as_u64), Some(7));
            let args = event.get("args").and_then(Value::as_list).unwrap();
            args[0].as_u64().unwrap()
        })
        .collect()
}

#[test]
fn calls_are_answered_by_the_rules_of_a_node_in_every_serializer() {
    let recorded = recorded(30);
    for serializer in SERIALIZERS {
        let ask = |args: &[Value], kwargs: Vec<(&str, Value)>| {
            let kwargs = kwargs.into_iter().collect::<Dict>();
            numbers(ask(&recorded, Asked::Events, serializer, args, &kwargs))
        };
        // By position, as at Crossbar: the newest ten.
        let newest: Vec<u64> = (21..=30).rev().collect();
        assert_eq!(ask(&[7_u64.into()], vec![]), newest);
        assert_eq!(ask(&[7_u64.into(), 2_u64.into()], vec![]), [30, 29]);
        // By keyword, as the spec has it.
        assert_eq!(ask(&[7_u64.into()], vec![("limit", 2_u64.into())]), [1, 2]);
        let after = vec![("after_sequence", 28_u64.into())];
        assert_eq!(ask(&["com.a".into()], after), [29, 30]);
        let prefix = vec![
            ("match", "prefix".into()),
            ("reverse", true.into()),
            ("limit", 1_u64.into()),
        ];
        assert_eq!(ask(&["com.".into()], prefix), [30]);
        assert_eq!(ask(&[], vec![("from_publication", 30_u64.into())]), [30]);
    }
}

#[test]
fn what_is_wrong_with_a_call_is_told_as_a_node_tells_it() {
    let recorded = recorded(1);
    for (args, kwargs, expected) in [
        (
            vec![8_u64.into()],
            vec![],
            "wamp.error.no_such_subscription",
        ),
        (
            vec![7_u64.into()],
            vec![("limit", "x")],
            "wamp.error.invalid_argument",
        ),
        (
            vec![7_u64.into()],
            vec![("nonsense", "x")],
            "`nonsense` is not known",
        ),
        (
            vec![7_u64.into()],
            vec![("match", "exact")],
            "`match` is for a URI",
        ),
        (
            vec!["com.".into()],
            vec![("match", "regex")],
            "`match` is a",
        ),
        (
            vec!["net.a".into()],
            vec![],
            "wamp.error.history_unavailable",
        ),
        (
            vec![Value::Bool(true)],
            vec![],
            "expected a subscription or a URI",
        ),
    ] {
        let kwargs: Dict = kwargs
            .into_iter()
            .map(|(key, value)| (key, Value::from(value)))
            .collect();
        let told = ask(&recorded, Asked::Events, Serializer::Json, &args, &kwargs).unwrap_err();
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn what_there_is_is_told_with_its_gaps() {
    let recorded = recorded(3);
    let gap = Sequence::new(4);
    let lost = Lost {
        from: gap,
        to: gap,
        why: "a router was away".to_owned(),
    };
    recorded.store.note_lost(lost).unwrap();
    let info = ask(
        &recorded,
        Asked::Info,
        Serializer::Cbor,
        &[7_u64.into()],
        &Dict::new(),
    );
    let Ok(Value::Map(info)) = info else {
        panic!("{info:?}")
    };
    assert_eq!(info.get("count").and_then(Value::as_u64), Some(3));
    let lost = info.get("lost").and_then(Value::as_list).unwrap();
    let Value::Map(lost) = &lost[0] else {
        panic!("{lost:?}")
    };
    assert_eq!(
        lost.get("why").and_then(Value::as_str),
        Some("a router was away")
    );
}
