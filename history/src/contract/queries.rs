//! What can be asked, and what the answer is.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};

use super::Open;
use super::desk::{Desk, TICK, anybody, filter, publication};
use crate::error::{Position, QueryError, StoreError};
use crate::event::{Event, Identity, Sequence, Timestamp};
use crate::query::{Bounds, End, Query, Viewer};
use crate::receivers::Receivers;

/// Spec: "Event History", the example with three subscriptions and five publications.
pub(crate) fn the_example_of_the_specification(open: Open<'_>) {
    let store = open(
        &[
            filter("com.mycompany.log.auth", Exact),
            filter("com.mycompany.log.basket", Exact),
            filter("com.mycompany.log", Prefix),
        ],
        None,
    );
    let mut desk = Desk::at(store);
    for topic in ["auth", "basket", "basket", "basket", "checkout"] {
        desk.publish(&format!("com.mycompany.log.{topic}"));
    }
    assert_eq!(desk.ask(&desk.all("com.mycompany.log.auth", Exact)), [1]);
    assert_eq!(
        desk.ask(&desk.all("com.mycompany.log.basket", Exact)),
        [2, 3, 4]
    );
    assert_eq!(
        desk.ask(&desk.all("com.mycompany.log", Prefix)),
        [1, 2, 3, 4, 5]
    );
    let usage = desk.store.usage();
    assert_eq!(usage.events, 5);
    assert_eq!(
        usage
            .filters
            .iter()
            .map(|(_, events)| *events)
            .collect::<Vec<_>>(),
        [1, 3, 5]
    );
}

