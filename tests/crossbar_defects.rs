//! What was found wrong with Crossbar.io 26.10, tried on this router: each defect in numbers
//! gets a test through the real binary, at the size at which it showed there, or a row that says
//! which other test has it, or why it cannot show here.
//!
//! | number | defect of Crossbar | here |
//! |---|---|---|
//! | 1 | subscribers of a history at its limit miss live events | `three_subscribers_at_the_limit_all_get_every_event` |
//! | 2 | asking for such a history fails now and then | `a_history_at_its_limit_answers_every_question` |
//! | 3 | an event is in the history once a subscriber | `an_event_is_in_the_history_once_however_many_subscribe` |
//! | 4 | what nobody receives is not kept | `what_nobody_receives_is_in_the_history` |
//! | 5 | what nobody receives stays in memory for ever | `what_nobody_receives_leaves_the_memory_with_the_history` |
//! | 6 | the history is shown to whoever asks | `the_history_shows_nobody_what_he_could_not_receive` |
//! | 7 | deliveries beside the history fill the log | `deliveries_that_no_history_is_of_leave_no_line_in_the_log` |
//! | 8 | SUBSCRIBE with `get_retained` is not answered | `subscribing_with_get_retained_to_a_kept_topic_is_answered` |
//! | 9 | a narrower subscription has no history | `a_narrower_subscription_has_the_history_of_the_filter_that_covers_it` |
//! | 10 | the meta API breaks where there is a store | `the_meta_api_is_right_about_subscriptions_that_have_a_history` |
//! | 11 | a store on disk needs another edition | `what_the_tour_publishes_is_there_after_the_kill`: `start`, and nothing else |
//! | 12 | every question to a store on disk fails | `a_store_on_disk_answers_crossbars_way_of_asking` |
//! | 13 | subscription IDs change with every start | `a_subscription_id_from_before_a_restart_finds_its_history` |
//! | 14 | what was acknowledged is lost with the process | `fifty_acknowledged_events_survive_every_signal` |
//! | 15 | the time of an event is that of its flush | `an_events_time_is_that_of_its_publication_however_late_it_is_flushed` |
//! | 16 | who left before the flush is forgotten, and what he received | `who_left_before_the_flush_is_still_named` |
//! | 17 | some publications are not kept, by their options | `publications_are_kept_whatever_their_options` |
//! | 18 | a full store ends the writer, and memory grows | `a_full_store_goes_on_with_the_newest_in_bounded_memory` |
//! | 19 | a read-only store acknowledges and drops | `a_readonly_store_is_served_and_not_a_byte_of_it_changes` |
//! | 20 | the end of a session is not written to its table | `sessions_are_rows_that_say_when_they_joined_and_left` |
//! | 21 | two nodes, or two realms, write one store | `a_folder_is_the_store_of_one_realm_of_one_node` |
//! | 22 | the documented Python program fails | `python_reads_a_store_for_a_minute_while_the_node_writes_to_it`, by a program that works |
//! | 23 | missing parents of the path end the node | `missing_parents_of_a_path_are_made_and_what_cannot_be_made_is_said` |
//! | 24 | a deeply nested message keeps everybody from joining | `while_lists_nested_200_000_deep_come_in_others_join` |
//! | 25 | a pattern subscription equal to its rule is denied | `a_pattern_that_a_rule_names_may_be_subscribed_to` |
//! | 26 | some first messages, and a second HELLO, get no answer | `every_first_message_is_answered` |
//! | 27 | who does not read costs memory without end | `four_that_never_read_cost_no_more_than_their_outboxes` |
//! | 28 | Wampy cannot subscribe over MessagePack and CBOR | `wampy_publishes_and_calls`, over every serializer |

use std::io::Write as _;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use crate::harness::client::{Client, code, hello};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node, Ports};
use crate::transports;

const GET_EVENTS: &str = "wamp.subscription.get_events";
const HISTORY_INFO: &str = "rewamp.subscription.history_info";
const LOOKUP: &str = "wamp.subscription.lookup";
const TOPIC: &str = "com.kept.topic";
const SUBSCRIBED: u64 = 33;
const EVENT: u64 = 36;
const MIB: u64 = 1 << 20;

fn memory(limit: u64) -> Value {
    json!({"type": "memory", "limit": limit, "event-history": [
        {"uri": "com.kept.", "match": "prefix"}
    ]})
}

fn disk() -> Value {
    json!({"type": "sled", "path": "history", "maxsize": 16 * MIB, "event-history": [
        {"uri": "com.kept.", "match": "prefix"}
    ]})
}

/// Everybody may do everything; `store` is the history.
fn node(store: &Value) -> Node {
    Node::start(|ports| with_store(ports, store))
}

