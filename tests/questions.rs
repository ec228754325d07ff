//! What can be asked of a history, through restarts and kills: walks by cursor, the state of many
//! topics, and what there is.

use std::fs;

use serde_json::{Value, json};

use crate::foreign_clients::{Client as Library, every_way, open_node};
use crate::harness::client::{Client, code};
use crate::harness::foreign;
use crate::harness::node::{self, Node, Ports};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const HISTORY_INFO: &str = "rewamp.subscription.history_info";
const LOOKUP: &str = "wamp.subscription.lookup";

fn config(ports: &Ports) -> Value {
    let store = json!({
        "type": "sled", "path": "history", "maxsize": 24 << 20,
        "event-history": [{"uri": "com.kept.", "match": "prefix"}]
    });
    node::config(ports, json!([node::open_realm(store)]), &node::anonymous())
}

fn join(node: &Node) -> Client {
    Client::join(node.ports.raw).expect("a session")
}

fn publish(client: &mut Client, topic: &str, args: &Value) {
    let answer = client.publish(topic, args).expect("an answer");
    assert_eq!(answer[0], code::PUBLISHED, "{answer}");
}

fn look_up(client: &mut Client, uri: &str, policy: &str) -> Value {
    let found = client.call(LOOKUP, json!([uri, {"match": policy}]), json!({}));
    found.expect("an answer")
}

/// The whole RESULT or ERROR.
fn ask(client: &mut Client, uri: &str, args: &Value, kwargs: &Value) -> Value {
    let request = client.request();
    let call = json!([code::CALL, request, {}, uri, args, kwargs]);
    client.send(&call).expect("sent");
    client.flush().expect("sent");
    client.receive().expect("an answer")
}

/// The first arguments of a page's events, and its cursor.
fn page(client: &mut Client, id: &Value, kwargs: &Value) -> (Vec<u64>, Option<Value>) {
    let result = ask(client, GET_EVENTS, &json!([id]), kwargs);
    assert_eq!(result[0], code::RESULT, "{result}");
    assert!(result.get(4).is_none(), "keywords beside the list");
    let events = result[3][0].as_array().expect("a list").iter();
    let shown = events.map(|event| event["args"][0].as_u64().expect("a number"));
    (shown.collect(), result[2].get("_cursor").cloned())
}

