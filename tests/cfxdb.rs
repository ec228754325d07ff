//! Stores of type `cfxdb`: Python reads them while the node runs, Crossbar goes on with them, and
//! a node that is killed has what it acknowledged.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::foreign;
use crate::harness::node::{self, Node, Ports};

const READ: &str = "tests/clients/cfxdb/read.py";
const GET_EVENTS: &str = "wamp.subscription.get_events";

fn config(ports: &Ports, path: &str, maxsize: u64) -> Value {
    let both = json!([{"uri": "com.", "match": "prefix"}, {"uri": "com.a", "match": "exact"}]);
    with_filters(ports, path, maxsize, &both)
}

fn with_filters(ports: &Ports, path: &str, maxsize: u64, filters: &Value) -> Value {
    let store =
        json!({"type": "cfxdb", "path": path, "maxsize": maxsize, "event-history": filters});
    node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
}

fn start(maxsize: u64) -> Node {
    Node::start(move |ports| config(ports, "testdb", maxsize))
}

/// All rows, as Python sees them.
fn rows(store: &Path) -> Value {
    let lines = foreign::python_with_cfxdb(READ, &["once", store.to_str().unwrap()]).succeeds();
    lines.into_iter().next().expect("one line")
}

/// The publication IDs of the whole history, oldest first.
fn history(client: &mut Client) -> Vec<u64> {
    let id = client.call(
        "wamp.subscription.lookup",
        json!(["com.", {"match": "prefix"}]),
        json!({}),
    );
    let page = client.call(GET_EVENTS, json!([id.unwrap()]), json!({"limit": 10_000}));
    let page = page.unwrap();
    let events = page.as_array().unwrap().iter();
    events
        .map(|event| event["publication"].as_u64().unwrap())
        .collect()
}

fn publish(client: &mut Client, topic: &str, args: &Value) -> u64 {
    let answer = client.publish(topic, args).unwrap();
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    answer[2].as_u64().unwrap()
}

/// Publishes so many, acknowledged, and gives the answers.
fn publish_some(client: &mut Client, from: u64, events: u64) -> Vec<Value> {
    publish_sized(client, from, events, 100)
}

fn publish_sized(client: &mut Client, from: u64, events: u64, bytes: usize) -> Vec<Value> {
    let text = "x".repeat(bytes);
    for number in from..from + events {
        let topic = ["com.a", "com.b"][number as usize % 2];
        let (request, options) = (client.request(), json!({"acknowledge": true}));
        let publish = json!([code::PUBLISH, request, options, topic, [number, text]]);
        client.send(&publish).unwrap();
    }
    client.flush().unwrap();
    (0..events).map(|_| client.receive().unwrap()).collect()
}

fn is_stored(answer: &Value) -> bool {
    answer[0] == code::PUBLISHED
}

/// A minute, and whatever it takes until the store has grown and dropped events in both its sizes.
const READING: &str = "60";
const SIZES: [u64; 2] = [32 << 20, 64 << 20];
/// Bytes of text of each event: large ones, so that a reader is through with all rows in a moment,
/// also on a machine that is busy. One that takes longer than the store waits would make it full.
const BYTES: usize = 4_000;

