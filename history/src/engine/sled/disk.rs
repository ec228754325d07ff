//! The file operations of a store, in one place, so that each has an error that names the file
//! and so that a test can let the k-th fail. sled's own operations cannot be reached from here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{OpenError, StoreError};

/// The file system, or in tests one that fails.
#[derive(Clone, Default)]
pub(super) struct Disk {
    /// Asked before each operation that changes something.
    fault: Option<Arc<Fault>>,
    /// Nothing may be changed: whatever tries is refused, so that no path was overlooked.
    readonly: bool,
}

type Fault = dyn Fn(&'static str, &Path) -> io::Result<()> + Send + Sync;

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.fault.is_some() {
            "Disk(failing)"
        } else {
            "Disk"
        })
    }
}

/// Bytes of a file that are given back at once. 2 MiB: where a file of 64 MiB goes at once, ext4
/// was measured to keep a sync beside it waiting for 12 to 25 ms; this way for 1 ms.
const STRIDE: u64 = 2 << 20;

/// An operation that failed.
#[derive(Debug)]
pub(super) struct DiskError {
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl From<DiskError> for OpenError {
    fn from(DiskError { what, path, source }: DiskError) -> Self {
        Self::Io { what, path, source }
    }
}

impl From<DiskError> for StoreError {
    fn from(DiskError { what, path, source }: DiskError) -> Self {
        Self::Io {
            what,
            path,
            reason: source.to_string(),
            kind: source.kind(),
        }
    }
}

/// The folder that a name stands in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

pub(super) type Done<T = ()> = Result<T, DiskError>;

impl Disk {
    /// A disk on which nothing is changed.
    pub(super) fn readonly() -> Self {
        Self {
            fault: None,
            readonly: true,
        }
    }

    /// Whether nothing may be changed.
    pub(super) fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// A disk on which `fault` decides whether an operation fails.
    #[cfg(test)]
    pub(super) fn failing(
        fault: impl Fn(&'static str, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            fault: Some(Arc::new(fault)),
            readonly: false,
        }
    }

    fn run<T>(
        &self,
        what: &'static str,
        path: &Path,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> Done<T> {
        let allowed = match &self.fault {
            _ if self.readonly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Some(fault) => fault(what, path),
            None => Ok(()),
        };
        allowed
            .and_then(|()| operation())
            .map_err(|source| DiskError {
                what,
                path: path.to_owned(),
                source,
            })
    }

    /// Creates a folder and its parents where missing, durably: what is synced below a name that
    /// is not would be lost with it.
    pub(super) fn create_folder(&self, path: &Path) -> Done {
        if path.is_dir() {
            return Ok(());
        }
        let parent = parent(path);
        self.create_folder(parent)?;
        self.run("cannot create", path, || match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        })?;
        self.sync_folder(parent)
    }

    /// Makes what was created, renamed or removed in a folder durable.
    pub(super) fn sync_folder(&self, path: &Path) -> Done {
        self.run("cannot sync", path, || File::open(path)?.sync_all())
    }

    /// Makes a file's content durable.
    pub(super) fn sync_file(&self, path: &Path) -> Done {
        self.run("cannot sync", path, || File::open(path)?.sync_all())
    }

    /// Makes what was written through `file` durable.
    pub(super) fn sync(&self, path: &Path, file: &File) -> Done {
        self.run("cannot sync", path, || file.sync_data())
    }

    /// A new file to write, empty even if it was there; shown as read.
    pub(super) fn create(&self, path: &Path) -> Done<File> {
        let created = self.run("cannot create", path, || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
        });
        created.inspect(show_as_read)
    }

