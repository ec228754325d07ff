//! A store is written anew without what is free in it, which LMDB never gives back, and with it go
//! the bytes of what was dropped and purged. Nobody may have it open; whoever comes meanwhile waits.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};

use super::begin::{look, open_error};
use super::folder::{lock, sync_folder};
use super::foreign::Source;
use super::lmdb::{Env, LmdbError, Options};
use super::pages::Pages;
use super::sniff::Sniffed;
use super::state::Progress;
use super::tables::Tables;
use crate::error::OpenError;

/// Where the new file stands until it is whole: in the folder, so that it is on the same disk.
pub(super) const DRAFT: &str = "compact.draft";

/// Rows and bytes that are written in one transaction.
const ROWS: usize = 10_000;
const BYTES: usize = 8 << 20;

/// What a store took, and takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file now.
    pub after: u64,
}

/// Compacts the store in a folder; `tell` hears of every row, with how many there are.
pub(crate) fn compact(folder: &Path, tell: &mut dyn FnMut(u64)) -> Result<Compacted, OpenError> {
    if look(folder)? == Sniffed::Nothing {
        let path = folder.to_owned();
        return Err(OpenError::NoStore { path });
    }
    let file = folder.join("data.mdb");
    let failed = |what: &'static str| {
        let path = file.clone();
        move |source| OpenError::Io { what, path, source }
    };
    let old = std::fs::metadata(&file).map_err(failed("cannot read"))?;
    let _ours = lock(folder, old.mode() & 0o777)?;
    let _lmdbs = lock_lmdb(folder, old.mode() & 0o777)?;
    let source = Source::open(folder).map_err(|error| open_error(folder, error))?;
    if source
        .has_odd_keys()
        .map_err(|error| open_error(folder, error))?
    {
        return Err(OpenError::Unfit {
            path: folder.to_owned(),
            why: "others have written keys of odd length into it, which this version of LMDB \
                  cannot write safely"
                .to_owned(),
        });
    }
    let draft = folder.join(DRAFT);
    remove_draft(folder).map_err(failed("cannot remove what an earlier attempt has left of"))?;
    std::fs::create_dir(&draft).map_err(failed("cannot write anew"))?;
    let written = write_anew(&file, &source, &draft, tell);
    let placed = written
        .map_err(|error| open_error(folder, error))
        .and_then(|()| put_in_place(&draft, folder, &old).map_err(failed("cannot replace")));
    let removed = remove_draft(folder);
    placed?;
    removed.map_err(failed("cannot remove the draft of"))?;
    let new = std::fs::metadata(&file).map_err(failed("cannot read"))?;
    Ok(Compacted {
        before: old.len(),
        after: new.len(),
    })
}

/// Removes what an attempt has left that was killed.
pub(super) fn remove_draft(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder.join(DRAFT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes the lock that LMDB takes of a file which nobody else has open, as whoever opens it does
/// first: readers and writers of all processes, Python's and Crossbar's too. Those who come
/// meanwhile wait for it.
fn lock_lmdb(folder: &Path, mode: u32) -> Result<File, OpenError> {
    let path = folder.join("lock.mdb");
    let failed = |source| OpenError::Io {
        what: "cannot lock",
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(mode | (mode & 0o444) >> 1);
    let file = options.open(&path).map_err(failed)?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

/// Writes all rows into a file of their own.
fn write_anew(
    file: &Path,
    source: &Source,
    draft: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<(), LmdbError> {
    let pages = Pages::open(file)?;
    let is_ours = source.is_ours()?;
    let options = Options {
        map: source.bytes.next_multiple_of(4_096) + (64 << 20),
        readonly: false,
        mode: 0o600,
        sync: false,
    };
    let env = Env::open(draft, options)?.never_synced()?;
    let mut txn = Some(env.write()?);
    let (mut all, mut rows, mut bytes) = (0, 0, 0);
    pages.each(b"", &mut |key, value| {
        if (rows == ROWS || bytes > BYTES)
            && let Some(full) = txn.take()
        {
            full.commit()?;
            (rows, bytes, txn) = (0, 0, Some(env.write()?));
        }
        (all, rows, bytes) = (all + 1, rows + 1, bytes + key.len() + value.len());
        tell(pages.rows);
        let txn = txn.as_mut().ok_or(LmdbError::DAMAGED)?;
        // They come in order, or the file is not sound.
        txn.append(key, value)?
            .then_some(())
            .ok_or(LmdbError::DAMAGED)
    })?;
    if let Some(last) = txn {
        last.commit()?;
    }
    if all != pages.rows || !pages.is_unchanged()? {
        return Err(LmdbError::DAMAGED);
    }
    if is_ours {
        // Transactions are counted anew: that nobody else has written since is said anew.
        let mut txn = env.write()?;
        let tables = Tables::find(&txn)?.ok_or(LmdbError::DAMAGED)?;
        let mut progress = Progress::read(&txn, &tables)?;
        progress.write(&mut txn, &tables)?;
        txn.commit()?;
    }
    env.sync()
}

/// Puts the new file in the place of the old one, with the owner and the permissions that it had.
fn put_in_place(draft: &Path, folder: &Path, old: &std::fs::Metadata) -> io::Result<()> {
    let path = draft.join("data.mdb");
    let new = File::open(&path)?;
    let now = new.metadata()?;
    if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(&new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    new.sync_all()?;
    std::fs::rename(&path, folder.join("data.mdb"))?;
    sync_folder(folder).map_err(io::Error::other)
}
