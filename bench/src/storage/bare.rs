//! The least that any store could do: a commit's bytes appended to a file, with one fdatasync. And
//! the least that a bounded one could: such files, copied and removed beside the commits.

use super::Done;
use super::plan::SIZE;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where the file begins anew, in bytes: a longer one would only fill the disk.
const LONGEST: u64 = 256 << 20;
/// Bytes of it that are given back at once: what is compared with it is not to feel that.
const STRIDE: u64 = 2 << 20;
/// Bytes of a copy between two syncs.
const COPIED: usize = 1 << 20;

/// A file that is appended to.
pub(super) struct Bare {
    file: File,
    path: PathBuf,
    bytes: Vec<u8>,
    written: u64,
}

impl Bare {
    /// Of `batch` events a commit.
    pub(super) fn begin(path: &Path, batch: usize) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            path: path.to_owned(),
            bytes: vec![b'x'; SIZE * batch],
            written: 0,
        })
    }

    /// One commit; how long it took.
    pub(super) fn append(&mut self) -> io::Result<Duration> {
        if self.written > LONGEST {
            self.begin_anew()?;
        }
        let begin = Instant::now();
        self.file.write_all(&self.bytes)?;
        self.file.sync_data()?;
        self.written += self.bytes.len() as u64;
        Ok(begin.elapsed())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        while self.written > 0 {
            self.written = self.written.saturating_sub(STRIDE);
            self.file.set_len(self.written)?;
            thread::park_timeout(Duration::from_millis(1));
        }
        self.file = File::create(&self.path)?;
        self.file.sync_all()
    }
}

/// A bounded store of bare files: commits are appended to a log; a full log is followed by the
/// next, and a thread copies it, synced as it goes, then removes it and the oldest copy. Without
/// index and checksum: nothing can be found in it.
pub(super) struct BareStore {
    folder: PathBuf,
    batch: usize,
    /// Bytes of a log.
    segment: u64,
    log: Bare,
    number: u64,
    /// `None` when it ends.
    full: Option<Sender<u64>>,
    copied: Receiver<io::Result<()>>,
    keeper: Option<JoinHandle<()>>,
    under_way: bool,
}

impl BareStore {
    /// Logs of `segment` bytes, and as many copies besides as make `most` bytes with them.
    pub(super) fn begin(folder: &Path, batch: usize, segment: u64, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let (full, told) = channel();
        let (answer, copied) = channel();
        let (path, kept) = (folder.to_owned(), (most / segment).saturating_sub(2));
        let keeper = thread::spawn(move || {
            for number in told {
                if answer.send(copy(&path, number, kept)).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            folder: folder.to_owned(),
            batch,
            segment,
            log: Bare::begin(&log_path(folder, 0), batch)?,
            number: 0,
            full: Some(full),
            copied,
            keeper: Some(keeper),
            under_way: false,
        })
    }

    /// One commit; how long it took. To begin another log, and to wait for the copy of the one
    /// before, is not in it.
    pub(super) fn append(&mut self) -> Done<Duration> {
        if self.log.written >= self.segment {
            self.quiet()?;
            if let Some(full) = &self.full {
                full.send(self.number)?;
                self.under_way = true;
            }
            self.number += 1;
            let path = log_path(&self.folder, self.number);
            self.log = Bare::begin(&path, self.batch)?;
        }
        Ok(self.log.append()?)
    }

    /// Waits until there is nothing to copy or to remove.
    pub(super) fn quiet(&mut self) -> Done {
        if std::mem::take(&mut self.under_way) {
            self.copied.recv()??;
        }
        Ok(())
    }
}

impl Drop for BareStore {
    fn drop(&mut self) {
        self.full = None;
        // It says itself what it could not do.
        let _ = self.keeper.take().map(JoinHandle::join);
    }
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.log"))
}

fn copy_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.copy"))
}

fn copy(folder: &Path, number: u64, kept: u64) -> io::Result<()> {
    let (log, copy) = (log_path(folder, number), copy_path(folder, number));
    let draft = copy.with_extension("draft");
    let (mut from, mut to) = (File::open(&log)?, File::create(&draft)?);
    let mut bytes = vec![0; COPIED];
    loop {
        let read = from.read(&mut bytes)?;
        let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) else {
            break;
        };
        to.write_all(read)?;
        to.sync_data()?;
    }
    fs::rename(&draft, &copy)?;
    File::open(folder)?.sync_all()?;
    fs::remove_file(&log)?;
    match number.checked_sub(kept) {
        Some(oldest) => fs::remove_file(copy_path(folder, oldest)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_store_keeps_the_newest_and_stays_within_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let most = 10 * 4_000;
        let mut store = BareStore::begin(folder.path(), 10, 4_000, most).unwrap();
        for _ in 0..100 {
            store.append().unwrap();
        }
        store.quiet().unwrap();
        let size = super::super::folder::size(folder.path()).unwrap();
        assert!((most / 2..=2 * most).contains(&size), "{size}");
        let copies = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(copies, 9, "eight copies and the log");
    }
}
