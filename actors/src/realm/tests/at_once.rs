//! Small pages of the newest events are answered on the event loop, all others by a thread: here by
//! one that does not get on, so that it shows which is which.

use std::sync::Arc;

use rewamp_history::{Engine, EventStore, StoreConfig};
use rewamp_wamp::message::Message;
use rewamp_wamp::uri::MatchPolicy::Prefix;
use tempfile::TempDir;

use super::client::Client;
use super::store::SwitchedStore;
use super::{Fixture, Setup, filter};

/// A store on disk, and a client that has published `count` events to it.
async fn published(count: usize, length: usize) -> (TempDir, Arc<SwitchedStore>, Fixture, Client) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::storing(vec![filter("com.", Prefix, None)]);
    let (settings, in_memory) = setup.history_settings();
    let config = StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Sled {
            path: folder.path().join("store"),
            readonly: false,
        },
        maxsize: 64 << 20,
        full: setup.full,
        sync: false,
        limit: None,
        filters: setup.filters.clone(),
        memory_begin: in_memory.opened().next_sequence,
    };
    let store = SwitchedStore::new(rewamp_history::open(config).unwrap());
    let dynamic: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let fixture = Setup {
        store: Some((dynamic, settings)),
        ..setup
    }
    .start();
    let mut client = fixture.join().await;
    for number in 0..count {
        let args = format!(r#"[{number},"{}"]"#, "x".repeat(length));
        client.publish("com.a", "", &args).await;
    }
    (folder, store, fixture, client)
}

async fn lookup(client: &mut Client) -> u64 {
    let args = r#"["com.",{"match":"prefix"}]"#;
    let id = client.call("wamp.subscription.lookup", args).await.unwrap();
    id.as_u64().unwrap()
}

fn ask(client: &mut Client, id: u64, asked: impl IntoIterator<Item = (usize, String)>) {
    let texts = asked.into_iter().map(|(request, rest)| {
        format!(r#"[48,{request},{{}},"wamp.subscription.get_events",[{id}{rest}]"#)
    });
    let texts: Vec<_> = texts.collect();
    client.send(&texts.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The next answer: to which request, and the first argument of each event.
async fn answer(client: &mut Client) -> (u64, Vec<u64>) {
    let Message::Result(result) = client.receive().await else {
        panic!()
    };
    assert!(result.details.extra.is_empty());
    let args = result.payload.args_value().unwrap();
    let events = args[0].as_list().unwrap().iter();
    let number = |args: &[rewamp_wamp::value::Value]| args[0].as_u64().unwrap();
    let numbers = events.map(|event| {
        let event = event.as_map().unwrap();
        number(event.list("args").unwrap().unwrap())
    });
    (result.request.get(), numbers.collect())
}

fn newest(of: u64, count: u64) -> Vec<u64> {
    (0..of).rev().take(count as usize).collect()
}

#[actix::test]
async fn a_small_page_of_the_newest_events_waits_for_no_thread() {
    let (_folder, store, _fixture, mut client) = published(40, 10).await;
    let id = lookup(&mut client).await;
    store.stall_reads(true);
    for (request, count) in [(500, 20), (501, 1), (502, 100)] {
        ask(&mut client, id, [(request, format!(",{count}]"))]);
        let expected = (request as u64, newest(40, count));
        assert_eq!(answer(&mut client).await, expected);
    }
    // What has just been acknowledged is in it.
    client.publish("com.a", "", "[40]").await;
    ask(&mut client, id, [(503, ",2]".to_owned())]);
    assert_eq!(answer(&mut client).await, (503, newest(41, 2)));
    assert_eq!(store.waiting_reads(), 0);
    store.stall_reads(false);
}

#[actix::test]
async fn answers_come_in_the_order_of_the_questions_whoever_answers() {
    let (_folder, store, _fixture, mut client) = published(40, 10).await;
    let id = lookup(&mut client).await;
    store.stall_reads(true);
    // By the spec's rules, for which a thread is asked; then such as could be answered at once.
    let first = (500, "],{\"limit\":3}".to_owned());
    let others = (501..520).map(|request| (request, ",5]".to_owned()));
    ask(&mut client, id, std::iter::once(first).chain(others));
    client.nothing_more().await;
    store.stall_reads(false);
    assert_eq!(answer(&mut client).await, (500, vec![0, 1, 2]));
    for request in 501..520 {
        assert_eq!(answer(&mut client).await, (request, newest(40, 5)));
    }
}

#[actix::test]
async fn of_many_questions_a_few_are_answered_before_others_have_their_turn() {
    let (_folder, store, _fixture, mut client) = published(40, 10).await;
    let id = lookup(&mut client).await;
    store.stall_reads(true);
    let asked = (500..600).map(|request| (request, ",5]".to_owned()));
    ask(&mut client, id, asked);
    let mut answered = 500;
    while answered < 508 {
        assert_eq!(answer(&mut client).await, (answered, newest(40, 5)));
        answered += 1;
    }
    client.nothing_more().await;
    store.stall_reads(false);
    for request in answered..600 {
        assert_eq!(answer(&mut client).await, (request, newest(40, 5)));
    }
}

#[actix::test]
async fn a_page_of_many_bytes_is_left_to_a_thread() {
    let (_folder, store, _fixture, mut client) = published(8, 20_000).await;
    let id = lookup(&mut client).await;
    store.stall_reads(true);
    ask(&mut client, id, [(500, ",3]".to_owned())]);
    assert_eq!(answer(&mut client).await, (500, newest(8, 3)));
    ask(&mut client, id, [(501, ",4]".to_owned())]);
    client.nothing_more().await;
    store.stall_reads(false);
    assert_eq!(answer(&mut client).await, (501, newest(8, 4)));
}
