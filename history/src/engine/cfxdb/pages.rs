//! LMDB's file read page by page, in the format of LMDB 0.9 and in that of 1.0, without LMDB: what
//! it does not open, and what is to be read without a trace, since LMDB notes its readers in a file
//! of its own. Every place is checked against the file, so that whatever stands in it, reading
//! comes to an end. What is read holds as long as nobody writes ([`Pages::is_unchanged`]).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::lmdb::LmdbError;
use crate::engine::fields::{u16_at, u32_at, u64_at};

/// LMDB's mark at the beginning of a meta page.
const MAGIC: u32 = 0xBEEF_C0DE;

/// Bytes of what stands before the roots in a meta page, and of a root.
const BODY: usize = 24;
const ROOT: usize = 48;

/// Levels of the deepest tree that is believed.
const DEEPEST: u32 = 32;

/// What a file's format is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// LMDB 0.9, data version 1.
    V1,
    /// LMDB 1.0, data version 3.
    V3,
}

impl Format {
    /// Bytes of a page's head.
    const fn head(self) -> usize {
        match self {
            Self::V1 => 16,
            Self::V3 => 24,
        }
    }

    const fn version(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V3 => 3,
        }
    }
}

/// A file of LMDB as it was when it was opened.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    format: Format,
    /// Bytes of a page.
    size: usize,
    /// Bytes of the file.
    bytes: u64,
    /// The first page of the rows; `u64::MAX` if there is none.
    root: u64,
    /// How many rows there are.
    pub(super) rows: u64,
    /// The last transaction that was committed.
    pub(super) txn: u64,
}

type Done<T = ()> = Result<T, LmdbError>;

/// What one of the two meta pages says.
#[derive(Debug, Clone, Copy)]
struct Meta {
    txn: u64,
    rows: u64,
    root: u64,
}

impl Pages {
    /// Opens a file to read it.
    pub(super) fn open(path: &Path) -> Done<Self> {
        let file = File::open(path).map_err(LmdbError::of_io)?;
        let bytes = file.metadata().map_err(LmdbError::of_io)?.len();
        let mut head = [0; 24 + BODY + 4];
        file.read_exact_at(&mut head, 0).map_err(damaged_at_end)?;
        let is = |format: Format| {
            let at = format.head();
            u32_at(&head, at) == Some(MAGIC) && u32_at(&head, at + 4) == Some(format.version())
        };
        let format = [Format::V3, Format::V1].into_iter().find(|it| is(*it));
        let format = format.ok_or(LmdbError::DAMAGED)?;
        let size = u32_at(&head, format.head() + BODY).ok_or(LmdbError::DAMAGED)?;
        if !size.is_power_of_two() || !(512..=1 << 16).contains(&size) {
            return Err(LmdbError::DAMAGED);
        }
        let mut pages = Self {
            file,
            format,
            size: size as usize,
            bytes,
            root: u64::MAX,
            rows: 0,
            txn: 0,
        };
        let Meta { txn, rows, root } = pages.meta()?;
        (pages.txn, pages.rows, pages.root) = (txn, rows, root);
        Ok(pages)
    }

    /// Which format it has.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Whether nobody has written since it was opened: else pages may have been used again, and
    /// what was read after that may be anything.
    pub(super) fn is_unchanged(&self) -> Done<bool> {
        Ok(self.meta()?.txn == self.txn)
    }

    /// The newer one of the two meta pages.
    fn meta(&self) -> Done<Meta> {
        let metas = [0, self.size as u64].map(|at| self.meta_at(at));
        let newest = metas.into_iter().flatten().max_by_key(|meta| meta.txn);
        newest.ok_or(LmdbError::DAMAGED)
    }

