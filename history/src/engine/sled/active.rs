//! The sled database that the newest segment grows in. Everything that sled does happens in
//! here, behind `catch_unwind`: whatever it meets on disk, the node lives on. A database is
//! written by the process that created it and never opened again: after a restart its blocks are
//! read from the file (`scan.rs`), which forgives damage that sled does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::head::Head;
use super::piece;
use super::recent::Recent;
use super::segment::{Buffer, Fault, Shared};
use crate::error::StoreError;
use crate::event::Sequence;

/// What the `seg` file begins with; it is written last, when the database is durably there.
pub(super) const SEG_MAGIC: [u8; 8] = *b"RWMPSEGM";

/// An open database.
pub(super) struct Db {
    db: Option<sled::Db>,
    /// Its log, to sync it ourselves: sled's own flush only starts the writing.
    file: File,
    folder: PathBuf,
    recent: Recent,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Db").field(&self.folder).finish()
    }
}

impl Db {
    /// Creates the database in a new folder, durably, with `cache` bytes of memory.
    pub(super) fn create(
        disk: &Disk,
        folder: &Path,
        head: &Head,
        cache: u64,
    ) -> Result<Self, StoreError> {
        disk.create_folder(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None);
        let db = guard("cannot create", folder, || config.open())?;
        guard("cannot flush", folder, || db.flush())?;
        let log = folder.join("db");
        let file = disk.open(&log)?;
        disk.sync_file(&log)?;
        disk.sync_file(&folder.join("conf"))?;
        let seg = folder.join("seg");
        let mut seg_file = disk.create(&seg)?;
        disk.write(&seg, &mut seg_file, &head.encode(SEG_MAGIC))?;
        disk.sync(&seg, &seg_file)?;
        disk.sync_folder(folder)?;
        Ok(Self {
            db: Some(db),
            file,
            folder: folder.to_owned(),
            recent: Recent::default(),
        })
    }

    /// Puts a block in, in pieces where it is large. Durable after [`Self::flush`].
    pub(super) fn put(
        &self,
        first: Sequence,
        block: &[u8],
        piece_mark: [u8; 8],
        piece_buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let put = self.run("cannot write", |db| {
            if block.len() <= piece::MAX_VALUE {
                return db.insert(block_key(first), block).map(drop);
            }
            for (content, index) in block.chunks(piece::CONTENT).zip(0..) {
                piece::encode(piece_buffer, piece_mark, first, index, block.len(), content);
                db.insert(piece_key(first, index), piece_buffer.as_slice())?;
            }
            Ok(())
        });
        put.inspect(|()| self.recent.keep(first, block))
    }

    /// Hands everything to the system, and, if `sync`, waits until it is on disk.
    pub(super) fn flush(&self, disk: &Disk, sync: bool) -> Result<(), StoreError> {
        self.run("cannot flush", |db| db.flush())?;
        if sync {
            disk.sync(&self.folder.join("db"), &self.file)?;
        }
        Ok(())
    }

    /// Reads a block of `length` bytes into `buffer`.
    pub(super) fn block(
        &self,
        first: Sequence,
        length: u32,
        buffer: &mut Buffer,
    ) -> Result<(), Fault> {
        if let Some(block) = self.recent.get(first, buffer.near()) {
            buffer.share(Shared::Kept(block));
            return Ok(());
        }
        let get = |key: &[u8]| {
            let found = self.run("cannot read", |db| db.get(key));
            found.map_err(|error| Fault::Failed(error.to_string(), io::ErrorKind::Other))
        };
        if length as usize <= piece::MAX_VALUE {
            let block = get(&block_key(first))?.ok_or(Fault::Damaged)?;
            buffer.share(Shared::Sled(block));
            return Ok(());
        }
        let bytes = buffer.room(0);
        for index in 0..piece::count(length as usize) {
            let piece = get(&piece_key(first, index as u32))?.ok_or(Fault::Damaged)?;
            bytes.extend_from_slice(piece.get(piece::HEADER..).ok_or(Fault::Damaged)?);
        }
        if bytes.len() == length as usize {
            Ok(())
        } else {
            Err(Fault::Damaged)
        }
    }

    /// A block that is in memory, as [`Recent::get`].
    pub(super) fn kept(&self, first: Sequence, near: &mut usize) -> Option<Arc<[u8]>> {
        self.recent.get(first, near)
    }

    /// Bytes of its log, in length or in blocks, whichever is more.
    pub(super) fn size(&self) -> u64 {
        let metadata = self.file.metadata();
        metadata.map_or(0, |metadata| metadata.len().max(metadata.blocks() * 512))
    }

    fn run<T>(
        &self,
        what: &'static str,
        operation: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        let Some(db) = &self.db else {
            return Err(StoreError::Closed);
        };
        guard(what, &self.folder, || operation(db))
    }
}

/// Closing flushes, which may fail or panic like everything else.
impl Drop for Db {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            log::error!(folder:? = self.folder; "sled panicked while closing");
        }
    }
}

fn guard<T>(
    what: &'static str,
    folder: &Path,
    operation: impl FnOnce() -> sled::Result<T>,
) -> Result<T, StoreError> {
    let path = || folder.to_owned();
    // Nothing that a panic could have left half done is used again: a segment in which
    // an operation failed gets no further events.
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::Io {
            what,
            path: path(),
            reason: error.to_string(),
            kind: error.kind(),
        }),
        Ok(Err(error)) => Err(StoreError::Engine {
            what,
            path: path(),
            reason: error.to_string(),
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let reason = format!("sled panicked: {}", text.unwrap_or("no text"));
            Err(StoreError::Engine {
                what,
                path: path(),
                reason,
            })
        }
    }
}

/// `E`, first sequence, big-endian.
fn block_key(first: Sequence) -> [u8; 9] {
    let mut key = [b'E'; 9];
    key[1..].copy_from_slice(&first.get().to_be_bytes());
    key
}

/// `C`, first sequence, piece, big-endian.
fn piece_key(first: Sequence, index: u32) -> [u8; 13] {
    let mut key = [b'C'; 13];
    key[1..9].copy_from_slice(&first.get().to_be_bytes());
    key[9..].copy_from_slice(&index.to_be_bytes());
    key
}
