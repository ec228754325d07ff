//! The running node: takes the checked configuration, starts everything it names, and ends when it
//! is told to. `run` is the whole life in order.

mod signals; // what the operating system asks
mod limits; //  how many clients there can be
mod stores; //  how many stores are open
mod realms; //  realms and their stores
mod doors; //   listeners and what they speak
mod logins; //  who may come in

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use log::{info, warn};
use rewamp_actors::clock::Clock;
use rewamp_actors::metrics::{Id, Metrics};
use rewamp_actors::realm as realm_actor;
use rewamp_actors::router::Router;
use rewamp_actors::turns::Turns;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use self::doors::{Bound, DoorError};
pub(crate) use self::realms::store_config;
use self::realms::{Retries, Threads};
use self::signals::Signals;
use crate::admin::{self, Phase, Status};
use crate::config::Config;
use crate::transport::{BindError, Connections, Door, Protocol};

/// How long a clean stop may take. 20 seconds: below the 30 that Kubernetes waits before it kills.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How long clients may take to read their GOODBYE and close.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Connections of the admin listener: probes, a scraper, an operator, and some to spare.
const ADMIN_CONNECTIONS: usize = 64;

/// Why the node could not start, or did not stop as it should.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct NodeError(#[from] Failure);

#[derive(Debug, Error)]
enum Failure {
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error("no realm could be started")]
    NoRealm,
    #[error("the admin listener could not be set up")]
    Admin,
    #[error("a second signal ended the node before it had stopped cleanly")]
    Interrupted,
    #[error("the node did not stop cleanly within {} seconds", STOP_WITHIN.as_secs())]
    StopTooLong,
}

/// Runs until a signal stops the node.
///
/// # Errors
/// It could not start, or did not stop cleanly.
pub async fn run(config: Config) -> Result<(), NodeError> {
    Ok(live(&config).await?)
}

async fn live(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let source = config
        .file
        .as_ref()
        .map_or("the built-in configuration".to_owned(), |file| {
            file.display().to_string()
        });
    info!(
        "rewamp {} starts with {source}, in {}",
        env!("CARGO_PKG_VERSION"),
        config.folder.display()
    );
    limits::raise();
    let bound = Bound::bind(config)?;
    let node = tokio::select! {
        node = Node::start(config, bound) => node?,
        signal = signals.next() => {
            info!("{signal} while starting: the node ends");
            return Ok(());
        }
    };
    info!("the node is ready");
    let signal = signals.next().await;
    info!("{signal}: the node stops");
    tokio::select! {
        stopped = timeout(STOP_WITHIN, node.stop()) => stopped.map_err(|_| Failure::StopTooLong)?,
        _ = signals.next() => return Err(Failure::Interrupted),
    }
    info!("the node has stopped");
    Ok(())
}

/// Everything that runs.
struct Node {
    status: Status,
    router: Router,
    connections: Arc<Connections>,
    /// True: nobody comes in any more.
    stop: watch::Sender<bool>,
    retries: Retries,
    /// Keeps the admin listener open until the very end, so that it can say that the node stops.
    _admin: watch::Sender<bool>,
    _threads: Threads,
}

impl Node {
    async fn start(config: &Config, mut bound: Bound) -> Result<Self, Failure> {
        let (metrics, clock) = (Metrics::new(), Clock::system());
        let names = config.realms.iter().map(|realm| realm.name.clone());
        let status = Status::starting(names, &metrics);
        let most = stores::budget(config);
        let router = Router::with_turns(metrics.clone(), Turns::new(most, &metrics));
        let admin = serve_admin(config, &mut bound, &status, &router, &clock).await?;
        let threads = Threads::new(config.realm_arbiters);
        let realms = realms::Node {
            router: router.clone(),
            clock: clock.clone(),
            stores: stores::open(config, most, &metrics),
        };
        let retries = realms::start(&config.realms, &realms, &threads).await;
        if router.realms().is_empty() && !config.realms.is_empty() {
            return Err(Failure::NoRealm);
        }
        metrics.gauge(Id::Connections).set(0); // so that it is there before the first client
        let connections = Connections::new(limits::connections(most), &metrics);
        let door = Door::new(router.clone(), &connections, clock);
        let (stop, stopped) = watch::channel(false);
        bound.open(config, &door, &router, &stopped).await?;
        status.set(Phase::Ready);
        Ok(Self {
            status,
            router,
            connections,
            stop,
            retries,
            _admin: admin,
            _threads: threads,
        })
    }

    /// Not ready → nobody comes in, nothing is read → what was accepted is stored and acknowledged
    /// → GOODBYE → closed.
    async fn stop(self) {
        self.status.set(Phase::Stopping);
        self.stop.send_replace(true);
        self.connections.stop_reading();
        drop(self.retries);
        let realms = self.router.realms();
        join_all(realms.iter().map(realm_actor::stop)).await;
        // Those who never joined a realm.
        self.connections.finish();
        if timeout(CLOSE_WITHIN, self.connections.all_closed())
            .await
            .is_err()
        {
            let open = self.connections.established();
            warn!("{open} clients did not close their connections and are left");
        }
    }
}

/// Opens the admin listener, if one is configured.
async fn serve_admin(
    config: &Config,
    bound: &mut Bound,
    status: &Status,
    router: &Router,
    clock: &Clock,
) -> Result<watch::Sender<bool>, Failure> {
    // Of its own, so that a node full of clients still answers its operators.
    let connections = Connections::new(ADMIN_CONNECTIONS, &router.metrics);
    let door = Door::new(router.clone(), &connections, clock.clone());
    let protocol = Protocol::Http(admin::site(status));
    let (keep, stop) = watch::channel(false);
    for listener in bound.admin.drain(..) {
        door.open(listener, &protocol, &stop)
            .await
            .map_err(|()| Failure::Admin)?;
    }
    if let Some(endpoint) = &config.admin {
        info!("health and metrics on http://{}", endpoint.address);
    }
    Ok(keep)
}