pub(crate) fn every_keyword_means_what_the_specification_says(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], None));
    let events: Vec<Arc<Event>> = (1..=9)
        .map(|number| desk.publish(["com.a", "com.b", "com.c"][number % 3]))
        .collect();
    let time = |number: usize| Some(events[number - 1].time);
    let id = |number: usize| Some(events[number - 1].publication);
    let sequence = |number: usize| Some(events[number - 1].sequence);
    let between = |number: usize| Some(Timestamp::from_nanos(events[number - 1].time.nanos() + 1));
    let all = desk.all("com.", Prefix);
    let check = |change: &dyn Fn(&mut Query), expected: &[u64]| {
        let mut query = all.clone();
        change(&mut query);
        assert_eq!(desk.ask(&query), expected, "{query:?}");
        query.reverse = !query.reverse;
        if query.limit == u64::MAX {
            let mut backwards = desk.ask(&query);
            backwards.reverse();
            assert_eq!(backwards, expected, "{query:?}");
        }
    };
    check(&|_| {}, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    check(&|q| q.limit = 3, &[1, 2, 3]);
    check(&|q| (q.limit, q.reverse) = (3, true), &[9, 8, 7]);
    check(&|q| q.limit = 0, &[]);
    check(&|q| q.time.from = time(7), &[7, 8, 9]);
    check(&|q| q.time.after = time(7), &[8, 9]);
    check(&|q| q.time.before = time(3), &[1, 2]);
    check(&|q| q.time.until = time(3), &[1, 2, 3]);
    check(&|q| q.time.from = between(7), &[8, 9]);
    check(&|q| q.time.until = between(2), &[1, 2]);
    check(
        &|q| q.time.from = Some(Timestamp::ZERO),
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    check(&|q| q.time.before = Some(Timestamp::ZERO), &[]);
    check(&|q| q.time.after = Some(Timestamp::MAX), &[]);
    check(&|q| q.publication.from = id(7), &[7, 8, 9]);
    check(&|q| q.publication.after = id(7), &[8, 9]);
    check(&|q| q.publication.before = id(3), &[1, 2]);
    check(&|q| q.publication.until = id(3), &[1, 2, 3]);
    check(&|q| q.publication.after = id(9), &[]);
    check(&|q| q.sequence.from = sequence(7), &[7, 8, 9]);
    check(&|q| q.sequence.after = sequence(7), &[8, 9]);
    check(&|q| q.sequence.before = sequence(3), &[1, 2]);
    check(&|q| q.sequence.until = sequence(3), &[1, 2, 3]);
    check(&|q| q.sequence.after = sequence(9), &[]);
    check(&|q| q.topic = Some("com.b".into()), &[1, 4, 7]);
    check(&|q| q.topic = Some("com.d".into()), &[]);
    check(&|q| q.topic = Some("net.b".into()), &[]);
    check(
        &|q| {
            q.time.from = time(2);
            q.publication.after = id(3);
            q.sequence.until = sequence(8);
            q.topic = Some("com.c".into());
        },
        &[5, 8],
    );
    check(&|q| (q.time.from, q.time.until) = (time(6), time(4)), &[]);
    check(
        &|q| (q.sequence.from, q.time.until) = (sequence(6), time(4)),
        &[],
    );
}

fn lists(exclude: &str, eligible_roles: &str) -> Option<Receivers> {
    let texts = |text: &str| text.split_whitespace().map(Into::into).collect();
    Receivers::new(&ReceiverLists {
        exclude_authid: texts(exclude),
        eligible_authrole: texts(eligible_roles),
        ..ReceiverLists::default()
    })
}

pub(crate) fn a_publication_counts_only_in_its_history_and_for_those_who_may_see_it(
    open: Open<'_>,
) {
    let mut desk = Desk::at(open(
        &[filter("com.", Prefix), filter("net.", Prefix)],
        None,
    ));
    desk.publish_to("com.a", lists("joe", ""));
    desk.publish("com.b");
    desk.publish("net.a");
    desk.publish_to("com.a", lists("", "admin"));
    desk.publish("com.a");
    desk.publish_to("com.b", lists("joe ann", ""));
    let all = desk.all("com.", Prefix);
    assert_eq!(desk.ask(&all), [2, 5]);
    let admin = Viewer::Session {
        authid: "ann".into(),
        authrole: "admin".into(),
    };
    let seen_by_admin = Query {
        viewer: admin,
        ..all.clone()
    };
    assert_eq!(desk.ask(&seen_by_admin), [1, 2, 4, 5]);
    let seen_by_operator = Query {
        viewer: Viewer::Operator,
        ..all.clone()
    };
    assert_eq!(desk.ask(&seen_by_operator), [1, 2, 4, 5, 6]);

    let position = |number: u64| Position {
        publication: publication(desk.sequence(number)),
        sequence: desk.sequence(number),
        time: Timestamp::from_nanos(number * TICK),
    };
    let from = |query: &Query, number: u64| {
        let from = Some(publication(desk.sequence(number)));
        let publication = Bounds {
            from,
            ..Bounds::default()
        };
        desk.page(
            &Query {
                publication,
                ..query.clone()
            },
            &[],
        )
        .map(|(found, _)| found)
    };
    assert_eq!(from(&all, 2).unwrap(), [2, 5]);
    assert_eq!(from(&seen_by_admin, 4).unwrap(), [4, 5]);
    for unknown in [1, 3, 4, 6, 7] {
        let Err(QueryError::NoSuchPublication { oldest, newest }) = from(&all, unknown) else {
            panic!("{unknown} is not in what joe can see");
        };
        assert_eq!((oldest, newest), (Some(position(2)), Some(position(5))));
    }
    let narrow = desk.all("com.a", Exact);
    assert_eq!(from(&narrow, 5).unwrap(), [5]);
    assert!(from(&narrow, 2).is_err());
    let span = desk.store.span(&all.scope, &anybody(), &[]).unwrap();
    assert_eq!(
        (span.oldest, span.newest),
        (Some(position(2)), Some(position(5)))
    );
}

pub(crate) fn pages_that_follow_one_another_miss_nothing(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("", Prefix)], Some(10_000)));
    desk.publish_all(
        (0..700).map(|number: u32| format!("t.{}.x", number * number % 13)),
        30,
    );
    for (uri, match_policy) in [
        ("", Prefix),
        ("t.1", Prefix),
        ("t..x", Wildcard),
        ("t.9.x", Exact),
    ] {
        for (reverse, limit, budget) in [
            (false, 7, 1_000),
            (true, 7, 1_000),
            (false, 50, 3),
            (true, 50, 3),
            (false, 700, 700),
        ] {
            let whole = Query {
                reverse,
                ..desk.all(uri, match_policy)
            };
            let mut query = Query {
                limit,
                budget,
                ..whole.clone()
            };
            let mut found = Vec::new();
            loop {
                let (page, end) = desk.page(&query, &[]).unwrap();
                assert!(page.len() as u64 <= limit.min(budget));
                found.extend(page);
                let Some(next) = end.next else { break };
                let bound = if reverse {
                    &mut query.sequence.until
                } else {
                    &mut query.sequence.from
                };
                *bound = Some(next);
            }
            assert_eq!(found, desk.ask(&whole), "{uri} {reverse} {limit} {budget}");
        }
    }
}

