//! What no filter keeps leaves the disk, wherever between others it lies, and nobody misses it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::room::{Watcher, payload_of};
use super::*;
use crate::contract::desk::publication;
use crate::query::Purge;

fn by_topic(uri: &str, each: u64) -> Filter {
    Filter {
        limit_per_topic: Some(each),
        ..filter(uri, Prefix)
    }
}

/// Appends one event to each topic, all in one transaction, with so many bytes of payload.
fn publish(desk: &mut Desk, topics: impl Iterator<Item = String>, bytes: usize) {
    let payload = payload_of(bytes);
    let events: Vec<Arc<Event>> = topics
        .map(|topic| {
            let event = desk.accept(&topic);
            Arc::new(Event {
                payload: payload.clone(),
                ..event
            })
        })
        .collect();
    desk.store.append(&events).unwrap();
}

const QUIET: usize = 1_000;

/// One topic has nearly all events, and a thousand others one now and then.
fn busy_and_quiet(desk: &mut Desk, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let quiet =
            (round * 7..round * 7 + 3).map(|number| format!("com.quiet.{}", number % QUIET));
        let busy = (0..200).map(|_| "com.busy".to_owned());
        publish(desk, quiet.chain(busy), 100);
    }
}

#[test]
fn a_busy_topic_gives_back_the_disk_that_quiet_ones_do_not_need() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let filters = [by_topic("com.", 10)];
    let segment = 512 << 10;
    let mut desk = Desk::at(open_small(path, &filters, None, segment));
    busy_and_quiet(&mut desk, 0..1_500);
    let quiet = |store: &dyn EventStore| sequences(store, "com.quiet.").len();
    let kept = (1_500 * 3, 10);
    // 4,500 of 200 bytes, twice what they take at most, beside what grows and half a segment.
    let near = 2 * 4_500 * 200 + 3 * segment;
    let disk = Disk::default();
    wait_until("the disk is near what is kept", || disk.size(path) < near);
    assert_eq!(
        (
            quiet(&*desk.store),
            sequences(&*desk.store, "com.busy").len()
        ),
        kept
    );
    let scope = desk.scope("com.", Prefix);
    let info = desk.store.info(&scope, &anybody(), &[]).unwrap();
    assert_eq!(info.events, 4_510);
    assert_eq!(
        info.span.oldest.unwrap().sequence,
        desk.first,
        "the first was a quiet one"
    );
    let usage = desk.store.usage();
    assert!(usage.events < 40_000, "{usage:?}");
    assert!(usage.segments < 30, "{usage:?}");
    let first = desk.first;
    desk.store.close(desk.next).unwrap();
    drop(desk);
    let store = open_small(path, &filters, None, segment);
    assert_eq!(store.opened().lost, []);
    assert_eq!((quiet(&*store), sequences(&*store, "com.busy").len()), kept);
    // What gave way to newer events of its topic is nothing that a client has to be told of.
    let mut desk = Desk::at(store);
    desk.first = first;
    let mut query = desk.all("com.busy", Exact);
    query.sequence.from = Some(first.next());
    assert_eq!(desk.ask(&query).len(), 10);
}

#[test]
fn topics_that_turn_quiet_keep_their_events_under_maxsize_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let maxsize = MIN_SLED_MAXSIZE;
    let config = StoreConfig {
        maxsize,
        ..config(path, &[by_topic("com.", 10)], None)
    };
    let mut desk = Desk::at(crate::store::open(config.clone()).unwrap());
    let watcher = Watcher::of(path);
    // All of a time's topics are busy, and then never again.
    for time in 0..8 {
        for _ in 0..40 {
            let topics = (0..100).map(|number| format!("com.t{time}.{number}"));
            publish(&mut desk, topics, 120);
        }
    }
    for _ in 0..500 {
        publish(&mut desk, (0..100).map(|_| "com.busy".to_owned()), 300);
    }
    watcher.saw_at_most(maxsize);
    let kept: Vec<usize> = (0..8)
        .map(|time| sequences(&*desk.store, &format!("com.t{time}.")).len())
        .collect();
    assert_eq!(kept, [1_000; 8], "over 20 MB of others came after them");
    drop(desk);
    let store = crate::store::open(config).unwrap();
    assert_eq!(store.opened().lost, []);
    assert_eq!(sequences(&*store, "com.").len(), 8_010);
}

#[test]
fn who_reads_while_segments_are_written_anew_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [by_topic("com.", 10)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 256 << 10));
    let (store, done) = (Arc::clone(&desk.store), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut looks, mut before) = (0, Vec::new());
            while !done.load(Ordering::Acquire) {
                let found = sequences(&*store, "com.quiet.");
                assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(found.starts_with(&before), "{found:?} after {before:?}");
                let busy = sequences(&*store, "com.busy").len();
                assert!(busy == 10 || found.is_empty(), "{busy}");
                (looks, before) = (looks + 1, found);
            }
            looks
        });
        busy_and_quiet(&mut desk, 0..600);
        done.store(true, Ordering::Release);
        assert!(reader.join().unwrap() > 1);
    });
    assert_eq!(sequences(&*store, "com.quiet.").len(), 1_800);
}

