//! Rows of the table: realms, roles, permissions.

use super::store::STORE;
use super::{Key, Kind, Section, Text, integer};

/// A realm.
pub(super) static REALM: Section = Section {
    title: "Realm",
    at: "workers[].realms[]",
    about: "",
    keys: &[
        Key::new("name", Kind::Text(Text::Some), "What clients join").required(),
        Key::new("roles", Kind::List(&Kind::Object(&ROLE)), "Who may do what").default("[]"),
        Key::new(
            "store",
            Kind::Tagged(&STORE),
            "Where events are kept; without it, nowhere",
        ),
        Key::new(
            "options",
            Kind::Object(&REALM_OPTIONS),
            "Options of the realm",
        )
        .default("{}"),
        Key::new(
            "inventory",
            Kind::Opaque,
            "FlatBuffers schemas to validate payloads with",
        )
        .warns(&[], "payloads are not validated"),
        Key::new("rlinks", Kind::Opaque, "Links to realms of other routers")
            .warns(&["[]"], "nothing comes from there and nothing goes there"),
        Key::new("stats", Kind::Opaque, "Counts messages of sessions")
            .warns(&[], "`/metrics` counts messages"),
        Key::new("trace", Kind::Opaque, "Records messages of sessions")
            .warns(&[], "use `--loglevel trace`"),
        Key::new(
            "rewamp",
            Kind::Object(&REWAMP_REALM),
            "What Crossbar does not have",
        )
        .default("{}"),
    ],
};

static REALM_OPTIONS: Section = Section {
    title: "Realm options",
    at: "workers[].realms[].options",
    about: "",
    keys: &[
        Key::new(
            "uri_check",
            Kind::Choice(&["loose", "strict"]),
            "Which characters URIs may have: `loose`, all but whitespace and `#`; `strict`, \
             lower-case letters, digits and `_`",
        )
        .default("\"loose\""),
        Key::new(
            "enable_meta_api",
            Kind::Bool,
            "Whether there are `wamp.*` procedures and events",
        )
        .stops(
            &["true"],
            "the meta API is always there; permissions say who may use it",
        ),
        Key::new(
            "bridge_meta_api",
            Kind::Bool,
            "Shows the node's meta events in the realm",
        )
        .warns(&["false"], "there are no events of the node to show"),
        Key::new(
            "event_dispatching_chunk_size",
            integer(1, u64::MAX, "receivers"),
            "How many receivers an event is sent to at once",
        )
        .warns(&[], "receivers are served without chunks"),
    ],
};

/// Keys of our own for a realm.
static REWAMP_REALM: Section = Section {
    title: "Realm, own keys",
    at: "workers[].realms[].rewamp",
    about: "Crossbar ignores this object; `rewamp config --for crossbar` leaves it out. An outbox \
            is what waits to be sent to one session.",
    keys: &[
        Key::new(
            "outbox_bytes",
            integer(65_536, 1 << 40, "bytes"),
            "Size of an outbox; when full, `slow_consumer` decides",
        )
        .default("8388608"),
        Key::new(
            "outbox_messages",
            integer(16, 1 << 32, "messages"),
            "Messages in an outbox; when full, `slow_consumer` decides",
        )
        .default("32768"),
        Key::new(
            "slow_consumer",
            Kind::Choice(&["disconnect", "drop", "catch-up"]),
            "A session whose outbox is full: `catch-up` sends it what follows from the history, in \
             order and at its speed, and cuts it where no filter covers what it subscribed to; \
             `disconnect` cuts it; `drop` leaves out events until it has room",
        )
        .default("\"catch-up\""),
        Key::new(
            "purge_within",
            Kind::Age,
            "How soon purged events leave the disk",
        )
        .default("\"24h\"")
        .inert(
            &["\"24h\""],
            "they have left it when `rewamp.history.purge` is answered, but for a `cfxdb` store: in its \
             free pages they stay until those are used again, or until `rewamp history compact`",
        ),
    ],
};

/// A role of a realm.
static ROLE: Section = Section {
    title: "Role",
    at: "workers[].realms[].roles[]",
    about: "What no permission allows is denied.",
    keys: &[
        Key::new(
            "name",
            Kind::Text(Text::Some),
            "What `role` of a login refers to; not `trusted`",
        )
        .required(),
        Key::new(
            "permissions",
            Kind::List(&Kind::Object(&PERMISSION)),
            "The permissions",
        )
        .default("[]"),
        Key::new(
            "allow-by-default",
            Kind::Bool,
            "Whether what no permission speaks of is allowed",
        )
        .default("false"),
        Key::new(
            "authorizer",
            Kind::Text(Text::Some),
            "Procedure that decides",
        )
        .stops(&[], "use `permissions`"),
    ],
};

static PERMISSION: Section = Section {
    title: "Permission",
    at: "workers[].realms[].roles[].permissions[]",
    about: "The longest configured URI that begins the asked one decides; a wildcard that matches \
            overrides a prefix.",
    keys: &[
        Key::new(
            "uri",
            Kind::Text(Text::Any),
            "URI or pattern; without `match`, a `*` at its end makes it a prefix and an empty \
             component a wildcard",
        )
        .required(),
        Key::new("match", MATCH, "How `uri` is compared"),
        Key::new("allow", Kind::Object(&ALLOW), "What is allowed").default("{}"),
        Key::new(
            "disclose",
            Kind::Object(&DISCLOSE),
            "Whose identity is shown",
        )
        .default("{}"),
        Key::new(
            "cache",
            Kind::Bool,
            "Whether the decision may be remembered for the URI",
        )
        .default("false"),
        Key::new("validate", Kind::Opaque, "Types that payloads must have")
            .stops(&["{}"], "payloads are not validated"),
    ],
};

/// The three ways of comparing.
pub(super) const MATCH: Kind = Kind::Choice(&["exact", "prefix", "wildcard"]);

static ALLOW: Section = Section {
    title: "Allow",
    at: "workers[].realms[].roles[].permissions[].allow",
    about: "",
    keys: &[
        Key::new("call", Kind::Bool, "Calling the procedure").default("false"),
        Key::new("register", Kind::Bool, "Registering it").default("false"),
        Key::new("publish", Kind::Bool, "Publishing to the topic").default("false"),
        Key::new("subscribe", Kind::Bool, "Subscribing to it").default("false"),
    ],
};

static DISCLOSE: Section = Section {
    title: "Disclose",
    at: "workers[].realms[].roles[].permissions[].disclose",
    about: "",
    keys: &[
        Key::new("caller", Kind::Bool, "Callees see who calls").default("false"),
        Key::new(
            "publisher",
            Kind::Bool,
            "Subscribers and the history see who publishes",
        )
        .default("false"),
    ],
};
