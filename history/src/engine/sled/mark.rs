//! The `mark` of a store: how far sequences are given out, and up to where events were
//! acknowledged. Two slots written in turn, each whole in its own sector, so that one is sound
//! whatever happens to the other; in its sector, commits that failed although they may be on disk;
//! behind them, what the store holds while it is at rest.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::{Catalog, Known};
use super::disk::{Disk, Done};
use super::segment::Segment;
use crate::engine::fields::{put_u32, put_u64, take_u32, take_u64};
use crate::event::{Sequence, Timestamp};
use crate::filter::FilterId;

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

/// A commit that failed, and that those who published were told of: whatever of it is on disk is
/// not shown in another life of the store. The segment got no further events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    /// The segment's generation.
    generation: u64,
    /// The first event.
    first: Sequence,
}

/// What a store at rest holds: all its events are sealed, so who knows this needs to look at no
/// segment. Counts only beside the slot that it was written with: whatever is written to the
/// mark later ends the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) events: u64,
    /// Bytes of the folder.
    pub(super) bytes: u64,
    pub(super) segments: u64,
    /// When the first segment has nothing left that is not too old.
    pub(super) expires: Timestamp,
    /// Events of each filter, whatever its limit.
    pub(super) filters: Vec<(FilterId, u64)>,
}

impl Rest {
    /// What these segments hold, of `bytes`.
    pub(super) fn of(catalog: &Catalog, segments: &[Arc<Segment>], bytes: u64) -> Self {
        let count = |segment: &Arc<Segment>| u64::from(segment.events());
        let of_filter = |known: &Known| {
            let count = |segment: &Arc<Segment>| u64::from(segment.filter(known.id).0);
            (known.id, segments.iter().map(count).sum())
        };
        Self {
            events: segments.iter().map(count).sum(),
            bytes,
            segments: segments.len() as u64,
            expires: segments
                .iter()
                .map(|segment| expires(catalog, segment))
                .min()
                .unwrap_or(NEVER),
            filters: catalog.filters.iter().map(of_filter).collect(),
        }
    }
}

const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

/// When no filter keeps anything of a segment any more, by age alone; not before.
fn expires(catalog: &Catalog, segment: &Arc<Segment>) -> Timestamp {
    let newest = segment.last().map_or(0, |(_, time)| time.nanos());
    let filters = segment.filters().into_iter();
    let ages = filters.map(|(filter, _)| {
        let age = catalog.known(filter)?.filter.max_age?;
        u64::try_from(age.as_nanos()).ok()
    });
    // One without an age keeps it for good.
    let longest = ages.collect::<Option<Vec<u64>>>();
    let longest = longest.and_then(|ages| ages.into_iter().max());
    longest.map_or(NEVER, |age| {
        Timestamp::from_nanos(newest.saturating_add(age))
    })
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
    /// Commits that failed since one succeeded.
    refused: Vec<Refused>,
    /// Whether anything but a rest was written since it was opened.
    in_use: bool,
    /// What it said when it was opened, or says.
    resting: Option<Rest>,
}

/// Magic, generation, four numbers, CRC-32 of what is before it.
const SLOT: usize = 8 + 8 + 4 * 8 + 4;
const MAGIC: [u8; 8] = *b"RWMPMARK";
/// Slots are a sector apart.
const APART: u64 = 512;
/// Where in its slot's sector stands what was refused. Magic, generation of the slot, `u32` n,
/// n × (`u64` generation of the segment, `u64` first sequence), CRC-32 of what is before it.
const REFUSED: usize = 64;
const REFUSED_MAGIC: [u8; 8] = *b"RWMPFAIL";
/// Commits that are remembered: more than may fail before the store waits for its disk.
const MOST_REFUSED: usize = 16;
/// Where the rest is: behind the slots. Magic, generation of its slot, four numbers, `u32` n,
/// n × (`u32` filter, `u64` events), CRC-32 of what is before it.
const REST: u64 = 2 * APART;
const REST_MAGIC: [u8; 8] = *b"RWMPREST";

