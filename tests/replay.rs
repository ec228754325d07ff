//! Consumers that join at random moments from where they stopped, fast ones and slow ones, while
//! publishers go on and the node is killed in between: each sees the realm's order from its start
//! point, without gap or duplicate.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::within;
use crate::harness::node::{self, Node};

const KILLS: u64 = 3;
const PUBLISHERS: u64 = 3;
const CONSUMERS: u64 = 6;
/// Publications that each publisher has under way.
const WINDOW: usize = 32;
const GET_EVENTS: &str = "wamp.subscription.get_events";
/// Small: whoever sleeps for a moment falls behind ten times as much.
const OUTBOX: u64 = 65_536;
/// Publications that one publisher sends at once now and then, without waiting for anything: a
/// megabyte.
const BURST: u64 = 1_000;
/// Acknowledgements between two bursts.
const BETWEEN_BURSTS: usize = 500;
/// How long the whole may take on a machine that does other things as well.
const LONG: Duration = Duration::from_secs(120);

/// An event as a consumer or the history tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    sequence: u64,
    publication: u64,
    publisher: u64,
    counter: u64,
}

/// What publishers and consumers have in common.
#[derive(Default)]
struct Course {
    /// The sequence at which consumers may end, once it is known.
    end: AtomicU64,
    /// Publishers send nothing more.
    over: AtomicBool,
    acknowledged: Mutex<HashSet<u64>>,
}

#[test]
fn every_consumer_sees_the_order_from_where_it_stopped_over_kills_and_stalls() {
    let mut node = Node::start(|ports| {
        let store = json!({
            "type": "sled", "path": "history", "maxsize": 1 << 30, "sync": true,
            "event-history": [{"uri": "com.", "match": "prefix"}]
        });
        let mut realm = node::open_realm(store);
        realm["rewamp"] = json!({"outbox_bytes": OUTBOX});
        node::config(ports, json!([realm]), &node::anonymous())
    });
    let course = Course::default();
    let mut fell_behind = 0;
    let raw = node.ports.raw;
    let seen: Vec<Vec<Seen>> = thread::scope(|scope| {
        let course = &course;
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| scope.spawn(move || publish(raw, publisher, course)))
            .collect();
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|consumer| scope.spawn(move || consume(raw, consumer, course)))
            .collect();
        for kill in 1..=KILLS {
            within(LONG, "acknowledgements", || {
                let acknowledged = course.acknowledged.lock().expect("no panic").len() as u64;
                (acknowledged >= kill * 4_000).then_some(())
            });
            fell_behind += node.metric("rewamp_catch_ups_total");
            node.kill();
            node.restart();
        }
        course.over.store(true, Ordering::SeqCst);
        for publisher in publishers {
            publisher.join().expect("a publisher does not panic");
        }
        let end = publish_one(raw);
        course.end.store(end, Ordering::SeqCst);
        let seen = consumers.into_iter();
        seen.map(|consumer| consumer.join().expect("a consumer does not panic"))
            .collect()
    });
    let history = history(&node);
    let acknowledged = course.acknowledged.lock().expect("no panic");
    for (consumer, seen) in seen.iter().enumerate() {
        compare(consumer, seen, &history, &acknowledged);
    }
    let fell_behind: u64 = fell_behind + node.metric("rewamp_catch_ups_total");
    println!(
        "{} events, {} acknowledged; {fell_behind} times somebody was too slow",
        history.len(),
        acknowledged.len(),
    );
}

/// Everything that the history has since the consumer began is there, in order and once; what it
/// has besides was lost with a crash before anybody was told that it is stored.
fn compare(
    consumer: usize,
    seen: &[Seen],
    history: &BTreeMap<u64, Seen>,
    acknowledged: &HashSet<u64>,
) {
    assert!(!seen.is_empty(), "consumer {consumer} saw nothing");
    let ordered = seen.windows(2).all(|two| two[0].sequence < two[1].sequence);
    assert!(ordered, "consumer {consumer}: out of order, or twice");
    let kept: Vec<Seen> = seen
        .iter()
        .filter(|event| history.contains_key(&event.sequence))
        .copied()
        .collect();
    let first = seen[0].sequence;
    let last = seen[seen.len() - 1].sequence;
    let expected: Vec<Seen> = history
        .range(first..=last)
        .map(|(_, event)| *event)
        .collect();
    assert_eq!(kept.len(), expected.len(), "consumer {consumer}");
    assert_eq!(kept, expected, "consumer {consumer}");
    for lost in seen
        .iter()
        .filter(|event| !history.contains_key(&event.sequence))
    {
        let told = acknowledged.contains(&lost.publication);
        assert!(!told, "consumer {consumer}: {lost:?} was acknowledged");
    }
}

/// Publishes as fast as acknowledgements come, over restarts, until it is told to end.
fn publish(raw: u16, publisher: u64, course: &Course) {
    let mut counter = 0;
    let began = Instant::now();
    while !course.over.load(Ordering::SeqCst) {
        assert!(began.elapsed() < LONG, "publisher {publisher} did not end");
        // How the connection breaks is the kernel's affair.
        let _ = publish_until_cut(raw, publisher, &mut counter, course);
    }
}