pub(crate) fn a_page_ends_for_one_of_four_reasons(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], None));
    desk.publish_all((1..=9).map(|_| "com.a".to_owned()), 9);
    let all = desk.all("com.", Prefix);
    let end = |query: &Query| {
        let (_, page) = desk.page(query, &[]).unwrap();
        let next = page.next.map(|next| next.get() - desk.first.get() + 1);
        (page.end, next, page.scanned)
    };
    assert_eq!(end(&all), (End::Exhausted, None, 9));
    assert_eq!(
        end(&Query {
            limit: 4,
            ..all.clone()
        }),
        (End::Limit, Some(5), 4)
    );
    assert_eq!(
        end(&Query {
            limit: 4,
            reverse: true,
            ..all.clone()
        }),
        (End::Limit, Some(5), 4)
    );
    assert_eq!(
        end(&Query {
            budget: 4,
            ..all.clone()
        }),
        (End::Budget, Some(5), 4)
    );
    let mut shown = 0;
    let stopped = desk.store.read(&all, &[], &mut |_| {
        shown += 1;
        if shown == 4 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let stopped = stopped.unwrap();
    assert_eq!(
        (stopped.end, stopped.next),
        (End::Stopped, Some(desk.sequence(4)))
    );
}

pub(crate) fn events_are_read_as_they_were_stored(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], Some(1_000)));
    let mut events = Vec::new();
    let json = |args: Option<&str>, kwargs: Option<&str>| {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let (args, kwargs) = (bytes(args), bytes(kwargs));
        let limits = Limits::default();
        Payload::from_raw(
            Serializer::Json,
            args.as_deref(),
            kwargs.as_deref(),
            &limits,
        )
        .unwrap()
    };
    let long = format!("[\"{}\"]", "x".repeat(1 << 20));
    let mut payloads = vec![
        json(None, None),
        json(Some("[]"), None),
        json(Some("[1, 2]"), Some("{\"a\" : 1}")),
        json(Some(&long), None),
        json(Some(&long[..6_900]).map(|_| "[0]"), Some("{}")),
        Payload::empty(Serializer::Cbor),
    ];
    let opaque: [(Serializer, &[u8]); 4] = [
        (Serializer::Json, br#""\u0000AQI=""#),
        (Serializer::Json, b"\"a text\""),
        (Serializer::MsgPack, &[0xc4, 2, 1, 2]),
        (Serializer::Cbor, &[0x42, 1, 2]),
    ];
    payloads.extend(opaque.map(|(serializer, value)| {
        Payload::from_raw(serializer, Some(value), None, &Limits::default()).unwrap()
    }));
    // Elements with more white space between them than a byte can count.
    let spaced = Bytes::from(format!(
        "[1]{},{}{{\"a\":2}}",
        " ".repeat(200),
        " ".repeat(100)
    ));
    let layout = rewamp_wamp::payload::Layout {
        elements: 2,
        args_end: 3,
        kwargs_begin: 304,
    };
    payloads.push(Payload::restore(Serializer::Json, layout, spaced).unwrap());
    for size in [
        0_usize, 1, 100, 6_000, 6_800, 6_900, 7_000, 7_100, 14_000, 300_000,
    ] {
        let text = rewamp_wamp::value::Value::from("y".repeat(size));
        for serializer in Serializer::ALL {
            payloads.push(
                Payload::from_values(serializer, Some(std::slice::from_ref(&text)), None).unwrap(),
            );
        }
    }
    let identity = |authid: String| {
        Some(Arc::new(Identity {
            authid: authid.into(),
            authrole: "r".into(),
        }))
    };
    for (payload, number) in payloads.into_iter().zip(0_usize..) {
        let mut event = desk.accept(&format!("com.{}", number % 7));
        event.exclude_me = number % 2 == 0;
        event.disclosed = if number % 3 == 0 {
            identity("a".repeat(number * 400))
        } else {
            None
        };
        event.receivers = if number % 4 == 0 {
            lists("eve", "user").map(Arc::new)
        } else {
            None
        };
        event.details = (number % 5 == 0).then(|| Bytes::from(vec![b'd'; number * 300]));
        event.payload = payload;
        events.push(Arc::new(event));
    }
    desk.store.append(&events).unwrap();
    let mut expected = events.iter();
    let end = desk
        .store
        .read(&desk.all("com.", Prefix), &[], &mut |event| {
            let stored = expected.next().unwrap();
            assert_eq!(event.sequence, stored.sequence);
            assert_eq!(event.time, stored.time);
            assert_eq!(event.topic, &**stored.topic.name());
            assert_eq!(event.publisher, stored.publisher);
            assert_eq!(event.exclude_me, stored.exclude_me);
            let disclosed = event.disclosed.map(|found| (found.authid, found.authrole));
            let expected = stored
                .disclosed
                .as_deref()
                .map(|id| (&*id.authid, &*id.authrole));
            assert_eq!(disclosed, expected);
            assert_eq!(
                event.receivers,
                stored.receivers.as_deref().map(Receivers::as_ref)
            );
            assert_eq!(event.details, stored.details.as_deref());
            assert_eq!(event.payload.serializer, stored.payload.serializer());
            assert_eq!(
                event.payload.args,
                stored.payload.args(),
                "{:?}",
                event.sequence
            );
            assert_eq!(event.payload.kwargs, stored.payload.kwargs());
            ControlFlow::Continue(())
        });
    assert_eq!(end.unwrap().end, End::Exhausted);
    assert!(expected.next().is_none());
}

