//! Reading a file for the blocks in it, whatever else it is: the log that sled left behind, or a
//! sealed file whose summary is damaged. Every block tells by itself whether it is whole, so
//! nothing but a block's own damage loses it. In sled's log older copies of most blocks lie
//! about, which is why even damaged ones are mostly found.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use hashbrown::HashMap;
use memchr::memmem;

use super::block::{self, Block, BlockHead};
use super::head::Origin;
use super::index::{BlockEntry, Growing};
use super::piece;
use super::segment::{Blocks, Fault, Hole};
use crate::event::{EventRef, Sequence};
use crate::filter::FilterTable;

/// Bytes looked at at once.
const WINDOW: usize = 4 << 20;
/// What is looked at again with the next window, since a small block may straddle the end.
const OVERLAP: usize = 16 << 10;
/// The largest block that is believed: a message of 16 MiB and its receiver lists.
const MAX_BLOCK: usize = 64 << 20;

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) index: Growing,
    pub(super) blocks: Blocks,
    /// Sequences of which blocks are missing between others.
    pub(super) holes: Vec<Hole>,
}

/// A block that is whole.
#[derive(Debug, Clone)]
struct Found {
    head: BlockHead,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Place(u64),
    Pieces(Vec<u64>),
}

/// What those who published were told of the events in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Up to here: stored.
    pub(super) acknowledged: Sequence,
    /// From here on, if it begins before: not stored.
    pub(super) refused: Option<Sequence>,
}

impl Told {
    /// All of them are stored.
    pub(super) fn all_is_stored() -> Self {
        Self {
            acknowledged: Sequence::MAX,
            refused: None,
        }
    }
}

/// Finds all blocks of a store in `file` that begin at or before `until`. The last transaction
/// is left out if it is not complete and nobody was told that it was stored, and whatever was
/// refused.
pub(super) fn scan(
    file: File,
    origin: &Origin,
    filters: &FilterTable,
    told: Told,
    until: Sequence,
) -> Result<Scanned, Fault> {
    let mut finder = Finder::new(file, origin)?;
    finder.find_blocks()?;
    finder.join_pieces()?;
    let mut found: Vec<Found> = finder.blocks.into_values().collect();
    found.retain(|found| found.head.first <= until);
    if let (Some(refused), Some(first)) = (told.refused, found.first().map(|it| it.head.first))
        && first <= refused
    {
        found.retain(|found| found.head.first < refused);
    }
    drop_unfinished(&mut found, told.acknowledged);
    let previous = found
        .first()
        .map_or(Sequence::ZERO, |first| first.head.place.previous);
    let mut scanned = Scanned {
        index: Growing::after(previous),
        blocks: Blocks::File {
            file: finder.file,
            pieces: HashMap::new(),
        },
        holes: Vec::new(),
    };
    let mut bytes = Vec::new();
    for found in found {
        scanned.note(found, origin, filters, &mut bytes)?;
    }
    Ok(scanned)
}

impl Scanned {
    /// Adds the next block to the index.
    fn note(
        &mut self,
        found: Found,
        origin: &Origin,
        filters: &FilterTable,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let BlockHead {
            first,
            first_time: time,
            length,
            place: stands,
            ..
        } = found.head;
        if let Some((before, _)) = self.index.last()
            && stands.previous > before
        {
            self.holes.push(Hole {
                from: before.next(),
                to: stands.previous,
            });
        }
        let Blocks::File { file, pieces } = &mut self.blocks else {
            return Ok(());
        };
        let place = match found.at {
            At::Place(place) => {
                bytes.resize(length as usize, 0);
                file.read_exact_at(bytes, place)?;
                place
            }
            At::Pieces(places) => {
                piece::gather(file, &places, length, bytes)?;
                pieces.insert(first, places);
                0
            }
        };
        self.index.begin_block(BlockEntry {
            first,
            time,
            ordinal: 0,
            length,
            place,
        });
        let block = Block::trust(bytes).ok_or(Fault::Damaged)?;
        for event in (0..block.events()).filter_map(|number| block.event(number)) {
            let topic = filters.topic_or_bare(event.topic);
            let EventRef {
                sequence,
                time,
                publication,
                receivers,
                ..
            } = event;
            let (key, restricted) = (&origin.key, receivers.is_some());
            self.index
                .add(key, &topic, sequence, time, publication, restricted);
        }
        Ok(())
    }
}

struct Finder {
    file: File,
    length: u64,
    block_mark: [u8; 8],
    piece_mark: [u8; 8],
    blocks: BTreeMap<Sequence, Found>,
    /// By the block's first sequence: its length, and where its pieces are.
    pieces: HashMap<Sequence, (u32, Vec<Option<u64>>)>,
}

