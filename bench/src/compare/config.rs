//! The configurations that the runner writes for its servers.

use crate::load::STORED;
use serde_json::{Value, json};
use std::path::Path;

/// Realm without a history.
pub(crate) const PLAIN_REALM: &str = "bench";
/// Realm that stores `com.stored.*`.
pub(crate) const STORED_REALM: &str = "stored";

/// Largest size of a store in bytes: no run of a comparison comes near it.
pub(crate) const STORE_BYTES: u64 = 1 << 30;

/// A router node in Crossbar's form, which Rewamp takes too; `store` belongs to the second realm.
fn node(ws: u16, raw: u16, store: &Value) -> Value {
    let roles = json!([{
        "name": "anonymous",
        "permissions": [{
            "uri": "", "match": "prefix", "cache": true,
            "allow": {"call": true, "register": true, "publish": true, "subscribe": true},
            "disclose": {"caller": false, "publisher": false},
        }],
    }]);
    let transport = |kind: &str, port: u16| {
        json!({
            "type": kind,
            "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": port},
            "auth": {"anonymous": {"type": "static", "role": "anonymous"}},
        })
    };
    json!({
        "version": 2,
        "controller": {},
        "workers": [{
            "type": "router",
            "realms": [
                {"name": PLAIN_REALM, "roles": roles},
                {"name": STORED_REALM, "roles": roles, "store": store},
            ],
            "transports": [transport("websocket", ws), transport("rawsocket", raw)],
        }],
    })
}

/// What a store of `filters` filters keeps: one is about what is published, and the last.
pub(crate) fn stored_prefixes(filters: usize) -> impl Iterator<Item = String> {
    let others = (1..filters).map(|number| format!("net.{number}."));
    others.chain([STORED.to_owned()])
}

/// Rewamp with a durable sled store of `maxsize` bytes.
pub(crate) fn rewamp(ws: u16, raw: u16, store: &Path, maxsize: u64, filters: usize) -> Value {
    let filter = |uri| json!({"uri": uri, "match": "prefix"});
    let store = json!({
        "type": "sled", "path": store, "maxsize": maxsize, "sync": true,
        "event-history": stored_prefixes(filters).map(filter).collect::<Vec<_>>(),
    });
    node(ws, raw, &store)
}

/// Crossbar with its memory store: the only one that a plain `crossbar start` has.
pub(super) fn crossbar(ws: u16, raw: u16) -> Value {
    let store = json!({
        "type": "memory", "limit": 2000,
        "event-history": [{"uri": STORED, "match": "prefix"}],
    });
    node(ws, raw, &store)
}

/// NATS with a JetStream that syncs before it acknowledges.
pub(super) fn nats(port: u16, store: &Path) -> String {
    format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {store:?}\n  \
         sync_interval: always\n}}\n"
    )
}
