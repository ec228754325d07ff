//! Retention by topic: the newest so many events of each.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};
use rewamp_wamp::uri::matches;

use super::desk::{Desk, filter};
use super::{Open, Reopen};
use crate::event::Event;
use crate::filter::Filter;
use crate::query::Query;

fn by_topic(uri: &str, each: u64, limit: Option<u64>) -> Filter {
    Filter {
        limit_per_topic: Some(each),
        limit,
        ..filter(uri, Prefix)
    }
}

pub(crate) fn a_busy_topic_evicts_only_its_own_events(open: Open<'_>) {
    let filters = [by_topic("com.", 2, None), filter("com.a", Exact)];
    let mut desk = Desk::at(open(&filters, Some(1_000)));
    for topic in ["a", "b", "a", "c", "a", "a", "b", "a", "b", "a"] {
        desk.publish(&format!("com.{topic}"));
    }
    let all = desk.all("com.", Prefix);
    assert_eq!(desk.ask(&all), [4, 7, 8, 9, 10]);
    let reverse = Query {
        reverse: true,
        limit: 3,
        ..all.clone()
    };
    assert_eq!(desk.ask(&reverse), [10, 9, 8]);
    assert_eq!(desk.ask(&desk.all("com.b", Exact)), [7, 9]);
    assert_eq!(desk.ask(&desk.all("com.", Wildcard)), [4, 7, 8, 9, 10]);
    // Another filter's history is not touched.
    assert_eq!(desk.ask(&desk.all("com.a", Exact)), [1, 3, 5, 6, 8, 10]);
    let span = desk.store.span(&all.scope, &all.viewer, &[]).unwrap();
    assert_eq!(span.oldest.unwrap().sequence, desk.sequence(4));
    // What gave way to something newer of its topic is not missed by whoever resumes.
    let mut from = all.clone();
    from.sequence.after = Some(desk.sequence(1));
    assert_eq!(desk.ask(&from), [4, 7, 8, 9, 10]);
    let mut from = all.clone();
    from.publication.from = Some(super::desk::publication(desk.sequence(1)));
    assert!(desk.page(&from, &[]).is_err());
    let mut state = all.clone();
    state.last_per_topic = Some(3);
    assert_eq!(desk.ask(&state), [4, 7, 8, 9, 10]);
    state.last_per_topic = Some(1);
    assert_eq!(desk.ask(&state), [4, 9, 10]);
}

pub(crate) fn a_limit_counts_what_the_topics_leave(open: Open<'_>) {
    let mut desk = Desk::at(open(&[by_topic("com.", 2, Some(3))], Some(1)));
    for topic in ["x", "y", "z", "a", "a", "a", "a", "a", "a"] {
        desk.publish(&format!("com.{topic}"));
    }
    let all = desk.all("com.", Prefix);
    assert_eq!(desk.ask(&all), [3, 8, 9], "`a` did not drop `z`");
    let mut from = all.clone();
    from.sequence.from = Some(desk.sequence(2));
    assert!(desk.page(&from, &[]).is_err(), "the limit dropped it");
}

pub(crate) fn topics_have_the_naive_answer(open: Open<'_>) {
    let mut runner = TestRunner::new(Config {
        cases: 40,
        ..Config::default()
    });
    let topics = prop::collection::vec(0..8_usize, 1..150);
    let input = (topics, 1..5_u64, prop::option::of(1..30_u64), 0.0..1.0_f64);
    let checked = runner.run(&input, |(topics, each, limit, committed)| {
        let filters = [by_topic("com.", each, limit), filter("", Prefix)];
        let mut desk = Desk::at(open(&filters, Some(1_000)));
        // The first topic is by far the busiest.
        let name = |topic: usize| format!("com.{}", topic.saturating_sub(4));
        let events: Vec<Arc<Event>> = topics
            .iter()
            .map(|topic| Arc::new(desk.accept(&name(*topic))))
            .collect();
        let committed = (events.len() as f64 * committed) as usize;
        for events in events[..committed].chunks(11) {
            desk.store.append(events).unwrap();
        }
        let pending = &events[committed.saturating_sub(4)..];
        let mut kept: Vec<u64> = Vec::new();
        for (number, topic) in topics.iter().enumerate().rev() {
            let of_topic = |at: &&u64| name(topics[**at as usize - 1]) == name(*topic);
            if (kept.iter().filter(of_topic).count() as u64) < each {
                kept.push(number as u64 + 1);
            }
        }
        kept.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        for (uri, match_policy) in [("com.", Prefix), ("com.1", Exact), ("com.", Wildcard)] {
            for reverse in [true, false] {
                let query = Query {
                    reverse,
                    ..desk.all(uri, match_policy)
                };
                let found = desk.page(&query, &[pending]).unwrap().0;
                let mut expected: Vec<u64> = kept
                    .iter()
                    .copied()
                    .filter(|at| matches(uri, match_policy, &name(topics[*at as usize - 1])))
                    .collect();
                if !reverse {
                    expected.reverse();
                }
                let info = desk.store.info(&query.scope, &query.viewer, &[pending]);
                let info = info.unwrap();
                prop_assert_eq!(info.events, found.len() as u64, "{}", uri);
                prop_assert!(found.is_empty() || info.bytes > 0);
                prop_assert_eq!(found, expected, "{} {}", uri, reverse);
            }
        }
        Ok(())
    });
    checked.unwrap();
}

pub(crate) fn a_raised_limit_of_topics_does_not_revive_what_was_dropped(reopen: Reopen<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let others = filter("com.a", Exact);
    let filters = |by_topic: Filter| [by_topic, others.clone()];
    let mut first = None;
    let mut life = |filter: Filter, topics: &[&str], expected: &[u64]| {
        let store = reopen(folder.path(), &filters(filter), None);
        let mut desk = Desk::at(store);
        desk.first = *first.get_or_insert(desk.first);
        for topic in topics {
            desk.publish(topic);
        }
        let numbers: Vec<u64> = desk.ask(&desk.all("com.", Prefix));
        assert_eq!(numbers.len(), expected.len(), "{numbers:?}");
        let all = desk.all("com.", Prefix);
        let info = desk.store.info(&all.scope, &all.viewer, &[]).unwrap();
        assert_eq!(info.events, numbers.len() as u64);
        // Sequences leap from life to life, but their order does not.
        desk.store.close(desk.next).unwrap();
        assert_eq!(numbers, expected);
    };
    life(
        by_topic("com.", 1, None),
        &["com.a", "com.b", "com.a", "com.a"],
        &[2, 4],
    );
    life(by_topic("com.", 3, None), &[], &[2, 4]);
    life(by_topic("com.", 3, None), &["com.a"], &[2, 4, 5]);
    life(
        filter("com.", Prefix),
        &["com.a", "com.a", "com.b"],
        &[2, 4, 5, 6, 7, 8],
    );
    life(by_topic("com.", 2, None), &[], &[2, 6, 7, 8]);
    life(filter("com.", Prefix), &["com.a"], &[2, 6, 7, 8, 9]);
    life(by_topic("com.", 4, Some(2)), &[], &[8, 9]);
    life(filter("com.", Prefix), &["com.b"], &[8, 9, 10]);
}