impl Mark {
    /// Opens the mark in `folder`; the answer is `None` where it is missing or damaged.
    pub(super) fn open(disk: &Disk, folder: &Path) -> Done<(Self, Option<Marked>)> {
        let path = folder.join("mark");
        let bytes = disk.read(&path)?.unwrap_or_default();
        let newest = newest_slot(&bytes);
        let resting = rest_of(&bytes, newest);
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
            refused: refused_with(&bytes, newest),
            in_use: false,
            resting,
        };
        Ok((mark, newest.map(|(_, marked)| marked)))
    }

    /// What the mark in `folder` says if the store is at rest. Creates nothing.
    pub(super) fn at_rest(disk: &Disk, folder: &Path) -> Done<Option<(Marked, Rest)>> {
        let bytes = disk.read(&folder.join("mark"))?.unwrap_or_default();
        let newest = newest_slot(&bytes);
        Ok(newest
            .map(|(_, marked)| marked)
            .zip(rest_of(&bytes, newest)))
    }

    pub(super) fn now(&self) -> Marked {
        self.now
    }

    /// The first event in a segment of that generation that was refused. A log that begins behind
    /// it is of another segment, which has got the number anew.
    pub(super) fn refused(&self, generation: u64) -> Option<Sequence> {
        let of = |refused: &&Refused| refused.generation == generation;
        let first = self.refused.iter().filter(of).map(|refused| refused.first);
        first.min()
    }

    /// Notes durably that a commit failed which began with `first`, in the segment of that
    /// generation.
    pub(super) fn refuse(&mut self, generation: u64, first: Sequence) -> Done {
        if self.refused.len() >= MOST_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(Refused { generation, first });
        self.set(self.now)
    }

    /// Notes durably that the store is in use, unless that was done since it was opened: before
    /// the first event is written.
    pub(super) fn begin_use(&mut self) -> Done {
        if self.in_use {
            return Ok(());
        }
        self.set(Marked {
            clean: Sequence::ZERO,
            ..self.now
        })
    }

    /// Writes durably that the store is at rest, unless that is what it says. Cut short, it is not: the two parts know
    /// whether they belong together.
    pub(super) fn rest(&mut self, marked: Marked, rest: &Rest) -> Done {
        if !self.in_use && marked == self.now && self.resting.as_ref() == Some(rest) {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(56 + rest.filters.len() * 12);
        bytes.extend_from_slice(&REST_MAGIC);
        put_u64(&mut bytes, self.generation + 1);
        put_u64(&mut bytes, rest.events);
        put_u64(&mut bytes, rest.bytes);
        put_u64(&mut bytes, rest.segments);
        put_u64(&mut bytes, rest.expires.nanos());
        put_u32(&mut bytes, rest.filters.len() as u32);
        for (filter, events) in &rest.filters {
            put_u32(&mut bytes, filter.get());
            put_u64(&mut bytes, *events);
        }
        let crc = crc32fast::hash(&bytes);
        put_u32(&mut bytes, crc);
        if let Some(file) = &self.file {
            self.disk.write_at(&self.path, file, &bytes, REST)?;
        }
        self.set(marked)?;
        self.in_use = false;
        self.resting = Some(rest.clone());
        Ok(())
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
        // Events that come after those that were refused say themselves what was before them.
        self.refused.clear();
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
        if !self.refused.is_empty() {
            slot.resize(REFUSED, 0);
            encode_refused(&mut slot, self.generation + 1, &self.refused);
        }
        let at = (self.generation + 1) % 2 * APART;
        if let Some(file) = &self.file {
            self.disk.write_at(&self.path, file, &slot, at)?;
        }
        self.generation += 1;
        self.in_use = true;
        Ok(())
    }
}

fn newest_slot(bytes: &[u8]) -> Option<(u64, Marked)> {
    let slots = [
        bytes.get(..SLOT),
        bytes.get(APART as usize..APART as usize + SLOT),
    ];
    let sound = slots.into_iter().flatten().filter_map(decode);
    sound.max_by_key(|(number, _)| *number)
}

fn encode_refused(out: &mut Vec<u8>, generation: u64, all: &[Refused]) {
    let begin = out.len();
    out.extend_from_slice(&REFUSED_MAGIC);
    put_u64(out, generation);
    put_u32(out, all.len() as u32);
    for refused in all {
        put_u64(out, refused.generation);
        put_u64(out, refused.first.get());
    }
    let crc = crc32fast::hash(out.get(begin..).unwrap_or_default());
    put_u32(out, crc);
}

