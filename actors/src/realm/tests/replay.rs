use rewamp_wamp::message::Message;
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};
use rewamp_wamp::value::Value;

use super::client::Client;
use super::{Fixture, Setup, everything, filter};

pub(super) fn storing() -> Setup {
    Setup::storing(vec![
        filter("com.kept.", Prefix, Some(100_000)),
        filter("com.few", Exact, Some(5)),
    ])
}

/// An EVENT: its first argument and its details.
pub(super) async fn event(client: &mut Client) -> (String, rewamp_wamp::message::EventDetails) {
    match client.receive().await {
        Message::Event(event) => {
            let args = event.payload.args_value().unwrap();
            (args[0].as_str().unwrap().to_owned(), *event.details)
        }
        other => panic!("{other:?} instead of EVENT"),
    }
}

pub(super) async fn events(client: &mut Client, count: usize) -> Vec<String> {
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        events.push(event(client).await.0);
    }
    events
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Subscribes with options as JSON; the answer.
async fn subscribe(client: &mut Client, topic: &str, options: &str) -> Message {
    client.send(&[&format!(r#"[32,900,{options},"{topic}"]"#)]);
    client.receive().await
}

pub(super) async fn subscribed(client: &mut Client, topic: &str, options: &str) -> u64 {
    match subscribe(client, topic, options).await {
        Message::Subscribed(subscribed) => subscribed.subscription.get(),
        other => panic!("{other:?} instead of SUBSCRIBED"),
    }
}

async fn refused(client: &mut Client, topic: &str, options: &str) -> String {
    match subscribe(client, topic, options).await {
        Message::Error(error) => {
            let args = error.payload.args_value().unwrap();
            let text = args.first().and_then(Value::as_str).unwrap_or_default();
            format!("{} {text}", error.error)
        }
        other => panic!("{other:?} instead of ERROR"),
    }
}

pub(super) async fn publish(
    publisher: &mut Client,
    topic: &str,
    range: std::ops::Range<u32>,
) -> Vec<u64> {
    let mut publications = Vec::new();
    for number in range {
        let args = format!(r#"["{number}"]"#);
        publications.push(publisher.publish(topic, "", &args).await);
    }
    publications
}

/// Publishes unacknowledged, a batch a hundred.
pub(super) fn pour(publisher: &mut Client, topic: &str, range: std::ops::Range<u32>) {
    let texts: Vec<_> = range
        .map(|number| format!(r#"[16,{},{{}},"{topic}",["{number}"]]"#, number + 1))
        .collect();
    for batch in texts.chunks(100) {
        publisher.send(&batch.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Waits until what was poured has been routed.
pub(super) async fn settled(publisher: &mut Client) {
    publisher.nothing_more().await;
}

pub(super) fn metric(fixture: &Fixture, line: &str) -> bool {
    let text = fixture.router.metrics.encode().unwrap();
    text.lines().any(|found| found == line)
}

async fn on_live(client: &mut Client) -> u64 {
    client
        .subscribe("rewamp.subscription.on_live", "exact")
        .await
        .get()
}

#[actix::test]
async fn the_past_runs_into_the_live_events() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    let publications = publish(&mut publisher, "com.kept.a", 0..20).await;
    let mut client = fixture.join().await;
    let told_by = on_live(&mut client).await;
    let options = format!(
        r#"{{"_replay":{{"after_publication":{}}}}}"#,
        publications[4]
    );
    let id = subscribed(&mut client, "com.kept.a", &options).await;
    for number in 5..20 {
        let (text, details) = event(&mut client).await;
        assert_eq!(text, number.to_string());
        assert_eq!(details.extra.get("_replayed"), Some(&Value::Bool(true)));
        assert_eq!(details.topic, None);
    }
    match client.receive().await {
        Message::Event(told) => {
            assert_eq!(told.subscription.get(), told_by);
            let args = told.payload.args_value().unwrap();
            assert_eq!(args[0].as_u64(), Some(id));
            assert_eq!(args[1].as_u64(), Some(1_000_019));
        }
        other => panic!("{other:?} instead of on_live"),
    }
    publish(&mut publisher, "com.kept.a", 20..22).await;
    for number in 20..22 {
        let (text, details) = event(&mut client).await;
        assert_eq!(text, number.to_string());
        assert!(details.extra.is_empty());
    }
    client.nothing_more().await;
}

#[actix::test]
async fn every_start_is_what_its_name_says() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    let publications = publish(&mut publisher, "com.kept.a", 0..10).await;
    let mut client = fixture.join().await;
    let page = client
        .call("wamp.subscription.lookup", r#"["com.kept.a"]"#)
        .await
        .unwrap();
    let page = format!("[{},null]", page.as_u64().unwrap());
    let page = client
        .call("wamp.subscription.get_events", &page)
        .await
        .unwrap();
    let third = page.as_list().unwrap()[6].as_map().unwrap().clone();
    let sequence = third.get("sequence").unwrap().as_u64().unwrap();
    let time = third.text("timestamp").unwrap().unwrap().to_owned();
    let starts = [
        (format!(r#""after_publication":{}"#, publications[3]), 4),
        (format!(r#""from_publication":{}"#, publications[3]), 3),
        (format!(r#""after_sequence":{sequence}"#), 4),
        (format!(r#""from_sequence":{sequence}"#), 3),
        (format!(r#""after_time":"{time}""#), 4),
        (format!(r#""from_time":"{time}""#), 3),
        (r#""from_time":"2001-01-01T00:00:00Z""#.to_owned(), 0),
        (r#""from_time":"2501-01-01T00:00:00Z""#.to_owned(), 10),
        (r#""last":3"#.to_owned(), 7),
        (r#""last":1000"#.to_owned(), 0),
        (r#""last":0"#.to_owned(), 10),
        (r#""after_sequence":0,"oldest":true"#.to_owned(), 0),
    ];
    for (start, first) in starts {
        let mut client = fixture.join().await;
        subscribed(
            &mut client,
            "com.kept.a",
            &format!(r#"{{"_replay":{{{start}}}}}"#),
        )
        .await;
        let expected = numbers(first..10);
        assert_eq!(
            events(&mut client, expected.len()).await,
            expected,
            "{start}"
        );
        client.nothing_more().await;
    }
}

#[actix::test]
async fn what_cannot_be_replayed_is_refused_with_its_reason() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.few", 0..9).await;
    let mut client = fixture.join().await;
    let checks = [
        ("5", "wamp.error.invalid_argument option `_replay` is"),
        (
            "{}",
            "wamp.error.invalid_argument option `_replay` has no start",
        ),
        (
            r#"{"last":1,"after_sequence":5}"#,
            "wamp.error.invalid_argument option `_replay` has `",
        ),
        (
            r#"{"lst":1}"#,
            "wamp.error.invalid_argument option `_replay` has the unknown key `lst`",
        ),
        (
            r#"{"last":-1}"#,
            "wamp.error.invalid_argument option `_replay.last` is",
        ),
        (
            r#"{"last":1,"oldest":1}"#,
            "wamp.error.invalid_argument option `_replay.oldest` is",
        ),
        (
            r#"{"from_time":"noon"}"#,
            "wamp.error.invalid_argument option `_replay.from_time` is `noon`",
        ),
        (
            r#"{"last_per_topic":0}"#,
            "wamp.error.invalid_argument option `_replay.last_per_topic` is",
        ),
        (
            r#"{"after_sequence":1000001}"#,
            "rewamp.error.no_such_publication",
        ),
        (
            r#"{"after_publication":77}"#,
            "rewamp.error.no_such_publication",
        ),
    ];
    for (replay, expected) in checks {
        let error = refused(
            &mut client,
            "com.few",
            &format!(r#"{{"_replay":{replay}}}"#),
        )
        .await;
        assert!(error.starts_with(expected), "{replay}: {error}");
    }
    let error = refused(&mut client, "com.other", r#"{"_replay":{"last":1}}"#).await;
    assert!(
        error.starts_with("wamp.error.history_unavailable"),
        "{error}"
    );
    let error = refused(&mut client, "com.few", r#"{"_sequence":"yes"}"#).await;
    assert!(
        error.starts_with("wamp.error.invalid_argument option `_sequence`"),
        "{error}"
    );
    client.subscribe("com.few", "exact").await;
    let error = refused(&mut client, "com.few", r#"{"_replay":{"last":1}}"#).await;
    assert!(
        error.starts_with("rewamp.error.already_subscribed"),
        "{error}"
    );
}

#[actix::test]
async fn with_oldest_a_start_that_is_gone_is_the_oldest_event() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    let publications = publish(&mut publisher, "com.few", 0..9).await;
    let mut client = fixture.join().await;
    let options = format!(
        r#"{{"_replay":{{"after_publication":{},"oldest":true}}}}"#,
        publications[0]
    );
    subscribed(&mut client, "com.few", &options).await;
    assert_eq!(events(&mut client, 5).await, numbers(4..9));
    client.nothing_more().await;
}

#[actix::test]
async fn the_past_is_shown_to_those_who_may_ask_for_it() {
    let mut setup = storing();
    let none = Default::default();
    let mut denied = everything("wamp.subscription.");
    denied.allow = none;
    setup.permissions.push(denied);
    let fixture = setup.start();
    let mut client = fixture.join().await;
    let error = refused(&mut client, "com.few", r#"{"_replay":{"last":1}}"#).await;
    assert!(error.starts_with("wamp.error.not_authorized"), "{error}");
    client.subscribe("com.few", "exact").await;
}

#[actix::test]
async fn a_client_that_cannot_send_options_prepares_its_next_subscribe() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.a", 0..9).await;
    let mut client = fixture.join().await;
    let args = r#"["com.kept.",{"match":"prefix","last":2,"_sequence":true}]"#;
    let procedure = "rewamp.subscription.prepare_replay";
    assert_eq!(client.call(procedure, args).await, Ok(Value::Null));
    client.subscribe("com.kept.a", "exact").await;
    client.subscribe("com.kept.", "prefix").await;
    for number in 7..9 {
        let (text, details) = event(&mut client).await;
        assert_eq!(text, number.to_string());
        assert_eq!(details.topic.as_deref(), Some("com.kept.a"));
        assert_eq!(
            details.extra.get("_previous").unwrap().as_u64(),
            Some(1_000_000 + number - 1)
        );
    }
    client.nothing_more().await;
    let error = client.call(procedure, r#"["com.kept.",{"lost":2}]"#).await;
    assert!(error.unwrap_err().contains("unknown key `lost`"));
}

#[actix::test]
async fn who_asks_for_it_sees_the_place_of_every_event() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.a", 0..3).await;
    publish(&mut publisher, "com.kept.b", 3..4).await;
    let mut plain = fixture.join().await;
    plain.subscribe("com.kept.a", "exact").await;
    let mut client = fixture.join().await;
    subscribed(&mut client, "com.kept.a", r#"{"_sequence":true}"#).await;
    client.nothing_more().await;
    publish(&mut publisher, "com.kept.b", 4..5).await;
    publish(&mut publisher, "com.kept.a", 5..6).await;
    publisher
        .publish(
            "com.kept.a",
            r#""exclude_authrole":["anonymous"]"#,
            r#"["6"]"#,
        )
        .await;
    publish(&mut publisher, "com.kept.a", 7..8).await;
    let place = |details: &rewamp_wamp::message::EventDetails| {
        let sequence = details.extra.get("_sequence").unwrap().as_u64().unwrap();
        let previous = details.extra.get("_previous").unwrap().as_u64();
        assert!(
            details
                .extra
                .text("_timestamp")
                .unwrap()
                .unwrap()
                .ends_with('Z')
        );
        assert!(details.extra.get("_replayed").is_none());
        (
            sequence - 1_000_000,
            previous.map(|previous| previous - 1_000_000),
        )
    };
    let (text, details) = event(&mut client).await;
    assert_eq!((text.as_str(), place(&details)), ("5", (5, Some(2))));
    let (text, details) = event(&mut client).await;
    assert_eq!((text.as_str(), place(&details)), ("7", (7, Some(6))));
    let (_, details) = event(&mut plain).await;
    assert!(details.extra.is_empty());
}

#[actix::test]
async fn a_replay_leaves_out_what_its_session_published_without_wanting_it_back() {
    let fixture = storing().start();
    let mut client = fixture.join().await;
    for (number, options) in [(0, ""), (1, r#""exclude_me":false"#), (2, "")] {
        client
            .publish("com.kept.a", options, &format!(r#"["{number}"]"#))
            .await;
    }
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.a", 3..4).await;
    subscribed(&mut client, "com.kept.a", r#"{"_replay":{"last":2}}"#).await;
    assert_eq!(events(&mut client, 2).await, ["1", "3"]);
    client.nothing_more().await;
}

#[actix::test]
async fn replays_join_under_load_without_gap_or_duplicate() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.a", 0..50).await;
    let mut clients = Vec::new();
    for round in 0..10 {
        pour(
            &mut publisher,
            "com.kept.a",
            50 + round * 1_000..50 + (round + 1) * 1_000,
        );
        let mut client = fixture.join().await;
        let options = format!(
            r#"{{"_replay":{{"after_sequence":{}}}}}"#,
            1_000_000 + 10 * round
        );
        subscribed(&mut client, "com.kept.a", &options).await;
        clients.push((client, 10 * round + 1));
    }
    for (client, first) in &mut clients {
        let expected = numbers(*first..10_050);
        assert_eq!(events(client, expected.len()).await, expected);
        client.nothing_more().await;
    }
}

#[actix::test]
async fn a_replay_ends_with_its_subscription() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    publish(&mut publisher, "com.kept.a", 0..5).await;
    let mut client = fixture.join().await;
    let id = subscribed(&mut client, "com.kept.a", r#"{"_replay":{"last":100}}"#).await;
    client.send(&[&format!("[34,77,{id}]")]);
    loop {
        match client.receive().await {
            Message::Event(_) => {}
            Message::Unsubscribed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    publish(&mut publisher, "com.kept.a", 5..8).await;
    client.nothing_more().await;
    let id = subscribed(&mut client, "com.kept.a", r#"{"_replay":{"last":2}}"#).await;
    assert_eq!(events(&mut client, 2).await, ["6", "7"]);
    assert!(id > 0);
}

#[actix::test]
async fn the_state_of_every_topic_runs_into_the_live_events() {
    let fixture = storing().start();
    let mut publisher = fixture.join().await;
    for round in 0..4 {
        for topic in 0..3_000 {
            let text = format!(
                r#"[16,{},{{}},"com.kept.{topic}",["{topic}.{round}"]]"#,
                topic + 1
            );
            publisher.send(&[&text]);
        }
    }
    settled(&mut publisher).await;
    let mut client = fixture.join().await;
    let told_by = on_live(&mut client).await;
    let options = r#"{"match":"prefix","_replay":{"last_per_topic":1}}"#;
    subscribed(&mut client, "com.kept.", options).await;
    for topic in 0..3_000 {
        let (text, details) = event(&mut client).await;
        assert_eq!(text, format!("{topic}.3"));
        assert_eq!(details.extra.get("_replayed"), Some(&Value::Bool(true)));
    }
    let Message::Event(told) = client.receive().await else {
        panic!("no EVENT")
    };
    assert_eq!(told.subscription.get(), told_by);
    publish(&mut publisher, "com.kept.7", 0..1).await;
    assert_eq!(event(&mut client).await.0, "0");
    client.nothing_more().await;

    // Beside a start: of what comes after it.
    let mut client = fixture.join().await;
    let options = r#"{"match":"prefix","_replay":{"last":3500,"last_per_topic":2}}"#;
    subscribed(&mut client, "com.kept.", options).await;
    let mut texts = events(&mut client, 3_500).await;
    assert_eq!(texts.pop().as_deref(), Some("0"));
    // Topics 0 to 500 had their last round but one before it; topic 7 has one more since.
    let expected = (2_501..3_000)
        .map(|topic| format!("{topic}.2"))
        .chain((0..3_000).map(|topic| format!("{topic}.3")));
    let expected: Vec<_> = expected.collect();
    assert_eq!(texts, expected);
    client.nothing_more().await;
}
