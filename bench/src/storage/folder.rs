//! How large a folder is, also while somebody works in it.

use super::Done;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long nobody looks, at most.
const PAUSE: Duration = Duration::from_millis(1);
/// So many looks at a folder in which nothing happens, 10 ms apart, find the same.
const STILL: u32 = 10;
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a block, as the file system counts them.
const BLOCK: u64 = 512;

/// What somebody who looks at a folder all the time has seen.
#[derive(Debug)]
pub(super) struct Watch {
    over: AtomicBool,
    looks: AtomicU64,
    smallest: AtomicU64,
    largest: AtomicU64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            over: AtomicBool::new(false),
            looks: AtomicU64::new(0),
            smallest: AtomicU64::new(u64::MAX),
            largest: AtomicU64::new(0),
        }
    }
}

impl Watch {
    /// Looks at `folder` until `end`. For a thread of its own.
    pub(super) fn run(&self, folder: &Path) -> io::Result<()> {
        while !self.over.load(Ordering::Relaxed) {
            let bytes = size(folder)?;
            self.smallest.fetch_min(bytes, Ordering::Relaxed);
            self.largest.fetch_max(bytes, Ordering::Relaxed);
            self.looks.fetch_add(1, Ordering::Relaxed);
            thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// The smallest counts from now on.
    pub(super) fn forget_smallest(&self) {
        self.smallest.store(u64::MAX, Ordering::Relaxed);
    }

    /// Nobody looks any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Looks, smallest and largest.
    pub(super) fn seen(&self) -> (u64, u64, u64) {
        let [looks, smallest, largest] = [&self.looks, &self.smallest, &self.largest]
            .map(|number| number.load(Ordering::Relaxed));
        (looks, smallest, largest)
    }
}

/// Waits until nothing changes in `folder` any more.
pub(super) fn settle(folder: &Path) -> Done {
    let begin = Instant::now();
    let (mut before, mut same) = (size(folder)?, 0);
    while same < STILL {
        if begin.elapsed() > PATIENCE {
            return Err("the folder never stops changing".into());
        }
        thread::park_timeout(10 * PAUSE);
        let now = size(folder)?;
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

/// Bytes of all files below `folder`: of each its length or what it occupies, whichever is more.
/// What is deleted meanwhile counts as nothing.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let entries = match fs::read_dir(folder) {
        Err(error) if gone(&error) => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path())?,
            Ok(found) => found.len().max(found.blocks() * BLOCK),
            Err(error) if gone(&error) => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_its_files_and_those_below() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        assert_eq!(size(folder.path()).unwrap(), 0);
        fs::write(below.join("c"), [1; 100_000]).unwrap();
        fs::write(folder.path().join("d"), [1; 10]).unwrap();
        let bytes = size(folder.path()).unwrap();
        assert!((100_010..110_000).contains(&bytes), "{bytes}");
        assert_eq!(size(&folder.path().join("none")).unwrap(), 0);
    }

    #[test]
    fn a_watch_sees_the_largest_and_the_smallest() {
        let folder = tempfile::tempdir().unwrap();
        let (watch, path) = (Watch::default(), folder.path().join("file"));
        thread::scope(|scope| {
            let watching = scope.spawn(|| watch.run(folder.path()));
            let looks = |more| {
                let before = watch.seen().0;
                while watch.seen().0 < before + more {
                    thread::park_timeout(PAUSE);
                }
            };
            fs::write(&path, [1; 50_000]).unwrap();
            looks(2);
            fs::remove_file(&path).unwrap();
            looks(2);
            watch.end();
            watching.join().unwrap().unwrap();
        });
        let (_, smallest, largest) = watch.seen();
        assert!(smallest == 0 && largest >= 50_000, "{watch:?}");
    }
}
