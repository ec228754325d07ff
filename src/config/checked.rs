//! The configuration as the node uses it: checked, complete, with defaults in place, references
//! resolved and paths made absolute to the configuration's folder. Made by `build.rs` alone; whoever
//! holds a [`Config`] needs to check nothing again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::{MatchPolicy, UriCheck};

use super::origin::Origins;

/// What the node shall be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from; none: the built-in configuration.
    pub file: Option<PathBuf>,
    /// What relative paths were relative to.
    pub folder: PathBuf,
    /// How much is logged.
    pub loglevel: LevelFilter,
    /// Where health and metrics are served; none: nowhere.
    pub admin: Option<Endpoint>,
    /// Threads of their own for realms, 0…256; 0: a realm shares the thread of its sessions.
    pub realm_arbiters: u16,
    /// Stores on disk that are open at the same time, from 1.
    pub open_stores: u64,
    /// How long a store stays open that nobody uses, from 1 s.
    pub store_idle: Duration,
    /// The realms, each name once.
    pub realms: Vec<Realm>,
    /// The listeners, no two at one address.
    pub transports: Vec<Transport>,
}

/// Where something stands in the configuration, for messages that say how to change it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// JSON path in the file, such as `workers[0].transports[1].endpoint.port`.
    pub key: String,
    /// Environment variable that overrides it, such as
    /// `REWAMP__TRANSPORTS__1__ENDPOINT__PORT`.
    pub variable: String,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the port (or the socket's path) is configured.
    pub place: Place,
    /// The address.
    pub address: Address,
    /// Connections that wait to be accepted, 1…65535.
    pub backlog: u16,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A name or address; `0.0.0.0` or `::` for all addresses.
        interface: String,
        /// 1…65535.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The socket's path.
        path: PathBuf,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { interface, port } if interface.contains(':') => {
                write!(f, "[{interface}]:{port}")
            }
            Self::Tcp { interface, port } => write!(f, "{interface}:{port}"),
            Self::Unix { path } => write!(f, "{}", path.display()),
        }
    }
}

/// A realm.
#[derive(Debug, Clone)]
pub struct Realm {
    /// What clients join.
    pub name: String,
    /// Which characters URIs may have.
    pub uri_check: UriCheck,
    /// Who may do what; each name once.
    pub roles: Vec<Role>,
    /// Where events are kept; none: nowhere.
    pub store: Option<Store>,
    /// What may wait for one session.
    pub outbox: Outbox,
}

/// Bound of what waits to be sent to one session, and what happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// Bytes, from 65536.
    pub bytes: u64,
    /// Messages, from 16.
    pub messages: u64,
    /// When one of them is reached.
    pub slow_consumer: SlowConsumer,
}

/// What happens to a session that does not read as fast as it is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumer {
    /// It gets what follows from the history; cut where there is none.
    CatchUp,
    /// It is cut at once.
    Disconnect,
    /// Events to it are left out.
    Drop,
}

/// A role of a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// What logins refer to.
    pub name: String,
    /// Whether what no permission speaks of is allowed.
    pub allow_by_default: bool,
    /// In the order of the file.
    pub permissions: Vec<Permission>,
}

/// What a role may do with some URIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// URI or pattern.
    pub uri: String,
    /// How it is compared; none: a `*` at its end makes it a prefix, an empty component a wildcard.
    pub match_policy: Option<MatchPolicy>,
    /// What is allowed.
    pub allow: Allow,
    /// Whose identity others see.
    pub disclose: Disclose,
    /// Whether decisions may be remembered for each URI.
    pub cache: bool,
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub struct Allow {
    /// CALL.
    pub call: bool,
    /// REGISTER.
    pub register: bool,
    /// PUBLISH.
    pub publish: bool,
    /// SUBSCRIBE.
    pub subscribe: bool,
}

/// Whose identity others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub struct Disclose {
    /// The caller's, to callees.
    pub caller: bool,
    /// The publisher's, to subscribers and in the history.
    pub publisher: bool,
}

/// Event history of a realm.
#[derive(Debug, Clone)]
pub struct Store {
    /// Where the store is configured.
    pub place: Place,
    /// Where it keeps events.
    pub engine: Engine,
    /// Bytes, on disk (from 5,242,880, or as cfxdb from 131,072) or in memory (from 131,072).
    pub maxsize: u64,
    /// Whether it refuses when it is full, instead of dropping the oldest events.
    pub refuses: bool,
    /// Events that each filter keeps, from 1; none: as `maxsize` allows.
    pub limit: Option<u64>,
    /// Which events are kept; may be empty; each (URI, policy) once.
    pub filters: Vec<Filter>,
}

