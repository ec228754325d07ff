//! A clean stop, as Kubernetes and people do it: SIGTERM, and the node ends by itself.

use serde_json::json;

use crate::harness::deadline::{SOON, within};
use crate::harness::foreign;
use crate::harness::node::{self, Node};

#[test]
fn sigterm_says_goodbye_and_exits_with_zero() {
    let mut node = Node::start(|ports| {
        let realms = json!([node::open_realm(
            json!({"type": "memory", "event-history": []})
        )]);
        node::config(ports, realms, &node::anonymous())
    });
    let over_ws = [node.ws(), "realm1".to_owned(), "json".to_owned()];
    let over_raw = [node.raw(), "realm1".to_owned(), "cbor".to_owned()];
    let mut clients = [over_ws, over_raw].map(|arguments| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        foreign::python("tests/clients/autobahn_python/goodbye.py", &arguments)
    });
    for client in &mut clients {
        client.prints("that it has joined", |line| line["joined"].is_u64());
    }
    assert_eq!(node.admin("/health/ready").map(|(code, _)| code), Some(200));

    let status = node.stop();
    assert!(status.success(), "the node ended with {status}");
    for mut client in clients {
        let goodbye = client.prints("a good-bye", |line| line["goodbye"].is_string());
        assert_eq!(goodbye["goodbye"], "wamp.close.system_shutdown");
    }
    within(SOON, "nobody listens any more", || {
        node.admin("/health/ready").is_none().then_some(())
    });
}

#[test]
fn what_nobody_waited_for_is_on_disk_after_a_clean_stop() {
    let store = json!({
        "type": "sled", "path": "history", "maxsize": 67_108_864, "buffertime": 60_000,
        "event-history": [{"uri": "com.example.", "match": "prefix"}]
    });
    let mut node = Node::start(|ports| {
        let realms = json!([node::open_realm(store.clone())]);
        node::config(ports, realms, &node::anonymous())
    });
    let url = node.ws();
    let program = "tests/clients/autobahn_python/unacknowledged.py";
    foreign::python(program, &[&url, "publish", "50"]).succeeds();
    assert!(node.stop().success());
    node.restart();
    foreign::python(program, &[&url, "expect", "50"]).succeeds();
}
