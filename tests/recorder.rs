//! `rewamp record`: another router's events, kept and answered for, over ends of every kind.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::crossbar::Crossbar;
use crate::harness::deadline::{SOON, within};
use crate::harness::foreign::{self, Program};
use crate::harness::node::{self, Node};

const GET_EVENTS: &str = "rewamp.history.get_events";
const HISTORY_INFO: &str = "rewamp.history.history_info";

fn record(url: &str, store: &Path, kind: &str) -> Program {
    let store = store.to_str().expect("a path");
    let recorder = foreign::rewamp(&[
        "record", url, "--realm", "realm1", "--prefix", "com.", "--exact", "com.a", "--store",
        store, "--type", kind,
    ]);
    recorder.waits_until_it_says("history_info` answers");
    recorder
}

/// Publishes so many and gives the answers' publication IDs.
fn publish(client: &mut Client, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let topics = ["com.a", "com.b", "net.c"];
    let ids = numbers.map(|number| {
        let topic = topics[number as usize % 3];
        let answer = client.publish(topic, &json!([number])).expect("an answer");
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        (topic, answer[2].as_u64().expect("an ID"))
    });
    let recorded = ids.filter(|(topic, _)| topic.starts_with("com."));
    recorded.map(|(_, id)| id).collect()
}

/// Everything that was recorded, oldest first, asked for in pages through the other router.
fn recorded(client: &mut Client) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let mut kwargs = json!({"match": "prefix", "limit": 7});
        if let Some(last) = all.last() {
            kwargs["after_sequence"] = last["sequence"].clone();
        } else {
            kwargs["reverse"] = json!(false);
        }
        let page = client.call(GET_EVENTS, json!(["com."]), kwargs);
        let page = page.expect("a page");
        let page = page.as_array().expect("a list");
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

fn ids(events: &[Value]) -> Vec<u64> {
    let ids = events.iter().map(|event| event["publication"].as_u64());
    ids.map(|id| id.expect("an ID")).collect()
}

fn gaps(client: &mut Client) -> Vec<Value> {
    let info = client.call(HISTORY_INFO, json!(["com."]), json!({"match": "prefix"}));
    let info = info.expect("what there is");
    info["lost"].as_array().expect("a list").clone()
}

/// Each sequence once, increasing, and none of them within a gap.
fn in_order(events: &[Value], gaps: &[Value]) {
    let numbers = |key: &str| -> Vec<u64> {
        let numbers = events.iter().map(|event| event[key].as_u64());
        numbers.map(|number| number.expect("a number")).collect()
    };
    for key in ["sequence", "time_ns"] {
        assert!(numbers(key).is_sorted_by(|one, next| one < next), "{key}");
    }
    for gap in gaps {
        let (from, to) = (gap["from"].as_u64(), gap["to"].as_u64());
        let within = |number: &u64| (from..=to).contains(&Some(*number));
        assert!(!numbers("sequence").iter().any(within), "{gap}");
    }
}

