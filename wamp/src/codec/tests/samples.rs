//! A message of every type, and more where there are options, each beside its array.

use crate::id::{Id, Kind};
use crate::message::*;
use crate::payload::Payload;
use crate::serializer::{Limits, Serializer};
use crate::uri::MatchPolicy;
use crate::value::{Dict, Value};

fn id<K: Kind>(number: u64) -> Id<K> {
    Id::new(number).unwrap()
}

fn dict(key: &'static str, value: impl Into<Value>) -> Dict {
    Dict::from([(key, value.into())])
}

fn payload(args: Option<&[Value]>, kwargs: Option<&Dict>) -> Payload {
    Payload::from_values(Serializer::Json, args, kwargs).unwrap()
}

fn none() -> Payload {
    Payload::empty(Serializer::Json)
}

fn opaque() -> Payload {
    let value = br#""\u0000AQI=""#;
    Payload::from_raw(Serializer::Json, Some(value), None, &Limits::default()).unwrap()
}

/// The message with its payload in that serializer.
pub(super) fn in_serializer(message: &Message, serializer: Serializer) -> Message {
    let mut message = message.clone();
    let payload = match &mut message {
        Message::Abort(message) => &mut message.payload,
        Message::Error(message) => &mut message.payload,
        Message::Publish(message) => &mut message.payload,
        Message::Event(message) => &mut message.payload,
        Message::Call(message) => &mut message.payload,
        Message::Result(message) => &mut message.payload,
        Message::Invocation(message) => &mut message.payload,
        Message::Yield(message) => &mut message.payload,
        _ => return message,
    };
    *payload = payload.transcode(serializer).unwrap();
    message
}

pub(super) fn messages() -> Vec<(&'static str, Message)> {
    let mut messages = session();
    messages.extend(pubsub());
    messages.extend(rpc());
    messages
}

fn session() -> Vec<(&'static str, Message)> {
    let hello = HelloDetails {
        roles: Roles::new()
            .with("subscriber", &["publisher_identification"])
            .with("caller", &[]),
        authmethods: vec!["ticket".into(), "wampcra".into()],
        authid: Some("joe".into()),
        authrole: Some("user".into()),
        authextra: Some(dict("pubkey", "ab")),
        agent: Some("test".into()),
        extra: dict("resumable", true),
    };
    let welcome = WelcomeDetails {
        roles: Roles::new().with("broker", &[]),
        realm: Some("realm1".into()),
        authid: Some("joe".into()),
        authrole: Some("user".into()),
        authmethod: Some("ticket".into()),
        authprovider: Some("static".into()),
        authextra: Some(Dict::new()),
        agent: Some("Rewamp".into()),
        extra: dict("x_cb_node", "n"),
    };
    let abort = |payload| {
        Message::Abort(Abort {
            details: dict("message", "no"),
            reason: "wamp.error.no_such_realm".into(),
            payload,
        })
    };
    vec![
        (
            r#"[1,"realm1",{"roles":{"subscriber":{"features":{"publisher_identification":true}},"caller":{}},"authmethods":["ticket","wampcra"],"authid":"joe","authrole":"user","authextra":{"pubkey":"ab"},"agent":"test","resumable":true}]"#,
            Message::Hello(Hello {
                realm: "realm1".into(),
                details: Box::new(hello),
            }),
        ),
        (
            r#"[2,9129137332,{"roles":{"broker":{}},"realm":"realm1","authid":"joe","authrole":"user","authmethod":"ticket","authprovider":"static","authextra":{},"agent":"Rewamp","x_cb_node":"n"}]"#,
            Message::Welcome(Welcome {
                session: id(9_129_137_332),
                details: Box::new(welcome),
            }),
        ),
        (
            r#"[3,{"message":"no"},"wamp.error.no_such_realm"]"#,
            abort(none()),
        ),
        (
            r#"[3,{"message":"no"},"wamp.error.no_such_realm",[7]]"#,
            abort(payload(Some(&[7_u64.into()]), None)),
        ),
        (
            r#"[4,"wampcra",{"challenge":"{}"}]"#,
            Message::Challenge(Challenge {
                method: "wampcra".into(),
                extra: dict("challenge", "{}"),
            }),
        ),
        (
            r#"[5,"gir1mSx+deCDUV7wRM5SGIn/+R/ClqLZuH4m7FJeBVI=",{}]"#,
            Message::Authenticate(Authenticate {
                signature: "gir1mSx+deCDUV7wRM5SGIn/+R/ClqLZuH4m7FJeBVI=".into(),
                extra: Dict::new(),
            }),
        ),
        (
            r#"[6,{},"wamp.close.close_realm"]"#,
            Message::Goodbye(Goodbye {
                details: Dict::new(),
                reason: "wamp.close.close_realm".into(),
            }),
        ),
        (
            r#"[8,48,7814135,{},"com.myapp.error",[],{"a":null}]"#,
            Message::Error(Error {
                request_type: MessageType::Call,
                request: id(7_814_135),
                details: Dict::new(),
                error: "com.myapp.error".into(),
                payload: payload(None, Some(&dict("a", Value::Null))),
            }),
        ),
    ]
}

