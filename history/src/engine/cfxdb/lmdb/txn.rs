//! Transactions and cursors of LMDB: values cannot outlive them.

#![expect(
    unsafe_code,
    reason = "LMDB is a C library; each block says why it may be called so"
)]

use std::ffi::c_uint;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use lmdb_master3_sys as c;
use parking_lot::MappedRwLockReadGuard;

use super::{Done, Handle, LmdbError, MAX_KEY, Stat};

/// A transaction in which rows are read.
pub(in super::super) struct Txn<'e> {
    raw: NonNull<c::MDB_txn>,
    dbi: c::MDB_dbi,
    ended: bool,
    _held: MappedRwLockReadGuard<'e, Handle>,
}

impl fmt::Debug for Txn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Txn").field("id", &self.id()).finish()
    }
}

impl<'e> Txn<'e> {
    /// A transaction that was just begun.
    pub(super) fn begun(raw: NonNull<c::MDB_txn>, held: MappedRwLockReadGuard<'e, Handle>) -> Self {
        Self {
            raw,
            dbi: held.dbi,
            ended: false,
            _held: held,
        }
    }

    /// The value under a key.
    pub(in super::super) fn get(&self, key: &[u8]) -> Done<Option<&[u8]>> {
        let mut value = NOTHING;
        let mut key = borrowed(key);
        // SAFETY: the transaction is under way; the key is only read.
        let got = unsafe { c::mdb_get(self.raw.as_ptr(), self.dbi, &raw mut key, &raw mut value) };
        match LmdbError::check(got) {
            // SAFETY: the value stays where it is until the transaction ends or changes
            // something, for which it must be borrowed mutably.
            Ok(()) => Ok(Some(unsafe { bytes_of(value) })),
            Err(LmdbError::NOTFOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A place in the rows, from which to go on.
    pub(in super::super) fn cursor(&self) -> Done<Cursor<'_>> {
        self.cursor_of(self.dbi)
    }

    fn cursor_of(&self, dbi: c::MDB_dbi) -> Done<Cursor<'_>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the transaction is under way.
        LmdbError::check(unsafe { c::mdb_cursor_open(self.raw.as_ptr(), dbi, &raw mut raw) })?;
        let raw = NonNull::new(raw).ok_or(LmdbError(c::MDB_PROBLEM))?;
        Ok(Cursor {
            raw,
            txn: PhantomData,
        })
    }

    /// See [`Stat`].
    pub(in super::super) fn stat(&self) -> Done<Stat> {
        let mut stat = c::MDB_stat {
            ms_psize: 0,
            ms_depth: 0,
            ms_branch_pages: 0,
            ms_leaf_pages: 0,
            ms_overflow_pages: 0,
            ms_entries: 0,
        };
        // SAFETY: the transaction is under way, and `stat` is a place for the answer.
        LmdbError::check(unsafe { c::mdb_stat(self.raw.as_ptr(), self.dbi, &raw mut stat) })?;
        let pages = stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
        Ok(Stat {
            page: u64::from(stat.ms_psize),
            depth: u64::from(stat.ms_depth),
            pages: pages as u64,
            rows: stat.ms_entries as u64,
        })
    }

    /// The number of the transaction: of a reading one the last that it sees, of a writing one
    /// its own.
    pub(in super::super) fn id(&self) -> u64 {
        // SAFETY: the transaction is under way.
        (unsafe { c::mdb_txn_id(self.raw.as_ptr()) }) as u64
    }

    /// The pages that are free, each with the transaction that freed them. Of a reading
    /// transaction only.
    pub(in super::super) fn free_pages(&self, mut visit: impl FnMut(u64, u64)) -> Done {
        let mut cursor = self.cursor_of(0)?;
        let mut next = cursor.move_to(c::MDB_FIRST)?;
        while let Some((key, value)) = next {
            let number = |bytes: &[u8]| {
                let first = bytes.first_chunk().copied();
                first.map_or(0, u64::from_ne_bytes)
            };
            visit(number(key), number(value));
            next = cursor.next()?;
        }
        Ok(())
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: it is under way.
            unsafe { c::mdb_txn_abort(self.raw.as_ptr()) }
        }
    }
}

/// A transaction in which rows are changed; without [`Self::commit`] nothing was.
#[derive(Debug)]
pub(in super::super) struct WriteTxn<'e>(Txn<'e>);

impl<'e> std::ops::Deref for WriteTxn<'e> {
    type Target = Txn<'e>;

    fn deref(&self) -> &Txn<'e> {
        &self.0
    }
}

impl<'e> WriteTxn<'e> {
    /// A transaction that was begun to write.
    pub(super) fn of(txn: Txn<'e>) -> Self {
        Self(txn)
    }

    /// Puts a row, in place of the one under its key if there is one.
    pub(in super::super) fn put(&mut self, key: &[u8], value: &[u8]) -> Done {
        self.put_with(key, value, 0)
    }

