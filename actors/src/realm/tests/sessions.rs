use bytes::Bytes;
use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;

use super::Setup;

/// Before or after joining, this text ends the session with this reason.
async fn aborts(joined: bool, text: &str, reason: &str) {
    let fixture = Setup::default().start();
    let mut client = fixture.connect(Serializer::Json, 1 << 24);
    if joined {
        client.hello("realm1");
        client.welcome().await;
    }
    client.send_frames(vec![Bytes::copy_from_slice(text.as_bytes())]);
    let Some(Message::Abort(abort)) = client.next().await else {
        panic!("{text}")
    };
    assert_eq!(abort.reason, reason, "{text}");
    assert!(abort.details.contains("message"), "{text}");
    assert_eq!(client.next().await, None, "{text}: the connection closes");
    let mut other = fixture.join().await;
    other.nothing_more().await;
}

#[actix::test]
async fn what_is_out_of_order_or_unreadable_ends_the_session_with_its_reason() {
    let violation = "wamp.error.protocol_violation";
    aborts(
        false,
        r#"[1,"nosuch",{"roles":{"caller":{}}}]"#,
        "wamp.error.no_such_realm",
    )
    .await;
    aborts(
        false,
        r#"[1,"",{"roles":{"caller":{}}}]"#,
        "wamp.error.no_such_realm",
    )
    .await;
    aborts(false, r#"[16,1,{},"com.a"]"#, violation).await;
    aborts(false, r#"[5,"x",{}]"#, violation).await;
    aborts(false, "nonsense", violation).await;
    aborts(
        false,
        r#"[1,"realm1",{"roles":{},"authmethods":["x"]}]"#,
        "wamp.error.no_auth_method",
    )
    .await;
    aborts(true, r#"[1,"realm1",{"roles":{"caller":{}}}]"#, violation).await;
    aborts(true, r#"[36,1,1,{}]"#, violation).await;
    aborts(true, r#"[2,1,{}]"#, violation).await;
    aborts(true, "[999]", violation).await;
    aborts(true, "{}", violation).await;
    aborts(true, r#"[16,1,{},"com.a",[1]"#, violation).await;
}

#[actix::test]
async fn nesting_beyond_the_limit_is_answered_and_harms_nobody() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    let deep = format!(
        r#"[16,1,{{"acknowledge":true}},"com.a",{}1{}]"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    client.send_frames(vec![deep.into()]);
    let answer = client.next().await;
    assert!(
        matches!(answer, Some(Message::Error(_) | Message::Abort(_))),
        "{answer:?}"
    );
    fixture.join().await.nothing_more().await;
}

#[actix::test]
async fn goodbye_is_answered_and_the_connection_can_be_used_again() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    client.subscribe("com.a", "exact").await;
    client.send(&[
        r#"[16,50,{"acknowledge":true},"com.b",[1]]"#,
        r#"[6,{},"wamp.close.close_realm"]"#,
    ]);
    assert!(matches!(client.receive().await, Message::Published(_)));
    let Message::Goodbye(goodbye) = client.receive().await else {
        panic!()
    };
    assert_eq!(goodbye.reason, "wamp.close.goodbye_and_out");
    client.hello("realm1");
    client.welcome().await;
    let mut other = fixture.join().await;
    other.publish("com.a", "", "[1]").await;
    client.nothing_more().await;
}

#[actix::test]
async fn a_session_that_goes_is_gone_from_its_realm() {
    let fixture = Setup::default().start();
    let mut watcher = fixture.join().await;
    watcher.subscribe("wamp.session.on_leave", "exact").await;
    let mut client = fixture.join().await;
    client.close();
    assert!(matches!(watcher.receive().await, Message::Event(_)));
    let count = watcher.call("wamp.session.count", "[]").await;
    assert_eq!(count, Ok(1_u64.into()));
}

#[actix::test]
async fn a_clean_stop_says_goodbye_behind_what_still_waits() {
    let fixture = Setup::default().start();
    let mut client = fixture.join().await;
    client.subscribe("com.a", "exact").await;
    let mut publisher = fixture.join().await;
    publisher.publish("com.a", "", "[1]").await;
    super::super::stop(&fixture.realm).await;
    assert!(matches!(client.next().await, Some(Message::Event(_))));
    let Some(Message::Goodbye(goodbye)) = client.next().await else {
        panic!()
    };
    assert_eq!(goodbye.reason, "wamp.close.system_shutdown");
    assert_eq!(client.next().await, None);
}
