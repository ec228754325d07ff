//! Makes the [`Config`] of a tree that is free of faults, completed and resolved. The only place
//! that turns words of the file into what they mean.

use std::collections::BTreeMap;
use std::time::Duration;

use log::LevelFilter;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::{MatchPolicy, UriCheck};
use serde_json::Value;

use super::checked::{
    Address, Anonymous, Auth, Buffer, Config, CraUser, Derivation, Endpoint, Engine, Filter,
    Outbox, PathService, Permission, Place, RawSocket, Realm, Role, Secret, Service, SlowConsumer,
    Store, TicketPrincipal, Transport, Web, WebSocket,
};
use super::environment::place;
use super::origin::{Origins, Pages};
use super::path::Path;
use super::resolve::Surroundings;
use super::written;

/// The largest message on any transport, in bytes. Spec: RawSocket, "Handshake".
pub(super) const MESSAGE_LIMIT: u64 = 16 * 1024 * 1024;

/// The configuration of a checked tree; an error means that the table allows what nobody reads.
pub(super) fn build(tree: Value, around: &Surroundings) -> Result<Config, serde_json::Error> {
    let node: written::Node = serde_json::from_value(tree)?;
    let builder = Builder { around };
    let mut config = Config {
        file: None,
        folder: around.folder.clone(),
        loglevel: level(&node.rewamp.loglevel),
        admin: node
            .rewamp
            .admin
            .map(|admin| builder.endpoint(admin, &Path::root().key("rewamp").key("admin"))),
        realm_arbiters: node.rewamp.realm_arbiters,
        open_stores: node.rewamp.open_stores,
        store_idle: Duration::from_secs(node.rewamp.store_idle),
        realms: Vec::new(),
        transports: Vec::new(),
    };
    for (index, worker) in node.workers.into_iter().enumerate() {
        if let written::Worker::Router(router) = worker {
            builder.router(
                router,
                &Path::root().key("workers").index(index),
                &mut config,
            );
        }
    }
    Ok(config)
}

struct Builder<'a> {
    around: &'a Surroundings,
}

impl Builder<'_> {
    fn router(&self, router: written::Router, path: &Path, config: &mut Config) {
        let realms: Vec<String> = router
            .realms
            .iter()
            .map(|realm| realm.name.clone())
            .collect();
        for (index, realm) in router.realms.into_iter().enumerate() {
            config
                .realms
                .push(self.realm(realm, &path.key("realms").index(index)));
        }
        for (index, transport) in router.transports.into_iter().enumerate() {
            let path = path.key("transports").index(index);
            config
                .transports
                .extend(self.transport(transport, &path, &realms));
        }
    }

    fn realm(&self, realm: written::Realm, path: &Path) -> Realm {
        Realm {
            name: realm.name,
            uri_check: uri_check(&realm.options.uri_check),
            roles: realm.roles.into_iter().map(role).collect(),
            store: realm
                .store
                .map(|store| self.store(store, &path.key("store"))),
            outbox: Outbox {
                bytes: realm.rewamp.outbox_bytes,
                messages: realm.rewamp.outbox_messages,
                slow_consumer: match realm.rewamp.slow_consumer.as_str() {
                    "drop" => SlowConsumer::Drop,
                    "disconnect" => SlowConsumer::Disconnect,
                    _ => SlowConsumer::CatchUp,
                },
            },
        }
    }

    fn store(&self, store: written::Store, path: &Path) -> Store {
        let place = place(path);
        match store {
            written::Store::Memory(store) => Store {
                place,
                engine: Engine::Memory,
                maxsize: store.maxsize,
                refuses: store.full == "refuse",
                limit: Some(store.limit),
                filters: store.event_history.into_iter().map(filter).collect(),
            },
            written::Store::Sled(store) => {
                let engine = Engine::Sled {
                    path: self.around.locate(&store.path),
                    buffer: buffer(&store),
                    sync: store.sync,
                    readonly: store.readonly,
                };
                on_disk(place, engine, store)
            }
            written::Store::Cfxdb(store) => {
                let engine = Engine::Cfxdb {
                    path: self.around.locate(&store.path),
                    buffer: buffer(&store),
                    sync: store.sync,
                    readonly: store.readonly,
                    mode: file_mode(store.file_mode.as_deref()),
                };
                on_disk(place, engine, store)
            }
        }
    }

    /// None for a kind that is not built.
    fn transport(
        &self,
        transport: written::Transport,
        path: &Path,
        realms: &[String],
    ) -> Option<Transport> {
        let (id, endpoint, service) = match transport {
            written::Transport::WebSocket(listener) => {
                let service = Service::WebSocket(websocket(listener.service));
                (listener.id, listener.endpoint, service)
            }
            written::Transport::RawSocket(listener) => {
                let service = Service::RawSocket(rawsocket(listener.service));
                (listener.id, listener.endpoint, service)
            }
            written::Transport::Web(listener) => {
                let service = Service::Web(web(BTreeMap::new(), listener.service));
                (listener.id, listener.endpoint, service)
            }
            written::Transport::Universal(listener) => {
                let written::Universal {
                    websocket,
                    web: rest,
                    rawsocket: raw,
                } = listener.service;
                let web = web(websocket, rest);
                let service = match raw {
                    Some(raw) => Service::Universal(rawsocket(raw), web),
                    None => Service::Web(web),
                };
                (listener.id, listener.endpoint, service)
            }
            written::Transport::Other => return None,
        };
        Some(Transport {
            id: id.unwrap_or_else(|| path.to_string()),
            realms: realms.to_vec(),
            endpoint: self.endpoint(endpoint, &path.key("endpoint")),
            service,
        })
    }

    fn endpoint(&self, endpoint: written::Endpoint, path: &Path) -> Endpoint {
        match endpoint {
            written::Endpoint::Tcp {
                port,
                interface,
                version,
                backlog,
            } => {
                let all = if version == 6 { "::" } else { "0.0.0.0" };
                let interface = interface.unwrap_or_else(|| all.to_owned());
                let address = Address::Tcp { interface, port };
                Endpoint {
                    place: place(&path.key("port")),
                    address,
                    backlog,
                }
            }
            written::Endpoint::Unix {
                path: socket,
                backlog,
            } => {
                let address = Address::Unix {
                    path: self.around.locate(&socket),
                };
                Endpoint {
                    place: place(&path.key("path")),
                    address,
                    backlog,
                }
            }
        }
    }
}

