//! The examples at work: one plays a real week of earthquakes, one comes late and asks for what
//! it missed, and the node is killed under both.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::foreign::{self, Program};
use crate::harness::node::{self, Node};

/// More than the publisher has under way at one moment; see its `WINDOW`.
const UNDER_WAY: usize = 64;

#[test]
fn a_late_client_has_exactly_what_was_published_whenever_the_node_was_killed() {
    let mut node = keeping_node();
    let files = tempfile::tempdir().expect("a temporary folder");
    let quakes = earthquakes();
    let all = quakes.len();

    let mut publisher = publish(&node);
    publisher.prints("500 acknowledgements", |line| line["acknowledged"] == 500);
    let file = files.path().join("late.jsonl");
    let mut late = come_late(&node, &file, "2000-01-01T00:00:00Z", all);
    late.prints("400 events", |line| line["caught_up"].as_u64() >= Some(400));
    node.kill();
    node.restart();
    publisher.prints("1,100 acknowledgements", |line| {
        line["acknowledged"] == 1100
    });
    node.kill();
    node.restart();

    let published = publisher.succeeds();
    let told = late.succeeds();
    let kept = read(&file);
    assert_eq!(
        ids(&kept),
        quakes,
        "not exactly the data, each event once and in order"
    );
    all_that_was_acknowledged_is_there(&published, &kept);
    the_subscription_stays_the_same(&told);

    // Who comes only now, after one more crash, finds the same: here from a moment on.
    node.kill();
    node.restart();
    let since = &kept[700];
    let file = files.path().join("later.jsonl");
    let from = since["timestamp"].as_str().expect("a timestamp");
    come_late(&node, &file, from, all - 700).succeeds();
    assert_eq!(publications(&read(&file)), publications(&kept[700..]));
}

fn all_that_was_acknowledged_is_there(published: &[Value], kept: &[Value]) {
    let there: HashSet<u64> = publications(kept).into_iter().collect();
    let acknowledged: Vec<u64> = published
        .iter()
        .filter(|line| line["acknowledged"].is_u64())
        .map(publication)
        .collect();
    for publication in &acknowledged {
        assert!(
            there.contains(publication),
            "{publication} was acknowledged and is gone"
        );
    }
    // Of each of the two crashes, the acknowledgements that were under way may be missing.
    let unheard = kept.len() - acknowledged.len();
    assert!(
        unheard <= 2 * UNDER_WAY,
        "{unheard} events without an acknowledgement"
    );
}

fn the_subscription_stays_the_same(told: &[Value]) {
    let subscriptions: HashSet<u64> = told
        .iter()
        .filter_map(|line| line["subscription"].as_u64())
        .collect();
    assert_eq!(
        subscriptions.len(),
        1,
        "over two restarts: {subscriptions:?}"
    );
}

fn keeping_node() -> Node {
    let store = json!({
        "type": "sled", "path": "history", "maxsize": 67_108_864, "sync": true,
        "event-history": [{"uri": "org.usgs.earthquake.", "match": "prefix"}]
    });
    Node::start(|ports| {
        let realms = json!([node::open_realm(store.clone())]);
        node::config(ports, realms, &node::anonymous())
    })
}

fn publish(node: &Node) -> Program {
    let data = data_file();
    let arguments = [path(&data), "--url", &node.ws(), "--rate", "250"];
    foreign::python("examples/earthquakes_publisher.py", &arguments)
}

fn come_late(node: &Node, keep: &Path, since: &str, count: usize) -> Program {
    let (url, count) = (node.ws(), count.to_string());
    let arguments = [
        "--url",
        &url,
        "--since",
        since,
        "--keep",
        path(keep),
        "--count",
        &count,
    ];
    foreign::python("examples/late_client.py", &arguments)
}

/// The IDs of the earthquakes in the order in which they are played.
fn earthquakes() -> Vec<String> {
    let text = fs::read_to_string(data_file()).expect("the packaged data set");
    let data: Value = serde_json::from_str(&text).expect("GeoJSON");
    let mut quakes: Vec<(u64, String)> = data["features"]
        .as_array()
        .expect("features")
        .iter()
        .map(|quake| {
            let time = quake["properties"]["time"].as_u64().expect("milliseconds");
            (time, quake["id"].as_str().expect("an ID").to_owned())
        })
        .collect();
    quakes.sort();
    quakes.into_iter().map(|(_, id)| id).collect()
}

fn data_file() -> PathBuf {
    foreign::node_modules().join("vega-datasets/data/earthquakes.json")
}

fn read(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("what the client kept");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an event a line"))
        .collect()
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["args"][0].as_str().expect("an ID"))
        .collect()
}

fn publications(events: &[Value]) -> Vec<u64> {
    events.iter().map(publication).collect()
}

fn publication(of: &Value) -> u64 {
    of["publication"].as_u64().expect("a publication ID")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