#[test]
fn python_reads_a_store_for_a_minute_while_the_node_writes_to_it() {
    let filter = json!([{"uri": "com.", "match": "prefix"}]);
    let mut node = Node::start(|ports| with_filters(ports, "testdb", SIZES[0], &filter));
    let store = node.dir().join("testdb");
    let path = store.to_str().unwrap();
    let mut client = Client::join(node.ports.raw).unwrap();
    let mut load = Load::default();
    load.publish(&mut client, 20);
    let mut readers = ["count", "reopen", "decode"]
        .map(|mode| foreign::python_with_cfxdb(READ, &[mode, path, READING]));
    let mut killed = 0;
    for maxsize in SIZES {
        let dropped_before = load.dropped(&mut client);
        let last = maxsize == SIZES[1];
        let data = store.join("data.mdb");
        let is_done = |load: &Load, client: &mut Client, readers: &mut [foreign::Program]| {
            let dropped = load.dropped(client) > dropped_before;
            dropped && !(last && readers.iter_mut().any(foreign::Program::runs))
        };
        while !is_done(&load, &mut client, &mut readers) {
            for _ in 0..60 {
                load.publish(&mut client, 50);
            }
            // One more that is killed inside of its transaction.
            let mut held = foreign::python_with_cfxdb(READ, &["hold", path]);
            held.prints("that it reads", |line| line["holding"].is_u64());
            load.publish(&mut client, 20);
            drop(held);
            killed += 1;
        }
        let bytes = std::fs::metadata(&data).unwrap().len();
        assert!(
            (maxsize / 2..=maxsize).contains(&bytes),
            "{bytes} of {maxsize}"
        );
        if !last {
            // Its map grows while they read.
            assert!(node.stop().success());
            node.configure(|ports| with_filters(ports, "testdb", SIZES[1], &filter));
            node.restart();
            client = Client::join(node.ports.raw).unwrap();
        }
    }
    for reader in readers {
        let lines = reader.succeeds();
        println!("{lines:?}");
        assert!(lines[0]["rounds"].as_u64().unwrap() > 0, "{lines:?}");
        assert_ne!(lines[0]["passes"], 0, "all was decoded: {lines:?}");
    }
    println!("{} published, {killed} killed", load.published);
    what_python_reads_is_the_history(&store, &mut client);
    assert!(node.stop().success());
    assert!(!node.log().contains("ERROR"), "{}", node.log());
}

/// What is published to a node all the time, each of it acknowledged.
#[derive(Default)]
struct Load {
    published: u64,
}

impl Load {
    fn publish(&mut self, client: &mut Client, events: u64) {
        let answers = publish_sized(client, self.published, events, BYTES);
        let refused = answers.iter().find(|answer| !is_stored(answer));
        assert_eq!(refused, None, "after {}", self.published);
        self.published += events;
    }

    /// How many of them have had to go.
    fn dropped(&self, client: &mut Client) -> u64 {
        let id = client.call(
            "wamp.subscription.lookup",
            json!(["com.", {"match": "prefix"}]),
            json!({}),
        );
        let info = client.call(
            "rewamp.subscription.history_info",
            json!([id.unwrap()]),
            json!({}),
        );
        self.published - info.unwrap()["count"].as_u64().unwrap()
    }
}

fn what_python_reads_is_the_history(store: &Path, client: &mut Client) {
    let shown = history(client);
    let rows = rows(store);
    let stored = rows["publications"].as_array().unwrap().iter();
    let stored: Vec<u64> = stored
        .map(|row| row["publication"].as_u64().unwrap())
        .collect();
    // A page of the history ends earlier than the table.
    assert_eq!(stored[..shown.len()], shown);
    let events = rows["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["receiver"] == 0));
    let named = events
        .iter()
        .map(|event| event["publication"].as_u64().unwrap());
    assert_eq!(
        named.collect::<BTreeSet<_>>(),
        stored.into_iter().collect::<BTreeSet<_>>()
    );
}

/// When the sessions of a store joined and when they left, in ns, by their ID.
fn sessions(store: &Path) -> HashMap<u64, (u64, u64)> {
    let rows = rows(store);
    let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
    let found = rows["sessions"].as_array().unwrap().iter().map(|row| {
        assert_eq!(row["realm"], "realm1", "{row}");
        assert_eq!(row["transport"]["channel_framing"], "rawsocket", "{row}");
        let times = (number(row, "joined"), number(row, "left"));
        (number(row, "session"), times)
    });
    let found: HashMap<_, _> = found.collect();
    let index = rows["index"].as_array().unwrap().iter();
    let index: BTreeSet<_> = index.map(|row| row[0].as_u64().unwrap()).collect();
    assert_eq!(index, found.keys().copied().collect());
    found
}

/// Crossbar's own store never says when a session left: its row is not found any more then.
#[test]
fn sessions_are_rows_that_say_when_they_joined_and_left() {
    let mut node = start(16 << 20);
    let store = node.dir().join("testdb");
    let mut leaves = Client::join(node.ports.raw).unwrap();
    let mut stays = Client::join(node.ports.raw).unwrap();
    let published = publish(&mut leaves, "com.a", &json!([1]));
    let ids = (leaves.session, stays.session);
    drop(leaves);
    let found = within(4 * SOON, "it has left", || {
        let found = sessions(&store);
        found
            .get(&ids.0)
            .is_some_and(|(_, left)| *left > 0)
            .then_some(found)
    });
    let (joined, left) = found[&ids.0];
    assert!(joined > 1_700_000_000_000_000_000 && left > joined);
    assert_eq!(found[&ids.1].1, 0, "it is there");
    let publications = rows(&store)["publications"].clone();
    assert_eq!(publications[0]["publication"], published);
    assert_eq!(publications[0]["publisher"], ids.0);
    publish(&mut stays, "com.a", &json!([2]));
    node.kill();
    assert_eq!(
        sessions(&store)[&ids.1].1,
        0,
        "nobody could say that it left"
    );
    node.restart();
    let (joined, left) = sessions(&store)[&ids.1];
    assert!(left >= joined);
    let mut last = Client::join(node.ports.raw).unwrap();
    publish(&mut last, "com.a", &json!([3]));
    assert!(node.stop().success());
    let found = sessions(&store);
    assert!(found[&last.session].1 > 0, "a clean stop is a leave");
    assert!(!node.log().contains("ERROR"), "{}", node.log());
}

/// A hash of every file of a folder.
fn hashes(folder: &Path) -> BTreeSet<(PathBuf, u64)> {
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let hash = |file: &PathBuf| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&std::fs::read(file).unwrap());
        hasher.finish()
    };
    files.map(|file| (file.clone(), hash(&file))).collect()
}

