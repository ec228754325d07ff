use std::time::Duration;

use rewamp_wamp::message::Message;

use super::Setup;
use super::replay::{event, events, metric, numbers, pour, publish, settled, storing};
use super::store::{Disk, SwitchedStore};
use crate::broker::SlowConsumer;
use crate::session::outbox::OutboxLimits;

const SMALL: OutboxLimits = OutboxLimits {
    bytes: 64 * 1024,
    messages: 400,
};

fn catching_up() -> Setup {
    Setup {
        outbox: SMALL,
        slow_consumer: SlowConsumer::CatchUp,
        ..storing()
    }
}

#[actix::test]
async fn a_consumer_that_stalls_catches_up_and_misses_nothing() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.kept.a", "exact").await;
    stalled.subscribe("com.kept.", "prefix").await;
    for round in 0..20 {
        pour(
            &mut publisher,
            "com.kept.a",
            round * 1_000..(round + 1) * 1_000,
        );
        settled(&mut publisher).await;
    }
    let text = fixture.router.metrics.encode().unwrap();
    let waiting = text
        .lines()
        .find_map(|line| line.strip_prefix("rewamp_outbox_messages{realm=\"realm1\"} "));
    let waiting: u64 = waiting.unwrap().parse().unwrap();
    assert!(waiting <= 2 * SMALL.messages as u64, "{waiting}");
    // Each event twice, in order.
    let expected: Vec<_> = numbers(0..20_000)
        .into_iter()
        .flat_map(|n| [n.clone(), n])
        .collect();
    assert_eq!(events(&mut stalled, expected.len()).await, expected);
    stalled.nothing_more().await;
    publish(&mut publisher, "com.kept.a", 20_000..20_001).await;
    let (_, details) = event(&mut stalled).await;
    assert!(details.extra.is_empty());
    while !metric(&fixture, "rewamp_history_followers{realm=\"realm1\"} 0") {
        settled(&mut publisher).await;
    }
    assert!(metric(
        &fixture,
        "rewamp_cut_slow_consumers_total{realm=\"realm1\"} 0"
    ));
}

#[actix::test]
async fn what_the_history_does_not_have_waits_at_its_place() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.kept.a", "exact").await;
    stalled.subscribe("com.other", "exact").await;
    for round in 0..10 {
        pour(
            &mut publisher,
            "com.kept.a",
            round * 1_000..round * 1_000 + 999,
        );
        pour(
            &mut publisher,
            "com.other",
            round * 1_000 + 999..round * 1_000 + 1_000,
        );
        settled(&mut publisher).await;
    }
    assert_eq!(events(&mut stalled, 10_000).await, numbers(0..10_000));
    stalled.nothing_more().await;
}

#[actix::test]
async fn too_much_that_no_history_has_cuts_the_session() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.kept.a", "exact").await;
    stalled.subscribe("com.other", "exact").await;
    pour(&mut publisher, "com.kept.a", 0..1_000);
    pour(&mut publisher, "com.other", 0..1_000);
    settled(&mut publisher).await;
    assert!(stalled.outbox.is_closed());
    // As a transport does whose connection was cut.
    stalled.close();
    while !metric(&fixture, "rewamp_history_followers{realm=\"realm1\"} 0") {
        settled(&mut publisher).await;
    }
}

#[actix::test]
async fn a_session_without_a_history_is_cut_as_ever() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.other", "exact").await;
    pour(&mut publisher, "com.other", 0..1_000);
    settled(&mut publisher).await;
    assert!(stalled.outbox.is_closed());
}

#[actix::test]
async fn where_retention_was_faster_the_session_is_told_of_the_gap() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    let told_by = stalled
        .subscribe("rewamp.subscription.on_gap", "exact")
        .await;
    let id = stalled.subscribe("com.few", "exact").await.get();
    pour(&mut publisher, "com.few", 0..2_000);
    settled(&mut publisher).await;
    let (mut next, mut gap) = (0_u64, None);
    while next < 2_000 {
        let Message::Event(event) = stalled.receive().await else {
            panic!("no EVENT")
        };
        let args = event.payload.args_value().unwrap();
        if event.subscription == told_by {
            let range = [1, 2].map(|at| args[at].as_u64().unwrap() - 1_000_000);
            assert_eq!((args[0].as_u64(), range[0]), (Some(id), next));
            next = range[1] + 1;
            gap = Some(range);
        } else {
            assert_eq!(args[0].as_str().unwrap(), next.to_string());
            next += 1;
        }
    }
    assert!(gap.is_some());
    stalled.nothing_more().await;
}

#[actix::test]
async fn events_that_could_not_be_stored_are_a_gap_for_those_behind() {
    let setup = catching_up();
    let (settings, store) = setup.history_settings();
    let store = SwitchedStore::new(store);
    let fixture = Setup {
        store: Some((store.clone(), settings)),
        ..setup
    }
    .start();
    let mut publisher = fixture.join().await;
    let mut stalled = fixture.join().await;
    let told_by = stalled
        .subscribe("rewamp.subscription.on_gap", "exact")
        .await;
    stalled.subscribe("com.kept.a", "exact").await;
    pour(&mut publisher, "com.kept.a", 0..1_000);
    publish(&mut publisher, "com.kept.a", 1_000..1_001).await;
    store.set(Disk::Fails);
    publisher.send(&[r#"[16,5000,{"acknowledge":true},"com.kept.a",["1001"]]"#]);
    assert!(matches!(publisher.receive().await, Message::Error(_)));
    store.set(Disk::Works);
    publish(&mut publisher, "com.kept.a", 1_002..1_003).await;
    assert_eq!(events(&mut stalled, 1_001).await, numbers(0..1_001));
    let Message::Event(told) = stalled.receive().await else {
        panic!("no EVENT")
    };
    assert_eq!(told.subscription, told_by);
    let args = told.payload.args_value().unwrap();
    assert_eq!(args[1].as_u64(), Some(1_001_001));
    assert_eq!(args[2].as_u64(), Some(1_001_001));
    assert_eq!(events(&mut stalled, 1).await, ["1002"]);
    stalled.nothing_more().await;
}

#[actix::test]
async fn a_slow_replay_goes_on_beside_a_session_that_catches_up() {
    let fixture = catching_up().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.b", 0..1_000).await;
    let mut client = fixture.join().await;
    let a = client.subscribe("com.kept.a", "exact").await;
    client.send(&[r#"[32,900,{"_replay":{"last":1000}},"com.kept.b"]"#]);
    for round in 0..10 {
        pour(&mut publisher, "com.kept.a", round * 200..(round + 1) * 200);
        pour(
            &mut publisher,
            "com.kept.b",
            1_000 + round * 200..1_000 + (round + 1) * 200,
        );
        settled(&mut publisher).await;
    }
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    while of_a.len() < 2_000 || of_b.len() < 3_000 {
        match client.receive().await {
            Message::Event(event) => {
                let args = event.payload.args_value().unwrap();
                let text = args[0].as_str().unwrap().to_owned();
                match event.subscription == a {
                    true => of_a.push(text),
                    false => of_b.push(text),
                }
            }
            Message::Subscribed(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(of_a, numbers(0..2_000));
    assert_eq!(of_b, numbers(0..3_000));
    tokio::time::timeout(Duration::from_secs(10), client.nothing_more())
        .await
        .unwrap();
}
