//! The one table of configuration keys. `check`, the defaults, the environment, the masking of
//! secrets and `docs/configuration.md` all walk it; a key that is not here does not exist.
//! The rows stand in `keys/`, by part of the configuration.

mod node; //      the top level, workers
mod realm; //     realms, roles, permissions
mod store; //     event history
mod transport; // listeners, RawSocket
mod web; //       paths of HTTP
mod websocket; // WebSocket, as a listener and as a path
mod auth; //      who may log in

pub use node::{NODE, REWAMP_NODE, ROUTER};

/// A whole configuration.
pub static WHOLE: Kind = Kind::Object(&NODE);

/// A JSON object with known keys.
#[derive(Debug)]
pub struct Section {
    /// What it is called in the reference.
    pub title: &'static str,
    /// Where it stands, `[]` for each item of a list, `<name>` for each key of a map.
    pub at: &'static str,
    /// What it is for, in Markdown; may be empty.
    pub about: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
}

impl Section {
    /// The key of that name or with that alias.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys
            .iter()
            .find(|key| key.name == name || key.aliases.contains(&name))
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// Other spellings of the same key; two at once are a fault.
    pub aliases: &'static [&'static str],
    /// What may stand there.
    pub kind: Kind,
    /// JSON text of the value that a missing key has; none: nothing is assumed.
    pub default: Option<&'static str>,
    /// Whether its absence is a fault.
    pub required: bool,
    /// Whether it does something.
    pub support: Support,
    /// What it does, one sentence in Markdown without the full stop.
    pub about: &'static str,
}

impl Key {
    /// A key that is built, may be missing and has no default.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        let support = Support::Built;
        Self {
            name,
            aliases: &[],
            kind,
            default: None,
            required: false,
            support,
            about,
        }
    }

    /// With a default, as JSON text.
    pub const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }

    /// Its absence is a fault.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Also known by other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Known and not built: a warning, unless the value (JSON text) asks for nothing.
    pub const fn warns(mut self, unless: &'static [&'static str], why: &'static str) -> Self {
        self.support = Support::Unbuilt {
            stops: false,
            unless,
            why,
        };
        self
    }

    /// Known, and without effect here: a warning, unless the value (JSON text) asks for nothing.
    pub const fn inert(mut self, unless: &'static [&'static str], why: &'static str) -> Self {
        self.support = Support::Inert { unless, why };
        self
    }

    /// Known, not built, and something relies on it: stops the start, unless the value asks for
    /// nothing.
    pub const fn stops(mut self, unless: &'static [&'static str], why: &'static str) -> Self {
        self.support = Support::Unbuilt {
            stops: true,
            unless,
            why,
        };
        self
    }
}

/// Whether a key or a kind of part does what it says.
#[derive(Debug, Clone, Copy)]
pub enum Support {
    /// It does.
    Built,
    /// Has no effect here, and nothing is missing without it.
    Inert {
        /// JSON texts of the values that ask for what happens anyway.
        unless: &'static [&'static str],
        /// Why it has none.
        why: &'static str,
    },
    /// Known and named as not built, never ignored silently.
    Unbuilt {
        /// Whether something relies on it (a guard, a promise to keep data), so that starting
        /// without it would be wrong.
        stops: bool,
        /// JSON texts of the values that ask for what happens anyway.
        unless: &'static [&'static str],
        /// What happens instead, or what to use.
        why: &'static str,
    },
}

/// What may stand at a place.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number of the range, both ends included.
    Integer {
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
        /// `bytes`, `ms`, `s`, `events` or empty.
        unit: &'static str,
        /// Said in addition when it is out of range; may be empty.
        hint: &'static str,
    },
    /// A span of time: seconds, or text with a unit.
    Age,
    /// One of these numbers.
    Numbers(&'static [u64]),
    /// Text.
    Text(Text),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A TCP port: 1 to 65535, or an environment variable as `"$NAME"` or `"${NAME}"`.
    Port,
    /// A secret: text, `"${NAME}"` or `{"file": "…"}`, or a list of two of them, both valid.
    Secrets,
    /// An object.
    Object(&'static Section),
    /// An object whose `type` says which keys it has.
    Tagged(&'static Tagged),
    /// Any number of them.
    List(&'static Kind),
    /// Names to values.
    Map(MapKeys, &'static Kind),
    /// Also `null`.
    OrNull(&'static Kind),
    /// Anything; not looked into, since it is not built.
    Opaque,
}

/// Which text is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Any, also empty.
    Any,
    /// At least one character.
    Some,
    /// Crossbar's identifier of an item: `^[a-z][a-z0-9_]{2,63}$`.
    Id,
}

/// Which keys a map may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKeys {
    /// At least one character.
    Some,
    /// A path component of a URL without slashes, or `/`.
    WebPath,
}

/// What kinds of an object there are.
#[derive(Debug)]
pub struct Tagged {
    /// What is told apart, for messages: `transport`.
    pub what: &'static str,
    /// The kinds, in the order of the reference.
    pub tags: &'static [Tag],
    /// Said in addition where no object was found; may be empty.
    pub hint: &'static str,
}

impl Tagged {
    /// The kind that `type` names.
    pub fn tag(&self, name: &str) -> Option<&'static Tag> {
        self.tags.iter().find(|tag| tag.name == name)
    }
}

/// One value of `type`.
#[derive(Debug)]
pub struct Tag {
    /// The value.
    pub name: &'static str,
    /// Its keys beside `type`.
    pub section: &'static Section,
    /// Whether it does something.
    pub support: Support,
}

impl Tag {
    /// A kind that is built.
    pub const fn new(name: &'static str, section: &'static Section) -> Self {
        Self {
            name,
            section,
            support: Support::Built,
        }
    }

    /// A kind that is known and left out with a warning.
    pub const fn warns(name: &'static str, why: &'static str) -> Self {
        let support = Support::Unbuilt {
            stops: false,
            unless: &[],
            why,
        };
        Self {
            name,
            section: &UNSEEN,
            support,
        }
    }

    /// A kind that is known and stops the start.
    pub const fn stops(name: &'static str, why: &'static str) -> Self {
        let support = Support::Unbuilt {
            stops: true,
            unless: &[],
            why,
        };
        Self {
            name,
            section: &UNSEEN,
            support,
        }
    }
}

/// Stands for the keys of a part that is not built and therefore not looked into.
static UNSEEN: Section = Section {
    title: "",
    at: "",
    about: "",
    keys: &[],
};

/// Milliseconds, at most a day.
const fn milliseconds() -> Kind {
    Kind::Integer {
        min: 0,
        max: 86_400_000,
        unit: "ms",
        hint: "",
    }
}

/// A whole number of the range.
const fn integer(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Integer {
        min,
        max,
        unit,
        hint: "",
    }
}
