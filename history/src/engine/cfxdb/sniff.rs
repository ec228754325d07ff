//! What can be told of a file before LMDB sees it: opening one of an older format would write to
//! its lock file before it failed, and one that is cut short would end the process when the page
//! that is missing is read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::engine::fields::{u16_at, u32_at, u64_at};

/// LMDB's mark, and the version of the data format that this engine has.
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 3;

/// Bytes of a page's head, and of what stands before the roots in a meta page.
pub(super) const HEAD: usize = 24;
const BODY: usize = 24;
/// Bytes of a root.
const ROOT: usize = 48;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// There is none, an empty one, or one whose beginning never came to the disk: it is begun.
    Nothing,
    /// One that this engine reads and writes.
    Current,
    /// LMDB 0.9 wrote it.
    Older,
    /// LMDB wrote it in a version of its format that is not known here.
    Unknown(u32),
    /// LMDB did not write it.
    NotLmdb,
    /// Pages that are in use are missing at its end.
    CutShort,
}

/// Looks at the file of a store.
pub(super) fn sniff(path: &Path) -> io::Result<Sniffed> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sniffed::Nothing),
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(Sniffed::Nothing);
    }
    let mut head = Vec::new();
    // Two pages, at most of 64 KiB each.
    file.by_ref().take(2 << 16).read_to_end(&mut head)?;
    if is_half_begun(&head) {
        return Ok(Sniffed::Nothing);
    }
    let version = |at: usize| {
        let magic = u32_at(&head, at)?;
        (magic == MAGIC).then(|| u32_at(&head, at + 4)).flatten()
    };
    match (version(HEAD), version(16)) {
        (Some(VERSION), _) => {}
        (Some(other), _) => return Ok(Sniffed::Unknown(other)),
        (None, Some(1)) => return Ok(Sniffed::Older),
        (None, Some(other)) => return Ok(Sniffed::Unknown(other)),
        (None, None) => return Ok(Sniffed::NotLmdb),
    }
    let Some(meta) = Meta::newest(&head) else {
        return Ok(Sniffed::NotLmdb);
    };
    if bytes >= (meta.last_page + 1) * meta.page {
        return Ok(Sniffed::Current);
    }
    // The last pages may never have been written, if what was to be in them was deleted again.
    drop(head);
    let mut whole = Vec::new();
    File::open(path)?.read_to_end(&mut whole)?;
    let sound = meta
        .roots
        .into_iter()
        .all(|root| is_there(&whole, meta.page, root.page, 0));
    Ok(if sound {
        Sniffed::Current
    } else {
        Sniffed::CutShort
    })
}

/// What the newer one of the two meta pages says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// Bytes of a page.
    pub(super) page: u64,
    pub(super) last_page: u64,
    /// The last transaction.
    pub(super) txn: u64,
    /// Of the tree of free pages, and of that of rows.
    pub(super) roots: [Root; 2],
}

/// Where a tree begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) flags: u16,
    /// Levels.
    pub(super) depth: u64,
    pub(super) rows: u64,
    /// `u64::MAX`: it is empty.
    pub(super) page: u64,
}

impl Meta {
    pub(super) fn newest(head: &[u8]) -> Option<Self> {
        let page = u64::from(u32_at(head, HEAD + BODY)?);
        if !page.is_power_of_two() || !(512..=1 << 16).contains(&page) {
            return None;
        }
        let metas = [0, page as usize].map(|at| Self::at(head, at, page));
        let metas = metas.into_iter().flatten();
        // Both say how large a page is, and the same.
        let second = u32_at(head, page as usize + HEAD + BODY);
        let newest = metas.max_by_key(|meta| meta.txn);
        newest.filter(|_| second.is_none_or(|second| u64::from(second) == page))
    }

    fn at(head: &[u8], at: usize, page: u64) -> Option<Self> {
        let body = at + HEAD;
        if u32_at(head, body)? != MAGIC {
            return None;
        }
        let root = |number: usize| {
            let at = body + BODY + number * ROOT;
            Some(Root {
                flags: u16_at(head, at + 4)?,
                depth: u64::from(u16_at(head, at + 6)?),
                rows: u64_at(head, at + 32)?,
                page: u64_at(head, at + 40)?,
            })
        };
        let behind = body + BODY + 2 * ROOT;
        Some(Self {
            page,
            last_page: u64_at(head, behind)?,
            txn: u64_at(head, behind + 8)?,
            roots: [root(0)?, root(1)?],
        })
    }
}

/// Bytes that LMDB begins a file with on most systems: two meta pages.
const BEGINNING: usize = 2 * BEGUN_PAGE;
const BEGUN_PAGE: usize = 4_096;