/// What keeps the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Gone with the process.
    Memory,
    /// On disk.
    Sled {
        /// Its folder, which may not exist yet.
        path: PathBuf,
        /// What is collected before it is written.
        buffer: Buffer,
        /// Whether a transaction is on disk before it counts as done.
        sync: bool,
        /// Whether it is read and nothing else; then it has to be there.
        readonly: bool,
    },
    /// On disk, in the rows of Crossbar's store.
    Cfxdb {
        /// Its folder, which may not exist yet.
        path: PathBuf,
        /// What is collected before it is written.
        buffer: Buffer,
        /// Whether a transaction is on disk before it counts as done.
        sync: bool,
        /// Whether it is read and nothing else; then it has to be there.
        readonly: bool,
        /// Permissions of files that are made.
        mode: u32,
    },
}

/// Bounds of what is collected for one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// How long, 0…1 h.
    pub time: Duration,
    /// How many events, from 1.
    pub events: u64,
    /// How many bytes, from 65536.
    pub bytes: u64,
}

/// Events to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Topic or pattern.
    pub uri: String,
    /// How it is compared.
    pub match_policy: MatchPolicy,
    /// Events that it keeps, from 1; none: the store's `limit`.
    pub limit: Option<u64>,
    /// Events that it keeps of each topic, from 1; none: any number.
    pub limit_per_topic: Option<u64>,
    /// How long it keeps them, from 1 s; none: as the other bounds allow.
    pub max_age: Option<Duration>,
}

/// A listener.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Its name, if it has one, else its JSON path.
    pub id: String,
    /// Names of the realms that clients may join here: those of the same worker. To others a HELLO
    /// is answered as to realms that do not exist.
    pub realms: Vec<String>,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub service: Service,
}

/// What a listener speaks.
#[derive(Debug, Clone)]
pub enum Service {
    /// WebSocket on every path.
    WebSocket(WebSocket),
    /// RawSocket.
    RawSocket(RawSocket),
    /// HTTP, with WebSockets below some paths.
    Web(Web),
    /// RawSocket and HTTP on one port.
    Universal(RawSocket, Web),
}

/// WebSocket connections.
#[derive(Debug, Clone)]
pub struct WebSocket {
    /// Which serializers a client may choose; at least one.
    pub serializers: Vec<Serializer>,
    /// How clients log in.
    pub auth: Auth,
    /// Which web pages may connect.
    pub origins: Origins,
    /// Largest message in and out, 1…16 MiB.
    pub max_message_size: u32,
    /// Largest incoming frame, 1…16 MiB.
    pub max_frame_size: u32,
    /// Until the connection is a WebSocket; none: no limit.
    pub open_handshake_timeout: Option<Duration>,
    /// Pings on quiet connections; none: never.
    pub auto_ping_interval: Option<Duration>,
    /// Until any traffic follows a ping, else the connection is closed; none: no limit.
    pub auto_ping_timeout: Option<Duration>,
}

/// RawSocket connections.
#[derive(Debug, Clone)]
pub struct RawSocket {
    /// Which serializers a client may choose; at least one.
    pub serializers: Vec<Serializer>,
    /// How clients log in.
    pub auth: Auth,
    /// Largest incoming message, 512…2^24 bytes.
    pub max_message_size: u32,
}

/// An HTTP server.
#[derive(Debug, Clone)]
pub struct Web {
    /// URL path (`/ws`, `/a/b`, or `/` for all others) and what answers there; each path once.
    pub paths: Vec<(String, PathService)>,
    /// For a request to arrive and an idle connection to stay, not more than a WebSocket below
    /// any path allows for its handshake; none: no limit.
    pub client_timeout: Option<Duration>,
}

/// What answers at a URL path.
#[derive(Debug, Clone)]
pub enum PathService {
    /// A WebSocket.
    WebSocket(Box<WebSocket>),
    /// Status 501, with the kind that is not built.
    NotBuilt(String),
}

/// Login methods of a listener. With none, nobody can log in.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// Anybody.
    pub anonymous: Option<Anonymous>,
    /// Principals with a ticket, each authid once; none: the method is not offered.
    pub ticket: Option<Vec<TicketPrincipal>>,
    /// Users with a WAMP-CRA secret, each authid once; none: the method is not offered.
    pub wampcra: Option<Vec<CraUser>>,
}

/// Login without a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anonymous {
    /// Role of the session.
    pub role: String,
    /// The one realm to join; none: the one that the client asks for.
    pub realm: Option<String>,
    /// Its authid; none: a random one.
    pub authid: Option<String>,
}

/// Login with a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketPrincipal {
    /// Who.
    pub authid: String,
    /// One or two, either valid.
    pub tickets: Vec<Secret>,
    /// Role of the session.
    pub role: String,
}

/// Login by WAMP-CRA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CraUser {
    /// Who.
    pub authid: String,
    /// One or two, either valid. With `salt`, the key is derived from it.
    pub secrets: Vec<Secret>,
    /// Role of the session.
    pub role: String,
    /// How the key is derived; none: the secret is the key.
    pub derivation: Option<Derivation>,
}

/// PBKDF2-HMAC-SHA256. Spec: "Challenge Response Authentication", salted passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The salt, as sent in the challenge.
    pub salt: String,
    /// Rounds, 1…10,000,000.
    pub iterations: u32,
    /// Bytes of the derived key, 8…256.
    pub keylen: u32,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Of that text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
