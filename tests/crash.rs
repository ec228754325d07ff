//! SIGKILL while publishers on several connections go as fast as they can: what was acknowledged
//! is in the history, once, in order, under the same IDs; and the next round goes on from there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node};

const ROUNDS: u64 = 20;
const PUBLISHERS: u64 = 4;
/// Publications that each publisher has under way: 256 acknowledgements outstanding in all.
const WINDOW: usize = 64;
/// Bytes that each publication has beside its numbers.
const FILLING: usize = 300;
pub(crate) const TOPIC: &str = "com.crash.topic";
const GET_EVENTS: &str = "wamp.subscription.get_events";
/// Small enough that twenty rounds go through it more than once.
const MAXSIZE: u64 = 8 * 1024 * 1024;

/// An event as the history tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) publication: u64,
    pub(crate) publisher: u64,
    pub(crate) counter: u64,
}

/// What one publisher was told in one round.
pub(crate) struct Told {
    /// The first counter that it did not send any more.
    pub(crate) end: u64,
    /// Counter and publication, in the order of the acknowledgements.
    pub(crate) acknowledged: Vec<(u64, u64)>,
}

#[test]
fn what_was_acknowledged_survives_twenty_kills_at_full_rate() {
    let mut node = node_with_a_small_store();
    let subscription = look_up(&node);
    let mut next = vec![0; PUBLISHERS as usize];
    let mut history: BTreeMap<u64, Stored> = BTreeMap::new();
    let mut acknowledged_in_all = 0;

    for round in 0..ROUNDS {
        let acknowledged = AtomicU64::new(0);
        // Between one and a few thousand acknowledgements, never the same number.
        let enough = 300 + (round * 977) % 2500;
        let (told, glimpsed) = thread::scope(|scope| {
            let raw = node.ports.raw;
            let publishers: Vec<_> = (0..PUBLISHERS)
                .zip(&next)
                .map(|(publisher, &from)| {
                    let acknowledged = &acknowledged;
                    scope.spawn(move || publish(raw, publisher, from, FILLING, acknowledged))
                })
                .collect();
            let watcher = scope.spawn(move || glimpse(raw, subscription));
            within(SOON, "acknowledgements at full rate", || {
                (acknowledged.load(Ordering::Relaxed) >= enough).then_some(())
            });
            node.kill();
            let told: Vec<Told> = publishers
                .into_iter()
                .map(|publisher| publisher.join().expect("a publisher does not panic"))
                .collect();
            (told, watcher.join().expect("the watcher does not panic"))
        });
        node.restart();

        let outstanding = outstanding(&next, &told);
        assert!(outstanding >= 100, "round {round}: {outstanding} under way");

        assert_eq!(
            look_up(&node),
            subscription,
            "the subscription has another ID"
        );
        let before = history
            .last_key_value()
            .map_or(0, |(&sequence, _)| sequence);
        let new = stored_after(&node, subscription, before);
        each_publisher_has_a_whole_prefix(&new, &next, &told);
        every_acknowledgement_is_true(&new, &told);
        no_sequence_was_given_twice(&new, &glimpsed);
        acknowledged_in_all += told
            .iter()
            .map(|told| told.acknowledged.len())
            .sum::<usize>();
        for (next, told) in next.iter_mut().zip(&told) {
            *next = told.end;
        }
        history.extend(new.into_iter().map(|event| (event.sequence, event)));
    }
    the_rest_is_as_it_was_and_only_the_oldest_is_gone(&node, subscription, &history);
    segments_came_and_went(&node.dir().join("history"));
    println!(
        "{acknowledged_in_all} acknowledged, {} stored",
        history.len()
    );
}

/// Publishes from counter `from` on, each with `filling` more bytes, until the connection breaks.
pub(crate) fn publish(
    raw: u16,
    publisher: u64,
    from: u64,
    filling: usize,
    total: &AtomicU64,
) -> Told {
    let mut told = Told {
        end: from,
        acknowledged: Vec::new(),
    };
    // How the connection breaks is the kernel's affair; that it breaks is the test.
    let _ = publish_until_cut(raw, publisher, filling, total, &mut told);
    told
}

