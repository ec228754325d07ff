//! LMDB as it is used here: one environment, its unnamed database, transactions and cursors whose
//! values cannot outlive them. With `lmdb/txn.rs` the one place that calls C. Knows no rows.

#![expect(
    unsafe_code,
    reason = "LMDB is a C library; each block says why it may be called so"
)]

mod txn; // transactions and cursors

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use lmdb_master3_sys as c;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};

pub(super) use self::txn::{Cursor, Row, Txn, WriteTxn};

/// Reading transactions at the same time, of all processes: what zlmdb asks for, too.
const MAX_READERS: c_uint = 126;

/// The longest key that LMDB takes, in bytes.
pub(super) const MAX_KEY: usize = 510;

/// What the system says of a path with a NUL in it.
const EINVAL: c_int = 22;

/// What it says of a disk that fails in a way that has no number.
const EIO: c_int = 5;

/// And of what is in use.
const EBUSY: c_int = 16;

/// What LMDB or the system said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LmdbError(c_int);

impl LmdbError {
    /// What is in the file is not what is expected there.
    pub(super) const DAMAGED: Self = Self(c::MDB_CORRUPTED);
    /// No page is left within the map.
    pub(super) const MAP_FULL: Self = Self(c::MDB_MAP_FULL);
    /// All places for readers are taken.
    pub(super) const READERS_FULL: Self = Self(c::MDB_READERS_FULL);
    /// More pages were changed in one transaction than LMDB can note.
    pub(super) const TXN_FULL: Self = Self(c::MDB_TXN_FULL);
    /// Somebody else changes what is looked at.
    pub(super) const BUSY: Self = Self(EBUSY);
    const NOTFOUND: Self = Self(c::MDB_NOTFOUND);
    const KEYEXIST: Self = Self(c::MDB_KEYEXIST);
    const MAP_RESIZED: Self = Self(c::MDB_MAP_RESIZED);
    const PANIC: Self = Self(c::MDB_PANIC);

    fn check(code: c_int) -> Result<(), Self> {
        match code {
            c::MDB_SUCCESS => Ok(()),
            code => Err(Self(code)),
        }
    }

    /// What the system said.
    pub(super) fn of_io(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(EIO))
    }

    /// The error of the system that it is, if it is one.
    pub(super) fn io(self) -> Option<io::Error> {
        (self.0 > 0).then(|| io::Error::from_raw_os_error(self.0))
    }
}

impl fmt::Display for LmdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.io() {
            return error.fmt(f);
        }
        // SAFETY: for codes of its own it returns a text that is never freed.
        let text = unsafe { CStr::from_ptr(c::mdb_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

impl std::error::Error for LmdbError {}

type Done<T = ()> = Result<T, LmdbError>;

/// How an environment is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Bytes that the file may have, a multiple of the page; 0: as many as it has.
    pub(super) map: u64,
    /// Nothing is written.
    pub(super) readonly: bool,
    /// Permissions of the files where they are made.
    pub(super) mode: u32,
    /// A commit waits for the disk to have all of it, else for all but its last step: after a
    /// power cut the last commit may then be gone, and the file is whole.
    pub(super) sync: bool,
}

/// An open environment: the files of one folder.
pub(super) struct Env {
    folder: PathBuf,
    options: Options,
    /// Held by transactions, and wholly by who changes the map or opens the files anew.
    gate: RwLock<Option<Handle>>,
}

/// What LMDB knows an environment by, and its unnamed database.
struct Handle {
    raw: NonNull<c::MDB_env>,
    dbi: c::MDB_dbi,
}

// SAFETY: LMDB allows an environment to be used by any thread.
unsafe impl Send for Handle {}
// SAFETY: as above; what may not be done beside transactions waits for `gate`.
unsafe impl Sync for Handle {}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// What is known of an environment without looking into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnvInfo {
    /// Bytes that the file may have.
    pub(super) map: u64,
    /// Pages that the file has had.
    pub(super) pages: u64,
    /// The last transaction that was committed, by whatever process.
    pub(super) last_txn: u64,
}

/// A reading transaction that is under way somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReaderInfo {
    /// Its process.
    pub(super) pid: u32,
    /// What it sees: everything up to this transaction.
    pub(super) txn: u64,
}

/// The size of the database, in pages and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Bytes of a page.
    pub(super) page: u64,
    /// Levels of the tree.
    pub(super) depth: u64,
    /// Pages in use by rows.
    pub(super) pages: u64,
    /// Rows.
    pub(super) rows: u64,
}

