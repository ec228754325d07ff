//! The keeper's part of giving space back: what is of no use any more is removed, and what a
//! failing disk does not let go is tried again. Until it is gone nothing else is dropped, or a
//! disk that removes nothing would cost the whole history.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, Done};
use super::keeper::Keeper;
use super::seal::bad_path;
use super::segment::Segment;
use crate::error::StoreError;

/// Between two strides of what is removed: long enough for a commit to get to the disk.
const PAUSE: Duration = Duration::from_millis(1);

/// What is to leave the folder, or its name, as soon as the disk lets it.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Removed: a file, or a folder with all in it.
    Gone(PathBuf),
    /// Damaged: set aside.
    Aside(PathBuf),
}

impl Leaving {
    fn of(segment: &Segment) -> Self {
        match segment.damaged {
            true => Self::Aside(segment.path.clone()),
            false => Self::Gone(segment.path.clone()),
        }
    }

    fn attempt(&mut self, disk: &Disk, pause: &mut dyn FnMut()) -> Done {
        match self {
            Self::Aside(path) if path.exists() => disk.rename(path, &bad_path(path)),
            Self::Aside(_) => Ok(()),
            Self::Gone(path) => {
                if path.is_dir() && path.extension().is_some_and(|kind| kind == "active") {
                    // Renamed first, so that a crash in the middle leaves nothing that looks alive.
                    let trash = path.with_extension("trash");
                    let renamed = disk.rename(path, &trash);
                    // It may have its new name, and only the sync after that have failed.
                    if !path.exists() {
                        *path = trash;
                    }
                    renamed?;
                }
                disk.remove_slowly(path, pause)
            }
        }
    }
}

impl Keeper {
    /// Between two strides: lets commits get to the disk, unless one waits for what is done here.
    fn between_strides(&mut self) {
        self.prepare_between();
        let keeping = self.shared.keeping.lock();
        let is_awaited = keeping.waits || keeping.closing || keeping.order.waits();
        drop(keeping);
        if !is_awaited {
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Removes a file or folder, now or later.
    pub(super) fn discard(&mut self, path: &Path) -> Result<(), StoreError> {
        self.let_go(Leaving::Gone(path.to_owned()))
    }

    fn let_go(&mut self, mut leaving: Leaving) -> Result<(), StoreError> {
        let disk = self.shared.disk.clone();
        let attempted = leaving.attempt(&disk, &mut || self.between_strides());
        if attempted.is_err() {
            self.leaving.push(leaving);
        }
        Ok(attempted?)
    }

    /// Tries again what did not go; all of it, whatever fails.
    pub(super) fn let_all_go(&mut self) -> Result<(), StoreError> {
        let mut result = Ok(());
        for leaving in std::mem::take(&mut self.leaving) {
            let attempted = self.let_go(leaving);
            result = result.and(attempted);
        }
        result
    }

    /// Removes the files of sealed databases at once: who reads there reads on, since his files
    /// are open.
    pub(super) fn remove_retired_now(&mut self) -> Result<(), StoreError> {
        let mut result = Ok(());
        for segment in self.retired.clone() {
            if segment.path.is_dir() {
                let attempted = self.let_go(Leaving::of(&segment));
                result = result.and(attempted);
            }
        }
        result
    }

    /// Removes sealed databases that nobody reads any more.
    pub(super) fn remove_retired(&mut self) -> Result<(), StoreError> {
        let (idle, busy): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|segment| Arc::strong_count(segment) == 1);
        self.retired = busy;
        let mut result = Ok(());
        for segment in idle {
            let attempted = self.remove_database(segment);
            result = result.and(attempted);
        }
        result
    }

    fn remove_database(&mut self, segment: Arc<Segment>) -> Result<(), StoreError> {
        let (leaving, path) = (Leaving::of(&segment), segment.path.clone());
        // Closes it.
        drop(segment);
        if !path.is_dir() {
            return Ok(()); // gone already, or a damaged sealed file, which made place
        }
        self.let_go(leaving)
    }
}