fn with_store(ports: &Ports, store: &Value) -> Value {
    let realms = json!([node::open_realm(store.clone())]);
    node::config(ports, realms, &node::anonymous())
}

fn join(node: &Node) -> Client {
    Client::join(node.ports.raw).expect("a session")
}

/// Sends and gives the answer.
fn ask(client: &mut Client, message: &Value) -> Value {
    client.send(message).expect("sent");
    client.flush().expect("sent");
    client.receive().expect("an answer")
}

fn subscribe(client: &mut Client, uri: &str, options: &Value) -> u64 {
    let request = client.request();
    let answer = ask(client, &json!([32, request, options, uri]));
    assert_eq!(answer[0], SUBSCRIBED, "{answer}");
    answer[2].as_u64().expect("an ID")
}

/// Publishes with an acknowledgement, which must come.
fn publish(client: &mut Client, topic: &str, options: &Value, args: &Value) -> u64 {
    let request = client.request();
    let mut options = options.clone();
    options["acknowledge"] = json!(true);
    let answer = ask(
        client,
        &json!([code::PUBLISH, request, options, topic, args]),
    );
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    answer[2].as_u64().expect("an ID")
}

fn look_up(client: &mut Client, uri: &str, policy: &str) -> u64 {
    let found = client.call(LOOKUP, json!([uri, {"match": policy}]), json!({}));
    found.expect("an answer").as_u64().expect("an ID")
}

/// The history, oldest first.
fn history(client: &mut Client, subscription: u64) -> Vec<Value> {
    let all = json!({"from_time": "2000-01-01T00:00:00Z"});
    let page = client.call(GET_EVENTS, json!([subscription]), all);
    page.expect("a page").as_array().expect("a list").clone()
}

fn first_arguments(events: &[Value]) -> Vec<u64> {
    let number = |event: &Value| event["args"][0].as_u64().expect("a number");
    events.iter().map(number).collect()
}

fn arrive_in_order(subscriber: &mut Client, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let event = subscriber.receive().expect("an event");
        assert_eq!((&event[0], &event[4][0]), (&json!(EVENT), &json!(number)));
    }
}

/// Three subscribers, as many publications as Crossbar lost events of, and what the history of
/// that many says when it is asked after each.
fn at_the_limit(limit: u64, publications: u64, mut after_each: impl FnMut(u64, &mut Client)) {
    let node = node(&memory(limit));
    let mut subscribers = [join(&node), join(&node), join(&node)];
    for subscriber in &mut subscribers {
        subscribe(subscriber, TOPIC, &json!({}));
    }
    let mut publisher = join(&node);
    for number in 0..publications {
        publish(&mut publisher, TOPIC, &json!({}), &json!([number]));
        after_each(number, &mut publisher);
    }
    for subscriber in &mut subscribers {
        arrive_in_order(subscriber, 0..publications);
    }
}

/// Defect 1. Crossbar: 108, 68 and 150 of 150 acknowledged events arrived, and 14, 30 and 15 of 30
/// at a limit of 5.
#[test]
fn three_subscribers_at_the_limit_all_get_every_event() {
    at_the_limit(100, 150, |_, _| {});
    at_the_limit(5, 30, |_, _| {});
}

/// Defect 2. Crossbar: 15 of 30 calls failed.
#[test]
fn a_history_at_its_limit_answers_every_question() {
    at_the_limit(5, 30, |number, client| {
        let id = look_up(client, TOPIC, "exact");
        let newest = client.call(GET_EVENTS, json!([id, 100]), json!({}));
        let newest = newest.expect("a page").as_array().expect("a list").clone();
        let expected: Vec<u64> = (0..=number).rev().take(5).collect();
        assert_eq!(first_arguments(&newest), expected);
    });
}

/// Defect 3. Crossbar: N subscribers, and each event was N times in the history.
#[test]
fn an_event_is_in_the_history_once_however_many_subscribe() {
    at_the_limit(100, 150, |number, client| {
        if number == 149 {
            let id = look_up(client, TOPIC, "exact");
            let events = history(client, id);
            assert_eq!(first_arguments(&events), (50..150).collect::<Vec<_>>());
        }
    });
}