    /// A file to read and to write, created where missing.
    pub(super) fn open_or_create(&self, path: &Path) -> Done<File> {
        self.run("cannot open", path, || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        })
    }

    /// A file to read, shown as such to whoever removes it meanwhile.
    pub(super) fn open(&self, path: &Path) -> Done<File> {
        let source = File::open(path).inspect(show_as_read);
        source.map_err(|source| DiskError {
            what: "cannot open",
            path: path.to_owned(),
            source,
        })
    }

    /// Appends to a file.
    pub(super) fn write(&self, path: &Path, file: &mut File, bytes: &[u8]) -> Done {
        self.run("cannot write", path, || file.write_all(bytes))
    }

    /// Overwrites a part of a file.
    pub(super) fn write_at(&self, path: &Path, file: &File, bytes: &[u8], at: u64) -> Done {
        self.run("cannot write", path, || file.write_all_at(bytes, at))
    }

    /// Puts a whole file in the place of another, durably: whoever opens it finds the old or the
    /// new content.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Done {
        let draft = path.with_extension("tmp");
        let mut file = self.create(&draft)?;
        self.write(&draft, &mut file, bytes)?;
        self.sync(&draft, &file)?;
        self.rename(&draft, path)
    }

    /// Renames within one folder, durably.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Done {
        self.run("cannot rename", from, || fs::rename(from, to))?;
        self.sync_folder(parent(to))
    }

    /// Removes a file or a folder with all in it; none is fine.
    pub(super) fn remove(&self, path: &Path) -> Done {
        self.run("cannot remove", path, || {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        })
    }

    /// The same beside somebody who commits: what is large, and read by nobody, gives its space
    /// back stride by stride, with `pause` between them.
    pub(super) fn remove_slowly(&self, path: &Path, pause: &mut dyn FnMut()) -> Done {
        self.run("cannot remove", path, || {
            let removed = if path.is_dir() {
                let removed = fs::read_dir(path)?.try_for_each(|entry| {
                    let entry = entry?;
                    match entry.file_type()?.is_file() {
                        true => remove_in_strides(&entry.path(), pause),
                        false => Ok(()),
                    }
                });
                removed.and_then(|()| fs::remove_dir_all(path))
            } else {
                remove_in_strides(path, pause)
            };
            match removed {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        })
    }

    /// The content of a file, or `None` if there is none.
    pub(super) fn read(&self, path: &Path) -> Done<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError {
                what: "cannot read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The names in a folder that are text, sorted.
    pub(super) fn list(&self, path: &Path) -> Done<Vec<String>> {
        let names = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
            let mut names: Vec<String> = entries
                .iter()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect();
            names.sort_unstable();
            Ok(names)
        };
        names().map_err(|source| DiskError {
            what: "cannot list",
            path: path.to_owned(),
            source,
        })
    }

    /// Bytes of a file, or of all in a folder and below; 0 without it. Whichever is larger of
    /// length and space taken.
    pub(super) fn size(&self, path: &Path) -> u64 {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return 0;
        };
        if !metadata.is_dir() {
            return metadata.len().max(metadata.blocks() * 512);
        }
        let Ok(entries) = fs::read_dir(path) else {
            return 0;
        };
        entries
            .flatten()
            .map(|entry| self.size(&entry.path()))
            .sum()
    }
}

/// Whoever removes a file must not take its content from those who read there, in this process or
/// another: it is locked together with all of them as long as it is open. Where that is not
/// possible (sled has locked its own file) the content goes at once, with the last who has it open.
fn show_as_read(file: &File) {
    let _ = file.try_lock_shared();
}

/// Removes a file, and gives its space back in strides, unless it is read, or has another name.
fn remove_in_strides(path: &Path, pause: &mut dyn FnMut()) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path).ok();
    fs::remove_file(path)?;
    let Some(file) = file else { return Ok(()) };
    let metadata = file.metadata()?;
    if metadata.nlink() > 0 || file.try_lock().is_err() {
        return Ok(());
    }
    let mut left = metadata.len();
    while left > STRIDE {
        left -= STRIDE;
        // Where that fails, the rest goes with the file.
        if file.set_len(left).is_err() {
            break;
        }
        pause();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 9 << 20;

    fn removed(path: &Path) -> u32 {
        let mut strides = 0;
        Disk::default()
            .remove_slowly(path, &mut || strides += 1)
            .unwrap();
        assert!(!path.exists());
        strides
    }

    #[test]
    fn what_is_large_goes_in_strides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, vec![1; LARGE]).unwrap();
        assert_eq!(removed(&file), 4);
        fs::write(&file, [1; 100]).unwrap();
        assert_eq!(removed(&file), 0);
        assert_eq!(removed(&file), 0, "it is gone already");
        let below = folder.path().join("folder");
        fs::create_dir_all(below.join("empty")).unwrap();
        fs::write(below.join("db"), vec![1; LARGE]).unwrap();
        assert_eq!(removed(&below), 4);
    }

    #[test]
    fn who_reads_a_file_reads_on_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, disk) = (folder.path().join("file"), Disk::default());
        let mut written = disk.create(&path).unwrap();
        disk.write(&path, &mut written, &vec![7; LARGE]).unwrap();
        let read = disk.open(&path).unwrap();
        drop(written);
        assert_eq!(removed(&path), 0);
        let mut end = [0; 3];
        read.read_exact_at(&mut end, LARGE as u64 - 3).unwrap();
        assert_eq!(end, [7; 3]);
    }

    #[test]
    fn a_file_with_another_name_keeps_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let [path, copy] = ["file", "copy"].map(|name| folder.path().join(name));
        fs::write(&path, vec![1; LARGE]).unwrap();
        fs::hard_link(&path, &copy).unwrap();
        assert_eq!(removed(&path), 0);
        assert_eq!(fs::metadata(&copy).unwrap().len(), LARGE as u64);
    }
}
