//! Rows of the table: the top level and the workers.

use super::realm::REALM;
use super::transport::{ENDPOINT, TRANSPORT};
use super::{Key, Kind, Section, Tag, Tagged, Text, integer};

/// The top level of a configuration file.
pub static NODE: Section = Section {
    title: "Top level",
    at: "",
    about: "Crossbar's node configuration, version 2. A file may instead hold what stands in one \
            router worker (`realms`, `transports`), with `rewamp` beside it.",
    keys: &[
        Key::new(
            "$schema",
            Kind::Text(Text::Any),
            "An editor's schema, not read",
        ),
        Key::new(
            "version",
            Kind::Numbers(&[2]),
            "Version of the format; `crossbar upgrade` brings an older configuration to version 2",
        )
        .default("2"),
        Key::new("controller", Kind::Opaque, "Crossbar's node controller")
            .warns(&["{}"], "there is no node controller"),
        Key::new(
            "workers",
            Kind::List(&Kind::Tagged(&WORKER)),
            "What the node runs",
        )
        .required(),
        Key::new(
            "rewamp",
            Kind::Object(&REWAMP_NODE),
            "What Crossbar does not have",
        )
        .default("{}"),
    ],
};

/// Keys of our own for the whole node.
pub static REWAMP_NODE: Section = Section {
    title: "Node, own keys",
    at: "rewamp",
    about: "Crossbar refuses this object; `rewamp config --for crossbar` leaves it out.",
    keys: &[
        Key::new(
            "admin",
            Kind::Tagged(&ENDPOINT),
            "Where `/health/live`, `/health/ready` and `/metrics` are served; without it, nowhere",
        ),
        Key::new(
            "loglevel",
            Kind::Choice(&["none", "error", "warn", "info", "debug", "trace"]),
            "How much is logged; `--loglevel` and the variable `RUST_LOG` override it",
        )
        .default("\"info\""),
        Key::new(
            "realm_arbiters",
            integer(0, 256, "threads"),
            "Threads of their own for realms; 0: realms share the thread of their sessions, which \
             is best on few cores",
        )
        .default("0"),
        Key::new(
            "open_stores",
            integer(1, 65_536, "stores"),
            "`sled` stores that are open at the same time, each with a thread, some 25 descriptors \
             and 10 MB where it is written to. Of those that nobody uses right now the one used \
             least recently is closed for another; whoever comes to a closed store waits until it \
             is open. A `cfxdb` store counts, and stays open",
        )
        .default("128"),
        Key::new(
            "store_idle",
            integer(1, 31_536_000, "seconds"),
            "How long a `sled` store stays open that nobody uses",
        )
        .default("300"),
    ],
};

/// What a worker can be.
static WORKER: Tagged = Tagged {
    what: "worker",
    hint: "",
    tags: &[
        Tag::new("router", &ROUTER),
        Tag::warns(
            "container",
            "components run in processes of their own; the worker is left out",
        ),
        Tag::warns(
            "guest",
            "start the program beside the node; the worker is left out",
        ),
        Tag::warns(
            "proxy",
            "one node takes its own connections; the worker is left out",
        ),
        Tag::warns("websocket-testee", "the worker is left out"),
        Tag::warns("hostmonitor", "the worker is left out"),
        Tag::warns("xbrmm", "the worker is left out"),
    ],
};

/// A router worker.
pub static ROUTER: Section = Section {
    title: "Router worker",
    at: "workers[]",
    about: "All router workers run in the one process; a transport reaches the realms of its own \
            worker only.",
    keys: &[
        Key::new(
            "id",
            Kind::Text(Text::Id),
            "Name of the worker, for messages",
        ),
        Key::new(
            "options",
            Kind::Object(&WORKER_OPTIONS),
            "Options of the process",
        )
        .default("{}"),
        Key::new("realms", Kind::List(&Kind::Object(&REALM)), "The realms").default("[]"),
        Key::new(
            "transports",
            Kind::List(&Kind::Tagged(&TRANSPORT)),
            "Where clients connect",
        )
        .default("[]"),
        Key::new("manhole", Kind::Opaque, "A Python shell into the worker")
            .warns(&[], "there is no shell into the node"),
        Key::new(
            "components",
            Kind::Opaque,
            "Python components inside the router",
        )
        .warns(&["[]"], "run them as clients of the node"),
        Key::new(
            "connections",
            Kind::Opaque,
            "Database connections of components",
        )
        .warns(&["[]"], "there are no components to use them"),
    ],
};

/// Process options of a worker.
static WORKER_OPTIONS: Section = Section {
    title: "Worker options",
    at: "workers[].options",
    about: "",
    keys: &[
        Key::new("title", Kind::Text(Text::Any), "Title of the process").inert(&[], NO_PROCESS),
        Key::new("python", Kind::Text(Text::Any), "The Python to run").inert(&[], NO_PROCESS),
        Key::new("pythonpath", Kind::Opaque, "Where Python finds modules").inert(&[], NO_PROCESS),
        Key::new("cpu_affinity", Kind::Opaque, "CPUs to run on").warns(
            &[],
            "set it for the process, with `taskset` or the container's CPU set",
        ),
        Key::new("env", Kind::Opaque, "Environment of the process").inert(&[], NO_PROCESS),
        Key::new("extra", Kind::Opaque, "Values for components").inert(&[], NO_PROCESS),
        Key::new(
            "expose_controller",
            Kind::Bool,
            "Lets components call the controller",
        )
        .inert(&["false"], NO_PROCESS),
        Key::new("expose_shared", Kind::Bool, "Lets components share objects")
            .inert(&["false"], NO_PROCESS),
        Key::new("disabled", Kind::Opaque, "Leaves the worker out")
            .stops(&["false"], "take the worker out of the file instead"),
    ],
};

const NO_PROCESS: &str = "workers are not processes of their own";
