//! Hundreds of realms with a store each, of which few are busy: what the node takes stays within
//! its budget, and nobody's history is worse for it.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node, Ports};

const REALMS: usize = 300;
const BUSY: usize = 6;
const OPEN_STORES: u64 = 12;
/// Of an open store: as `src/node/limits.rs` has it.
const DESCRIPTORS: usize = 32;
const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";
const TOPIC: &str = "com.many.topic";

fn config(ports: &Ports) -> Value {
    let realm = |number| {
        let mut realm = node::open_realm(json!({
            "type": "sled", "path": format!("history/{number}"),
            "event-history": [{"uri": "com.many.", "match": "prefix"}]
        }));
        realm["name"] = json!(name(number));
        realm
    };
    let realms: Vec<Value> = (0..REALMS).map(realm).collect();
    let mut config = node::config(ports, json!(realms), &node::anonymous());
    config["rewamp"]["open_stores"] = json!(OPEN_STORES);
    config["rewamp"]["store_idle"] = json!(1);
    config
}

fn name(number: usize) -> String {
    format!("realm{number}")
}

/// What the process takes.
#[derive(Clone, Copy, Debug)]
struct Taken {
    descriptors: usize,
    threads: usize,
}

fn taken(node: &Node) -> Taken {
    let process = format!("/proc/{}", node.pid());
    let count = |what| fs::read_dir(format!("{process}/{what}")).map_or(0, Iterator::count);
    Taken {
        descriptors: count("fd"),
        threads: count("task"),
    }
}

/// Publishes `count` times; the last publication.
fn publish(node: &Node, realm: usize, count: u64) -> io::Result<u64> {
    let mut client = Client::join_realm(node.ports.raw, &name(realm))?;
    let mut last = 0;
    for number in 0..count {
        let answer = client.publish(TOPIC, &json!([realm, number]))?;
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        last = answer[2].as_u64().expect("a publication");
    }
    Ok(last)
}

/// The subscription of a realm's topic, and its whole history.
fn history(node: &Node, realm: usize) -> (u64, Vec<u64>) {
    let mut client = Client::join_realm(node.ports.raw, &name(realm)).expect("a session");
    let found = client.call(LOOKUP, json!([TOPIC]), json!({}));
    let subscription = found.expect("an answer").as_u64().expect("an ID");
    let all = json!({"from_time": "2000-01-01T00:00:00Z"});
    let page = client.call(GET_EVENTS, json!([subscription]), all);
    let events = page.expect("a page").as_array().expect("a list").clone();
    assert!(events.iter().all(|event| event["args"][0] == json!(realm)));
    let publication = |event: &Value| event["publication"].as_u64().expect("an ID");
    (subscription, events.iter().map(publication).collect())
}

#[test]
fn three_hundred_realms_stay_within_the_budget_and_keep_their_histories() {
    let mut node = Node::start(config);
    let before = taken(&node);
    let bound = Taken {
        descriptors: 256 + OPEN_STORES as usize * DESCRIPTORS,
        // Each open store has one, each turn of a commit another; sled has some of its own.
        threads: 24 + 4 * OPEN_STORES as usize,
    };
    let over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = before;
            while !over.load(Ordering::Acquire) {
                let now = taken(&node);
                most.descriptors = most.descriptors.max(now.descriptors);
                most.threads = most.threads.max(now.threads);
                thread::park_timeout(SOON / 3_000);
            }
            most
        });
        let busy: Vec<_> = (0..BUSY)
            .map(|realm| {
                let (node, over) = (&node, &over);
                scope.spawn(move || {
                    let mut count = 0;
                    while !over.load(Ordering::Acquire) {
                        publish(node, realm, 5).expect("published");
                        count += 5;
                    }
                    count
                })
            })
            .collect();
        for realm in BUSY..REALMS {
            publish(&node, realm, 2).expect("published");
        }
        over.store(true, Ordering::Release);
        for busy in busy {
            assert!(busy.join().expect("a publisher does not panic") > 0);
        }
        watcher.join().expect("the watcher does not panic")
    });
    assert!(most.descriptors <= bound.descriptors, "{most:?} {bound:?}");
    assert!(most.threads <= bound.threads, "{most:?} {bound:?}");
    assert!(node.metric("rewamp_open_stores") <= OPEN_STORES);
    assert!(node.metric("rewamp_store_evictions_total") > 0);

    let histories: Vec<_> = (0..REALMS).map(|realm| history(&node, realm)).collect();
    assert!(
        histories[BUSY..]
            .iter()
            .all(|(_, events)| events.len() == 2)
    );
    within(SOON, "idle stores are closed", || {
        (node.metric("rewamp_open_stores") == 0).then_some(())
    });
    let idle = taken(&node);
    assert!(
        idle.descriptors <= before.descriptors + 16,
        "{before:?} {idle:?}"
    );

    // An ID from long ago is all that a client remembers.
    let mut client = Client::join_realm(node.ports.raw, &name(7)).expect("a session");
    let asked = client.call(GET_EVENTS, json!([histories[7].0]), json!({}));
    assert_eq!(asked.expect("a page").as_array().map(Vec::len), Some(2));
    drop(client);

    assert!(node.stop().success(), "{}", node.log());
    node.restart();
    assert!(taken(&node).descriptors <= bound.descriptors);
    for (realm, before) in histories.iter().enumerate() {
        assert_eq!(history(&node, realm), *before);
    }
    let last = publish(&node, 9, 1).expect("published");
    node.kill();
    node.restart();
    for (realm, (subscription, before)) in histories.iter().enumerate() {
        let mut expected = before.clone();
        expected.extend(Some(last).filter(|_| realm == 9));
        assert_eq!(history(&node, realm), (*subscription, expected));
    }
}
