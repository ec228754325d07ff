//! What no proper client sends: garbage, wrong types in every element of every message, messages
//! in the wrong state. Each gets its own clear answer, and nobody else notices anything.

use serde_json::{Value, json};

use crate::harness::client::{Client, code, hello};
use crate::harness::node::{self, Node};

const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";

/// How the router took a message.
#[derive(Debug)]
enum Answer {
    /// ABORT with this reason and text; the connection is over.
    Abort(String, String),
    /// ERROR with this URI for this type of request; the session goes on.
    Error(u64, String),
    /// Some other message of this type: what came in was right.
    #[expect(dead_code, reason = "the failing test shows it")]
    Taken(u64),
    /// The connection ended without a word.
    Silence,
}

#[test]
fn a_wrong_type_in_any_element_of_any_message_gets_an_answer_that_says_so() {
    let node = open_node();
    let mut witness = Witness::of(&node);
    let mut unanswered = Vec::new();
    for message in client_messages() {
        for (element, wrong) in wrong_elements(&message) {
            let mut bad = message.clone();
            bad[element] = wrong;
            let answer = answer_in_session(&node, &bad);
            if !refuses(&answer) {
                unanswered.push(format!("{bad} got {answer:?}"));
            }
        }
        witness.notices_nothing();
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
}

#[test]
fn a_message_that_is_too_short_or_too_long_is_a_protocol_violation() {
    let node = open_node();
    for message in client_messages() {
        let elements = message.as_array().expect("a message");
        for length in 1..payload_place(&message) {
            let short = Value::from(&elements[..length]);
            is_violation(&short, answer_in_session(&node, &short));
        }
        let mut long = elements.clone();
        long.resize(8, json!({}));
        let long = Value::from(long);
        is_violation(&long, answer_in_session(&node, &long));
    }
    Witness::of(&node).notices_nothing();
}

#[test]
fn what_is_no_message_is_a_protocol_violation() {
    let node = open_node();
    let mut witness = Witness::of(&node);
    let deep = "[".repeat(200_000);
    let cases: [&[u8]; 13] = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"17",
        b"\"HELLO\"",
        b"[",
        b"[1",
        b"[1,",
        b"\xff\xfe",
        b"[99, 1, {}]",
        b"[\"16\", 1, {}, \"a.b\"]",
        deep.as_bytes(),
    ];
    for text in cases {
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        let mut client = Client::join(node.ports.raw).expect("a session");
        client.send_text(text).expect("sent");
        is_violation(&json!(shown), answer(&mut client));
        witness.notices_nothing();
    }
}

#[test]
fn arguments_nested_too_deep_are_refused_without_delay_for_others() {
    let node = open_node();
    let mut witness = Witness::of(&node);
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (args, kwargs) in [
        (nested(200_000), "{}".to_owned()),
        (
            "[]".to_owned(),
            format!("{{\"deep\": {}}}", nested(200_000)),
        ),
    ] {
        let mut client = Client::join(node.ports.raw).expect("a session");
        let publish = format!("[16, 1, {{\"acknowledge\": true}}, \"com.deep\", {args}, {kwargs}]");
        client.send_text(publish.as_bytes()).expect("sent");
        let answer = answer(&mut client);
        assert!(refuses(&answer), "{answer:?}");
        witness.notices_nothing();
    }
}

#[test]
fn messages_in_the_wrong_state_are_a_protocol_violation() {
    let node = open_node();
    for early in client_messages().filter(|message| message[0] != code::HELLO) {
        let mut client = Client::connect(node.ports.raw).expect("a connection");
        client.send(&early).expect("sent");
        is_violation(&early, answer(&mut client));
    }
    let twice = hello("realm1");
    is_violation(&twice, answer_in_session(&node, &twice));
    for routers in [
        json!([2, 1, {}]),
        json!([4, "ticket", {}]),
        json!([17, 1, 2]),
        json!([33, 1, 2]),
        json!([35, 1]),
        json!([36, 1, 2, {}]),
        json!([50, 1, {}]),
        json!([65, 1, 2]),
        json!([67, 1]),
        json!([68, 1, 2, {}]),
        json!([69, 1, {}]),
    ] {
        is_violation(&routers, answer_in_session(&node, &routers));
    }
    Witness::of(&node).notices_nothing();
}

