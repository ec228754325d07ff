//! Rows of the table: where clients connect.

use super::auth::AUTH;
use super::{Key, Kind, MapKeys, Section, Tag, Tagged, Text, integer, milliseconds};

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
            Kind::Integer {
                min: 4,
                max: 6,
                unit: "",
                hint: "4 or 6",
            },
            "IP version of all addresses, when `interface` is missing: 4 or 6",
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
        .warns(&["0"], "the system's own holds"),
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

static WEBSOCKET: Section = Section {
    title: "WebSocket",
    at: "workers[].transports[]",
    about: "As a transport it takes every URL path; as a path of `web`, or of `websocket` in \
            `universal`, that one, and has no `endpoint`.",
    keys: &[
        ID,
        ENDPOINT_KEY,
        Key::new("url", Kind::Text(Text::Any), "What clients connect to")
            .warns(&[], "has no effect: the endpoint and the path decide"),
        Key::new(
            "serializers",
            SERIALIZERS,
            "Which serializers clients may choose",
        )
        .default(ALL_SERIALIZERS),
        Key::new(
            "options",
            Kind::Object(&WEBSOCKET_OPTIONS),
            "Options of connections",
        )
        .default("{}"),
        Key::new("auth", Kind::Object(&AUTH), AUTH_ABOUT).default(ANYBODY),
        COOKIE,
        DEBUG,
        MAX_CONNECTIONS,
    ],
};

/// A WebSocket below a path: the transport has the endpoint.
static WEBSOCKET_PATH: Section = Section {
    title: "WebSocket below a path",
    at: "workers[].transports[].paths.<path>",
    about: "",
    keys: &[
        ID,
        Key::new("url", Kind::Text(Text::Any), "What clients connect to")
            .warns(&[], "has no effect: the endpoint and the path decide"),
        Key::new(
            "serializers",
            SERIALIZERS,
            "Which serializers clients may choose",
        )
        .default(ALL_SERIALIZERS),
        Key::new(
            "options",
            Kind::Object(&WEBSOCKET_OPTIONS),
            "Options of connections",
        )
        .default("{}"),
        Key::new("auth", Kind::Object(&AUTH), AUTH_ABOUT).default(ANYBODY),
        COOKIE,
        DEBUG,
    ],
};

static RAWSOCKET: Section = Section {
    title: "RawSocket",
    at: "workers[].transports[]",
    about: "",
    keys: &[
        ID,
        ENDPOINT_KEY,
        Key::new(
            "serializers",
            SERIALIZERS,
            "Which serializers clients may choose",
        )
        .default(ALL_SERIALIZERS),
        Key::new(
            "options",
            Kind::Object(&RAWSOCKET_OPTIONS),
            "Options of connections",
        )
        .default("{}"),
        Key::new("auth", Kind::Object(&AUTH), AUTH_ABOUT).default(ANYBODY),
        DEBUG,
        MAX_CONNECTIONS,
    ],
};

static WEB: Section = Section {
    title: "Web transport",
    at: "workers[].transports[]",
    about: "WebSockets below paths of one port. What is not built answers 501.",
    keys: &[
        ID,
        ENDPOINT_KEY,
        Key::new(
            "paths",
            Kind::Map(MapKeys::WebPath, &Kind::Tagged(&WEB_PATH)),
            "What answers where: `\"ws\"` for `/ws`, `\"/\"` for all that no other path takes",
        )
        .required(),
        Key::new(
            "options",
            Kind::Object(&WEB_OPTIONS),
            "Options of the server",
        )
        .default("{}"),
        MAX_CONNECTIONS,
    ],
};

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
        Key::new("rawsocket", Kind::Opaque, "RawSocket on the same port")
            .warns(&[], "give it a transport and a port of its own"),
        Key::new("mqtt", Kind::Opaque, "MQTT on the same port").warns(&[], "there is no MQTT"),
        MAX_CONNECTIONS,
    ],
};

static UNIVERSAL_WEB: Section = Section {
    title: "Web part of a universal transport",
    at: "workers[].transports[].web",
    about: "",
    keys: &[
        Key::new(
            "type",
            Kind::Choice(&["web"]),
            "The kind, which is known here",
        ),
        ID,
        Key::new(
            "paths",
            Kind::Map(MapKeys::WebPath, &Kind::Tagged(&WEB_PATH)),
            "What answers where",
        )
        .required(),
        Key::new(
            "options",
            Kind::Object(&WEB_OPTIONS),
            "Options of the server",
        )
        .default("{}"),
    ],
};

