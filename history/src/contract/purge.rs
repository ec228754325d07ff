//! Purging.

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};

use super::desk::{Desk, anybody, filter, limited, publication};
use super::{Open, Reopen};
use crate::error::QueryError;
use crate::event::Sequence;
use crate::filter::Filter;
use crate::query::Purge;

fn purge(desk: &Desk, uri: &str, policy: rewamp_wamp::uri::MatchPolicy, what: &Purge) -> u64 {
    let scope = desk.scope(uri, policy);
    desk.store.purge(&scope, &anybody(), what).unwrap()
}

/// Ten events by turns of `com.a`, `com.b`, `net.a`.
fn ten(open: Open<'_>) -> Desk {
    let filters = [
        filter("com.", Prefix),
        filter("", Prefix),
        filter("com.a", Exact),
    ];
    let mut desk = Desk::at(open(&filters, Some(1_000)));
    let topics = (1..=10).map(|number| ["net.a", "com.a", "com.b"][number % 3].to_owned());
    desk.publish_all(topics, 4);
    desk
}

pub(crate) fn what_is_purged_is_gone_for_every_filter(open: Open<'_>) {
    let check = |what: &dyn Fn(&Desk) -> Purge, events: u64, left: &[u64]| {
        let mut desk = ten(open);
        let what = what(&desk);
        assert_eq!(purge(&desk, "com.", Prefix, &what), events, "{what:?}");
        let com: Vec<u64> = left.iter().copied().filter(|at| at % 3 != 0).collect();
        assert_eq!(desk.ask(&desk.all("", Prefix)), left, "{what:?}");
        assert_eq!(desk.ask(&desk.all("com.", Prefix)), com);
        assert_eq!(desk.ask(&desk.all("com.", Wildcard)), com);
        let a: Vec<u64> = com.iter().copied().filter(|at| at % 3 == 1).collect();
        assert_eq!(desk.ask(&desk.all("com.a", Exact)), a);
        let mut state = desk.all("", Prefix);
        state.last_per_topic = Some(100);
        assert_eq!(desk.ask(&state), left);
        let span = desk
            .store
            .span(&desk.scope("com.", Prefix), &anybody(), &[]);
        let oldest = span.unwrap().oldest.map(|oldest| oldest.sequence);
        assert_eq!(oldest, com.first().map(|first| desk.sequence(*first)));
        for gone in (1..=10).filter(|at| !left.contains(at)) {
            let mut from = desk.all("", Prefix);
            from.publication.from = Some(publication(desk.sequence(gone)));
            assert!(desk.page(&from, &[]).is_err(), "{gone} is known");
        }
        // Nothing is left to purge, and what comes is kept.
        if !matches!(what, Purge::Publication(_) | Purge::UntilPublication(_)) {
            assert_eq!(purge(&desk, "com.", Prefix, &what), 0);
        }
        desk.publish("com.a");
        let mut then = left.to_vec();
        then.push(11);
        assert_eq!(desk.ask(&desk.all("", Prefix)), then);
    };
    let time = |desk: &Desk, number: u64| {
        let ago = (10 - number) * super::desk::TICK;
        crate::event::Timestamp::from_nanos(desk.time.nanos() - ago)
    };
    let id = |desk: &Desk, number: u64| publication(desk.sequence(number));
    check(&|_| Purge::All, 7, &[3, 6, 9]);
    check(
        &|desk| Purge::BeforeTime(time(desk, 5)),
        3,
        &[3, 5, 6, 7, 8, 9, 10],
    );
    check(
        &|desk| Purge::UntilPublication(id(desk, 5)),
        4,
        &[3, 6, 7, 8, 9, 10],
    );
    check(
        &|desk| Purge::Publication(id(desk, 5)),
        1,
        &[1, 2, 3, 4, 6, 7, 8, 9, 10],
    );
    check(
        &|desk| Purge::Publication(id(desk, 10)),
        1,
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    check(
        &|_| Purge::Topic("com.b".into()),
        3,
        &[1, 3, 4, 6, 7, 9, 10],
    );
    check(
        &|_| Purge::Topic("net.a".into()),
        0,
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
}

pub(crate) fn a_purge_takes_only_what_its_subscription_shows(open: Open<'_>) {
    let desk = ten(open);
    assert_eq!(purge(&desk, "com.b", Exact, &Purge::All), 3);
    assert_eq!(desk.ask(&desk.all("", Prefix)), [1, 3, 4, 6, 7, 9, 10]);
    let unknown = Purge::Publication(publication(desk.sequence(3)));
    let refused = desk
        .store
        .purge(&desk.scope("com.", Prefix), &anybody(), &unknown);
    assert!(
        matches!(refused, Err(QueryError::NoSuchPublication { .. })),
        "{refused:?}"
    );
    assert_eq!(purge(&desk, "", Prefix, &Purge::All), 7);
    assert_eq!(desk.ask(&desk.all("", Prefix)), []);
    let mut from = desk.all("", Prefix);
    from.sequence.from = Some(desk.sequence(10));
    assert!(desk.page(&from, &[]).is_err(), "they were dropped");
    from.sequence.from = Some(desk.sequence(11));
    assert_eq!(desk.ask(&from), []);
}

pub(crate) fn a_purge_makes_room_within_a_limit_and_shows_nothing_again(open: Open<'_>) {
    let by_topic = Filter {
        limit_per_topic: Some(2),
        ..filter("net.", Prefix)
    };
    let mut desk = Desk::at(open(&[limited("com.", Prefix, 4), by_topic], None));
    desk.publish_all((1..=8).map(|_| "com.a".to_owned()), 3);
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [5, 6, 7, 8]);
    let seventh = Purge::Publication(publication(desk.sequence(7)));
    assert_eq!(purge(&desk, "com.", Prefix, &seventh), 1);
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [5, 6, 8]);
    desk.publish("com.a");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [5, 6, 8, 9]);
    desk.publish("com.a");
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [6, 8, 9, 10]);
    desk.publish_all((11..=15).map(|_| "net.a".to_owned()), 2);
    assert_eq!(desk.ask(&desk.all("net.", Prefix)), [14, 15]);
    let newest = Purge::Publication(publication(desk.sequence(15)));
    assert_eq!(purge(&desk, "net.", Prefix, &newest), 1);
    assert_eq!(desk.ask(&desk.all("net.", Prefix)), [14]);
    desk.publish("net.a");
    assert_eq!(desk.ask(&desk.all("net.", Prefix)), [14, 16]);
}

