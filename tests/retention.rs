//! How long history is kept, through the real binary: by age, until the store is full, over
//! restarts with other filters.

use serde_json::{Value, json};

use crate::harness::client::{Client, code};
use crate::harness::deadline::{SOON, within};
use crate::harness::node::{self, Node, Ports};

const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";

fn config(ports: &Ports, store: &Value) -> Value {
    node::config(
        ports,
        json!([node::open_realm(store.clone())]),
        &node::anonymous(),
    )
}

fn sled(filters: Value) -> Value {
    json!({"type": "sled", "path": "history", "event-history": filters})
}

fn start(store: Value) -> Node {
    Node::start(move |ports| config(ports, &store))
}

fn join(node: &Node) -> Client {
    Client::join(node.ports.raw).unwrap()
}

fn look_up(client: &mut Client, topic: &str, policy: &str) -> u64 {
    let id = client.call(LOOKUP, json!([topic, {"match": policy}]), json!({}));
    id.unwrap().as_u64().unwrap()
}

/// The first arguments of all events of a subscription, oldest first.
fn events(client: &mut Client, subscription: u64) -> Vec<i64> {
    let page = client.call(GET_EVENTS, json!([subscription]), json!({"limit": 10_000}));
    let page = page.unwrap();
    let page = page.as_array().unwrap().iter();
    page.map(|event| event["args"][0].as_i64().unwrap())
        .collect()
}

fn publish(client: &mut Client, topic: &str, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        let answer = client.publish(topic, &json!([number])).unwrap();
        assert_eq!(answer[0], code::PUBLISHED, "{answer}");
    }
}

#[test]
fn what_is_older_than_max_age_is_gone_also_for_a_later_start_with_another_age() {
    let filter = |age: Value| json!([{"uri": "com.aged.", "match": "prefix", "max-age": age}]);
    for store in [
        sled(filter(json!("2s"))),
        json!({"type": "memory", "event-history": filter(json!(2))}),
    ] {
        let mut node = start(store.clone());
        let mut client = join(&node);
        let subscription = look_up(&mut client, "com.aged.", "prefix");
        publish(&mut client, "com.aged.a", 0..5);
        assert_eq!(events(&mut client, subscription), [0, 1, 2, 3, 4]);
        within(SOON, "events grow too old", || {
            events(&mut client, subscription).is_empty().then_some(())
        });
        publish(&mut client, "com.aged.a", 5..6);
        assert_eq!(events(&mut client, subscription), [5]);
        if store["type"] == "memory" {
            continue;
        }
        drop(client);
        node.kill();
        node.configure(|ports| config(ports, &sled(filter(json!("7d")))));
        node.restart();
        let mut client = join(&node);
        assert_eq!(look_up(&mut client, "com.aged.", "prefix"), subscription);
        assert_eq!(events(&mut client, subscription), [5], "nothing is revived");
    }
}

#[test]
fn a_full_store_refuses_and_goes_on_by_itself() {
    let node = start(json!({
        "type": "sled", "path": "history", "maxsize": 5_242_880, "full": "refuse",
        "event-history": [{"uri": "com.full.", "match": "prefix", "max-age": "4s"}]
    }));
    let mut subscriber = join(&node);
    let subscribe = json!([32, 1, {"match": "prefix"}, "com."]);
    subscriber.send(&subscribe).unwrap();
    subscriber.flush().unwrap();
    assert_eq!(subscriber.receive().unwrap()[0], 33);
    let mut client = join(&node);
    let filling = "x".repeat(100_000);
    let mut taken = 0_u64;
    let refused = loop {
        let answer = client
            .publish("com.full.a", &json!([taken, filling]))
            .unwrap();
        if answer[0] != code::PUBLISHED {
            break answer;
        }
        let event = subscriber.receive().unwrap();
        assert_eq!(event[4][0], taken);
        taken += 1;
        assert!(taken < 60, "more than fits");
    };
    assert!(taken >= 10, "{taken} were taken");
    assert_eq!(refused[4], "rewamp.error.store_full", "{refused}");
    assert_eq!(refused[3], json!({}));
    // Other topics are not affected, and nobody saw what was refused.
    publish(&mut client, "com.other", [-1]);
    assert_eq!(subscriber.receive().unwrap()[4], json!([-1]));
    let (status, ready) = node.admin("/health/ready").unwrap();
    assert!(
        status == 200 && ready.contains("the event store is full"),
        "{ready}"
    );
    let (_, metrics) = node.admin("/metrics").unwrap();
    assert!(metrics.contains("rewamp_history_full{realm=\"realm1\"} 1"));
    within(SOON, "age makes room", || {
        let answer = client
            .publish("com.full.a", &json!([taken, filling]))
            .unwrap();
        (answer[0] == code::PUBLISHED).then_some(())
    });
    assert_eq!(subscriber.receive().unwrap()[4][0], taken);
    within(SOON, "the state ends", || {
        let (_, ready) = node.admin("/health/ready").unwrap();
        (!ready.contains("full")).then_some(())
    });
    let said = node.log().matches("event store is full").count();
    assert_eq!(said, 1, "{}", node.log());
}