impl Handle {
    fn open(folder: &Path, options: Options) -> Done<Self> {
        let path = CString::new(folder.as_os_str().as_bytes()).map_err(|_| LmdbError(EINVAL))?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a place for the handle.
        LmdbError::check(unsafe { c::mdb_env_create(&raw mut raw) })?;
        let raw = NonNull::new(raw).ok_or(LmdbError(c::MDB_PROBLEM))?;
        let mut handle = Self { raw, dbi: 0 };
        let map = usize::try_from(options.map).unwrap_or(usize::MAX);
        let mut flags = c::MDB_NOTLS;
        if options.readonly {
            flags |= c::MDB_RDONLY;
        } else if !options.sync {
            flags |= c::MDB_NOMETASYNC;
        }
        // SAFETY: the environment was made above and nobody else has it; `path` outlives the call.
        unsafe {
            if map > 0 {
                LmdbError::check(c::mdb_env_set_mapsize(raw.as_ptr(), map))?;
            }
            LmdbError::check(c::mdb_env_set_maxreaders(raw.as_ptr(), MAX_READERS))?;
            let opened = c::mdb_env_open(raw.as_ptr(), path.as_ptr(), flags, options.mode);
            LmdbError::check(opened)?;
        }
        handle.dbi = handle.open_unnamed()?;
        Ok(handle)
    }

    fn open_unnamed(&self) -> Done<c::MDB_dbi> {
        let txn = self.begin(c::MDB_RDONLY)?;
        let mut dbi = 0;
        // SAFETY: no name stands for the unnamed database, which always is there; the transaction
        // was just begun, and ends here.
        let opened = unsafe {
            let opened = c::mdb_dbi_open(txn.as_ptr(), ptr::null(), 0, &raw mut dbi);
            c::mdb_txn_abort(txn.as_ptr());
            opened
        };
        LmdbError::check(opened)?;
        Ok(dbi)
    }

