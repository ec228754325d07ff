//! The configured realms become actors, each with its store. A store is opened off the event loop:
//! a large one that was not closed cleanly takes its time, and the node says meanwhile that it
//! lives.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use futures_util::{StreamExt as _, stream};
use log::{error, info, warn};
use rewamp_actors::broker::SlowConsumer;
use rewamp_actors::clock::Clock;
use rewamp_actors::history::HistorySettings;
use rewamp_actors::metrics::{Id, Metrics};
use rewamp_actors::realm::role::{Allow, Disclose, Permission, Role, Roles};
use rewamp_actors::realm::{self, RealmSettings, StoreNotOpened, StoreOpened, Unavailable};
use rewamp_actors::router::{RealmHandle, Router};
use rewamp_actors::session::outbox::OutboxLimits;
use rewamp_history::{EventStore, Filter, Full, OpenError, OpenStores, Sequence, StoreConfig};
use rewamp_wamp::uri::MatchPolicy;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::config::checked::{self, Buffer, Engine, Realm, Store};

/// How a store in memory is buffered. What has no disk to wait for needs no large buffer.
const IN_MEMORY: Buffer = Buffer {
    time: Duration::from_millis(20),
    events: 10_000,
    bytes: 64 << 20,
};

/// The part of a store that one publication may have; more could empty the history of others.
const LARGEST_PART: u64 = 8;

/// Stores that are opened at the same time when the node starts. 8: enough for a disk to have
/// something to combine.
const AT_ONCE: usize = 8;

/// How long it takes until a store that could not be opened is tried again, at first and at most.
/// It doubles in between.
const TRIED_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why a realm is not there. The others are.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct RealmError(String);

/// Threads for realms.
pub(super) struct Threads(Vec<Arbiter>);

impl Threads {
    /// That many beside the one of the sessions, which takes the realms if there is none.
    pub(super) fn new(number: u16) -> Self {
        Self((0..number).map(|_| Arbiter::new()).collect())
    }

    /// Starts the `index`th realm on its thread.
    async fn start(
        &self,
        index: usize,
        settings: RealmSettings,
        router: &Router,
        clock: &Clock,
    ) -> Result<RealmHandle, RealmError> {
        let failed = |error: &dyn std::fmt::Display| RealmError(error.to_string());
        let thread = index
            .checked_rem(self.0.len())
            .and_then(|index| self.0.get(index));
        let Some(thread) = thread else {
            return realm::start(settings, router, clock.clone()).map_err(|error| failed(&error));
        };
        let (started, handle) = oneshot::channel();
        let (router, clock) = (router.clone(), clock.clone());
        thread.spawn(async move {
            let _ = started.send(realm::start(settings, &router, clock));
        });
        match handle.await {
            Ok(handle) => handle.map_err(|error| failed(&error)),
            Err(_) => Err(RealmError("the thread of the realm has ended".to_owned())),
        }
    }
}

/// What all realms of a node share.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) router: Router,
    pub(super) clock: Clock,
    pub(super) stores: Arc<OpenStores>,
}

