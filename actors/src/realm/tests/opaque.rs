//! Opaque payloads: what only the receiver can read passes through as it is, live and from history.

use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy::Prefix;
use rewamp_wamp::value::Value;

use super::{Setup, filter};

const OPTIONS: &str = r#""enc_algo":"cryptobox","enc_key":"k","enc_serializer":"cbor""#;
/// The bytes 1, 2, 3 as JSON has them.
const PAYLOAD: &str = r#""\u0000AQID""#;

#[actix::test]
async fn an_opaque_event_reaches_subscribers_of_every_serializer() {
    let fixture = Setup::default().start();
    for of_publisher in Serializer::ALL {
        let mut publisher = fixture.join_with(of_publisher).await;
        for of_subscriber in Serializer::ALL {
            let mut subscriber = fixture.join_with(of_subscriber).await;
            let id = subscriber.subscribe("com.a", "exact").await;
            let publication = publisher.publish("com.a", OPTIONS, PAYLOAD).await;
            assert_eq!(
                subscriber.receive_text().await,
                format!("[36,{id},{publication},{{{OPTIONS}}},{PAYLOAD}]")
            );
        }
    }
}

#[actix::test]
async fn opaque_calls_results_and_errors_pass_through() {
    let fixture = Setup::default().start();
    for serializer in Serializer::ALL {
        let mut callee = fixture.join_with(serializer).await;
        callee.send(&[r#"[64,1,{},"com.secret"]"#]);
        let registered = callee.receive_text().await;
        let registration = registered.trim_end_matches(']').rsplit(',').next().unwrap();
        let mut caller = fixture.join().await;
        let mut invoked = async |request: u32| {
            caller.send(&[&format!(
                r#"[48,{request},{{{OPTIONS}}},"com.secret",{PAYLOAD}]"#
            )]);
            assert_eq!(
                callee.receive_text().await,
                format!("[68,{request},{registration},{{{OPTIONS}}},{PAYLOAD}]")
            );
        };
        invoked(1).await;
        invoked(2).await;
        callee.send(&[
            &format!("[70,1,{{{OPTIONS}}},{PAYLOAD}]"),
            &format!(r#"[8,68,2,{{{OPTIONS}}},"com.no",{PAYLOAD}]"#),
        ]);
        assert_eq!(
            caller.receive_text().await,
            format!("[50,1,{{{OPTIONS}}},{PAYLOAD}]")
        );
        assert_eq!(
            caller.receive_text().await,
            format!(r#"[8,48,2,{{{OPTIONS}}},"com.no",{PAYLOAD}]"#)
        );
        callee.send(&[r#"[6,{},"wamp.close.normal"]"#]);
        callee.receive().await;
    }
}

#[actix::test]
async fn history_gives_an_opaque_payload_back_with_what_says_how_to_read_it() {
    let fixture = Setup::storing(vec![filter("com.", Prefix, Some(50))]).start();
    for serializer in Serializer::ALL {
        let mut publisher = fixture.join_with(serializer).await;
        publisher.publish("com.a", OPTIONS, PAYLOAD).await;
    }
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        let id = client.subscribe("com.", "prefix").await;
        let page = client
            .call("wamp.subscription.get_events", &format!("[{id}]"))
            .await
            .unwrap();
        assert_eq!(page.as_list().unwrap().len(), 3);
        for event in page.as_list().unwrap() {
            let event = event.as_map().unwrap();
            assert_eq!(event.get("args"), Some(&Value::Null));
            assert_eq!(event.get("kwargs"), Some(&Value::Null));
            let payload = Value::Binary(bytes::Bytes::from_static(&[1, 2, 3]));
            assert_eq!(event.get("payload"), Some(&payload));
            let details = event.map("details").unwrap().unwrap();
            assert_eq!(details.text("enc_algo").unwrap().unwrap(), "cryptobox");
        }
    }
    let mut late = fixture.join().await;
    late.send(&[r#"[32,5,{"match":"prefix","_replay":{"last":3}},"com."]"#]);
    late.receive().await;
    for _ in 0..3 {
        let event = late.receive_text().await;
        assert!(event.ends_with(&format!(",{PAYLOAD}]")), "{event}");
        assert!(event.contains(OPTIONS), "{event}");
    }
}

#[actix::test]
async fn without_an_algorithm_arguments_are_a_list() {
    let fixture = Setup::default().start();
    for options in ["", r#""enc_algo":"none of these""#] {
        let mut client = fixture.join().await;
        client.send(&[&format!(r#"[16,1,{{{options}}},"com.a",{PAYLOAD}]"#)]);
        let answer = client.receive_text().await;
        assert!(answer.contains("PUBLISH.Arguments"), "{answer}");
    }
}
