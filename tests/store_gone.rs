//! An event store that does not open when the node starts: the realm routes all the same, says
//! what it does not keep, and keeps it as soon as the store opens. One bad realm is not the end
//! of the node.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node, Ports};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";
const TOPIC: &str = "com.kept.topic";
const UNAVAILABLE: &str = "rewamp.error.store_unavailable";

fn config(ports: &Ports) -> Value {
    let store = |path: &str| {
        json!({
            "type": "sled", "path": path, "maxsize": 32 << 20,
            "event-history": [{"uri": "com.kept.", "match": "prefix"}]
        })
    };
    let mut other = node::open_realm(store("other"));
    other["name"] = json!("realm2");
    let mut realm = node::open_realm(store("history"));
    realm["rewamp"] = json!({"outbox_bytes": 1 << 20});
    let realms = json!([realm, other]);
    node::config(ports, realms, &node::anonymous())
}

/// A session that has had `SUBSCRIBED`, and the subscription.
fn subscribe(node: &Node) -> (Client, u64) {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let request = client.request();
    client.send(&json!([32, request, {}, TOPIC])).expect("sent");
    client.flush().expect("sent");
    let answer = client.receive().expect("an answer");
    assert_eq!(answer[0], 33, "{answer}");
    let subscription = answer[2].as_u64().expect("an ID");
    (client, subscription)
}

fn publish(node: &Node, args: &Value) -> Value {
    let mut client = Client::join(node.ports.raw).expect("a session");
    client.publish(TOPIC, args).expect("an answer")
}

fn ask(client: &mut Client, subscription: u64) -> Value {
    let request = client.request();
    client
        .send(&json!([
            code::CALL,
            request,
            {},
            GET_EVENTS,
            [subscription]
        ]))
        .expect("sent");
    client.flush().expect("sent");
    client.receive().expect("an answer")
}