#[test]
fn a_realm_that_is_not_there_is_named() {
    let node = open_node();
    for realm in ["realm2", "", "realm1 ", "Realm1", "wamp.realm"] {
        let mut client = Client::connect(node.ports.raw).expect("a connection");
        client.send(&hello(realm)).expect("sent");
        match answer(&mut client) {
            Answer::Abort(reason, message) => {
                assert_eq!(reason, "wamp.error.no_such_realm", "{realm:?}");
                assert!(message.contains(realm), "{message}");
            }
            other => panic!("{realm:?} got {other:?}"),
        }
    }
}

#[test]
fn a_bad_handshake_is_refused_by_its_number() {
    let node = open_node();
    let mut witness = Witness::of(&node);
    // Spec, "RawSocket Transport": error 1 is a serializer that is not supported, 3 the use of
    // reserved bits; serializer 0 is illegal, and what is no handshake gets no answer.
    for (sent, expected) in [
        ([0x7f, 0xff, 0, 0], Some([0x7f, 0x10, 0, 0])),
        ([0x7f, 0xf1, 0, 1], Some([0x7f, 0x30, 0, 0])),
        ([0x7f, 0xf0, 0, 0], None),
        (*b"GET ", None),
        ([0, 0, 0, 0], None),
    ] {
        let answer = node::exchange(node.ports.raw, &sent);
        match expected {
            Some(expected) => assert_eq!(answer, expected, "{sent:02x?}"),
            None => assert!(answer.is_empty(), "{sent:02x?} got {answer:02x?}"),
        }
        witness.notices_nothing();
    }
}

#[test]
fn a_frame_of_no_known_kind_ends_the_connection() {
    let node = open_node();
    let mut witness = Witness::of(&node);
    for header in [[3, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0x10, 0, 0, 2]] {
        let mut client = Client::join(node.ports.raw).expect("a session");
        client.send_raw(&header).expect("sent");
        let answer = answer(&mut client);
        let over = matches!(answer, Answer::Abort(..) | Answer::Silence);
        assert!(over, "{header:02x?} got {answer:?}");
        witness.notices_nothing();
    }
}

#[test]
fn what_is_restricted_or_unknown_has_its_own_error() {
    let node = open_node();
    let acknowledge = json!({"acknowledge": true});
    for (message, error) in [
        (
            json!([16, 1, acknowledge, "wamp.foo"]),
            "wamp.error.invalid_uri",
        ),
        (
            json!([16, 1, acknowledge, "rewamp.foo"]),
            "wamp.error.invalid_uri",
        ),
        (
            json!([16, 1, acknowledge, "com..foo"]),
            "wamp.error.invalid_uri",
        ),
        (
            json!([16, 1, acknowledge, "com.foo bar"]),
            "wamp.error.invalid_uri",
        ),
        (json!([32, 1, {}, "com..foo"]), "wamp.error.invalid_uri"),
        (json!([32, 1, {}, "com.#.foo"]), "wamp.error.invalid_uri"),
        (json!([34, 1, 4711]), "wamp.error.no_such_subscription"),
        (
            json!([48, 1, {}, "com.nobody"]),
            "wamp.error.no_such_procedure",
        ),
        (json!([64, 1, {}, "wamp.foo"]), "wamp.error.invalid_uri"),
        (json!([64, 1, {}, "rewamp.foo"]), "wamp.error.invalid_uri"),
        (json!([66, 1, 4711]), "wamp.error.no_such_registration"),
    ] {
        match answer_in_session(&node, &message) {
            Answer::Error(request, uri) => {
                assert_eq!(
                    (&json!(request), uri.as_str()),
                    (&message[0], error),
                    "{message}"
                );
            }
            other => panic!("{message} got {other:?}"),
        }
    }
}

/// Every message that a client sends, each right as it stands. Without ABORT: a client may give
/// up at any time, and in any words.
fn client_messages() -> impl Iterator<Item = Value> {
    [
        hello("realm1"),
        json!([5, "signature", {}]),
        json!([6, {}, "wamp.close.normal"]),
        json!([8, 68, 1, {}, "com.example.error", [], {}]),
        json!([16, 1, {"acknowledge": true}, "com.example.topic", [], {}]),
        json!([32, 1, {}, "com.example.topic"]),
        json!([34, 1, 2]),
        json!([48, 1, {}, "com.example.procedure", [], {}]),
        json!([49, 1, {}]),
        json!([64, 1, {}, "com.example.procedure"]),
        json!([66, 1, 2]),
        json!([70, 1, {}, [], {}]),
    ]
    .into_iter()
}

