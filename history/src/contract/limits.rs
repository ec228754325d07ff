//! Retention by count.

use std::sync::Arc;

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};

use super::Open;
use super::desk::{Desk, filter, limited};
use crate::error::QueryError;
use crate::event::Event;
use crate::query::Query;

pub(crate) fn a_filter_keeps_its_newest_events(open: Open<'_>) {
    let filters = [
        limited("com.a", Exact, 2),
        limited("com.", Prefix, 3),
        filter("com.b", Exact),
    ];
    let mut desk = Desk::at(open(&filters, Some(4)));
    for topic in ["a", "b", "a", "b", "b", "a", "b", "b", "c"] {
        desk.publish(&format!("com.{topic}"));
    }
    assert_eq!(desk.ask(&desk.all("com.a", Exact)), [3, 6]);
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [7, 8, 9]);
    assert_eq!(desk.ask(&desk.all("com.b", Exact)), [4, 5, 7, 8]);
    assert_eq!(desk.ask(&desk.all("com.c", Exact)), [9]);
    assert_eq!(
        desk.ask(&Query {
            reverse: true,
            limit: 1,
            ..desk.all("com.", Prefix)
        }),
        [9]
    );
    let kept: Vec<u64> = desk
        .store
        .usage()
        .filters
        .iter()
        .map(|(_, kept)| *kept)
        .collect();
    assert_eq!(kept, [2, 3, 4]);
    let nothing = Desk::at(open(&[limited("com.", Prefix, 0)], None));
    assert!(nothing.store.topic("com.a").is_none());
    assert_eq!(nothing.ask(&nothing.all("com.", Prefix)), []);
}

pub(crate) fn sequences_that_were_dropped_are_refused_and_later_ones_are_not(open: Open<'_>) {
    let mut desk = Desk::at(open(
        &[limited("com.", Prefix, 3), filter("net.", Prefix)],
        None,
    ));
    for topic in [
        "com.a", "com.a", "net.a", "net.a", "com.a", "com.a", "com.a", "net.a",
    ] {
        desk.publish(topic);
    }
    // Events 1 and 2 of `com.` have been dropped; 3 and 4 never belonged to it.
    let from = |number, after: bool| {
        let mut query = desk.all("com.", Prefix);
        let bound = if after {
            &mut query.sequence.after
        } else {
            &mut query.sequence.from
        };
        *bound = Some(desk.sequence(number));
        desk.page(&query, &[]).map(|(found, _)| found)
    };
    assert!(matches!(
        from(1, true),
        Err(QueryError::NoSuchPublication { .. })
    ));
    assert!(matches!(
        from(2, false),
        Err(QueryError::NoSuchPublication { .. })
    ));
    assert_eq!(from(2, true).unwrap(), [5, 6, 7]);
    assert_eq!(from(3, false).unwrap(), [5, 6, 7]);
    assert_eq!(from(7, true).unwrap(), []);
    // A client may have seen live what no store has: below the reservation that is no mistake.
    assert_eq!(from(500, true).unwrap(), []);
    // Far beyond: a store that rested meanwhile has reserved more than it said at first.
    assert!(matches!(
        from(1 << 50, true),
        Err(QueryError::NoSuchPublication { .. })
    ));
}

pub(crate) fn pending_events_count_towards_the_limit(open: Open<'_>) {
    let mut desk = Desk::at(open(
        &[limited("com.", Prefix, 3), filter("", Prefix)],
        None,
    ));
    let events: Vec<Arc<Event>> = [
        "com.a", "com.b", "com.a", "net.a", "com.a", "com.a", "com.b",
    ]
    .iter()
    .map(|topic| Arc::new(desk.accept(topic)))
    .collect();
    for committed in 0..=events.len() {
        if let Some(last) = committed.checked_sub(1) {
            desk.store.append(&[Arc::clone(&events[last])]).unwrap();
        }
        let pending = [&events[committed..]];
        let shown = |query: &Query| desk.page(query, &pending).unwrap().0;
        assert_eq!(
            shown(&desk.all("com.", Prefix)),
            [5, 6, 7],
            "{committed} committed"
        );
        assert_eq!(shown(&desk.all("com.a", Exact)), [5, 6]);
        assert_eq!(shown(&desk.all("", Prefix)), [1, 2, 3, 4, 5, 6, 7]);
    }
}