/// Defect 4. Crossbar: without a subscriber, with the publisher alone, or without one who may
/// receive it, nothing was kept.
#[test]
fn what_nobody_receives_is_in_the_history() {
    for store in [memory(100), disk()] {
        let node = node(&store);
        let mut client = join(&node);
        publish(&mut client, TOPIC, &json!({}), &json!([1]));
        subscribe(&mut client, TOPIC, &json!({}));
        publish(&mut client, TOPIC, &json!({}), &json!([2]));
        let nobody = json!({"exclude_me": false, "eligible_authid": ["nobody"]});
        publish(&mut client, TOPIC, &nobody, &json!([3]));
        let not_us = json!({"exclude_me": true, "exclude_authrole": ["other"]});
        publish(&mut client, TOPIC, &not_us, &json!([4]));
        let id = look_up(&mut client, TOPIC, "exact");
        let events = history(&mut client, id);
        // The third is there, for somebody else.
        assert_eq!(first_arguments(&events), [1, 2, 4]);
        let info = client.call(HISTORY_INFO, json!([id]), json!({}));
        assert_eq!(info.expect("an answer")["count"], 4);
    }
}

/// Defect 5. Crossbar: 3,000 events of 10 kB that nobody received, at a limit of 5: 31 MiB for good.
#[test]
fn what_nobody_receives_leaves_the_memory_with_the_history() {
    let node = node(&memory(5));
    let mut client = join(&node);
    let filling = "x".repeat(10_000);
    let mut fill = |count: u64| {
        for number in 0..count {
            publish(&mut client, TOPIC, &json!({}), &json!([number, filling]));
        }
        node.resident()
    };
    let before = fill(1_000);
    let grown = fill(12_000).saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes of 120 MB that are gone");
}

/// Defect 6. Crossbar: a role that may not subscribe got the history, everybody got what was for
/// some, and who had published was told whatever the role's `disclose` said.
#[test]
fn the_history_shows_nobody_what_he_could_not_receive() {
    let node = Node::start(|ports| {
        let all = node::open_realm(disk())["roles"][0].clone();
        let role = |name: &str, may_subscribe: bool| {
            let mut role = all.clone();
            role["name"] = json!(name);
            role["permissions"][0]["allow"]["subscribe"] = json!(may_subscribe);
            role
        };
        let mut realm = node::open_realm(disk());
        realm["roles"] = json!([
            role("reader", true),
            role("guest", true),
            role("blind", false)
        ]);
        let principal = |role: &str| json!({"ticket": "secret", "role": role});
        let principals = json!({
            "alice": principal("reader"), "bob": principal("guest"), "eve": principal("blind")
        });
        let auth = json!({"ticket": {"type": "static", "principals": principals}});
        node::config(ports, json!([realm]), &auth)
    });
    let mut alice = log_in(&node, "alice");
    let cases = [
        (json!({}), [true, true]),
        (json!({"eligible_authid": ["alice"]}), [true, false]),
        (json!({"exclude_authid": ["alice"]}), [false, true]),
        (
            json!({"eligible_authrole": ["guest", "blind"]}),
            [false, true],
        ),
        (json!({"exclude_authrole": ["guest"]}), [true, false]),
    ];
    for (number, (options, _)) in cases.iter().enumerate() {
        publish(&mut alice, TOPIC, options, &json!([number]));
    }
    let id = look_up(&mut alice, TOPIC, "exact");
    for (who, name) in ["alice", "bob"].into_iter().enumerate() {
        let mut client = log_in(&node, name);
        let events = history(&mut client, id);
        let shown = (0..cases.len() as u64).filter(|number| cases[*number as usize].1[who]);
        assert_eq!(
            first_arguments(&events),
            shown.collect::<Vec<_>>(),
            "{name}"
        );
        for event in &events {
            for key in [
                "publisher",
                "session_id",
                "authid",
                "publisher_authid",
                "authrole",
            ] {
                assert!(event.get(key).is_none(), "{key} in {event}");
            }
        }
    }
    let mut eve = log_in(&node, "eve");
    for keywords in [json!({}), json!({"reverse": true})] {
        let request = eve.request();
        let call = json!([code::CALL, request, {}, GET_EVENTS, [id], keywords]);
        let answer = ask(&mut eve, &call);
        assert_eq!(answer[0], code::ERROR, "{answer}");
        assert_eq!(answer[4], "wamp.error.not_authorized", "{answer}");
    }
}

fn log_in(node: &Node, authid: &str) -> Client {
    let mut client = Client::connect(node.ports.raw).expect("a connection");
    let mut hello = hello("realm1");
    hello[2]["authid"] = json!(authid);
    hello[2]["authmethods"] = json!(["ticket"]);
    let challenge = ask(&mut client, &hello);
    assert_eq!(challenge[0], 4, "{challenge}");
    let welcome = ask(&mut client, &json!([5, "secret", {}]));
    assert_eq!(welcome[0], code::WELCOME, "{welcome}");
    client
}

