//! `readonly: true`: the history is served, not a byte of the store changes, and publishers are
//! told; on a mount that would not allow anything else, too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::mount::Mounts;
use crate::harness::node::{self, Node, Ports};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";
const TOPIC: &str = "com.kept.topic";

fn store(readonly: bool) -> Value {
    json!({
        "type": "sled", "path": "history", "maxsize": 24 << 20, "readonly": readonly,
        "event-history": [{"uri": "com.kept.", "match": "prefix"}]
    })
}

fn config(readonly: bool) -> impl Fn(&Ports) -> Value {
    move |ports| {
        let realms = json!([node::open_realm(store(readonly))]);
        node::config(ports, realms, &node::anonymous())
    }
}

/// What clients see of the history.
#[derive(Debug, PartialEq)]
struct Seen {
    subscriptions: [Value; 3],
    events: Vec<Value>,
    newest: Value,
}

fn look(node: &Node) -> Seen {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let mut look_up = |topic: &str, policy: &str| {
        let found = client.call(LOOKUP, json!([topic, {"match": policy}]), json!({}));
        found.expect("an answer")
    };
    let subscriptions = [
        look_up("com.kept.", "prefix"),
        look_up(TOPIC, "exact"),
        look_up("com..topic", "wildcard"),
    ];
    let mut client = Client::join(node.ports.raw).expect("a session");
    let all = json!({"from_time": "2000-01-01T00:00:00Z"});
    let events = client.call(GET_EVENTS, json!([subscriptions[0]]), all);
    let newest = client.call(GET_EVENTS, json!([subscriptions[1], 3]), json!({}));
    Seen {
        events: events.expect("a page").as_array().expect("a list").clone(),
        newest: newest.expect("a page"),
        subscriptions,
    }
}

/// A node with some history in sealed and growing segments, killed.
fn killed_with_a_history() -> (Node, Seen) {
    let mut node = Node::start(config(false));
    let mut client = Client::join(node.ports.raw).expect("a session");
    let filling = "x".repeat(12_000);
    for number in 0..400 {
        let answer = client.publish(TOPIC, &json!([number, filling]));
        assert_eq!(answer.expect("an answer")[0], code::PUBLISHED);
    }
    let seen = look(&node);
    node.kill();
    let folder = node.dir().join("history");
    let names: Vec<_> = tree(&folder).into_keys().collect();
    let ends_with = |end: &str| {
        names
            .iter()
            .any(|path| path.display().to_string().ends_with(end))
    };
    assert!(ends_with(".sealed") && ends_with(".active"), "{names:?}");
    (node, seen)
}

type Tree = BTreeMap<PathBuf, (Option<Vec<u8>>, i64, i64, u64)>;

/// Content, time of the last change and inode of everything below a folder.
fn tree(path: &Path) -> Tree {
    let mut found = Tree::new();
    let metadata = fs::symlink_metadata(path).expect("it is there");
    let bytes = metadata
        .is_file()
        .then(|| fs::read(path).expect("readable"));
    let times = (metadata.mtime(), metadata.mtime_nsec());
    found.insert(path.to_owned(), (bytes, times.0, times.1, metadata.ino()));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            found.extend(tree(&entry.expect("an entry").path()));
        }
    }
    found
}

fn publications_are_routed_and_refused_by_name(node: &Node) {
    let mut watcher = Client::join(node.ports.raw).expect("a session");
    let subscribe = json!([32, 1, {}, TOPIC]);
    watcher.send(&subscribe).expect("sent");
    watcher.flush().expect("sent");
    assert_eq!(watcher.receive().expect("SUBSCRIBED")[0], 33);

    let mut client = Client::join(node.ports.raw).expect("a session");
    let answer = client
        .publish(TOPIC, &json!(["acknowledged"]))
        .expect("an answer");
    assert_eq!(answer[0], code::ERROR, "{answer}");
    assert_eq!(answer[1], code::PUBLISH, "{answer}");
    assert_eq!(answer[3]["_routed"], true, "{answer}");
    assert_eq!(answer[4], "rewamp.error.store_readonly", "{answer}");
    let unacknowledged = json!([code::PUBLISH, 77, {}, TOPIC, ["unacknowledged"]]);
    client.send(&unacknowledged).expect("sent");
    // What no filter covers is nothing to the store.
    let other = client.publish("com.other", &json!([1])).expect("an answer");
    assert_eq!(other[0], code::PUBLISHED, "{other}");
    for text in ["acknowledged", "unacknowledged"] {
        let event = watcher.receive().expect("an EVENT");
        assert_eq!((&event[0], &event[4]), (&json!(36), &json!([text])));
    }
    let (_, metrics) = node.admin("/metrics").expect("metrics");
    let counted = "rewamp_history_not_stored_total{realm=\"realm1\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    let (code, ready) = node.admin("/health/ready").expect("an answer");
    assert_eq!(code, 200);
    assert!(ready.contains("degraded\":[{"), "{ready}");
}

