//! What must be the same after a restart, clean or not.

use std::sync::Arc;

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};

use super::Reopen;
use super::desk::{Desk, filter, limited};
use crate::error::{QueryError, StoreError};
use crate::query::Query;
use crate::store::Lost;

pub(crate) fn a_history_is_the_same_after_a_restart(reopen: Reopen<'_>) {
    for clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let filters = [filter("com.", Prefix), filter("com..x", Wildcard)];
        let mut desk = Desk::at(reopen(folder.path(), &filters, None));
        let (first, incarnation) = (desk.first, desk.store.opened().incarnation);
        for life in 1..=4_u64 {
            let topics =
                (0..500).map(|number| format!("com.{}.{}", number % 9, ["x", "y"][number % 2]));
            desk.publish_all(topics, 13);
            let last_time = desk.accept("com.a").time;
            let events = |desk: &Desk| {
                let ask = |uri, match_policy| desk.ask(&desk.all(uri, match_policy));
                [
                    ask("com.", Prefix),
                    ask("com..x", Wildcard),
                    ask("com.3.y", Exact),
                ]
            };
            let before = events(&desk);
            assert_eq!(before[0].len() as u64, life * 500);
            if clean {
                desk.store.close(desk.next).unwrap();
            }
            drop(desk);
            let store = reopen(folder.path(), &filters, None);
            assert_eq!(store.opened().incarnation, incarnation);
            assert_eq!(store.opened().recovered, !clean);
            assert_eq!(store.opened().events, life * 500);
            assert_eq!(store.opened().lost, []);
            assert!(store.opened().last_time < last_time);
            desk = Desk {
                first,
                ..Desk::at(store)
            };
            assert_eq!(events(&desk), before);
        }
    }
}

pub(crate) fn what_was_noted_as_missing_is_told_in_every_life(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut expected = Vec::new();
    for clean in [true, false, true] {
        let mut desk = Desk::at(reopen(folder.path(), &filters, None));
        assert_eq!(desk.store.lost(), expected);
        desk.publish("com.a");
        // A sequence of its own, that no event has.
        let gap = desk.accept("com.a").sequence;
        let lost = Lost {
            from: gap,
            to: gap,
            why: format!("nobody listened before {gap}"),
        };
        desk.store.note_lost(lost.clone()).unwrap();
        expected.push(lost.clone());
        assert_eq!(desk.store.lost(), expected);
        desk.store.note_lost(lost).unwrap();
        desk.publish("com.a");
        assert_eq!(desk.store.lost(), expected, "once is enough");
        if clean {
            desk.store.close(desk.next).unwrap();
        }
    }
}

pub(crate) fn sequences_are_never_given_out_twice(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(reopen(folder.path(), &filters, None));
    desk.publish("com.a");
    // Given out and not stored: a live event that a client has seen.
    let seen = desk.accept("com.a").sequence;
    drop(desk);
    let mut desk = Desk::at(reopen(folder.path(), &filters, None));
    assert!(desk.next > seen);
    let far = crate::Sequence::new(desk.next.get() + 10_000_000);
    assert!(desk.store.reserve(far).unwrap() >= far);
    desk.publish("com.a");
    drop(desk);
    let mut desk = Desk::at(reopen(folder.path(), &filters, None));
    assert!(desk.next >= far);
    desk.publish("com.a");
    let next = desk.next;
    desk.store.close(next).unwrap();
    drop(desk);
    let store = reopen(folder.path(), &filters, None);
    assert_eq!(
        store.opened().next_sequence,
        next,
        "a clean end skips nothing"
    );
}

pub(crate) fn subscriptions_keep_their_ids(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let subscriptions = [
        ("com.", Prefix),
        ("com.a", Exact),
        ("com..x", Wildcard),
        ("com.b", Exact),
    ];
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(reopen(folder.path(), &filters, None));
    let ids = |desk: &Desk| {
        subscriptions.map(|(uri, match_policy)| desk.store.subscription_id(uri, match_policy))
    };
    let before = ids(&desk);
    desk.store.remember_pattern("com..x", Wildcard);
    desk.store.remember_pattern("com.b", Exact);
    desk.publish("com.a");
    drop(desk);
    for _ in 0..3 {
        let desk = Desk::at(reopen(folder.path(), &filters, None));
        assert_eq!(ids(&desk), before);
        for (id, (uri, match_policy)) in before.into_iter().zip(subscriptions) {
            assert_eq!(
                desk.store.find_subscription(id),
                Some((uri.into(), match_policy))
            );
        }
        let other = tempfile::tempdir().unwrap();
        assert_ne!(ids(&Desk::at(reopen(other.path(), &filters, None))), before);
    }
}

