use rewamp_wamp::message::Message;
use rewamp_wamp::value::Value;

use super::Setup;
use crate::meta::PROCEDURES;

#[actix::test]
async fn every_procedure_is_there_and_counts_its_arguments() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    for procedure in PROCEDURES {
        let many = vec!["1"; procedure.parameters.len() + 1].join(",");
        let error = client
            .call(procedure.uri, &format!("[{many}]"))
            .await
            .unwrap_err();
        assert!(
            error.starts_with("wamp.error.invalid_argument"),
            "{}: {error}",
            procedure.uri
        );
        let error = client
            .call(procedure.uri, r#"[],{"no_such":1}"#)
            .await
            .unwrap_err();
        assert!(
            !error.starts_with("wamp.error.no_such_procedure"),
            "{}: {error}",
            procedure.uri
        );
    }
    let error = client
        .call("wamp.session.kill_all", "[]")
        .await
        .unwrap_err();
    assert!(error.starts_with("wamp.error.no_such_procedure"), "{error}");
}

#[actix::test]
async fn sessions_are_counted_listed_and_described() {
    let fixture = Setup::default().start();
    let mut client = fixture.connect(rewamp_wamp::serializer::Serializer::Json, 1 << 24);
    client.hello("realm1");
    let id = client.welcome().await.session.get();
    let _other = fixture.join().await;
    assert_eq!(
        client.call("wamp.session.count", "[]").await,
        Ok(Value::from(2_u64))
    );
    let filtered = client.call("wamp.session.count", r#"[["admin"]]"#).await;
    assert_eq!(filtered, Ok(Value::from(0_u64)));
    let list = client
        .call("wamp.session.list", r#"[["anonymous"]]"#)
        .await
        .unwrap();
    assert_eq!(list.as_list().unwrap().len(), 2);
    assert!(list.as_list().unwrap().contains(&Value::from(id)));
    let got = client
        .call("wamp.session.get", &format!("[{id}]"))
        .await
        .unwrap();
    let details = got.as_map().unwrap();
    assert_eq!(details.unsigned("session"), Ok(Some(id)));
    assert_eq!(details.text("authmethod").unwrap().unwrap(), "anonymous");
    let error = client.call("wamp.session.get", "[7]").await.unwrap_err();
    assert_eq!(
        error,
        "wamp.error.no_such_session no session with ID 7 exists on this router"
    );
    let error = client
        .call("wamp.session.count", r#"["admin"]"#)
        .await
        .unwrap_err();
    assert!(error.starts_with("wamp.error.invalid_argument"), "{error}");
}

#[actix::test]
async fn subscriptions_are_looked_up_matched_listed_and_described() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    assert_eq!(
        client.call("wamp.subscription.match", r#"["com.a"]"#).await,
        Ok(Value::Null)
    );
    let exact = client.subscribe("com.a", "exact").await.get();
    let wildcard = client.subscribe("com.", "wildcard").await.get();
    client.subscribe("wamp.session.on_join", "exact").await;
    let looked_up = client
        .call("wamp.subscription.lookup", r#"["com.a"]"#)
        .await;
    assert_eq!(looked_up, Ok(Value::from(exact)));
    let options = r#"["com.",{"match":"wildcard"}]"#;
    let looked_up = client.call("wamp.subscription.lookup", options).await;
    assert_eq!(looked_up, Ok(Value::from(wildcard)));
    let other = client
        .call(
            "wamp.subscription.lookup",
            r#"["com.a",{"match":"prefix"}]"#,
        )
        .await;
    assert_eq!(other, Ok(Value::Null));
    let error = client
        .call("wamp.subscription.lookup", r#"["a",{"match":"foo"}]"#)
        .await;
    assert!(error.unwrap_err().contains("`foo`"));
    let matching = client
        .call("wamp.subscription.match", r#"["com.a"]"#)
        .await
        .unwrap();
    assert_eq!(
        matching,
        Value::List(vec![Value::from(exact), Value::from(wildcard)])
    );
    let list = client.call("wamp.subscription.list", "[]").await.unwrap();
    let list = list.as_map().unwrap();
    assert_eq!(
        list.list("exact").unwrap().unwrap(),
        [Value::from(exact)],
        "no wamp.*"
    );
    assert_eq!(
        list.list("wildcard").unwrap().unwrap(),
        [Value::from(wildcard)]
    );
    let args = format!("[{exact}]");
    let subscribers = client
        .call("wamp.subscription.list_subscribers", &args)
        .await
        .unwrap();
    assert_eq!(subscribers.as_list().unwrap().len(), 1);
    for procedure in ["get", "list_subscribers", "count_subscribers"] {
        let error = client
            .call(&format!("wamp.subscription.{procedure}"), "[5]")
            .await;
        assert!(
            error
                .unwrap_err()
                .starts_with("wamp.error.no_such_subscription")
        );
    }
}

#[actix::test]
async fn meta_events_tell_of_sessions_and_subscriptions() {
    let fixture = Setup::default().start();
    let mut watcher = fixture.join().await;
    watcher.subscribe("wamp.", "prefix").await;
    let mut topics = Vec::new();
    let mut client = fixture.join().await;
    let id = client.subscribe("com.a", "exact").await;
    client.send(&[&format!("[34,9,{id}]")]);
    assert!(matches!(client.receive().await, Message::Unsubscribed(_)));
    client.close();
    while topics
        .last()
        .is_none_or(|topic| topic != "wamp.session.on_leave")
    {
        if let Message::Event(event) = watcher.receive().await {
            topics.push(event.details.topic.unwrap().to_string());
        }
    }
    // Nothing of its own subscribing: that is one to the router's events.
    let expected = [
        "wamp.session.on_join",
        "wamp.subscription.on_create",
        "wamp.subscription.on_subscribe",
        "wamp.subscription.on_unsubscribe",
        "wamp.subscription.on_delete",
        "wamp.session.on_leave",
    ];
    assert_eq!(topics, expected);
}