/// What can answer below a path.
static WEB_PATH: Tagged = Tagged {
    what: "web path",
    hint: "",
    tags: &[
        Tag::new("websocket", &WEBSOCKET_PATH),
        Tag::new("path", &NESTED_PATHS),
        Tag::warns("static", NOT_THERE),
        Tag::warns("nodeinfo", NOT_THERE),
        Tag::warns("json", NOT_THERE),
        Tag::warns("redirect", NOT_THERE),
        Tag::warns("publisher", NOT_THERE),
        Tag::warns("caller", NOT_THERE),
        Tag::warns("webhook", NOT_THERE),
        Tag::warns("longpoll", NOT_THERE),
        Tag::warns("reverseproxy", NOT_THERE),
        Tag::warns("websocket-reverseproxy", NOT_THERE),
        Tag::warns("cgi", NOT_THERE),
        Tag::warns("wsgi", NOT_THERE),
        Tag::warns("resource", NOT_THERE),
        Tag::warns("upload", NOT_THERE),
        Tag::warns("archive", NOT_THERE),
        Tag::warns("wap", NOT_THERE),
        Tag::warns("catalog", NOT_THERE),
    ],
};

static NESTED_PATHS: Section = Section {
    title: "Nested paths",
    at: "workers[].transports[].paths.<path>",
    about: "",
    keys: &[
        ID,
        Key::new(
            "paths",
            Kind::Map(MapKeys::WebPath, &Kind::Tagged(&WEB_PATH)),
            "What answers below it",
        )
        .required(),
    ],
};

static WEB_OPTIONS: Section = Section {
    title: "Web options",
    at: "workers[].transports[].options",
    about: "",
    keys: &[
        Key::new(
            "client_timeout",
            Kind::OrNull(&Kind::Integer { min: 1, max: 86_400, unit: "s", hint: "" }),
            "How long a request may take to arrive, and an idle connection may stay; null: no limit",
        )
        .default("30"),
        Key::new("access_log", Kind::Bool, "Logs every request")
            .warns(&["false"], "requests are not logged"),
        Key::new("display_tracebacks", Kind::Bool, "Shows Python errors to clients")
            .warns(&["false"], "errors are in the log only"),
        Key::new("hsts", Kind::Bool, "Tells browsers to use TLS only")
            .stops(&["false"], "set the header where TLS ends"),
        Key::new("hsts_max_age", integer(0, u64::MAX, "s"), "How long they remember it")
            .warns(&[], "set the header where TLS ends"),
    ],
};