    /// The same, for a key behind all others; says whether it was.
    pub(in super::super) fn append(&mut self, key: &[u8], value: &[u8]) -> Done<bool> {
        match self.put_with(key, value, c::MDB_APPEND) {
            Ok(()) => Ok(true),
            Err(LmdbError::KEYEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_with(&mut self, key: &[u8], value: &[u8], flags: c_uint) -> Done {
        // This engine splits pages wrongly where keys and values are both of odd length: it was
        // seen to fail with `MDB_PAGE_FULL` in three of four long runs, and never with even keys.
        if !key.len().is_multiple_of(2) || key.len() > MAX_KEY {
            return Err(LmdbError(c::MDB_BAD_VALSIZE));
        }
        let (mut key, mut value) = (borrowed(key), borrowed(value));
        let Txn { raw, dbi, .. } = &self.0;
        // SAFETY: the transaction is under way; key and value are copied and not written to,
        // without `MDB_RESERVE`.
        LmdbError::check(unsafe {
            c::mdb_put(raw.as_ptr(), *dbi, &raw mut key, &raw mut value, flags)
        })
    }

    /// Deletes a row; says whether there was one.
    pub(in super::super) fn delete(&mut self, key: &[u8]) -> Done<bool> {
        let mut key = borrowed(key);
        let Txn { raw, dbi, .. } = &self.0;
        // SAFETY: the transaction is under way; the key is only read.
        let deleted = unsafe { c::mdb_del(raw.as_ptr(), *dbi, &raw mut key, ptr::null_mut()) };
        match LmdbError::check(deleted) {
            Ok(()) => Ok(true),
            Err(LmdbError::NOTFOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the changes hold; after an error none does.
    pub(in super::super) fn commit(mut self) -> Done {
        self.0.ended = true;
        // SAFETY: the transaction is under way; whatever the outcome, it ends here, and is not
        // aborted once more.
        LmdbError::check(unsafe { c::mdb_txn_commit(self.0.raw.as_ptr()) })
    }
}

/// A place in the rows of a transaction.
#[derive(Debug)]
pub(in super::super) struct Cursor<'t> {
    raw: NonNull<c::MDB_cursor>,
    txn: PhantomData<&'t ()>,
}

/// Key and value of a row.
pub(in super::super) type Row<'t> = (&'t [u8], &'t [u8]);

impl<'t> Cursor<'t> {
    /// Goes to the first row at or behind `key`.
    pub(in super::super) fn seek(&mut self, key: &[u8]) -> Done<Option<Row<'t>>> {
        self.get(borrowed(key), c::MDB_SET_RANGE)
    }

    /// Goes to the last row before `key`.
    pub(in super::super) fn seek_before(&mut self, key: &[u8]) -> Done<Option<Row<'t>>> {
        match self.seek(key)? {
            Some(_) => self.move_to(c::MDB_PREV),
            None => self.move_to(c::MDB_LAST),
        }
    }

    /// Goes on by one row.
    pub(in super::super) fn next(&mut self) -> Done<Option<Row<'t>>> {
        self.move_to(c::MDB_NEXT)
    }

    /// Goes back by one row.
    pub(in super::super) fn previous(&mut self) -> Done<Option<Row<'t>>> {
        self.move_to(c::MDB_PREV)
    }

    fn move_to(&mut self, operation: c::MDB_cursor_op) -> Done<Option<Row<'t>>> {
        self.get(NOTHING, operation)
    }

    fn get(&mut self, mut key: c::MDB_val, operation: c::MDB_cursor_op) -> Done<Option<Row<'t>>> {
        let mut value = NOTHING;
        // SAFETY: the cursor's transaction is borrowed for `'t`, so it is under way; the key is
        // only read.
        let got = unsafe {
            c::mdb_cursor_get(self.raw.as_ptr(), &raw mut key, &raw mut value, operation)
        };
        match LmdbError::check(got) {
            // SAFETY: both stay where they are until the transaction ends or changes something,
            // for which it must be borrowed mutably.
            Ok(()) => Ok(Some(unsafe { (bytes_of(key), bytes_of(value)) })),
            Err(LmdbError::NOTFOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // SAFETY: its transaction is under way, and it is closed once.
        unsafe { c::mdb_cursor_close(self.raw.as_ptr()) }
    }
}

const NOTHING: c::MDB_val = c::MDB_val {
    mv_size: 0,
    mv_data: ptr::null_mut(),
};

fn borrowed(bytes: &[u8]) -> c::MDB_val {
    c::MDB_val {
        mv_size: bytes.len(),
        mv_data: bytes.as_ptr().cast_mut().cast(),
    }
}

/// # Safety
/// `value` is what LMDB gave, and stays so for `'a`.
unsafe fn bytes_of<'a>(value: c::MDB_val) -> &'a [u8] {
    if value.mv_size == 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(value.mv_data.cast(), value.mv_size) }
}
