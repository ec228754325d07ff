//! Walks by cursor, and what `history_info` says.

use proptest::prelude::*;
use rewamp_wamp::message::Message;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};
use rewamp_wamp::value::{Dict, Value};

use super::client::Client;
use super::{Fixture, Setup, everything, filter};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const HISTORY_INFO: &str = "rewamp.subscription.history_info";

/// A page: the first arguments of its events, whether it is complete, and the cursor.
struct Page {
    shown: Vec<String>,
    complete: bool,
    cursor: Option<String>,
}

async fn page(client: &mut Client, args: &str) -> Result<Page, (String, Dict)> {
    client.send(&[&format!(r#"[48,9000,{{}},"{GET_EVENTS}",{args}]"#)]);
    match client.receive().await {
        Message::Result(result) => {
            let events = result.payload.args_value().unwrap().remove(0);
            let shown = events.as_list().unwrap().iter().map(|event| {
                let args = event.as_map().unwrap().list("args").unwrap().unwrap();
                args[0].as_str().unwrap().to_owned()
            });
            let further = &result.details.extra;
            let text = |name: &str| further.text(name).unwrap().map(ToString::to_string);
            Ok(Page {
                shown: shown.collect(),
                complete: further.get("_complete").is_none(),
                cursor: text("_cursor"),
            })
        }
        Message::Error(error) => Err((
            error.error.to_string(),
            error.payload.kwargs_value().unwrap(),
        )),
        other => panic!("{other:?} instead of RESULT"),
    }
}

/// Walks to the end from a first call with these arguments; says what each page had.
async fn walk(client: &mut Client, id: u64, first: &str) -> Vec<Vec<String>> {
    let mut next = page(client, first).await.unwrap();
    let mut pages = Vec::new();
    loop {
        assert!(next.complete);
        pages.push(next.shown);
        assert!(pages.len() < 100, "the walk does not end");
        let Some(cursor) = next.cursor else {
            return pages;
        };
        let args = format!(r#"[{id}],{{"_cursor":"{cursor}"}}"#);
        next = page(client, &args).await.unwrap();
    }
}

async fn publish_numbers(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let topic = ["com.a", "com.b", "com.c"][number % 3];
        client.publish(topic, "", &format!(r#"["{number}"]"#)).await;
    }
}

fn storing() -> Fixture {
    Setup::storing(vec![filter("com.", Prefix, Some(1_000))]).start()
}

fn texts(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[actix::test]
async fn a_walk_shows_all_pages_and_then_has_no_cursor() {
    let fixture = storing();
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        if serializer == Serializer::ALL[0] {
            publish_numbers(&mut client, 0..20).await;
        }
        let id = client.subscribe("com.", "prefix").await.get();
        for (first, lengths, expected) in [
            (r#""limit":8"#, vec![8, 8, 4], texts(0..20)),
            (r#""limit":10"#, vec![10, 10], texts(0..20)),
            (r#""limit":20"#, vec![20], texts(0..20)),
            (r#""limit":20,"reverse":false"#, vec![20], texts(0..20)),
            (
                r#""limit":7,"reverse":true"#,
                vec![7, 7, 6],
                texts((0..20).rev()),
            ),
            (
                r#""limit":3,"topic":"com.b""#,
                vec![3, 3, 1],
                texts((1..20).step_by(3)),
            ),
            (
                r#""limit":2,"last_per_topic":2"#,
                vec![2, 2, 2],
                texts(14..20),
            ),
            (
                r#""limit":4,"last_per_topic":2,"reverse":true"#,
                vec![4, 2],
                texts((14..20).rev()),
            ),
        ] {
            let args = format!(r#"[{id}],{{"_cursor":true,{first}}}"#);
            let pages = walk(&mut client, id, &args).await;
            let found: Vec<usize> = pages.iter().map(Vec::len).collect();
            assert_eq!(found, lengths, "{first} {serializer:?}");
            assert_eq!(pages.concat(), expected, "{first}");
        }
        let positional = format!(r#"[{id},15],{{"_cursor":true}}"#);
        let pages = walk(&mut client, id, &positional).await;
        assert_eq!((pages.len(), pages.concat()), (2, texts(0..20)));
        let none = format!(r#"[{id}],{{"_cursor":false,"limit":3}}"#);
        let none = page(&mut client, &none).await.unwrap();
        assert_eq!((none.shown.len(), none.cursor), (3, None));
    }
}

#[actix::test]
async fn a_cursor_has_room_for_a_long_topic() {
    let fixture = storing();
    for serializer in Serializer::ALL {
        let mut client = fixture.join_with(serializer).await;
        let topic = format!("com.{}", "x".repeat(1_000));
        for number in 0..2 {
            let args = format!(r#"["{number}"]"#);
            client.publish(&topic, "", &args).await;
        }
        let id = client.subscribe("com.", "prefix").await.get();
        let first = format!(r#"[{id}],{{"_cursor":true,"limit":1,"topic":"{topic}"}}"#);
        let pages = walk(&mut client, id, &first).await;
        assert_eq!(pages.concat()[..2], ["0", "1"], "{serializer:?}");
    }
}

#[actix::test]
async fn a_number_by_position_is_the_length_of_the_page() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, 0..20).await;
    let id = client.subscribe("com.", "prefix").await;
    let begin = page(&mut client, &format!(r#"[{id},3],{{"_cursor":true}}"#)).await;
    let begin = begin.unwrap();
    assert_eq!(begin.shown, texts(0..3));
    let cursor = begin.cursor.unwrap();
    let next = format!(r#"[{id},6],{{"_cursor":"{cursor}"}}"#);
    let next = page(&mut client, &next).await.unwrap();
    assert_eq!(next.shown, texts(3..9));
    // The same cursor shows the same page again.
    let again = format!(r#"[{id}],{{"_cursor":"{cursor}"}}"#);
    assert_eq!(page(&mut client, &again).await.unwrap().shown, texts(3..6));
    let nothing = format!(r#"[{id},0],{{"_cursor":"{cursor}"}}"#);
    let (error, _) = page(&mut client, &nothing).await.err().unwrap();
    assert_eq!(error, "wamp.error.invalid_argument");
}

#[actix::test]
async fn a_cursor_carries_its_question_and_no_other() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, 0..20).await;
    let id = client.subscribe("com.", "prefix").await;
    let other = client.subscribe("com.a", "exact").await;
    let first = format!(
        r#"[{id}],{{"_cursor":true,"limit":2,"topic":"com.a","until_time":"2100-01-01T00:00:00Z"}}"#
    );
    let cursor = page(&mut client, &first).await.unwrap().cursor.unwrap();
    for same in [
        "",
        r#","limit":2"#,
        r#","topic":"com.a""#,
        r#","reverse":false"#,
        r#","until_time":"2100-01-01T02:00:00+02:00","limit":2"#,
    ] {
        let args = format!(r#"[{id}],{{"_cursor":"{cursor}"{same}}}"#);
        let next = page(&mut client, &args).await.unwrap();
        assert_eq!(next.shown, ["6", "9"], "{same}");
    }
    for (differs, name) in [
        (r#""limit":3"#, "limit"),
        (r#""topic":"com.b""#, "topic"),
        (r#""reverse":true"#, "reverse"),
        (r#""until_time":"2101-01-01T00:00:00Z""#, "until_time"),
        (r#""from_time":"1998-01-01T00:00:00Z""#, "from_time"),
        (r#""after_publication":5"#, "after_publication"),
        (r#""before_sequence":5"#, "before_sequence"),
        (r#""last_per_topic":1"#, "last_per_topic"),
    ] {
        let args = format!(r#"[{id}],{{"_cursor":"{cursor}",{differs}}}"#);
        let error = client.call(GET_EVENTS, &args).await.unwrap_err();
        assert!(error.starts_with("wamp.error.invalid_argument"), "{error}");
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
    let elsewhere = format!(r#"[{other}],{{"_cursor":"{cursor}"}}"#);
    let error = client.call(GET_EVENTS, &elsewhere).await.unwrap_err();
    assert!(error.contains("`subscription_id`"), "{error}");
}

#[actix::test]
async fn what_is_no_cursor_is_an_invalid_argument() {
    let fixture = storing();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, 0..5).await;
    let id = client.subscribe("com.", "prefix").await;
    let first = format!(r#"[{id},2],{{"_cursor":true}}"#);
    let cursor = page(&mut client, &first).await.unwrap().cursor.unwrap();
    let mut changed = cursor.clone();
    changed.replace_range(40..41, if &cursor[40..41] == "A" { "B" } else { "A" });
    for text in [r#""""#, r#""x""#, "7", "[]", &format!(r#""{changed}""#)] {
        let args = format!(r#"[{id}],{{"_cursor":{text}}}"#);
        let (error, _) = page(&mut client, &args).await.err().unwrap();
        assert_eq!(error, "wamp.error.invalid_argument", "{text}");
    }
}

#[actix::test]
async fn a_cursor_of_another_life_is_told() {
    let fixtures = [storing(), storing()];
    let mut incarnations = Vec::new();
    let mut cursors = Vec::new();
    for fixture in &fixtures {
        let mut client = fixture.join().await;
        publish_numbers(&mut client, 0..5).await;
        let id = client.subscribe("com.", "prefix").await;
        let first = format!(r#"[{id},2],{{"_cursor":true}}"#);
        cursors.push((id, page(&mut client, &first).await.unwrap().cursor.unwrap()));
        let info = client.call(HISTORY_INFO, &format!("[{id}]")).await.unwrap();
        let incarnation = info.as_map().unwrap().text("incarnation").unwrap();
        incarnations.push(incarnation.unwrap().to_string());
    }
    // Even its subscription does not exist any more.
    let mut client = fixtures[1].join().await;
    let (id, cursor) = &cursors[0];
    let args = format!(r#"[{id}],{{"_cursor":"{cursor}"}}"#);
    let (error, kwargs) = page(&mut client, &args).await.err().unwrap();
    assert_eq!(error, "rewamp.error.no_such_cursor");
    let text = |name: &str| kwargs.text(name).unwrap().unwrap().to_string();
    assert_eq!(text("cursor_incarnation"), incarnations[0]);
    assert_eq!(text("incarnation"), incarnations[1]);
}

#[actix::test]
async fn a_cursor_shows_nobody_what_is_not_for_him() {
    let permissions = vec![
        everything("com.a"),
        everything("wamp."),
        everything("rewamp."),
    ];
    let open = storing();
    let mut client = open.join().await;
    publish_numbers(&mut client, 0..9).await;
    client
        .publish(
            "com.a",
            r#""exclude_authrole":["anonymous"]"#,
            r#"["hidden"]"#,
        )
        .await;
    publish_numbers(&mut client, 9..12).await;
    let id = client.subscribe("com.", "prefix").await.get();
    let first = format!(r#"[{id},2],{{"_cursor":true}}"#);
    let pages = walk(&mut client, id, &first).await;
    assert_eq!(pages.concat(), texts(0..12));
    // A role that may not subscribe to it does not get further by having a cursor.
    let setup = Setup {
        permissions,
        ..Setup::storing(vec![filter("com.", Prefix, None)])
    };
    let closed = setup.start();
    let mut client = closed.join().await;
    let looked_up = client
        .call("wamp.subscription.lookup", r#"["com.",{"match":"prefix"}]"#)
        .await;
    let id = looked_up.unwrap().as_u64().unwrap();
    for args in [format!(r#"[{id}],{{"_cursor":true}}"#), format!("[{id}]")] {
        let error = client.call(GET_EVENTS, &args).await.unwrap_err();
        assert!(error.starts_with("wamp.error.not_authorized"), "{error}");
    }
    let error = client.call(HISTORY_INFO, &format!("[{id}]")).await;
    let error = error.unwrap_err();
    assert!(error.starts_with("wamp.error.not_authorized"), "{error}");
}

#[actix::test]
async fn history_info_says_what_there_is() {
    let filters = vec![
        rewamp_history::Filter {
            max_age: Some(std::time::Duration::from_secs(3_600)),
            ..filter("com.", Prefix, Some(15))
        },
        filter("net.x", Exact, None),
    ];
    let fixture = Setup::storing(filters).start();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, 0..20).await;
    client
        .publish(
            "com.c",
            r#""exclude_authrole":["anonymous"]"#,
            r#"["hidden"]"#,
        )
        .await;
    let id = client.subscribe("com.", "prefix").await;
    let info = client.call(HISTORY_INFO, &format!("[{id}]")).await.unwrap();
    let info = info.as_map().unwrap();
    let number = |name: &str| info.unsigned(name).unwrap();
    assert_eq!(number("subscription"), Some(id.get()));
    assert_eq!(info.get("uri"), Some(&Value::from("com.")));
    assert_eq!(info.get("match"), Some(&Value::from("prefix")));
    assert_eq!(number("count"), Some(15), "whoever may see them");
    assert!(number("bytes").is_some_and(|bytes| bytes > 15 * 100));
    assert_eq!(info.text("incarnation").unwrap().unwrap().len(), 32);
    assert_eq!(info.list("lost").unwrap(), Some(&[][..]));
    let limits = info.map("limits").unwrap().unwrap();
    assert_eq!(limits.unsigned("limit").unwrap(), Some(15));
    assert_eq!(limits.unsigned("max-age").unwrap(), Some(3_600));
    assert_eq!(limits.unsigned("maxsize").unwrap(), Some(64 << 20));
    assert_eq!(limits.get("full"), Some(&Value::from("drop-oldest")));
    // Its ends are those that the caller can see.
    let all = format!("[{id},null]");
    let events = client.call(GET_EVENTS, &all).await.unwrap();
    let events = events.as_list().unwrap();
    for (end, event) in [
        ("newest", &events[0]),
        ("oldest", &events[events.len() - 1]),
    ] {
        let (end, event) = (info.map(end).unwrap().unwrap(), event.as_map().unwrap());
        for name in ["publication", "sequence", "timestamp"] {
            assert_eq!(end.get(name), event.get(name));
        }
    }
    let topic = client.subscribe("com.a", "exact").await;
    let info = client
        .call(HISTORY_INFO, &format!("[{topic}]"))
        .await
        .unwrap();
    let shown = client
        .call(GET_EVENTS, &format!("[{topic},null]"))
        .await
        .unwrap();
    let shown = shown.as_list().unwrap().len() as u64;
    assert_eq!(
        info.as_map().unwrap().unsigned("count").unwrap(),
        Some(shown)
    );
    let empty = client.subscribe("net.x", "exact").await;
    let info = client
        .call(HISTORY_INFO, &format!("[{empty}]"))
        .await
        .unwrap();
    let info = info.as_map().unwrap();
    assert_eq!(info.get("oldest"), Some(&Value::Null));
    assert_eq!(info.unsigned("count").unwrap(), Some(0));
    let none = client.subscribe("org.x", "exact").await;
    let error = client.call(HISTORY_INFO, &format!("[{none}]")).await;
    assert_eq!(error.unwrap_err(), "wamp.error.history_unavailable ");
    let error = client.call(HISTORY_INFO, "[77]").await.unwrap_err();
    assert!(
        error.starts_with("wamp.error.no_such_subscription"),
        "{error}"
    );
}

/// What happens between two pages.
#[derive(Debug, Clone)]
struct Step {
    published: usize,
    length: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..12_usize, 1..9_usize).prop_map(|(published, length)| Step { published, length });
    prop::collection::vec(step, 1..12)
}

/// Of the events that were there all the time every one is shown, of the others none twice, and
/// all in order: while new ones come, and old ones are dropped for them.
async fn walk_while_it_changes(before: usize, limit: u64, steps: &[Step], keywords: &str) {
    let fixture = Setup::storing(vec![filter("com.", Prefix, Some(limit))]).start();
    let mut client = fixture.join().await;
    publish_numbers(&mut client, 0..before).await;
    let id = client.subscribe("com.", "prefix").await;
    let mut held = fixture.join().await;
    let mut published = before;
    let mut cursor = "true".to_owned();
    let mut shown: Vec<usize> = Vec::new();
    let mut ended = false;
    let limit = limit as usize;
    for step in steps {
        let args = format!(r#"[{id},{}],{{"_cursor":{cursor}{keywords}}}"#, step.length);
        let page = page(&mut held, &args).await.unwrap();
        shown.extend(page.shown.iter().map(|text| text.parse::<usize>().unwrap()));
        let Some(next) = page.cursor else {
            ended = true;
            break;
        };
        cursor = format!(r#""{next}""#);
        publish_numbers(&mut held, published..published + step.published).await;
        published += step.published;
    }
    let reverse = keywords.contains("reverse");
    if reverse {
        shown.reverse();
    }
    assert!(shown.is_sorted_by(|one, other| one < other), "{shown:?}");
    if !ended {
        return;
    }
    let kept = published.saturating_sub(limit)..before;
    let all_through: Vec<usize> = match keywords.contains("last_per_topic") {
        false => kept.collect(),
        true => kept.rev().take(3).collect(),
    };
    for number in all_through {
        assert!(shown.contains(&number), "{number} is missing: {shown:?}");
    }
    let state = keywords.contains("last_per_topic");
    assert!(!state || shown.len() <= 3, "{shown:?}");
}

#[test]
fn a_walk_while_events_come_and_go_shows_each_once_in_order() {
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let keywords = prop::sample::select(vec![
        "",
        r#","reverse":true"#,
        r#","last_per_topic":1"#,
        r#","last_per_topic":1,"reverse":true"#,
    ]);
    let input = (0..40_usize, 5..60_u64, steps(), keywords);
    proptest!(config, |((before, limit, steps, keywords) in input)| {
        actix::System::new().block_on(walk_while_it_changes(before, limit, &steps, keywords));
    });
}
