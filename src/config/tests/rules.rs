//! What only several keys show.

use serde_json::json;

use super::change::{STORE, WS, fault, warning};
use super::{complete, findings};

#[test]
fn what_can_be_there_once_is_a_fault_the_second_time() {
    fault(
        "/realms/1/name",
        json!("com.example.realm"),
        "realms[1].name",
        "is also at workers[0].realms[0]",
    );
    fault(
        "/realms/0/roles/2",
        json!({"name": "anonymous"}),
        "realms[0].roles[2].name",
        "is also at",
    );
    fault(
        &format!("{STORE}/event-history/3"),
        json!({"uri": "com.example.demo", "match": "exact"}),
        "realms[0].store.event-history[3]",
        "is also at workers[0].realms[0].store.event-history[2]",
    );
    fault(
        "/transports/1/endpoint",
        json!({"type": "tcp", "interface": "127.0.0.1", "port": 18141}),
        "transports[2].endpoint.port",
        "port 18141 is also listened on by workers[0].transports[1].endpoint",
    );
    fault(
        "^/rewamp/admin/port",
        json!(18140),
        "rewamp.admin.port",
        "port 18140",
    );
    fault(
        "/transports/2/endpoint",
        json!({"type": "unix", "path": "../raw.sock"}),
        "transports[2].endpoint.path",
        "also listened on",
    );
    fault(
        "/transports/2/id",
        json!("main"),
        "transports[2].id",
        "is also at",
    );
    fault(
        "/realms/1/store",
        json!({"type": "sled", "path": "../x/../data", "event-history": [{"uri": "a.b"}]}),
        "realms[1].store.path",
        "a folder holds one store",
    );
}

#[test]
fn a_store_that_is_only_read_has_to_be_there() {
    fault(
        &format!("{STORE}/readonly"),
        json!(true),
        "realms[0].store.path",
        "a `readonly` store is read and never begun",
    );
    fault(
        "/realms/1/store",
        json!({"type": "memory", "readonly": true, "event-history": [{"uri": "a.b"}]}),
        "realms[1].store.readonly",
        "there would never be anything to read",
    );
}

#[test]
fn one_realm_in_two_workers_is_a_fault() {
    let mut tree = complete();
    let worker = json!({"type": "router", "realms": [{"name": "second"}], "transports": [
        {"type": "rawsocket", "endpoint": {"type": "tcp", "port": 18143}, "auth": {}}]});
    tree.pointer_mut("/workers")
        .unwrap()
        .as_array_mut()
        .unwrap()
        .push(worker);
    let found = findings(&tree);
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        text[0].starts_with("fault: workers[1].realms[0].name:"),
        "{text:#?}"
    );
}

#[test]
fn logins_have_to_name_what_is_there() {
    let ws = "transports[0].paths.ws";
    fault(
        &format!("{WS}/auth/ticket/principals/Joe/role"),
        json!("backend"),
        &format!("{ws}.auth.ticket.principals.Joe.role"),
        "did you mean \"Backend\"?",
    );
    fault(
        &format!("{WS}/auth/anonymous/realm"),
        json!("third"),
        &format!("{ws}.auth.anonymous.realm"),
        "is no realm",
    );
    fault(
        &format!("{WS}/auth/anonymous/role"),
        json!("nobody"),
        &format!("{ws}.auth.anonymous.role"),
        "has no role",
    );
    fault(
        "/realms/1/roles/0/name",
        json!("trusted"),
        "realms[1].roles[0].name",
        "reserved for the router",
    );
    warning(
        "/transports/2/auth",
        json!({}),
        "transports[2].auth",
        "nobody can log in",
    );
}

#[test]
fn uris_are_checked_as_the_realm_says() {
    let filter = "realms[0].store.event-history[0].uri";
    fault(
        &format!("{STORE}/event-history/0/uri"),
        json!("com..x."),
        filter,
        "component 1 is empty",
    );
    fault(
        &format!("{STORE}/event-history/0/uri"),
        json!("Com.x"),
        filter,
        "not allowed in a strict URI",
    );
    fault(
        &format!("{STORE}/event-history/2/uri"),
        json!(""),
        "realms[0].store.event-history[2].uri",
        "empty",
    );
    warning(
        &format!("{STORE}/event-history/0/uri"),
        json!("wamp."),
        filter,
        "keeps nothing",
    );
    warning(
        &format!("{STORE}/event-history"),
        json!([]),
        "realms[0].store.event-history",
        "keeps nothing",
    );
    warning(
        "/realms/0/roles/0/permissions/1/uri",
        json!("a b"),
        "realms[0].roles[0].permissions[1].uri",
        "the permission never applies",
    );
    fault(
        "/realms/1/name",
        json!("a b"),
        "realms[1].name",
        "a realm's name is a URI",
    );
}
