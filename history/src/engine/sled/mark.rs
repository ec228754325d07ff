//! The `mark` of a store: how far sequences are given out, and up to where events were
//! acknowledged. Two slots written in turn, each whole in its own sector, so that one is sound
//! whatever happens to the other. Knows no events.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Done};
use super::fields::{put_u32, put_u64, take_u32, take_u64};
use crate::event::{Sequence, Timestamp};

/// What a mark says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marked {
    /// Sequences below it may have been given out.
    pub(super) reserved: Sequence,
    /// The newest event that was acknowledged as stored. After power loss a lower bound.
    pub(super) acknowledged: Sequence,
    /// The newest time that was stored.
    pub(super) last_time: Timestamp,
    /// After a clean end: the next sequence that the realm would have given out. 0 otherwise.
    pub(super) clean: Sequence,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Mark {
    disk: Disk,
    path: PathBuf,
    /// None where the store is only read.
    file: Option<File>,
    generation: u64,
    now: Marked,
}

/// Magic, generation, four numbers, CRC-32 of what is before it.
const SLOT: usize = 8 + 8 + 4 * 8 + 4;
const MAGIC: [u8; 8] = *b"RWMPMARK";
/// Slots are a sector apart.
const APART: u64 = 512;

impl Mark {
    /// Opens the mark in `folder`; the answer is `None` where it is missing or damaged.
    pub(super) fn open(disk: &Disk, folder: &Path) -> Done<(Self, Option<Marked>)> {
        let path = folder.join("mark");
        let bytes = disk.read(&path)?.unwrap_or_default();
        let slots = [
            bytes.get(..SLOT),
            bytes.get(APART as usize..APART as usize + SLOT),
        ];
        let newest = slots
            .into_iter()
            .flatten()
            .filter_map(decode)
            .max_by_key(|(number, _)| *number);
        let file = match disk.is_readonly() {
            true => None,
            false => Some(disk.open_or_create(&path)?),
        };
        let (generation, now) = newest.unwrap_or_default();
        let mark = Self {
            disk: disk.clone(),
            path,
            file,
            generation,
            now,
        };
        Ok((mark, newest.map(|(_, marked)| marked)))
    }

    pub(super) fn now(&self) -> Marked {
        self.now
    }

    /// Writes durably.
    pub(super) fn set(&mut self, marked: Marked) -> Done {
        self.write(marked)?;
        if let Some(file) = &self.file {
            self.disk.sync(&self.path, file)?;
        }
        self.now = marked;
        Ok(())
    }

    /// Writes without waiting: exact after a crash of this process, and after power loss older.
    pub(super) fn acknowledge(&mut self, newest: Sequence, time: Timestamp) -> Done {
        let marked = Marked {
            acknowledged: newest,
            last_time: time,
            ..self.now
        };
        self.write(marked)?;
        self.now = marked;
        Ok(())
    }

    fn write(&mut self, marked: Marked) -> Done {
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend_from_slice(&MAGIC);
        put_u64(&mut slot, self.generation + 1);
        put_u64(&mut slot, marked.reserved.get());
        put_u64(&mut slot, marked.acknowledged.get());
        put_u64(&mut slot, marked.last_time.nanos());
        put_u64(&mut slot, marked.clean.get());
        let crc = crc32fast::hash(&slot);
        put_u32(&mut slot, crc);
        let at = (self.generation + 1) % 2 * APART;
        if let Some(file) = &self.file {
            self.disk.write_at(&self.path, file, &slot, at)?;
        }
        self.generation += 1;
        Ok(())
    }
}

fn decode(slot: &[u8]) -> Option<(u64, Marked)> {
    let mut crc = slot.get(SLOT - 4..)?;
    if take_u32(&mut crc)? != crc32fast::hash(slot.get(..SLOT - 4)?) {
        return None;
    }
    let mut rest = slot.strip_prefix(&MAGIC)?;
    let generation = take_u64(&mut rest)?;
    let marked = Marked {
        reserved: Sequence::new(take_u64(&mut rest)?),
        acknowledged: Sequence::new(take_u64(&mut rest)?),
        last_time: Timestamp::from_nanos(take_u64(&mut rest)?),
        clean: Sequence::new(take_u64(&mut rest)?),
    };
    Some((generation, marked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(number: u64) -> Marked {
        Marked {
            reserved: Sequence::new(number + 1_000),
            acknowledged: Sequence::new(number),
            last_time: Timestamp::from_nanos(number * 7),
            clean: Sequence::ZERO,
        }
    }

    #[test]
    fn a_mark_says_what_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mark, before) = Mark::open(&Disk::default(), folder.path()).unwrap();
        assert_eq!(before, None);
        for number in 1..10 {
            mark.set(marked(number)).unwrap();
            mark.acknowledge(Sequence::new(number + 5), Timestamp::from_nanos(9))
                .unwrap();
            let (_, found) = Mark::open(&Disk::default(), folder.path()).unwrap();
            assert_eq!(found, Some(mark.now()));
        }
    }

    #[test]
    fn with_the_newest_slot_damaged_the_one_before_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mut mark, _) = Mark::open(&Disk::default(), folder.path()).unwrap();
        mark.set(marked(1)).unwrap();
        mark.set(marked(2)).unwrap();
        let path = folder.path().join("mark");
        let sound = std::fs::read(&path).unwrap();
        for bit in 0..SLOT * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            let (_, found) = Mark::open(&Disk::default(), folder.path()).unwrap();
            assert_eq!(found, Some(marked(1)), "bit {bit}");
        }
    }
}
