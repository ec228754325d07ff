//! The keys that are built, as they are written: the shape in which `build.rs` reads a tree that
//! the table has approved and completed. Knows no defaults (the table has them) and no meaning.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::checked::{Allow, Disclose};

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub workers: Vec<Worker>,
    pub rewamp: RewampNode,
}

#[derive(Debug, Deserialize)]
pub(super) struct RewampNode {
    pub admin: Option<Endpoint>,
    pub loglevel: String,
    pub realm_arbiters: u16,
    pub open_stores: u64,
    pub store_idle: u64,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Worker {
    Router(Router),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Router {
    pub realms: Vec<Realm>,
    pub transports: Vec<Transport>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Realm {
    pub name: String,
    pub roles: Vec<Role>,
    pub store: Option<Store>,
    pub options: RealmOptions,
    pub rewamp: RewampRealm,
}

#[derive(Debug, Deserialize)]
pub(super) struct RealmOptions {
    pub uri_check: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RewampRealm {
    pub outbox_bytes: u64,
    pub outbox_messages: u64,
    pub slow_consumer: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Role {
    pub name: String,
    pub permissions: Vec<Permission>,
    #[serde(rename = "allow-by-default")]
    pub allow_by_default: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    pub uri: String,
    pub r#match: Option<String>,
    pub allow: Allow,
    pub disclose: Disclose,
    pub cache: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Store {
    Memory(MemoryStore),
    Sled(DiskStore),
    Cfxdb(DiskStore),
}

#[derive(Debug, Deserialize)]
pub(super) struct MemoryStore {
    pub maxsize: u64,
    pub full: String,
    pub limit: u64,
    #[serde(rename = "event-history")]
    pub event_history: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DiskStore {
    pub path: String,
    pub maxsize: u64,
    pub full: String,
    pub buffertime: u64,
    pub maxbuffer: u64,
    pub maxbuffer_bytes: u64,
    pub sync: bool,
    pub readonly: bool,
    pub file_mode: Option<String>,
    pub limit: Option<u64>,
    pub event_history: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Filter {
    pub uri: String,
    pub r#match: String,
    pub limit: Option<u64>,
    pub limit_per_topic: Option<u64>,
    pub max_age: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Transport {
    WebSocket(Listener<WebSocket>),
    RawSocket(Listener<RawSocket>),
    Web(Listener<Web>),
    Universal(Listener<Universal>),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listener<S> {
    pub id: Option<String>,
    pub endpoint: Endpoint,
    #[serde(flatten)]
    pub service: S,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Endpoint {
    Tcp {
        port: u16,
        interface: Option<String>,
        version: u8,
        backlog: u16,
    },
    Unix {
        path: String,
        backlog: u16,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct WebSocket {
    pub serializers: Vec<String>,
    pub options: WebSocketOptions,
    pub auth: Auth,
}

#[derive(Debug, Deserialize)]
pub(super) struct WebSocketOptions {
    pub allowed_origins: Option<Vec<String>>,
    pub allow_null_origin: Option<bool>,
    pub max_message_size: u64,
    pub max_frame_size: u64,
    pub open_handshake_timeout: u64,
    pub auto_ping_interval: u64,
    pub auto_ping_timeout: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawSocket {
    pub serializers: Vec<String>,
    pub options: RawSocketOptions,
    pub auth: Auth,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawSocketOptions {
    pub max_message_size: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Web {
    pub paths: BTreeMap<String, PathService>,
    pub options: WebOptions,
}

#[derive(Debug, Deserialize)]
pub(super) struct WebOptions {
    pub client_timeout: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Universal {
    pub websocket: BTreeMap<String, PathService>,
    pub web: Web,
    pub rawsocket: Option<RawSocket>,
}

/// Told apart by hand, since what is not built has to keep its name.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum PathService {
    WebSocket(Box<WebSocket>),
    Nested(Nested),
    NotBuilt(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Nested {
    pub paths: BTreeMap<String, PathService>,
}

impl TryFrom<Value> for PathService {
    type Error = serde_json::Error;

    fn try_from(service: Value) -> Result<Self, Self::Error> {
        let kind = service
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match kind {
            "websocket" => serde_json::from_value(service).map(Self::WebSocket),
            "path" => serde_json::from_value(service).map(Self::Nested),
            other => Ok(Self::NotBuilt(other.to_owned())),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Auth {
    pub anonymous: Option<Anonymous>,
    pub ticket: Option<Ticket>,
    pub wampcra: Option<Wampcra>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Anonymous {
    pub role: String,
    pub realm: Option<String>,
    pub authid: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ticket {
    pub principals: BTreeMap<String, Principal>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Principal {
    pub ticket: OneOrTwo,
    pub role: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wampcra {
    pub users: BTreeMap<String, User>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub secret: OneOrTwo,
    pub role: String,
    pub salt: Option<String>,
    pub iterations: u32,
    pub keylen: u32,
}

/// References are resolved by now.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrTwo {
    One(String),
    Two(Vec<String>),
}