fn pubsub() -> Vec<(&'static str, Message)> {
    let publish = |options, payload| {
        Message::Publish(Publish {
            request: id(239_714_735),
            options,
            topic: "com.myapp.t1".into(),
            payload,
        })
    };
    let event = |details: EventDetails, payload| {
        Message::Event(Event {
            subscription: id(5_512_315_355),
            publication: id(4_429_313_566),
            details: Box::new(details),
            payload,
        })
    };
    let lists = ReceiverLists {
        exclude: vec![id(1), id(2)],
        exclude_authid: vec!["a".into()],
        exclude_authrole: vec!["b".into()],
        eligible: vec![id(3)],
        eligible_authid: vec!["c".into()],
        eligible_authrole: vec!["d".into(), "e".into()],
    };
    vec![
        (
            r#"[16,239714735,{},"com.myapp.t1"]"#,
            publish(PublishOptions::default(), none()),
        ),
        (
            r#"[16,239714735,{"enc_algo":"cryptobox"},"com.myapp.t1","\u0000AQI="]"#,
            publish(
                PublishOptions {
                    extra: dict("enc_algo", "cryptobox"),
                    ..PublishOptions::default()
                },
                opaque(),
            ),
        ),
        (
            r#"[16,239714735,{"acknowledge":true,"exclude_me":false,"disclose_me":true,"retain":true,"exclude":[1,2],"exclude_authid":["a"],"exclude_authrole":["b"],"eligible":[3],"eligible_authid":["c"],"eligible_authrole":["d","e"],"_mine":[1.5,{"x":-1}]},"com.myapp.t1",[1,"two"],{"three":3.5}]"#,
            publish(
                PublishOptions {
                    acknowledge: true,
                    exclude_me: false,
                    disclose_me: true,
                    retain: true,
                    receivers: Some(Box::new(lists)),
                    extra: dict("_mine", vec![1.5.into(), dict("x", -1_i64).into()]),
                },
                payload(
                    Some(&[1_u64.into(), "two".into()]),
                    Some(&dict("three", 3.5)),
                ),
            ),
        ),
        (
            "[17,239714735,4429313566]",
            Message::Published(Published {
                request: id(239_714_735),
                publication: id(4_429_313_566),
            }),
        ),
        (
            r#"[32,713845233,{"match":"prefix","get_retained":true,"_replay":5},"com.myapp."]"#,
            Message::Subscribe(Subscribe {
                request: id(713_845_233),
                options: SubscribeOptions {
                    match_policy: MatchPolicy::Prefix,
                    get_retained: true,
                    extra: dict("_replay", 5_u64),
                },
                topic: "com.myapp.".into(),
            }),
        ),
        (
            "[33,713845233,5512315355]",
            Message::Subscribed(Subscribed {
                request: id(713_845_233),
                subscription: id(5_512_315_355),
            }),
        ),
        (
            "[34,85346237,5512315355]",
            Message::Unsubscribe(Unsubscribe {
                request: id(85_346_237),
                subscription: id(5_512_315_355),
            }),
        ),
        (
            "[35,85346237]",
            Message::Unsubscribed(Unsubscribed::Answer {
                request: id(85_346_237),
            }),
        ),
        (
            r#"[35,0,{"subscription":5512315355,"reason":"com.gone"}]"#,
            Message::Unsubscribed(Unsubscribed::Revoked {
                subscription: id(5_512_315_355),
                reason: Some("com.gone".into()),
            }),
        ),
        (
            r#"[36,5512315355,4429313566,{},[]]"#,
            event(EventDetails::default(), payload(Some(&[]), None)),
        ),
        (
            r#"[36,5512315355,4429313566,{"topic":"com.a","publisher":4,"publisher_authid":"joe","publisher_authrole":"user","retained":true,"_sequence":9},[],{}]"#,
            event(
                EventDetails {
                    topic: Some("com.a".into()),
                    publisher: Some(id(4)),
                    publisher_authid: Some("joe".into()),
                    publisher_authrole: Some("user".into()),
                    retained: true,
                    extra: dict("_sequence", 9_u64),
                },
                payload(None, Some(&Dict::new())),
            ),
        ),
    ]
}