    fn begin(&self, flags: c_uint) -> Done<NonNull<c::MDB_txn>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the environment is open; a thread has one writing transaction at most, since
        // a second one would wait for the first for ever, and reading ones are not bound to
        // threads (`MDB_NOTLS`).
        let begun =
            unsafe { c::mdb_txn_begin(self.raw.as_ptr(), ptr::null_mut(), flags, &raw mut raw) };
        LmdbError::check(begun)?;
        NonNull::new(raw).ok_or(LmdbError(c::MDB_PROBLEM))
    }

    fn sync(&self) -> Done {
        // SAFETY: the environment is open.
        LmdbError::check(unsafe { c::mdb_env_sync(self.raw.as_ptr(), 1) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: transactions hold the gate before it, so none is left; it is closed once.
        unsafe { c::mdb_env_close(self.raw.as_ptr()) }
    }
}

impl Env {
    /// Opens the files in a folder, and makes them where missing unless it is `readonly`.
    pub(super) fn open(folder: &Path, options: Options) -> Done<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            options,
            gate: RwLock::new(Some(Handle::open(folder, options)?)),
        })
    }

    /// The same environment, of which nothing is ever synced: for files that are of use to this
    /// process alone.
    pub(super) fn never_synced(self) -> Done<Self> {
        let handle = self.handle()?;
        // SAFETY: the environment is open, and no transaction is under way.
        LmdbError::check(unsafe { c::mdb_env_set_flags(handle.raw.as_ptr(), c::MDB_NOSYNC, 1) })?;
        drop(handle);
        Ok(self)
    }

    fn begin(&self, flags: c_uint) -> Done<Txn<'_>> {
        let mut cured = false;
        loop {
            let begun = self
                .handle()
                .and_then(|held| Ok((held.begin(flags)?, held)));
            match begun {
                Ok((raw, held)) => {
                    return Ok(Txn::begun(raw, held));
                }
                Err(LmdbError::MAP_RESIZED) if !cured => self.adopt_map_size()?,
                Err(LmdbError::PANIC) if !cured => self.reopen()?,
                Err(error) => return Err(error),
            }
            cured = true;
        }
    }

    fn handle(&self) -> Done<MappedRwLockReadGuard<'_, Handle>> {
        let held = RwLockReadGuard::try_map(self.gate.read_recursive(), Option::as_ref);
        held.map_err(|_| LmdbError::PANIC)
    }

    /// Takes over the size that another process has let the file grow to.
    fn adopt_map_size(&self) -> Done {
        let handle = self.gate.write();
        let Some(handle) = handle.as_ref() else {
            return Err(LmdbError::PANIC);
        };
        // SAFETY: no transaction of this process is under way, they hold `gate`.
        LmdbError::check(unsafe { c::mdb_env_set_mapsize(handle.raw.as_ptr(), 0) })
    }

    /// Opens the files anew: after an error of the disk at the wrong moment LMDB does nothing more
    /// with what it had open.
    fn reopen(&self) -> Done {
        let mut handle = self.gate.write();
        // Closed first: a process that closes a file lets go of all that it has locked of it,
        // through whichever descriptor.
        *handle = None;
        let opened = Handle::open(&self.folder, self.options)?;
        if !self.options.readonly {
            // What the last transaction was to have changed is taken back, and that has to be on
            // the disk before its pages are used again.
            opened.sync()?;
        }
        *handle = Some(opened);
        Ok(())
    }

    /// A view of what is committed, which does not change while it is held.
    pub(super) fn read(&self) -> Done<Txn<'_>> {
        match self.begin(c::MDB_RDONLY) {
            Err(LmdbError::READERS_FULL) => {
                // Places that killed processes have left.
                self.clear_dead_readers()?;
                self.begin(c::MDB_RDONLY)
            }
            begun => begun,
        }
    }

    /// A transaction that changes rows; waits for the one that another thread or process has.
    pub(super) fn write(&self) -> Done<WriteTxn<'_>> {
        Ok(WriteTxn::of(self.begin(0)?))
    }

    /// See [`EnvInfo`].
    pub(super) fn info(&self) -> Done<EnvInfo> {
        let handle = self.handle()?;
        let mut info = c::MDB_envinfo {
            me_mapaddr: ptr::null_mut(),
            me_mapsize: 0,
            me_last_pgno: 0,
            me_last_txnid: 0,
            me_maxreaders: 0,
            me_numreaders: 0,
        };
        // SAFETY: the environment is open, and `info` is a place for the answer.
        LmdbError::check(unsafe { c::mdb_env_info(handle.raw.as_ptr(), &raw mut info) })?;
        Ok(EnvInfo {
            map: info.me_mapsize as u64,
            pages: info.me_last_pgno as u64 + 1,
            last_txn: info.me_last_txnid as u64,
        })
    }

    /// Waits until the disk has everything that is committed.
    pub(super) fn sync(&self) -> Done {
        self.handle()?.sync()
    }

    /// Frees the places of readers whose process is gone, and says how many there were.
    pub(super) fn clear_dead_readers(&self) -> Done<u32> {
        let mut dead: c_int = 0;
        let handle = self.handle()?;
        // SAFETY: the environment is open.
        LmdbError::check(unsafe { c::mdb_reader_check(handle.raw.as_ptr(), &raw mut dead) })?;
        Ok(u32::try_from(dead).unwrap_or(0))
    }

    /// The reading transactions under way, of all processes.
    pub(super) fn readers(&self) -> Vec<ReaderInfo> {
        unsafe extern "C" fn line(text: *const c_char, found: *mut c_void) -> c_int {
            // SAFETY: LMDB hands over a text that ends with NUL, and what it was given below.
            let (text, found) = unsafe { (CStr::from_ptr(text), &mut *found.cast::<String>()) };
            found.push_str(&text.to_string_lossy());
            0
        }
        let mut found = String::new();
        let Ok(handle) = self.handle() else {
            return Vec::new();
        };
        // SAFETY: `line` does what it must, and `found` outlives the call.
        let listed =
            unsafe { c::mdb_reader_list(handle.raw.as_ptr(), Some(line), (&raw mut found).cast()) };
        if listed < 0 {
            return Vec::new();
        }
        found.lines().filter_map(reader_of).collect()
    }
}

