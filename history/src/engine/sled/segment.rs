//! A segment: a run of the realm's order with its blocks and the index over them. The newest one
//! grows in sled; one found after a crash is read from the file that sled left; the others are
//! sealed files. Dropping old history drops whole segments.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytestring::ByteString;
use hashbrown::HashMap;
use parking_lot::RwLock;
use rewamp_wamp::id::{PublicationId, SubscriptionId};

use super::active::Db;
use super::block::Block;
use super::cursor::{Cursor, Hit, Run};
use super::disk::DiskError;
use super::head::Head;
use super::index::{BlockEntry, Growing, Index, List, RESTRICTED};
use super::pages::PageCache;
use super::piece;
use super::sealed::Sealed;
use crate::error::StoreError;
use crate::event::{EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::page::{Reach, Target, Visit};

/// Why something could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes are there and not what was written: this part is lost, the rest is not.
    Damaged,
    /// The disk or sled did not answer: nothing is known to be lost.
    Failed(String, io::ErrorKind),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The file is shorter than its index says.
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            kind => Self::Failed(error.to_string(), kind),
        }
    }
}

impl From<DiskError> for Fault {
    fn from(error: DiskError) -> Self {
        Self::from(error.source)
    }
}

/// One segment, shared by the writer, the keeper and all readers.
#[derive(Debug)]
pub(super) struct Segment {
    /// Counts up from segment to segment; part of file names.
    pub(super) generation: u64,
    /// Its file or folder.
    pub(super) path: PathBuf,
    pub(super) head: Head,
    pub(super) body: Body,
    /// What every block begins with.
    pub(super) mark: [u8; 8],
    /// Something in its file is not what was written: the file is set aside, not removed, when
    /// what is left of it has been sealed.
    pub(super) damaged: bool,
}

/// Where a segment's events are.
#[derive(Debug)]
pub(super) enum Body {
    /// Index in memory.
    Open {
        index: Box<RwLock<Growing>>,
        blocks: Blocks,
    },
    /// All in one file.
    Sealed(Box<Sealed>),
}

/// Where the blocks of an open segment are.
#[derive(Debug)]
pub(super) enum Blocks {
    /// In sled, which this process writes to.
    Db(Db),
    /// In a file that is only read. Blocks that lie there in pieces are listed by their first
    /// sequence.
    File {
        file: File,
        pieces: HashMap<Sequence, Vec<u64>>,
    },
}

/// A run of sequences that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
}

impl Segment {
    /// About how many bytes it takes when it is sealed, rather more than less.
    pub(super) fn sealed_bytes(&self) -> u64 {
        match &self.body {
            Body::Open { index, .. } => {
                let index = index.read();
                let blocks: u64 = index
                    .blocks()
                    .iter()
                    .map(|block| u64::from(block.length))
                    .sum();
                blocks + index.sealed_bytes()
            }
            Body::Sealed(sealed) => sealed.size(),
        }
    }

    /// The oldest generation whose events are in here.
    pub(super) fn since(&self) -> u64 {
        match &self.body {
            Body::Open { .. } => self.generation,
            Body::Sealed(sealed) => sealed.since(),
        }
    }

    /// The sealed file that it is.
    pub(super) fn sealed(&self) -> Option<&Sealed> {
        match &self.body {
            Body::Open { .. } => None,
            Body::Sealed(sealed) => Some(sealed),
        }
    }

    /// The database that it grows in.
    pub(super) fn db(&self) -> Option<&Db> {
        match &self.body {
            Body::Open {
                blocks: Blocks::Db(db),
                ..
            } => Some(db),
            _ => None,
        }
    }

    /// Whether reading it anew from its file may help where this went wrong: it is damaged, or
    /// sled, which answers nothing any more once it could not write, holds it.
    pub(super) fn is_renewable(&self, fault: &Fault) -> bool {
        matches!(fault, Fault::Damaged) || self.db().is_some()
    }

    /// Events in it.
    pub(super) fn events(&self) -> u32 {
        match &self.body {
            Body::Open { index, .. } => index.read().events(),
            Body::Sealed(sealed) => sealed.events(),
        }
    }

    /// Its first and its last event.
    pub(super) fn ends(&self) -> Option<(Sequence, Sequence)> {
        match &self.body {
            Body::Open { index, .. } => {
                let index = index.read();
                Some((index.blocks().first()?.first, index.last()?.0))
            }
            Body::Sealed(sealed) => Some((sealed.blocks().first()?.first, sealed.last().0)),
        }
    }

    /// The event stored before its first.
    pub(super) fn previous(&self) -> Sequence {
        match &self.body {
            Body::Open { index, .. } => index.read().previous(),
            Body::Sealed(sealed) => sealed.previous(),
        }
    }

    /// The newest event's sequence and time.
    pub(super) fn last(&self) -> Option<(Sequence, Timestamp)> {
        match &self.body {
            Body::Open { index, .. } => index.read().last(),
            Body::Sealed(sealed) => Some(sealed.last()),
        }
    }