fn publish_until_cut(
    raw: u16,
    publisher: u64,
    filling: usize,
    total: &AtomicU64,
    told: &mut Told,
) -> io::Result<()> {
    let mut client = Client::join(raw)?;
    let mut under_way: HashMap<u64, u64> = HashMap::new();
    let filling = "x".repeat(filling);
    loop {
        while under_way.len() < WINDOW {
            let request = client.request();
            let arguments = json!([publisher, told.end, filling]);
            under_way.insert(request, told.end);
            told.end += 1;
            let options = json!({"acknowledge": true});
            client.send(&json!([code::PUBLISH, request, options, TOPIC, arguments]))?;
        }
        client.flush()?;
        let answer = client.receive()?;
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        let request = answer[1].as_u64().expect("a request ID");
        let counter = under_way.remove(&request).expect("a request of ours");
        let publication = answer[2].as_u64().expect("a publication ID");
        told.acknowledged.push((counter, publication));
        total.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at the newest event again and again, stored or not yet, until the connection breaks.
pub(crate) fn glimpse(raw: u16, subscription: u64) -> Vec<Stored> {
    let mut seen = Vec::new();
    let _ = glimpse_until_cut(raw, subscription, &mut seen);
    seen
}

fn glimpse_until_cut(raw: u16, subscription: u64, seen: &mut Vec<Stored>) -> io::Result<()> {
    let mut client = Client::join(raw)?;
    loop {
        let newest = client.call(GET_EVENTS, json!([subscription, 1]), json!({}))?;
        seen.extend(newest.as_array().into_iter().flatten().map(stored));
    }
}

/// How many publications had been sent and not acknowledged when the node was killed.
fn outstanding(from: &[u64], told: &[Told]) -> u64 {
    from.iter()
        .zip(told)
        .map(|(from, told)| told.end - from - told.acknowledged.len() as u64)
        .sum()
}

/// Nobody was overtaken and nothing is there twice: each publisher's events of this round are
/// those that it sent first, in the order in which it sent them.
pub(crate) fn each_publisher_has_a_whole_prefix(new: &[Stored], from: &[u64], told: &[Told]) {
    for (publisher, (&from, told)) in (0..).zip(from.iter().zip(told)) {
        let counters: Vec<u64> = new
            .iter()
            .filter(|event| event.publisher == publisher)
            .map(|event| event.counter)
            .collect();
        let end = from + counters.len() as u64;
        assert!(
            end <= told.end,
            "publisher {publisher}: {end} of {}",
            told.end
        );
        let whole: Vec<u64> = (from..end).collect();
        assert_eq!(counters, whole, "publisher {publisher}");
    }
}

pub(crate) fn every_acknowledgement_is_true(new: &[Stored], told: &[Told]) {
    let there: HashMap<(u64, u64), u64> = new
        .iter()
        .map(|event| ((event.publisher, event.counter), event.publication))
        .collect();
    for (publisher, told) in (0..).zip(told) {
        for &(counter, publication) in &told.acknowledged {
            let found = there.get(&(publisher, counter));
            assert_eq!(
                found,
                Some(&publication),
                "publisher {publisher}, event {counter}"
            );
        }
    }
}

/// A sequence that was shown before the kill stands for the same event after it, or for none.
pub(crate) fn no_sequence_was_given_twice(new: &[Stored], glimpsed: &[Stored]) {
    let there: HashMap<u64, Stored> = new.iter().map(|event| (event.sequence, *event)).collect();
    for seen in glimpsed {
        if let Some(found) = there.get(&seen.sequence) {
            assert_eq!(found, seen, "sequence {}", seen.sequence);
        }
    }
}

pub(crate) fn the_rest_is_as_it_was_and_only_the_oldest_is_gone(
    node: &Node,
    subscription: u64,
    history: &BTreeMap<u64, Stored>,
) {
    let left = stored_after(node, subscription, 0);
    let oldest = left.first().expect("not everything is dropped").sequence;
    let expected: Vec<Stored> = history.range(oldest..).map(|(_, event)| *event).collect();
    assert_eq!(left, expected);
    assert!(
        left.len() < history.len(),
        "nothing was dropped: {}",
        left.len()
    );
    let publications: HashMap<u64, u64> = history
        .values()
        .map(|event| (event.publication, event.sequence))
        .collect();
    assert_eq!(
        publications.len(),
        history.len(),
        "a publication ID came twice"
    );
}

/// The store's segments are numbered: three new ones at least, and the first is dropped.
pub(crate) fn segments_came_and_went(folder: &Path) {
    let names = std::fs::read_dir(folder).expect("the store's folder");
    let numbers: Vec<u64> = names
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.split_once('.')?.0.parse().ok())
        .collect();
    assert!(numbers.iter().max() >= Some(&4), "segments {numbers:?}");
    assert!(numbers.iter().min() > Some(&1), "segments {numbers:?}");
}

/// Everything after `sequence`, page by page, oldest first.
pub(crate) fn stored_after(node: &Node, subscription: u64, sequence: u64) -> Vec<Stored> {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let mut all: Vec<Stored> = Vec::new();
    // Where the start itself has been dropped, a sequence would be refused: then by time.
    let mut start = if sequence == 0 {
        json!({"from_time": "2000-01-01T00:00:00Z", "limit": 1000})
    } else {
        json!({"after_sequence": sequence, "limit": 1000})
    };
    loop {
        let page = client
            .call(GET_EVENTS, json!([subscription]), start)
            .expect("a page");
        let page = page.as_array().expect("a list of events");
        all.extend(page.iter().map(stored));
        let Some(last) = all.last().filter(|_| !page.is_empty()) else {
            return all;
        };
        start = json!({"after_sequence": last.sequence, "limit": 1000});
    }
}

fn stored(event: &Value) -> Stored {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{event}"));
    Stored {
        sequence: number(&event["sequence"]),
        publication: number(&event["publication"]),
        publisher: number(&event["args"][0]),
        counter: number(&event["args"][1]),
    }
}

pub(crate) fn look_up(node: &Node) -> u64 {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let id = client.call("wamp.subscription.lookup", json!([TOPIC]), json!({}));
    id.expect("an answer").as_u64().expect("a subscription ID")
}

fn node_with_a_small_store() -> Node {
    let store = json!({
        "type": "sled", "path": "history", "maxsize": MAXSIZE, "sync": true,
        "event-history": [{"uri": "com.crash.", "match": "prefix"}]
    });
    Node::start(|ports| {
        let realms = json!([node::open_realm(store.clone())]);
        node::config(ports, realms, &node::anonymous())
    })
}