fn publish_until_cut(
    raw: u16,
    publisher: u64,
    counter: &mut u64,
    course: &Course,
) -> io::Result<()> {
    let mut client = Client::join(raw)?;
    let topic = format!("com.topic.{publisher}");
    let filling = "x".repeat(100);
    let mut under_way = 0;
    let mut told = 0;
    while !course.over.load(Ordering::SeqCst) || under_way > 0 {
        while under_way < WINDOW && !course.over.load(Ordering::SeqCst) {
            let request = client.request();
            let arguments = json!([publisher, *counter, filling]);
            *counter += 1;
            under_way += 1;
            let options = json!({"acknowledge": true});
            client.send(&json!([code::PUBLISH, request, options, topic, arguments]))?;
        }
        if publisher == 0 && told % BETWEEN_BURSTS == 0 {
            for _ in 0..BURST {
                let request = client.request();
                let arguments = json!([publisher, *counter, "y".repeat(1_000)]);
                *counter += 1;
                client.send(&json!([code::PUBLISH, request, {}, topic, arguments]))?;
            }
        }
        client.flush()?;
        let answer = client.receive()?;
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
        under_way -= 1;
        told += 1;
        let publication = answer[2].as_u64().expect("an ID");
        let mut acknowledged = course.acknowledged.lock().expect("no panic");
        acknowledged.insert(publication);
    }
    Ok(())
}

/// One last event; its sequence.
fn publish_one(raw: u16) -> u64 {
    let mut client = Client::join(raw).expect("a session");
    let request = client.request();
    let options = json!({"acknowledge": true});
    let event = json!([
        code::PUBLISH,
        request,
        options,
        "com.topic.end",
        [99, 0, ""]
    ]);
    client.send(&event).expect("sent");
    client.flush().expect("sent");
    let answer = client.receive().expect("an answer");
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    newest(&mut client).expect("an event").sequence
}

fn newest(client: &mut Client) -> Option<Seen> {
    let id = lookup(client);
    let page = client.call(GET_EVENTS, json!([id, 1]), json!({})).ok()?;
    page.as_array()?.first().map(record)
}

fn lookup(client: &mut Client) -> u64 {
    let options = json!(["com.", {"match": "prefix"}]);
    let id = client.call("wamp.subscription.lookup", options, json!({}));
    id.expect("an answer").as_u64().expect("a subscription ID")
}

/// Joins again and again from the last sequence that it saw, and reads for a while: some without a
/// pause, others with long ones.
fn consume(raw: u16, consumer: u64, course: &Course) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut random = Random(consumer + 1);
    let began = Instant::now();
    while !is_done(&seen, course) {
        assert!(
            began.elapsed() < LONG,
            "consumer {consumer} is at {:?} of {:?}",
            seen.last(),
            course.end
        );
        let _ = consume_for_a_while(raw, consumer, &mut random, &mut seen, course);
    }
    seen
}

fn is_done(seen: &[Seen], course: &Course) -> bool {
    let end = course.end.load(Ordering::SeqCst);
    end > 0 && seen.last().is_some_and(|last| last.sequence >= end)
}

fn consume_for_a_while(
    raw: u16,
    consumer: u64,
    random: &mut Random,
    seen: &mut Vec<Seen>,
    course: &Course,
) -> io::Result<()> {
    let is_slow = consumer % 2 == 1;
    let mut client = match is_slow {
        true => Client::join_narrowly(raw)?,
        false => Client::join(raw)?,
    };
    let request = client.request();
    let mut options = json!({"match": "prefix", "_sequence": true});
    let mut previous = None;
    if let Some(last) = seen.last() {
        options["_replay"] = json!({"after_sequence": last.sequence});
        previous = Some(last.sequence);
    }
    client.send(&json!([32, request, options, "com."]))?;
    client.flush()?;
    let answer = client.receive()?;
    assert_eq!(answer[0], 33, "{answer}");
    let events = 200 + random.below(20_000);
    for _ in 0..events {
        if is_done(seen, course) {
            return Ok(());
        }
        // Ten times its outbox goes by meanwhile.
        if is_slow && random.below(2_000) == 0 {
            stall(Duration::from_millis(50 + random.below(400)));
        }
        let event = client.receive()?;
        assert_eq!(event[0], 36, "{event}");
        let found = Seen {
            sequence: event[3]["_sequence"].as_u64().expect("a sequence"),
            publication: event[2].as_u64().expect("a publication"),
            publisher: event[4][0].as_u64().expect("a publisher"),
            counter: event[4][1].as_u64().expect("a counter"),
        };
        // The chain has no hole, but where a crash took what had been seen live.
        let chained = event[3]["_previous"].as_u64();
        if previous.is_some() && chained != previous {
            let known = seen.iter().rev().take(1_000);
            let known: HashSet<_> = known.map(|event| event.sequence).collect();
            let earlier = chained.is_none_or(|chained| known.contains(&chained));
            assert!(earlier, "consumer {consumer}: {event} after {previous:?}");
        }
        previous = Some(found.sequence);
        seen.push(found);
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client that stalls is what it plays"
)]
fn stall(time: Duration) {
    thread::sleep(time);
}

/// The whole history, by sequence.
fn history(node: &Node) -> BTreeMap<u64, Seen> {
    let mut client = Client::join(node.ports.raw).expect("a session");
    let id = lookup(&mut client);
    let mut all = BTreeMap::new();
    let mut start = json!({"from_time": "2000-01-01T00:00:00Z", "limit": 5000});
    loop {
        let page = client.call(GET_EVENTS, json!([id]), start).expect("a page");
        let page = page.as_array().expect("a list");
        all.extend(page.iter().map(record).map(|event| (event.sequence, event)));
        let Some(last) = page.last() else {
            return all;
        };
        start = json!({"after_sequence": last["sequence"], "limit": 5000});
    }
}

fn record(event: &Value) -> Seen {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{event}"));
    Seen {
        sequence: number(&event["sequence"]),
        publication: number(&event["publication"]),
        publisher: number(&event["args"][0]),
        counter: number(&event["args"][1]),
    }
}

/// Xorshift: different for every consumer, and the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
