//! How full a store is, in pages. LMDB changes no page in place: whatever is changed, also by
//! removing events, takes new pages first, and those that were replaced are free for the second
//! transaction after that, or when no reader sees them any more. So a reserve is never used up by
//! events.

use super::lmdb::{Env, LmdbError, ReaderInfo};

/// Bytes of a page.
pub(super) const PAGE: u64 = 4_096;

/// What a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Pages of the file, at most.
    pub(super) pages: u64,
}

impl Limits {
    pub(super) const fn of(maxsize: u64) -> Self {
        Self {
            pages: maxsize / PAGE,
        }
    }

    /// Pages that events leave free: an eighth, and in the smallest files nearly all, where
    /// changing the whole tree takes about as many as there are.
    pub(super) fn reserve(&self) -> u64 {
        (self.pages / 8).max((self.pages * 3 / 4).min(24))
    }

    /// Pages that one transaction is to change at most: half of the reserve.
    pub(super) fn at_once(&self) -> u64 {
        (self.reserve() / 2).max(1)
    }

    /// Events that are removed in one transaction at most: each lies on some three pages of its
    /// own.
    pub(super) fn removed_at_once(&self) -> usize {
        usize::try_from(self.at_once() / 3).map_or(1_000, |events| events.clamp(1, 1_000))
    }
}

/// How full a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fill {
    /// Pages that can be had, now or after the next transactions; below zero where the file is
    /// larger than it may be.
    pub(super) left: i64,
    /// Those of them that a reader keeps from being used.
    pub(super) pinned: u64,
    /// The oldest reader.
    pub(super) reader: Option<ReaderInfo>,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

impl Fill {
    /// Measures a file.
    pub(super) fn of(env: &Env, limits: Limits) -> Result<Self, LmdbError> {
        let pages = env.info()?.pages;
        if pages + 2 * limits.reserve() <= limits.pages {
            // What was freed is not needed to know that there is enough.
            return Ok(Self {
                left: i64::try_from(limits.pages - pages).unwrap_or(i64::MAX),
                pinned: 0,
                reader: None,
                bytes: pages * PAGE,
            });
        }
        // Before our own view is taken, which pins nothing for long.
        let reader = env.readers().into_iter().min_by_key(|reader| reader.txn);
        let txn = env.read()?;
        let (mut free, mut pinned) = (0_u64, 0_u64);
        txn.free_pages(|freed_by, pages| {
            free += pages;
            if reader.is_some_and(|reader| reader.txn < freed_by) {
                pinned += pages;
            }
        })?;
        let left = i128::from(limits.pages) + i128::from(free) - i128::from(pages);
        Ok(Self {
            left: i64::try_from(left).unwrap_or(i64::MAX),
            pinned,
            reader,
            bytes: pages * PAGE,
        })
    }

    /// Pages by which the reserve is touched.
    pub(super) fn missing(&self, limits: Limits) -> u64 {
        let reserve = i64::try_from(limits.reserve()).unwrap_or(i64::MAX);
        u64::try_from(reserve.saturating_sub(self.left)).unwrap_or(0)
    }

    /// Pages that events may still take.
    pub(super) fn spare(&self, limits: Limits) -> u64 {
        let reserve = i64::try_from(limits.reserve()).unwrap_or(i64::MAX);
        let pinned = i64::try_from(self.pinned).unwrap_or(i64::MAX);
        let spare = self.left.saturating_sub(reserve).saturating_sub(pinned);
        u64::try_from(spare).unwrap_or(0)
    }

    /// Whether there would be pages if readers did not keep them from being used.
    pub(super) fn is_pinned(&self) -> bool {
        let pinned = i64::try_from(self.pinned).unwrap_or(i64::MAX);
        pinned > 0 && self.left.saturating_sub(pinned) <= pinned
    }
}
