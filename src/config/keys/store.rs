//! Rows of the table: event history.

use super::realm::MATCH;
use super::{Key, Kind, Section, Tag, Tagged, Text, integer};

/// The engines.
pub(super) static STORE: Tagged = Tagged {
    what: "store",
    hint: "one store a realm; a list of stores is not built",
    tags: &[
        Tag::new("sled", &SLED_STORE),
        Tag::new("memory", &MEMORY_STORE),
        Tag::new("cfxdb", &CFXDB_STORE),
    ],
};

/// On disk.
static SLED_STORE: Section = Section {
    title: "Store on disk",
    at: "workers[].realms[].store",
    about: "",
    keys: &[
        PATH,
        Key::new(
            "maxsize",
            Kind::Integer {
                min: 5_242_880,
                max: 1 << 50,
                unit: "bytes",
                hint: "a sled store drops whole segments and needs room for some; type `cfxdb` is \
                       for smaller ones",
            },
            "Size of the store on disk; when full, `full` decides",
        )
        .default("10485760"),
        BUFFERTIME,
        MAXBUFFER,
        MAXBUFFER_BYTES,
        SYNC,
        Key::new(
            "readonly",
            Kind::Bool,
            "Serves the history and adds nothing: not a byte of the folder changes, and it may lie \
             on a read-only mount. The store has to be there, and nobody may be writing to it when \
             it is opened; several nodes may read it. Acknowledged publications to its topics get \
             `rewamp.error.store_readonly` and are routed",
        )
        .default("false"),
        FULL,
        LIMIT,
        FILTERS,
        CALL_QUEUE,
    ],
};

/// Of both kinds of stores on disk.
const PATH: Key = Key::new(
    "path",
    Kind::Text(Text::Some),
    "Folder of the store; relative to the folder of the configuration file, or to \
             `--cbdir`; missing parents are made",
)
.required();

/// Of both kinds of stores on disk.
const BUFFERTIME: Key = Key::new(
    "buffertime",
    integer(0, 3_600_000, "ms"),
    "How long events are collected for one transaction; a waiting acknowledgement cuts it \
             short",
)
.aliases(&["buffer-flush"])
.default("200");

/// Of both kinds of stores on disk.
const MAXBUFFER: Key = Key::new(
    "maxbuffer",
    integer(1, 1 << 24, "events"),
    "How many events are collected at most",
)
.aliases(&["max-buffer"])
.default("10000");

/// Of both kinds of stores on disk.
const MAXBUFFER_BYTES: Key = Key::new(
    "maxbuffer-bytes",
    integer(65_536, 1 << 40, "bytes"),
    "How many bytes of events are collected at most",
)
.default("67108864");

/// Of both kinds of stores on disk.
const SYNC: Key = Key::new(
    "sync",
    Kind::Bool,
    "Whether a transaction is on disk before publishers get their acknowledgement; without \
             it, a power cut loses acknowledged events",
)
.default("true");

/// Of both kinds of stores on disk.
const LIMIT: Key = Key::new(
    "limit",
    integer(1, u64::MAX, "events"),
    "How many events each filter keeps, unless it says itself; without it, `maxsize` alone \
             bounds",
);

/// On disk, as Crossbar has it.
static CFXDB_STORE: Section = Section {
    title: "Store on disk, as Crossbar has it",
    at: "workers[].realms[].store",
    about: "In LMDB, in the rows that Crossbar's store has: `cfxdb` and `zlmdb` read it while the \
            node runs.",
    keys: &[
        PATH,
        Key::new(
            "maxsize",
            Kind::Integer {
                min: 131_072,
                max: 137_438_953_472,
                unit: "bytes",
                hint: "as at Crossbar",
            },
            "Size of `data.mdb`; when an eighth is left, `full` decides",
        )
        .default("10485760"),
        BUFFERTIME,
        MAXBUFFER,
        MAXBUFFER_BYTES,
        SYNC,
        Key::new(
            "readonly",
            Kind::Bool,
            "Serves the history and adds nothing, beside whoever writes to it. The store has to be \
             there. Acknowledged publications to its topics get `rewamp.error.store_readonly` and \
             are routed",
        )
        .default("false"),
        Key::new(
            "file-mode",
            Kind::Choice(&["0600", "0640", "0644"]),
            "Permissions of the files when they are made, whatever the umask. Whoever may read \
             them may also write to `lock.mdb`, in which LMDB notes its readers",
        )
        .default("\"0640\""),
        FULL,
        LIMIT,
        FILTERS,
        CALL_QUEUE,
    ],
};