impl Finder {
    fn new(file: File, origin: &Origin) -> Result<Self, Fault> {
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            length,
            block_mark: origin.block_mark(),
            piece_mark: origin.piece_mark(),
            blocks: BTreeMap::new(),
            pieces: HashMap::new(),
        })
    }

    fn find_blocks(&mut self) -> Result<(), Fault> {
        let mut window = vec![0; WINDOW + OVERLAP];
        let mut begin: u64 = 0;
        while begin < self.length {
            let rest = usize::try_from(self.length - begin).unwrap_or(usize::MAX);
            let size = rest.min(window.len());
            let Some(view) = window.get_mut(..size) else {
                return Ok(());
            };
            self.file.read_exact_at(view, begin)?;
            let view = &*view;
            let (block_mark, piece_mark) = (self.block_mark, self.piece_mark);
            for at in memmem::find_iter(view, &block_mark) {
                self.note_block(view.get(at..).unwrap_or_default(), begin + at as u64)?;
            }
            for at in memmem::find_iter(view, &piece_mark) {
                self.note_piece(view.get(at..).unwrap_or_default(), begin + at as u64);
            }
            begin += WINDOW as u64;
        }
        Ok(())
    }

    /// A block may begin with `bytes`, and go on in the file where they end.
    fn note_block(&mut self, bytes: &[u8], at: u64) -> Result<(), Fault> {
        let Some(head) = BlockHead::peek(bytes, self.block_mark) else {
            return Ok(());
        };
        let length = head.length as usize;
        let known = self.blocks.contains_key(&head.first);
        if known || !(block::HEADER..=MAX_BLOCK).contains(&length) {
            return Ok(());
        }
        let found = if length <= bytes.len() {
            check(bytes, self.block_mark, At::Place(at))
        } else if at + head.length as u64 <= self.length {
            let mut whole = vec![0; length];
            self.file.read_exact_at(&mut whole, at)?;
            check(&whole, self.block_mark, At::Place(at))
        } else {
            None
        };
        if let Some(found) = found {
            self.blocks.insert(found.head.first, found);
        }
        Ok(())
    }

    fn note_piece(&mut self, bytes: &[u8], at: u64) {
        let Some(head) = piece::check(bytes, self.piece_mark) else {
            return;
        };
        if head.block as usize > MAX_BLOCK {
            return;
        }
        let count = piece::count(head.block as usize);
        let (_, places) = self
            .pieces
            .entry(head.first)
            .or_insert_with(|| (head.block, vec![None; count]));
        if let Some(place) = places.get_mut(head.index as usize) {
            *place = Some(at);
        }
    }

    fn join_pieces(&mut self) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        for (length, places) in std::mem::take(&mut self.pieces).into_values() {
            let Some(places) = places.into_iter().collect::<Option<Vec<u64>>>() else {
                continue;
            };
            piece::gather(&self.file, &places, length, &mut bytes)?;
            if let Some(found) = check(&bytes, self.block_mark, At::Pieces(places)) {
                self.blocks.insert(found.head.first, found);
            }
        }
        Ok(())
    }
}

fn check(bytes: &[u8], mark: [u8; 8], at: At) -> Option<Found> {
    let head = BlockHead::peek(bytes, mark)?;
    let block = Block::check(bytes, mark)?;
    // All that is in a block is read here once, so that nobody is surprised later.
    (0..block.events()).try_for_each(|number| block.event(number).map(drop))?;
    Some(Found { head, at })
}

/// Leaves the last transaction out if it was cut short, by a crash or with the power: then any of
/// its blocks may be missing, also the first. If it was acknowledged, it was whole once, and what is
/// left of it stays.
fn drop_unfinished(found: &mut Vec<Found>, acknowledged: Sequence) {
    let Some(last) = found.last() else { return };
    let is_told = last.head.first <= acknowledged;
    let (mut begin, mut start) = (found.len(), u32::MAX);
    let (mut events, total) = (0, last.head.place.commit_events);
    for found in found.iter().rev() {
        let (place, count) = (&found.head.place, u32::from(found.head.events));
        // A block of the transaction before ends where no block of this one can begin.
        let is_part = place.commit_events == total
            && place.commit_start.saturating_add(count) <= start.min(total);
        if !is_part || start == 0 {
            break;
        }
        start = place.commit_start;
        events += count;
        begin -= 1;
    }
    if events != total && !is_told {
        found.truncate(begin);
    }
}
