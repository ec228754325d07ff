//! A realm whose event store could not be opened, and what becomes of it when it is.

use std::sync::Arc;

use rewamp_history::Filter;
use rewamp_wamp::message::Message;
use rewamp_wamp::uri::MatchPolicy;

use super::replay::{event, events, metric, numbers, pour, publish, settled, subscribed};
use super::{Fixture, Setup, Unavailable, filter};
use crate::broker::SlowConsumer;
use crate::metrics::Id;
use crate::realm::StoreOpened;
use crate::session::outbox::OutboxLimits;

fn filters() -> Vec<Filter> {
    vec![Filter::new("com.", MatchPolicy::Prefix)]
}

#[actix::test]
async fn a_realm_routes_without_its_store_and_its_history_begins_when_that_opens() {
    let (settings, store) = Setup::storing(filters()).history_settings();
    let setup = Setup {
        unavailable: Some(Unavailable::new(filters(), "the disk is gone".to_owned())),
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut client = fixture.join().await;
    let mut listener = fixture.join().await;
    let early = listener.subscribe("com.a", "exact").await;
    let gauge = |id| fixture.realm.metrics.gauge(id).get();
    assert_eq!(gauge(Id::HistoryUnavailable), 1);

    client.send(&[
        r#"[16,11,{"acknowledge":true},"com.a",["live"]]"#,
        r#"[16,12,{"acknowledge":true},"net.a",["other"]]"#,
        r#"[16,13,{"acknowledge":true,"eligible":[1]},"com.a",["named"]]"#,
    ]);
    let Message::Error(error) = client.receive().await else {
        panic!("an ERROR is expected");
    };
    assert_eq!(error.error, "rewamp.error.store_unavailable");
    assert_eq!(error.details.bool("_routed"), Ok(Some(true)));
    let text = format!("{:?}", error.payload.args_value().unwrap());
    assert!(text.contains("the disk is gone"), "{text}");
    for _ in 0..2 {
        assert!(matches!(client.receive().await, Message::Published(_)));
    }
    assert!(matches!(listener.receive().await, Message::Event(_)));

    let refused = |answer: Result<_, String>| {
        let error: String = answer.unwrap_err();
        assert_eq!(error, "rewamp.error.store_unavailable the disk is gone");
    };
    let events = "wamp.subscription.get_events";
    refused(listener.call(events, &format!("[{early}]")).await);
    refused(listener.call(events, "[4711]").await);
    let lookup = "wamp.subscription.lookup";
    refused(client.call(lookup, r#"["com.b"]"#).await);
    client.send(&[r#"[32,21,{"_replay":{"last":5}},"com.c"]"#]);
    let Message::Error(error) = client.receive().await else {
        panic!("an ERROR is expected");
    };
    assert_eq!(error.error, "rewamp.error.store_unavailable");
    let other = listener.subscribe("net.a", "exact").await;
    let answer = listener.call(events, &format!("[{other}]")).await;
    let error = answer.unwrap_err();
    assert!(
        error.starts_with("wamp.error.history_unavailable"),
        "{error}"
    );

    let id = store.subscription_id("com.", MatchPolicy::Prefix);
    let opened = StoreOpened {
        store: Arc::clone(&store),
        settings,
    };
    fixture.realm.address.send(opened).await.unwrap();
    assert_eq!(gauge(Id::HistoryUnavailable), 0);
    client.publish("com.a", "", r#"["kept"]"#).await;
    assert!(matches!(listener.receive().await, Message::Event(_)));
    // The subscription from before has its ID, and its history.
    for subscription in [early, id] {
        let found = listener.call(events, &format!("[{subscription}]")).await;
        assert_eq!(found.unwrap().as_list().unwrap().len(), 1);
    }
    let late = client.subscribe("com.b", "exact").await;
    assert_eq!(late, store.subscription_id("com.b", MatchPolicy::Exact));
}

/// A realm whose store is not open, and what opens it.
fn waiting_for_its_store() -> (Fixture, StoreOpened) {
    let filters = vec![filter("com.", MatchPolicy::Prefix, Some(100_000))];
    let (settings, store) = Setup::storing(filters.clone()).history_settings();
    let setup = Setup {
        unavailable: Some(Unavailable::new(filters, "the disk is gone".to_owned())),
        slow_consumer: SlowConsumer::CatchUp,
        outbox: OutboxLimits {
            bytes: 64 * 1024,
            messages: 400,
        },
        ..Setup::default()
    };
    (setup.start(), StoreOpened { store, settings })
}

#[actix::test]
async fn who_subscribed_before_the_store_was_open_catches_up_from_it() {
    let (fixture, opened) = waiting_for_its_store();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.a", "exact").await;
    stalled.subscribe("com.", "prefix").await;
    pour(&mut publisher, "com.b", 0..1);
    assert_eq!(events(&mut stalled, 1).await, numbers(0..1));
    fixture.realm.address.send(opened).await.unwrap();
    for round in 0..5 {
        pour(&mut publisher, "com.a", round * 1_000..(round + 1) * 1_000);
        settled(&mut publisher).await;
    }
    let expected: Vec<_> = numbers(0..5_000)
        .into_iter()
        .flat_map(|number| [number.clone(), number])
        .collect();
    assert_eq!(events(&mut stalled, expected.len()).await, expected);
    stalled.nothing_more().await;
    let lines = fixture.router.metrics.encode().unwrap();
    for line in ["rewamp_catch_ups_total", "rewamp_cut_slow_consumers_total"] {
        let count = u8::from(line.contains("catch"));
        let line = format!("{line}{{realm=\"realm1\"}} {count}");
        assert!(metric(&fixture, &line), "{lines}");
    }
}

#[actix::test]
async fn a_session_that_catches_up_does_so_with_all_that_it_held_before() {
    let (fixture, opened) = waiting_for_its_store();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    // More than are looked at when the store opens: the rest follows.
    let topics = 9_000;
    for topic in 0..topics {
        stalled.subscribe(&format!("com.t{topic}"), "exact").await;
    }
    fixture.realm.address.send(opened).await.unwrap();
    let batch = |number: u32| format!(r#"[16,{},{{}},"com.t{number}",["{number}"]]"#, number + 1);
    for first in (0..topics).step_by(500) {
        let texts: Vec<_> = (first..first + 500).map(batch).collect();
        publisher.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    }
    settled(&mut publisher).await;
    assert_eq!(
        events(&mut stalled, topics as usize).await,
        numbers(0..topics)
    );
    stalled.nothing_more().await;
}

#[actix::test]
async fn the_places_of_events_are_named_as_soon_as_the_store_is_open() {
    let (fixture, opened) = waiting_for_its_store();
    let mut publisher = fixture.join().await;
    let (mut early, mut late) = (fixture.join().await, fixture.join().await);
    let id = subscribed(&mut early, "com.a", r#"{"_sequence":true}"#).await;
    pour(&mut publisher, "com.a", 0..1);
    let (text, details) = event(&mut early).await;
    assert_eq!(text, "0");
    assert!(details.extra.is_empty());
    fixture.realm.address.send(opened).await.unwrap();
    publish(&mut publisher, "com.a", 1..3).await;
    let replay = r#"{"_replay":{"last":1},"_sequence":true}"#;
    assert_eq!(subscribed(&mut late, "com.a", replay).await, id);
    publish(&mut publisher, "com.a", 3..4).await;
    let mut last = None;
    for number in 1..4 {
        let (text, details) = event(&mut early).await;
        assert_eq!(text, number.to_string());
        let place = details.extra.get("_sequence").unwrap().as_u64();
        assert_eq!(details.extra.get("_previous").unwrap().as_u64(), last);
        last = place;
    }
    for number in 2..4 {
        match late.receive().await {
            Message::Event(event) => {
                assert_eq!(event.subscription.get(), id);
                let args = event.payload.args_value().unwrap();
                assert_eq!(args[0].as_str().unwrap(), number.to_string());
            }
            other => panic!("{other:?} instead of EVENT"),
        }
    }
}
