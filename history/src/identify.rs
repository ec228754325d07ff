//! What a folder holds, told without opening it as a store: which engine's, of which realm, with
//! which filters. For those who are given a folder and no configuration.

use std::path::Path;
use std::sync::Arc;

use crate::engine::cfxdb::{self, Cfxdb, Compacted};
use crate::engine::sled::Sled;
use crate::error::OpenError;
use crate::event::Sequence;
use crate::filter::Filter;
use crate::store::{Engine, EventStore, Full, Incarnation, StoreConfig, open};
use crate::subscription::StoreKey;

/// A store that is only read keeps to no `maxsize`; any that is large enough does.
const READ_ONLY: u64 = 1 << 40;

/// A store that was found in a folder.
#[derive(Debug, Clone)]
pub struct FoundStore {
    /// Where and how it is read, without changing it.
    pub engine: Engine,
    /// The realm whose history it is.
    pub realm: String,
    /// Which life of the store this is.
    pub incarnation: Incarnation,
    /// The filters of the last start with their bounds, in the order in which the store first met
    /// them, and after them those that had been configured before and may have events left.
    pub filters: Vec<Filter>,
    /// How many of `filters` were configured at the last start.
    pub configured: usize,
    /// Whether this program has written to it: else it is Crossbar's, which may be read, and taken
    /// over by a node.
    pub is_ours: bool,
    /// What the IDs of its subscriptions are made with.
    pub(crate) key: StoreKey,
}

impl FoundStore {
    /// How the store is opened to be read as it is: with every filter that it ever had. Nothing in
    /// the folder changes.
    pub fn to_read(&self) -> StoreConfig {
        StoreConfig {
            realm: self.realm.clone(),
            engine: self.engine.clone(),
            maxsize: READ_ONLY,
            full: Full::DropOldest,
            sync: true,
            limit: None,
            filters: self.filters.clone(),
            memory_begin: Sequence::ZERO,
        }
    }

    /// How the store is opened to be mended: nothing that it holds has to give way.
    pub fn to_write(&self) -> StoreConfig {
        let configured = self.filters.iter().take(self.configured);
        StoreConfig {
            engine: match &self.engine {
                Engine::Memory => Engine::Memory,
                Engine::Sled { path, .. } => Engine::Sled {
                    path: path.clone(),
                    readonly: false,
                },
                Engine::Cfxdb { path, mode, .. } => Engine::Cfxdb {
                    path: path.clone(),
                    readonly: false,
                    mode: *mode,
                },
            },
            filters: configured.cloned().collect(),
            ..self.to_read()
        }
    }
}

/// Begins a store in which subscriptions have the IDs that they have in another one, of which it
/// is to be a copy. Its incarnation is its own.
///
/// # Errors
/// As [`open`]; the folder must not hold a store yet.
pub fn begin_like(
    config: StoreConfig,
    other: &FoundStore,
) -> Result<Arc<dyn EventStore>, OpenError> {
    match &config.engine {
        Engine::Memory => {}
        Engine::Sled { path, .. } => Sled::begin_like(path, &config.realm, &other.key)?,
        Engine::Cfxdb { path, mode, .. } => {
            Cfxdb::begin_like(path, *mode, &config, &other.key)?;
        }
    }
    open(config)
}

/// Finds out what a folder holds.
///
/// # Errors
/// [`OpenError::NoStore`] if it holds no store, and what stops the disk from telling.
pub fn identify(folder: &Path) -> Result<FoundStore, OpenError> {
    identify_as(folder, None)
}

/// The same, for a store that may be Crossbar's: that does not always say which realm's it is.
///
/// # Errors
/// As [`identify`].
pub fn identify_as(folder: &Path, realm: Option<&str>) -> Result<FoundStore, OpenError> {
    match folder.join("data.mdb").exists() {
        true => Cfxdb::identify(folder, realm),
        false => Sled::identify(folder),
    }
}

/// Gives back to the system what is free in the store in a folder, and with it the bytes of what
/// was dropped and purged: a cfxdb store is written anew, and nobody may have it open. `tell`
/// hears of every row that is written, with how many there are. `None`: the engine leaves nothing
/// to give back.
///
/// # Errors
/// [`OpenError::InUse`] if somebody has it open, and whatever the disk says; then it is as it was.
pub fn compact(folder: &Path, tell: &mut dyn FnMut(u64)) -> Result<Option<Compacted>, OpenError> {
    match folder.join("data.mdb").exists() {
        true => cfxdb::compact(folder, tell).map(Some),
        // Whether it is one at all.
        false => Sled::identify(folder).map(|_| None),
    }
}