#[test]
fn what_a_node_publishes_is_kept_over_the_death_of_either() {
    for kind in ["sled", "cfxdb"] {
        // A history of its own tells the recorder the times.
        let store = json!({
            "type": "sled", "path": "history", "maxsize": 24 << 20,
            "event-history": [{"uri": "com.", "match": "prefix"}]
        });
        let mut node = Node::start(|ports| {
            let realms = json!([node::open_realm(store.clone())]);
            node::config(ports, realms, &node::anonymous())
        });
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("recorded");
        let recorder = record(&node.ws(), &path, kind);
        let mut client = Client::join(node.ports.raw).expect("a session");
        let mut published = publish(&mut client, 0..30);
        assert_eq!(
            ids(&recorded(&mut client)),
            published,
            "{kind}: seen, hence there"
        );
        assert_eq!(gaps(&mut client), Vec::<Value>::new());
        let own = client.call(
            "wamp.subscription.lookup",
            json!(["com.", {"match": "prefix"}]),
            json!({}),
        );
        let own = own.expect("an ID");
        let asked = client.call(
            "wamp.subscription.get_events",
            json!([own]),
            json!({"limit": 100}),
        );
        let times = |events: &Value| -> Vec<Value> {
            let events = events.as_array().expect("a list").iter();
            events.map(|event| event["time_ns"].clone()).collect()
        };
        let asked = asked.expect("a page");
        let kept = client.call(GET_EVENTS, json!([own]), json!({"limit": 100}));
        assert_eq!(times(&kept.expect("a page")), times(&asked), "{kind}");

        // SIGKILL of the recorder: what comes meanwhile is missing, and said to be.
        drop(recorder);
        let missed = publish(&mut client, 30..36);
        let recorder = record(&node.ws(), &path, kind);
        published.extend(publish(&mut client, 36..60));
        let events = recorded(&mut client);
        assert_eq!(ids(&events), published, "{kind}");
        assert!(missed.iter().all(|id| !published.contains(id)));
        let lost = gaps(&mut client);
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(
            lost[0].to_string().contains("the recorder did not run"),
            "{lost:?}"
        );
        in_order(&events, &lost);

        // SIGKILL of the router.
        node.kill();
        node.restart();
        let mut client = Client::join(node.ports.raw).expect("a session");
        within(2 * SOON, "the recorder is back", || {
            client.call(GET_EVENTS, json!(["com.a"]), json!({})).ok()
        });
        published.extend(publish(&mut client, 60..70));
        let events = recorded(&mut client);
        assert_eq!(ids(&events), published, "{kind}");
        let lost = gaps(&mut client);
        assert_eq!(lost.len(), 2, "{lost:?}");
        in_order(&events, &lost);
        let (code, said) = recorder.terminate();
        assert_eq!(code, Some(0), "{said}");
        let refused = client.call(GET_EVENTS, json!(["com.a"]), json!({}));
        let refused = refused.expect_err("nobody answers any more").to_string();
        assert!(refused.contains("no_such_procedure"), "{refused}");
        let store = path.to_str().expect("a path");
        let listed = foreign::rewamp(&["history", "ls", "--json", "--store", store]).succeeds();
        assert_eq!(listed[0]["lost"], json!(lost), "{kind}");
        assert_eq!(listed[0]["filters"][0]["events"], published.len());
    }
}

#[test]
fn clients_of_crossbar_get_a_history_from_a_recorder() {
    let mut crossbar = Crossbar::start(node::open_realm(Value::Null));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("recorded");
    let recorder = record(&crossbar.ws(), &path, "sled");
    let mut client = Client::join(crossbar.ports.raw).expect("a session");
    let mut published = publish(&mut client, 0..15);
    within(SOON, "what Crossbar has sent", || {
        (recorded(&mut client).len() == published.len()).then_some(())
    });
    let python = |from: &str| {
        let url = crossbar.ws();
        let program = "tests/clients/autobahn_python/recorded.py";
        foreign::python(program, &[&url, "realm1", "cbor", from]).succeeds()
    };
    let answers = python("com.a");
    let expected: Vec<u64> = published.iter().copied().step_by(2).collect();
    assert_eq!(answers[0]["oldest"], json!(&expected[..3]));
    assert_eq!(
        answers[0]["newest"],
        json!(expected.iter().rev().take(2).collect::<Vec<_>>())
    );
    assert_eq!(answers[0]["by_subscription"], json!(expected));
    assert_eq!(answers[0]["unknown"], "wamp.error.no_such_subscription");
    assert_eq!(answers[0]["uncovered"], "wamp.error.history_unavailable");

    // Crossbar goes and comes.
    drop(client);
    crossbar.stop();
    crossbar.restart();
    let mut client = Client::join(crossbar.ports.raw).expect("a session");
    within(2 * SOON, "the recorder is back", || {
        client.call(GET_EVENTS, json!(["com.a"]), json!({})).ok()
    });
    published.extend(publish(&mut client, 15..30));
    let events = within(SOON, "what Crossbar has sent", || {
        let events = recorded(&mut client);
        (events.len() == published.len()).then_some(events)
    });
    assert_eq!(ids(&events), published);
    let each: BTreeSet<_> = published.iter().collect();
    assert_eq!(each.len(), published.len());
    let lost = gaps(&mut client);
    assert_eq!(lost.len(), 1, "{lost:?}");
    in_order(&events, &lost);
    let (code, said) = recorder.terminate();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_router_that_does_not_let_a_recorder_in_ends_it() {
    let node = Node::start_with_nothing_configured();
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("recorded");
    let store = store.to_str().expect("a path");
    let realm = "realm9";
    let recorder = foreign::rewamp(&[
        "record",
        &node.ws(),
        "--realm",
        realm,
        "--prefix",
        "com.",
        "--store",
        store,
    ]);
    recorder.waits_until_it_says("wamp.error.no_such_realm");
    let (code, said) = recorder.ends();
    assert_eq!(code, Some(3), "{said}");
}
