//! `rewamp history export --follow`: what is there and what comes, each event once, over the end of
//! the node and of the one who follows.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::foreign::{self, Program};
use crate::harness::node::{self, Node};

fn start(kind: &str) -> Node {
    let kind = kind.to_owned();
    Node::start(move |ports| {
        // Two histories that overlap: events of both come once.
        let store = json!({
            "type": kind, "path": "history", "maxsize": 32 << 20,
            "event-history": [
                {"uri": "com.shop.", "match": "prefix"},
                {"uri": "com..order", "match": "wildcard"}
            ]
        });
        let realms = json!([node::open_realm(store)]);
        node::config(ports, realms, &node::anonymous())
    })
}

fn publish(node: &Node, numbers: std::ops::Range<u64>) {
    let mut client = Client::join(node.ports.raw).expect("a session");
    for number in numbers {
        let topic = ["com.shop.order", "com.shop.basket", "com.cafe.order"][number as usize % 3];
        let answer = client.publish(topic, &json!([number])).expect("an answer");
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn has(file: &Path, events: usize) {
    within(2 * SOON, "all events in the file", || {
        (lines(file).len() >= events).then_some(())
    });
}

/// What the store itself has, in the keys that both ways of reading know.
fn stored(node: &Node) -> Vec<Value> {
    let folder = node.dir().join("history");
    let folder = folder.to_str().expect("a path");
    foreign::rewamp(&["history", "export", "--store", folder]).succeeds()
}

fn same(followed: &[Value], stored: &[Value]) {
    let keys = |events: &[Value]| -> Vec<Vec<Value>> {
        let keys = ["sequence", "publication", "time_ns", "topic", "args"];
        let of = |event: &Value| keys.map(|key| event[key].clone()).to_vec();
        events.iter().map(of).collect()
    };
    assert_eq!(keys(followed), keys(stored));
}

fn follow(arguments: &[&str]) -> Program {
    let beginning = ["history", "export", "--follow"];
    foreign::rewamp(&[&beginning, arguments].concat())
}

#[test]
fn a_history_is_followed_through_its_node_over_every_end() {
    let mut node = start("sled");
    publish(&node, 0..2_500);
    let file = node.dir().join("followed.ndjson");
    let topics = node.dir().join("topics");
    fs::write(&topics, "prefix:com.shop.\nwildcard:com..order\n").expect("a file");
    let url = node.ws();
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let (file_name, topics) = (path(&file), path(&topics));
    let arguments = [
        &*file_name,
        "--from",
        &url,
        "--realm",
        "realm1",
        "--topics",
        &topics,
    ];
    let follower = follow(&arguments);
    has(&file, 1);
    publish(&node, 2_500..2_600);
    has(&file, 2_600);
    // The node dies, twice.
    for round in 0..2 {
        node.kill();
        node.restart();
        publish(&node, 2_600 + 50 * round..2_650 + 50 * round);
    }
    has(&file, 2_700);
    // The follower dies in the middle of a line.
    drop(follower);
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, &text[..text.len() - 40]).expect("a file");
    publish(&node, 2_700..2_750);
    let follower = follow(&arguments);
    has(&file, 2_750);
    publish(&node, 2_750..2_760);
    has(&file, 2_760);
    let (code, said) = follower.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert!(node.stop().success());
    same(&lines(&file), &stored(&node));
}

#[test]
fn a_store_that_python_can_read_is_followed_in_its_files() {
    let mut node = start("cfxdb");
    publish(&node, 0..200);
    let file = node.dir().join("followed.ndjson");
    let folder = node.dir().join("history");
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let (file_name, folder) = (path(&file), path(&folder));
    let follower = follow(&[&file_name, "--store", &folder]);
    has(&file, 200);
    publish(&node, 200..300);
    node.kill();
    node.restart();
    publish(&node, 300..400);
    has(&file, 400);
    let (code, said) = follower.terminate();
    assert_eq!(code, Some(0), "{said}");
    let live = foreign::python_with_cfxdb(
        "examples/cfxdb_live.py",
        &[&folder, "--prefix", "com.shop.", "--events", "300"],
    );
    has(&file, 400);
    publish(&node, 400..450);
    let live = live.succeeds();
    assert_eq!(live.len(), 300, "two of three topics");
    assert_eq!(live[0]["args"], json!([0]));
    assert!(node.stop().success());
    let stored = stored(&node);
    same(&lines(&file), &stored[..400]);
    // From standard output, behind a sequence.
    let after = stored[439]["sequence"].to_string();
    let mut follower = follow(&["--store", &folder, "--after-sequence", &after]);
    follower.prints("the last event", |line| line["args"] == json!([449]));
    let (code, said) = follower.terminate();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("\"sequence\"").count(), 10, "{said}");
}

#[test]
fn a_sled_store_is_not_followed_in_its_files() {
    let mut node = start("sled");
    publish(&node, 0..3);
    assert!(node.stop().success());
    let folder = node.dir().join("history");
    let follower = follow(&["--store", folder.to_str().expect("a path")]);
    let (code, said) = follower.ends();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("--from WS-URL"), "{said}");
}
