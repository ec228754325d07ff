//! What the files of a store say of it, without opening it.

use std::path::Path;

use super::Sled;
use super::catalog::Catalog;
use super::disk::Disk;
use super::recover::known;
use crate::error::OpenError;
use crate::identify::FoundStore;
use crate::store::Engine;

impl Sled {
    /// See [`crate::identify`].
    pub(crate) fn identify(folder: &Path) -> Result<FoundStore, OpenError> {
        if !folder.is_dir() {
            let path = folder.to_owned();
            return Err(OpenError::NoStore { path });
        }
        let Catalog {
            origin, filters, ..
        } = known(&Disk::readonly(), folder)?;
        let (configured, gone): (Vec<_>, Vec<_>) =
            filters.into_iter().partition(|known| known.configured);
        Ok(FoundStore {
            engine: Engine::Sled {
                path: folder.to_owned(),
                readonly: true,
            },
            realm: origin.realm,
            incarnation: origin.incarnation,
            configured: configured.len(),
            filters: configured
                .into_iter()
                .chain(gone)
                .map(|known| known.filter)
                .collect(),
        })
    }
}
