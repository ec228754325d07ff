use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::value::Value;

use super::client::Client;
use super::{Fixture, Setup};

async fn callee(fixture: &Fixture, serializer: Serializer) -> Client {
    let mut callee = fixture.join_with(serializer).await;
    callee.send(&[r#"[64,1,{},"com.add"]"#]);
    let answer = callee.receive().await;
    assert!(matches!(answer, Message::Registered(_)), "{answer:?}");
    callee
}

async fn invocation(callee: &mut Client) -> u64 {
    match callee.receive().await {
        Message::Invocation(invocation) => invocation.request.get(),
        other => panic!("{other:?} instead of INVOCATION"),
    }
}

#[actix::test]
async fn a_call_reaches_its_callee_and_the_result_its_caller_over_every_serializer() {
    let fixture = Setup::default().start();
    for of_callee in Serializer::ALL {
        let mut callee = callee(&fixture, of_callee).await;
        for of_caller in Serializer::ALL {
            let mut caller = fixture.join_with(of_caller).await;
            caller.send(&[r#"[48,7,{},"com.add",[20,22],{"k":"v"}]"#]);
            let Message::Invocation(invocation) = callee.receive().await else {
                panic!()
            };
            assert_eq!(invocation.details.caller, None);
            let args = invocation.payload.args_value().unwrap();
            assert_eq!(args, [Value::from(20_u64), Value::from(22_u64)]);
            let kwargs = invocation.payload.kwargs_value().unwrap();
            assert_eq!(kwargs.text("k").unwrap().unwrap(), "v");
            callee.send(&[&format!("[70,{},{{}},[42]]", invocation.request)]);
            assert_eq!(caller.receive_text().await, "[50,7,{},[42]]");
        }
        callee.send(&[r#"[6,{},"wamp.close.normal"]"#]);
        assert!(matches!(callee.receive().await, Message::Goodbye(_)));
    }
}

#[actix::test]
async fn an_error_of_the_callee_reaches_the_caller_with_all_it_says() {
    let fixture = Setup::default().start();
    let mut callee = callee(&fixture, Serializer::Json).await;
    let mut caller = fixture.join().await;
    caller.send(&[r#"[48,7,{},"com.add",[1]]"#]);
    let request = invocation(&mut callee).await;
    callee.send(&[&format!(
        r#"[8,68,{request},{{}},"com.error.no",["why"],{{"k":1}}]"#
    )]);
    assert_eq!(
        caller.receive_text().await,
        r#"[8,48,7,{},"com.error.no",["why"],{"k":1}]"#
    );
}

#[actix::test]
async fn a_procedure_is_registered_once() {
    let fixture = Setup::default().start();
    let _first = callee(&fixture, Serializer::Json).await;
    let mut second = fixture.join().await;
    second.send(&[
        r#"[64,1,{},"com.add"]"#,
        r#"[64,2,{"match":"prefix"},"com."]"#,
    ]);
    for expected in [
        "wamp.error.procedure_already_exists",
        "wamp.error.option_not_allowed",
    ] {
        let Message::Error(error) = second.receive().await else {
            panic!()
        };
        assert_eq!(error.error, expected);
    }
}

#[actix::test]
async fn those_who_wait_for_a_callee_that_leaves_are_told() {
    let fixture = Setup::default().start();
    let mut callee = callee(&fixture, Serializer::Json).await;
    let mut caller = fixture.join().await;
    caller.send(&[r#"[48,7,{},"com.add",[1]]"#]);
    invocation(&mut callee).await;
    callee.close();
    let Message::Error(error) = caller.receive().await else {
        panic!()
    };
    assert_eq!(error.error, "wamp.error.canceled");
    let answer = caller.call("com.add", "[1]").await.unwrap_err();
    assert!(
        answer.starts_with("wamp.error.no_such_procedure"),
        "{answer}"
    );
}

#[actix::test]
async fn an_answer_for_a_caller_that_left_finds_nobody_and_harms_nobody() {
    let fixture = Setup::default().start();
    let mut callee = callee(&fixture, Serializer::Json).await;
    let mut caller = fixture.join().await;
    caller.send(&[r#"[48,7,{},"com.add",[1]]"#]);
    let request = invocation(&mut callee).await;
    let mut watcher = fixture.join().await;
    watcher.subscribe("wamp.session.on_leave", "exact").await;
    caller.close();
    assert!(matches!(watcher.receive().await, Message::Event(_)));
    callee.send(&[
        &format!("[70,{request},{{}},[1]]"),
        &format!("[70,{request},{{}},[1]]"),
    ]);
    callee.nothing_more().await;
}

#[actix::test]
async fn a_result_over_the_callers_message_limit_is_an_error_for_that_call() {
    let fixture = Setup::default().start();
    let mut callee = callee(&fixture, Serializer::Json).await;
    let mut caller = fixture.connect(Serializer::Json, 512);
    caller.hello("realm1");
    caller.welcome().await;
    caller.send(&[r#"[48,7,{},"com.add",[1]]"#]);
    let request = invocation(&mut callee).await;
    callee.send(&[&format!(r#"[70,{request},{{}},["{}"]]"#, "x".repeat(600))]);
    let Message::Error(error) = caller.receive().await else {
        panic!()
    };
    assert_eq!(error.error, "wamp.error.payload_size_exceeded");
}
