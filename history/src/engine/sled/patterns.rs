//! The `patterns` file: subscriptions that the store can answer for by their ID alone. Records
//! are appended when a subscription is new, and become durable with the next commit; the file is
//! written anew when it is mostly repetition.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytestring::ByteString;
use parking_lot::Mutex;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use super::disk::{Disk, DiskError, Done};
use super::head::{policy_byte, policy_from_byte};
use crate::engine::fields::{put_text, put_u32, take_bytes, take_text, take_u8, take_u32};
use crate::subscription::{PatternTable, REMEMBERED_PATTERNS, Remember, StoreKey};

/// The file begins with it. A record: `u32` length of what follows the checksum, `u32` CRC-32
/// of that, `u8` match, `u32` length, URI.
const MAGIC: &[u8] = b"RWMPPATT\x01";

/// Remembered subscriptions, in memory and in their file. Remembering never waits for the file.
#[derive(Debug)]
pub(super) struct Patterns {
    known: Mutex<Known>,
    writing: Mutex<Writing>,
}

#[derive(Debug)]
struct Known {
    table: PatternTable,
    /// What is remembered is written; not where the store is only read.
    is_kept: bool,
    unsaved: Vec<u8>,
    records: usize,
    /// The end of the file is not to be relied on.
    torn: bool,
}

#[derive(Debug)]
struct Writing {
    disk: Disk,
    path: PathBuf,
    /// None where the store is only read.
    file: Option<File>,
}

impl Patterns {
    /// Reads the file in `folder` as far as it is sound.
    pub(super) fn open(disk: &Disk, folder: &Path, key: &StoreKey) -> Done<Self> {
        let path = folder.join("patterns");
        let bytes = disk.read(&path)?.unwrap_or_default();
        let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
        let (mut table, mut records) = (PatternTable::default(), 0);
        while let Some((uri, match_policy)) = take_record(&mut rest) {
            table.remember(key.subscription(uri, match_policy), uri, match_policy);
            records += 1;
        }
        let whole = bytes.starts_with(MAGIC) && rest.is_empty();
        let file = if disk.is_readonly() {
            None
        } else {
            if !whole || records > 2 * REMEMBERED_PATTERNS {
                disk.replace(&path, &encode(&table))?;
                records = table.len();
            }
            Some(open_end(disk, &path)?)
        };
        let known = Known {
            table,
            is_kept: file.is_some(),
            unsaved: Vec::new(),
            records,
            torn: false,
        };
        let writing = Writing {
            disk: disk.clone(),
            path,
            file,
        };
        Ok(Self {
            known: Mutex::new(known),
            writing: Mutex::new(writing),
        })
    }

    /// Remembers a subscription; [`Self::save`] makes that durable.
    pub(super) fn remember(&self, id: SubscriptionId, uri: &str, match_policy: MatchPolicy) {
        let mut known = self.known.lock();
        if known.table.remember(id, uri, match_policy) != Remember::Known && known.is_kept {
            put_record(&mut known.unsaved, uri, match_policy);
            known.records += 1;
        }
    }

    pub(super) fn find(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.known.lock().table.find(id)
    }

    /// Writes what is new, and waits for the disk if `sync`. What fails is written next time.
    pub(super) fn save(&self, sync: bool) -> Done {
        let mut known = self.known.lock();
        if known.unsaved.is_empty() && !known.torn {
            return Ok(());
        }
        let unsaved = std::mem::take(&mut known.unsaved);
        let anew =
            (known.torn || known.records > 4 * REMEMBERED_PATTERNS).then(|| encode(&known.table));
        if anew.is_some() {
            known.records = known.table.len();
        }
        // Until it is written: a record cut short would hide those behind it.
        known.torn = true;
        drop(known);
        self.writing.lock().write(anew, &unsaved, sync)?;
        self.known.lock().torn = false;
        Ok(())
    }
}

