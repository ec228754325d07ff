//! What the files of a store say of it, without opening it; and how one begins that is to be a
//! copy of it.

use std::path::Path;

use super::Sled;
use super::catalog::Catalog;
use super::disk::Disk;
use super::head::Origin;
use super::lock::FolderLock;
use super::recover::known;
use crate::error::OpenError;
use crate::identify::FoundStore;
use crate::store::Engine;
use crate::subscription::StoreKey;

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
            is_ours: true,
            engine: Engine::Sled {
                path: folder.to_owned(),
                readonly: true,
            },
            realm: origin.realm,
            incarnation: origin.incarnation,
            key: origin.key,
            configured: configured.len(),
            filters: configured
                .into_iter()
                .chain(gone)
                .map(|known| known.filter)
                .collect(),
        })
    }

    /// See [`crate::begin_like`]: what [`Self::open`] then finds.
    pub(crate) fn begin_like(folder: &Path, realm: &str, key: &StoreKey) -> Result<(), OpenError> {
        let disk = Disk::default();
        disk.create_folder(folder)?;
        let _lock = FolderLock::to_write(&disk, folder)?;
        if known(&disk, folder).is_ok() {
            let path = folder.to_owned();
            return Err(OpenError::InUse { path });
        }
        let drawn = Origin::draw(realm).map_err(|error| OpenError::Random(error.to_string()))?;
        let origin = Origin {
            key: key.clone(),
            ..drawn
        };
        Catalog::begin(origin).write(&disk, folder)?;
        Ok(())
    }
}
