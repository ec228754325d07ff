//! Whether the pages of a file are what LMDB takes them for. It trusts them: one that is damaged
//! makes it read and write where it must not, or end the process. So all that the newest state
//! refers to is looked at before anything of it is used. What is in rows it does not touch: LMDB
//! has no checksums, and whoever reads rows expects anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::lmdb::{Env, LmdbError, MAX_KEY};
use super::sniff::{HEAD, Meta, Root};
use crate::engine::fields::{u16_at, u32_at, u64_at};

/// Files up to so many bytes are looked at as a whole; of larger ones pages with rows are not: a
/// start would take minutes. It is some 2 s a GiB, and as long as the disk takes to read it.
const WHOLE: u64 = 8 << 30;

/// The deepest tree that LMDB goes down.
const DEEPEST: u64 = 31;

/// How often a state is looked for that does not change meanwhile.
const TRIES: u32 = 1_000;

/// Kinds of pages.
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
/// A mark of a page in memory that may have been written with it.
const PASSING: u16 = 0x2000;

/// Bytes before a node's key, and the mark of a node whose value has pages of its own.
const NODE: usize = 8;
const BIG: u16 = 1;

/// Why the file cannot be looked at, or what is wrong with it.
#[derive(Debug)]
pub(super) enum Fault {
    Lmdb(LmdbError),
    Io(io::Error),
    /// Damaged, as a clause.
    Damaged(String),
}

