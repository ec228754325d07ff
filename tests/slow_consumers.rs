//! Consumers that stop reading: what they are owed stays on disk and not in memory, and they get all
//! of it once they read again. The same holds for one that asks for a long past.

use std::io;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::node::{self, Node};

const MIB: u64 = 1 << 20;
/// Of one session.
const OUTBOX: u64 = 2 * MIB;
/// Enough of them that what the store itself needs now and then is little beside it.
const STALLED: u64 = 16;
/// More than ten times an outbox.
const EVENTS: u64 = 25_000;
const PAYLOAD: usize = 1_000;
/// Publications under way.
const WINDOW: u64 = 500;
const TOPIC: &str = "com.kept.topic";

#[test]
fn those_that_stall_cost_at_most_twice_their_outboxes_and_then_miss_nothing() {
    let node = node();
    publish(&node, 0..2 * EVENTS).expect("the publisher is served");
    let before = node.resident();
    let mut stalled: Vec<Client> = (0..STALLED)
        .map(|_| {
            let mut client = Client::join_narrowly(node.ports.raw).expect("a session");
            subscribe(&mut client, &json!({})).expect("subscribed");
            client
        })
        .collect();
    let (first, end) = (2 * EVENTS, 3 * EVENTS);
    publish(&node, first..end).expect("the publisher is served");
    let grown = node.resident().saturating_sub(before);
    assert!(
        grown <= 2 * STALLED * OUTBOX,
        "{grown} bytes for consumers that do not read"
    );
    for client in &mut stalled {
        for expected in first..end {
            assert_eq!(next_number(client).expect("an event"), expected);
        }
    }
    assert_eq!(node.metric("rewamp_catch_ups_total"), STALLED);
    assert_eq!(node.metric("rewamp_cut_slow_consumers_total"), 0);
    assert_eq!(node.metric("rewamp_history_gaps_total"), 0);
    // They are live again, and get what is published from here on.
    publish(&node, end..end + 1).expect("the publisher is served");
    for client in &mut stalled {
        assert_eq!(next_number(client).expect("an event"), end);
    }
}

#[test]
fn a_long_past_is_replayed_in_bounded_memory_while_others_are_served() {
    let node = node();
    publish(&node, 0..8 * EVENTS).expect("the publisher is served");
    let grown = grown_by_a_replay(&node);
    assert!(grown <= 32 * MIB, "{grown} bytes for a replay");
}

/// Once more than the bound was seen where what a killed node had left was being sealed while the
/// replay ran.
#[test]
fn a_long_past_is_replayed_in_bounded_memory_also_right_after_a_kill() {
    let mut node = storing(true);
    publish(&node, 0..8 * EVENTS).expect("the publisher is served");
    node.kill();
    node.restart();
    let grown = grown_by_a_replay(&node);
    assert!(grown <= 32 * MIB, "{grown} bytes for a replay");
}

/// Replays all that was published; by how many bytes the node was larger meanwhile, at most.
fn grown_by_a_replay(node: &Node) -> u64 {
    let before = node.resident();
    let mut late = Client::join(node.ports.raw).expect("a session");
    subscribe(
        &mut late,
        &json!({"_replay": {"from_time": "2000-01-01T00:00:00Z"}}),
    )
    .expect("subscribed");
    let mut other = Client::join(node.ports.raw).expect("a session");
    let mut most = 0;
    for expected in 0..8 * EVENTS {
        assert_eq!(next_number(&mut late).expect("an event"), expected);
        if expected % 5_000 == 0 {
            most = most.max(node.resident().saturating_sub(before));
        }
        if expected % 20_000 == 0 {
            let counted = other.call("wamp.session.count", json!([]), json!({}));
            assert_eq!(counted.expect("an answer"), 2);
        }
    }
    most
}

fn node() -> Node {
    storing(false)
}

/// A node with a history; with `sync` what it acknowledges survives a kill.
fn storing(sync: bool) -> Node {
    Node::start(|ports| {
        let store = json!({
            "type": "sled", "path": "history", "maxsize": 512 * MIB, "sync": sync,
            "maxbuffer-bytes": MIB,
            "event-history": [{"uri": "com.kept.", "match": "prefix"}]
        });
        let mut realm = node::open_realm(store);
        realm["rewamp"] = json!({"outbox_bytes": OUTBOX});
        node::config(ports, json!([realm]), &node::anonymous())
    })
}

/// Publishes these numbers, so many under way; done when all are acknowledged.
fn publish(node: &Node, numbers: std::ops::Range<u64>) -> io::Result<()> {
    let mut client = Client::join(node.ports.raw)?;
    let filling = "x".repeat(PAYLOAD);
    let mut under_way = 0;
    for number in numbers {
        let request = client.request();
        let options = json!({"acknowledge": true});
        client.send(&json!([
            code::PUBLISH,
            request,
            options,
            TOPIC,
            [number, filling]
        ]))?;
        under_way += 1;
        if under_way == WINDOW {
            client.flush()?;
            while under_way > WINDOW / 2 {
                acknowledged(&mut client)?;
                under_way -= 1;
            }
        }
    }
    client.flush()?;
    (0..under_way).try_for_each(|_| acknowledged(&mut client))
}

fn acknowledged(client: &mut Client) -> io::Result<()> {
    let answer = client.receive()?;
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    Ok(())
}

fn subscribe(client: &mut Client, options: &Value) -> io::Result<()> {
    let request = client.request();
    client.send(&json!([32, request, options, TOPIC]))?;
    client.flush()?;
    let answer = client.receive()?;
    assert_eq!(answer[0], 33, "{answer}");
    Ok(())
}

fn next_number(client: &mut Client) -> io::Result<u64> {
    let event = client.receive()?;
    assert_eq!(event[0], 36, "{event}");
    Ok(event[4][0].as_u64().expect("a number"))
}
