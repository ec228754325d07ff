//! The `patterns` file: subscriptions that the store can answer for by their ID alone. Records
//! are appended when a subscription is new, and become durable with the next commit; the file is
//! written anew when it is mostly repetition.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytestring::ByteString;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use super::disk::{Disk, DiskError, Done};
use super::fields::{put_text, put_u32, take_bytes, take_text, take_u8, take_u32};
use super::head::{policy_byte, policy_from_byte};
use crate::subscription::{PatternTable, REMEMBERED_PATTERNS, Remember, StoreKey};

/// The file begins with it. A record: `u32` length of what follows the checksum, `u32` CRC-32
/// of that, `u8` match, `u32` length, URI.
const MAGIC: &[u8] = b"RWMPPATT\x01";

/// Remembered subscriptions, in memory and in their file.
#[derive(Debug)]
pub(super) struct Patterns {
    disk: Disk,
    path: PathBuf,
    file: File,
    table: PatternTable,
    records: usize,
    unsaved: Vec<u8>,
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
        if !whole || records > 2 * REMEMBERED_PATTERNS {
            disk.replace(&path, &encode(&table))?;
            records = table.len();
        }
        let file = open_end(disk, &path)?;
        let disk = disk.clone();
        Ok(Self {
            disk,
            path,
            file,
            table,
            records,
            unsaved: Vec::new(),
        })
    }

    /// Remembers a subscription; [`Self::save`] makes that durable.
    pub(super) fn remember(&mut self, id: SubscriptionId, uri: &str, match_policy: MatchPolicy) {
        if self.table.remember(id, uri, match_policy) != Remember::Known {
            put_record(&mut self.unsaved, uri, match_policy);
            self.records += 1;
        }
    }

    pub(super) fn find(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.table.find(id)
    }

    /// Writes what is new, and waits for the disk if `sync`.
    pub(super) fn save(&mut self, sync: bool) -> Done {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if self.records > 4 * REMEMBERED_PATTERNS {
            self.disk.replace(&self.path, &encode(&self.table))?;
            self.file = open_end(&self.disk, &self.path)?;
            self.records = self.table.len();
            self.unsaved.clear();
            return Ok(());
        }
        self.disk.write(&self.path, &mut self.file, &self.unsaved)?;
        self.unsaved.clear();
        if sync {
            self.disk.sync(&self.path, &self.file)
        } else {
            Ok(())
        }
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
        let mut patterns = open(folder.path());
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
        let mut patterns = open(folder.path());
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
        let mut patterns = open(folder.path());
        assert!(patterns.find(id(0)).is_some());
        assert_eq!(patterns.find(id(9)), None);
        patterns.remember(id(9), "com.9", Prefix);
        patterns.save(true).unwrap();
        assert!(open(folder.path()).find(id(9)).is_some());
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut patterns = open(folder.path());
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