impl From<LmdbError> for Fault {
    fn from(error: LmdbError) -> Self {
        Self::Lmdb(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Looks at the newest state of an open file, of which nothing has been read yet. Others may write
/// to it meanwhile.
pub(super) fn look_into(env: &Env, file: &Path) -> Result<(), Fault> {
    let file = File::open(file)?;
    for _ in 0..TRIES {
        let mut head = vec![0; 2 << 16];
        let there = read_some(&file, &mut head)?;
        head.truncate(there);
        let meta = Meta::newest(&head).ok_or_else(|| damaged("its first pages"))?;
        // As long as it is held, none of the pages that it sees is used again.
        let txn = env.read()?;
        if txn.id() == meta.txn {
            return Look::at(&file, meta)?.all();
        }
    }
    // Others write without pause. They would have met the damage.
    Ok(())
}

fn read_some(file: &File, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn read_through(file: &File, bytes: u64) -> io::Result<()> {
    let mut part = vec![0; 1 << 20];
    let mut done = 0;
    while done < bytes {
        match file.read_at(&mut part, done)? {
            0 => break,
            more => done += more as u64,
        }
    }
    Ok(())
}

fn damaged(what: impl std::fmt::Display) -> Fault {
    Fault::Damaged(what.to_string())
}

/// One look at a file.
struct Look<'a> {
    file: &'a File,
    meta: Meta,
    /// Pages that the file has.
    pages: u64,
    /// A bit a page: it is in use, or free.
    taken: Vec<u64>,
    /// Whether pages with rows are looked at.
    whole: bool,
    /// Rows seen.
    rows: u64,
}

/// What all keys of a page must be: from the first, and before the second.
#[derive(Clone, Copy)]
struct Between<'a>(&'a [u8], Option<&'a [u8]>);

/// One of the two trees of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    /// Of pages that are free, by the transaction that freed them.
    Free,
    Rows,
}

impl<'a> Look<'a> {
    fn at(file: &'a File, meta: Meta) -> Result<Self, Fault> {
        let bytes = file.metadata()?.len();
        let pages = bytes / meta.page;
        let whole = bytes <= WHOLE;
        if whole {
            // Pages are asked for as the tree has them, all the way there and back on a disk: so that
            // they are in memory by then, the file is read once from end to end.
            read_through(file, bytes)?;
        }
        let words = usize::try_from(pages / 64 + 1).map_err(|_| damaged("its size"))?;
        Ok(Self {
            file,
            meta,
            pages,
            taken: vec![0; words],
            whole,
            rows: 0,
        })
    }

    fn all(mut self) -> Result<(), Fault> {
        let [free, rows] = self.meta.roots;
        // The first two pages belong to none.
        self.take(0, 2, "its first pages")?;
        self.tree(Tree::Free, free)?;
        self.tree(Tree::Rows, rows)
    }

    fn tree(&mut self, tree: Tree, root: Root) -> Result<(), Fault> {
        let flags = if tree == Tree::Free { 8 } else { 0 };
        let is_empty = root.page == u64::MAX;
        if root.flags != flags || root.depth > DEEPEST || is_empty != (root.depth == 0) {
            return Err(damaged("its first pages"));
        }
        self.rows = 0;
        if !is_empty {
            self.page(tree, root.page, root.depth, Between(&[], None))?;
        }
        let is_counted = self.whole || tree == Tree::Free;
        match is_counted && self.rows != root.rows {
            true => Err(damaged("rows are missing")),
            false => Ok(()),
        }
    }

    /// Marks pages as belonging somewhere.
    fn take(&mut self, first: u64, count: u64, what: &str) -> Result<(), Fault> {
        let end = first.saturating_add(count);
        if end > self.pages {
            return Err(damaged(format_args!("{what}: a page is missing")));
        }
        for number in first..end {
            let bit = 1 << (number % 64);
            let word = self.taken.get_mut((number / 64) as usize);
            match word.filter(|word| **word & bit == 0) {
                Some(word) => *word |= bit,
                None => return Err(damaged(format_args!("page {number} is used twice"))),
            }
        }
        Ok(())
    }

    fn read(&self, number: u64, bytes: usize) -> Result<Vec<u8>, Fault> {
        let mut page = vec![0; bytes];
        self.file
            .read_exact_at(&mut page, number * self.meta.page)?;
        Ok(page)
    }

    /// Looks at a page and at all below it; on the last level are rows.
    fn page(
        &mut self,
        tree: Tree,
        number: u64,
        levels: u64,
        between: Between<'_>,
    ) -> Result<(), Fault> {
        let bad = || damaged(format_args!("page {number}"));
        self.take(number, 1, "the tree")?;
        if levels == 1 && tree == Tree::Rows && !self.whole {
            return Ok(());
        }
        let size = self.meta.page as usize;
        let page = self.read(number, size)?;
        let kind = if levels == 1 { LEAF } else { BRANCH };
        let nodes = nodes(&page, number, kind, self.meta.txn).ok_or_else(bad)?;
        let least = if levels > 1 && tree == Tree::Rows {
            2
        } else {
            1
        };
        if nodes.len() < least || !are_in_order(tree, &nodes, levels > 1, between) {
            return Err(bad());
        }
        for (index, node) in nodes.iter().enumerate() {
            if levels == 1 {
                self.row(tree, node).map_err(|fault| match fault {
                    Fault::Damaged(why) => damaged(format_args!("page {number}: {why}")),
                    fault => fault,
                })?;
                continue;
            }
            let begin = if index == 0 { between.0 } else { node.key };
            let next = nodes.get(index + 1).map(|next| next.key);
            let child = node.child();
            self.page(tree, child, levels - 1, Between(begin, next.or(between.1)))?;
        }
        Ok(())
    }

    fn row(&mut self, tree: Tree, node: &Node<'_>) -> Result<(), Fault> {
        self.rows += 1;
        let Node { value, big, .. } = *node;
        if !big {
            return match tree {
                Tree::Free => self.free(value),
                Tree::Rows => Ok(()),
            };
        }
        let number = |at| u64_at(value, at).ok_or_else(|| damaged("a value"));
        let (first, txn, pages) = (number(0)?, number(8)?, number(16)?);
        let needed = (HEAD as u64 + u64::from(node.size) - 1) / self.meta.page + 1;
        if txn > self.meta.txn || pages != needed {
            return Err(damaged("a value of several pages"));
        }
        self.take(first, pages, "a value")?;
        let begin = self.read(first, HEAD)?;
        let is_it = u64_at(&begin, 0) == Some(first)
            && u64_at(&begin, 8).is_some_and(|txn| txn <= self.meta.txn)
            && u16_at(&begin, 18) == Some(OVERFLOW)
            && u32_at(&begin, 20).map(u64::from) == Some(pages);
        if !is_it {
            return Err(damaged(format_args!("page {first}")));
        }
        match tree {
            Tree::Rows => Ok(()),
            Tree::Free => {
                let all = self.read(first, HEAD + node.size as usize)?;
                self.free(all.get(HEAD..).unwrap_or_default())
            }
        }
    }

    /// Pages that a transaction has freed: how many, and which, the last one first.
    fn free(&mut self, list: &[u8]) -> Result<(), Fault> {
        let mut numbers = list.chunks_exact(8).filter_map(|bytes| u64_at(bytes, 0));
        let count = numbers.next();
        let numbers: Vec<u64> = numbers.collect();
        let is_whole = list.len().is_multiple_of(8) && count == Some(numbers.len() as u64);
        let falls = numbers.windows(2).all(|pair| pair.first() > pair.get(1));
        let last = numbers.first().copied().unwrap_or_default();
        if !is_whole || !falls || last > self.meta.last_page {
            return Err(damaged("the list of free pages"));
        }
        for number in numbers {
            // What was freed before it was ever written may be behind the end.
            if number < self.pages {
                self.take(number, 1, "the list of free pages")?;
            }
        }
        Ok(())
    }
}

/// A row, or what leads to a page below.
struct Node<'a> {
    key: &'a [u8],
    /// In a page with rows: the value, or where it is.
    value: &'a [u8],
    /// Bytes of the value.
    size: u32,
    /// The value has pages of its own.
    big: bool,
    flags: u16,
}

impl Node<'_> {
    fn child(&self) -> u64 {
        u64::from(self.size) | u64::from(self.flags) << 32
    }
}

