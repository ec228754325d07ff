//! Clients that others wrote, over every transport and serializer that they have, each against
//! a node of its own. What they check is in the programs below `tests/clients/`.

use serde_json::{Value, json};

use crate::harness::foreign;
use crate::harness::node::{self, Node};

/// A client library; its programs are in the folder of its name.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    AutobahnPython,
    AutobahnJs,
    Wampy,
}

use Client::{AutobahnJs, AutobahnPython, Wampy};

const SERIALIZERS: [&str; 3] = ["json", "msgpack", "cbor"];

impl Client {
    /// Every URL and serializer with which the library reaches `node`.
    fn ways(self, node: &Node) -> Vec<(String, &'static str)> {
        let mut ways = SERIALIZERS
            .map(|serializer| (node.ws(), serializer))
            .to_vec();
        match self {
            AutobahnPython => ways.extend(SERIALIZERS.map(|serializer| (node.raw(), serializer))),
            AutobahnJs => ways.push((node.raw(), "json")),
            Wampy => {}
        }
        ways
    }

    fn start(self, subject: &str, arguments: &[&str]) -> foreign::Program {
        match self {
            AutobahnPython => {
                let program = format!("tests/clients/autobahn_python/{subject}.py");
                foreign::python(&program, arguments)
            }
            AutobahnJs => foreign::node(
                &format!("tests/clients/autobahn_js/{subject}.js"),
                arguments,
            ),
            Wampy => foreign::node(&format!("tests/clients/wampy/{subject}.js"), arguments),
        }
    }
}

/// Runs the client's program on `subject` in every way that the client has.
pub(crate) fn every_way(client: Client, subject: &str, node: &Node) {
    for (url, serializer) in client.ways(node) {
        println!("{subject} over {url} with {serializer}");
        client
            .start(subject, &[&url, "realm1", serializer])
            .succeeds();
    }
}

#[test]
fn autobahn_python_publishes_and_calls() {
    every_way(AutobahnPython, "pubsub_and_rpc", &open_node(memory()));
}

#[test]
fn autobahn_python_keeps_payloads_to_its_clients() {
    every_way(AutobahnPython, "opaque", &open_node(memory()));
}

#[test]
fn autobahn_js_publishes_and_calls() {
    every_way(AutobahnJs, "pubsub_and_rpc", &open_node(memory()));
}

#[test]
fn wampy_publishes_and_calls() {
    every_way(Wampy, "pubsub_and_rpc", &open_node(memory()));
}

#[test]
fn autobahn_python_asks_memory_for_the_past() {
    every_way(AutobahnPython, "history", &open_node(memory()));
}

#[test]
fn autobahn_python_asks_the_disk_for_the_past() {
    every_way(AutobahnPython, "history", &open_node(disk()));
}

#[test]
fn autobahn_js_asks_memory_for_the_past() {
    every_way(AutobahnJs, "history", &open_node(memory()));
}

#[test]
fn autobahn_js_asks_the_disk_for_the_past() {
    every_way(AutobahnJs, "history", &open_node(disk()));
}

#[test]
fn wampy_asks_memory_for_the_past() {
    every_way(Wampy, "history", &open_node(memory()));
}

#[test]
fn wampy_asks_the_disk_for_the_past() {
    every_way(Wampy, "history", &open_node(disk()));
}

#[test]
fn autobahn_python_runs_from_the_past_into_the_live_events() {
    every_way(AutobahnPython, "replay", &open_node(disk()));
}

#[test]
fn autobahn_js_runs_from_the_past_into_the_live_events() {
    every_way(AutobahnJs, "replay", &open_node(disk()));
}

#[test]
fn wampy_runs_from_the_past_into_the_live_events() {
    every_way(Wampy, "replay", &open_node(memory()));
}

#[test]
fn autobahn_python_logs_in() {
    every_way(AutobahnPython, "login", &guarded_node());
}

#[test]
fn autobahn_js_logs_in() {
    every_way(AutobahnJs, "login", &guarded_node());
}

#[test]
fn wampy_logs_in() {
    every_way(Wampy, "login", &guarded_node());
}

#[test]
fn autobahn_python_subscribes_to_patterns_and_is_told_who_is_there() {
    every_way(AutobahnPython, "patterns_and_meta", &open_node(memory()));
}

#[test]
fn autobahn_js_subscribes_to_patterns_and_is_told_who_is_there() {
    every_way(AutobahnJs, "patterns_and_meta", &open_node(memory()));
}

#[test]
fn wampy_subscribes_to_patterns_and_is_told_who_is_there() {
    every_way(Wampy, "patterns_and_meta", &open_node(memory()));
}

/// Everybody may do everything; `store` is the history.
pub(crate) fn open_node(store: Value) -> Node {
    Node::start(|ports| {
        let realms = json!([node::open_realm(store.clone())]);
        node::config(ports, realms, &node::anonymous())
    })
}

fn memory() -> Value {
    json!({"type": "memory", "limit": 1000, "event-history": filters()})
}

fn disk() -> Value {
    json!({"type": "sled", "path": "history", "maxsize": 67_108_864, "event-history": filters()})
}

fn filters() -> Value {
    json!([
        {"uri": "com.example.oncounter", "match": "exact"},
        {"uri": "com.example.log.", "match": "prefix"}
    ])
}

/// The accounts that the programs `login` come with; they may do everything.
fn guarded_node() -> Node {
    let auth = json!({
        "anonymous": {"type": "static", "role": "anonymous"},
        "ticket": {"type": "static", "principals": {
            "joe": {"ticket": ["secret!!!", "next-secret"], "role": "user"}}},
        "wampcra": {"type": "static", "users": {
            "peter": {"secret": "secret1", "role": "user"},
            "salty": {"secret": "secret2", "role": "user",
                      "salt": "salt123", "iterations": 100, "keylen": 16}}}
    });
    Node::start(|ports| {
        let mut realm = node::open_realm(memory());
        let mut user = realm["roles"][0].clone();
        user["name"] = json!("user");
        realm["roles"] = json!([realm["roles"][0], user]);
        node::config(ports, json!([realm]), &auth)
    })
}
