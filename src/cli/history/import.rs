//! `rewamp history import`: a store made of a file of events, or of what a router answers.

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rewamp_archive::{Draft, Record, ndjson, parquet};
use rewamp_history::{Engine, Filter, Full, Sequence, StoreConfig};
use rewamp_wamp::uri::MatchPolicy;

use super::ask::Asked;
use super::export::Format;
use super::get::policy;
use super::progress::Progress;
use super::which::Which;
use super::{Failure, Outcome, failed};
use crate::cli::{Console, Location};
use crate::node::store_config;

/// The store's bound where none is given: 1 GiB, as of a node with nothing configured.
pub(in crate::cli) const MAXSIZE: u64 = 1 << 30;

/// Make a store of a file of events, or of what a router answers, with IDs and times as they are.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file, as `export` writes it
    #[arg(value_name = "FILE", required_unless_present = "from")]
    file: Option<PathBuf>,
    #[command(flatten)]
    asked: Asked,
    /// Folder of the new store; without it, the store that the configuration has for the realm
    #[arg(long, value_name = "DIR", requires = "realm")]
    store: Option<PathBuf>,
    /// What the new store is kept by
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "sled",
        requires = "store"
    )]
    kind: Kind,
    /// The realm whose history it is
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
    /// What the new store keeps, such as `prefix:com.` [default: everything; with --from, its topics]
    #[arg(long, value_name = "POLICY:URI", value_parser = filter, requires = "store")]
    filter: Vec<Filter>,
    /// Bytes of the new store, at least 5242880
    #[arg(long, value_name = "BYTES", default_value_t = MAXSIZE, requires = "store")]
    maxsize: u64,
    /// Otherwise by the name's end: `.parquet`, everything else is NDJSON
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    location: Location,
}

impl Import {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let config = self.config(console)?;
        let mut draft = Draft::begin(config).map_err(failed)?;
        match &self.file {
            Some(file) => self.read(file, &mut draft)?,
            None => {
                let records = self.asked.records(self.realm.as_deref(), console)?;
                let total = records.len() as u64;
                let records = records.into_iter().map(Ok::<_, Infallible>);
                add(&mut draft, Some(total), records, &|error| failed(error))?;
            }
        }
        let finished = draft.finish().map_err(failed)?;
        writeln!(console.err, "{finished}")?;
        Ok(0)
    }

    fn read(&self, file: &Path, draft: &mut Draft) -> Result<(), Failure> {
        let fault = |error: &dyn Display| failed(format!("`{}`: {error}", file.display()));
        let open = || File::open(file).map_err(|error| fault(&error));
        match self.format.unwrap_or_else(|| Format::of(file)) {
            Format::Ndjson => {
                let records = ndjson::Reader::new(BufReader::new(open()?));
                add(draft, None, records, &fault)
            }
            Format::Parquet => {
                let total = parquet::Reader::count(open()?).map_err(|error| fault(&error))?;
                let records = parquet::Reader::open(open()?).map_err(|error| fault(&error))?;
                add(draft, Some(total), records, &fault)
            }
        }
    }

    /// The store that is to be made.
    fn config(&self, console: &mut Console<'_>) -> Result<StoreConfig, Failure> {
        if let (Some(store), Some(realm)) = (&self.store, &self.realm) {
            let everything = || vec![Filter::new("", MatchPolicy::Prefix)];
            return Ok(StoreConfig {
                realm: realm.clone(),
                engine: self.kind.engine(store),
                maxsize: self.maxsize,
                full: Full::DropOldest,
                sync: true,
                limit: None,
                filters: match (self.filter.is_empty(), self.file.is_some()) {
                    (false, _) => self.filter.clone(),
                    (true, true) => everything(),
                    (true, false) => self.asked.topics()?,
                },
                memory_begin: Sequence::ZERO,
            });
        }
        let which = Which::of(&self.location, self.realm.as_ref());
        let realms = which.realms(console)?;
        let stores = realms.iter().filter_map(|realm| {
            let store = realm.store.as_ref()?;
            let config = store_config(&realm.name, store, Sequence::ZERO);
            (config.engine != Engine::Memory).then_some(config)
        });
        match &*stores.collect::<Vec<_>>() {
            [config] => Ok(config.clone()),
            [] => Err(failed("there is no store on disk; name one with --store")),
            several => Err(failed(format!(
                "there are {} stores; say which with --realm",
                several.len()
            ))),
        }
    }
}

/// Permissions of a new cfxdb store's files, where no configuration says otherwise.
const FILE_MODE: u32 = 0o640;

/// Engines that a store can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// Rewamp's own
    Sled,
    /// LMDB, in the rows of Crossbar's store
    Cfxdb,
}

impl Kind {
    /// A store that is written to.
    pub(in crate::cli) fn engine(self, folder: &Path) -> Engine {
        let (path, readonly) = (folder.to_owned(), false);
        match self {
            Self::Sled => Engine::Sled { path, readonly },
            Self::Cfxdb => Engine::Cfxdb {
                path,
                readonly,
                mode: FILE_MODE,
            },
        }
    }
}

fn add<E: Display>(
    draft: &mut Draft,
    total: Option<u64>,
    records: impl Iterator<Item = Result<Record, E>>,
    fault: &dyn Fn(&dyn Display) -> Failure,
) -> Result<(), Failure> {
    let mut progress = Progress::begin("importing", total);
    for record in records {
        let record = record.map_err(|error| fault(&error))?;
        draft.add(record).map_err(|error| fault(&error))?;
        progress.event();
    }
    Ok(())
}

pub(super) fn filter(text: &str) -> Result<Filter, String> {
    let (name, uri) = text.split_once(':').ok_or_else(|| {
        "a policy, a colon and a URI are expected, such as prefix:com.".to_owned()
    })?;
    Ok(Filter::new(uri, policy(name)?))
}
