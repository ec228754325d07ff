//! Out of the real Crossbar: its memory history is taken over, and what it sends is held against
//! what we send.

use std::fs;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::crossbar::Crossbar;
use crate::harness::foreign;
use crate::harness::node::{self, Node};

fn publish(client: &mut Client, topic: &str, args: &Value) -> u64 {
    let answer = client.publish(topic, args).expect("an answer");
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    answer[2].as_u64().expect("an ID")
}

#[test]
fn the_memory_history_of_crossbar_is_taken_over() {
    let store = json!({
        "type": "memory", "limit": 1000,
        "event-history": [
            {"uri": "com.shop.", "match": "prefix"}, {"uri": "com.other"}, {"uri": "com.empty"}
        ]
    });
    let crossbar = Crossbar::start(node::open_realm(store));
    // Two receivers: Crossbar has every event of theirs twice.
    let listeners = [0, 1].map(|_| {
        let mut client = Client::join(crossbar.ports.raw).expect("a session");
        for (topic, policy) in [("com.shop.", "prefix"), ("com.other", "exact")] {
            let request = client.request();
            let options = json!({"match": policy});
            let message = json!([32, request, options, topic]);
            client.send(&message).expect("a connection");
            client.flush().expect("a connection");
            assert_eq!(client.receive().expect("an answer")[0], 33);
        }
        client
    });
    let mut client = Client::join(crossbar.ports.raw).expect("a session");
    let published: Vec<u64> = (0..20)
        .map(|number| {
            let topic = ["com.shop.order", "com.other"][number % 2];
            publish(&mut client, topic, &json!([number, {"n": null}]))
        })
        .collect();
    // What Crossbar itself says of them, newest first and each twice.
    let mut answered: Vec<Value> = Vec::new();
    for (uri, policy) in [("com.shop.", "prefix"), ("com.other", "exact")] {
        let lookup = json!([uri, {"match": policy}]);
        let id = client.call("wamp.subscription.lookup", lookup, json!({}));
        let id = id.expect("an ID");
        let page = client.call("wamp.subscription.get_events", json!([id, null]), json!({}));
        answered.extend(page.expect("a page").as_array().expect("a list").clone());
    }
    assert_eq!(answered.len(), 2 * published.len());

    let folder = tempfile::tempdir().expect("a folder");
    let (topics, store) = (folder.path().join("topics"), folder.path().join("store"));
    fs::write(&topics, "prefix:com.shop.\ncom.other\ncom.empty\n").expect("a file");
    let text = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let (topics, store) = (text(&topics), text(&store));
    foreign::rewamp(&[
        "history",
        "import",
        "--from",
        &crossbar.ws(),
        "--realm",
        "realm1",
        "--topics",
        &topics,
        "--store",
        &store,
    ])
    .says();
    let taken = foreign::rewamp(&["history", "export", "--store", &store]).succeeds();
    let ids: Vec<_> = taken
        .iter()
        .map(|line| line["publication"].as_u64())
        .collect();
    assert_eq!(ids, published.iter().copied().map(Some).collect::<Vec<_>>());
    for line in &taken {
        let there = answered
            .iter()
            .find(|event| event["publication"] == line["publication"])
            .expect("Crossbar has it");
        for key in ["time_ns", "topic", "args"] {
            assert_eq!(line[key], there[key], "{key}");
        }
    }
    drop(listeners);
}

#[test]
fn what_crossbar_sends_is_held_against_what_we_send() {
    let role = |secret: bool| {
        let mut realm = node::open_realm(Value::Null);
        let permissions = realm["roles"][0]["permissions"].as_array_mut();
        permissions.expect("a list").push(json!({
            "uri": "com.secret.", "match": "prefix",
            "allow": {"call": true, "register": true, "publish": true, "subscribe": secret},
            "disclose": {"caller": false, "publisher": false}, "cache": true
        }));
        realm.as_object_mut().expect("a map").remove("store");
        realm
    };
    let crossbar = Crossbar::start(role(true));
    let node = Node::start(|ports| node::config(ports, json!([role(false)]), &node::anonymous()));
    let folder = tempfile::tempdir().expect("a folder");
    let topics = folder.path().join("topics");
    fs::write(&topics, "prefix:com.shop.\nprefix:com.secret.\n").expect("a file");
    let compare = foreign::rewamp(&[
        "history",
        "compare",
        &crossbar.ws(),
        &node.ws(),
        "--realm",
        "realm1",
        "--topics",
        topics.to_str().expect("a path"),
        "--for",
        "12s",
    ]);
    compare.waits_until_it_says("both are listened to");
    let publish_all = |port: u16, numbers: &[u64]| -> Vec<u64> {
        let mut client = Client::join(port).expect("a session");
        let ids = numbers
            .iter()
            .map(|number| publish(&mut client, "com.shop.order", &json!([number, {"of": 0.5}])));
        ids.collect()
    };
    let sent = publish_all(crossbar.ports.raw, &[1, 2, 3, 4, 5, 6, 7]);
    let answered = publish_all(node.ports.raw, &[1, 2, 4, 3, 5, 9, 7]);
    let (code, said) = compare.ends();
    assert_eq!(code, Some(4), "{said}");
    for line in [
        "authorised differently: prefix `com.secret.`: allowed by the old router, \
         refused with wamp.error.not_authorized by the new one"
            .to_owned(),
        format!("publication {} to `com.shop.order`: reordered", answered[3]),
        format!("publication {} to `com.shop.order`: missing", sent[5]),
        format!("publication {} to `com.shop.order`: extra", answered[5]),
        "6 events were the same, 4 differences".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}\n{said}");
    }
}