/// A line of the list of readers: process, thread, transaction or `-`.
fn reader_of(line: &str) -> Option<ReaderInfo> {
    let mut words = line.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let txn = words.nth(1)?.parse().ok()?;
    Some(ReaderInfo { pid, txn })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const OPTIONS: Options = Options {
        map: 4 << 20,
        readonly: false,
        mode: 0o640,
        sync: false,
    };

    #[test]
    fn the_engine_is_the_one_whose_format_is_that_of_1_0() {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: three places for three numbers.
        unsafe { c::mdb_version(&raw mut major, &raw mut minor, &raw mut patch) };
        assert_eq!((major, minor, patch), (0, 9, 90));
    }

    #[test]
    fn rows_are_there_after_a_commit_and_not_without() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::open(folder.path(), OPTIONS).unwrap();
        let mut txn = env.write().unwrap();
        txn.put(b"ab", b"1").unwrap();
        txn.put(b"ad", b"").unwrap();
        assert_eq!(txn.get(b"ab").unwrap(), Some(&b"1"[..]));
        txn.commit().unwrap();
        let mut txn = env.write().unwrap();
        txn.put(b"ab", b"2").unwrap();
        drop(txn);
        drop(env);
        let env = Env::open(folder.path(), OPTIONS).unwrap();
        let txn = env.read().unwrap();
        assert_eq!(txn.get(b"ab").unwrap(), Some(&b"1"[..]));
        assert_eq!(txn.get(b"ad").unwrap(), Some(&b""[..]));
        assert_eq!(txn.get(b"ac").unwrap(), None);
        let mut cursor = txn.cursor().unwrap();
        assert_eq!(cursor.seek(b"ac").unwrap(), Some((&b"ad"[..], &b""[..])));
        assert_eq!(cursor.next().unwrap(), None);
        let found = cursor.seek_before(b"ad").unwrap();
        assert_eq!(found, Some((&b"ab"[..], &b"1"[..])));
        assert_eq!(cursor.seek_before(b"zz").unwrap().unwrap().0, b"ad");
        assert_eq!(cursor.seek_before(b"ab").unwrap(), None);
        assert_eq!(txn.stat().unwrap().rows, 2);
    }

    #[test]
    fn a_key_of_odd_length_is_refused_before_the_engine_sees_it() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::open(folder.path(), OPTIONS).unwrap();
        let mut txn = env.write().unwrap();
        assert!(txn.put(b"abc", b"1").is_err());
        assert!(txn.put(&[0; MAX_KEY + 2], b"1").is_err());
        txn.put(&[0; MAX_KEY], b"1").unwrap();
        assert!(!txn.append(&[0; 2], b"1").unwrap());
        assert!(txn.append(&[1; 2], b"1").unwrap());
    }

    #[test]
    fn a_full_map_is_said_and_nothing_of_the_transaction_stays() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            map: 128 << 10,
            ..OPTIONS
        };
        let env = Env::open(folder.path(), options).unwrap();
        let mut txn = env.write().unwrap();
        let full = (0..1_000_u32).find_map(|number| {
            let put = txn.put(&number.to_be_bytes(), &[7; 1_000]);
            put.err()
        });
        assert_eq!(full, Some(LmdbError::MAP_FULL));
        drop(txn);
        assert_eq!(env.read().unwrap().stat().unwrap().rows, 0);
        let bytes = std::fs::metadata(folder.path().join("data.mdb")).unwrap();
        assert!(bytes.len() <= 128 << 10);
    }

    #[test]
    fn readers_are_listed_with_what_they_hold_and_pages_they_pin_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::open(folder.path(), OPTIONS).unwrap();
        let fill = |byte: u8| {
            let mut txn = env.write().unwrap();
            for number in 0..100_u32 {
                txn.put(&number.to_be_bytes(), &[byte; 1_000]).unwrap();
            }
            txn.commit().unwrap();
        };
        fill(1);
        assert_eq!(env.readers(), []);
        let reader = env.read().unwrap();
        let pinned = env.readers();
        let pid = std::process::id();
        assert_eq!(
            pinned,
            [ReaderInfo {
                pid,
                txn: reader.id()
            }]
        );
        fill(2);
        let mut freed = 0;
        let after = env.read().unwrap();
        after.free_pages(|_, pages| freed += pages).unwrap();
        assert!(freed > 25, "{freed}");
        assert_eq!(reader.get(&7_u32.to_be_bytes()).unwrap().unwrap()[0], 1);
        assert_eq!(after.get(&7_u32.to_be_bytes()).unwrap().unwrap()[0], 2);
    }

    #[test]
    fn a_file_that_another_grew_is_seen_in_its_new_size() {
        let folder = tempfile::tempdir().unwrap();
        let small = Options {
            map: 1 << 20,
            ..OPTIONS
        };
        let env = Env::open(folder.path(), small).unwrap();
        // In truth another process: within one, two environments of the same files are allowed
        // only because none of them is closed before the other is done with.
        let other = Env::open(folder.path(), OPTIONS).unwrap();
        let mut txn = other.write().unwrap();
        for number in 0..2_000_u32 {
            txn.put(&number.to_be_bytes(), &[1; 1_000]).unwrap();
        }
        txn.commit().unwrap();
        assert_eq!(env.read().unwrap().stat().unwrap().rows, 2_000);
        assert!(env.info().unwrap().map >= 2 << 20);
    }
}