/// What happens to a store, drawn at random.
#[derive(Debug, Clone)]
enum Step {
    /// Events to topics, in one transaction.
    Publish(Vec<usize>),
    /// The clock goes on.
    Wait(u64),
    /// It is closed, and opened with other bounds.
    Reopen(usize),
    /// A topic is purged.
    Purge(usize),
}

/// Bounds of the filters `com.` and `com.a`, of several starts.
fn bounds(number: usize) -> [Filter; 2] {
    let age = |seconds| Some(Duration::from_secs(seconds));
    let (mut wide, mut narrow) = (filter("com.", Prefix), filter("com.a", Prefix));
    match number % 6 {
        0 => (wide.limit_per_topic, narrow.limit) = (Some(3), Some(10)),
        1 => (wide.limit_per_topic, narrow.limit_per_topic) = (Some(5), Some(1)),
        2 => (wide.limit_per_topic, wide.limit, narrow.max_age) = (Some(4), Some(12), age(20)),
        3 => (wide.max_age, narrow.limit_per_topic) = (age(30), Some(2)),
        4 => (wide.limit, narrow.limit) = (Some(30), Some(4)),
        _ => wide.limit_per_topic = Some(2),
    }
    [wide, narrow]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topics = || prop::collection::vec(0..9_usize, 1..60);
    let step = prop_oneof![
        20 => topics().prop_map(Step::Publish),
        3 => (1..15_u64).prop_map(Step::Wait),
        2 => (0..6_usize).prop_map(Step::Reopen),
        1 => (0..9_usize).prop_map(Step::Purge),
    ];
    prop::collection::vec(step, 1..60)
}

/// Four of nine are busier than the others.
fn topic(number: usize) -> String {
    ["com.a1", "com.a2", "com.b1", "com.b2", "com.c1"][number % 5].to_owned()
}

/// All that can be asked of a history, short of its bytes.
fn answers(store: &dyn EventStore, desk: &Desk, aged: bool) -> Vec<String> {
    let mut answers = Vec::new();
    let scopes = [
        ("com.", Prefix),
        ("com.a", Prefix),
        ("com.a1", Exact),
        ("com.b", Prefix),
    ];
    for (uri, match_policy) in scopes {
        let filter = store.covering(uri, match_policy).unwrap();
        let scope = Scope {
            uri: uri.into(),
            match_policy,
            filter,
        };
        let mut query = Query::all(scope.clone(), anybody());
        let ask = |query: &Query| {
            let mut found = Vec::new();
            let page = store.read(query, &[], &mut |event| {
                found.push(event.sequence.get());
                ControlFlow::Continue(())
            });
            page.map(|_| found)
        };
        answers.push(format!("{uri}: {:?}", ask(&query)));
        query.last_per_topic = Some(2);
        query.reverse = true;
        answers.push(format!("{uri} newest: {:?}", ask(&query)));
        let info = store.info(&scope, &anybody(), &[]).unwrap();
        answers.push(format!("{uri} has {} {:?}", info.events, info.span));
        // Sooner or later age says of what had given way before that it dropped it.
        let backs: &[u64] = if aged { &[] } else { &[1, 10, 40, 100] };
        for &back in backs {
            let mut query = Query::all(scope.clone(), anybody());
            let from = desk.next.get().saturating_sub(back).max(1);
            query.sequence.after = Some(Sequence::new(from));
            answers.push(format!("{uri} after {from}: {:?}", ask(&query)));
            let mut query = Query::all(scope.clone(), anybody());
            query.publication.from = Some(publication(Sequence::new(from)));
            let found = ask(&query).map_err(|error| error.to_string());
            answers.push(format!("{uri} from {from}: {found:?}"));
        }
    }
    answers
}

