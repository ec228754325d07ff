//! Retention by age.

use std::sync::Arc;
use std::time::Duration;

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};

use super::desk::{Desk, TICK, filter};
use super::{Open, Reopen};
use crate::error::QueryError;
use crate::event::{Event, Timestamp};
use crate::filter::Filter;
use crate::query::Query;

/// A filter that keeps events for so many ticks of the desk.
fn aged(uri: &str, ticks: u64) -> Filter {
    Filter {
        max_age: Some(Duration::from_nanos(ticks * TICK)),
        ..filter(uri, Prefix)
    }
}

fn later(desk: &Desk, ticks: u64) -> Timestamp {
    Timestamp::from_nanos(desk.time.nanos() + ticks * TICK)
}

pub(crate) fn what_is_older_than_max_age_is_gone(open: Open<'_>) {
    let mut desk = Desk::at(open(&[aged("com.", 10), filter("", Prefix)], Some(1_000)));
    desk.publish_all((0..20).map(|number| format!("com.{}", number % 2)), 3);
    let all = desk.all("com.", Prefix);
    desk.store.at(desk.time);
    assert_eq!(desk.ask(&all), (10..=20).collect::<Vec<_>>());
    assert_eq!(desk.ask(&desk.all("com.0", Exact)), [11, 13, 15, 17, 19]);
    let state = Query {
        last_per_topic: Some(100),
        ..all.clone()
    };
    assert_eq!(desk.ask(&state), (10..=20).collect::<Vec<_>>());
    desk.store.at(later(&desk, 8));
    assert_eq!(desk.ask(&all), [18, 19, 20]);
    // The clock went back: what is gone stays gone.
    desk.store.at(desk.time);
    assert_eq!(desk.ask(&all), [18, 19, 20]);
    assert_eq!(desk.ask(&desk.all("", Prefix)).len(), 20, "another filter");
    let info = desk.store.info(&all.scope, &all.viewer, &[]).unwrap();
    assert_eq!(info.events, 3);
    let span = desk.store.span(&all.scope, &all.viewer, &[]).unwrap();
    assert_eq!(span.oldest.unwrap().sequence, desk.sequence(18));
    let mut from = all.clone();
    from.sequence.from = Some(desk.sequence(17));
    let refused = desk.page(&from, &[]);
    assert!(
        matches!(refused, Err(QueryError::NoSuchPublication { .. })),
        "{refused:?}"
    );
    from.sequence.from = Some(desk.sequence(18));
    assert_eq!(desk.ask(&from), [18, 19, 20]);
    let mut from = all.clone();
    from.publication.from = Some(super::desk::publication(desk.sequence(17)));
    assert!(desk.page(&from, &[]).is_err());
    desk.store.at(later(&desk, 1_000));
    assert_eq!(desk.ask(&all), []);
    desk.publish("com.0");
    assert_eq!(desk.ask(&all), [], "it was accepted long ago");
}

pub(crate) fn what_is_pending_grows_old_too(open: Open<'_>) {
    let mut desk = Desk::at(open(&[aged("com.", 5)], None));
    desk.publish("com.a");
    let pending: Vec<Arc<Event>> = (0..4).map(|_| Arc::new(desk.accept("com.a"))).collect();
    let all = desk.all("com.", Prefix);
    let ask = |query| desk.page(query, &[&pending]).unwrap().0;
    desk.store.at(later(&desk, 0));
    assert_eq!(ask(&all), [1, 2, 3, 4, 5]);
    desk.store.at(later(&desk, 3));
    assert_eq!(ask(&all), [3, 4, 5]);
    let mut from = all.clone();
    from.sequence.from = Some(desk.sequence(2));
    assert!(desk.page(&from, &[&pending]).is_err());
    desk.store.at(later(&desk, 6));
    assert_eq!(ask(&all), []);
}

pub(crate) fn a_raised_max_age_does_not_revive_what_was_dropped(reopen: Reopen<'_>) {
    for clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::at(reopen(folder.path(), &[aged("com.", 3)], None));
        let first = desk.first;
        desk.publish_all((0..10).map(|_| "com.a".to_owned()), 4);
        if clean {
            desk.store.at(later(&desk, 1));
            desk.store.close(desk.next).unwrap();
        }
        drop(desk);
        // Cut off, the store knows at least that it was not before its newest event.
        let expected: &[u64] = if clean { &[8, 9, 10] } else { &[7, 8, 9, 10] };
        for filters in [[aged("com.", 1_000)], [filter("com.", Prefix)]] {
            let store = reopen(folder.path(), &filters, None);
            let desk = Desk {
                first,
                ..Desk::at(store)
            };
            assert_eq!(desk.ask(&desk.all("com.", Prefix)), expected);
            let mut from = desk.all("com.", Prefix);
            from.sequence.from = Some(desk.sequence(expected[0] - 1));
            assert!(desk.page(&from, &[]).is_err());
        }
    }
}
