//! Rows of the table: WebSockets.

use super::auth::AUTH;
use super::transport::{
    ALL_SERIALIZERS, ANYBODY, AUTH_ABOUT, DEBUG, ENDPOINT_KEY, ID, MAX_CONNECTIONS, SERIALIZERS,
};
use super::{Key, Kind, Section, Text, integer, milliseconds};

pub(super) static WEBSOCKET: Section = Section {
    title: "WebSocket",
    at: "workers[].transports[]",
    about: "As a transport it takes every URL path; as a path of `web`, or of `websocket` in \
            `universal`, that one, and has no `endpoint`.",
    keys: &[
        ID,
        ENDPOINT_KEY,
        Key::new("url", Kind::Text(Text::Any), "What clients connect to")
            .inert(&[], "the endpoint and the path decide"),
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
pub(super) static WEBSOCKET_PATH: Section = Section {
    title: "WebSocket below a path",
    at: "workers[].transports[].paths.<path>",
    about: "",
    keys: &[
        ID,
        Key::new("url", Kind::Text(Text::Any), "What clients connect to")
            .inert(&[], "the endpoint and the path decide"),
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
        .inert(&[], "no answer contains the port"),
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

const COOKIE: Key = Key::new("cookie", Kind::Opaque, "Recognises browsers by a cookie")
    .stops(&[], "there are no cookies");