/// Defect 7. Crossbar: two lines of warnings for every delivery on any topic that it keeps no
/// history of.
#[test]
fn deliveries_that_no_history_is_of_leave_no_line_in_the_log() {
    let node = node(&memory(5));
    let (mut publisher, mut subscriber) = (join(&node), join(&node));
    subscribe(&mut subscriber, "com.other", &json!({}));
    publish(&mut publisher, "com.other", &json!({}), &json!([0]));
    let before = node.log();
    for number in 1..100 {
        publish(&mut publisher, "com.other", &json!({}), &json!([number]));
    }
    arrive_in_order(&mut subscriber, 0..100);
    assert_eq!(node.log(), before);
}

/// Defect 8. Crossbar: no answer, ever.
#[test]
fn subscribing_with_get_retained_to_a_kept_topic_is_answered() {
    let node = node(&memory(5));
    let mut client = join(&node);
    for (uri, policy) in [
        (TOPIC, "exact"),
        ("com.kept.", "prefix"),
        ("com..topic", "wildcard"),
    ] {
        subscribe(
            &mut client,
            uri,
            &json!({"match": policy, "get_retained": true}),
        );
    }
}

/// Defect 9. Crossbar: only the subscription that was configured had a history.
#[test]
fn a_narrower_subscription_has_the_history_of_the_filter_that_covers_it() {
    for store in [memory(100), disk()] {
        let node = node(&store);
        let mut client = join(&node);
        for (number, topic) in ["com.kept.a.x", "com.kept.b.x", "com.kept.a.y"]
            .iter()
            .enumerate()
        {
            publish(&mut client, topic, &json!({}), &json!([number]));
        }
        for (uri, policy, expected) in [
            ("com.kept.", "prefix", vec![0, 1, 2]),
            ("com.kept.a.", "prefix", vec![0, 2]),
            ("com.kept.b.x", "exact", vec![1]),
            ("com.kept..x", "wildcard", vec![0, 1]),
        ] {
            for subscribed in [false, true] {
                let id = match subscribed {
                    false => look_up(&mut client, uri, policy),
                    true => subscribe(&mut client, uri, &json!({"match": policy})),
                };
                assert_eq!(
                    first_arguments(&history(&mut client, id)),
                    expected,
                    "{uri}"
                );
            }
        }
    }
}

/// Defect 10. Crossbar: with a memory store `list_subscribers` and `session.get` fail,
/// `count_subscribers` counts the store, `list` has no wildcards.
#[test]
fn the_meta_api_is_right_about_subscriptions_that_have_a_history() {
    let node = node(&memory(5));
    let mut client = join(&node);
    let mut call = |uri: &str, args: Value| client.call(uri, args, json!({}));
    let id = call(LOOKUP, json!(["com.kept.", {"match": "prefix"}])).expect("an ID");
    let count = "wamp.subscription.count_subscribers";
    let list = "wamp.subscription.list_subscribers";
    assert_eq!(call(count, json!([id])).expect("a number"), 0);
    assert_eq!(call(list, json!([id])).expect("a list"), json!([]));
    let mut subscribers = [join(&node), join(&node)];
    for subscriber in &mut subscribers {
        let subscribed = subscribe(subscriber, "com.kept.", &json!({"match": "prefix"}));
        assert_eq!(json!(subscribed), id);
    }
    let wildcard = subscribe(&mut subscribers[0], "com..x", &json!({"match": "wildcard"}));
    assert_eq!(call(count, json!([id])).expect("a number"), 2);
    let sessions = call(list, json!([id])).expect("a list");
    let sessions = sessions.as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    let all = call("wamp.subscription.list", json!([])).expect("lists");
    assert_eq!(all["wildcard"], json!([wildcard]));
    assert_eq!(all["prefix"], json!([id]));
    for session in sessions {
        let details = call("wamp.session.get", json!([session])).expect("details");
        assert_eq!(&details["session"], session);
    }
    let unknown = call("wamp.session.get", json!([4711])).expect_err("there is none");
    assert!(unknown.to_string().contains("wamp.error.no_such_session"));
}

/// Defect 12. Crossbar: `wamp.error.runtime_error`, also for a history of nothing.
#[test]
fn a_store_on_disk_answers_crossbars_way_of_asking() {
    let node = node(&disk());
    let mut client = join(&node);
    let id = look_up(&mut client, TOPIC, "exact");
    let shown = |client: &mut Client, args: Value| {
        let page = client.call(GET_EVENTS, args, json!({})).expect("a page");
        first_arguments(page.as_array().expect("a list"))
    };
    assert!(shown(&mut client, json!([id])).is_empty());
    for number in 0..20 {
        publish(&mut client, TOPIC, &json!({}), &json!([number]));
    }
    let newest = |count: u64| (0..20).rev().take(count as usize).collect::<Vec<u64>>();
    assert_eq!(shown(&mut client, json!([id])), newest(10));
    for (limit, count) in [
        (json!(3), 3),
        (json!(1_000), 20),
        (json!(null), 20),
        (json!(0), 0),
    ] {
        assert_eq!(
            shown(&mut client, json!([id, limit])),
            newest(count),
            "{limit}"
        );
    }
}

