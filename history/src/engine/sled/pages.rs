//! The index of a sealed segment on disk: arrays in pages of 4 KiB, each with its checksum, read
//! one by one. Written by `seal.rs`, read by `sealed.rs`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::index::List;
use super::segment::Fault;
use crate::engine::fields::{put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};

/// Bytes of a page; the last four are the CRC-32 of the others.
pub(super) const PAGE: usize = 4_096;
const CONTENT: usize = PAGE - 4;

/// Ordinals in a page.
pub(super) const ORDINALS: usize = CONTENT / 4;
/// (`u64` key, `u32` value) in a page.
pub(super) const PAIRS: usize = CONTENT / 12;

/// Pages of ordinals.
pub(super) fn put_ordinals(bytes: &mut Vec<u8>, firsts: &mut Vec<u32>, ordinals: &[u32]) {
    for page in ordinals.chunks(ORDINALS) {
        firsts.extend(page.first());
        let begin = bytes.len();
        page.iter().for_each(|ordinal| put_u32(bytes, *ordinal));
        close_page(bytes, begin);
    }
}

/// Pages of pairs, which are sorted.
pub(super) fn put_pairs(bytes: &mut Vec<u8>, firsts: &mut Vec<u64>, pairs: &[(u64, u32)]) {
    for page in pairs.chunks(PAIRS) {
        firsts.extend(page.first().map(|(key, _)| *key));
        let begin = bytes.len();
        for (key, value) in page {
            put_u64(bytes, *key);
            put_u32(bytes, *value);
        }
        close_page(bytes, begin);
    }
}

/// A topic as the dictionary has it: 0 `u16` name length, 2 `u32` dense, 6 `u32` start,
/// 10 `u32` count, 14 name.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicEntry<'a> {
    pub(super) name: &'a str,
    pub(super) dense: u32,
    pub(super) start: u32,
    pub(super) count: u32,
}

const TOPIC: usize = 14;

impl TopicEntry<'_> {
    /// Its events.
    pub(super) fn list(&self) -> List {
        List {
            dense: self.dense,
            start: self.start,
            count: self.count,
        }
    }
}

