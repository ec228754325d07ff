use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;

use super::client::Client;
use super::{Setup, everything};
use crate::realm::role::Disclose;

/// The first argument of the next EVENT, and its subscription.
async fn event(client: &mut Client) -> (u64, String) {
    match client.receive().await {
        Message::Event(event) => {
            let args = event.payload.args_value().unwrap();
            (event.subscription.get(), format!("{:?}", args.first()))
        }
        other => panic!("{other:?} instead of EVENT"),
    }
}

async fn text(client: &mut Client) -> String {
    event(client).await.1
}

fn value(text: &str) -> String {
    format!(
        "{:?}",
        Some(rewamp_wamp::value::Value::from(text.to_owned()))
    )
}

#[actix::test]
async fn an_event_reaches_exact_prefix_and_wildcard_subscribers_and_nobody_else() {
    let fixture = Setup::default().start();
    let mut subscriber = fixture.join().await;
    let exact = subscriber.subscribe("com.a.created", "exact").await;
    let prefix = subscriber.subscribe("com.", "prefix").await;
    let wildcard = subscriber.subscribe("com..created", "wildcard").await;
    subscriber.subscribe("com.b.created", "exact").await;
    let mut publisher = fixture.join().await;
    publisher.publish("com.a.created", "", r#"["x"]"#).await;
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(event(&mut subscriber).await.0);
    }
    subscriptions.sort_unstable();
    let mut expected = [exact.get(), prefix.get(), wildcard.get()];
    expected.sort_unstable();
    assert_eq!(subscriptions, expected);
    subscriber.nothing_more().await;
}

#[actix::test]
async fn a_pattern_subscriber_is_told_the_topic() {
    let fixture = Setup::default().start();
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.", "prefix").await;
    let mut publisher = fixture.join().await;
    for topic in ["com.a", "com.b", "com.a"] {
        publisher.publish(topic, "", "[1]").await;
        let Message::Event(event) = subscriber.receive().await else {
            panic!()
        };
        assert_eq!(event.details.topic.unwrap(), topic);
    }
}