    fn meta_at(&self, at: u64) -> Option<Meta> {
        let mut page = [0; 24 + BODY + 2 * ROOT + 16];
        self.file.read_exact_at(&mut page, at).ok()?;
        let body = self.format.head();
        let is_one =
            u32_at(&page, body)? == MAGIC && u32_at(&page, body + 4)? == self.format.version();
        // The second root is that of the rows; the first is that of the free pages.
        let rows = body + BODY + ROOT;
        let meta = Meta {
            rows: u64_at(&page, rows + 32)?,
            root: u64_at(&page, rows + 40)?,
            txn: u64_at(&page, body + BODY + 2 * ROOT + 8)?,
        };
        is_one.then_some(meta)
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &[u8]) -> Done<Option<Vec<u8>>> {
        let mut number = self.root;
        for _ in 0..DEEPEST {
            if number == u64::MAX {
                return Ok(None);
            }
            let page = self.page(number)?;
            let behind = page.partition(|own| own <= key)?;
            if page.is_branch() {
                // The first key of a branch stands for everything before the second.
                number = page.child(behind.saturating_sub(1))?;
                continue;
            }
            let Some(at) = behind.checked_sub(1) else {
                return Ok(None);
            };
            let node = page.node(at)?;
            let mut left = u64::MAX;
            return match page.key(&node)? == key {
                true => self.value(&page, &node, &mut left).map(Some),
                false => Ok(None),
            };
        }
        Err(LmdbError::DAMAGED)
    }

    /// Visits the rows whose keys begin with `prefix`, in order.
    pub(super) fn each(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> Done) -> Done {
        // In a sound file every page is seen once at most.
        let mut left = self.bytes / self.size as u64 + 1;
        self.walk(self.root, prefix, 0, &mut left, visit)
    }

