//! Which stores a command is about: one by its folder, or those of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rewamp_history::{EventStore, FoundStore, identify_as, open};

use super::{Failure, Outcome, failed};
use crate::cli::{Console, Location, read, tell};
use crate::config::checked::{Engine, Realm};

/// The stores that are meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Folder of a store; without it, the stores of the configuration
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    location: Location,
    /// Realm of the configuration, if it has several with a store; with --store, of a store of
    /// Crossbar's that does not say whose it is
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
}

/// A store that can be read.
pub(super) struct Opened {
    pub(super) found: FoundStore,
    pub(super) store: Arc<dyn EventStore>,
}

impl Which {
    /// Those of a configuration.
    pub(super) fn of(location: &Location, realm: Option<&String>) -> Self {
        Self {
            store: None,
            location: location.clone(),
            realm: realm.cloned(),
        }
    }

    /// The realm that is named.
    pub(super) fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// The folders of all stores that are meant. Realms without one on disk are told of.
    pub(super) fn folders(&self, console: &mut Console<'_>) -> Result<Vec<PathBuf>, Failure> {
        if let Some(store) = &self.store {
            return Ok(vec![store.clone()]);
        }
        let mut folders = Vec::new();
        for realm in self.realms(console)? {
            let Some(store) = &realm.store else { continue };
            match &store.engine {
                Engine::Memory => writeln!(
                    console.err,
                    "realm {}: its history is in the memory of the node",
                    realm.name
                )?,
                Engine::Sled { path, .. } | Engine::Cfxdb { path, .. } => {
                    folders.push(path.clone());
                }
            }
        }
        Ok(folders)
    }

    /// The folder of the one store that is meant.
    pub(super) fn folder(&self, console: &mut Console<'_>) -> Result<PathBuf, Failure> {
        match &*self.folders(console)? {
            [folder] => Ok(folder.clone()),
            [] => Err(failed("there is no store on disk; name one with --store")),
            several => Err(failed(format!(
                "there are {} stores; say which with --realm or --store",
                several.len()
            ))),
        }
    }

    /// The realms of the configuration, or the one that is named.
    pub(super) fn realms(&self, console: &mut Console<'_>) -> Result<Vec<Realm>, Failure> {
        let draft = read(&self.location, None, console)?.map_err(Failure::Told)?;
        let (config, _) =
            draft
                .config()
                .map_err(|findings| match tell(&findings, console.err) {
                    Ok(()) => Failure::Told(crate::cli::FAULTS),
                    Err(error) => Failure::Console(error),
                })?;
        let Some(wanted) = &self.realm else {
            return Ok(config.realms);
        };
        let mut realms = config.realms;
        realms.retain(|realm| realm.name == *wanted);
        match realms.is_empty() {
            true => Err(failed(format!("the configuration has no realm `{wanted}`"))),
            false => Ok(realms),
        }
    }
}

/// Opens a store to read it, with every filter that it ever had.
pub(super) fn open_to_read(folder: &Path) -> Result<Opened, Failure> {
    open_to_read_as(folder, None)
}

/// The same for a store of Crossbar's, which does not always say which realm's it is.
pub(super) fn open_to_read_as(folder: &Path, realm: Option<&str>) -> Result<Opened, Failure> {
    let found = identify_as(folder, realm).map_err(failed)?;
    let store = open(found.to_read()).map_err(failed)?;
    Ok(Opened { found, store })
}

/// Runs `each` over the stores that are meant; the worst exit code counts, and one that fails
/// does not keep the others from being looked at.
pub(super) fn each(
    folders: &[PathBuf],
    console: &mut Console<'_>,
    mut each: impl FnMut(&Path, &mut Console<'_>) -> Outcome,
) -> Outcome {
    let mut worst = 0;
    for folder in folders {
        let code = match each(folder, console) {
            Ok(code) => code,
            Err(Failure::Failed(why)) => {
                writeln!(console.err, "rewamp: {why}")?;
                crate::cli::FAILED
            }
            Err(failure) => return Err(failure),
        };
        worst = match (worst, code) {
            (crate::cli::FAILED, _) | (_, crate::cli::FAILED) => crate::cli::FAILED,
            (before, now) => before.max(now),
        };
    }
    Ok(worst)
}
