//! `UriMap` against the naive matcher, and its cost in nodes.

use proptest::prelude::*;

use super::*;
use crate::uri::{self, MatchPolicy};

/// Few components of few letters, so that patterns share beginnings and collide.
fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{0,2}", 1..5).prop_map(|components| components.join("."))
}

fn policy() -> impl Strategy<Value = MatchPolicy> {
    prop::sample::select(MatchPolicy::ALL.to_vec())
}

fn found(map: &UriMap<usize>, uri: &str) -> Vec<(MatchPolicy, String, usize)> {
    let mut found = Vec::new();
    map.for_each_match(uri, |policy, pattern, value| {
        found.push((policy, pattern.to_owned(), *value))
    });
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_map_finds_what_the_naive_matcher_finds(
        steps in prop::collection::vec((any::<bool>(), pattern(), policy()), 0..40),
        uris in prop::collection::vec(pattern(), 1..8),
    ) {
        let mut map = UriMap::new();
        let mut naive = std::collections::BTreeMap::new();
        for (number, (remove, pattern, policy)) in steps.into_iter().enumerate() {
            if remove {
                prop_assert_eq!(map.remove(&pattern, policy), naive.remove(&(policy, pattern)));
            } else {
                prop_assert_eq!(
                    map.insert(&pattern, policy, number),
                    naive.insert((policy, pattern), number)
                );
            }
            prop_assert_eq!(map.len(), naive.len());
        }
        for ((policy, pattern), value) in &mut naive {
            prop_assert_eq!(map.get(pattern, *policy), Some(&*value));
            prop_assert_eq!(map.get_mut(pattern, *policy), Some(value));
        }
        let mut all = Vec::new();
        map.for_each(|policy, pattern, value| all.push(((policy, pattern.to_owned()), *value)));
        all.sort();
        prop_assert_eq!(all, naive.clone().into_iter().collect::<Vec<_>>());
        for uri in &uris {
            let expected = naive
                .iter()
                .filter(|((policy, pattern), _)| uri::matches(pattern, *policy, uri))
                .map(|((policy, pattern), value)| (*policy, pattern.clone(), *value))
                .collect::<Vec<_>>();
            prop_assert_eq!(found(&map, uri), expected);
        }
    }

    #[test]
    fn a_covering_pattern_matches_whatever_the_narrow_one_matches(
        wide in (pattern(), policy()),
        narrow in (pattern(), policy()),
        uri in prop::collection::vec("[ab]{1,2}", 1..5).prop_map(|components| components.join(".")),
    ) {
        let covers = uri::covers((&wide.0, wide.1), (&narrow.0, narrow.1));
        if covers && uri::matches(&narrow.0, narrow.1, &uri) {
            prop_assert!(uri::matches(&wide.0, wide.1, &uri));
        }
    }
}

#[test]
fn prefixes_come_from_the_shortest_to_the_longest() {
    let mut map = UriMap::new();
    for prefix in ["com.order.", "", "com", "com.order.created"] {
        map.insert(prefix, MatchPolicy::Prefix, ());
    }
    let mut found = Vec::new();
    map.for_each_match("com.order.created", |_, pattern, ()| found.push(pattern));
    assert_eq!(found, ["", "com", "com.order.", "com.order.created"]);
}

#[test]
fn the_cost_does_not_grow_with_the_number_of_patterns() {
    let uri = "com.shop.order.created";
    let mut met = Vec::new();
    for count in [1_000, 100_000] {
        let mut map = UriMap::new();
        map.insert("com.shop.", MatchPolicy::Prefix, 0);
        map.insert("com.shop..created", MatchPolicy::Wildcard, 0);
        for number in 1..count {
            map.insert(&format!("com.shop{number}."), MatchPolicy::Prefix, number);
            map.insert(
                &format!("com.shop{number}..created"),
                MatchPolicy::Wildcard,
                number,
            );
            map.insert(
                &format!("com..order.deleted{number}"),
                MatchPolicy::Wildcard,
                number,
            );
        }
        let mut matches = 0;
        let prefix = map.prefix.for_each_match(uri, &mut |_, _| matches += 1);
        let wildcard = map.wildcard.for_each_match(uri, &mut |_, _| matches += 1);
        assert_eq!(matches, 2);
        met.push((prefix, wildcard));
    }
    assert_eq!(met[0], met[1]);
    assert!(met[0].0 <= 4 && met[0].1 <= 8, "{met:?}");
}

#[test]
fn a_removed_pattern_leaves_no_node_behind() {
    let mut map = UriMap::new();
    for policy in [MatchPolicy::Prefix, MatchPolicy::Wildcard] {
        map.insert("com..b", policy, 1);
        map.insert("com..c", policy, 2);
        assert_eq!(map.remove("com..b", policy), Some(1));
        assert_eq!(map.remove("com..b", policy), None);
        assert_eq!(map.remove("com..c", policy), Some(2));
    }
    assert!(map.is_empty());
    assert_eq!(map.prefix.for_each_match("com.a.b", &mut |_, _| ()), 1);
    assert_eq!(map.wildcard.for_each_match("com.a.b", &mut |_, _| ()), 0);
}