static WEBSOCKET_OPTIONS: Section = Section {
    title: "WebSocket options",
    at: "workers[].transports[].options",
    about: "",
    keys: &[
        Key::new(
            "allowed_origins",
            Kind::List(&Kind::Text(Text::Some)),
            "Origins that browsers may come from, `*` standing for any text, compared with \
             `scheme://host:port`; without it, loopback only",
        ),
        Key::new(
            "allow_null_origin",
            Kind::Bool,
            "Whether a browser may come from the origin `null` (a file, a sandbox); without it, \
             only where `allowed_origins` is given",
        ),
        Key::new(
            "max_message_size",
            integer(0, 67_108_864, "bytes"),
            "The largest message, in and out; 0 and more than 16 MiB: 16 MiB",
        )
        .default("16777216"),
        Key::new(
            "max_frame_size",
            integer(0, 67_108_864, "bytes"),
            "The largest incoming frame; 0: as `max_message_size`",
        )
        .default("0"),
        Key::new(
            "open_handshake_timeout",
            milliseconds(),
            "How long a connection may take until it is a WebSocket; 0: no limit",
        )
        .default("5000"),
        Key::new(
            "auto_ping_interval",
            milliseconds(),
            "How often a ping is sent on a quiet connection; 0: never",
        )
        .default("0"),
        Key::new(
            "auto_ping_timeout",
            milliseconds(),
            "How long its pong may take until the connection is closed; 0: no limit",
        )
        .default("0"),
        Key::new(
            "auto_ping_size",
            integer(12, 125, "bytes"),
            "Size of a ping",
        )
        .warns(&[], "a ping has the size that it needs"),
        Key::new(
            "auto_ping_restart_on_any_traffic",
            Kind::Bool,
            "Any traffic counts as a pong",
        )
        .warns(&["true"], "any traffic counts as a pong"),
        Key::new(
            "close_handshake_timeout",
            milliseconds(),
            "How long closing may take",
        )
        .warns(&[], "a fixed time holds"),
        Key::new("compression", Kind::Opaque, "permessage-deflate")
            .warns(&["{}"], "messages are sent uncompressed"),
        Key::new(
            "auto_fragment_size",
            integer(0, u64::MAX, "bytes"),
            "Splits outgoing messages",
        )
        .warns(&["0"], "messages are sent in one frame"),
        Key::new(
            "fail_by_drop",
            Kind::Bool,
            "Drops the connection on an error",
        )
        .warns(&["false"], "a connection is closed with the reason"),
        Key::new(
            "echo_close_codereason",
            Kind::Bool,
            "Answers a close with its own reason",
        )
        .warns(
            &["false"],
            "a close is answered as the WebSocket standard says",
        ),
        Key::new(
            "enable_webstatus",
            Kind::Bool,
            "A page for browsers that open the path",
        )
        .warns(&["false"], "there is no such page"),
        Key::new("tcp_nodelay", Kind::Bool, "Sends small messages at once")
            .warns(&["true"], "small messages are sent at once"),
        Key::new("validate_utf8", Kind::Bool, "Checks that text is UTF-8")
            .warns(&["true"], "text is always checked"),
        Key::new(
            "require_masked_client_frames",
            Kind::Bool,
            "Refuses unmasked frames",
        )
        .warns(&["true"], "unmasked frames are always refused"),
        Key::new("mask_server_frames", Kind::Bool, "Masks outgoing frames")
            .warns(&["false"], "outgoing frames are never masked"),
        Key::new(
            "apply_mask",
            Kind::Bool,
            "Whether masking changes the bytes",
        )
        .warns(&["true"], "masks are always applied"),
        Key::new(
            "require_websocket_subprotocol",
            Kind::Bool,
            "Refuses clients without one",
        )
        .warns(&["true"], "a client has to name a WAMP subprotocol"),
        Key::new("enable_rfc6455", Kind::Bool, "The WebSocket standard")
            .stops(&["true"], "it is the only version there is"),
        Key::new("enable_hybi10", Kind::Bool, "A draft of it")
            .warns(&["false"], "only the standard is spoken"),
        Key::new(
            "external_port",
            integer(1, 65_535, ""),
            "The port that clients see",
        )
        .warns(&[], "has no effect: no answer contains the port"),
        Key::new(
            "show_server_version",
            Kind::Bool,
            "Names the version in the handshake",
        )
        .warns(&["false"], "the version is not shown"),
        Key::new(
            "enable_flash_policy",
            Kind::Bool,
            "Serves Flash's policy file",
        )
        .warns(&["false"], "there is no Flash"),
        Key::new("flash_policy", Kind::Opaque, "Flash's policy file")
            .warns(&[], "there is no Flash"),
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

const ID: Key = Key::new("id", Kind::Text(Text::Id), "Its name, for messages");

const ENDPOINT_KEY: Key =
    Key::new("endpoint", Kind::Tagged(&ENDPOINT), "Address to listen on").required();

const SERIALIZERS: Kind = Kind::List(&Kind::Choice(&["cbor", "msgpack", "json", "ubjson"]));

const ALL_SERIALIZERS: &str = r#"["cbor","msgpack","json"]"#;

/// As Crossbar: a transport without `auth` takes anybody as `anonymous`.
const ANYBODY: &str = r#"{"anonymous":{"type":"static"}}"#;

const AUTH_ABOUT: &str =
    "How clients log in; without it, anybody as role `anonymous`; `{}`: nobody";

const COOKIE: Key = Key::new("cookie", Kind::Opaque, "Recognises browsers by a cookie")
    .stops(&[], "there are no cookies");

const DEBUG: Key = Key::new("debug", Kind::Bool, "Logs every message")
    .warns(&["false"], "use `--loglevel debug` or `trace`");

const MAX_CONNECTIONS: Key = Key::new(
    "max_connections",
    integer(1, u64::MAX, "connections"),
    "How many at once",
)
.stops(
    &[],
    "limit them before the node; the process's file limit bounds them",
);

const NOT_THERE: &str = "the path answers 501";