#[actix::test]
async fn a_batch_of_publications_arrives_in_its_order_over_all_subscriptions() {
    let fixture = Setup::default().start();
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.a", "exact").await;
    subscriber.subscribe("com.b", "exact").await;
    subscriber.subscribe("com.b", "prefix").await;
    let mut publisher = fixture.join().await;
    let mut expected = Vec::new();
    let mut texts = Vec::new();
    for n in 0..200_u32 {
        let topic = if n % 3 == 0 { "com.a" } else { "com.b" };
        texts.push(format!(r#"[16,{},{{}},"{topic}",["{n}"]]"#, n + 1));
        let times = if topic == "com.a" { 1 } else { 2 };
        expected.extend(std::iter::repeat_n(value(&n.to_string()), times));
    }
    publisher.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    for expected in expected {
        assert_eq!(text(&mut subscriber).await, expected);
    }
    subscriber.nothing_more().await;
}

#[actix::test]
async fn a_publisher_gets_its_own_event_only_if_it_asks() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    let mut other = fixture.join().await;
    client.subscribe("com.a", "exact").await;
    other.subscribe("com.a", "exact").await;
    client.send(&[
        r#"[16,1,{},"com.a",["not for me"]]"#,
        r#"[16,2,{"exclude_me":false},"com.a",["for me"]]"#,
    ]);
    assert_eq!(text(&mut client).await, value("for me"));
    assert_eq!(text(&mut other).await, value("not for me"));
    assert_eq!(text(&mut other).await, value("for me"));
    client.nothing_more().await;
}

#[actix::test]
async fn lists_decide_who_receives_and_an_empty_one_counts_as_absent() {
    let fixture = Setup::default().start();
    let mut publisher = fixture.join().await;
    let mut first = fixture.connect(Serializer::Json, 1 << 24);
    first.hello("realm1");
    let first_id = first.welcome().await.session.get();
    let mut second = fixture.join().await;
    for client in [&mut first, &mut second] {
        client.subscribe("com.a", "exact").await;
    }
    publisher
        .publish(
            "com.a",
            &format!(r#""exclude":[{first_id}]"#),
            r#"["not first"]"#,
        )
        .await;
    publisher
        .publish(
            "com.a",
            &format!(r#""eligible":[{first_id}]"#),
            r#"["only first"]"#,
        )
        .await;
    publisher
        .publish("com.a", r#""eligible_authrole":["admin"]"#, r#"["nobody"]"#)
        .await;
    publisher
        .publish(
            "com.a",
            r#""exclude_authrole":["anonymous"]"#,
            r#"["nobody"]"#,
        )
        .await;
    publisher
        .publish("com.a", r#""eligible":[],"exclude":[]"#, r#"["all"]"#)
        .await;
    assert_eq!(text(&mut first).await, value("only first"));
    assert_eq!(text(&mut first).await, value("all"));
    assert_eq!(text(&mut second).await, value("not first"));
    assert_eq!(text(&mut second).await, value("all"));
    for client in [&mut first, &mut second] {
        client.nothing_more().await;
    }
}

#[actix::test]
async fn the_role_of_the_publisher_decides_whether_he_is_named() {
    let told = everything("com.told.").disclosing(Disclose {
        publisher: true,
        caller: false,
    });
    let setup = Setup {
        permissions: vec![everything(""), told],
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.told.a", "exact").await;
    subscriber.subscribe("com.a", "exact").await;
    let mut publisher = fixture.join().await;
    publisher.publish("com.told.a", "", "[1]").await;
    publisher
        .publish("com.a", r#""disclose_me":true"#, "[1]")
        .await;
    let Message::Event(event) = subscriber.receive().await else {
        panic!()
    };
    assert!(event.details.publisher.is_some());
    assert_eq!(event.details.publisher_authrole.unwrap(), "anonymous");
    let Message::Event(event) = subscriber.receive().await else {
        panic!()
    };
    assert_eq!(event.details.publisher, None);
    assert_eq!(event.details.publisher_authid, None);
}

#[actix::test]
async fn what_a_role_may_not_do_is_refused_and_harms_nobody() {
    let setup = Setup {
        permissions: vec![everything("com.a."), everything("wamp.")],
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut client = fixture.join().await;
    for (message, error) in [
        (r#"[32,1,{},"com.b"]"#, "wamp.error.not_authorized"),
        (
            r#"[32,2,{"match":"prefix"},"com."]"#,
            "wamp.error.not_authorized",
        ),
        (
            r#"[16,3,{"acknowledge":true},"com.b",[1]]"#,
            "wamp.error.not_authorized",
        ),
        (r#"[48,4,{},"com.b"]"#, "wamp.error.not_authorized"),
        (r#"[64,5,{},"com.b"]"#, "wamp.error.not_authorized"),
        (
            r#"[16,6,{"acknowledge":true},"wamp.foo",[1]]"#,
            "wamp.error.invalid_uri",
        ),
        (
            r#"[16,7,{"acknowledge":true},"rewamp.foo",[1]]"#,
            "wamp.error.invalid_uri",
        ),
        (
            r#"[16,8,{"acknowledge":true},"com..foo",[1]]"#,
            "wamp.error.invalid_uri",
        ),
        (r#"[32,9,{},"com..foo"]"#, "wamp.error.invalid_uri"),
        (r#"[64,10,{},"wamp.foo"]"#, "wamp.error.invalid_uri"),
        (
            r#"[32,15,{"_replay":{"last":3}},"com.a.b"]"#,
            "wamp.error.history_unavailable",
        ),
        (r#"[34,11,77]"#, "wamp.error.no_such_subscription"),
        (r#"[66,12,77]"#, "wamp.error.no_such_registration"),
        (r#"[48,13,{},"com.a.b"]"#, "wamp.error.no_such_procedure"),
        (
            r#"[16,14,{"acknowledge":"yes"},"com.a.b",[1]]"#,
            "wamp.error.invalid_argument",
        ),
    ] {
        client.send(&[message]);
        let Message::Error(answer) = client.receive().await else {
            panic!("{message}")
        };
        assert_eq!(answer.error, error, "{message}");
    }
    client.send(&[r#"[16,15,{},"com.b",[1]]"#]);
    client.nothing_more().await;
}

#[actix::test]
async fn every_serializer_gets_the_same_event() {
    let fixture = Setup::default().start();
    let mut clients = Vec::new();
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        client.subscribe("com.a", "exact").await;
        clients.push(client);
    }
    let args = r#"["text",1,-1,2.5,true,null,[1,[2]],{"k":18446744073709551615}]"#;
    for serializer in Serializer::ALL {
        let mut publisher = fixture.join_with(serializer).await;
        publisher.publish("com.a", "", args).await;
        for client in &mut clients {
            let Message::Event(event) = client.receive().await else {
                panic!()
            };
            let json = event.payload.transcode(Serializer::Json).unwrap();
            assert_eq!(json.args().unwrap(), args.as_bytes());
        }
    }
}

#[actix::test]
async fn an_event_that_a_receivers_serializer_cannot_express_is_dropped_for_it_alone() {
    let fixture = Setup::default().start();
    let mut json = fixture.join().await;
    let mut other = fixture.join_with(Serializer::MsgPack).await;
    for client in [&mut json, &mut other] {
        client.subscribe("com.a", "exact").await;
    }
    let mut publisher = fixture.join_with(Serializer::MsgPack).await;
    // [16, 1, {}, "com.a", [NaN]]
    let frame = [
        &[0x95, 0x10, 0x01, 0x80, 0xa5][..],
        b"com.a",
        &[0x91, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    ];
    publisher.send_frames(vec![frame.concat().into()]);
    assert!(matches!(other.receive().await, Message::Event(_)));
    json.nothing_more().await;
    let text = fixture.router.metrics.encode().unwrap();
    assert!(text.contains("rewamp_untranscodable_events_total{realm=\"realm1\"} 1"));
}

#[actix::test]
async fn an_event_over_a_receivers_message_limit_is_dropped_for_it_alone() {
    let fixture = Setup::default().start();
    let mut small = fixture.connect(Serializer::Json, 512);
    small.hello("realm1");
    small.welcome().await;
    let mut large = fixture.join().await;
    for client in [&mut small, &mut large] {
        client.subscribe("com.a", "exact").await;
    }
    let mut publisher = fixture.join().await;
    let long = format!(r#"[16,2,{{}},"com.a",["{}"]]"#, "x".repeat(600));
    publisher.send(&[
        r#"[16,1,{},"com.a",["1"]]"#,
        &long,
        r#"[16,3,{},"com.a",["3"]]"#,
    ]);
    assert_eq!(text(&mut small).await, value("1"));
    assert_eq!(text(&mut small).await, value("3"));
    for expected in ["1", &"x".repeat(600), "3"] {
        assert_eq!(text(&mut large).await, value(expected));
    }
    small.nothing_more().await;
}

#[actix::test]
async fn who_subscribes_after_a_publication_of_the_same_batch_does_not_get_it() {
    let fixture = Setup::default().start();
    let mut other = fixture.join().await;
    other.subscribe("com.a", "exact").await;
    let mut client = fixture.join().await;
    client.send(&[
        r#"[16,1,{"exclude_me":false},"com.a",["before"]]"#,
        r#"[32,2,{},"com.a"]"#,
        r#"[16,3,{"exclude_me":false},"com.a",["after"]]"#,
    ]);
    assert!(matches!(client.receive().await, Message::Subscribed(_)));
    assert_eq!(text(&mut client).await, value("after"));
    client.nothing_more().await;
    assert_eq!(text(&mut other).await, value("before"));
    assert_eq!(text(&mut other).await, value("after"));
}

#[actix::test]
async fn a_subscription_ends_with_unsubscribe_and_with_the_session() {
    let fixture = Setup::default().start();
    let mut watcher = fixture.join().await;
    let mut client = fixture.join().await;
    let id = client.subscribe("com.a", "exact").await;
    assert_eq!(
        client.subscribe("com.a", "exact").await,
        id,
        "the same is given again"
    );
    client.send(&[&format!("[34,9,{id}]")]);
    assert!(matches!(client.receive().await, Message::Unsubscribed(_)));
    watcher.publish("com.a", "", "[1]").await;
    client.nothing_more().await;
    client.subscribe("com.a", "exact").await;
    watcher
        .subscribe("wamp.subscription.on_delete", "exact")
        .await;
    client.close();
    assert!(matches!(watcher.receive().await, Message::Event(_)));
    let lookup = watcher
        .call("wamp.subscription.lookup", r#"["com.a"]"#)
        .await;
    assert_eq!(lookup, Ok(rewamp_wamp::value::Value::Null));
}
