//! A realm whose event store could not be opened, and what becomes of it when it is.

use std::sync::Arc;

use rewamp_history::Filter;
use rewamp_wamp::message::Message;
use rewamp_wamp::uri::MatchPolicy;

use super::{Setup, Unavailable};
use crate::metrics::Id;
use crate::realm::StoreOpened;

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
