//! `rewamp record`: keeps what another router publishes, and answers for it there.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use log::LevelFilter;
use rewamp_client::Url;
use rewamp_history::{Filter, Full, Sequence, StoreConfig};
use rewamp_wamp::uri::MatchPolicy;
use serde_json::Value;

use super::access::Access;
use super::history::{Kind, MAXSIZE};
use super::stop::Stop;
use super::{Console, FAILED};
use crate::config::age;
use crate::recorder::{self, Settings};

/// Keep what another router publishes, and answer for it there.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Record {
    /// The router, such as ws://127.0.0.1:8080/ws
    #[arg(value_name = "WS-URL")]
    url: Url,
    /// The realm to join
    #[arg(long, value_name = "NAME")]
    realm: String,
    /// Topics that begin with this are kept; may come several times
    #[arg(long, value_name = "URI", required_unless_present_any = ["exact", "wildcard"])]
    prefix: Vec<String>,
    /// This topic is kept
    #[arg(long, value_name = "URI")]
    exact: Vec<String>,
    /// Topics that this pattern matches are kept, such as com..created
    #[arg(long, value_name = "URI")]
    wildcard: Vec<String>,
    /// Folder of the store; begun if it is not there
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// What the store is kept by
    #[arg(long = "type", value_name = "TYPE", default_value = "sled")]
    kind: Kind,
    /// Bytes that the store may take; the oldest events make room
    #[arg(long, value_name = "BYTES", default_value_t = MAXSIZE)]
    maxsize: u64,
    /// How long events are kept, such as 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = span)]
    max_age: Option<Duration>,
    /// Events that each of the above keeps, the newest
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    access: Access,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    loglevel: super::Level,
}

const AFTER: &str = "\
Goes on until SIGTERM or SIGINT. At the router it answers rewamp.history.get_events and
rewamp.history.history_info. Exit codes: 0 stopped as asked, 2 wrong command line, 3 the store does
not open or the router refuses";

impl Record {
    pub(super) fn run(&self, console: &mut Console<'_>) -> io::Result<u8> {
        let mut logging = env_logger::Builder::new();
        logging.filter_level(LevelFilter::from(self.loglevel));
        logging.filter_module("sled", LevelFilter::Off);
        let _ = logging.try_init();
        let stop = Stop::on_signals()?;
        let done = self
            .settings()
            .and_then(|settings| recorder::run(settings, stop).map_err(|error| error.to_string()));
        match done {
            Ok(()) => Ok(0),
            Err(why) => {
                writeln!(console.err, "rewamp: {why}")?;
                Ok(FAILED)
            }
        }
    }

    fn settings(&self) -> Result<Settings, String> {
        let there = std::fs::read_dir(&self.store);
        Ok(Settings {
            url: self.url.clone(),
            login: self.access.login(&self.realm),
            trust: self.access.trust()?,
            goes_on: there.is_ok_and(|mut entries| entries.next().is_some()),
            store: StoreConfig {
                realm: self.realm.clone(),
                engine: self.kind.engine(&self.store),
                maxsize: self.maxsize,
                full: Full::DropOldest,
                sync: true,
                limit: None,
                filters: self.filters(),
                memory_begin: Sequence::ZERO,
            },
        })
    }

    fn filters(&self) -> Vec<Filter> {
        let named = [
            (&self.prefix, MatchPolicy::Prefix),
            (&self.exact, MatchPolicy::Exact),
            (&self.wildcard, MatchPolicy::Wildcard),
        ];
        let filters = named.into_iter().flat_map(|(uris, policy)| {
            uris.iter().map(move |uri| Filter {
                limit: self.limit,
                max_age: self.max_age,
                ..Filter::new(uri.as_str(), policy)
            })
        });
        filters.collect()
    }
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    age::read(&Value::from(text)).ok_or_else(|| format!("expected {}", age::ALLOWED))
}