/// Defect 13. Crossbar: another random ID for the same subscription with every start.
#[test]
fn a_subscription_id_from_before_a_restart_finds_its_history() {
    let mut node = node(&disk());
    let mut client = join(&node);
    publish(&mut client, TOPIC, &json!({}), &json!([7]));
    let ids = [
        look_up(&mut client, "com.kept.", "prefix"),
        subscribe(&mut client, TOPIC, &json!({})),
        subscribe(&mut client, "com..topic", &json!({"match": "wildcard"})),
        subscribe(&mut client, "com.kept.t", &json!({"match": "prefix"})),
    ];
    let covered = [true, true, false, true];
    for clean in [true, false] {
        if clean {
            assert!(node.stop().success());
        } else {
            node.kill();
        }
        node.restart();
        let mut client = join(&node);
        for (id, _) in ids.iter().zip(covered).filter(|(_, covered)| *covered) {
            assert_eq!(first_arguments(&history(&mut client, *id)), [7]);
        }
        assert_eq!(look_up(&mut client, "com.kept.", "prefix"), ids[0]);
        assert_eq!(look_up(&mut client, TOPIC, "exact"), ids[1]);
        assert_eq!(subscribe(&mut client, TOPIC, &json!({})), ids[1]);
        assert_eq!(look_up(&mut client, "com.kept.t", "prefix"), ids[3]);
    }
}

/// Defect 14. Crossbar: 50 of 50 acknowledged events were lost with SIGKILL, and with SIGTERM 18
/// to 50 of them.
#[test]
fn fifty_acknowledged_events_survive_every_signal() {
    let mut node = node(&disk());
    let mut published = Vec::new();
    for signal in ["KILL", "TERM", "INT", "KILL", "TERM", "INT"] {
        let mut client = join(&node);
        for number in 1..=50 {
            let options = json!({"acknowledge": true});
            let message = json!([code::PUBLISH, number, options, TOPIC, [number]]);
            client.send(&message).expect("sent");
        }
        client.flush().expect("sent");
        for _ in 0..50 {
            let answer = client.receive().expect("an answer");
            assert_eq!(answer[0], code::PUBLISHED, "{answer}");
            published.push(answer[2].clone());
        }
        match signal {
            "KILL" => node.kill(),
            other => assert!(node.end_by(other).success(), "SIG{other}"),
        }
        node.restart();
        let mut client = join(&node);
        let id = look_up(&mut client, TOPIC, "exact");
        let kept: Vec<Value> = history(&mut client, id)
            .iter()
            .map(|event| event["publication"].clone())
            .collect();
        assert_eq!(kept, published, "after SIG{signal}");
    }
}

/// Defect 15. Crossbar: the time of the flush, up to the whole time between two of them late.
#[test]
fn an_events_time_is_that_of_its_publication_however_late_it_is_flushed() {
    let mut store = disk();
    store["buffertime"] = json!(8_000);
    let mut node = node(&store);
    let (mut publisher, mut subscriber) = (join(&node), join(&node));
    subscribe(&mut subscriber, TOPIC, &json!({"_sequence": true}));
    let mut times = Vec::new();
    for number in 0..20 {
        let before = now();
        // Unacknowledged: nothing hurries the flush.
        let message = json!([code::PUBLISH, number + 1, {}, TOPIC, [number]]);
        publisher.send(&message).expect("sent");
        publisher.flush().expect("sent");
        let event = subscriber.receive().expect("an event");
        times.push((before, now(), event[3]["_timestamp"].clone()));
    }
    let id = look_up(&mut publisher, TOPIC, "exact");
    let unflushed = history(&mut publisher, id);
    assert!(node.stop().success());
    node.restart();
    let mut client = join(&node);
    assert_eq!(history(&mut client, id), unflushed);
    for (event, (before, after, live)) in unflushed.iter().zip(&times) {
        let time = event["time_ns"].as_u64().expect("a time");
        assert!((*before..=*after).contains(&time), "{event}");
        assert_eq!(&event["timestamp"], live);
    }
    assert_eq!(unflushed.len(), times.len());
}

/// Nanoseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a client compares the router's clock with its own"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_nanos()).expect("before 2500")
}

