//! The newest of every topic: the state of a history at one moment.

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::uri::MatchPolicy::{self, Exact, Prefix, Wildcard};

use super::Open;
use super::desk::{Desk, JOE, filter, limited};
use crate::event::{Event, Timestamp};
use crate::query::{End, PageEnd, Query, Viewer};
use crate::receivers::Receivers;

fn newest(desk: &Desk, uri: &str, match_policy: MatchPolicy, each: u64) -> Query {
    Query {
        last_per_topic: Some(each),
        ..desk.all(uri, match_policy)
    }
}

/// A list that keeps `anybody` out.
fn hidden() -> Option<Receivers> {
    Receivers::new(&ReceiverLists {
        exclude_authid: vec![JOE.into()],
        ..ReceiverLists::default()
    })
}

pub(crate) fn the_state_is_that_of_any_moment(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], Some(1_000)));
    let events: Vec<Arc<Event>> = ["a", "b", "a", "c", "b", "a", "a", "c.x"]
        .iter()
        .map(|topic| desk.publish(&format!("com.{topic}")))
        .collect();
    let check = |query: &Query, expected: &[u64]| {
        assert_eq!(desk.ask(query), expected, "{query:?}");
        let mut reversed = expected.to_vec();
        reversed.reverse();
        let reverse = Query {
            reverse: true,
            ..query.clone()
        };
        assert_eq!(desk.ask(&reverse), reversed, "{reverse:?}");
    };
    let all = newest(&desk, "com.", Prefix, 1);
    check(&all, &[4, 5, 7, 8]);
    check(&newest(&desk, "com.", Prefix, 2), &[2, 4, 5, 6, 7, 8]);
    check(
        &newest(&desk, "com.", Prefix, u64::MAX),
        &[1, 2, 3, 4, 5, 6, 7, 8],
    );
    check(&newest(&desk, "com.c", Prefix, 1), &[4, 8]);
    check(&newest(&desk, "com.", Wildcard, 1), &[4, 5, 7]);
    check(&newest(&desk, "com.a", Exact, 2), &[6, 7]);
    check(&newest(&desk, "com.", Prefix, 0), &[]);
    let as_of = |number: usize, expected: &[u64]| {
        let mut query = all.clone();
        query.time.until = Some(events[number - 1].time);
        check(&query, expected);
        query.time.until = Some(Timestamp::from_nanos(events[number - 1].time.nanos() + 1));
        check(&query, expected);
        query.time.until = None;
        query.publication.until = Some(events[number - 1].publication);
        check(&query, expected);
    };
    as_of(1, &[1]);
    as_of(3, &[2, 3]);
    as_of(6, &[4, 5, 6]);
    let mut since = all.clone();
    since.sequence.after = Some(desk.sequence(5));
    check(&since, &[7, 8]);
    let topic = Query {
        topic: Some("com.b".into()),
        ..all
    };
    check(&topic, &[5]);
}

pub(crate) fn what_is_hidden_counts_for_no_topic(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], Some(1_000)));
    for (topic, for_all) in [
        ("a", true),
        ("b", true),
        ("a", true),
        ("a", false),
        ("c", false),
        ("b", false),
        ("b", true),
    ] {
        let receivers = if for_all { None } else { hidden() };
        desk.publish_to(&format!("com.{topic}"), receivers);
    }
    let one = newest(&desk, "com.", Prefix, 1);
    assert_eq!(desk.ask(&one), [3, 7]);
    assert_eq!(desk.ask(&newest(&desk, "com.", Prefix, 2)), [1, 2, 3, 7]);
    let other = Query {
        viewer: Viewer::Session {
            authid: "ann".into(),
            authrole: "user".into(),
        },
        ..one
    };
    assert_eq!(desk.ask(&other), [4, 5, 7]);
}