/// Values that may not stand at each place of `message`, one at a time.
fn wrong_elements(message: &Value) -> Vec<(usize, Value)> {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!("com.a b"),
        json!([]),
        json!({}),
    ];
    let elements = message.as_array().expect("a message");
    let mut wrong = Vec::new();
    for (place, right) in elements.iter().enumerate().skip(1) {
        for value in &values {
            let may_stand = match value {
                // A payload that is null is a payload that is not there.
                Value::Null => place >= payload_place(message),
                Value::Number(_) => false,
                Value::String(_) => right.is_string() && !names_a_resource(message),
                _ => std::mem::discriminant(value) == std::mem::discriminant(right),
            };
            if !may_stand {
                wrong.push((place, value.clone()));
            }
        }
    }
    wrong
}

/// Where args and kwargs stand: an empty list and what follows.
fn payload_place(message: &Value) -> usize {
    let elements = message.as_array().expect("a message");
    let place = elements.iter().position(|element| *element == json!([]));
    place.unwrap_or(elements.len())
}

/// Whether a string of the message is the URI of a topic or a procedure, which is checked.
fn names_a_resource(message: &Value) -> bool {
    matches!(message[0].as_u64(), Some(16 | 32 | 48 | 64))
}

fn answer_in_session(node: &Node, message: &Value) -> Answer {
    // HELLO is read before there is a session, everything else in one.
    let first = message[0] == code::HELLO && *message != hello("realm1");
    let joined = if first { Client::connect } else { Client::join };
    let mut client = joined(node.ports.raw).expect("a connection");
    client.send(message).expect("sent");
    answer(&mut client)
}

fn answer(client: &mut Client) -> Answer {
    if client.flush().is_err() {
        return Answer::Silence;
    }
    let Ok(message) = client.receive() else {
        return Answer::Silence;
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match message[0].as_u64() {
        Some(code::ABORT) => Answer::Abort(text(&message[2]), text(&message[1]["message"])),
        Some(code::ERROR) => {
            Answer::Error(message[1].as_u64().unwrap_or_default(), text(&message[4]))
        }
        code => Answer::Taken(code.unwrap_or_default()),
    }
}

fn refuses(answer: &Answer) -> bool {
    match answer {
        Answer::Abort(reason, message) => !reason.is_empty() && !message.is_empty(),
        Answer::Error(_, uri) => !uri.is_empty(),
        Answer::Taken(_) | Answer::Silence => false,
    }
}

fn is_violation(sent: &Value, answer: Answer) {
    match answer {
        Answer::Abort(reason, message) => {
            assert_eq!(reason, PROTOCOL_VIOLATION, "{sent}: {message}");
            assert!(!message.is_empty(), "{sent}: no word of what was wrong");
        }
        other => panic!("{sent} got {other:?}"),
    }
}

/// Two sessions that do what they are there for, whatever others do.
struct Witness {
    publisher: Client,
    subscriber: Client,
    told: u64,
}

impl Witness {
    const TOPIC: &str = "com.witness.topic";

    fn of(node: &Node) -> Self {
        let join = || Client::join(node.ports.raw).expect("a session");
        let (publisher, mut subscriber) = (join(), join());
        let request = subscriber.request();
        subscriber
            .send(&json!([32, request, {}, Self::TOPIC]))
            .expect("sent");
        subscriber.flush().expect("sent");
        assert_eq!(subscriber.receive().expect("an answer")[0], 33);
        Self {
            publisher,
            subscriber,
            told: 0,
        }
    }

    fn notices_nothing(&mut self) {
        self.told += 1;
        let request = self.publisher.request();
        let publish = json!([16, request, {"acknowledge": true}, Self::TOPIC, [self.told]]);
        self.publisher.send(&publish).expect("sent");
        self.publisher.flush().expect("sent");
        let published = self.publisher.receive().expect("PUBLISHED");
        assert_eq!(published[0], code::PUBLISHED, "{published}");
        let event = self.subscriber.receive().expect("an event");
        assert_eq!(event[4], json!([self.told]), "{event}");
    }
}

fn open_node() -> Node {
    Node::start(|ports| {
        let store = json!({"type": "memory", "event-history": [{"uri": "com.kept"}]});
        let realms = json!([node::open_realm(store)]);
        node::config(ports, realms, &node::anonymous())
    })
}