    /// How many events of a filter it has, and the sequence of the newest.
    pub(super) fn filter(&self, filter: FilterId) -> (u32, Sequence) {
        match &self.body {
            Body::Open { index, .. } => {
                let index = index.read();
                (index.filter(filter).len(), index.last_of(filter))
            }
            Body::Sealed(sealed) => (sealed.filter(filter).len(), sealed.last_of(filter)),
        }
    }

    /// The filters that have events in here, each with its newest.
    pub(super) fn filters(&self) -> Vec<(FilterId, Sequence)> {
        match &self.body {
            Body::Open { index, .. } => {
                let index = index.read();
                let lists = index.filter_lists().into_iter();
                lists
                    .map(|(filter, last, ..)| (filter, last))
                    .filter(|(filter, _)| *filter != RESTRICTED)
                    .collect()
            }
            Body::Sealed(sealed) => sealed.filters().collect(),
        }
    }

    /// The sequence of the filter's event at `index`, counted from its oldest in here.
    pub(super) fn sequence_at(&self, filter: FilterId, index: u32) -> Result<Sequence, Fault> {
        let mut pages = PageCache::default();
        let hit = match &self.body {
            Body::Open { index: open, .. } => {
                let open = open.read();
                hit_at(&*open, open.at(&open.filter(filter), index, &mut pages)?)
            }
            Body::Sealed(sealed) => hit_at(
                &**sealed,
                sealed.at(&sealed.filter(filter), index, &mut pages)?,
            ),
        };
        let mut buffer = Buffer::default();
        let event = self.event(&hit.ok_or(Fault::Damaged)?, &mut buffer)?;
        Ok(event.sequence)
    }

    /// The sequence of a publication.
    pub(super) fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, Fault> {
        let hit = match &self.body {
            Body::Open { index, .. } => {
                let index = index.read();
                let Some(ordinal) = index.publication(publication) else {
                    return Ok(None);
                };
                hit_at(&*index, ordinal)
            }
            Body::Sealed(sealed) => {
                let Some(ordinal) = sealed.publication(publication)? else {
                    return Ok(None);
                };
                hit_at(&**sealed, ordinal)
            }
        };
        let mut buffer = Buffer::default();
        let event = self.event(&hit.ok_or(Fault::Damaged)?, &mut buffer)?;
        Ok((event.publication == publication).then_some(event.sequence))
    }

