//! The lock on a store's folder: while one process has a store, whether it is open or at rest,
//! no other may write there. Knows nothing of what the folder holds.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};

use super::disk::Disk;
use crate::error::OpenError;

/// How long a lock that is taken is waited for: a process that starts another one shares its
/// locks with it for a moment, and one that was just killed takes a moment to let go.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Held as long as it lives.
///
/// A lock belongs to the open file, and that lives on while a page of it is mapped, with its
/// descriptor closed: thousands of stores at rest stay locked without a descriptor each.
#[derive(Debug)]
#[expect(dead_code, reason = "held, never read: dropping it lets the lock go")]
pub(super) enum FolderLock {
    /// A page of the locked file, never touched.
    Mapped(MmapRaw),
    /// The file itself, where the file system cannot map it.
    Open(File),
}

impl FolderLock {
    /// Locks a folder that is written to.
    pub(super) fn to_write(disk: &Disk, folder: &Path) -> Result<Self, OpenError> {
        let file = disk.open_or_create(&folder.join("lock"))?;
        lock(folder, || file.try_lock())?;
        Ok(match MmapOptions::new().len(1).map_raw_read_only(&file) {
            Ok(page) => Self::Mapped(page),
            Err(_) => Self::Open(file),
        })
    }

    /// While a store is opened to be read, nobody may write to it; any number may read. The lock
    /// is not created, and a store copied without it has none.
    pub(super) fn to_read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { what, path, source }
        };
        let no_store = || OpenError::NoStore {
            path: folder.to_owned(),
        };
        match std::fs::metadata(folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(no_store()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_store()),
            Err(error) => return Err(failed("cannot open", folder)(error)),
        }
        let path = folder.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("cannot open", &path)(error)),
        };
        lock(folder, || file.try_lock_shared())?;
        Ok(Some(Self::Open(file)))
    }
}

fn lock(folder: &Path, attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), OpenError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(LOCK_PATIENCE / 50);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(OpenError::Io {
                    what: "cannot lock",
                    path: folder.join("lock"),
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_until_the_lock_is_dropped_and_takes_no_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let lock = FolderLock::to_write(&disk, folder.path()).unwrap();
        assert!(matches!(lock, FolderLock::Mapped(_)));
        let again = FolderLock::to_write(&disk, folder.path());
        assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
        drop(lock);
        FolderLock::to_write(&disk, folder.path()).unwrap();
    }
}