pub(crate) fn what_is_pending_is_shown_once(open: Open<'_>) {
    let mut desk = Desk::at(open(
        &[filter("com.", Prefix), filter("net.", Prefix)],
        None,
    ));
    let events: Vec<Arc<Event>> = (1..=9)
        .map(|number| Arc::new(desk.accept(["com.a", "net.b", "com.c"][number % 3])))
        .collect();
    desk.store.append(&events[..4]).unwrap();
    // Two buffers were taken when only two events had been committed.
    let pending: [&[Arc<Event>]; 3] = [&events[2..5], &[], &events[5..]];
    let check = |query: &Query, expected: &[u64]| {
        assert_eq!(desk.page(query, &pending).unwrap().0, expected, "{query:?}");
    };
    let all = desk.all("com.", Prefix);
    check(&all, &[2, 3, 5, 6, 8, 9]);
    check(
        &Query {
            reverse: true,
            limit: 3,
            ..all.clone()
        },
        &[9, 8, 6],
    );
    check(
        &Query {
            limit: 3,
            ..all.clone()
        },
        &[2, 3, 5],
    );
    check(
        &Query {
            topic: Some("com.c".into()),
            ..all.clone()
        },
        &[2, 5, 8],
    );
    check(&desk.all("com.c", Exact), &[2, 5, 8]);
    let after = Bounds {
        after: Some(events[5].publication),
        ..Bounds::default()
    };
    check(
        &Query {
            publication: after,
            ..all.clone()
        },
        &[8, 9],
    );
    let until = Bounds {
        until: Some(events[5].time),
        ..Bounds::default()
    };
    check(
        &Query {
            time: until,
            reverse: true,
            ..all.clone()
        },
        &[6, 5, 3, 2],
    );
    let span = desk.store.span(&all.scope, &all.viewer, &pending).unwrap();
    assert_eq!(
        span.newest.map(|newest| newest.sequence),
        Some(desk.sequence(9))
    );
}

pub(crate) fn events_out_of_order_are_refused(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], None));
    let [first, second] = [(); 2].map(|()| Arc::new(desk.accept("com.a")));
    desk.store.append(&[Arc::clone(&second)]).unwrap();
    for event in [&first, &second] {
        let error = desk.store.append(&[Arc::clone(event)]).unwrap_err();
        assert_eq!(error.stored, 0);
        assert!(matches!(error.cause, StoreError::OutOfOrder { .. }));
    }
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), [2]);
}

pub(crate) fn a_subscription_has_a_history_where_a_filter_covers_it(open: Open<'_>) {
    let mut desk = Desk::at(open(
        &[filter("com.", Prefix), filter("com..created", Wildcard)],
        None,
    ));
    for topic in [
        "com.a",
        "com.a.b",
        "com.a.created",
        "com.b.created",
        "com.b.created",
    ] {
        desk.publish(topic);
    }
    let check = |uri, match_policy, expected: &[u64]| {
        assert_eq!(desk.ask(&desk.all(uri, match_policy)), expected, "{uri}");
    };
    check("com.", Prefix, &[1, 2, 3, 4, 5]);
    check("com.a", Prefix, &[1, 2, 3]);
    check("com.a", Exact, &[1]);
    check("com.b.created", Exact, &[4, 5]);
    check("com..created", Wildcard, &[3, 4, 5]);
    check("com.a.", Wildcard, &[2, 3]);
    check("com.c", Exact, &[]);
    assert!(desk.store.covering("net.", Prefix).is_none());
    assert!(desk.store.covering("", Prefix).is_none());
    assert!(desk.store.topic("net.a").is_none());
}

pub(crate) fn a_subscription_is_found_by_its_id(open: Open<'_>) {
    let mut desk = Desk::at(open(&[filter("com.", Prefix)], None));
    desk.publish("com.a");
    let store = &desk.store;
    store.remember_pattern("com..x", Wildcard);
    for (uri, match_policy) in [("com.", Prefix), ("com.a", Exact), ("com..x", Wildcard)] {
        let id = store.subscription_id(uri, match_policy);
        assert_eq!(
            store.find_subscription(id),
            Some((uri.into(), match_policy))
        );
    }
    for (uri, match_policy) in [("com.b", Exact), ("com.a", Prefix), ("net.", Prefix)] {
        let id = store.subscription_id(uri, match_policy);
        assert_eq!(store.find_subscription(id), None, "{uri}");
    }
    assert!(desk.store.reserve(Sequence::new(u64::MAX >> 12)).is_ok());
}
