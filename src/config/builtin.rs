//! The configuration of a node that is given none: one realm that remembers everything, open to
//! anybody on this machine and to nobody else.

use serde_json::{Value, json};

/// Where its history goes, below the working folder.
pub const DATA_FOLDER: &str = "rewamp-data";

/// The tree.
pub fn tree() -> Value {
    json!({
        "version": 2,
        "workers": [{
            "type": "router",
            "realms": [{
                "name": "realm1",
                "roles": [{
                    "name": "anonymous",
                    "permissions": [{
                        "uri": "",
                        "match": "prefix",
                        "allow": {"call": true, "register": true, "publish": true, "subscribe": true},
                        "disclose": {"caller": false, "publisher": false},
                        "cache": true,
                    }],
                }],
                "store": {
                    "type": "sled",
                    "path": format!("{DATA_FOLDER}/realm1"),
                    "maxsize": 1_073_741_824_u64,
                    "event-history": [{"uri": "", "match": "prefix"}],
                },
            }],
            "transports": [
                {
                    "type": "web",
                    "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": 8080},
                    "paths": {"ws": {"type": "websocket", "auth": anybody()}},
                },
                {
                    "type": "rawsocket",
                    "endpoint": {"type": "tcp", "interface": "127.0.0.1", "port": 8081},
                    "auth": anybody(),
                },
            ],
        }],
        "rewamp": {"admin": {"type": "tcp", "interface": "127.0.0.1", "port": 8082}},
    })
}

fn anybody() -> Value {
    json!({"anonymous": {"type": "static", "role": "anonymous"}})
}