/// Defect 16. Crossbar: who published and left before the flush became publisher 0, and where a
/// receiver had left there was no event: none of 20.
#[test]
fn who_left_before_the_flush_is_still_named() {
    let mut store = disk();
    store["buffertime"] = json!(8_000);
    let mut node = Node::start(|ports| {
        let mut realm = node::open_realm(store.clone());
        realm["roles"][0]["permissions"][0]["disclose"]["publisher"] = json!(true);
        node::config(ports, json!([realm]), &node::anonymous())
    });
    let mut witness = join(&node);
    let session = {
        let (mut publisher, mut receiver) = (join(&node), join(&node));
        subscribe(&mut receiver, TOPIC, &json!({}));
        let mut publishers = Vec::new();
        for number in 0..20 {
            let message = json!([code::PUBLISH, number + 1, {}, TOPIC, [number]]);
            publisher.send(&message).expect("sent");
            publisher.flush().expect("sent");
            publishers.push(receiver.receive().expect("an event")[3]["publisher"].clone());
        }
        assert!(publishers.iter().all(|publisher| publisher.is_u64()));
        publishers[0].clone()
    };
    within(SOON, "both have left", || {
        let count = witness.call("wamp.session.count", json!([]), json!({}));
        (count.expect("a number") == 1).then_some(())
    });
    let id = look_up(&mut witness, TOPIC, "exact");
    let before = history(&mut witness, id);
    assert_eq!(first_arguments(&before), (0..20).collect::<Vec<_>>());
    for event in &before {
        assert_eq!(event["publisher"], session, "{event}");
        assert!(event["publisher_authid"].is_string(), "{event}");
        assert_eq!(event["publisher_authrole"], "anonymous", "{event}");
    }
    assert!(node.stop().success());
    node.restart();
    assert_eq!(history(&mut join(&node), id), before);
}

/// Defect 17. Crossbar: with `exclude_authid` or `exclude_authrole` alone nothing was kept, and
/// nothing whose payload is opaque to the router.
#[test]
fn publications_are_kept_whatever_their_options() {
    let mut node = node(&disk());
    let mut client = join(&node);
    let opaque = json!({
        "ppt_scheme": "x_own", "ppt_serializer": "cbor", "ppt_cipher": "xsalsa20poly1305",
        "ppt_keyid": "key-7"
    });
    let published: Vec<u64> = [
        json!({"exclude_authid": ["nobody"]}),
        json!({"exclude_authrole": ["nobody"]}),
        json!({"exclude_authid": ["nobody"], "exclude_authrole": ["nobody"]}),
        json!({"eligible_authrole": ["anonymous"]}),
        json!({"exclude": [], "eligible": []}),
        json!({"exclude_me": false, "disclose_me": true, "retain": true}),
        opaque.clone(),
    ]
    .iter()
    .map(|options| publish(&mut client, TOPIC, options, &json!(["\u{0}AQID"])))
    .collect();
    let id = look_up(&mut client, TOPIC, "exact");
    for restarted in [false, true] {
        if restarted {
            node.kill();
            node.restart();
            client = join(&node);
        }
        let events = history(&mut client, id);
        let kept: Vec<u64> = events
            .iter()
            .map(|event| event["publication"].as_u64().expect("an ID"))
            .collect();
        assert_eq!(kept, published);
        let last = events.last().expect("an event");
        assert_eq!(last["args"], json!(["\u{0}AQID"]), "{last}");
        for (key, value) in opaque.as_object().expect("an object") {
            assert_eq!(&last["details"][key], value, "{last}");
        }
    }
}

/// Defect 18. Crossbar: of 600 acknowledged publications 41 were kept; from then on nothing was,
/// and 20 MB that were published took 21 MiB of memory.
#[test]
fn a_full_store_goes_on_with_the_newest_in_bounded_memory() {
    let mut store = disk();
    store["maxsize"] = json!(5 * MIB);
    let node = node(&store);
    let mut client = join(&node);
    let filling = "x".repeat(20_000);
    let fill = |client: &mut Client, numbers: std::ops::Range<u64>| {
        for number in numbers {
            publish(client, TOPIC, &json!({}), &json!([number, filling]));
        }
        node.resident()
    };
    let before = fill(&mut client, 0..600);
    let grown = fill(&mut client, 600..1_600).saturating_sub(before);
    assert!(
        grown < 16 * MIB,
        "{grown} bytes while 20 MB went through a full store"
    );
    let id = look_up(&mut client, TOPIC, "exact");
    let kept = first_arguments(&history(&mut client, id));
    let oldest = kept[0];
    assert_eq!(kept, (oldest..1_600).collect::<Vec<_>>());
    assert!(kept.len() > 41, "only {} are kept", kept.len());
}

