//! One change to a configuration without findings, one finding.

use serde_json::{Value, json};

use super::super::finding::Severity;
use super::{complete, findings};

/// Sets the value at a JSON pointer below the worker (`/…`) or the top level (`^/…`).
fn changed(pointer: &str, value: Value) -> Value {
    let mut tree = complete();
    let pointer = match pointer.strip_prefix('^') {
        Some(top) => top.to_owned(),
        None => format!("/workers/0{pointer}"),
    };
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = tree
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(items) => match items.get_mut(key.parse::<usize>().unwrap()) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        _ => panic!("{pointer}"),
    }
    tree
}

/// After the change there is exactly this one finding.
fn check(pointer: &str, value: Value, severity: Severity, path: &str, text: &str) {
    let found = findings(&changed(pointer, value));
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    let [one] = all.as_slice() else {
        panic!("{pointer}: {all:#?}")
    };
    let finding = found.iter().next().unwrap();
    assert_eq!(finding.severity, severity, "{one}");
    assert_eq!(
        finding.path.as_str().replace("workers[0].", ""),
        path,
        "{one}"
    );
    assert!(finding.text.contains(text), "{one}");
}

fn fault(pointer: &str, value: Value, path: &str, text: &str) {
    check(pointer, value, Severity::Fault, path, text);
}

fn warning(pointer: &str, value: Value, path: &str, text: &str) {
    check(pointer, value, Severity::Warning, path, text);
}

const STORE: &str = "/realms/0/store";
const WS: &str = "/transports/0/paths/ws";

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
        "type `cfxdb`, not built yet",
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
    fault(
        "^/version",
        json!(1),
        "version",
        "found 1; allowed: 2; `crossbar upgrade`",
    );
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
fn what_comes_later_stops_the_start_where_it_is_asked_for() {
    let stops = "not built, and not to be left out";
    fault(
        &format!("{STORE}/readonly"),
        json!(true),
        "realms[0].store.readonly",
        stops,
    );
    fault(
        &format!("{STORE}/full"),
        json!("refuse"),
        "realms[0].store.full",
        stops,
    );
    fault(
        &format!("{STORE}/event-history/0/max-age"),
        json!("7d"),
        "realms[0].store.event-history[0].max-age",
        stops,
    );
    fault(
        &format!("{STORE}/event-history/0/limit-per-topic"),
        json!(5),
        "realms[0].store.event-history[0].limit-per-topic",
        stops,
    );
    fault(
        "/realms/0/rewamp/slow_consumer",
        json!("catch-up"),
        "realms[0].rewamp.slow_consumer",
        stops,
    );
    fault(
        STORE,
        json!({"type": "cfxdb", "path": "../.testdb"}),
        "realms[0].store",
        "not built yet",
    );
}

#[test]
fn a_guard_that_is_not_built_stops_the_start() {
    let stops = "not built, and not to be left out";
    let endpoint = "transports[0].endpoint";
    fault(
        "/transports/0/endpoint/tls",
        json!({"key": "k"}),
        &format!("{endpoint}.tls"),
        stops,
    );
    fault(
        "/transports/0/max_connections",
        json!(5),
        "transports[0].max_connections",
        stops,
    );
    fault(
        "/realms/0/roles/0/authorizer",
        json!("com.a"),
        "realms[0].roles[0].authorizer",
        stops,
    );
    fault(
        "/realms/0/roles/0/permissions/0/validate",
        json!({"call": "x"}),
        "realms[0].roles[0].permissions[0].validate",
        stops,
    );
    fault(
        &format!("{WS}/cookie"),
        json!({}),
        "transports[0].paths.ws.cookie",
        stops,
    );
    for method in ["scram", "cryptosign", "tls", "cookie"] {
        fault(
            &format!("{WS}/auth/{method}"),
            json!({}),
            &format!("transports[0].paths.ws.auth.{method}"),
            stops,
        );
    }
    for kind in ["dynamic", "function"] {
        fault(
            &format!("{WS}/auth/ticket"),
            json!({"type": kind, "authenticator": "com.a"}),
            "transports[0].paths.ws.auth.ticket",
            stops,
        );
    }
}

#[test]
fn what_is_merely_not_built_is_a_warning() {
    warning(
        "^/controller",
        json!({"id": "x"}),
        "controller",
        "not built: there is no node controller",
    );
    warning("/components", json!([{}]), "components", "not built");
    warning("/manhole", json!({}), "manhole", "not built");
    warning(
        &format!("{STORE}/call-queue"),
        json!([{"uri": "a"}]),
        "realms[0].store.call-queue",
        "not built",
    );
    warning(
        "/transports/0/paths/files",
        json!({"type": "static", "directory": "x"}),
        "transports[0].paths.files",
        "501",
    );
    warning(
        "/transports/4",
        json!({"type": "mqtt", "whatever": 1}),
        "transports[4]",
        "transport `mqtt`",
    );
    warning(
        "/transports/3/rawsocket",
        json!({"serializers": []}),
        "transports[3].rawsocket",
        "a port of its own",
    );
    warning(
        &format!("{WS}/serializers"),
        json!(["ubjson", "json"]),
        "transports[0].paths.ws.serializers[0]",
        "not built",
    );
    warning(
        "/realms/1/store/sync",
        json!(true),
        "realms[1].store.sync",
        "writes nothing",
    );
    warning(
        &format!("{WS}/options/max_message_size"),
        json!(33_554_432),
        "transports[0].paths.ws.options.max_message_size",
        "16777216",
    );
}

#[test]
fn what_asks_for_nothing_is_not_even_mentioned() {
    for (pointer, value) in [
        ("^/controller", json!({})),
        ("/components", json!([])),
        ("/options", json!({"expose_shared": false})),
        ("/realms/0/options/enable_meta_api", json!(true)),
        ("/realms/0/roles/0/permissions/0/validate", json!({})),
        ("/transports/0/endpoint/shared", json!(false)),
        ("/transports/0/paths/ws/options/compression", json!({})),
        ("/transports/0/paths/ws/debug", json!(false)),
    ] {
        assert_eq!(
            findings(&changed(pointer, value)).iter().count(),
            0,
            "{pointer}"
        );
    }
}

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
