//! The configured realms become actors, each with its store. A store is opened off the event loop:
//! a large one that was not closed cleanly takes its time, and the node says meanwhile that it
//! lives.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use log::{info, warn};
use rewamp_actors::broker::SlowConsumer;
use rewamp_actors::clock::Clock;
use rewamp_actors::history::HistorySettings;
use rewamp_actors::metrics::{Id, Metrics};
use rewamp_actors::realm::role::{Allow, Disclose, Permission, Role, Roles};
use rewamp_actors::realm::{self, RealmSettings};
use rewamp_actors::router::{RealmHandle, Router};
use rewamp_actors::session::outbox::OutboxLimits;
use rewamp_history::{EventStore, Filter, Full, OpenError, Sequence, StoreConfig};
use rewamp_wamp::uri::MatchPolicy;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::config::checked::{self, Buffer, Engine, Realm, Store};

/// How a store in memory is buffered. What has no disk to wait for needs no large buffer.
const IN_MEMORY: Buffer = Buffer {
    time: Duration::from_millis(20),
    events: 10_000,
    bytes: 64 << 20,
};

/// The part of a store that one publication may have; more could empty the history of others.
const LARGEST_PART: u64 = 8;

/// Why a realm is not there. The others are.
#[derive(Debug, Error)]
pub(super) enum RealmError {
    /// Its store cannot be used.
    #[error("its event store cannot be opened: {0}")]
    Store(#[from] OpenError),
    /// The system gives no random numbers.
    #[error("{0}")]
    Start(String),
}

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
        let failed = |error: &dyn std::fmt::Display| RealmError::Start(error.to_string());
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
            Err(_) => Err(RealmError::Start(
                "the thread of the realm has ended".to_owned(),
            )),
        }
    }
}

/// Starts the `index`th realm and makes it known to `router`.
///
/// # Errors
/// It cannot be; the others still can.
pub(super) async fn start(
    index: usize,
    realm: &Realm,
    router: &Router,
    clock: &Clock,
    threads: &Threads,
) -> Result<RealmHandle, RealmError> {
    let history = match &realm.store {
        Some(store) => Some(open(&realm.name, store, clock, &router.metrics).await?),
        None => {
            info!(realm = realm.name.as_str(); "realm without a history");
            None
        }
    };
    let limit = |configured: u64| usize::try_from(configured).unwrap_or(usize::MAX);
    let settings = RealmSettings {
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
    };
    threads.start(index, settings, router, clock).await
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
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Arc<dyn EventStore>, HistorySettings), RealmError> {
    let (engine, buffer, sync) = match &store.engine {
        Engine::Memory => (rewamp_history::Engine::Memory, IN_MEMORY, false),
        Engine::Sled {
            path,
            buffer,
            sync,
            readonly,
        } => {
            let (path, readonly) = (path.clone(), *readonly);
            (
                rewamp_history::Engine::Sled { path, readonly },
                *buffer,
                *sync,
            )
        }
    };
    let durable = sync && engine != rewamp_history::Engine::Memory;
    let config = StoreConfig {
        realm: realm.to_owned(),
        engine,
        maxsize: store.maxsize,
        full: match store.refuses {
            true => Full::Refuse,
            false => Full::DropOldest,
        },
        sync,
        limit: store.limit,
        filters: store.filters.iter().map(filter).collect(),
        memory_begin: Sequence::new(clock.now() / 1_000),
    };
    let opened = spawn_blocking(move || rewamp_history::open(config))
        .await
        .map_err(|panic| RealmError::Start(panic.to_string()))??;
    report(realm, store, &*opened, metrics);
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

fn filter(filter: &checked::Filter) -> Filter {
    Filter {
        limit: filter.limit,
        limit_per_topic: filter.limit_per_topic,
        max_age: filter.max_age,
        ..Filter::new(filter.uri.as_str(), filter.match_policy)
    }
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
    let mut missing = 0;
    for lost in &found.lost {
        let (from, to) = (lost.from.get(), lost.to.get());
        missing += (to + 1).saturating_sub(from);
        warn!(realm; "events may be missing, sequences {from} to {to}: {}", lost.why);
    }
    for path in &found.set_aside {
        warn!(realm; "what cannot be read was set aside as {}", path.display());
    }
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.gauge(Id::HistoryMissingEvents).set(number(missing));
    metrics
        .gauge(Id::HistorySetAside)
        .set(number(found.set_aside.len() as u64));
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
