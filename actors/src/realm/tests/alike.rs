//! What is like the message before it goes a shorter way through the realm. Nobody must be able to
//! tell: a batch does what its messages would do if each came alone.

use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;

use super::client::Client;
use super::{Fixture, Setup};

/// Everything that comes until what was sent before is done, without random IDs.
async fn all(client: &mut Client) -> Vec<String> {
    client.send(&[r#"[48,99999,{},"wamp.session.count",[]]"#]);
    let mut all = Vec::new();
    loop {
        let message = client.receive().await;
        match &message {
            Message::Result(result) if result.request.get() == 99_999 => return all,
            Message::Event(event) => all.push(format!("{:?} {:?}", event.details, event.payload)),
            Message::Published(published) => all.push(format!("published {}", published.request)),
            Message::Subscribed(subscribed) => {
                all.push(format!("subscribed {}", subscribed.request));
            }
            Message::Invocation(invocation) => {
                all.push(format!("{} {:?}", invocation.request, invocation.payload));
            }
            other => all.push(format!("{other:?}")),
        }
    }
}

/// Runs of publications and calls in which now and then something differs.
fn script() -> Vec<String> {
    let message = |n: usize| {
        let options = match n {
            _ if n.is_multiple_of(23) => r#"{"acknowledge":true,"_unusual":1}"#,
            _ if n.is_multiple_of(5) => r#"{"acknowledge":true}"#,
            _ if (60..75).contains(&n) => r#"{"exclude_me":false}"#,
            _ => "{}",
        };
        let arguments = match n % 9 {
            0 => String::new(),
            1 => format!(r#",[{n}],{{"k":"é"}}"#),
            2 if n.is_multiple_of(4) => format!(r#",["{}"]"#, "x".repeat(600)),
            _ => format!(r#",[{n},"text"]"#),
        };
        let topic = ["com.a", "com.b", "com.nobody", "wamp.no", "not a uri"][(n / 8) % 5];
        match n {
            50 | 120 => format!(r#"[32,{n},{{}},"com.a"]"#),
            _ if (100..118).contains(&n) || n.is_multiple_of(31) => {
                format!(r#"[48,{n},{{}},"com.add"{arguments}]"#)
            }
            _ => format!(r#"[16,{n},{options},"{topic}"{arguments}]"#),
        }
    };
    (1..=200).map(message).collect()
}

struct Seen {
    by_publisher: Vec<String>,
    by_subscribers: Vec<Vec<String>>,
    by_callee: Vec<String>,
    results: Vec<String>,
}

async fn subscriber(fixture: &Fixture, serializer: Serializer, limit: usize) -> Client {
    let mut subscriber = fixture.connect(serializer, limit);
    subscriber.hello("realm1");
    subscriber.welcome().await;
    subscriber
}

async fn play(of_publisher: Serializer, at_once: bool) -> Seen {
    let fixture = Setup::default().start();
    let send = |client: &mut Client, texts: &[String]| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let reads = if at_once { texts.len() } else { 1 };
        texts.chunks(reads).for_each(|read| client.send(read));
    };
    let mut wide = subscriber(&fixture, Serializer::Json, 1 << 24).await;
    let mut narrow = subscriber(&fixture, Serializer::Json, 512).await;
    let mut other = subscriber(&fixture, Serializer::MsgPack, 1 << 24).await;
    for client in [&mut wide, &mut narrow] {
        client.subscribe("com.a", "exact").await;
    }
    for client in [&mut wide, &mut other] {
        client.subscribe("com.b", "exact").await;
    }
    let mut callee = fixture.join_with(Serializer::MsgPack).await;
    callee.send(&[r#"[64,1,{},"com.add"]"#]);
    assert!(matches!(callee.receive().await, Message::Registered(_)));

    let mut publisher = fixture.join_with(of_publisher).await;
    send(&mut publisher, &script());
    let by_publisher = all(&mut publisher).await;
    let mut by_subscribers = Vec::new();
    for client in [&mut wide, &mut narrow, &mut other] {
        by_subscribers.push(all(client).await);
    }
    let by_callee = all(&mut callee).await;
    // Answered out of order, twice, and with what the caller does not speak.
    let answers: Vec<String> = (1..=by_callee.len() + 1)
        .rev()
        .chain(5..8)
        .map(|invocation| match invocation % 4 {
            0 => format!("[70,{invocation},{{}}]"),
            1 => format!(r#"[8,68,{invocation},{{}},"com.error.no"]"#),
            _ => format!("[70,{invocation},{{}},[{invocation}]]"),
        })
        .collect();
    send(&mut callee, &answers);
    assert_eq!(all(&mut callee).await, Vec::<String>::new());
    let results = all(&mut publisher).await;
    Seen {
        by_publisher,
        by_subscribers,
        by_callee,
        results,
    }
}

fn sorted(mut seen: Vec<String>) -> Vec<String> {
    seen.sort();
    seen
}

#[actix::test]
async fn a_batch_does_what_its_messages_would_do_if_each_came_alone() {
    for of_publisher in Serializer::ALL {
        let (batch, single) = (
            play(of_publisher, true).await,
            play(of_publisher, false).await,
        );
        assert!(single.by_subscribers.iter().all(|seen| seen.len() > 10));
        assert!(single.by_callee.len() > 20 && single.results.len() == single.by_callee.len());
        assert_eq!(batch.by_subscribers, single.by_subscribers);
        assert_eq!(batch.by_callee, single.by_callee);
        // Answers of a batch go out together, errors before them.
        assert_eq!(sorted(batch.by_publisher), sorted(single.by_publisher));
        assert_eq!(sorted(batch.results), sorted(single.results));
    }
}