fn rpc() -> Vec<(&'static str, Message)> {
    let mut messages = calls();
    messages.extend(registrations());
    messages
}

fn calls() -> Vec<(&'static str, Message)> {
    vec![
        (
            r#"[48,7814135,{"receive_progress":true,"progress":true,"timeout":500,"disclose_me":true,"ppt_scheme":"x"},"com.echo",["\u0000AAE="]]"#,
            Message::Call(Call {
                request: id(7_814_135),
                options: CallOptions {
                    receive_progress: true,
                    progress: true,
                    timeout: Some(500),
                    disclose_me: true,
                    extra: dict("ppt_scheme", "x"),
                },
                procedure: "com.echo".into(),
                payload: payload(Some(&[bytes::Bytes::from_static(&[0, 1]).into()]), None),
            }),
        ),
        (
            r#"[49,7814135,{"mode":"killnowait","x":1}]"#,
            Message::Cancel(Cancel {
                request: id(7_814_135),
                mode: Some(CancelMode::KillNoWait),
                extra: dict("x", 1_u64),
            }),
        ),
        (
            r#"[50,7814135,{"progress":true},[30]]"#,
            Message::Result(CallResult {
                request: id(7_814_135),
                details: ResultDetails {
                    progress: true,
                    extra: Dict::new(),
                },
                payload: payload(Some(&[30_u64.into()]), None),
            }),
        ),
        (
            r#"[70,6131533,{},["é\n"]]"#,
            Message::Yield(Yield {
                request: id(6_131_533),
                options: YieldOptions::default(),
                payload: payload(Some(&["é\n".into()]), None),
            }),
        ),
    ]
}

fn registrations() -> Vec<(&'static str, Message)> {
    let options = RegisterOptions {
        match_policy: MatchPolicy::Wildcard,
        invoke: InvocationPolicy::RoundRobin,
        concurrency: Some(3),
        force_reregister: true,
        disclose_caller: true,
        forward_timeout: true,
        extra: dict("x", Value::Null),
    };
    let invocation = InvocationDetails {
        procedure: Some("com.a".into()),
        caller: Some(id(5)),
        caller_authid: Some("joe".into()),
        caller_authrole: Some("user".into()),
        receive_progress: true,
        progress: true,
        timeout: Some(9),
        extra: dict("trustlevel", 1_u64),
    };
    vec![
        (
            r#"[64,25349185,{"match":"wildcard","invoke":"roundrobin","concurrency":3,"force_reregister":true,"disclose_caller":true,"forward_timeout":true,"x":null},"com..a"]"#,
            Message::Register(Register {
                request: id(25_349_185),
                options,
                procedure: "com..a".into(),
            }),
        ),
        (
            "[65,25349185,2103333224]",
            Message::Registered(Registered {
                request: id(25_349_185),
                registration: id(2_103_333_224),
            }),
        ),
        (
            "[66,788923562,2103333224]",
            Message::Unregister(Unregister {
                request: id(788_923_562),
                registration: id(2_103_333_224),
            }),
        ),
        (
            "[67,788923562]",
            Message::Unregistered(Unregistered::Answer {
                request: id(788_923_562),
            }),
        ),
        (
            r#"[67,0,{"registration":2103333224}]"#,
            Message::Unregistered(Unregistered::Revoked {
                registration: id(2_103_333_224),
                reason: None,
            }),
        ),
        (
            r#"[68,6131533,9823526,{"procedure":"com.a","caller":5,"caller_authid":"joe","caller_authrole":"user","receive_progress":true,"progress":true,"timeout":9,"trustlevel":1}]"#,
            Message::Invocation(Invocation {
                request: id(6_131_533),
                registration: id(9_823_526),
                details: Box::new(invocation),
                payload: none(),
            }),
        ),
        (
            r#"[69,6131533,{"mode":"kill","reason":"wamp.error.canceled"}]"#,
            Message::Interrupt(Interrupt {
                request: id(6_131_533),
                options: InterruptOptions {
                    mode: Some(CancelMode::Kill),
                    reason: Some("wamp.error.canceled".into()),
                    extra: Dict::new(),
                },
            }),
        ),
    ]
}
