//! The least that any store could do: a commit's bytes appended to a file, with one fdatasync.

use super::plan::SIZE;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Where the file begins anew, in bytes: a longer one would only fill the disk.
const LONGEST: u64 = 256 << 20;

/// A file that is appended to.
pub(super) struct Bare {
    file: File,
    bytes: Vec<u8>,
    written: u64,
}

impl Bare {
    /// Of `batch` events a commit.
    pub(super) fn begin(path: &Path, batch: usize) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            bytes: vec![b'x'; SIZE * batch],
            written: 0,
        })
    }

    /// One commit; how long it took.
    pub(super) fn append(&mut self) -> io::Result<Duration> {
        if self.written > LONGEST {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.sync_all()?;
            self.written = 0;
        }
        let begin = Instant::now();
        self.file.write_all(&self.bytes)?;
        self.file.sync_data()?;
        self.written += self.bytes.len() as u64;
        Ok(begin.elapsed())
    }
}