pub(crate) fn a_raised_limit_does_not_revive_what_was_dropped(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(reopen(folder.path(), &[limited("com.", Prefix, 3)], None));
    let first = desk.first;
    desk.publish_all((0..10).map(|_| "com.a".to_owned()), 4);
    drop(desk);
    let mut desk = Desk {
        first,
        ..Desk::at(reopen(folder.path(), &[limited("com.", Prefix, 5)], None))
    };
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [8, 9, 10]);
    let mut query = desk.all("com.", Prefix);
    query.sequence.from = Some(desk.sequence(7));
    assert!(matches!(
        desk.page(&query, &[]),
        Err(QueryError::NoSuchPublication { .. })
    ));
    desk.publish("com.a");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)).len(), 4);
    drop(desk);
    let desk = Desk {
        first,
        ..Desk::at(reopen(folder.path(), &[filter("com.", Prefix)], None))
    };
    assert_eq!(desk.ask(&desk.all("com.", Prefix)).len(), 4);
}

pub(crate) fn a_filter_that_returns_has_its_old_events_and_none_from_between(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let (a, all) = (filter("com.a", Exact), filter("", Prefix));
    let mut desk = Desk::at(reopen(folder.path(), &[a.clone(), all.clone()], None));
    let (first, id) = (desk.first, desk.store.subscription_id("com.a", Exact));
    desk.publish("com.a");
    desk.publish("com.b");
    desk.store.close(desk.next).unwrap();
    drop(desk);
    let mut desk = Desk {
        first,
        ..Desk::at(reopen(folder.path(), std::slice::from_ref(&all), None))
    };
    desk.publish("com.a");
    // Its history is now that of the filter of everything, which has it all.
    assert_eq!(desk.ask(&desk.all("com.a", Exact)), [1, 3]);
    desk.store.close(desk.next).unwrap();
    drop(desk);
    let mut desk = Desk {
        first,
        ..Desk::at(reopen(folder.path(), &[all, a], None))
    };
    assert_eq!(desk.store.subscription_id("com.a", Exact), id);
    desk.publish("com.a");
    assert_eq!(desk.ask(&desk.all("com.a", Exact)), [1, 4]);
    assert_eq!(
        desk.ask(&Query {
            reverse: true,
            ..desk.all("", Prefix)
        }),
        [4, 3, 2, 1]
    );
}

pub(crate) fn a_filter_that_returns_has_none_of_what_others_kept_of_its_topics(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let (wide, narrow) = (filter("com.", Prefix), filter("com.a", Prefix));
    let mut first = None;
    // The wide one is away in between, and the narrow one in the end.
    for filters in [
        [wide.clone(), narrow.clone()].as_slice(),
        &[narrow],
        &[wide],
    ] {
        let mut desk = Desk::at(reopen(folder.path(), filters, None));
        first.get_or_insert(desk.first);
        desk.publish("com.a.x");
        desk.store.close(desk.next).unwrap();
    }
    let desk = Desk {
        first: first.unwrap(),
        ..Desk::at(reopen(folder.path(), &[filter("com.", Prefix)], None))
    };
    for (uri, match_policy) in [("com.", Prefix), ("com.a", Prefix), ("com.a.x", Exact)] {
        let all = desk.all(uri, match_policy);
        assert_eq!(desk.ask(&all), [1, 3], "{uri}");
        let newest = Query {
            last_per_topic: Some(5),
            ..all
        };
        assert_eq!(desk.ask(&newest), [1, 3], "{uri}");
    }
}

pub(crate) fn a_closed_store_takes_nothing_more(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(reopen(folder.path(), &[filter("com.", Prefix)], None));
    desk.publish("com.a");
    desk.store.close(desk.next).unwrap();
    let event = Arc::new(desk.accept("com.a"));
    let error = desk.store.append(&[event]).unwrap_err();
    assert!(matches!(error.cause, StoreError::Closed));
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [1]);
}