/// What `rewamp history` says: its exit code and its output.
fn history_says(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rewamp"))
        .arg("history")
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

const MAKE: &str = "tests/clients/cfxdb/write.py";
const FOREIGN: usize = 300;

/// Both of LMDB's formats, as zlmdb writes them.
#[test]
fn a_store_that_others_wrote_is_served_and_converted_without_a_byte_of_it_changing() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["0.9", "1.0"] {
        let store = folder.path().join(version);
        let path = store.to_str().unwrap();
        let number = FOREIGN.to_string();
        let written = [path, version, "realm1", &number];
        foreign::python_with_cfxdb(MAKE, &written).succeeds();
        let expected = rows(&store)["publications"].clone();
        let expected = expected.as_array().unwrap();
        assert_eq!(expected.len(), FOREIGN);
        // Behind Python, which notes itself among the readers.
        let before = hashes(&store);
        let ids: Vec<_> = expected
            .iter()
            .map(|row| row["publication"].as_u64().unwrap())
            .collect();
        for kind in ["cfxdb", "sled"] {
            let new = folder.path().join(format!("{version}-{kind}"));
            let new_path = new.to_str().unwrap();
            let (code, said) = history_says(&["convert", "--store", path, "--to", kind, new_path]);
            assert_eq!(code, Some(0), "{said}");
            assert!(said.contains(&format!("stored {FOREIGN} events")), "{said}");
            let (code, said) = history_says(&["verify", "--store", new_path]);
            assert_eq!(code, Some(0), "{said}");
            if kind == "cfxdb" {
                let found = rows(&new)["publications"].clone();
                for (found, expected) in found.as_array().unwrap().iter().zip(expected) {
                    for key in ["publication", "publisher", "topic", "args", "kwargs"] {
                        assert_eq!(found[key], expected[key]);
                    }
                }
            }
        }
        let path = path.to_owned();
        let mut node = Node::start(move |ports| {
            let mut config = config(ports, &path, 16 << 20);
            config["workers"][0]["realms"][0]["store"]["readonly"] = json!(true);
            config
        });
        let mut client = Client::join(node.ports.raw).unwrap();
        assert_eq!(history(&mut client), ids);
        assert!(node.stop().success());
        assert_eq!(hashes(&store), before, "{version}");
    }
}

