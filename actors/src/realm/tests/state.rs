use rewamp_wamp::uri::MatchPolicy::Prefix;

use super::client::Client;
use super::{Setup, filter};

const GET_EVENTS: &str = "wamp.subscription.get_events";

async fn shown(client: &mut Client, args: &str) -> Vec<String> {
    let events = client.call(GET_EVENTS, args).await.unwrap();
    let text = |event: &rewamp_wamp::value::Value| {
        let event = event.as_map().unwrap();
        let args = event.list("args").unwrap().unwrap();
        args[0].as_str().unwrap().to_owned()
    };
    events.as_list().unwrap().iter().map(text).collect()
}

#[actix::test]
async fn last_per_topic_is_the_state_now_or_as_of_any_time() {
    let fixture = Setup::storing(vec![filter("com.", Prefix, Some(1_000))]).start();
    let mut client = fixture.join().await;
    let mut times = Vec::new();
    for (topic, value) in [
        ("com.a", "a1"),
        ("com.b", "b1"),
        ("com.a", "a2"),
        ("com.a", "a3"),
        ("com.c", "c1"),
    ] {
        client.publish(topic, "", &format!(r#"["{value}"]"#)).await;
        times.push(jiff::Timestamp::now());
    }
    let id = client
        .call("wamp.subscription.lookup", r#"["com.",{"match":"prefix"}]"#)
        .await
        .unwrap()
        .as_u64()
        .unwrap();
    for (keywords, expected) in [
        (String::new(), vec!["b1", "a3", "c1"]),
        (r#","reverse":true"#.to_owned(), vec!["c1", "a3", "b1"]),
        (r#","limit":2"#.to_owned(), vec!["b1", "a3"]),
        (format!(r#","until_time":"{}""#, times[2]), vec!["b1", "a2"]),
        (r#","topic":"com.a""#.to_owned(), vec!["a3"]),
    ] {
        let args = format!(r#"[{id}],{{"last_per_topic":1{keywords}}}"#);
        assert_eq!(shown(&mut client, &args).await, expected, "{keywords}");
    }
    let two = format!(r#"[{id}],{{"last_per_topic":2}}"#);
    assert_eq!(shown(&mut client, &two).await, ["b1", "a2", "a3", "c1"]);
    // The same as a number without a fraction, as clients in JavaScript may send it.
    let two = format!(r#"[{id},3],{{"last_per_topic":2.0,"reverse":true}}"#);
    assert_eq!(shown(&mut client, &two).await, ["c1", "a3", "a2"]);
}

#[actix::test]
async fn last_per_topic_is_an_integer_from_1() {
    let fixture = Setup::storing(vec![filter("com.", Prefix, Some(1_000))]).start();
    let mut client = fixture.join().await;
    let id = client.subscribe("com.", "prefix").await;
    for (value, expected) in [
        ("0", "is 0, expected 1 or more"),
        ("-3", "is -3, expected 1 or more"),
        (r#""2""#, "is a string, expected an integer from 1"),
        ("true", "is a bool, expected an integer from 1"),
        ("[1]", "is a list, expected an integer from 1"),
    ] {
        let args = format!(r#"[{id}],{{"last_per_topic":{value}}}"#);
        let error = client.call(GET_EVENTS, &args).await.unwrap_err();
        assert!(error.starts_with("wamp.error.invalid_argument"), "{error}");
        assert!(
            error.contains("`last_per_topic`") && error.contains(expected),
            "{error}"
        );
    }
    let none = format!(r#"[{id}],{{"last_per_topic":null,"limit":1}}"#);
    assert!(client.call(GET_EVENTS, &none).await.is_ok());
}