    /// One event.
    pub(super) fn event<'b>(
        &self,
        hit: &Hit,
        buffer: &'b mut Buffer,
    ) -> Result<EventRef<'b>, Fault> {
        self.load(hit, buffer)?
            .event(hit.index)
            .ok_or(Fault::Damaged)
    }

    /// The topic whose exact subscription has this ID.
    pub(super) fn subscribed_topic(&self, id: SubscriptionId) -> Result<Option<ByteString>, Fault> {
        match &self.body {
            Body::Open { index, .. } => Ok(index.read().subscribed_topic(id).cloned()),
            Body::Sealed(sealed) => sealed.subscribed_topic(id),
        }
    }

    /// Visits the filter's events on target, in order; blocks that are damaged are passed over
    /// and reported to `holes`.
    pub(super) fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<ControlFlow<()>, Fault> {
        if !self.knows(filter) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut pages = PageCache::default();
        let (lists, ordinals) = self.look_up(|index| {
            let lists = index.lists(filter, target, &mut pages);
            (lists, index.ordinals(reach))
        });
        let runs = lists?.into_iter().map(Run::from).collect();
        self.walk_runs(runs, ordinals, reverse, pages, visit, holes)
    }

    /// Whether the filter was configured when the segment grew. If not, what others kept of its
    /// topics is none of its history.
    pub(super) fn knows(&self, filter: FilterId) -> bool {
        self.head.filters.iter().any(|known| known.id == filter)
    }

    /// Looks something up in the index, which is locked meanwhile.
    pub(super) fn look_up<T>(&self, look: impl FnOnce(&dyn Index) -> T) -> T {
        match &self.body {
            Body::Open { index, .. } => look(&*index.read()),
            Body::Sealed(sealed) => look(&**sealed),
        }
    }

    /// Visits all events in order.
    pub(super) fn walk_all(
        &self,
        visit: Visit<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<ControlFlow<()>, Fault> {
        let all = List {
            dense: self.events(),
            start: 0,
            count: 0,
        };
        let ordinals = (0, all.dense);
        self.walk_runs(
            vec![Run::from(all)],
            ordinals,
            false,
            PageCache::default(),
            visit,
            holes,
        )
    }

    /// Visits the events of some runs with ordinals within `ordinals` in order.
    pub(super) fn walk_runs(
        &self,
        runs: Vec<Run>,
        ordinals: (u32, u32),
        reverse: bool,
        pages: PageCache,
        visit: Visit<'_>,
        holes: &mut Vec<Hole>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut cursor = Cursor::new(runs, ordinals, reverse, pages);
        let mut hits: Vec<Hit> = Vec::new();
        let mut buffer = Buffer::default();
        loop {
            hits.clear();
            self.look_up(|index| cursor.fill(index, &mut hits))?;
            if hits.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            for run in hits.chunk_by(|one, other| one.first == other.first) {
                let Some(first) = run.first() else { continue };
                let block = match self.load(first, &mut buffer) {
                    Ok(block) => block,
                    Err(Fault::Damaged) => {
                        holes.push(self.hole(first));
                        continue;
                    }
                    Err(fault) => return Err(fault),
                };
                for hit in run {
                    if let Some(event) = block.event(hit.index)
                        && visit(&event).is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
    }

    /// The sequences that a damaged block may have held.
    pub(super) fn hole(&self, hit: &Hit) -> Hole {
        let next = match &self.body {
            Body::Open { index, .. } => next_block(index.read().blocks(), hit.first),
            Body::Sealed(sealed) => next_block(sealed.blocks(), hit.first),
        };
        let last = self.last().map_or(hit.first, |(last, _)| last);
        Hole {
            from: hit.first,
            to: next.map_or(last, Sequence::previous),
        }
    }

    /// The block of a hit, read into `buffer` unless it is there already.
    pub(super) fn load<'b>(&self, hit: &Hit, buffer: &'b mut Buffer) -> Result<Block<'b>, Fault> {
        if buffer.first != Some(hit.first) {
            buffer.first = None;
            let checked = match &self.body {
                Body::Open {
                    blocks: Blocks::Db(db),
                    ..
                } => {
                    db.block(hit.first, hit.length, buffer)?;
                    true
                }
                Body::Open {
                    blocks: Blocks::File { file, pieces },
                    ..
                } => {
                    match pieces.get(&hit.first) {
                        Some(places) => piece::gather(file, places, hit.length, buffer.room(0))?,
                        None => read_at(file, hit, buffer)?,
                    }
                    false
                }
                Body::Sealed(sealed) => {
                    read_at(sealed.file(), hit, buffer)?;
                    sealed.is_checked(hit.first)
                }
            };
            if !checked {
                Block::check(buffer.bytes(), self.mark).ok_or(Fault::Damaged)?;
                if let Body::Sealed(sealed) = &self.body {
                    sealed.set_checked(hit.first);
                }
            }
            buffer.first = Some(hit.first);
        }
        Block::trust(buffer.bytes()).ok_or(Fault::Damaged)
    }
}

pub(super) fn hit_at(index: &dyn Index, ordinal: u32) -> Option<Hit> {
    index
        .block_of(ordinal)
        .map(|entry| Hit::new(entry, ordinal))
}

fn next_block(blocks: &[BlockEntry], first: Sequence) -> Option<Sequence> {
    let next = blocks.partition_point(|block| block.first <= first);
    blocks.get(next).map(|block| block.first)
}

fn read_at(file: &File, hit: &Hit, buffer: &mut Buffer) -> Result<(), Fault> {
    let room = buffer.room(hit.length as usize);
    file.read_exact_at(room, hit.place)?;
    Ok(())
}

/// The block that a reader looks at.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    first: Option<Sequence>,
    bytes: Vec<u8>,
    shared: Option<Shared>,
    near: usize,
}

/// A block that somebody else holds too.
#[derive(Debug)]
pub(super) enum Shared {
    /// Sled.
    Sled(sled::IVec),
    /// The store itself, since it is new.
    Kept(Arc<[u8]>),
}

impl Buffer {
    /// Room for a block of so many bytes.
    pub(super) fn room(&mut self, length: usize) -> &mut Vec<u8> {
        self.shared = None;
        self.bytes.resize(length, 0);
        &mut self.bytes
    }

    /// A block that is not copied.
    pub(super) fn share(&mut self, block: Shared) {
        self.shared = Some(block);
    }

    /// Where the last block was found among those that the store keeps.
    pub(super) fn near(&mut self) -> &mut usize {
        &mut self.near
    }

    fn bytes(&self) -> &[u8] {
        match &self.shared {
            Some(Shared::Sled(block)) => block,
            Some(Shared::Kept(block)) => block,
            None => &self.bytes,
        }
    }
}

/// What a fault means to the one who asked.
pub(super) fn store_error(what: &'static str, path: &std::path::Path, fault: Fault) -> StoreError {
    match fault {
        Fault::Damaged => StoreError::Engine {
            what,
            path: path.to_owned(),
            reason: "its content is not what was written".to_owned(),
        },
        Fault::Failed(reason, kind) => StoreError::Io {
            what,
            path: path.to_owned(),
            reason,
            kind,
        },
    }
}

/// Segments in order, oldest first, as of one moment.
pub(super) type Segments = Arc<Vec<Arc<Segment>>>;
