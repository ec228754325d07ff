use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};
use rewamp_wamp::value::{Dict, Value};

use super::client::Client;
use super::{Fixture, Setup, everything, filter};

/// The first arguments of the events that `get_events` with these arguments answers.
async fn events(client: &mut Client, args: &str) -> Vec<String> {
    let result = client
        .call("wamp.subscription.get_events", args)
        .await
        .unwrap();
    let list = result.as_list().unwrap();
    list.iter()
        .map(|event| first_argument(event.as_map().unwrap()))
        .collect()
}

fn first_argument(event: &Dict) -> String {
    event.list("args").unwrap().unwrap()[0]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn refused(client: &mut Client, args: &str) -> String {
    client
        .call("wamp.subscription.get_events", args)
        .await
        .unwrap_err()
}

async fn lookup(client: &mut Client, topic: &str, policy: &str) -> u64 {
    let args = format!(r#"["{topic}",{{"match":"{policy}"}}]"#);
    client
        .call("wamp.subscription.lookup", &args)
        .await
        .unwrap()
        .as_u64()
        .unwrap()
}

async fn publish_numbers(
    publisher: &mut Client,
    topic: &str,
    numbers: std::ops::Range<u32>,
) -> Vec<u64> {
    let mut publications = Vec::new();
    for number in numbers {
        publications.push(
            publisher
                .publish(topic, "", &format!(r#"["{number}"]"#))
                .await,
        );
    }
    publications
}

fn storing() -> Fixture {
    Setup::storing(vec![
        filter("com.kept", Exact, Some(50)),
        filter("com.all.", Prefix, Some(1_000)),
    ])
    .start()
}

#[actix::test]
async fn by_position_it_is_crossbars_newest_first_and_ten() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, "com.kept", 0..12).await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    let newest = |from: u32, count: usize| -> Vec<String> {
        (0..=from)
            .rev()
            .take(count)
            .map(|n| n.to_string())
            .collect()
    };
    assert_eq!(
        events(&mut client, &format!("[{id}]")).await,
        newest(11, 10)
    );
    assert_eq!(
        events(&mut client, &format!("[{id},3]")).await,
        newest(11, 3)
    );
    assert_eq!(
        events(&mut client, &format!("[{id},null]")).await,
        newest(11, 12)
    );
    assert_eq!(
        events(&mut client, &format!("[{id},500]")).await,
        newest(11, 12)
    );
    for none in ["0", "-1"] {
        assert!(
            events(&mut client, &format!("[{id},{none}]"))
                .await
                .is_empty()
        );
    }
    let by_keyword = format!(r#"[],{{"subscription_id":{id}}}"#);
    assert_eq!(events(&mut client, &by_keyword).await, newest(11, 10));
}

#[actix::test]
async fn by_keyword_it_is_the_specs_oldest_first() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let ids = publish_numbers(&mut client, "com.kept", 0..12).await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    let check = async |client: &mut Client, keywords: String, expected: &[u32]| {
        let found = events(client, &format!("[{id}],{{{keywords}}}")).await;
        let expected: Vec<String> = expected.iter().map(u32::to_string).collect();
        assert_eq!(found, expected, "{keywords}");
    };
    check(&mut client, r#""limit":3"#.into(), &[0, 1, 2]).await;
    check(&mut client, r#""limit":2,"reverse":true"#.into(), &[11, 10]).await;
    check(
        &mut client,
        format!(r#""after_publication":{}"#, ids[9]),
        &[10, 11],
    )
    .await;
    check(
        &mut client,
        format!(r#""from_publication":{}"#, ids[9]),
        &[9, 10, 11],
    )
    .await;
    check(
        &mut client,
        format!(r#""before_publication":{}"#, ids[2]),
        &[0, 1],
    )
    .await;
    check(
        &mut client,
        format!(r#""until_publication":{}"#, ids[2]),
        &[0, 1, 2],
    )
    .await;
    check(
        &mut client,
        format!(
            r#""after_publication":{},"before_publication":{}"#,
            ids[4], ids[7]
        ),
        &[5, 6],
    )
    .await;
    check(
        &mut client,
        r#""from_time":"2999-01-01T00:00:00Z""#.into(),
        &[],
    )
    .await;
    check(
        &mut client,
        r#""from_time":"1999-01-01T00:00:00+02:00","limit":1"#.into(),
        &[0],
    )
    .await;
    check(&mut client, r#""topic":"com.other""#.into(), &[]).await;
    check(
        &mut client,
        r#""limit":null,"reverse":true,"topic":"com.kept""#.into(),
        &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    )
    .await;
}

#[actix::test]
async fn a_record_serves_readers_of_the_spec_and_of_crossbar() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let publication = client.publish("com.all.a", "", r#"["x"],{"k":[1]}"#).await;
    let id = lookup(&mut client, "com.all.", "prefix").await;
    let args = format!("[{id}]");
    let result = client
        .call("wamp.subscription.get_events", &args)
        .await
        .unwrap();
    let event = result.as_list().unwrap()[0].as_map().unwrap();
    assert_eq!(event.unsigned("publication"), Ok(Some(publication)));
    assert_eq!(event.unsigned("subscription"), Ok(Some(id)));
    assert_eq!(event.text("topic").unwrap().unwrap(), "com.all.a");
    assert_eq!(event.text("realm").unwrap().unwrap(), "realm1");
    assert!(event.unsigned("sequence").unwrap().unwrap() >= 1_000_000);
    let time_ns = event.unsigned("time_ns").unwrap().unwrap();
    let timestamp: jiff::Timestamp = event.text("timestamp").unwrap().unwrap().parse().unwrap();
    assert_eq!(timestamp.as_nanosecond(), i128::from(time_ns));
    let details = event.map("details").unwrap().unwrap();
    assert_eq!(details.text("topic").unwrap().unwrap(), "com.all.a");
    let kwargs = event.map("kwargs").unwrap().unwrap();
    assert_eq!(kwargs.list("k").unwrap().unwrap(), [Value::from(1_u64)]);
    assert!(!event.contains("publisher"), "the role does not disclose");
    client.publish("com.all.a", "", "[]").await;
    client.send(&[r#"[16,99,{"acknowledge":true},"com.all.a"]"#]);
    assert!(matches!(client.receive().await, Message::Published(_)));
    let result = client
        .call("wamp.subscription.get_events", &args)
        .await
        .unwrap();
    let event = result.as_list().unwrap()[0].as_map().unwrap();
    assert_eq!(
        event.get("args"),
        Some(&Value::Null),
        "null where none were sent"
    );
    assert_eq!(event.get("kwargs"), Some(&Value::Null));
}

#[actix::test]
async fn the_same_page_comes_over_every_serializer() {
    let fixture = storing();
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        client
            .publish("com.kept", "", r#"["x",1,2.5,null,{"a":[true]}]"#)
            .await;
    }
    let mut pages = Vec::new();
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        let id = lookup(&mut client, "com.kept", "exact").await;
        let page = client
            .call("wamp.subscription.get_events", &format!("[{id}]"))
            .await
            .unwrap();
        assert_eq!(page.as_list().unwrap().len(), 3);
        pages.push(page);
    }
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[0], pages[2]);
}

#[actix::test]
async fn what_was_acknowledged_is_there_before_it_is_flushed() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    for number in 0..50_u32 {
        publish_numbers(&mut client, "com.kept", number..number + 1).await;
        assert_eq!(
            events(&mut client, &format!("[{id},1]")).await,
            [number.to_string()]
        );
    }
}

#[actix::test]
async fn a_narrower_subscription_has_the_history_of_the_filter_that_covers_it() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, "com.all.a", 0..2).await;
    publish_numbers(&mut client, "com.all.b", 2..4).await;
    let exact = lookup(&mut client, "com.all.b", "exact").await;
    assert_eq!(events(&mut client, &format!("[{exact}]")).await, ["3", "2"]);
    let narrower = lookup(&mut client, "com.all.a", "prefix").await;
    assert_eq!(
        events(&mut client, &format!("[{narrower}]")).await,
        ["1", "0"]
    );
    let held = client.subscribe("com.all.b", "exact").await;
    assert_eq!(held.get(), exact, "lookup and SUBSCRIBE give the same ID");
}

#[actix::test]
async fn the_subscription_of_a_filter_is_permanent() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let id = lookup(&mut client, "com.all.", "prefix").await;
    let list = client.call("wamp.subscription.list", "[]").await.unwrap();
    let prefix = list.as_map().unwrap().list("prefix").unwrap().unwrap();
    assert_eq!(prefix, [Value::from(id)]);
    let matching = client
        .call("wamp.subscription.match", r#"["com.all.x"]"#)
        .await
        .unwrap();
    assert_eq!(matching, Value::List(vec![Value::from(id)]));
    let got = client
        .call("wamp.subscription.get", &format!("[{id}]"))
        .await
        .unwrap();
    assert_eq!(
        got.as_map().unwrap().text("uri").unwrap().unwrap(),
        "com.all."
    );
    let count = format!("[{id}]");
    let counted = client
        .call("wamp.subscription.count_subscribers", &count)
        .await
        .unwrap();
    assert_eq!(counted, Value::from(0_u64));
    let mut watcher = fixture.join().await;
    watcher
        .subscribe("wamp.subscription.on_create", "exact")
        .await;
    watcher
        .subscribe("wamp.subscription.on_delete", "exact")
        .await;
    client.subscribe("com.all.", "prefix").await;
    let counted = client
        .call("wamp.subscription.count_subscribers", &count)
        .await
        .unwrap();
    assert_eq!(counted, Value::from(1_u64));
    client.close();
    watcher.nothing_more().await;
}

#[actix::test]
async fn history_shows_only_what_the_caller_may_receive_live() {
    let setup = Setup {
        filters: vec![filter("com.", Prefix, None)],
        permissions: vec![everything("com.public."), everything("wamp.")],
        ..Setup::default()
    };
    let fixture = setup.start();
    let mut client = fixture.join().await;
    client
        .publish(
            "com.public.a",
            r#""eligible_authrole":["admin"]"#,
            r#"["hidden"]"#,
        )
        .await;
    client
        .publish(
            "com.public.a",
            r#""exclude_authrole":["admin"]"#,
            r#"["shown"]"#,
        )
        .await;
    client
        .publish("com.public.a", r#""exclude":[5]"#, r#"["not stored"]"#)
        .await;
    client
        .publish("com.public.a", r#""exclude_me":true"#, r#"["own"]"#)
        .await;
    let id = lookup(&mut client, "com.public.a", "exact").await;
    assert_eq!(
        events(&mut client, &format!("[{id}]")).await,
        ["own", "shown"]
    );
    let denied = lookup(&mut client, "com.", "prefix").await;
    let error = refused(&mut client, &format!("[{denied}]")).await;
    assert!(error.starts_with("wamp.error.not_authorized"), "{error}");
}

#[actix::test]
async fn wrong_arguments_are_named() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    for (args, expected) in [
        ("[]".to_owned(), "`subscription_id` is missing"),
        ("[[]]".to_owned(), "`subscription_id` is a list"),
        (format!("[{id},\"3\"]"), "`limit` is a string"),
        (format!("[{id},2.5]"), "`limit` is a float"),
        (format!("[{id},true]"), "`limit` is a bool"),
        (format!("[{id},1,1]"), "3 positional arguments"),
        (
            format!("[{id}],{{\"limit\":0}}"),
            "`limit` is 0, expected 1 or more",
        ),
        (format!("[{id}],{{\"limt\":1}}"), "`limt` is not known"),
        (
            format!("[{id},1],{{\"limit\":1}}"),
            "by position and by keyword",
        ),
        (
            format!("[{id}],{{\"from_time\":\"yesterday\"}}"),
            "`from_time` is `yesterday`",
        ),
        (
            format!("[{id}],{{\"from_time\":5}}"),
            "`from_time` is an integer",
        ),
        (
            format!("[{id}],{{\"reverse\":1}}"),
            "`reverse` is an integer",
        ),
        (
            format!("[{id}],{{\"after_publication\":0}}"),
            "`after_publication` is an integer",
        ),
        (
            format!("[{id}],{{\"topic\":\"a..b\"}}"),
            "`topic` is no topic",
        ),
    ] {
        let error = refused(&mut client, &args).await;
        assert!(
            error.starts_with("wamp.error.invalid_argument"),
            "{args}: {error}"
        );
        assert!(error.contains(expected), "{args}: {error}");
    }
    let error = refused(&mut client, "[12345]").await;
    assert!(
        error.starts_with("wamp.error.no_such_subscription"),
        "{error}"
    );
    let uncovered = client.subscribe("net.other", "exact").await;
    let error = refused(&mut client, &format!("[{uncovered}]")).await;
    assert!(
        error.starts_with("wamp.error.history_unavailable"),
        "{error}"
    );
    let meta = client.subscribe("wamp.session.on_join", "exact").await;
    let error = refused(&mut client, &format!("[{meta}]")).await;
    assert!(error.starts_with("wamp.error.not_authorized"), "{error}");
}

#[actix::test]
async fn an_unknown_publication_is_answered_with_what_there_is() {
    let fixture = storing();
    let mut client = fixture.join().await;
    let ids = publish_numbers(&mut client, "com.kept", 0..3).await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    client.send(&[&format!(
        r#"[48,500,{{}},"wamp.subscription.get_events",[{id}],{{"after_publication":77}}]"#
    )]);
    let Message::Error(error) = client.receive().await else {
        panic!()
    };
    assert_eq!(error.error, "rewamp.error.no_such_publication");
    let kwargs = error.payload.kwargs_value().unwrap();
    for (end, publication) in [("oldest", ids[0]), ("newest", ids[2])] {
        let position = kwargs.map(end).unwrap().unwrap();
        assert_eq!(position.unsigned("publication"), Ok(Some(publication)));
        assert!(position.contains("sequence") && position.contains("timestamp"));
    }
}

#[actix::test]
async fn a_page_that_does_not_fit_is_cut_and_says_so_and_one_event_that_cannot_is_an_error() {
    let fixture = storing();
    let mut publisher = fixture.join().await;
    let mut client = fixture.connect(Serializer::Json, 4096);
    client.hello("realm1");
    client.welcome().await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    for _ in 0..5 {
        publisher
            .publish("com.kept", "", &format!(r#"["{}"]"#, "x".repeat(900)))
            .await;
    }
    client.send(&[&format!(
        r#"[48,500,{{}},"wamp.subscription.get_events",[{id}]]"#
    )]);
    let Message::Result(result) = client.receive().await else {
        panic!()
    };
    assert_eq!(result.details.extra.bool("_complete"), Ok(Some(false)));
    let args = result.payload.args_value().unwrap();
    assert_eq!(args[0].as_list().unwrap().len(), 3);
    let large = publisher
        .publish("com.kept", "", &format!(r#"["{}"]"#, "x".repeat(5000)))
        .await;
    let error = refused(&mut client, &format!("[{id}]")).await;
    assert!(error.starts_with("rewamp.error.event_too_large"), "{error}");
    assert!(error.contains(&large.to_string()), "{error}");
}

#[actix::test]
async fn a_publication_too_large_for_the_store_is_refused_and_nobody_sees_it() {
    let fixture = storing();
    let mut subscriber = fixture.join().await;
    subscriber.subscribe("com.kept", "exact").await;
    let mut publisher = fixture.join().await;
    let long = format!(
        r#"[16,1,{{"acknowledge":true}},"com.kept",["{}"]]"#,
        "x".repeat((1 << 20) + 1)
    );
    publisher.send(&[&long]);
    let Message::Error(error) = publisher.receive().await else {
        panic!()
    };
    assert_eq!(error.error, "rewamp.error.store_full");
    subscriber.nothing_more().await;
}

#[actix::test]
async fn without_a_store_there_is_no_history_and_none_is_announced() {
    let fixture = Setup::default().start();
    let mut client = fixture.connect(Serializer::Json, 1 << 24);
    client.hello("realm1");
    let welcome = client.welcome().await;
    assert!(!welcome.details.roles.has_feature("broker", "event_history"));
    let error = refused(&mut client, "[1]").await;
    assert!(
        error.starts_with("wamp.error.history_unavailable"),
        "{error}"
    );
    let mut client = storing().connect(Serializer::Json, 1 << 24);
    client.hello("realm1");
    let welcome = client.welcome().await;
    assert!(welcome.details.roles.has_feature("broker", "event_history"));
}

#[actix::test]
async fn many_questions_at_once_are_all_answered_in_their_order() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, "com.kept", 0..30).await;
    let id = lookup(&mut client, "com.kept", "exact").await;
    let texts: Vec<_> = (0..500)
        .map(|n| {
            format!(
                r#"[48,{},{{}},"wamp.subscription.get_events",[{id},{}]]"#,
                n + 100,
                n % 30
            )
        })
        .collect();
    for chunk in texts.chunks(100) {
        client.send(&chunk.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for n in 0..500_usize {
        let Message::Result(result) = client.receive().await else {
            panic!()
        };
        assert_eq!(result.request.get(), n as u64 + 100);
        let args = result.payload.args_value().unwrap();
        assert_eq!(args[0].as_list().unwrap().len(), n % 30);
    }
}