#[test]
fn a_readonly_store_is_served_and_not_a_byte_of_it_changes() {
    let (mut node, seen) = killed_with_a_history();
    let folder = node.dir().join("history");
    fs::remove_file(folder.join("lock")).expect("there was a lock");
    let before = tree(&folder);
    node.configure(config(true));
    node.restart();
    assert_eq!(look(&node), seen);
    publications_are_routed_and_refused_by_name(&node);
    assert_eq!(look(&node), seen);
    assert!(node.stop().success());
    node.restart();
    node.kill();
    let after = tree(&folder);
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
    assert!(after == before, "something in the store has changed");
    // And it is as good as ever.
    node.configure(config(false));
    node.restart();
    assert_eq!(look(&node), seen);
}

#[test]
fn a_readonly_store_may_lie_on_a_mount_that_is() {
    let (mut node, seen) = killed_with_a_history();
    let folder = node.dir().join("history");
    let before = tree(&folder);
    node.configure(config(true));
    let mounts = Mounts::allowed();
    match mounts {
        Some(mounts) => {
            // The node is started only where nothing can be written.
            let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && \
                          ! touch \"$0/probe\" 2>&- && exec \"$@\"";
            node.surround(mounts.around(script, &folder));
        }
        None => writable(&folder, false),
    }
    node.restart();
    assert_eq!(look(&node), seen);
    publications_are_routed_and_refused_by_name(&node);
    assert!(node.stop().success());
    if mounts.is_none() {
        writable(&folder, true);
    }
    assert!(
        tree(&folder) == before,
        "something in the store has changed"
    );
}

/// Takes away the right to write from everything below a folder, or gives it back.
fn writable(folder: &Path, may: bool) {
    for path in tree(folder).into_keys() {
        let mut mode = fs::metadata(&path).expect("it is there").permissions();
        mode.set_mode(if may {
            mode.mode() | 0o200
        } else {
            mode.mode() & !0o222
        });
        fs::set_permissions(&path, mode).expect("it is ours");
    }
}

#[test]
fn a_readonly_store_that_is_missing_is_a_fault_that_names_the_key() {
    let (mut node, _) = killed_with_a_history();
    let here = node.dir().join("history");
    fs::rename(&here, node.dir().join("elsewhere")).expect("renamed");
    node.configure(config(true));
    let (status, said) = node.fails_to_start();
    assert_ne!(status, Some(0), "{said}");
    assert!(said.contains("workers[0].realms[0].store.path: "), "{said}");
    assert!(said.contains("readonly"), "{said}");
    assert!(!here.exists(), "the start made a folder");
    let checked = node::check(&config(true)(&node.ports));
    assert_ne!(checked.status.code(), Some(0));
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("workers[0].realms[0].store.path: "), "{text}");
}

#[test]
fn two_nodes_read_one_store_and_keep_nobody_from_writing_to_it() {
    let (mut writer, seen) = killed_with_a_history();
    let folder = writer.dir().join("history");
    let reading = |ports: &Ports| {
        let mut config = config(true)(ports);
        config["workers"][0]["realms"][0]["store"]["path"] = json!(folder);
        config
    };
    let readers = [Node::start(reading), Node::start(reading)];
    for reader in &readers {
        assert_eq!(look(reader), seen);
    }
    // A writer that comes later is not hindered; readers show what they found.
    writer.restart();
    let mut client = Client::join(writer.ports.raw).expect("a session");
    let answer = client.publish(TOPIC, &json!(["later"])).expect("an answer");
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    for reader in &readers {
        assert_eq!(look(reader), seen);
    }
}