/// Defect 21. Crossbar: two nodes with one path both wrote, two realms shared their rows.
#[test]
fn a_folder_is_the_store_of_one_realm_of_one_node() {
    let one = node(&disk());
    let mut shared = disk();
    shared["path"] = json!(one.dir().join("history"));
    let other = Node::start(|ports| with_store(ports, &shared));
    let (mut here, mut there) = (join(&one), join(&other));
    for number in 0..40 {
        publish(&mut here, TOPIC, &json!({}), &json!([number]));
        let answer = there.publish(TOPIC, &json!([1_000 + number]));
        let answer = answer.expect("an answer");
        assert_eq!(answer[4], "rewamp.error.store_unavailable", "{answer}");
        assert!(answer.to_string().contains("in use by another"), "{answer}");
    }
    let (_, ready) = other.admin("/health/ready").expect("an answer");
    assert!(ready.contains("realm1"), "{ready}");
    let id = look_up(&mut here, TOPIC, "exact");
    let kept = first_arguments(&history(&mut here, id));
    assert_eq!(kept, (0..40).collect::<Vec<_>>());

    let mut second = node::open_realm(disk());
    second["name"] = json!("realm2");
    let realms = json!([node::open_realm(disk()), second]);
    let checked = node::check(&node::config(&one.ports, realms, &node::anonymous()));
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("workers[0].realms[1].store.path"), "{said}");
}

/// Defect 23. Crossbar: `FileNotFoundError`, and the node is gone.
#[test]
fn missing_parents_of_a_path_are_made_and_what_cannot_be_made_is_said() {
    let mut store = disk();
    store["path"] = json!("a/b/c/history");
    let node = Node::start(|ports| with_store(ports, &store));
    let mut client = join(&node);
    publish(&mut client, TOPIC, &json!({}), &json!([1]));
    assert!(node.dir().join("a/b/c/history/store").is_file());
    // No folder can be made below a file, whoever asks.
    store["path"] = json!("config.json/history");
    let node = Node::start(|ports| with_store(ports, &store));
    let answer = join(&node).publish(TOPIC, &json!([1])).expect("an answer");
    assert_eq!(answer[4], "rewamp.error.store_unavailable", "{answer}");
    assert_eq!(answer[3]["_routed"], true, "{answer}");
    assert!(answer.to_string().contains("config.json"), "{answer}");
}

/// Defect 24. Crossbar: one such message of 400 kB, and for 45 seconds and more nobody could join.
#[test]
fn while_lists_nested_200_000_deep_come_in_others_join() {
    let node = node(&memory(5));
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let publication = format!("[16,1,{{\"acknowledge\":true}},\"{TOPIC}\",{deep}]");
    for bad in [&deep, &publication] {
        let mut hostile: Vec<Client> = (0..4).map(|_| join(&node)).collect();
        for client in &mut hostile {
            client.send_text(bad.as_bytes()).expect("sent");
            // The router may end the connection before it has read all of that.
            let _ = client.flush();
        }
        for number in 0..20 {
            let mut client = join(&node);
            publish(&mut client, TOPIC, &json!({}), &json!([number]));
        }
        for client in &mut hostile {
            // An answer that says so, unless the rest of what was sent took it away.
            if let Ok(answer) = client.receive() {
                assert!([code::ABORT, code::ERROR].contains(&answer[0].as_u64().unwrap()));
            }
        }
    }
    // Over WebSocket as well.
    let mut stream = transports::websocket(&node);
    let hello = hello("realm1").to_string();
    let frame = |text: &str| transports::frame(transports::TEXT, text.as_bytes());
    stream.write_all(&frame(&hello)).expect("sent");
    let _ = transports::next_frame(&mut stream);
    stream.write_all(&frame(&publication)).expect("sent");
    let mut client = join(&node);
    publish(&mut client, TOPIC, &json!({}), &json!([20]));
    let (_, answer) = transports::next_frame(&mut stream);
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert!([code::ABORT, code::ERROR].contains(&answer[0].as_u64().unwrap()));
}

/// Defect 25. Crossbar: a wildcard SUBSCRIBE equal to its own wildcard rule is denied.
#[test]
fn a_pattern_that_a_rule_names_may_be_subscribed_to() {
    let rules = [
        ("com.w..y", "wildcard"),
        ("com.p.", "prefix"),
        ("com.e", "exact"),
    ];
    let node = Node::start(|ports| {
        let rule = |(uri, policy): (&str, &str)| json!({"uri": uri, "match": policy, "allow": {"subscribe": true}});
        let mut realm = node::open_realm(memory(5));
        realm["roles"][0]["permissions"] = json!(rules.map(rule));
        node::config(ports, json!([realm]), &node::anonymous())
    });
    let mut client = join(&node);
    for (uri, policy) in rules {
        subscribe(&mut client, uri, &json!({"match": policy}));
    }
    for (uri, policy) in [
        ("com.w.", "prefix"),
        ("com...y", "wildcard"),
        ("com.p", "exact"),
    ] {
        let request = client.request();
        let answer = ask(&mut client, &json!([32, request, {"match": policy}, uri]));
        assert_eq!(answer[4], "wamp.error.not_authorized", "{answer}");
    }
}

