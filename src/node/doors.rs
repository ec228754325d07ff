//! The configured listeners. They are bound before anything else happens, and open when the realms
//! behind them are there.

use std::rc::Rc;
use std::sync::Arc;

use log::info;
use rewamp_actors::auth::{AuthError, Authenticators, DecoyKey};
use rewamp_actors::router::Router;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::logins::{self, LoginError};
use crate::config::Config;
use crate::config::checked::{Address, Auth, Endpoint, PathService, Service, Transport, Web};
use crate::transport::{
    Answer, BindError, Door, Listener, Protocol, RawSocketService, Site, WebSocketService,
};

/// Why a listener cannot be opened.
#[derive(Debug, Error)]
pub(super) enum DoorError {
    /// Nobody could log in as configured.
    #[error("transport `{transport}`: {error}")]
    Login {
        /// Its name.
        transport: String,
        /// What is wrong.
        error: LoginError,
    },
    /// The system has no randomness to give.
    #[error(transparent)]
    NoRandomness(#[from] AuthError),
    /// A task of ours broke.
    #[error("a listener could not be set up")]
    Broken,
}

/// Every address of the configuration, bound.
pub(super) struct Bound {
    /// The admin listener's.
    pub(super) admin: Vec<Listener>,
    /// Those of each transport, in the order of the configuration.
    transports: Vec<Vec<Listener>>,
}

impl Bound {
    /// Binds them all.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub(super) fn bind(config: &Config) -> Result<Self, BindError> {
        let bind = |endpoint: &Endpoint| Listener::bind(endpoint);
        Ok(Self {
            admin: config
                .admin
                .as_ref()
                .map(bind)
                .transpose()?
                .unwrap_or_default(),
            transports: config
                .transports
                .iter()
                .map(|transport| bind(&transport.endpoint))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Opens the transports: from here on clients come in.
    ///
    /// # Errors
    /// One cannot be set up.
    pub(super) async fn open(
        self,
        config: &Config,
        door: &Door,
        router: &Router,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), DoorError> {
        let decoys = DecoyKey::random()?;
        for (transport, listeners) in config.transports.iter().zip(self.transports) {
            let protocol = protocol(transport, &decoys).await?;
            let door = door.to(reachable(transport, config, router));
            for listener in listeners {
                door.open(listener, &protocol, stop)
                    .await
                    .map_err(|()| DoorError::Broken)?;
            }
            announce(transport);
        }
        Ok(())
    }
}

/// The realms that a transport's clients may join: those of its own worker.
fn reachable(transport: &Transport, config: &Config, router: &Router) -> Router {
    let all = config
        .realms
        .iter()
        .all(|realm| transport.realms.contains(&realm.name));
    if all {
        return router.clone();
    }
    let some = Router::new(router.metrics.clone());
    transport
        .realms
        .iter()
        .filter_map(|name| router.realm(name))
        .for_each(|realm| some.add(realm));
    some
}

async fn protocol(transport: &Transport, decoys: &DecoyKey) -> Result<Protocol, DoorError> {
    let logins = |auth: &Auth| logins(transport, auth.clone(), decoys.clone());
    Ok(match &transport.service {
        Service::RawSocket(settings) => Protocol::RawSocket(RawSocketService::new(
            settings,
            logins(&settings.auth).await?,
        )),
        Service::WebSocket(settings) => {
            let service = WebSocketService::new(settings, logins(&settings.auth).await?);
            let everywhere = vec![("/".to_owned(), Answer::WebSocket(service))];
            Protocol::Http(Site::new(everywhere, settings.open_handshake_timeout))
        }
        Service::Web(web) => Protocol::Http(site(transport, web, decoys).await?),
        Service::Universal(settings, web) => Protocol::Universal(
            RawSocketService::new(settings, logins(&settings.auth).await?),
            site(transport, web, decoys).await?,
        ),
    })
}

async fn site(transport: &Transport, web: &Web, decoys: &DecoyKey) -> Result<Rc<Site>, DoorError> {
    let mut paths = Vec::with_capacity(web.paths.len());
    for (path, service) in &web.paths {
        let answer = match service {
            PathService::NotBuilt(kind) => Answer::NotBuilt(kind.clone()),
            PathService::WebSocket(settings) => {
                let auth = logins(transport, settings.auth.clone(), decoys.clone()).await?;
                Answer::WebSocket(WebSocketService::new(settings, auth))
            }
        };
        paths.push((path.clone(), answer));
    }
    Ok(Site::new(paths, web.client_timeout))
}

/// Keys are derived from passwords, which takes too long for the event loop.
async fn logins(
    transport: &Transport,
    auth: Auth,
    decoys: DecoyKey,
) -> Result<Arc<Authenticators>, DoorError> {
    spawn_blocking(move || logins::prepare(&auth, &decoys))
        .await
        .map_err(|_| DoorError::Broken)?
        .map_err(|error| DoorError::Login {
            transport: transport.id.clone(),
            error,
        })
}

fn announce(transport: &Transport) {
    let id = transport.id.as_str();
    let address = &transport.endpoint.address;
    match &transport.service {
        Service::RawSocket(_) => info!(transport = id; "RawSocket on {}", url("tcp", address, "")),
        Service::WebSocket(_) => info!(transport = id; "WebSocket on {}", url("ws", address, "")),
        Service::Web(web) => announce_web(id, address, web),
        Service::Universal(_, web) => {
            info!(transport = id; "RawSocket on {}", url("tcp", address, ""));
            announce_web(id, address, web);
        }
    }
}

fn announce_web(id: &str, address: &Address, web: &Web) {
    let sockets = web
        .paths
        .iter()
        .filter_map(|(path, service)| match service {
            PathService::WebSocket(_) => Some(url("ws", address, path)),
            PathService::NotBuilt(_) => None,
        });
    let sockets: Vec<String> = sockets.collect();
    if sockets.is_empty() {
        info!(transport = id; "HTTP without a WebSocket on {}", url("http", address, ""));
    } else {
        info!(transport = id; "WebSocket on {}", sockets.join(", "));
    }
}

fn url(scheme: &str, address: &Address, path: &str) -> String {
    match address {
        Address::Tcp { .. } => format!("{scheme}://{address}{path}"),
        Address::Unix { .. } if path.is_empty() => format!("unix:{address}"),
        Address::Unix { .. } => format!("unix:{address}, path {path}"),
    }
}