/// What was refused when the newest slot was written.
fn refused_with(bytes: &[u8], newest: Option<(u64, Marked)>) -> Vec<Refused> {
    let read = |(generation, _): (u64, Marked)| {
        let sector = bytes.get((generation % 2 * APART) as usize..)?;
        let all = sector.get(REFUSED..sector.len().min(APART as usize))?;
        let mut rest = all.strip_prefix(&REFUSED_MAGIC)?;
        if take_u64(&mut rest)? != generation {
            return None;
        }
        let mut refused = Vec::new();
        for _ in 0..take_u32(&mut rest)? {
            refused.push(Refused {
                generation: take_u64(&mut rest)?,
                first: Sequence::new(take_u64(&mut rest)?),
            });
        }
        let length = all.len() - rest.len();
        let sound = take_u32(&mut rest)? == crc32fast::hash(all.get(..length)?);
        sound.then_some(refused)
    };
    newest.and_then(read).unwrap_or_default()
}

/// The rest, if it belongs to the newest slot.
fn rest_of(bytes: &[u8], newest: Option<(u64, Marked)>) -> Option<Rest> {
    let (generation, _) = newest?;
    let (of, rest) = decode_rest(bytes.get(REST as usize..)?)?;
    (of == generation).then_some(rest)
}

/// The rest, and the generation of the slot that it belongs to.
fn decode_rest(bytes: &[u8]) -> Option<(u64, Rest)> {
    let mut rest = bytes.strip_prefix(&REST_MAGIC)?;
    let generation = take_u64(&mut rest)?;
    let (events, size) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
    let segments = take_u64(&mut rest)?;
    let expires = Timestamp::from_nanos(take_u64(&mut rest)?);
    let count = take_u32(&mut rest)?;
    let mut filters = Vec::new();
    for _ in 0..count {
        filters.push((FilterId::new(take_u32(&mut rest)?), take_u64(&mut rest)?));
    }
    let length = bytes.len() - rest.len();
    let sound = take_u32(&mut rest)? == crc32fast::hash(bytes.get(..length)?);
    sound.then_some((
        generation,
        Rest {
            events,
            bytes: size,
            segments,
            expires,
            filters,
        },
    ))
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

    #[test]
    fn a_store_is_at_rest_until_the_mark_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let at_rest = || Mark::at_rest(&Disk::default(), folder.path()).unwrap();
        assert_eq!(at_rest(), None);
        let (mut mark, _) = Mark::open(&Disk::default(), folder.path()).unwrap();
        let rest = Rest {
            events: 7,
            bytes: 8,
            segments: 9,
            expires: Timestamp::from_nanos(10),
            filters: vec![(FilterId::new(3), 5), (FilterId::new(4), 6)],
        };
        for number in 1..5 {
            mark.rest(marked(number), &rest).unwrap();
            assert_eq!(at_rest(), Some((marked(number), rest.clone())));
            mark.acknowledge(Sequence::new(number + 1), Timestamp::from_nanos(9))
                .unwrap();
            assert_eq!(at_rest(), None);
        }
        mark.rest(marked(9), &rest).unwrap();
        let path = folder.path().join("mark");
        let sound = std::fs::read(&path).unwrap();
        for byte in REST as usize..sound.len() {
            let mut bytes = sound.clone();
            bytes[byte] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(at_rest(), None, "byte {byte}");
        }
    }

    #[test]
    fn what_was_refused_is_known_until_a_commit_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Mark::open(&Disk::default(), folder.path()).unwrap();
        let (mut mark, _) = open();
        mark.set(marked(1)).unwrap();
        for number in 2..30 {
            mark.refuse(number, Sequence::new(number * 10)).unwrap();
            mark.set(marked(number)).unwrap();
            let (found, says) = open();
            assert_eq!(says, Some(marked(number)));
            for known in number.saturating_sub(15).max(2)..=number {
                assert_eq!(found.refused(known), Some(Sequence::new(known * 10)));
            }
            assert_eq!(found.refused(number + 1), None);
        }
        let path = folder.path().join("mark");
        let sound = std::fs::read(&path).unwrap();
        let sector = (mark.generation % 2 * APART) as usize;
        for byte in sector + REFUSED..sector + REFUSED + 20 + 16 * 16 + 4 {
            let mut bytes = sound.clone();
            bytes[byte] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(open().0.refused(29), None, "byte {byte}");
        }
        std::fs::write(&path, sound).unwrap();
        mark.acknowledge(Sequence::new(500), Timestamp::from_nanos(9))
            .unwrap();
        assert_eq!(open().0.refused(29), None);
    }
}
