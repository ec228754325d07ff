//! Rows of the table: what answers over HTTP.

use super::transport::{ENDPOINT_KEY, ID, MAX_CONNECTIONS};
use super::websocket::WEBSOCKET_PATH;
use super::{Key, Kind, MapKeys, Section, Tag, Tagged, integer};

pub(super) static WEB: Section = Section {
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

pub(super) static UNIVERSAL_WEB: Section = Section {
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
pub(super) static WEB_PATH: Tagged = Tagged {
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
            "How long a request may take to arrive, and an idle connection may stay; null: no limit. \
             The shortest `open_handshake_timeout` of its WebSockets holds as well",
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

const NOT_THERE: &str = "the path answers 501";