#[test]
fn a_store_is_compacted_when_nobody_has_it_open() {
    let mut node = start(64 << 20);
    let store = node.dir().join("testdb");
    let path = store.to_str().unwrap();
    let mut client = Client::join(node.ports.raw).unwrap();
    assert!(publish_some(&mut client, 0, 3_000).iter().all(is_stored));
    let id = client.call(
        "wamp.subscription.lookup",
        json!(["com.a", {"match": "exact"}]),
        json!({}),
    );
    let purged = client.call(
        "rewamp.history.purge",
        json!([id.unwrap()]),
        json!({"all": true}),
    );
    assert_eq!(purged.unwrap(), json!({"events": 1_500}));
    let (code, said) = history_says(&["compact", "--store", path]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert!(node.stop().success());
    let mut holding = foreign::python_with_cfxdb(READ, &["hold", path]);
    holding.prints("that it reads", |line| line["holding"] == 1_500);
    let (code, said) = history_says(&["compact", "--store", path]);
    assert_eq!(code, Some(3), "{said}");
    drop(holding);
    let length = || std::fs::metadata(store.join("data.mdb")).unwrap().len();
    let before = length();
    let (code, said) = history_says(&["compact", "--store", path]);
    assert_eq!(code, Some(0), "{said}");
    assert!(length() < before * 3 / 4, "{before}: {said}");
    assert_eq!(
        rows(&store)["publications"].as_array().unwrap().len(),
        1_500
    );
    node.restart();
    let mut client = Client::join(node.ports.raw).unwrap();
    assert!(publish_some(&mut client, 3_000, 10).iter().all(is_stored));
    assert_eq!(history(&mut client).len(), 1_510);
}

#[test]
fn a_reader_that_holds_on_makes_a_store_full_until_it_is_gone() {
    let node = start(1 << 20);
    let store = node.dir().join("testdb");
    let mut client = Client::join(node.ports.raw).unwrap();
    assert!(publish_some(&mut client, 0, 10).iter().all(is_stored));
    let mut holding = foreign::python_with_cfxdb(READ, &["hold", store.to_str().unwrap()]);
    holding.prints("that it reads", |line| line["holding"] == 10);
    let mut published = 10;
    let refused = within(2 * SOON, "the store is full", || {
        let answers = publish_some(&mut client, published, 10);
        published += 10;
        answers.into_iter().find(|answer| !is_stored(answer))
    });
    assert_eq!(refused[4], "rewamp.error.store_unavailable", "{refused}");
    let pid = format!("process {}", holding.pid());
    assert!(refused.to_string().contains(&pid), "{refused}");
    assert!(node.log().contains(&pid), "{}", node.log());
    assert!(history(&mut client).len() >= 10, "what is there is read");
    // Killed inside of its transaction: what it held can be used again.
    drop(holding);
    within(2 * SOON, "there is room again", || {
        let answers = publish_some(&mut client, published, 10);
        published += 10;
        answers.iter().all(is_stored).then_some(())
    });
}

#[test]
fn what_a_killed_node_acknowledged_is_there() {
    let mut node = start(16 << 20);
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut client = Client::join(node.ports.raw).unwrap();
        let before = acknowledged.len();
        for _ in 0..300 {
            let request = client.request();
            let options = json!({"acknowledge": true});
            let publish = json!([code::PUBLISH, request, options, "com.a", [round]]);
            client.send(&publish).unwrap();
        }
        client.flush().unwrap();
        while acknowledged.len() < before + 50 + 60 * round {
            let answer = client.receive().unwrap();
            acknowledged.push(answer[2].as_u64().unwrap());
        }
        node.kill();
        // What was under way to us counts as well.
        while let Ok(answer) = client.receive() {
            acknowledged.push(answer[2].as_u64().unwrap());
        }
        node.restart();
        let mut client = Client::join(node.ports.raw).unwrap();
        let shown: BTreeSet<u64> = history(&mut client).into_iter().collect();
        let missing = acknowledged.iter().filter(|id| !shown.contains(id));
        assert_eq!(missing.count(), 0, "round {round}");
    }
}

#[test]
fn a_store_goes_from_crossbar_to_us_and_back_and_to_us_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("testdb");
    let path = store.to_str().unwrap().to_owned();
    let mut expected = Vec::new();
    let mut node: Option<Node> = None;
    for round in 0..2_u64 {
        let ports = Ports {
            ws: 0,
            raw: node
                .as_ref()
                .map_or_else(node::free_port, |node| node.ports.raw),
            admin: 0,
        };
        crossbar_publishes(folder.path(), &ports, &path, round, &mut expected);
        let node = match &mut node {
            Some(node) => {
                node.restart();
                node
            }
            None => {
                let path = path.clone();
                node.insert(Node::start(move |ports| config(ports, &path, 16 << 20)))
            }
        };
        let mut client = Client::join(node.ports.raw).unwrap();
        assert_eq!(history(&mut client), expected, "round {round}");
        for number in 0..5 {
            expected.push(publish(&mut client, "com.b", &json!([number])));
        }
        assert_eq!(history(&mut client), expected);
        assert!(node.stop().success());
        let rows = rows(&store);
        assert_eq!(
            rows["publications"].as_array().unwrap().len(),
            expected.len()
        );
    }
}