#[test]
fn a_walk_goes_on_after_a_kill_where_it_was() {
    let mut node = Node::start(config);
    let mut client = join(&node);
    let id = look_up(&mut client, "com.kept.", "prefix");
    // Remembered on disk with the next event.
    let narrow = look_up(&mut client, "com.kept.", "wildcard");
    for number in 0..100 {
        let topic = format!("com.kept.{}", number % 7);
        publish(&mut client, &topic, &json!([number]));
    }
    let questions = [
        (&id, json!({"limit": 30}), (0..110).collect::<Vec<u64>>()),
        (
            &id,
            json!({"limit": 30, "reverse": true}),
            (0..100).rev().collect(),
        ),
        (
            &id,
            json!({"limit": 3, "last_per_topic": 1}),
            (93..100).collect(),
        ),
        (
            &narrow,
            json!({"limit": 9, "reverse": true, "last_per_topic": 2}),
            (86..100).rev().collect(),
        ),
        (
            &id,
            json!({"limit": 2, "topic": "com.kept.5"}),
            (5..110).step_by(7).collect(),
        ),
    ];
    let begun = questions.map(|(id, keywords, expected)| {
        let mut first = keywords.clone();
        first["_cursor"] = json!(true);
        let (shown, cursor) = page(&mut client, id, &first);
        (id.clone(), shown, cursor.expect("there is more"), expected)
    });
    node.kill();
    node.restart();
    let mut client = join(&node);
    // What comes later is shown by a walk to the newest, and not by one of a state.
    for number in 100..110 {
        publish(
            &mut client,
            &format!("com.kept.{}", number % 7),
            &json!([number]),
        );
    }
    for (id, mut found, cursor, expected) in begun {
        let mut cursor = Some(cursor);
        while let Some(text) = cursor {
            let (shown, next) = page(&mut client, &id, &json!({"_cursor": text}));
            assert!(!shown.is_empty(), "a page of nothing");
            found.extend(shown);
            cursor = next;
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_cursor_of_a_store_that_was_begun_anew_is_told_so() {
    let mut node = Node::start(config);
    let mut client = join(&node);
    for number in 0..5 {
        publish(&mut client, "com.kept.a", &json!([number]));
    }
    let id = look_up(&mut client, "com.kept.a", "exact");
    let (_, cursor) = page(&mut client, &id, &json!({"_cursor": true, "limit": 2}));
    let info = ask(&mut client, HISTORY_INFO, &json!([id]), &json!({}));
    let before = info[3][0]["incarnation"].clone();
    node.kill();
    fs::remove_dir_all(node.dir().join("history")).expect("the store goes");
    node.restart();
    let mut client = join(&node);
    publish(&mut client, "com.kept.a", &json!([9]));
    let answer = ask(
        &mut client,
        GET_EVENTS,
        &json!([id]),
        &json!({"_cursor": cursor}),
    );
    assert_eq!(answer[0], code::ERROR, "{answer}");
    assert_eq!(answer[4], "rewamp.error.no_such_cursor");
    assert_eq!(answer[6]["cursor_incarnation"], before);
    let id = look_up(&mut client, "com.kept.a", "exact");
    let info = ask(&mut client, HISTORY_INFO, &json!([id]), &json!({}));
    assert_eq!(answer[6]["incarnation"], info[3][0]["incarnation"]);
    assert_ne!(info[3][0]["incarnation"], before);
}

#[test]
fn the_state_of_many_topics_is_one_call_also_as_it_was() {
    const TOPICS: u64 = 700;
    let mut node = Node::start(config);
    let mut client = join(&node);
    let publish_all = |client: &mut Client, round: u64| {
        let topics = 0..TOPICS - round * 100;
        for topic in topics.clone() {
            let uri = format!("com.kept.device{topic}");
            let message = json!([code::PUBLISH, topic + 1, {}, uri, [round * 1_000 + topic]]);
            client.send(&message).expect("sent");
        }
        publish(client, "com.kept.end", &json!([round]));
        let id = look_up(client, "com.kept.end", "exact");
        let newest = client.call(GET_EVENTS, json!([id, 1]), json!({}));
        newest.expect("a page")[0]["timestamp"].clone()
    };
    let times: Vec<Value> = (0..3)
        .map(|round| publish_all(&mut client, round))
        .collect();
    let expected = |round: u64| {
        let value = |topic: u64| {
            let last = (0..=round).rev().find(|round| topic < TOPICS - round * 100);
            last.unwrap_or(0) * 1_000 + topic
        };
        let mut values: Vec<u64> = (0..TOPICS).map(value).collect();
        values.push(round);
        values.sort_unstable();
        values
    };
    for restarted in [false, true] {
        if restarted {
            node.kill();
            node.restart();
            client = join(&node);
        }
        let id = look_up(&mut client, "com.kept.", "prefix");
        for (round, time) in times.iter().enumerate() {
            let keywords = json!({"last_per_topic": 1, "until_time": time});
            let (mut shown, _) = page(&mut client, &id, &keywords);
            shown.sort_unstable();
            assert_eq!(shown, expected(round as u64), "round {round}");
        }
        let (now, _) = page(&mut client, &id, &json!({"last_per_topic": 1}));
        assert_eq!(now.len() as u64, TOPICS + 1);
    }
}

#[test]
fn history_info_tells_what_there_is_and_what_was_lost() {
    let mut node = Node::start(config);
    let mut client = join(&node);
    let filling = "x".repeat(12_000);
    for number in 0..400 {
        publish(&mut client, "com.kept.a", &json!([number, filling]));
    }
    let id = look_up(&mut client, "com.kept.", "prefix");
    let info = |client: &mut Client| {
        let answer = ask(client, HISTORY_INFO, &json!([id]), &json!({}));
        assert_eq!(answer[0], code::RESULT, "{answer}");
        answer[3][0].clone()
    };
    let before = info(&mut client);
    assert_eq!(before["subscription"], id);
    assert_eq!(
        (&before["uri"], &before["match"]),
        (&json!("com.kept."), &json!("prefix"))
    );
    assert_eq!(before["count"], 400);
    assert!(before["bytes"].as_u64() > Some(400 * 12_000), "{before}");
    assert_eq!(
        before["limits"],
        json!({"maxsize": 24 << 20, "full": "drop-oldest"})
    );
    assert_eq!(before["lost"], json!([]));
    let newest = client.call(GET_EVENTS, json!([id, 1]), json!({}));
    let newest = newest.expect("a page")[0].clone();
    for name in ["publication", "sequence", "timestamp"] {
        assert_eq!(before["newest"][name], newest[name]);
    }
    node.kill();
    let folder = node.dir().join("history");
    let names = fs::read_dir(&folder).expect("a folder");
    let mut sealed: Vec<_> = names
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "sealed"))
        .collect();
    sealed.sort();
    assert!(sealed.len() >= 2, "{sealed:?}");
    fs::remove_file(&sealed[1]).expect("it goes");
    node.restart();
    let after = info(&mut join(&node));
    let count = after["count"].as_u64().expect("a number");
    assert!((1..400).contains(&count), "{after}");
    assert_eq!(after["oldest"], before["oldest"]);
    assert_eq!(after["newest"], before["newest"]);
    assert_eq!(after["incarnation"], before["incarnation"]);
    let lost = after["lost"].as_array().expect("a list");
    assert_eq!(lost.len(), 1, "{after}");
    let sequence = |name: &str| lost[0][name].as_u64().expect("a number");
    assert_eq!(sequence("to") - sequence("from") + 1, 400 - count);
    assert!(lost[0]["why"].as_str().is_some_and(|why| !why.is_empty()));
}

#[test]
fn autobahn_python_asks_for_the_state_and_what_there_is() {
    let store = json!({
        "type": "sled", "path": "history",
        "event-history": [{"uri": "com.example.", "match": "prefix", "max-age": "1h"}]
    });
    every_way(Library::AutobahnPython, "state", &open_node(store));
}

#[test]
fn wampy_walks_through_a_history() {
    let store = json!({
        "type": "memory", "limit": 1_000,
        "event-history": [{"uri": "com.example.", "match": "prefix"}]
    });
    every_way(Library::Wampy, "walk", &open_node(store));
}

#[test]
fn the_walk_of_the_readme_runs() {
    let node = Node::start_with_nothing_configured();
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let arguments = [&node.ws(), "realm1", "json", readme];
    foreign::node("tests/clients/wampy/readme.js", &arguments).succeeds();
}