/// The nodes of a page, if it is a sound one of that kind: they fill it from its end, one beside
/// another.
fn nodes(page: &[u8], number: u64, kind: u16, newest: u64) -> Option<Vec<Node<'_>>> {
    let (flags, lower, upper) = (u16_at(page, 18)?, u16_at(page, 20)?, u16_at(page, 22)?);
    let end = page.len() - HEAD;
    let is_it =
        u64_at(page, 0)? == number && u64_at(page, 8)? <= newest && flags & !PASSING == kind;
    if !is_it || lower % 2 != 0 || lower > upper || usize::from(upper) > end {
        return None;
    }
    let mut found = Vec::with_capacity(usize::from(lower) / 2);
    let mut places = Vec::with_capacity(found.capacity());
    for index in 0..usize::from(lower) / 2 {
        let place = usize::from(u16_at(page, HEAD + 2 * index)?);
        let bytes = page.get(HEAD + place..)?;
        let size = u32_at(bytes, 0)?;
        let (flags, key) = (u16_at(bytes, 4)?, usize::from(u16_at(bytes, 6)?));
        let behind = NODE + key;
        let (big, behind, data) = match kind {
            BRANCH => (false, behind, 0),
            _ if flags == BIG => (true, behind.next_multiple_of(2), 24),
            _ if flags == 0 => (false, behind.next_multiple_of(2), size as usize),
            _ => return None,
        };
        let value = bytes.get(behind..behind.checked_add(data)?)?;
        places.push((place, (behind + data).next_multiple_of(2)));
        let key = bytes.get(NODE..NODE + key)?;
        found.push(Node {
            key,
            value,
            size,
            big,
            flags,
        });
    }
    places.sort_unstable();
    let mut free = usize::from(upper);
    for (place, bytes) in places {
        if place != free {
            return None;
        }
        free += bytes;
    }
    (free == end).then_some(found)
}

fn are_in_order(tree: Tree, nodes: &[Node<'_>], leads: bool, between: Between<'_>) -> bool {
    let Between(begin, end) = between;
    let mut before: Option<&[u8]> = None;
    for (index, node) in nodes.iter().enumerate() {
        // The first one that leads below stands for all from the beginning, whatever its key.
        if leads && index == 0 {
            continue;
        }
        let fits = match tree {
            Tree::Free => node.key.len() == 8,
            Tree::Rows => (1..=MAX_KEY + 1).contains(&node.key.len()),
        };
        let follows = before.is_none_or(|before| is_before(tree, before, node.key));
        let behind_begin = begin.is_empty() || !is_before(tree, node.key, begin);
        let before_end = end.is_none_or(|end| is_before(tree, node.key, end));
        if !fits || !follows || !behind_begin || !before_end {
            return false;
        }
        before = Some(node.key);
    }
    true
}

/// The order of keys: of bytes, in the tree of free pages of numbers.
fn is_before(tree: Tree, one: &[u8], other: &[u8]) -> bool {
    match tree {
        Tree::Free => u64_at(one, 0) < u64_at(other, 0),
        Tree::Rows => one < other,
    }
}
