//! A realm as its clients see it: whole messages go in through a session's stream, what comes out
//! of its outbox is read back. No socket between; the clock is the test's where it matters.

mod alike; // batches against single messages
mod client; // one session
mod broker; // publish and subscribe
mod dealer; // calls
mod opaque; // what passes through unread
mod history; // get_events
mod at_once; // small pages from memory
mod state; // the newest of every topic
mod walk; // by cursor, and history_info
mod store; // one that stalls or fails
mod unavailable; // one that does not open
mod held; // publishers that wait for it
mod replay; // subscriptions that begin with their past
mod catch_up; // sessions that could not keep up
mod meta; // the meta API
mod sessions; // join, leave, and what is out of order
mod slow; // those who do not read

use std::sync::Arc;
use std::time::Duration;

use rewamp_history::{Engine, EventStore, Filter, Full, Sequence, StoreConfig};
use rewamp_wamp::uri::{MatchPolicy, UriCheck};

use super::role::{Allow, Permission, Role};
use super::{PATIENCE, RealmSettings, Unavailable, start};
use crate::auth::{AnonymousConfig, AuthConfig, Authenticators, DecoyKey};
use crate::broker::SlowConsumer;
use crate::clock::Clock;
use crate::history::HistorySettings;
use crate::metrics::Metrics;
use crate::router::{RealmHandle, Router};
use crate::session::outbox::OutboxLimits;
use client::Client;

/// A node with one realm, `realm1`.
struct Fixture {
    router: Router,
    clock: Clock,
    auth: Arc<Authenticators>,
    realm: RealmHandle,
}

/// What a fixture is made of.
struct Setup {
    filters: Vec<Filter>,
    maxsize: u64,
    full: Full,
    outbox: OutboxLimits,
    slow_consumer: SlowConsumer,
    permissions: Vec<Permission>,
    patience: Duration,
    /// In place of one in memory with these filters.
    store: Option<(Arc<dyn EventStore>, HistorySettings)>,
    /// Its store could not be opened.
    unavailable: Option<Unavailable>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            maxsize: 64 << 20,
            full: Full::DropOldest,
            outbox: OutboxLimits::default(),
            slow_consumer: SlowConsumer::Disconnect,
            permissions: vec![everything("")],
            patience: PATIENCE,
            store: None,
            unavailable: None,
        }
    }
}

fn filter(uri: &'static str, match_policy: MatchPolicy, limit: Option<u64>) -> Filter {
    Filter {
        limit,
        ..Filter::new(uri, match_policy)
    }
}

/// A rule that allows everything below a prefix.
fn everything(prefix: &'static str) -> Permission {
    let all = Allow {
        publish: true,
        subscribe: true,
        call: true,
        register: true,
    };
    Permission::new(prefix, Some(MatchPolicy::Prefix)).allowing(all)
}

impl Setup {
    fn storing(filters: Vec<Filter>) -> Self {
        Self {
            filters,
            ..Self::default()
        }
    }

    /// A store in memory, and how a durable one would be used with small buffers.
    fn history_settings(&self) -> (HistorySettings, Arc<dyn EventStore>) {
        let config = StoreConfig {
            realm: "realm1".to_owned(),
            engine: Engine::Memory,
            maxsize: self.maxsize,
            full: self.full,
            sync: true,
            limit: None,
            filters: self.filters.clone(),
            memory_begin: Sequence::new(1_000_000),
        };
        let settings = HistorySettings {
            buffertime: Duration::from_millis(20),
            maxbuffer: 1_000,
            maxbuffer_bytes: 12_000,
            durable: true,
            maxsize: 64 << 20,
            largest: 1 << 20,
        };
        (settings, rewamp_history::open(config).unwrap())
    }

    fn start(self) -> Fixture {
        let router = Router::new(Metrics::new());
        let clock = Clock::system();
        let in_memory = || {
            let (settings, store) = self.history_settings();
            (
                store,
                HistorySettings {
                    durable: false,
                    maxbuffer_bytes: 1 << 20,
                    ..settings
                },
            )
        };
        let history = self
            .store
            .clone()
            .or_else(|| (!self.filters.is_empty()).then(in_memory));
        let settings = RealmSettings {
            name: "realm1".to_owned(),
            uri_check: UriCheck::Loose,
            roles: [Role::with_permissions("anonymous", &self.permissions)]
                .into_iter()
                .collect(),
            outbox: self.outbox,
            slow_consumer: self.slow_consumer,
            patience: self.patience,
            history,
            unavailable: self.unavailable,
        };
        let realm = start(settings, &router, clock.clone()).unwrap();
        let config = AuthConfig {
            anonymous: Some(AnonymousConfig::role("anonymous")),
            ..AuthConfig::default()
        };
        let auth = Arc::new(Authenticators::prepare(
            config,
            &DecoyKey::from_bytes([1; 32]),
        ));
        Fixture {
            router,
            clock,
            auth,
            realm,
        }
    }
}

impl Fixture {
    /// A client that has joined.
    async fn join(&self) -> Client {
        self.join_with(rewamp_wamp::serializer::Serializer::Json)
            .await
    }

    async fn join_with(&self, serializer: rewamp_wamp::serializer::Serializer) -> Client {
        let mut client = self.connect(serializer, 1 << 24);
        client.hello("realm1");
        client.welcome().await;
        client
    }

    /// A client that has not said HELLO.
    fn connect(
        &self,
        serializer: rewamp_wamp::serializer::Serializer,
        max_message: usize,
    ) -> Client {
        Client::connect(self, serializer, max_message)
    }
}