/// Whether it is what a power cut leaves of a file that LMDB had only begun: of its two first pages
/// some parts, and nothing else. The first transaction waits for them to be on disk.
fn is_half_begun(file: &[u8]) -> bool {
    if file.len() > BEGINNING {
        return false;
    }
    let is_begun = |page: &[u8]| {
        let meta = Meta::at(page, 0, BEGUN_PAGE as u64);
        let is_first = meta.is_some_and(|meta| meta.txn == 0 && meta.last_page == 1);
        let behind = HEAD + BODY + 2 * ROOT + 16;
        is_first && page.iter().skip(behind).all(|byte| *byte == 0)
    };
    let pages = || file.chunks(BEGUN_PAGE);
    let is_whole = file.len() == BEGINNING && pages().all(is_begun);
    let is_part = |page: &[u8]| is_begun(page) || page.iter().all(|byte| *byte == 0);
    !is_whole && pages().all(is_part)
}

/// The deepest tree that is believed.
const DEEPEST: u32 = 32;

/// Whether a page and all that it refers to are in the file.
fn is_there(file: &[u8], size: u64, number: u64, depth: u32) -> bool {
    if number == u64::MAX {
        return true; // an empty tree
    }
    pages_below(file, size, number, depth).is_some()
}

/// Looks at a page and all below it; `None` if something is missing.
fn pages_below(file: &[u8], size: u64, number: u64, depth: u32) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    let begin = usize::try_from(number.checked_mul(size)?).ok()?;
    let page = file.get(begin..begin.checked_add(size as usize)?)?;
    let (flags, lower) = (u16_at(page, 18)?, u16_at(page, 20)?);
    for node in 0..usize::from(lower) / 2 {
        let at = usize::from(u16_at(page, HEAD + 2 * node)?) + HEAD;
        let (low, high) = (u16_at(page, at)?, u16_at(page, at + 2)?);
        let (kind, key) = (u16_at(page, at + 4)?, u16_at(page, at + 6)?);
        if flags & 1 != 0 {
            let child = u64::from(low) | u64::from(high) << 16 | u64::from(kind) << 32;
            pages_below(file, size, child, depth + 1)?;
        } else if kind & 1 != 0 {
            let data = at + 8 + usize::from(key).next_multiple_of(2);
            let (first, pages) = (u64_at(page, data)?, u64_at(page, data + 16)?);
            let end = first.checked_add(pages)?.checked_mul(size)?;
            if end > file.len() as u64 {
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::lmdb::{Env, Options};
    use super::*;

    fn file_with_rows(folder: &Path) {
        let options = Options {
            map: 4 << 20,
            readonly: false,
            mode: 0o640,
            sync: false,
        };
        let env = Env::open(folder, options).unwrap();
        let mut txn = env.write().unwrap();
        for number in 0..500_u32 {
            txn.put(&number.to_be_bytes(), &vec![1; number as usize * 20])
                .unwrap();
        }
        txn.commit().unwrap();
    }

    #[test]
    fn a_file_is_known_for_what_it_is_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.mdb");
        let check = |expected| assert_eq!(sniff(&path).unwrap(), expected);
        check(Sniffed::Nothing);
        std::fs::write(&path, b"").unwrap();
        check(Sniffed::Nothing);
        std::fs::write(&path, b"no database").unwrap();
        check(Sniffed::NotLmdb);
        let mut older = vec![0; 8192];
        older[16..20].copy_from_slice(&MAGIC.to_le_bytes());
        older[20] = 1;
        std::fs::write(&path, &older).unwrap();
        check(Sniffed::Older);
        older[20] = 2;
        std::fs::write(&path, &older).unwrap();
        check(Sniffed::Unknown(2));
        std::fs::remove_file(&path).unwrap();
        file_with_rows(folder.path());
        check(Sniffed::Current);
    }

    #[test]
    fn a_file_that_was_only_begun_when_the_power_went_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.mdb");
        let options = Options {
            map: 4 << 20,
            readonly: false,
            mode: 0o640,
            sync: false,
        };
        drop(Env::open(folder.path(), options).unwrap());
        let begun = std::fs::read(&path).unwrap();
        assert_eq!(begun.len(), BEGINNING);
        assert_eq!(sniff(&path).unwrap(), Sniffed::Current);
        let none = vec![0; BEGUN_PAGE];
        let (one, other) = begun.split_at(BEGUN_PAGE);
        for left in [
            [&none, &none[..]].concat(),
            [one, &none].concat(),
            [&none, other].concat(),
            one.to_vec(),
            none,
        ] {
            std::fs::write(&path, left).unwrap();
            assert_eq!(sniff(&path).unwrap(), Sniffed::Nothing);
        }
        std::fs::remove_file(&path).unwrap();
        file_with_rows(folder.path());
        let rows = std::fs::read(&path).unwrap();
        std::fs::write(&path, &rows[..BEGINNING]).unwrap();
        assert_eq!(sniff(&path).unwrap(), Sniffed::CutShort);
    }

    #[test]
    fn a_file_that_is_cut_short_is_not_opened_and_one_with_free_pages_at_its_end_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.mdb");
        file_with_rows(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        let meta = Meta::newest(&bytes).unwrap();
        assert!(is_there(&bytes, meta.page, meta.roots[1].page, 0));
        for pages in [2, 3, bytes.len() / 8192, bytes.len() / 4096 - 1] {
            std::fs::write(&path, &bytes[..pages * 4096]).unwrap();
            assert_eq!(sniff(&path).unwrap(), Sniffed::CutShort, "{pages} pages");
        }
    }
}
