use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rewamp_wamp::message::Message;
use rewamp_wamp::uri::MatchPolicy::Prefix;
use rewamp_wamp::value::Value;

use super::client::Client;
use super::store::{Disk, SwitchedStore};
use super::{Fixture, Setup, filter};
use crate::metrics::Id;
use crate::realm::PATIENCE;
use rewamp_history::Full;

/// A realm with a durable store behind a switch; its two buffers take 20 events of 1,000 bytes.
fn switched(patience: Duration) -> (Fixture, Arc<SwitchedStore>) {
    let setup = Setup::storing(vec![filter("com.kept.", Prefix, Some(10_000))]);
    let (settings, mut history) = setup.history_settings();
    let store = SwitchedStore::new(history.clone());
    history = store.clone();
    (
        Setup {
            store: Some((history, settings)),
            patience,
            ..Setup::default()
        }
        .start(),
        store,
    )
}

fn texts(topic: &str, from: u32, count: u32) -> Vec<String> {
    let long = "x".repeat(1_000);
    (from..from + count)
        .map(|n| format!(r#"[16,{n},{{"acknowledge":true}},"{topic}",["{n}","{long}"]]"#))
        .collect()
}

fn send(client: &mut Client, texts: &[String]) {
    client.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
}

async fn stored(client: &mut Client) -> usize {
    let args = r#"["com.kept.",{"match":"prefix"}]"#;
    let id = client
        .call("wamp.subscription.lookup", args)
        .await
        .unwrap()
        .as_u64()
        .unwrap();
    let page = format!("[{id},null]");
    let page = client
        .call("wamp.subscription.get_events", &page)
        .await
        .unwrap();
    page.as_list().unwrap().len()
}

#[actix::test]
async fn publishers_to_stored_topics_wait_for_room_and_nobody_else_does() {
    let (fixture, store) = switched(PATIENCE);
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.", "prefix").await;
    let mut publisher = fixture.join().await;
    store.set(Disk::Stalls);
    send(&mut publisher, &texts("com.kept.a", 1, 100));
    let mut other = fixture.join().await;
    other.publish("com.other", "", "[1]").await;
    let mut live = 0;
    loop {
        let Message::Event(event) = subscriber.receive().await else {
            panic!()
        };
        if event.details.topic.unwrap() == "com.other" {
            break;
        }
        live += 1;
    }
    assert!(
        (10..50).contains(&live),
        "{live} of 100 were accepted before the buffers were full"
    );
    assert_eq!(
        stored(&mut other).await,
        live,
        "what was accepted can be read"
    );
    store.set(Disk::Works);
    for request in 1..=100 {
        let Message::Published(published) = publisher.receive().await else {
            panic!()
        };
        assert_eq!(published.request.get(), request);
    }
    for _ in live..100 {
        assert!(matches!(subscriber.receive().await, Message::Event(_)));
    }
    assert_eq!(stored(&mut other).await, 100);
}

#[actix::test]
async fn after_its_patience_a_publisher_is_routed_and_not_stored_and_told_so() {
    let (fixture, store) = switched(Duration::from_millis(200));
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.", "prefix").await;
    let mut publisher = fixture.join().await;
    store.set(Disk::Stalls);
    send(&mut publisher, &texts("com.kept.a", 1, 100));
    fixture.join().await.nothing_more().await;
    for _ in 0..100 {
        assert!(matches!(subscriber.receive().await, Message::Event(_)));
    }
    let mut not_stored = 0;
    loop {
        match publisher.receive().await {
            Message::Error(error) => {
                assert_eq!(error.error, "rewamp.error.store_unavailable");
                assert_eq!(error.details.get("_routed"), Some(&Value::Bool(true)));
                not_stored += 1;
                if error.request.get() == 100 {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    store.set(Disk::Works);
    for _ in not_stored..100 {
        assert!(matches!(publisher.receive().await, Message::Published(_)));
    }
    assert_eq!(stored(&mut publisher).await, 100 - not_stored);
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains(&format!(
        "rewamp_history_not_stored_total{{realm=\"realm1\"}} {not_stored}"
    )));
    publisher.publish("com.kept.a", "", "[1]").await;
}

#[actix::test]
async fn a_commit_that_fails_is_an_error_for_those_who_wait_and_leaves_what_is_shown() {
    let (fixture, store) = switched(PATIENCE);
    let mut publisher = fixture.join().await;
    store.set(Disk::Fails);
    send(&mut publisher, &texts("com.kept.a", 1, 5));
    for request in 1..=5 {
        let Message::Error(error) = publisher.receive().await else {
            panic!()
        };
        assert_eq!(error.request.get(), request);
        assert_eq!(error.error, "rewamp.error.store_unavailable");
        assert_eq!(error.details.get("_routed"), Some(&Value::Bool(true)));
    }
    assert_eq!(stored(&mut publisher).await, 0);
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains("rewamp_history_degraded{realm=\"realm1\"} 1"));
    store.set(Disk::Works);
    publisher.publish("com.kept.a", "", "[1]").await;
    assert_eq!(stored(&mut publisher).await, 1);
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains("rewamp_history_degraded{realm=\"realm1\"} 0"));
}

#[actix::test]
async fn a_session_that_leaves_while_it_is_held_back_is_forgotten() {
    let (fixture, store) = switched(PATIENCE);
    let mut publisher = fixture.join().await;
    store.set(Disk::Stalls);
    send(&mut publisher, &texts("com.kept.a", 1, 100));
    let mut other = fixture.join().await;
    other.subscribe("wamp.session.on_leave", "exact").await;
    publisher.close();
    assert!(matches!(other.receive().await, Message::Event(_)));
    store.set(Disk::Works);
    send(&mut other, &texts("com.kept.a", 500, 1));
    assert!(matches!(other.receive().await, Message::Published(_)));
    assert!(stored(&mut other).await < 60);
    let text = fixture.router.metrics.encode().unwrap();
    assert!(
        text.contains("rewamp_held_batches{realm=\"realm1\"} 0"),
        "{text}"
    );
}

#[actix::test]
async fn a_full_store_refuses_before_anybody_sees_what_it_would_not_keep() {
    let fixture = Setup {
        maxsize: 24_000,
        full: Full::Refuse,
        ..Setup::storing(vec![filter("com.kept.", Prefix, Some(10_000))])
    }
    .start();
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.", "prefix").await;
    let mut publisher = fixture.join().await;
    send(&mut publisher, &texts("com.kept.a", 1, 100));
    let mut taken = 0;
    for _ in 1..=100 {
        match publisher.receive().await {
            Message::Published(_) => taken += 1,
            Message::Error(error) => {
                assert_eq!(error.error, "rewamp.error.store_full");
                assert_eq!(error.details.get("_routed"), None);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((15..25).contains(&taken), "{taken}");
    // Without acknowledgement it is refused as well, and counted.
    let long = "x".repeat(1_000);
    publisher.send(&[&format!(r#"[16,500,{{}},"com.kept.a",["{long}"]]"#)]);
    publisher.publish("com.other", "", "[1]").await;
    for _ in 0..taken {
        let Message::Event(event) = subscriber.receive().await else {
            panic!()
        };
        assert_eq!(event.details.topic.unwrap(), "com.kept.a");
    }
    let Message::Event(event) = subscriber.receive().await else {
        panic!()
    };
    assert_eq!(
        event.details.topic.unwrap(),
        "com.other",
        "nobody saw the refused"
    );
    assert_eq!(stored(&mut publisher).await, taken);
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains("rewamp_history_full{realm=\"realm1\"} 1"));
    let refused = format!(
        "rewamp_history_refused_total{{realm=\"realm1\"}} {}",
        101 - taken
    );
    assert!(text.contains(&refused), "{text}");
}

#[actix::test]
async fn a_question_that_joins_a_turn_sees_what_was_published_since_that_began() {
    let (fixture, store) = switched(PATIENCE);
    let (mut asker, mut publisher) = (fixture.join().await, fixture.join().await);
    let id = asker.subscribe("com.kept.", "prefix").await;
    let ask = |client: &mut Client, request: u64| {
        client.send(&[&format!(
            r#"[48,{request},{{}},"wamp.subscription.get_events",[{id}]]"#
        )]);
    };
    store.stall_reads(true);
    ask(&mut asker, 901);
    let begun = std::time::Instant::now();
    while store.waiting_reads() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing is read");
        actix::clock::sleep(Duration::from_millis(1)).await;
    }
    // Not committed before both are answered: only the buffer has it.
    store.set(Disk::Stalls);
    publisher.send(&[r#"[16,1,{},"com.kept.a",[1]]"#]);
    assert!(matches!(asker.receive().await, Message::Event(_)));
    ask(&mut asker, 902);
    // Its answer comes behind the question's way to the history.
    asker.nothing_more().await;
    store.stall_reads(false);
    for (request, events) in [(901, 0), (902, 1)] {
        let Message::Result(result) = asker.receive().await else {
            panic!()
        };
        assert_eq!(result.request.get(), request);
        let page = result.payload.args_value().unwrap();
        assert_eq!(page[0].as_list().unwrap().len(), events);
    }
    store.set(Disk::Works);
}

#[actix::test]
async fn a_store_that_works_again_is_found_out_though_nobody_publishes() {
    let (fixture, store) = switched(PATIENCE);
    let mut publisher = fixture.join().await;
    store.set(Disk::Fails);
    send(&mut publisher, &texts("com.kept.a", 1, 1));
    let Message::Error(error) = publisher.receive().await else {
        panic!()
    };
    assert_eq!(error.error, "rewamp.error.store_unavailable");
    let degraded = fixture
        .router
        .metrics
        .realm("realm1")
        .gauge(Id::HistoryDegraded);
    assert_eq!(degraded.get(), 1);
    store.set(Disk::Works);
    let end = Instant::now() + Duration::from_secs(10);
    while degraded.get() == 1 {
        assert!(Instant::now() < end, "still degraded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send(&mut publisher, &texts("com.kept.a", 2, 1));
    assert!(matches!(publisher.receive().await, Message::Published(_)));
    assert_eq!(stored(&mut publisher).await, 1);
}

#[actix::test]
async fn sequences_that_cannot_be_reserved_are_asked_for_again_with_pauses() {
    // The refusal woke the publishers who waited, who asked again at once.
    let setup = Setup::storing(vec![filter("com.kept.", Prefix, Some(10_000))]);
    let (settings, history) = setup.history_settings();
    let store = SwitchedStore::with_sequences(history, 5);
    store.set(Disk::Fails);
    let fixture = Setup {
        store: Some((store.clone(), settings)),
        patience: Duration::from_millis(200),
        ..Setup::default()
    }
    .start();
    let mut publisher = fixture.join().await;
    send(&mut publisher, &texts("com.kept.a", 1, 10));
    for _ in 1..=10 {
        let Message::Error(error) = publisher.receive().await else {
            panic!()
        };
        assert_eq!(error.error, "rewamp.error.store_unavailable");
        assert_eq!(error.details.get("_routed"), Some(&Value::Bool(true)));
    }
    let asked = store.reservations.load(Ordering::Relaxed);
    assert!((1..=3).contains(&asked), "{asked} times");
    store.set(Disk::Works);
    let mut request = 10;
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        request += 1;
        send(&mut publisher, &texts("com.kept.a", request, 1));
        if let Message::Published(_) = publisher.receive().await {
            break;
        }
        assert!(Instant::now() < end, "still not stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