#[test]
fn a_busy_topic_evicts_only_its_own_events() {
    let filter = json!([{"uri": "com.state.", "match": "prefix", "limit-per-topic": 2}]);
    for store in [
        sled(filter.clone()),
        json!({"type": "memory", "limit": 1, "event-history": filter}),
    ] {
        let mut node = start(store.clone());
        let mut client = join(&node);
        let subscription = look_up(&mut client, "com.state.", "prefix");
        publish(&mut client, "com.state.quiet", 0..1);
        publish(&mut client, "com.state.busy", 1..300);
        publish(&mut client, "com.state.other", 300..303);
        let expected = [0, 298, 299, 301, 302];
        assert_eq!(events(&mut client, subscription), expected);
        let busy = look_up(&mut client, "com.state.busy", "exact");
        assert_eq!(events(&mut client, busy), [298, 299]);
        if store["type"] == "memory" {
            continue;
        }
        drop(client);
        node.kill();
        let raised = json!([{"uri": "com.state.", "match": "prefix", "limit-per-topic": 100}]);
        node.configure(|ports| config(ports, &sled(raised.clone())));
        node.restart();
        let mut client = join(&node);
        assert_eq!(
            events(&mut client, subscription),
            expected,
            "nothing is revived"
        );
        publish(&mut client, "com.state.busy", 400..401);
        assert_eq!(events(&mut client, busy), [298, 299, 400]);
    }
}

const PURGE: &str = "rewamp.history.purge";

/// Whether the bytes are in a file of a folder or below.
fn holds(path: &std::path::Path, bytes: &[u8]) -> bool {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().any(|entry| holds(&entry.path(), bytes)),
        Err(_) => {
            let content = std::fs::read(path).unwrap_or_default();
            content.windows(bytes.len()).any(|window| window == bytes)
        }
    }
}

fn purge(client: &mut Client, subscription: u64, options: Value) -> Value {
    client.call(PURGE, json!([subscription]), options).unwrap()
}

#[test]
fn what_is_purged_is_gone_from_answers_and_files_also_after_a_kill() {
    let filters = json!([{"uri": "com.log.", "match": "prefix"}, {"uri": "", "match": "prefix"}]);
    let mut node = start(sled(filters));
    let mut client = join(&node);
    let log = look_up(&mut client, "com.log.", "prefix");
    let all = look_up(&mut client, "", "prefix");
    publish(&mut client, "com.log.secret", 0..50);
    publish(&mut client, "com.log.open", 50..60);
    // Not acknowledged: it may be in the buffer still.
    let unacknowledged = json!([code::PUBLISH, 9_999, {}, "com.log.secret", [60]]);
    client.send(&unacknowledged).unwrap();
    assert_eq!(
        purge(&mut client, log, json!({"topic": "com.log.secret"})),
        json!({"events": 51})
    );
    node.kill();
    assert!(
        !holds(node.dir(), b"com.log.secret"),
        "purged bytes are on the disk"
    );
    node.restart();
    let mut client = join(&node);
    assert_eq!(events(&mut client, log), (50..60).collect::<Vec<_>>());
    assert_eq!(events(&mut client, all), (50..60).collect::<Vec<_>>());
    let page = client.call(GET_EVENTS, json!([log]), json!({"limit": 10}));
    let page = page.unwrap();
    let event = |at: usize| page[at].clone();
    purge(
        &mut client,
        log,
        json!({"publication": event(4)["publication"]}),
    );
    purge(
        &mut client,
        log,
        json!({"until_publication": event(1)["publication"]}),
    );
    assert_eq!(events(&mut client, all), [52, 53, 55, 56, 57, 58, 59]);
    // As a map in second place, for clients that send no keywords.
    let before = json!([log, {"before_time": event(6)["timestamp"]}]);
    assert_eq!(
        client.call(PURGE, before, json!({})).unwrap(),
        json!({"events": 3})
    );
    assert_eq!(events(&mut client, all), [56, 57, 58, 59]);
    let open = look_up(&mut client, "com.log.open", "exact");
    assert_eq!(
        purge(&mut client, open, json!({"all": true})),
        json!({"events": 4})
    );
    assert_eq!(events(&mut client, all), [0_i64; 0]);
    for (options, text) in [
        (
            json!({}),
            "before_time, until_publication, topic, publication, all",
        ),
        (json!({"all": true, "topic": "com.a"}), "exactly one"),
        (json!({"all": false}), "`all`"),
        (json!({"topic": 5}), "`topic`"),
        (json!({"before_time": "yesterday"}), "`before_time`"),
        (json!({"publication": "x"}), "`publication`"),
        (json!({"all": true, "limit": 5}), "`limit`"),
    ] {
        let refused = client
            .call(PURGE, json!([log]), options.clone())
            .unwrap_err();
        let refused = refused.to_string();
        let named = refused.contains("wamp.error.invalid_argument") && refused.contains(text);
        assert!(named, "{options}: {refused}");
    }
    let unknown = client.call(PURGE, json!([log]), json!({"publication": 77}));
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("rewamp.error.no_such_publication")
    );
    let nowhere = client.call(PURGE, json!([4_711]), json!({"all": true}));
    assert!(
        nowhere
            .unwrap_err()
            .to_string()
            .contains("wamp.error.no_such_subscription")
    );
    publish(&mut client, "com.log.secret", 70..72);
    drop(client);
    node.stop();
    node.restart();
    let mut client = join(&node);
    assert_eq!(events(&mut client, log), [70, 71]);
    let (_, ready) = node.admin("/health/ready").unwrap();
    assert!(ready.contains("\"degraded\":[]"), "{ready}");
}

