use rewamp_wamp::message::Message;

use super::Setup;
use crate::broker::SlowConsumer;
use crate::session::outbox::OutboxLimits;

const LIMITS: OutboxLimits = OutboxLimits {
    bytes: 64 * 1024,
    messages: 1_000,
};

fn texts(from: u32, count: u32) -> Vec<String> {
    (from..from + count)
        .map(|n| format!(r#"[16,{n},{{}},"com.a",["{n}"]]"#))
        .collect()
}

#[actix::test]
async fn a_consumer_that_does_not_read_is_cut_and_delays_nobody() {
    let setup = Setup {
        outbox: LIMITS,
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut stalled = fixture.join().await;
    let mut reader = fixture.join().await;
    for client in [&mut stalled, &mut reader] {
        client.subscribe("com.a", "exact").await;
    }
    let mut publisher = fixture.join().await;
    for round in 0..20 {
        let texts = texts(round * 100 + 1, 100);
        publisher.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..100 {
            assert!(matches!(reader.receive().await, Message::Event(_)));
        }
    }
    assert!(stalled.outbox.is_closed());
    assert_eq!(stalled.next().await, None, "what waited for it is dropped");
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains("rewamp_cut_slow_consumers_total{realm=\"realm1\"} 1"));
    assert!(
        text.contains("rewamp_outbox_bytes{realm=\"realm1\"} 0"),
        "{text}"
    );
}

#[actix::test]
async fn with_the_policy_drop_it_misses_events_and_they_are_counted() {
    let setup = Setup {
        outbox: LIMITS,
        slow_consumer: SlowConsumer::Drop,
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut stalled = fixture.join().await;
    stalled.subscribe("com.a", "exact").await;
    let mut publisher = fixture.join().await;
    for round in 0..20 {
        let texts = texts(round * 100 + 1, 100);
        publisher.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        publisher.nothing_more().await;
    }
    for _ in 0..1_000 {
        assert!(matches!(stalled.receive().await, Message::Event(_)));
    }
    stalled.nothing_more().await;
    let text = fixture.router.metrics.encode().unwrap();
    assert!(
        text.contains("rewamp_dropped_events_total{realm=\"realm1\"} 1000"),
        "{text}"
    );
}

#[actix::test]
async fn a_client_is_never_cut_for_its_own_answers() {
    let setup = Setup {
        outbox: LIMITS,
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut client = fixture.join().await;
    let texts: Vec<_> = (1..=5_000)
        .map(|n| format!(r#"[16,{n},{{"acknowledge":true}},"com.a",[1]]"#))
        .collect();
    client.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..5_000 {
        assert!(matches!(client.receive().await, Message::Published(_)));
    }
}