/// Defect 26. Crossbar: the realms `""` and `"realm1 "` close the connection without ABORT;
/// PUBLISH or GOODBYE before HELLO, and a second HELLO, get no answer.
#[test]
fn every_first_message_is_answered() {
    let node = node(&memory(5));
    let publish = json!([code::PUBLISH, 1, {"acknowledge": true}, TOPIC]);
    let goodbye = json!([6, {}, "wamp.close.normal"]);
    let (good, violation) = (hello("realm1"), "wamp.error.protocol_violation");
    for (messages, reason) in [
        (vec![hello("")], "wamp.error.no_such_realm"),
        (vec![hello("realm1 ")], "wamp.error.no_such_realm"),
        (vec![publish], violation),
        (vec![goodbye], violation),
        (vec![good.clone(), good], violation),
    ] {
        let (last, first) = messages.split_last().expect("a message");
        let is_answer = |answer: &Value| {
            assert_eq!(
                (&answer[0], &answer[2]),
                (&json!(code::ABORT), &json!(reason))
            );
            assert!(answer[1]["message"].is_string(), "{answer}");
        };
        let mut client = Client::connect(node.ports.raw).expect("a connection");
        let mut stream = transports::websocket(&node);
        let mut over_websocket = |message: &Value| {
            let text = message.to_string();
            let frame = transports::frame(transports::TEXT, text.as_bytes());
            stream.write_all(&frame).expect("sent");
            let (_, answer) = transports::next_frame(&mut stream);
            serde_json::from_slice::<Value>(&answer).expect("JSON")
        };
        for message in first {
            assert_eq!(ask(&mut client, message)[0], code::WELCOME);
            assert_eq!(over_websocket(message)[0], code::WELCOME);
        }
        is_answer(&ask(&mut client, last));
        is_answer(&over_websocket(last));
    }
}

/// Defect 27. Crossbar: 821 MB for four subscribers that never read 200 MB, and no end of it.
#[test]
fn four_that_never_read_cost_no_more_than_their_outboxes() {
    const OUTBOX: u64 = 8 * MIB;
    let node = node(&memory(100));
    let mut publisher = join(&node);
    let filling = "x".repeat(10_000);
    for topic in ["com.other", TOPIC] {
        let mut stalled: Vec<Client> = (0..4)
            .map(|_| Client::join_narrowly(node.ports.raw).expect("a session"))
            .collect();
        for client in &mut stalled {
            subscribe(client, topic, &json!({}));
        }
        let mut fill = |count: u64| {
            for number in 0..count {
                let options = json!({"acknowledge": number % 100 == 99});
                let message = json!([code::PUBLISH, number + 1, options, topic, [filling]]);
                publisher.send(&message).expect("sent");
                if number % 100 == 99 {
                    publisher.flush().expect("sent");
                    let answer = publisher.receive().expect("an answer");
                    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
                }
            }
            node.resident()
        };
        let before = fill(100);
        let grown = fill(20_000).saturating_sub(before);
        assert!(grown < 2 * 4 * OUTBOX, "{grown} bytes for {topic}");
    }
}

/// The table above is whole, and the tests in it are there.
#[test]
fn every_defect_has_its_row_and_every_test_of_the_table_exists() {
    let this = include_str!("crossbar_defects.rs");
    let rows: Vec<Vec<&str>> = this
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|row| row.split('|').map(str::trim).collect())
        .filter(|row: &Vec<&str>| row[0] != "number")
        .collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=28).collect::<Vec<_>>());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = std::fs::read_dir(folder).expect("the tests");
    let sources: String = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| std::fs::read_to_string(path).expect("text"))
        .collect();
    for row in rows {
        let Some(name) = row[2]
            .strip_prefix('`')
            .and_then(|row| row.split('`').next())
        else {
            continue;
        };
        assert!(
            sources.contains(&format!("fn {name}()")),
            "{name} of {}",
            row[0]
        );
    }
    // And every test of this file is in the table.
    for test in this
        .lines()
        .filter_map(|line| line.strip_prefix("fn ")?.strip_suffix("() {"))
    {
        let is_test = test.matches('_').count() > 3 && !test.starts_with("every_defect");
        assert!(
            !is_test || this.contains(&format!("| `{test}`")),
            "{test} has no row"
        );
    }
}
