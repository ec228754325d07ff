//! How a command joins another router: as whom, and whose certificates it believes.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use rewamp_client::{Client, ClientError, Login, Trust, Url};

use super::stop::Stop;

/// The variable that has the secret: a command line is seen by everybody on the machine.
const SECRET: &str = "REWAMP_SECRET";

/// As whom another router is joined.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// Log in as this user, with the ticket or secret in REWAMP_SECRET
    #[arg(long, value_name = "NAME")]
    authid: Option<String>,
    /// For wss://: believe the certificates in this file (PEM), and no public authority
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Access {
    /// Who asks to be let into the realm.
    pub(super) fn login(&self, realm: &str) -> Login {
        Login {
            realm: realm.into(),
            authid: self.authid.as_deref().map(Into::into),
            secret: self.authid.as_ref().and(std::env::var(SECRET).ok()),
        }
    }

    /// Whose certificates count.
    pub(super) fn trust(&self) -> Result<Trust, String> {
        let Some(file) = &self.ca else {
            return Trust::public().map_err(|error| error.to_string());
        };
        let told = |error: &dyn std::fmt::Display| format!("`{}`: {error}", file.display());
        let pem = std::fs::read(file).map_err(|error| told(&error))?;
        Trust::only(&pem).map_err(|error| told(&error))
    }

    /// A session with that router, or why there is none.
    pub(super) fn join(&self, url: &Url, realm: &str) -> Result<Client, String> {
        let trust = self.trust()?;
        Client::join(url, &self.login(realm), &trust)
            .map_err(|error: ClientError| format!("{url}: {error}"))
    }
}

/// How long an end may stay unnoticed while a router is joined.
const LOOK: Duration = Duration::from_millis(100);

/// Joins a router on a thread of its own, so that an end need not wait for it; `None` if there is
/// one.
pub(crate) fn join_unless(
    stop: &Stop,
    url: &Url,
    login: Login,
    trust: &Trust,
) -> Option<Result<Client, ClientError>> {
    let (tell, told) = channel();
    let (url, trust) = (url.clone(), trust.clone());
    let join = move || {
        // Nobody may want it any more.
        let _ = tell.send(Client::join(&url, &login, &trust));
    };
    if let Err(error) = std::thread::Builder::new().spawn(join) {
        return Some(Err(ClientError::Io(error)));
    }
    loop {
        match told.recv_timeout(LOOK) {
            Ok(joined) => return Some(joined),
            Err(RecvTimeoutError::Timeout) if stop.is_set() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Some(Err(ClientError::Silent)),
        }
    }
}