fn on_disk(place: Place, engine: Engine, store: written::DiskStore) -> Store {
    Store {
        place,
        engine,
        maxsize: store.maxsize,
        refuses: store.full == "refuse",
        limit: store.limit,
        filters: store.event_history.into_iter().map(filter).collect(),
    }
}

fn buffer(store: &written::DiskStore) -> Buffer {
    Buffer {
        time: Duration::from_millis(store.buffertime),
        events: store.maxbuffer,
        bytes: store.maxbuffer_bytes,
    }
}

/// Permissions as they are written: octal.
fn file_mode(text: Option<&str>) -> u32 {
    let mode = text.and_then(|text| u32::from_str_radix(text, 8).ok());
    mode.unwrap_or(0o640)
}

fn role(role: written::Role) -> Role {
    Role {
        name: role.name,
        allow_by_default: role.allow_by_default,
        permissions: role.permissions.into_iter().map(permission).collect(),
    }
}

fn permission(permission: written::Permission) -> Permission {
    Permission {
        uri: permission.uri,
        match_policy: permission
            .r#match
            .as_deref()
            .and_then(MatchPolicy::from_name),
        allow: permission.allow,
        disclose: permission.disclose,
        cache: permission.cache,
    }
}

fn filter(filter: written::Filter) -> Filter {
    Filter {
        uri: filter.uri,
        match_policy: MatchPolicy::from_name(&filter.r#match).unwrap_or_default(),
        limit: filter.limit,
        limit_per_topic: filter.limit_per_topic,
        max_age: filter.max_age.as_ref().and_then(super::age::read),
    }
}

fn websocket(websocket: written::WebSocket) -> WebSocket {
    let options = websocket.options;
    let max_message_size = within_limit(options.max_message_size, MESSAGE_LIMIT);
    WebSocket {
        serializers: serializers(&websocket.serializers),
        auth: auth(websocket.auth),
        origins: origins(options.allowed_origins, options.allow_null_origin),
        max_message_size,
        max_frame_size: within_limit(options.max_frame_size, u64::from(max_message_size)),
        open_handshake_timeout: timeout(options.open_handshake_timeout),
        auto_ping_interval: timeout(options.auto_ping_interval),
        auto_ping_timeout: timeout(options.auto_ping_timeout),
    }
}

/// As Crossbar: whoever lists origins lets `null` in as well, unless told otherwise.
fn origins(listed: Option<Vec<String>>, null: Option<bool>) -> Origins {
    Origins {
        null: null.unwrap_or(listed.is_some()),
        pages: listed.map_or(Pages::Loopback, Pages::Listed),
    }
}

fn rawsocket(rawsocket: written::RawSocket) -> RawSocket {
    RawSocket {
        serializers: serializers(&rawsocket.serializers),
        auth: auth(rawsocket.auth),
        max_message_size: rawsocket.options.max_message_size,
    }
}

/// One server of the paths of a `web`, or of both HTTP parts of a `universal` transport, whose
/// WebSockets have precedence, as at Crossbar.
fn web(websockets: BTreeMap<String, written::PathService>, web: written::Web) -> Web {
    let mut paths = BTreeMap::new();
    flatten("", web.paths, &mut paths);
    flatten("", websockets, &mut paths);
    let handshakes = paths.values().filter_map(|service| match service {
        PathService::WebSocket(websocket) => websocket.open_handshake_timeout,
        PathService::NotBuilt(_) => None,
    });
    let client_timeout = web.options.client_timeout.map(Duration::from_secs);
    // The clock starts before the path is known, so the strictest of them holds for all.
    let client_timeout = handshakes.chain(client_timeout).min();
    Web {
        paths: paths.into_iter().collect(),
        client_timeout,
    }
}

/// Adds the services below `base` under their whole paths.
fn flatten(
    base: &str,
    services: BTreeMap<String, written::PathService>,
    into: &mut BTreeMap<String, PathService>,
) {
    for (name, service) in services {
        let path = match (base, name.as_str()) {
            ("", "/") => String::from("/"),
            (base, "/") => base.to_owned(),
            (base, name) => format!("{base}/{name}"),
        };
        match service {
            written::PathService::WebSocket(service) => {
                into.insert(path, PathService::WebSocket(Box::new(websocket(*service))));
            }
            written::PathService::Nested(nested) => {
                flatten(if path == "/" { "" } else { &path }, nested.paths, into);
            }
            written::PathService::NotBuilt(kind) => {
                into.insert(path, PathService::NotBuilt(kind));
            }
        }
    }
}

fn auth(auth: written::Auth) -> Auth {
    let principal = |(authid, principal): (String, written::Principal)| TicketPrincipal {
        authid,
        tickets: secrets(principal.ticket),
        role: principal.role,
    };
    Auth {
        anonymous: auth.anonymous.map(|anonymous| Anonymous {
            role: anonymous.role,
            realm: anonymous.realm,
            authid: anonymous.authid,
        }),
        ticket: auth
            .ticket
            .map(|ticket| ticket.principals.into_iter().map(principal).collect()),
        wampcra: auth
            .wampcra
            .map(|wampcra| wampcra.users.into_iter().map(cra_user).collect()),
    }
}

fn cra_user((authid, user): (String, written::User)) -> CraUser {
    let written::User {
        secret,
        role,
        salt,
        iterations,
        keylen,
    } = user;
    let derivation = salt.map(|salt| Derivation {
        salt,
        iterations,
        keylen,
    });
    CraUser {
        authid,
        secrets: secrets(secret),
        role,
        derivation,
    }
}

fn secrets(secrets: written::OneOrTwo) -> Vec<Secret> {
    match secrets {
        written::OneOrTwo::One(secret) => vec![Secret::new(secret)],
        written::OneOrTwo::Two(secrets) => secrets.into_iter().map(Secret::new).collect(),
    }
}

/// Those of the names that are built.
fn serializers(names: &[String]) -> Vec<Serializer> {
    names
        .iter()
        .filter_map(|name| Serializer::from_name(name))
        .collect()
}

fn level(name: &str) -> LevelFilter {
    match name {
        "none" => LevelFilter::Off,
        name => name.parse().unwrap_or(LevelFilter::Info),
    }
}

fn uri_check(name: &str) -> UriCheck {
    match name {
        "strict" => UriCheck::Strict,
        _ => UriCheck::Loose,
    }
}

/// `size` bytes, the limit where it is 0 or larger.
fn within_limit(size: u64, limit: u64) -> u32 {
    let size = if size == 0 { limit } else { size.min(limit) };
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// 0 stands for none.
fn timeout(milliseconds: u64) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}
