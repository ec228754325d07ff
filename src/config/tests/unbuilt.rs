//! What is known and not built: named, and where something relies on it, in the way of a start.

use serde_json::json;

use super::change::{STORE, WS, changed, fault, warning};
use super::findings;

#[test]
fn a_guard_that_is_not_built_stops_the_start() {
    let stops = "not built yet, and not to be left out";
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
        "/transports/3/rawsocket/serializers",
        json!(["ubjson", "json"]),
        "transports[3].rawsocket.serializers[0]",
        "not built",
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