pub(crate) fn what_was_purged_stays_so_and_is_not_taken_for_lost(reopen: Reopen<'_>) {
    for clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let filters = [filter("com.", Prefix), filter("", Prefix)];
        let mut desk = Desk::at(reopen(folder.path(), &filters, None));
        let first = desk.first;
        let mut expected = Vec::new();
        for life in 0..4_u64 {
            let topics = (0..600).map(|number| ["com.a", "com.b", "net.a"][number % 3].to_owned());
            desk.publish_all(topics, 50);
            let what = match life {
                0 => Purge::Topic("com.b".into()),
                // The newest, whose number a mark remembers.
                1 => Purge::All,
                2 => Purge::Publication(publication(desk.next.previous())),
                _ => Purge::UntilPublication(publication(Sequence::new(desk.next.get() - 300))),
            };
            assert!(purge(&desk, "", Prefix, &what) > 0);
            expected.clone_from(&desk.ask(&desk.all("", Prefix)));
            if clean {
                desk.store.close(desk.next).unwrap();
            }
            drop(desk);
            let store = reopen(folder.path(), &filters, None);
            assert_eq!(store.opened().lost, [], "life {life}");
            assert!(store.opened().set_aside.is_empty());
            desk = Desk {
                first,
                ..Desk::at(store)
            };
            assert_eq!(desk.ask(&desk.all("", Prefix)), expected, "life {life}");
        }
        assert_eq!(expected.len(), 299);
    }
}