#[test]
fn only_a_role_that_may_call_it_and_subscribe_there_purges() {
    let allow = |call: bool, subscribe: bool| {
        json!([{"name": "realm1", "store": sled(json!([{"uri": "com.", "match": "prefix"}])),
            "roles": [{"name": "anonymous", "permissions": [
                {"uri": "com.", "match": "prefix", "allow": {"publish": true, "subscribe": subscribe}},
                {"uri": "wamp.", "match": "prefix", "allow": {"call": true}},
                {"uri": "rewamp.history.purge", "allow": {"call": call}}]}]}])
    };
    for (call, subscribe) in [(false, true), (true, false)] {
        let node =
            Node::start(|ports| node::config(ports, allow(call, subscribe), &node::anonymous()));
        let mut client = join(&node);
        publish(&mut client, "com.a", 0..3);
        let filter = look_up(&mut client, "com.", "prefix");
        let refused = client.call(PURGE, json!([filter]), json!({"all": true}));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("wamp.error.not_authorized"), "{refused}");
    }
}

#[test]
fn filters_change_between_starts_and_what_was_kept_stays() {
    let a = json!({"uri": "com.a", "match": "exact"});
    let b = json!({"uri": "com.b.", "match": "prefix", "limit": 3});
    let mut node = start(sled(json!([a, b])));
    let mut client = join(&node);
    let (id_a, id_b) = (
        look_up(&mut client, "com.a", "exact"),
        look_up(&mut client, "com.b.", "prefix"),
    );
    publish(&mut client, "com.a", 0..3);
    publish(&mut client, "com.b.x", 3..10);
    drop(client);
    let again = |node: &mut Node, filters: Value| {
        node.stop();
        node.configure(|ports| config(ports, &sled(filters.clone())));
        node.restart();
        join(node)
    };
    // `com.a` is gone and stays readable, the limit of `com.b.` is raised, `com.c` is new.
    let raised = json!({"uri": "com.b.", "match": "prefix", "limit": 5});
    let c = json!({"uri": "com.c", "match": "exact"});
    let mut client = again(&mut node, json!([c, raised]));
    assert_eq!(look_up(&mut client, "com.b.", "prefix"), id_b);
    assert_eq!(events(&mut client, id_b), [7, 8, 9], "nothing is revived");
    assert_eq!(look_up(&mut client, "com.a", "exact"), id_a);
    assert_eq!(
        events(&mut client, id_a),
        [0, 1, 2],
        "what is gone stays readable"
    );
    let id_c = look_up(&mut client, "com.c", "exact");
    assert_eq!(
        events(&mut client, id_c),
        [0_i64; 0],
        "what is new begins empty"
    );
    publish(&mut client, "com.a", 10..12);
    publish(&mut client, "com.b.y", 12..13);
    assert_eq!(events(&mut client, id_b), [7, 8, 9, 12]);
    assert_eq!(events(&mut client, id_a), [0, 1, 2], "nothing more is kept");
    drop(client);
    // It returns, with its old events and none from between.
    let mut client = again(&mut node, json!([a, b]));
    assert_eq!(look_up(&mut client, "com.a", "exact"), id_a);
    publish(&mut client, "com.a", 13..14);
    assert_eq!(events(&mut client, id_a), [0, 1, 2, 13]);
    assert_eq!(events(&mut client, id_b), [8, 9, 12]);
    assert_eq!(events(&mut client, id_c), [0_i64; 0]);
}