/// Starts Crossbar on a store, publishes to it, and stops it when all is written.
fn crossbar_publishes(
    folder: &Path,
    ports: &Ports,
    path: &str,
    round: u64,
    expected: &mut Vec<u64>,
) {
    let directory = folder.join(".crossbar");
    std::fs::create_dir_all(&directory).unwrap();
    let mut config = config(ports, path, 16 << 20);
    let router = &mut config["workers"][0];
    router["transports"] = json!([router["transports"][1]]);
    config.as_object_mut().unwrap().remove("rewamp");
    std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
    let crossbar = foreign::crossbar(&directory);
    let patience = 4 * SOON;
    let mut client = within(patience, "Crossbar listens", || {
        Client::join(ports.raw).ok()
    });
    for number in 0..5 {
        let topic = ["com.a", "com.b"][number % 2];
        expected.push(publish(&mut client, topic, &json!([round, number])));
    }
    let store = Path::new(path);
    within(patience, "Crossbar has written all", || {
        let written = rows(store)["publications"].as_array().unwrap().len();
        (written == expected.len()).then_some(())
    });
    drop(client);
    crossbar.interrupt();
}

/// A node with a store of type `engine` that writes what nobody waits for after five events.
fn buffering(engine: &'static str, sync: bool, buffertime: u64) -> Node {
    Node::start(move |ports| {
        let store = json!({
            "type": engine, "path": "testdb", "maxsize": 16 << 20, "sync": sync,
            "buffertime": buffertime, "maxbuffer": 5,
            "event-history": [{"uri": "com.", "match": "prefix"}]
        });
        node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
    })
}

/// Events that are stored, and that wait for others.
fn becomes(node: &Node, stored: u64, buffered: u64) {
    within(
        SOON,
        &format!("{stored} stored, {buffered} waiting"),
        || {
            let is_stored = node.metric("rewamp_history_stored_total") == stored;
            let waits = node.metric("rewamp_history_buffered_events") == buffered;
            (is_stored && waits).then_some(())
        },
    );
}

fn publish_unacknowledged(client: &mut Client, events: u64) {
    for number in 0..events {
        let request = client.request();
        let publish = json!([code::PUBLISH, request, {}, "com.a", [number]]);
        client.send(&publish).unwrap();
    }
    client.flush().unwrap();
}

#[test]
fn sync_buffertime_and_maxbuffer_mean_the_same_to_every_store_on_disk() {
    for engine in ["sled", "cfxdb"] {
        const NEVER: u64 = 3_600_000;
        let mut node = buffering(engine, true, NEVER);
        let mut client = Client::join(node.ports.raw).unwrap();
        publish_unacknowledged(&mut client, 4);
        becomes(&node, 0, 4);
        assert_eq!(
            history(&mut client).len(),
            4,
            "{engine}: seen before they are written"
        );
        publish_unacknowledged(&mut client, 1);
        becomes(&node, 5, 0);
        publish_unacknowledged(&mut client, 2);
        // Whoever waits cuts it short.
        publish(&mut client, "com.a", &json!([1]));
        becomes(&node, 8, 0);
        publish_unacknowledged(&mut client, 3);
        becomes(&node, 8, 3);
        assert!(node.stop().success());
        node.restart();
        let mut client = Client::join(node.ports.raw).unwrap();
        assert_eq!(
            history(&mut client).len(),
            11,
            "{engine}: a clean stop writes them"
        );

        let node = buffering(engine, false, NEVER);
        let mut client = Client::join(node.ports.raw).unwrap();
        publish(&mut client, "com.a", &json!([1]));
        becomes(&node, 0, 1);

        let node = buffering(engine, true, 50);
        let mut client = Client::join(node.ports.raw).unwrap();
        publish_unacknowledged(&mut client, 3);
        becomes(&node, 3, 0);
    }
}
