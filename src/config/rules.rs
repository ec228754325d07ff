//! What no single key shows: two of what can be there once, names that refer to nothing, a node
//! that nobody can use. Runs beside `check.rs` on the same tree, so that all is named in one run;
//! what has the wrong shape is passed over here.

mod addresses; // two listeners at one address
mod logins; //    who can log in, and as what
mod history; //   filters and stores

use std::collections::HashMap;

use rewamp_wamp::uri::{MatchPolicy, UriCheck, check_uri};
use serde_json::Value;

use super::build::MESSAGE_LIMIT;
use super::cursor::Cursor;
use super::finding::Findings;
use super::path::Path;

/// All findings of a tree whose references are resolved as far as possible.
pub(super) fn check(tree: &Value) -> Findings {
    let mut findings = Findings::default();
    let node = Cursor::new(tree);
    let routers: Vec<Cursor> = node
        .key("workers")
        .items()
        .filter(|worker| worker.is_of_type("router"))
        .collect();
    if routers.is_empty() && node.key("workers").exists() {
        findings.fault(
            &node.key("workers").path,
            "no router worker: there is nothing to start",
        );
    }
    once_each(
        routers
            .iter()
            .flat_map(|router| router.key("realms").items()),
        REALM,
        &mut findings,
    );
    for router in &routers {
        check_router(router, &mut findings);
    }
    addresses::check(&node, &routers, &mut findings);
    history::check(&routers, &mut findings);
    findings
}

/// Told of a second realm of one name. Crossbar allows it in two workers.
const REALM: &str = "realm";

fn check_router(router: &Cursor, findings: &mut Findings) {
    for (key, missing) in [
        ("realms", "no realm: no client can join"),
        ("transports", "no transport: no client can connect"),
    ] {
        if router.key(key).items().next().is_none() {
            findings.warn(&router.key(key).path, missing);
        }
    }
    for realm in router.key("realms").items() {
        check_realm(&realm, findings);
    }
    for transport in router.key("transports").items() {
        check_transport(&transport, findings);
    }
    logins::check(router, findings);
}

fn check_realm(realm: &Cursor, findings: &mut Findings) {
    let name = realm.key("name");
    if let Some(text) = name.text()
        && let Err(error) = check_uri(text, MatchPolicy::Exact, UriCheck::Loose)
    {
        findings.fault(&name.path, format!("{error}; a realm's name is a URI"));
    }
    once_each(realm.key("roles").items(), "role", findings);
    let check = uri_check(realm);
    for role in realm.key("roles").items() {
        let name = role.key("name");
        if name.text() == Some("trusted") {
            findings.fault(&name.path, "`trusted` is reserved for the router itself");
        }
        for permission in role.key("permissions").items() {
            check_permission(&permission, check, findings);
        }
    }
}

/// A permission that can never apply is a warning, since Crossbar takes it.
fn check_permission(permission: &Cursor, check: UriCheck, findings: &mut Findings) {
    let at = permission.key("uri");
    let Some(uri) = at.text() else { return };
    let policy = permission
        .key("match")
        .text()
        .and_then(MatchPolicy::from_name);
    let result = match policy {
        Some(policy) => check_uri(uri, policy, check),
        None => match uri.strip_suffix('*') {
            Some(prefix) => check_uri(prefix, MatchPolicy::Prefix, check),
            None if uri.is_empty() => check_uri(uri, MatchPolicy::Exact, check),
            None => check_uri(uri, MatchPolicy::Wildcard, check),
        },
    };
    if let Err(error) = result {
        findings.warn(&at.path, format!("{error}; the permission never applies"));
    }
}

fn check_transport(transport: &Cursor, findings: &mut Findings) {
    for service in services(transport) {
        let size = service.key("options").key("max_message_size");
        if size.integer().is_some_and(|size| size > MESSAGE_LIMIT) {
            findings.warn(
                &size.path,
                format!("messages of more than {MESSAGE_LIMIT} bytes close the connection"),
            );
        }
        check_serializers(&service.key("serializers"), findings);
    }
}

fn check_serializers(serializers: &Cursor, findings: &mut Findings) {
    if !serializers.exists() {
        return;
    }
    let mut usable = 0;
    for serializer in serializers.items() {
        match serializer.text() {
            Some("ubjson") => {
                findings.warn(&serializer.path, "not built: clients cannot choose it")
            }
            _ => usable += 1,
        }
    }
    if usable == 0 {
        findings.fault(
            &serializers.path,
            "no serializer that is built; allowed: `cbor`, `msgpack`, `json`",
        );
    }
}

/// The WebSockets and RawSockets of a transport, at whatever path.
fn services<'a>(transport: &Cursor<'a>) -> Vec<Cursor<'a>> {
    let mut found = Vec::new();
    match transport.key("type").text() {
        Some("websocket" | "rawsocket") => found.push(transport.clone()),
        Some("web") => below(&transport.key("paths"), &mut found),
        Some("universal") => {
            found.push(transport.key("rawsocket"));
            below(&transport.key("websocket"), &mut found);
            below(&transport.key("web").key("paths"), &mut found);
        }
        _ => {}
    }
    found
}

fn below<'a>(paths: &Cursor<'a>, found: &mut Vec<Cursor<'a>>) {
    for (_, service) in paths.entries() {
        match service.key("type").text() {
            Some("websocket") => found.push(service),
            Some("path") => below(&service.key("paths"), found),
            _ => {}
        }
    }
}

/// Names each item whose `name` an earlier one has.
fn once_each<'a>(items: impl Iterator<Item = Cursor<'a>>, what: &str, findings: &mut Findings) {
    let mut seen: HashMap<&str, Path> = HashMap::new();
    for item in items {
        let name = item.key("name");
        let Some(text) = name.text() else { continue };
        match seen.get(text) {
            Some(first) => {
                findings.fault(
                    &name.path,
                    format!("{what} {text:?} is also at {first}; a name is there once"),
                );
            }
            None => {
                seen.insert(text, item.path.clone());
            }
        }
    }
}

fn uri_check(realm: &Cursor) -> UriCheck {
    match realm.key("options").key("uri_check").text() {
        Some("strict") => UriCheck::Strict,
        _ => UriCheck::Loose,
    }
}
