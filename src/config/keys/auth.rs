//! Rows of the table: who may log in.

use super::{Key, Kind, MapKeys, Section, Tag, Tagged, Text, integer};

/// Login methods of a transport.
pub(super) static AUTH: Section = Section {
    title: "Logins of a transport",
    at: "workers[].transports[].auth",
    about: "A client names the methods that it can; the first of them that is here is used.",
    keys: &[
        Key::new("anonymous", Kind::Tagged(&ANONYMOUS), "Anybody"),
        Key::new(
            "ticket",
            Kind::Tagged(&TICKET),
            "A shared secret, sent as it is",
        ),
        Key::new(
            "wampcra",
            Kind::Tagged(&WAMPCRA),
            "A shared secret, proved without sending it",
        ),
        Key::new(
            "scram",
            Kind::Opaque,
            "A password, proved without storing it",
        )
        .stops(&[], USE),
        Key::new("cryptosign", Kind::Opaque, "An Ed25519 key").stops(&[], USE),
        Key::new("tls", Kind::Opaque, "A client certificate").stops(&[], USE),
        Key::new("cookie", Kind::Opaque, "A cookie of an earlier login").stops(&[], USE),
        Key::new(
            "anonymous-proxy",
            Kind::Opaque,
            "For Crossbar's proxy worker",
        )
        .stops(&[], USE),
        Key::new(
            "cryptosign-proxy",
            Kind::Opaque,
            "For Crossbar's proxy worker",
        )
        .stops(&[], USE),
    ],
};

static ANONYMOUS: Tagged = Tagged {
    what: "anonymous login",
    hint: "",
    tags: &[Tag::new("static", &STATIC_ANONYMOUS), DYNAMIC, FUNCTION],
};

static TICKET: Tagged = Tagged {
    what: "ticket login",
    hint: "",
    tags: &[Tag::new("static", &STATIC_TICKET), DYNAMIC, FUNCTION],
};

static WAMPCRA: Tagged = Tagged {
    what: "WAMP-CRA login",
    hint: "",
    tags: &[Tag::new("static", &STATIC_WAMPCRA), DYNAMIC, FUNCTION],
};

static STATIC_ANONYMOUS: Section = Section {
    title: "Anonymous login",
    at: "workers[].transports[].auth.anonymous",
    about: "",
    keys: &[
        Key::new("role", Kind::Text(Text::Some), "Role of the session").default("\"anonymous\""),
        Key::new(
            "realm",
            Kind::Text(Text::Some),
            "The one realm to join; without it, any",
        ),
        Key::new(
            "authid",
            Kind::Text(Text::Some),
            "Its authid; without it, a random one",
        ),
    ],
};

static STATIC_TICKET: Section = Section {
    title: "Ticket login",
    at: "workers[].transports[].auth.ticket",
    about: "",
    keys: &[Key::new(
        "principals",
        Kind::Map(MapKeys::Some, &Kind::Object(&PRINCIPAL)),
        "By authid",
    )
    .required()],
};

static PRINCIPAL: Section = Section {
    title: "Principal with a ticket",
    at: "workers[].transports[].auth.ticket.principals.<authid>",
    about: "",
    keys: &[
        Key::new(
            "ticket",
            Kind::Secrets,
            "The ticket, or two of which either is valid",
        )
        .required(),
        ROLE,
    ],
};

static STATIC_WAMPCRA: Section = Section {
    title: "WAMP-CRA login",
    at: "workers[].transports[].auth.wampcra",
    about: "",
    keys: &[Key::new(
        "users",
        Kind::Map(MapKeys::Some, &Kind::Object(&USER)),
        "By authid",
    )
    .required()],
};

static USER: Section = Section {
    title: "User of WAMP-CRA",
    at: "workers[].transports[].auth.wampcra.users.<authid>",
    about: "With `salt`, client and node derive the key from the secret (PBKDF2); the file holds \
            the secret itself.",
    keys: &[
        Key::new(
            "secret",
            Kind::Secrets,
            "The secret, or two of which either is valid",
        )
        .required(),
        ROLE,
        Key::new("salt", Kind::Text(Text::Some), "Salt of the derivation"),
        Key::new(
            "iterations",
            integer(1, 10_000_000, "rounds"),
            "Rounds of the derivation",
        )
        .default("1000"),
        Key::new(
            "keylen",
            integer(8, 256, "bytes"),
            "Length of the derived key",
        )
        .default("32"),
    ],
};

const ROLE: Key = Key::new(
    "role",
    Kind::Text(Text::Some),
    "Role of the session, in the realm it joins",
)
.required();

const DYNAMIC: Tag = Tag::stops("dynamic", "name principals here, with type `static`");

const FUNCTION: Tag = Tag::stops("function", "name principals here, with type `static`");

const USE: &str = "use `ticket` or `wampcra`";