fn degraded(node: &Node) -> Value {
    let (code, body) = node.admin("/health/ready").expect("an answer");
    assert_eq!(code, 200, "{body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    body["degraded"].clone()
}

/// A node that had a history, and has ended.
fn stopped() -> (Node, u64, Value) {
    let mut node = Node::start(config);
    let (mut client, subscription) = subscribe(&node);
    assert_eq!(publish(&node, &json!(["first"]))[0], code::PUBLISHED);
    within(SOON, "the event", || {
        (client.receive().expect("a message")[0] == 36).then_some(())
    });
    let page = ask(&mut client, subscription)[3][0].clone();
    assert_eq!(page.as_array().map(Vec::len), Some(1));
    assert!(node.stop().success());
    (node, subscription, page)
}

/// The realm routes and says what it does not keep.
fn routes_and_stores_nothing(node: &Node, subscription: u64, why: &str) {
    let (mut listener, live) = subscribe(node);
    let answer = publish(node, &json!(["live"]));
    assert_eq!(answer[0], code::ERROR, "{answer}");
    assert_eq!(answer[3], json!({"_routed": true}), "{answer}");
    assert_eq!(answer[4], UNAVAILABLE, "{answer}");
    assert!(answer.to_string().contains(why), "{answer}");
    let event = listener.receive().expect("an event");
    assert_eq!((&event[0], &event[4]), (&json!(36), &json!(["live"])));
    for id in [live, subscription] {
        let answer = ask(&mut listener, id);
        assert_eq!(answer[4], UNAVAILABLE, "{answer}");
        assert!(answer.to_string().contains(why), "{answer}");
    }
    let named = degraded(node);
    assert_eq!(named[0]["realm"], "realm1", "{named}");
    let (_, metrics) = node.admin("/metrics").expect("the metrics");
    assert!(metrics.contains("rewamp_history_unavailable{realm=\"realm1\"} 1"));
    assert!(metrics.contains("rewamp_history_unavailable{realm=\"realm2\"} 0"));
    assert!(metrics.contains("rewamp_history_not_stored_total{realm=\"realm1\"} 1"));
}

fn keeps_its_history(node: &Node, subscription: u64, before: &Value) {
    within(SOON, "the store is opened", || {
        (degraded(node) == json!([])).then_some(())
    });
    let (mut client, live) = subscribe(node);
    assert_eq!(live, subscription);
    assert_eq!(publish(node, &json!(["second"]))[0], code::PUBLISHED);
    within(SOON, "the event", || {
        (client.receive().expect("a message")[0] == 36).then_some(())
    });
    let page = ask(&mut client, subscription)[3][0].clone();
    assert_eq!(page[0]["args"], json!(["second"]), "{page}");
    assert_eq!(page[1], before[0], "{page}");
    let found = client.call(LOOKUP, json!([TOPIC]), json!({}));
    assert_eq!(found.expect("an ID"), json!(subscription));
}

#[test]
fn a_store_that_somebody_else_holds_is_opened_as_soon_as_he_lets_go() {
    let (mut node, subscription, before) = stopped();
    let lock = File::open(node.dir().join("history/lock")).expect("the lock");
    lock.lock().expect("locked");
    node.restart();
    routes_and_stores_nothing(&node, subscription, "is in use by another realm or process");
    drop(lock);
    keeps_its_history(&node, subscription, &before);
}

#[test]
fn who_subscribed_before_the_store_was_open_misses_nothing_from_then_on() {
    const EVENTS: u64 = 9_000;
    let (mut node, ..) = stopped();
    let lock = File::open(node.dir().join("history/lock")).expect("the lock");
    lock.lock().expect("locked");
    node.restart();
    let mut stalled = Client::join_narrowly(node.ports.raw).expect("a session");
    stalled.send(&json!([32, 1, {}, TOPIC])).expect("sent");
    stalled.flush().expect("sent");
    assert_eq!(stalled.receive().expect("an answer")[0], 33);
    assert_eq!(publish(&node, &json!(["live"]))[0], code::ERROR);
    drop(lock);
    within(SOON, "the store is opened", || {
        (degraded(&node) == json!([])).then_some(())
    });
    let mut publisher = Client::join(node.ports.raw).expect("a session");
    let filling = "x".repeat(1_000);
    for number in 1..=EVENTS {
        let options = json!({"acknowledge": number % 100 == 0});
        let publish = json!([code::PUBLISH, number, options, TOPIC, [number, filling]]);
        publisher.send(&publish).expect("sent");
        if number % 100 == 0 {
            publisher.flush().expect("sent");
            let answer = publisher.receive().expect("an answer");
            assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        }
    }
    assert_eq!(node.metric("rewamp_catch_ups_total{realm=\"realm1\"}"), 1);
    for expected in [json!("live")]
        .into_iter()
        .chain((1..=EVENTS).map(Value::from))
    {
        assert_eq!(stalled.receive().expect("an event")[4][0], expected);
    }
}

#[test]
fn a_store_that_cannot_be_read_is_opened_as_soon_as_it_can() {
    let (mut node, subscription, before) = stopped();
    let (folder, aside) = (node.dir().join("history"), node.dir().join("aside"));
    fs::rename(&folder, &aside).expect("moved");
    // Nobody, root included, opens a folder below a file.
    fs::write(&folder, "").expect("written");
    node.restart();
    routes_and_stores_nothing(&node, subscription, "history");
    fs::remove_file(&folder).expect("removed");
    fs::rename(&aside, &folder).expect("moved back");
    keeps_its_history(&node, subscription, &before);
}

#[test]
fn a_store_of_another_realm_or_of_a_later_version_is_left_alone_and_the_realm_routes() {
    let (mut node, subscription, _) = stopped();
    let (folder, other) = (node.dir().join("history"), node.dir().join("other"));
    fs::remove_dir_all(&folder).expect("removed");
    fs::rename(&other, &folder).expect("moved");
    node.restart();
    routes_and_stores_nothing(&node, subscription, "holds the history of realm `realm2`");
    node.kill();
    let file = folder.join("store");
    let later = of_a_later_version(&file);
    node.restart();
    routes_and_stores_nothing(&node, subscription, "format version 9");
    assert!(node.stop().success(), "{}", node.log());
    assert_eq!(fs::read(&file).expect("read"), later);
}

/// Makes the file one of version 9, and says what is in it.
fn of_a_later_version(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).expect("read");
    bytes[8] = 9;
    let checked = [&bytes[8..16], &bytes[20..]].concat();
    let checksum = crc(&checked).to_le_bytes();
    bytes[16..20].copy_from_slice(&checksum);
    fs::write(file, &bytes).expect("written");
    bytes
}

/// CRC-32 (IEEE), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}
