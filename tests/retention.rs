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