    /// Whether there are keys of odd length.
    pub(super) fn has_odd_keys(&self) -> Done<bool> {
        let mut left = self.bytes / self.size as u64 + 1;
        let mut pages = vec![self.root];
        while let Some(number) = pages.pop().filter(|number| *number != u64::MAX) {
            left = left.checked_sub(1).ok_or(LmdbError::DAMAGED)?;
            let page = self.page(number)?;
            for at in 0..page.len() {
                if page.is_branch() {
                    pages.push(page.child(at)?);
                } else if !page.node(at)?.key.is_multiple_of(2) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn walk(
        &self,
        number: u64,
        prefix: &[u8],
        depth: u32,
        left: &mut u64,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Done,
    ) -> Done {
        if number == u64::MAX {
            return Ok(());
        }
        *left = left.checked_sub(1).ok_or(LmdbError::DAMAGED)?;
        if depth > DEEPEST {
            return Err(LmdbError::DAMAGED);
        }
        let page = self.page(number)?;
        let first = page.partition(|own| own < prefix)?;
        let first = match page.is_branch() {
            // What is before a key may still be in the page of the key before it.
            true => first.saturating_sub(1),
            false => first,
        };
        for at in first..page.len() {
            let node = page.node(at)?;
            let key = page.key(&node)?;
            // The first key of a branch is empty.
            let is_first = page.is_branch() && at == 0;
            if !is_first && key > prefix && !key.starts_with(prefix) {
                break;
            }
            if page.is_branch() {
                self.walk(page.child(at)?, prefix, depth + 1, left, visit)?;
            } else if key.starts_with(prefix) {
                let value = self.value(&page, &node, left)?;
                visit(key, &value)?;
            }
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Done<Page> {
        let bytes = self.read(number, self.size)?;
        Page::of(bytes, self.format)
    }

    /// Bytes from the beginning of a page on.
    fn read(&self, number: u64, length: usize) -> Done<Vec<u8>> {
        let begin = number.checked_mul(self.size as u64);
        let end = begin.and_then(|begin| begin.checked_add(length as u64));
        let within = begin.zip(end).filter(|(_, end)| *end <= self.bytes);
        let (begin, _) = within.ok_or(LmdbError::DAMAGED)?;
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, begin);
        read.map_err(damaged_at_end)?;
        Ok(bytes)
    }

    /// The value of a node, which may stand on pages of its own; those count as seen.
    fn value(&self, page: &Page, node: &Node, left: &mut u64) -> Done<Vec<u8>> {
        if node.flags & !node::BIG != 0 {
            // A database within the database, or several values of one key: cfxdb has none.
            return Err(LmdbError::DAMAGED);
        }
        if node.flags & node::BIG == 0 {
            let value = page.bytes.get(node.data..node.data + node.size);
            return value.map(<[u8]>::to_vec).ok_or(LmdbError::DAMAGED);
        }
        let number = u64_at(&page.bytes, node.data).ok_or(LmdbError::DAMAGED)?;
        let head = self.format.head();
        let pages = (head + node.size).div_ceil(self.size) as u64;
        *left = left.checked_sub(pages).ok_or(LmdbError::DAMAGED)?;
        let mut bytes = self.read(number, head + node.size)?;
        if u16_at(&bytes, head - 6).is_none_or(|flags| flags & page::OVERFLOW == 0) {
            return Err(LmdbError::DAMAGED);
        }
        bytes.drain(..head);
        Ok(bytes)
    }
}

/// What a page is.
mod page {
    pub(super) const BRANCH: u16 = 1;
    pub(super) const LEAF: u16 = 2;
    pub(super) const OVERFLOW: u16 = 4;
}

/// What the value of a node is.
mod node {
    /// It stands on pages of its own.
    pub(super) const BIG: u16 = 1;
}

/// A page of a tree.
struct Page {
    bytes: Vec<u8>,
    format: Format,
    flags: u16,
    nodes: usize,
}

/// Where a row, or the way to a page below, stands in a page.
struct Node {
    at: usize,
    flags: u16,
    key: usize,
    /// Where its value stands, or where that is said, and its length.
    data: usize,
    size: usize,
}

impl Page {
    fn of(bytes: Vec<u8>, format: Format) -> Done<Self> {
        let head = format.head();
        let field = |at| u16_at(&bytes, at).ok_or(LmdbError::DAMAGED);
        // The number of the page, in 1.0 a transaction, two bytes; then what matters here.
        let (flags, lower) = (field(head - 6)?, usize::from(field(head - 4)?));
        let nodes = match format {
            Format::V1 => lower.checked_sub(head).ok_or(LmdbError::DAMAGED)? / 2,
            Format::V3 => lower / 2,
        };
        let is_of_a_tree = matches!(
            flags & (page::BRANCH | page::LEAF | page::OVERFLOW),
            page::BRANCH | page::LEAF
        );
        if !is_of_a_tree || head + 2 * nodes > bytes.len() {
            return Err(LmdbError::DAMAGED);
        }
        Ok(Self {
            bytes,
            format,
            flags,
            nodes,
        })
    }

    fn is_branch(&self) -> bool {
        self.flags & page::BRANCH != 0
    }

    fn len(&self) -> usize {
        self.nodes
    }

    fn node(&self, number: usize) -> Done<Node> {
        let node = || {
            let head = self.format.head();
            let pointer = usize::from(u16_at(&self.bytes, head + 2 * number)?);
            let at = match self.format {
                Format::V1 => pointer,
                Format::V3 => pointer + head,
            };
            let (low, high) = (u16_at(&self.bytes, at)?, u16_at(&self.bytes, at + 2)?);
            let key = usize::from(u16_at(&self.bytes, at + 6)?);
            let room = match self.format {
                Format::V1 => key,
                Format::V3 => key.next_multiple_of(2),
            };
            Some(Node {
                at,
                flags: u16_at(&self.bytes, at + 4)?,
                key,
                data: at + 8 + room,
                size: usize::from(low) | usize::from(high) << 16,
            })
        };
        node().ok_or(LmdbError::DAMAGED)
    }

    fn key(&self, node: &Node) -> Done<&[u8]> {
        let begin = node.at + 8;
        let key = self.bytes.get(begin..begin + node.key);
        key.ok_or(LmdbError::DAMAGED)
    }

    /// The page that a node of a branch leads to.
    fn child(&self, number: usize) -> Done<u64> {
        let node = self.node(number)?;
        Ok(node.size as u64 | u64::from(node.flags) << 32)
    }

    /// How many nodes come before the first for which `is_before` does not hold, by halving. The
    /// first of a branch, whose key is empty, comes before everything.
    fn partition(&self, is_before: impl Fn(&[u8]) -> bool) -> Done<usize> {
        let (mut low, mut high) = (usize::from(self.is_branch()).min(self.nodes), self.nodes);
        while low < high {
            let middle = low + (high - low) / 2;
            let node = self.node(middle)?;
            match is_before(self.key(&node)?) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }
}

/// A file that is shorter than what it says is damaged; everything else is the disk's.
fn damaged_at_end(error: io::Error) -> LmdbError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => LmdbError::DAMAGED,
        _ => LmdbError::of_io(error),
    }
}

#[cfg(test)]
mod tests;