pub(crate) fn pending_events_belong_to_the_state(open: Open<'_>) {
    let filters = [filter("com.", Prefix), limited("", Prefix, 5)];
    let mut desk = Desk::at(open(&filters, Some(1_000)));
    let events: Vec<Arc<Event>> = [
        "com.a", "net.b", "com.b", "com.a", "net.a", "com.b", "com.c",
    ]
    .iter()
    .map(|topic| Arc::new(desk.accept(topic)))
    .collect();
    for committed in 0..=events.len() {
        if let Some(last) = committed.checked_sub(1) {
            desk.store.append(&[Arc::clone(&events[last])]).unwrap();
        }
        let pending = [&events[committed.saturating_sub(2)..]];
        for reverse in [false, true] {
            let check = |query: Query, expected: &[u64]| {
                let mut expected = expected.to_vec();
                if reverse {
                    expected.reverse();
                }
                let query = Query { reverse, ..query };
                let (found, _) = desk.page(&query, &pending).unwrap();
                assert_eq!(found, expected, "{committed} committed");
            };
            check(newest(&desk, "com.", Prefix, 1), &[4, 6, 7]);
            check(newest(&desk, "com.", Prefix, 2), &[1, 3, 4, 6, 7]);
            check(newest(&desk, "com.b", Exact, 1), &[6]);
            // The first two have been dropped from the history of everything, or will be.
            check(newest(&desk, "", Prefix, 9), &[3, 4, 5, 6, 7]);
            check(newest(&desk, "", Prefix, 1), &[4, 5, 6, 7]);
        }
    }
}

/// Walks a question page by page; between two pages something is published.
fn walk(desk: &mut Desk, query: &Query) -> Vec<u64> {
    let mut page = query.clone();
    let mut found = Vec::new();
    loop {
        let (shown, end) = desk.page(&page, &[]).unwrap();
        assert!(shown.len() as u64 <= query.limit);
        found.extend(shown);
        page.resume = end.resume;
        if page.resume.is_none() {
            return found;
        }
        desk.publish("t.3.x");
    }
}

pub(crate) fn pages_of_a_state_are_of_one_moment(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("", Prefix)], Some(100_000)));
    let topic = |number: u32| format!("t.{}.x", number * number % 89 % (1 + number / 20));
    desk.publish_all((0..1_200).map(topic), 30);
    for (uri, match_policy) in [("", Prefix), ("t.1", Prefix), ("t..x", Wildcard)] {
        for (reverse, each, limit) in [(false, 1, 7), (true, 1, 7), (false, 20, 50), (true, 20, 50)]
        {
            let query = Query {
                reverse,
                limit,
                ..newest(&desk, uri, match_policy, each)
            };
            let whole = desk.ask(&Query {
                limit: u64::MAX,
                ..query.clone()
            });
            assert_eq!(walk(&mut desk, &query), whole, "{uri} {reverse} {each}");
        }
    }
}

pub(crate) fn a_choice_among_too_many_that_are_hidden_says_that_it_is_cut(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], Some(1_000)));
    desk.publish("com.a");
    desk.publish("com.b");
    for _ in 0..200 {
        desk.publish_to("com.a", hidden());
    }
    desk.publish("com.c");
    let page = |budget: u64| -> (Vec<u64>, PageEnd) {
        let query = Query {
            budget,
            ..newest(&desk, "com.", Prefix, 1)
        };
        desk.page(&query, &[]).unwrap()
    };
    let (found, end) = page(1_000);
    assert_eq!((found, end.end), (vec![1, 2, 203], End::Exhausted));
    let (found, end) = page(100);
    assert!(!found.contains(&1), "{found:?}");
    assert_eq!((end.end, end.next), (End::Budget, None));
}

pub(crate) fn a_reader_that_stops_in_a_state_goes_on_where_it_was(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("", Prefix)], Some(1_000)));
    desk.publish_all((0..90).map(|number| format!("t.{}", number % 9)), 10);
    for reverse in [false, true] {
        let mut query = Query {
            reverse,
            ..newest(&desk, "", Prefix, 3)
        };
        let whole = desk.ask(&query);
        let mut found = Vec::new();
        loop {
            let mut shown = Vec::new();
            let end = desk.store.read(&query, &[], &mut |event| {
                if shown.len() == 4 {
                    return ControlFlow::Break(());
                }
                shown.push(event.sequence.get() - desk.first.get() + 1);
                ControlFlow::Continue(())
            });
            found.extend(shown);
            query.resume = end.unwrap().resume;
            if query.resume.is_none() {
                break;
            }
        }
        assert_eq!(found, whole);
    }
}
