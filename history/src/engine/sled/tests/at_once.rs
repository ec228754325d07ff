//! The newest events at once: what is answered so is what is answered otherwise, and what is not in
//! memory is not waited for.

use rewamp_wamp::message::ReceiverLists;

use super::*;
use crate::query::{Query, Viewer};
use crate::receivers::Receivers;

fn newest(desk: &Desk, uri: &str, match_policy: MatchPolicy, limit: u64) -> Query {
    Query {
        reverse: true,
        limit,
        ..desk.all(uri, match_policy)
    }
}

/// What is answered at once, if anything is; whatever it is, asked otherwise it is the same.
fn check(desk: &Desk, query: &Query, pending: &[&[Arc<Event>]], expected: Option<&[u64]>) {
    let mut found = None;
    wait_until("nobody holds a lock for long", || {
        found = desk.at_once(query, pending).map(|(found, _)| found);
        found.is_some() == expected.is_some()
    });
    assert_eq!(found.as_deref(), expected, "{query:?}");
    desk.page(query, pending).unwrap();
}

fn numbers(from: u64, to: u64) -> Vec<u64> {
    (to..=from).rev().collect()
}

#[test]
fn the_newest_events_of_a_filter_or_a_topic_are_answered_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix), filter("org.a", Exact)];
    let mut desk = Desk::at(open(folder.path(), &filters, None));
    let empty = newest(&desk, "com.", Prefix, 5);
    check(&desk, &empty, &[], Some(&[]));
    for number in 1..=100 {
        desk.publish(if number % 10 == 0 { "com.b" } else { "com.a" });
    }
    let pending = [
        Arc::new(desk.accept("com.a")),
        Arc::new(desk.accept("org.a")),
    ];
    let check = |uri, match_policy, limit, pending: &[&[Arc<Event>]], expected: &[u64]| {
        let query = newest(&desk, uri, match_policy, limit);
        check(&desk, &query, pending, Some(expected));
    };
    check("com.", Prefix, 5, &[], &[100, 99, 98, 97, 96]);
    check("com.", Prefix, 3, &[&pending], &[101, 100, 99]);
    check("com.b", Exact, 3, &[&pending], &[100, 90, 80]);
    check("com.b", Exact, 0, &[], &[]);
    check("com.", Prefix, 200, &[], &numbers(100, 1));
    check("org.a", Exact, 3, &[&pending[..1], &pending[1..]], &[102]);
}

#[test]
fn any_other_question_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    for _ in 0..20 {
        desk.publish("com.a");
    }
    let usual = newest(&desk, "com.", Prefix, 5);
    check(&desk, &usual, &[], Some(&numbers(20, 16)));
    let mut others = vec![
        Query {
            reverse: false,
            ..usual.clone()
        },
        Query {
            topic: Some("com.a".into()),
            ..usual.clone()
        },
        Query {
            last_per_topic: Some(1),
            ..usual.clone()
        },
        newest(&desk, "com.a", Prefix, 5),
    ];
    let mut timed = usual.clone();
    timed.time.from = Some(Timestamp::from_nanos(1));
    let mut sequenced = usual.clone();
    sequenced.sequence.before = Some(desk.sequence(7));
    let mut published = usual.clone();
    published.publication.until = Some(contract::desk::publication(desk.sequence(7)));
    let resumed = Query {
        resume: desk.page(&usual, &[]).unwrap().1.resume,
        ..usual
    };
    assert!(resumed.resume.is_some());
    others.extend([timed, sequenced, published, resumed]);
    for query in &others {
        check(&desk, query, &[], None);
    }
}

#[test]
fn what_a_limit_dropped_is_not_shown_at_once_either() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [limited("com.", Prefix, 10)];
    let mut desk = Desk::at(open(folder.path(), &filters, None));
    for number in 1..=40 {
        desk.publish(if number % 2 == 0 { "com.b" } else { "com.a" });
    }
    let within = newest(&desk, "com.", Prefix, 10);
    check(&desk, &within, &[], Some(&numbers(40, 31)));
    check(&desk, &newest(&desk, "com.", Prefix, 11), &[], None);
    // The limit is the filter's, not the topic's.
    check(&desk, &newest(&desk, "com.b", Exact, 2), &[], None);
    let pending = [Arc::new(desk.accept("com.a"))];
    check(&desk, &within, &[&pending], Some(&numbers(41, 32)));
}

#[test]
fn many_that_the_viewer_may_not_see_are_not_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    desk.publish("com.a");
    let hidden = Receivers::new(&ReceiverLists {
        eligible_authid: vec!["nobody".into()],
        ..ReceiverLists::default()
    });
    for _ in 0..10 {
        desk.publish_to("com.a", hidden.clone());
    }
    let query = newest(&desk, "com.", Prefix, 1);
    check(&desk, &query, &[], Some(&[1]));
    for _ in 0..600 {
        desk.publish_to("com.a", hidden.clone());
    }
    check(&desk, &query, &[], None);
    let operator = Query {
        viewer: Viewer::Operator,
        ..query
    };
    check(&desk, &operator, &[], Some(&[611]));
}

#[test]
fn what_is_not_in_memory_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 16 << 10));
    let topics = |count| (0..count).map(|number| format!("com.{}", number % 7));
    desk.publish_all(topics(2_000), 10);
    // Newer ones are in a segment that grows; all others were sealed, or will be.
    let all = newest(&desk, "com.", Prefix, u64::MAX);
    check(&desk, &all, &[], None);

    let first = desk.first;
    desk.store.close(desk.next).unwrap();
    drop(desk);
    let mut desk = Desk::at(open(folder.path(), &filters, None));
    desk.first = first;
    // Nothing has been written in this life.
    check(&desk, &newest(&desk, "com.", Prefix, 1), &[], None);
    desk.publish("com.1");
    check(
        &desk,
        &newest(&desk, "com.", Prefix, 1),
        &[],
        Some(&[2_001]),
    );
    check(&desk, &newest(&desk, "com.", Prefix, 2), &[], None);
}