/// Pages of topics, which are sorted by name. `firsts` gets, for each page, its first topic's
/// number and name. A page: `u16` topics, entries.
pub(super) fn put_topics<'a>(
    bytes: &mut Vec<u8>,
    firsts: &mut Vec<(u32, &'a str)>,
    topics: &[TopicEntry<'a>],
) {
    let mut rest = topics.iter().zip(0..).peekable();
    while let Some((first, number)) = rest.peek() {
        firsts.push((*number, first.name));
        let begin = bytes.len();
        bytes.extend_from_slice(&[0; 2]);
        let mut count: u16 = 0;
        while let Some((topic, _)) =
            rest.next_if(|(topic, _)| bytes.len() - begin + TOPIC + topic.name.len() <= CONTENT)
        {
            put_u16(bytes, topic.name.len() as u16);
            put_u32(bytes, topic.dense);
            put_u32(bytes, topic.start);
            put_u32(bytes, topic.count);
            bytes.extend_from_slice(topic.name.as_bytes());
            count += 1;
        }
        if let Some(field) = bytes.get_mut(begin..begin + 2) {
            field.copy_from_slice(&count.to_le_bytes());
        }
        close_page(bytes, begin);
    }
}

fn close_page(bytes: &mut Vec<u8>, begin: usize) {
    bytes.resize(begin + CONTENT, 0);
    let crc = crc32fast::hash(bytes.get(begin..).unwrap_or_default());
    put_u32(bytes, crc);
}

/// A page that was read and found whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Page(Box<[u8]>);

impl Page {
    pub(super) fn read(file: &File, at: u64) -> Result<Self, Fault> {
        let mut bytes = vec![0; PAGE].into_boxed_slice();
        file.read_exact_at(&mut bytes, at).map_err(Fault::from)?;
        let crc = crc32fast::hash(bytes.get(..CONTENT).unwrap_or_default());
        if u32_at(&bytes, CONTENT) == Some(crc) {
            Ok(Self(bytes))
        } else {
            Err(Fault::Damaged)
        }
    }

    pub(super) fn ordinal(&self, index: usize) -> Option<u32> {
        u32_at(&self.0, index * 4)
    }

    /// The value of a key among the first `count` pairs.
    pub(super) fn find_pair(&self, key: u64, count: usize) -> Option<u32> {
        let (mut low, mut high) = (0, count.min(PAIRS));
        while low < high {
            let middle = low + (high - low) / 2;
            if u64_at(&self.0, middle * 12)? < key {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let found = low < count && u64_at(&self.0, low * 12)? == key;
        if found {
            u32_at(&self.0, low * 12 + 8)
        } else {
            None
        }
    }

    /// The topics of a page of the dictionary.
    pub(super) fn topics(&self) -> impl Iterator<Item = TopicEntry<'_>> {
        let count = u16_at(&self.0, 0).unwrap_or(0);
        let mut at = 2;
        (0..count).map_while(move |_| {
            let length = usize::from(u16_at(&self.0, at)?);
            let name = self.0.get(at + TOPIC..at + TOPIC + length)?;
            let entry = TopicEntry {
                name: std::str::from_utf8(name).ok()?,
                dense: u32_at(&self.0, at + 2)?,
                start: u32_at(&self.0, at + 6)?,
                count: u32_at(&self.0, at + 10)?,
            };
            at += TOPIC + length;
            Some(entry)
        })
    }
}

/// Pages that a reader holds on to: the lists of many topics lie in few pages.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    slots: Vec<Option<(u64, Page)>>,
}

/// Pages held: 256 KiB a reader, while it merges the lists of several topics.
const HELD: usize = 64;

impl PageCache {
    /// The page at `at`, read if it is not held.
    pub(super) fn page(&mut self, file: &File, at: u64) -> Result<&Page, Fault> {
        if self.slots.is_empty() {
            self.slots.resize_with(HELD, || None);
        }
        let slot = (at / PAGE as u64) as usize % HELD;
        let held = self.slots.get_mut(slot).ok_or(Fault::Damaged)?;
        if held.as_ref().is_none_or(|(place, _)| *place != at) {
            *held = Some((at, Page::read(file, at)?));
        }
        held.as_ref().map(|(_, page)| page).ok_or(Fault::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn ordinals_and_pairs_are_found_where_they_were_put() {
        let ordinals: Vec<u32> = (0..5_000).map(|number| number * 3).collect();
        let (mut bytes, mut firsts) = (Vec::new(), Vec::new());
        put_ordinals(&mut bytes, &mut firsts, &ordinals);
        assert_eq!(firsts.len(), 5_000_usize.div_ceil(ORDINALS));
        let pairs: Vec<(u64, u32)> = (0..1_000)
            .map(|number| (number * 7, number as u32))
            .collect();
        let (begin, mut keys) = (bytes.len(), Vec::new());
        put_pairs(&mut bytes, &mut keys, &pairs);
        let file = file_of(&bytes);
        let page = Page::read(&file, PAGE as u64).unwrap();
        assert_eq!(page.ordinal(0), Some(firsts[1]));
        assert_eq!(page.ordinal(5), Some(ordinals[ORDINALS + 5]));
        let page = Page::read(&file, (begin + PAGE) as u64).unwrap();
        assert_eq!(page.find_pair(keys[1], PAIRS), Some(PAIRS as u32));
        assert_eq!(page.find_pair(keys[1] + 1, PAIRS), None);
        assert_eq!(page.find_pair(keys[1] + 14, PAIRS), Some(PAIRS as u32 + 2));
        assert_eq!(page.find_pair(keys[1] + 14, 2), None);
    }

    #[test]
    fn topics_of_any_length_are_read_back_in_order() {
        let names: Vec<String> = (0..300_usize)
            .map(|number| format!("{number:04}.{}", "x".repeat(number * 3)))
            .collect();
        let entries: Vec<TopicEntry<'_>> = names
            .iter()
            .zip(0..)
            .map(|(name, number)| TopicEntry {
                name,
                dense: 1,
                start: number,
                count: 2,
            })
            .collect();
        let (mut bytes, mut firsts) = (Vec::new(), Vec::new());
        put_topics(&mut bytes, &mut firsts, &entries);
        let file = file_of(&bytes);
        let mut found = Vec::new();
        for (at, (number, name)) in firsts.iter().enumerate() {
            let page = Page::read(&file, (at * PAGE) as u64).unwrap();
            let first = page.topics().next().unwrap();
            assert_eq!((first.start, first.name), (*number, *name));
            found.extend(page.topics().map(|entry| entry.name.to_owned()));
        }
        assert_eq!(found, names);
    }

    #[test]
    fn a_page_with_a_flipped_bit_is_damaged() {
        let mut bytes = Vec::new();
        put_ordinals(&mut bytes, &mut Vec::new(), &[1, 2, 3]);
        for bit in (0..PAGE * 8).step_by(97) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(Page::read(&file_of(&bytes), 0), Err(Fault::Damaged)),
                "bit {bit}"
            );
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
