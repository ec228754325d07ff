//! Rows of the table: where clients connect.

use super::auth::AUTH;
use super::web::{UNIVERSAL_WEB, WEB, WEB_PATH};
use super::websocket::WEBSOCKET;
use super::{Key, Kind, MapKeys, Section, Tag, Tagged, Text, integer};

/// What listens.
pub(super) static TRANSPORT: Tagged = Tagged {
    what: "transport",
    hint: "",
    tags: &[
        Tag::new("websocket", &WEBSOCKET),
        Tag::new("rawsocket", &RAWSOCKET),
        Tag::new("web", &WEB),
        Tag::new("universal", &UNIVERSAL),
        Tag::warns("mqtt", "nothing listens for it"),
        Tag::warns("flashpolicy", "nothing listens for it"),
        Tag::warns("websocket.testee", "nothing listens for it"),
        Tag::warns("stream.testee", "nothing listens for it"),
    ],
};

/// An address to listen on.
pub(super) static ENDPOINT: Tagged = Tagged {
    what: "endpoint",
    hint: "",
    tags: &[
        Tag::new("tcp", &TCP),
        Tag::new("unix", &UNIX),
        Tag::stops("twisted", "use `tcp` or `unix`"),
        Tag::stops("onion", "let Tor forward to a `tcp` endpoint"),
    ],
};

static TCP: Section = Section {
    title: "TCP endpoint",
    at: "workers[].transports[].endpoint",
    about: "Also `rewamp.admin`.",
    keys: &[
        Key::new(
            "port",
            Kind::Port,
            "The port; an environment variable as `\"$NAME\"`",
        )
        .required(),
        Key::new(
            "interface",
            Kind::Text(Text::Some),
            "Address to listen on; without it, all addresses",
        ),
        Key::new(
            "version",
            Kind::Numbers(&[4, 6]),
            "IP version of all addresses, when `interface` is missing",
        )
        .default("4"),
        Key::new(
            "backlog",
            integer(1, 65_535, "connections"),
            "Connections waiting to be accepted",
        )
        .default("1024"),
        Key::new(
            "shared",
            Kind::Bool,
            "Lets other processes listen on the same port",
        )
        .warns(&["false"], "the port is this node's alone"),
        Key::new(
            "user_timeout",
            integer(0, 65_535, "ms"),
            "TCP_USER_TIMEOUT of connections",
        )
        .warns(&["0"], "180 s holds"),
        Key::new(
            "portrange",
            Kind::Opaque,
            "Ports of which a free one is taken",
        )
        .stops(&[], "use `port`"),
        Key::new("tls", Kind::Opaque, "Encrypts connections").stops(
            &[],
            "end TLS before the node, in an Ingress or a reverse proxy",
        ),
    ],
};

static UNIX: Section = Section {
    title: "Unix endpoint",
    at: "workers[].transports[].endpoint",
    about: "Also `rewamp.admin`.",
    keys: &[
        Key::new(
            "path",
            Kind::Text(Text::Some),
            "The socket's path, relative like a store's",
        )
        .required(),
        Key::new(
            "backlog",
            integer(1, 65_535, "connections"),
            "Connections waiting to be accepted",
        )
        .default("1024"),
    ],
};

static RAWSOCKET: Section = Section {
    title: "RawSocket",
    at: "workers[].transports[]",
    about: "",
    keys: &[
        ID,
        ENDPOINT_KEY,
        RAWSOCKET_SERIALIZERS,
        RAWSOCKET_OPTIONS_KEY,
        RAWSOCKET_AUTH,
        DEBUG,
        MAX_CONNECTIONS,
    ],
};

static UNIVERSAL_RAWSOCKET: Section = Section {
    title: "RawSocket part of a universal transport",
    at: "workers[].transports[].rawsocket",
    about: "",
    keys: &[
        Key::new(
            "type",
            Kind::Choice(&["rawsocket"]),
            "The kind, which is known here",
        ),
        ID,
        RAWSOCKET_SERIALIZERS,
        RAWSOCKET_OPTIONS_KEY,
        RAWSOCKET_AUTH,
        DEBUG,
    ],
};

const RAWSOCKET_SERIALIZERS: Key = Key::new(
    "serializers",
    SERIALIZERS,
    "Which serializers clients may choose",
)
.default(ALL_SERIALIZERS);

const RAWSOCKET_OPTIONS_KEY: Key = Key::new(
    "options",
    Kind::Object(&RAWSOCKET_OPTIONS),
    "Options of connections",
)
.default("{}");

const RAWSOCKET_AUTH: Key = Key::new("auth", Kind::Object(&AUTH), AUTH_ABOUT).default(ANYBODY);

static UNIVERSAL: Section = Section {
    title: "Universal transport",
    at: "workers[].transports[]",
    about: "Several protocols on one port.",
    keys: &[
        ID,
        ENDPOINT_KEY,
        Key::new(
            "websocket",
            Kind::Map(MapKeys::WebPath, &Kind::Tagged(&WEB_PATH)),
            "WebSockets by path",
        )
        .default("{}"),
        Key::new(
            "web",
            Kind::Object(&UNIVERSAL_WEB),
            "What else answers over HTTP",
        )
        .default("{\"paths\":{}}"),
        Key::new(
            "rawsocket",
            Kind::Object(&UNIVERSAL_RAWSOCKET),
            "RawSocket on the same port, told apart by a connection's first byte",
        ),
        Key::new("mqtt", Kind::Opaque, "MQTT on the same port").warns(&[], "there is no MQTT"),
        MAX_CONNECTIONS,
    ],
};

static RAWSOCKET_OPTIONS: Section = Section {
    title: "RawSocket options",
    at: "workers[].transports[].options",
    about: "",
    keys: &[Key::new(
        "max_message_size",
        integer(512, 16_777_216, "bytes"),
        "The largest incoming message, announced in the handshake as the next smaller power of two",
    )
    .default("16777216")],
};

pub(super) const ID: Key = Key::new("id", Kind::Text(Text::Id), "Its name, for messages");

pub(super) const ENDPOINT_KEY: Key =
    Key::new("endpoint", Kind::Tagged(&ENDPOINT), "Address to listen on").required();

pub(super) const SERIALIZERS: Kind =
    Kind::List(&Kind::Choice(&["cbor", "msgpack", "json", "ubjson"]));

pub(super) const ALL_SERIALIZERS: &str = r#"["cbor","msgpack","json"]"#;

/// As Crossbar: a transport without `auth` takes anybody as `anonymous`.
pub(super) const ANYBODY: &str = r#"{"anonymous":{"type":"static"}}"#;

pub(super) const AUTH_ABOUT: &str =
    "How clients log in; without it, anybody as role `anonymous`; `{}`: nobody";

pub(super) const DEBUG: Key = Key::new("debug", Kind::Bool, "Logs every message")
    .warns(&["false"], "use `--loglevel debug` or `trace`");

pub(super) const MAX_CONNECTIONS: Key = Key::new(
    "max_connections",
    integer(1, u64::MAX, "connections"),
    "How many at once",
)
.stops(
    &[],
    "limit them before the node; the process's file limit bounds them",
);
