//! `maxsize` through the real binary: five times as much is published and acknowledged, while
//! somebody looks at the folder all the time. `REWAMP_ROOM_MIB` adds a size in MiB to the ordinary
//! run.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::client::{Client, code};
use crate::harness::node::{self, Node};

const TOPIC: &str = "com.room.topic";
const WINDOW: usize = 256;

/// What a folder takes: bytes in length, and bytes in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    apparent: u64,
    allocated: u64,
}

/// A file that goes while it is measured takes no room.
fn size(path: &Path) -> Size {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Size::default();
    };
    if !metadata.is_dir() {
        return Size {
            apparent: metadata.len(),
            allocated: metadata.blocks() * 512,
        };
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.fold(Size::default(), |all, entry| {
        let one = size(&entry.path());
        Size {
            apparent: all.apparent + one.apparent,
            allocated: all.allocated + one.allocated,
        }
    })
}

/// The largest of all looks, and how many there were.
fn watch(path: &Path, done: &AtomicBool) -> (Size, u64) {
    let (mut peak, mut looks) = (Size::default(), 0);
    while !done.load(Ordering::Acquire) {
        // A file may be seen under its old and its new name; what is really there is there twice.
        let (one, other) = (size(path), size(path));
        peak.apparent = peak.apparent.max(one.apparent.min(other.apparent));
        peak.allocated = peak.allocated.max(one.allocated.min(other.allocated));
        looks += 1;
        thread::park_timeout(Duration::from_micros(500));
    }
    (peak, looks)
}

/// Publishes so many times with acknowledgement, `WINDOW` under way.
fn publish(client: &mut Client, events: u64, filling: &str) {
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < events {
        while sent < events && sent - acknowledged < WINDOW as u64 {
            let (request, options) = (client.request(), json!({"acknowledge": true}));
            let publish = json!([code::PUBLISH, request, options, TOPIC, [sent, filling]]);
            client.send(&publish).unwrap();
            sent += 1;
        }
        client.flush().unwrap();
        let answer = client.receive().unwrap();
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        acknowledged += 1;
    }
}

fn five_times(maxsize: u64, filling: usize) {
    let node = Node::start(move |ports| {
        let store = json!({
            "type": "sled", "path": "history", "maxsize": maxsize, "buffertime": 10,
            "event-history": [{"uri": "com.room.", "match": "prefix"}]
        });
        let realm = node::open_realm(store);
        node::config(ports, json!([realm]), &node::anonymous())
    });
    let history = node.dir().join("history");
    let done = AtomicBool::new(false);
    let events = 5 * maxsize / filling as u64;
    let (peak, looks) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&history, &done));
        let mut client = Client::join(node.ports.raw).unwrap();
        publish(&mut client, events, &"x".repeat(filling));
        done.store(true, Ordering::Release);
        watcher.join().unwrap()
    });
    assert!(looks > 50, "{looks} looks");
    let within = peak.apparent <= maxsize && peak.allocated <= maxsize;
    assert!(within, "{peak:?} of {maxsize} bytes");
    assert!(peak.allocated >= maxsize / 2, "{peak:?} of {maxsize} bytes");
    let mut client = Client::join(node.ports.raw).unwrap();
    let prefix = json!(["com.room.", {"match": "prefix"}]);
    let subscription = client.call("wamp.subscription.lookup", prefix, json!({}));
    let scope = json!([subscription.unwrap()]);
    let info = client.call("rewamp.subscription.history_info", scope, json!({}));
    let info = info.unwrap();
    let kept = info["count"].as_u64().unwrap();
    assert!(kept * filling as u64 >= maxsize / 4, "{info}");
    assert_eq!(info["lost"], json!([]), "{info}");
    let oldest = info["oldest"]["sequence"].as_u64().unwrap();
    let newest = info["newest"]["sequence"].as_u64().unwrap();
    assert_eq!(newest - oldest + 1, kept, "a run without gaps: {info}");
}

#[test]
fn five_times_maxsize_stays_within_it_at_every_moment() {
    five_times(5 << 20, 1_000);
    let more = std::env::var("REWAMP_ROOM_MIB");
    if let Some(mib) = more.ok().and_then(|mib| mib.parse::<u64>().ok()) {
        five_times(mib << 20, 4_000);
    }
}