#[test]
fn a_store_that_reclaims_answers_as_one_that_does_not() {
    let mut runner = TestRunner::new(Config {
        cases: 8,
        ..Config::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    let checked = runner.run(&steps(), |steps| {
        // In large segments nothing is ever sealed but at the end of a life.
        let [plain, small] = [next(), next()];
        let segments = [(&plain, 32 << 20), (&small, 8_192)];
        let opened = |bounds: &[Filter; 2]| {
            segments.map(|(path, segment)| open_small(path, bounds, None, segment))
        };
        let (mut stores, mut aged) = (opened(&bounds(0)), false);
        let mut desk = Desk::at(Arc::clone(&stores[0]));
        for step in steps {
            match step {
                Step::Publish(topics) => {
                    let topics = topics.into_iter().map(topic);
                    let events: Vec<_> =
                        topics.map(|topic| Arc::new(desk.accept(&topic))).collect();
                    for store in &stores {
                        // The other store has topics of its own.
                        let own = |event: &Arc<Event>| {
                            let topic = store.topic(event.topic.name()).unwrap();
                            Arc::new(Event {
                                topic,
                                ..Event::clone(event)
                            })
                        };
                        let events: Vec<_> = events.iter().map(own).collect();
                        store.append(&events).unwrap();
                    }
                }
                Step::Wait(seconds) => {
                    let later = desk.time.nanos() + seconds * 1_000_000_000;
                    desk.time = crate::event::Timestamp::from_nanos(later);
                    stores.iter().for_each(|store| store.at(desk.time));
                }
                Step::Reopen(number) => {
                    aged |= bounds(number).iter().any(|filter| filter.max_age.is_some());
                    for store in &stores {
                        store.close(desk.next).unwrap();
                    }
                    let (next, time) = (desk.next, desk.time);
                    drop((stores, desk));
                    stores = opened(&bounds(number));
                    for store in &stores {
                        prop_assert_eq!(&store.opened().lost, &[]);
                        store.at(time);
                    }
                    desk = Desk::at(Arc::clone(&stores[0]));
                    prop_assert_eq!(desk.next, next);
                    desk.time = desk.time.max(time);
                    stores[1].reserve(desk.reserved).unwrap();
                }
                Step::Purge(number) => {
                    let purged = stores.each_ref().map(|store| {
                        let scope = desk.scope("com.", Prefix);
                        let what = Purge::Topic(topic(number).into());
                        store.purge(&scope, &anybody(), &what).unwrap()
                    });
                    prop_assert_eq!(purged[0], purged[1]);
                }
            }
            let [plain, small] = stores
                .each_ref()
                .map(|store| answers(&**store, &desk, aged));
            for (plain, small) in plain.into_iter().zip(small) {
                prop_assert_eq!(plain, small);
            }
        }
        Ok(())
    });
    checked.unwrap();
}

/// Every operation fails once, while a store reclaims; then it goes on.
#[test]
fn a_rewriting_of_which_an_operation_fails_costs_nothing() {
    for number in (1..).step_by(11) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let filters = [by_topic("com.", 2)];
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let disk =
            Disk::failing(
                move |_, _| match counted.fetch_add(1, Ordering::SeqCst) + 1 == number {
                    true => Err(std::io::Error::other("it fails once")),
                    false => Ok(()),
                },
            );
        let sizes = Sizes {
            max: 64 << 20,
            segment: 8_192,
        };
        let Ok(sled) = Sled::open_on(disk, sizes, path, config(path, &filters, None)) else {
            continue;
        };
        let mut desk = Desk::at(Arc::new(sled));
        let (mut stored, mut refused) = (Vec::new(), 0);
        for round in 0..20_usize {
            let topics = (0..20).map(|at| match at {
                7 => format!("com.quiet.{round}"),
                _ => "com.busy".to_owned(),
            });
            let events: Vec<_> = topics.map(|topic| Arc::new(desk.accept(&topic))).collect();
            match desk.store.append(&events) {
                Ok(_) => stored.push(events[7].sequence.get()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused < 6, "operation {number}: {refused} refused");
        let quiet = |store: &dyn EventStore| sequences(store, "com.quiet.");
        let is_there = |found: &[u64]| stored.iter().all(|sequence| found.contains(sequence));
        assert!(is_there(&quiet(&*desk.store)), "operation {number}");
        let operations = count.load(Ordering::SeqCst);
        drop(desk);
        let store = open(path, &filters, None);
        assert_eq!(store.opened().lost, [], "operation {number}");
        assert!(store.opened().set_aside.is_empty(), "operation {number}");
        assert!(is_there(&quiet(&*store)), "operation {number}");
        assert_eq!(
            sequences(&*store, "com.busy").len(),
            2,
            "operation {number}"
        );
        if operations < number {
            break;
        }
    }
}

#[test]
fn what_was_purged_at_the_end_of_a_segment_is_not_missed_when_the_rest_of_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [limited("com.", Prefix, 5)];
    let opened = || open_sled(folder.path(), &filters, None, 4_096);
    let sled = opened();
    let shared = Arc::clone(&sled.shared);
    let mut desk = Desk::at(Arc::new(sled));
    let sealed = |shared: &Shared| shared.unsealed() <= 1;
    desk.publish_all(["com.a", "com.grey"].map(str::to_owned).into_iter(), 2);
    desk.publish_all((0..2).map(|_| "com.b".to_owned()), 1);
    wait_until("they are sealed", || sealed(&shared));
    let scope = desk.scope("com.", Prefix);
    let grey = Purge::Topic("com.grey".into());
    assert_eq!(desk.store.purge(&scope, &anybody(), &grey).unwrap(), 1);
    desk.publish_all((0..6).map(|_| "com.b".to_owned()), 1);
    wait_until("the oldest are dropped", || {
        desk.store.usage().events <= 8 && sealed(&shared)
    });
    drop((desk, shared));
    assert_eq!(opened().opened().lost, []);
}