/// In memory: gone with the process.
static MEMORY_STORE: Section = Section {
    title: "Store in memory",
    at: "workers[].realms[].store",
    about: "The history ends with the process.",
    keys: &[
        Key::new(
            "limit",
            integer(1, u64::MAX, "events"),
            "How many events each filter keeps, unless it says itself",
        )
        .default("100"),
        Key::new(
            "maxsize",
            integer(131_072, 1 << 50, "bytes"),
            "Memory for events; when full, `full` decides",
        )
        .default("268435456"),
        Key::new(
            "readonly",
            Kind::Bool,
            "Only `false`: a store in memory begins empty, there would never be anything to read",
        )
        .default("false"),
        FULL,
        FILTERS,
        Key::new("path", Kind::Opaque, "Folder of the store").inert(&[], NO_DISK),
        Key::new("buffertime", Kind::Opaque, "How long events are collected")
            .aliases(&["buffer-flush"])
            .inert(&[], NO_DISK),
        Key::new(
            "maxbuffer",
            Kind::Opaque,
            "How many events are collected at most",
        )
        .aliases(&["max-buffer"])
        .inert(&[], NO_DISK),
        Key::new(
            "maxbuffer-bytes",
            Kind::Opaque,
            "How many bytes are collected at most",
        )
        .inert(&[], NO_DISK),
        Key::new(
            "sync",
            Kind::Bool,
            "Whether acknowledged events are on disk",
        )
        .inert(&["false"], NO_DISK),
        CALL_QUEUE,
    ],
};

/// Which events are kept.
static FILTER: Section = Section {
    title: "Filter",
    at: "workers[].realms[].store.event-history[]",
    about: "An event is kept once, however many filters match its topic. A filter has a \
            subscription ID that stays the same for the life of the store.",
    keys: &[
        Key::new("uri", Kind::Text(Text::Any), "Topic or pattern").required(),
        Key::new("match", MATCH, "How `uri` is compared").default("\"exact\""),
        Key::new(
            "limit",
            integer(1, u64::MAX, "events"),
            "How many events it keeps",
        ),
        Key::new(
            "max-age",
            Kind::Age,
            "How long it keeps events; older ones are not shown any more, and leave the disk within \
             a tenth of this (at least 1 s, at most a minute) once all that lies in one segment with \
             them is as old",
        ),
        Key::new(
            "limit-per-topic",
            integer(1, u64::MAX, "events"),
            "How many events it keeps of each topic, the newest; the store's `limit` does not hold \
             then, and a `limit` of its own counts what is left",
        ),
    ],
};

static FILTER_KIND: Kind = Kind::Object(&FILTER);

const FULL: Key = Key::new(
    "full",
    Kind::Choice(&["drop-oldest", "refuse"]),
    "At `maxsize`: `drop-oldest` makes room, `refuse` takes nothing more: publications to stored \
     topics are not routed, acknowledged ones get ERROR `rewamp.error.store_full`, until retention \
     has made room",
)
.default("\"drop-oldest\"");

const FILTERS: Key = Key::new(
    "event-history",
    Kind::List(&FILTER_KIND),
    "Which events are kept",
)
.default("[]");

const CALL_QUEUE: Key = Key::new(
    "call-queue",
    Kind::Opaque,
    "Calls that wait for a busy callee",
)
.warns(&["[]"], "calls are not queued");

const NO_DISK: &str = "a store in memory writes nothing";