impl Writing {
    fn write(&mut self, anew: Option<Vec<u8>>, more: &[u8], sync: bool) -> Done {
        let Self { disk, path, file } = self;
        let Some(file) = file else { return Ok(()) };
        if let Some(anew) = anew {
            disk.replace(path, &anew)?;
            *file = open_end(disk, path)?;
            return Ok(());
        }
        disk.write(path, file, more)?;
        if sync { disk.sync(path, file) } else { Ok(()) }
    }
}

fn open_end(disk: &Disk, path: &Path) -> Done<File> {
    let mut file = disk.open_or_create(path)?;
    let failed = |source| DiskError {
        what: "cannot read",
        path: path.to_owned(),
        source,
    };
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok(file)
}

fn encode(table: &PatternTable) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (uri, match_policy) in table.by_age() {
        put_record(&mut bytes, uri, match_policy);
    }
    bytes
}

fn put_record(bytes: &mut Vec<u8>, uri: &str, match_policy: MatchPolicy) {
    let mut record = vec![policy_byte(match_policy)];
    put_text(&mut record, uri);
    put_u32(bytes, record.len() as u32);
    put_u32(bytes, crc32fast::hash(&record));
    bytes.extend_from_slice(&record);
}

fn take_record<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, MatchPolicy)> {
    let mut ahead = *rest;
    let (length, crc) = (take_u32(&mut ahead)?, take_u32(&mut ahead)?);
    let mut record = take_bytes(&mut ahead, length as usize)?;
    if crc32fast::hash(record) != crc {
        return None;
    }
    let match_policy = policy_from_byte(take_u8(&mut record)?)?;
    let uri = take_text(&mut record)?;
    *rest = ahead;
    Some((uri, match_policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    fn key() -> StoreKey {
        StoreKey::from_bytes([3; 32])
    }

    fn open(folder: &Path) -> Patterns {
        Patterns::open(&Disk::default(), folder, &key()).unwrap()
    }

    #[test]
    fn what_was_saved_is_found_by_the_next_life() {
        let folder = tempfile::tempdir().unwrap();
        let patterns = open(folder.path());
        for (uri, match_policy) in [("com.", Prefix), ("com..x", Wildcard), ("com.a", Exact)] {
            patterns.remember(key().subscription(uri, match_policy), uri, match_policy);
        }
        patterns.save(true).unwrap();
        let lost = key().subscription("net.", Prefix);
        patterns.remember(lost, "net.", Prefix);
        drop(patterns);
        let patterns = open(folder.path());
        let found = patterns.find(key().subscription("com..x", Wildcard));
        assert_eq!(found, Some(("com..x".into(), Wildcard)));
        assert_eq!(patterns.find(lost), None);
    }

    #[test]
    fn a_damaged_file_keeps_what_is_before_the_damage() {
        let folder = tempfile::tempdir().unwrap();
        let patterns = open(folder.path());
        let id = |number: u32| key().subscription(&format!("com.{number}"), Prefix);
        for number in 0..10 {
            patterns.remember(id(number), &format!("com.{number}"), Prefix);
        }
        patterns.save(true).unwrap();
        let path = folder.path().join("patterns");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let patterns = open(folder.path());
        assert!(patterns.find(id(0)).is_some());
        assert_eq!(patterns.find(id(9)), None);
        patterns.remember(id(9), "com.9", Prefix);
        patterns.save(true).unwrap();
        assert!(open(folder.path()).find(id(9)).is_some());
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let patterns = open(folder.path());
        for number in 0..10 * REMEMBERED_PATTERNS {
            let uri = format!("com.{number:06}");
            patterns.remember(key().subscription(&uri, Prefix), &uri, Prefix);
            if number % 100 == 0 {
                patterns.save(false).unwrap();
            }
        }
        let bytes = std::fs::metadata(folder.path().join("patterns"))
            .unwrap()
            .len();
        assert!(bytes < 5 * 30 * REMEMBERED_PATTERNS as u64, "{bytes}");
        drop(patterns);
        open(folder.path());
        let bytes = std::fs::metadata(folder.path().join("patterns"))
            .unwrap()
            .len();
        assert!(bytes < 31 * REMEMBERED_PATTERNS as u64, "{bytes}");
    }
}