/// Starts all realms, and makes them known to the router. Those whose store cannot be opened route
/// without it, and it is tried again until the returned tasks are dropped.
pub(super) async fn start(realms: &[Realm], node: &Node, threads: &Threads) -> Retries {
    let mut retries = Retries(Vec::new());
    let mut opened = stream::iter(realms)
        .map(|realm| async move {
            match &realm.store {
                Some(store) => Some(open(&realm.name, store, node).await),
                None => {
                    info!(realm = realm.name.as_str(); "realm without a history");
                    None
                }
            }
        })
        .buffered(AT_ONCE);
    for (index, realm) in realms.iter().enumerate() {
        let (history, failed) = match opened.next().await.flatten() {
            Some(Ok(history)) => (Some(history), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        if let Some(error) = &failed {
            error!(
                realm = realm.name.as_str();
                "events are routed and not stored: the event store cannot be opened: {error}"
            );
        }
        let settings = settings(realm, history, failed.as_ref());
        let started = threads.start(index, settings, &node.router, &node.clock);
        match started.await {
            Ok(handle) => {
                if failed.is_some_and(|error| may_pass(&error))
                    && let Some(store) = &realm.store
                {
                    retries.begin(handle, store.clone(), node.clone());
                }
            }
            Err(error) => error!(realm = realm.name.as_str(); "the realm is not started: {error}"),
        }
    }
    retries
}

/// Whether trying again may help. A store of another realm or of a later version stays what it is.
fn may_pass(error: &OpenError) -> bool {
    match error {
        OpenError::Io { .. }
        | OpenError::InUse { .. }
        | OpenError::NoStore { .. }
        | OpenError::Replaced { .. }
        | OpenError::Random(_) => true,
        OpenError::OtherRealm { .. }
        | OpenError::NewerVersion { .. }
        | OpenError::Unfit { .. }
        | OpenError::TooSmall { .. } => false,
    }
}

/// The tasks that try again to open stores.
pub(super) struct Retries(Vec<JoinHandle<()>>);

impl Retries {
    fn begin(&mut self, realm: RealmHandle, store: Store, node: Node) {
        self.0.push(actix_rt::spawn(async move {
            let (mut pause, longest) = TRIED_AGAIN;
            loop {
                sleep(pause).await;
                pause = longest.min(pause * 2);
                let told = match open(&realm.name, &store, &node).await {
                    Ok((store, settings)) => {
                        // A realm that is gone needs no store.
                        let _ = realm.address.send(StoreOpened { store, settings }).await;
                        return;
                    }
                    Err(error) => {
                        let why = error.to_string();
                        realm.address.send(StoreNotOpened { why }).await
                    }
                };
                if told.is_err() {
                    return;
                }
            }
        }));
    }
}

impl Drop for Retries {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn settings(
    realm: &Realm,
    history: Option<(Arc<dyn EventStore>, HistorySettings)>,
    failed: Option<&OpenError>,
) -> RealmSettings {
    let limit = |configured: u64| usize::try_from(configured).unwrap_or(usize::MAX);
    let filters = realm.store.iter().flat_map(filters).collect();
    RealmSettings {
        name: realm.name.clone(),
        uri_check: realm.uri_check,
        roles: realm.roles.iter().map(role).collect::<Roles>(),
        outbox: OutboxLimits {
            bytes: limit(realm.outbox.bytes),
            messages: limit(realm.outbox.messages),
        },
        slow_consumer: match realm.outbox.slow_consumer {
            checked::SlowConsumer::CatchUp => SlowConsumer::CatchUp,
            checked::SlowConsumer::Disconnect => SlowConsumer::Disconnect,
            checked::SlowConsumer::Drop => SlowConsumer::Drop,
        },
        patience: realm::PATIENCE,
        history,
        unavailable: failed.map(|error| Unavailable::new(filters, error.to_string())),
    }
}

fn role(role: &checked::Role) -> Role {
    if role.permissions.is_empty() {
        return Role::without_permissions(role.name.as_str(), role.allow_by_default);
    }
    let permissions = role.permissions.iter().map(|configured| {
        let mut permission = Permission::new(&configured.uri, configured.match_policy);
        let checked::Allow {
            call,
            register,
            publish,
            subscribe,
        } = configured.allow;
        permission.allow = Allow {
            call,
            register,
            publish,
            subscribe,
        };
        let checked::Disclose { caller, publisher } = configured.disclose;
        permission.disclose = Disclose { caller, publisher };
        permission.cache = configured.cache;
        permission
    });
    Role::with_permissions(role.name.as_str(), &permissions.collect::<Vec<_>>())
}

async fn open(
    realm: &str,
    store: &Store,
    node: &Node,
) -> Result<(Arc<dyn EventStore>, HistorySettings), OpenError> {
    let config = store_config(realm, store, Sequence::new(node.clock.now() / 1_000));
    let buffer = match &store.engine {
        Engine::Memory => IN_MEMORY,
        Engine::Sled { buffer, .. } | Engine::Cfxdb { buffer, .. } => *buffer,
    };
    let durable = config.sync && config.engine != rewamp_history::Engine::Memory;
    let path = match &config.engine {
        rewamp_history::Engine::Sled { path, .. } | rewamp_history::Engine::Cfxdb { path, .. } => {
            path.clone()
        }
        rewamp_history::Engine::Memory => PathBuf::new(),
    };
    let stores = Arc::clone(&node.stores);
    let turn = node.router.turns.write().await;
    let opened = spawn_blocking(move || {
        let _turn = turn;
        stores.open(config)
    });
    let opened = opened.await.map_err(|panic| OpenError::Io {
        what: "a fault of the program with",
        path,
        source: io::Error::other(panic),
    })??;
    report(realm, store, &*opened, &node.router.metrics);
    let settings = HistorySettings {
        buffertime: buffer.time,
        maxbuffer: usize::try_from(buffer.events).unwrap_or(usize::MAX),
        maxbuffer_bytes: buffer.bytes,
        durable,
        maxsize: store.maxsize,
        largest: store.maxsize / LARGEST_PART,
    };
    Ok((opened, settings))
}

/// The store of a realm as it is configured; one in memory begins with `memory_begin`.
pub(crate) fn store_config(realm: &str, store: &Store, memory_begin: Sequence) -> StoreConfig {
    let (engine, sync) = match &store.engine {
        Engine::Memory => (rewamp_history::Engine::Memory, false),
        Engine::Sled {
            path,
            sync,
            readonly,
            ..
        } => {
            let (path, readonly) = (path.clone(), *readonly);
            (rewamp_history::Engine::Sled { path, readonly }, *sync)
        }
        Engine::Cfxdb {
            path,
            sync,
            readonly,
            mode,
            ..
        } => {
            let (path, readonly, mode) = (path.clone(), *readonly, *mode);
            let engine = rewamp_history::Engine::Cfxdb {
                path,
                readonly,
                mode,
            };
            (engine, *sync)
        }
    };
    StoreConfig {
        realm: realm.to_owned(),
        engine,
        maxsize: store.maxsize,
        full: match store.refuses {
            true => Full::Refuse,
            false => Full::DropOldest,
        },
        sync,
        limit: store.limit,
        filters: filters(store).collect(),
        memory_begin,
    }
}

fn filters(store: &Store) -> impl Iterator<Item = Filter> {
    store.filters.iter().map(|filter| Filter {
        limit: filter.limit,
        limit_per_topic: filter.limit_per_topic,
        max_age: filter.max_age,
        ..Filter::new(filter.uri.as_str(), filter.match_policy)
    })
}

/// Says what the store keeps, where, up to which size, and what it found.
fn report(realm: &str, store: &Store, opened: &dyn EventStore, metrics: &Metrics) {
    let found = opened.opened();
    let place = found
        .path
        .as_ref()
        .map_or("memory".to_owned(), |path| path.display().to_string());
    let kept: Vec<String> = store
        .filters
        .iter()
        .map(|filter| describe(filter, store))
        .collect();
    info!(
        realm, incarnation:% = found.incarnation;
        "history of {} in {place}, {}: found {} events in {} bytes",
        if kept.is_empty() { "nothing".to_owned() } else { kept.join(", ") },
        match found.readonly {
            true => "which is read and not added to".to_owned(),
            false => format!("up to {} bytes", store.maxsize),
        },
        found.events, found.bytes
    );
    let metrics = metrics.realm(realm);
    if found.recovered && !found.readonly {
        metrics.count(Id::HistoryRecoveries, 1);
        metrics.count(Id::HistoryRecoveredEvents, found.events);
        info!(realm; "the store was not closed cleanly and has been recovered");
    }
    for lost in &found.lost {
        let (from, to) = (lost.from.get(), lost.to.get());
        warn!(realm; "events may be missing, sequences {from} to {to}: {}", lost.why);
    }
    for path in &found.set_aside {
        warn!(realm; "what cannot be read was set aside as {}", path.display());
    }
}

fn describe(filter: &checked::Filter, store: &Store) -> String {
    let default = store.limit.filter(|_| filter.limit_per_topic.is_none());
    let mut limit = match filter.limit.or(default) {
        Some(limit) => format!(", the newest {limit}"),
        None => String::new(),
    };
    if let Some(each) = filter.limit_per_topic {
        let _ = write!(limit, ", the newest {each} of every topic");
    }
    if let Some(age) = filter.max_age {
        let _ = write!(limit, ", of the last {} s", age.as_secs());
    }
    if filter.uri.is_empty() && filter.match_policy == MatchPolicy::Prefix {
        return format!("everything{limit}");
    }
    format!("`{}` ({}{limit})", filter.uri, filter.match_policy)
}
