//! What a single key can be, and can not.

use serde_json::json;

use super::super::finding::Severity;
use super::change::{STORE, WS, fault};
use super::{complete, findings};

#[test]
fn the_configuration_before_the_change_is_free_of_findings() {
    assert_eq!(findings(&complete()).iter().count(), 0);
}

#[test]
fn an_unknown_key_is_a_fault_with_the_nearest_known_one() {
    fault(
        "/realmz",
        json!([]),
        "realmz",
        "unknown key; did you mean `realms`?",
    );
    fault(
        &format!("{STORE}/maxsise"),
        json!(1),
        "realms[0].store.maxsise",
        "did you mean `maxsize`?",
    );
    fault(
        &format!("{STORE}/event_history"),
        json!([]),
        "realms[0].store.event_history",
        "did you mean `event-history`?",
    );
    fault(
        "/realms/0/rewamp/foo",
        json!(1),
        "realms[0].rewamp.foo",
        "unknown key; allowed: `outbox_bytes`",
    );
    fault(
        "^/rewamp/admin/prt",
        json!(1),
        "rewamp.admin.prt",
        "did you mean `port`?",
    );
    fault(
        &format!("{WS}/options/auto_ping_intervall"),
        json!(1),
        "transports[0].paths.ws.options.auto_ping_intervall",
        "did you mean `auto_ping_interval`?",
    );
    fault(
        &format!("{WS}/auth/ticket/principals/Joe/rolle"),
        json!("x"),
        "transports[0].paths.ws.auth.ticket.principals.Joe.rolle",
        "did you mean `role`?",
    );
    fault(
        "/transports/1/cookie",
        json!({}),
        "transports[1].cookie",
        "unknown key; allowed:",
    );
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range_says_what_is_allowed() {
    fault(
        &format!("{STORE}/maxsize"),
        json!(5_242_879),
        "realms[0].store.maxsize",
        "found 5242879; allowed: an integer from 5242880 to 1125899906842624 (bytes); a sled store",
    );
    fault(
        &format!("{STORE}/maxsize"),
        json!(1),
        "realms[0].store.maxsize",
        "type `cfxdb` is for smaller ones",
    );
    fault(
        &format!("{STORE}/maxsize"),
        json!("1G"),
        "realms[0].store.maxsize",
        "found text \"1G\"",
    );
    fault(
        &format!("{STORE}/sync"),
        json!(1),
        "realms[0].store.sync",
        "found 1; allowed: true or false",
    );
    fault(
        &format!("{STORE}/limit"),
        json!(0),
        "realms[0].store.limit",
        "an integer from 1 (events)",
    );
    fault(
        &format!("{STORE}/limit"),
        json!(-1),
        "realms[0].store.limit",
        "found -1",
    );
    fault(
        &format!("{STORE}/limit"),
        json!(2.5),
        "realms[0].store.limit",
        "found 2.5",
    );
    fault(
        &format!("{STORE}/limit"),
        json!(null),
        "realms[0].store.limit",
        "found null",
    );
    fault(
        &format!("{STORE}/event-history/0/limit-per-topic"),
        json!(0),
        "realms[0].store.event-history[0].limit-per-topic",
        "found 0; allowed: an integer from 1 (events)",
    );
    fault(
        &format!("{STORE}/full"),
        json!("drop"),
        "realms[0].store.full",
        "found text \"drop\"; allowed: `drop-oldest` or `refuse`",
    );
    fault(
        &format!("{STORE}/event-history/0/max-age"),
        json!("7 days"),
        "realms[0].store.event-history[0].max-age",
        "found text \"7 days\"; allowed: seconds as an integer from 1, or text with a unit",
    );
    fault(
        &format!("{STORE}/event-history/0/max-age"),
        json!(0),
        "realms[0].store.event-history[0].max-age",
        "found 0; allowed: seconds",
    );
    fault(
        &format!("{STORE}/event-history/0/match"),
        json!("regex"),
        "realms[0].store.event-history[0].match",
        "found text \"regex\"; allowed: `exact`, `prefix` or `wildcard`",
    );
    fault(
        "/transports/0/endpoint/port",
        json!(99999),
        "transports[0].endpoint.port",
        "from 1 to 65535",
    );
    fault(
        "/transports/0/endpoint/port",
        json!("8080"),
        "transports[0].endpoint.port",
        "found text",
    );
    fault(
        "/transports/0/type",
        json!("quic"),
        "transports[0].type",
        "found transport \"quic\"; allowed: `websocket`",
    );
    fault(
        "/realms/1/roles",
        json!({}),
        "realms[1].roles",
        "found an object; allowed: a list",
    );
    fault("/id", json!("1"), "id", "lower-case letters");
    fault("^/version", json!(1), "version", "found 1; allowed: 2");
    fault(
        "^/rewamp/loglevel",
        json!("inf"),
        "rewamp.loglevel",
        "did you mean `info`?",
    );
    fault(
        "/transports/0/paths/a.b",
        json!({"type": "websocket"}),
        "transports[0].paths[\"a.b\"]",
        "without slashes",
    );
}

#[test]
fn what_is_missing_is_named_with_what_is_allowed() {
    fault(
        "/realms/1/roles/0",
        json!({}),
        "realms[1].roles[0].name",
        "missing; allowed: text",
    );
    fault(
        STORE,
        json!({"path": "x"}),
        "realms[0].store.type",
        "missing; allowed: `sled`, `memory` or `cfxdb`",
    );
    fault(
        &format!("{STORE}/event-history/1"),
        json!({"match": "exact"}),
        "realms[0].store.event-history[1].uri",
        "missing",
    );
    fault(
        "/transports/1",
        json!({"type": "rawsocket"}),
        "transports[1].endpoint",
        "missing; allowed: an object with `type` `tcp`",
    );
    fault(
        &format!("{WS}/auth/ticket"),
        json!({"type": "static"}),
        "transports[0].paths.ws.auth.ticket.principals",
        "missing",
    );
    fault("^/workers", json!([]), "workers", "no router worker");
}

#[test]
fn one_store_a_realm_and_a_list_says_so() {
    fault(
        STORE,
        json!([{"type": "memory"}]),
        "realms[0].store",
        "found a list of 1; allowed: an object with `type` `sled`, `memory` or `cfxdb`; one store a realm; a list of stores is not built",
    );
}

#[test]
fn two_spellings_of_one_key_at_once_are_a_fault() {
    fault(
        &format!("{STORE}/buffer-flush"),
        json!(1),
        "realms[0].store.buffer-flush",
        "the same key",
    );
    fault(
        &format!("{STORE}/max-buffer"),
        json!(1),
        "realms[0].store.max-buffer",
        "the same key",
    );
}

#[test]
fn a_secret_is_never_part_of_a_finding() {
    let at = "transports[0].paths.ws.auth.ticket.principals.Joe.ticket";
    let pointer = format!("{WS}/auth/ticket/principals/Joe/ticket");
    fault(&pointer, json!(4711), at, "found a number; allowed: text");
    fault(&pointer, json!({"fil": "/x"}), at, "found an object");
    fault(
        &pointer,
        json!(["a", "b", "c"]),
        at,
        "found a list of 3; allowed: one secret or a list of two",
    );
    fault(&pointer, json!([]), at, "found a list of 0");
    fault(
        &pointer,
        json!(["a", 12]),
        &format!("{at}[1]"),
        "found a number",
    );
    fault(&pointer, json!(""), at, "found empty text");
    fault(&pointer, json!("***"), at, "the secret itself");
    fault(
        &pointer,
        json!("${NOT_THERE_SURELY}"),
        at,
        "environment variable `NOT_THERE_SURELY` is not set",
    );
    fault(
        &pointer,
        json!({"file": "/nowhere/at/all"}),
        at,
        "file /nowhere/at/all",
    );
}

#[test]
fn all_faults_are_found_in_one_run() {
    let mut tree = complete();
    *tree
        .pointer_mut("/workers/0/realms/0/store/maxsize")
        .unwrap() = json!("big");
    *tree.pointer_mut("/workers/0/realms/1/name").unwrap() = json!("com.example.realm");
    *tree
        .pointer_mut("/workers/0/transports/2/endpoint/port")
        .unwrap() = json!("$NO_SUCH_PORT");
    tree["foo"] = json!(1);
    tree["rewamp"]["admin"]["port"] = json!(18140);
    let found = findings(&tree);
    assert_eq!(found.count(Severity::Fault), 5, "{found:#?}");
}
