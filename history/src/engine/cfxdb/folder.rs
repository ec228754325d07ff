//! The folder of a store: made where it is missing, taken for one process alone, with files that
//! those may read who are to.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::OpenError;

/// How long a lock that is taken is waited for: a process that starts another one shares its
/// locks with it for a moment, and one that was just killed takes a moment to let go.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Creates a folder and its parents where they are missing, durably.
pub(super) fn create_folder(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    create_folder(&parent)?;
    match std::fs::create_dir(path) {
        Err(source) if !path.is_dir() => {
            return Err(OpenError::Io {
                what: "cannot create",
                path: path.to_owned(),
                source,
            });
        }
        _ => {}
    }
    sync_folder(&parent)
}

/// Bytes of `lock.mdb` where it is made: memory that all processes share, with places for some 190
/// readers.
const LOCK_BYTES: u64 = 3 * 4_096;

/// Makes `lock.mdb` have room on the disk for all that it will hold. LMDB leaves it as a hole that
/// is written to through memory: on a disk that is full that would end the process.
pub(super) fn allocate_lock_file(path: &Path, mode: u32) -> Result<(), OpenError> {
    let path = path.join("lock.mdb");
    let allocate = || -> io::Result<()> {
        let file = writable(mode).open(&path)?;
        // One that is there may be in use by others, who know its size.
        let bytes = match file.metadata()?.len() {
            0 => LOCK_BYTES,
            bytes => bytes,
        };
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // Where the file system cannot do it, it is as it always was.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            done => Ok(done?),
        }
    };
    allocate().map_err(|source| OpenError::Io {
        what: "cannot make room for",
        path: path.clone(),
        source,
    })
}

/// Empties the file of a store that was only begun.
pub(super) fn clear(path: &Path) -> Result<(), OpenError> {
    let path = path.join("data.mdb");
    let cleared = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file.set_len(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    cleared.map_err(|source| OpenError::Io {
        what: "cannot begin",
        path,
        source,
    })
}

fn writable(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode);
    options
}

/// Gives the files the permissions that are configured, whatever the process's mask: whoever may
/// read the data must be able to write to LMDB's lock file, in which readers are noted.
pub(super) fn set_modes(path: &Path, mode: u32) -> Result<(), OpenError> {
    let lock = mode | (mode & 0o444) >> 1;
    for (name, mode) in [("data.mdb", mode), ("lock.mdb", lock)] {
        let path = path.join(name);
        let set = std::fs::set_permissions(&path, Permissions::from_mode(mode));
        set.map_err(|source| OpenError::Io {
            what: "cannot set the permissions of",
            path,
            source,
        })?;
    }
    Ok(())
}

/// Makes what was created in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| OpenError::Io {
        what: "cannot sync",
        path: path.to_owned(),
        source,
    })
}

/// Takes the folder for this store alone. LMDB itself lets any number of processes write, as
/// Crossbar may do beside us; two of ours would give out the same sequences.
pub(super) fn lock(folder: &Path, mode: u32) -> Result<File, OpenError> {
    let path = folder.join("rewamp.lock");
    let failed = |source| OpenError::Io {
        what: "cannot lock",
        path: path.clone(),
        source,
    };
    let file = writable(mode).open(&path).map_err(failed)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::park_timeout(LOCK_PATIENCE / 50);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse {
                    path: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}
