//! Sealing: the events of one or more open segments become one file that never changes again,
//! packed densely and indexed. Done by the keeper, off the way of a commit; readers see the old
//! segments until the new one is in their place.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytestring::ByteString;

use super::block::{Packer, Place};
use super::bloom::Bloom;
use super::disk::{Disk, DiskError};
use super::head::Head;
use super::index::{BlockEntry, Growing, List};
use super::pages::{TopicEntry, put_ordinals, put_pairs, put_topics};
use super::sealed::{self, Array, Sealed, Summary};
use super::segment::{Body, Buffer, Fault, Hole, Segment, hit_at, store_error};
use super::unwanted::Unwanted;
use crate::error::StoreError;
use crate::event::{EventRef, Sequence};
use crate::filter::FilterTable;

/// Bytes of a block, if it has more than one event. 8 KiB: one read of two pages for an event at
/// a random place, and under a hundredth of the bytes for its header.
const BLOCK: usize = 8_192;

/// Bytes written between two syncs: a commit that comes at the same time waits for no more.
const STRIDE: usize = 1 << 20;

/// A sealed file takes about so much besides its events: no array takes less than a page.
const LEAST: u64 = 24 << 10;

/// The file of a sealed segment.
pub(super) fn sealed_path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:010}.sealed"))
}

/// Where a damaged file or folder is set aside.
pub(super) fn bad_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbered = |number: u32| match number {
        0 => path.with_file_name(format!("bad-{name}")),
        _ => path.with_file_name(format!("bad-{name}.{number}")),
    };
    (0..)
        .map(numbered)
        .find(|path| !path.exists())
        .unwrap_or_else(|| numbered(0))
}

/// A segment that is sealed, without the events that no filter keeps.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) segment: Arc<Segment>,
    pub(super) unwanted: Unwanted,
}

impl Source {
    /// With all that it has.
    pub(super) fn whole(segment: &Arc<Segment>) -> Self {
        Self {
            segment: Arc::clone(segment),
            unwanted: Unwanted::default(),
        }
    }

    /// About how many bytes of the sealed file are its.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.segment.sealed_bytes();
        bytes.saturating_sub(self.unwanted.bytes()).max(LEAST)
    }

    /// The newest event that is kept.
    pub(super) fn newest(&self) -> Result<Option<Sequence>, Fault> {
        let events = 0..self.segment.events();
        let newest = events.rev().find(|ordinal| !self.unwanted.holds(*ordinal));
        let Some(newest) = newest else {
            return Ok(None);
        };
        let hit = self.segment.look_up(|index| hit_at(index, newest));
        let hit = hit.ok_or(Fault::Damaged)?;
        match self.segment.event(&hit, &mut Buffer::default()) {
            Ok(event) => Ok(Some(event.sequence)),
            // It goes with its block, and what is before it there cannot be told.
            Err(Fault::Damaged) => Ok(self.segment.last().map(|(last, _)| last)),
            Err(fault) => Err(fault),
        }
    }
}

/// Called before each stride is written, with the bytes of the file so far and after it. It may
/// take its time, or say that nothing is to be sealed.
pub(super) type Pace<'p> = &'p mut dyn FnMut(u64, u64) -> Result<(), SealError>;

/// Why nothing was sealed.
#[derive(Debug)]
pub(super) enum SealError {
    /// There is something more urgent to do.
    Urgent,
    /// A source could not be read.
    Source(StoreError),
    /// The file could not be written: the sources are as good as before.
    Target(StoreError),
}

impl From<DiskError> for SealError {
    fn from(error: DiskError) -> Self {
        Self::Target(error.into())
    }
}

impl SealError {
    /// `Ok` where there was something more urgent to do.
    pub(super) fn unless_urgent(self) -> Result<(), StoreError> {
        match self {
            Self::Urgent => Ok(()),
            Self::Source(error) | Self::Target(error) => Err(error),
        }
    }
}

/// Writes the events of `sources`, which follow one another and have one head, into one sealed
/// segment of the newest one's generation: those that are to be kept. `None` if there are no events. What could not be read
/// is reported to `holes`.
pub(super) fn seal(
    disk: &Disk,
    folder: &Path,
    sources: &[Source],
    keep: &dyn Fn(&EventRef<'_>) -> bool,
    pace: Pace<'_>,
    holes: &mut Vec<Hole>,
) -> Result<Option<Segment>, SealError> {
    let Some(newest) = sources.last().map(|newest| &*newest.segment) else {
        return Ok(None);
    };
    let path = sealed_path(folder, newest.generation);
    let sealed = write(disk, &path, newest, sources, keep, pace, holes);
    // What was written only takes room, which may be what is missing; unless it is all there is
    // in place of a damaged file that has been set aside.
    if sealed.is_err() && sources.iter().all(|source| source.segment.path.exists()) {
        let _ = disk.remove(&path.with_extension("tmp"));
    }
    Ok(sealed?.map(|sealed| Segment {
        generation: newest.generation,
        path,
        head: newest.head.clone(),
        body: Body::Sealed(Box::new(sealed)),
        mark: newest.mark,
        damaged: false,
    }))
}

fn write(
    disk: &Disk,
    path: &Path,
    newest: &Segment,
    sources: &[Source],
    keep: &dyn Fn(&EventRef<'_>) -> bool,
    pace: Pace<'_>,
    holes: &mut Vec<Hole>,
) -> Result<Option<Sealed>, SealError> {
    let oldest = sources.first();
    let previous = oldest.map_or(Sequence::ZERO, |oldest| oldest.segment.previous());
    let draft_path = path.with_extension("tmp");
    let mut draft = Draft::begin(
        disk,
        draft_path.clone(),
        &newest.head,
        newest.mark,
        previous,
        pace,
    )?;
    for Source { segment, unwanted } in sources {
        let mut failed = None;
        let walked = segment.walk_but(
            unwanted,
            &mut |event| match keep(event).then(|| draft.push(event)).transpose() {
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            },
            holes,
        );
        let _ = walked
            .map_err(|fault| SealError::Source(store_error("cannot seal", &segment.path, fault)))?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    let since = sources.iter().map(|source| source.segment.since()).min();
    // One that is whole, and written anew, is replaced; a damaged one is set aside.
    let replaces = |source: &Source| source.segment.damaged && source.segment.path == path;
    if path.exists() && sources.iter().any(replaces) {
        draft.damaged = true;
    }
    let sealed = draft.finish(since.unwrap_or(newest.generation), path)?;
    if sealed.is_none() {
        disk.remove(&draft_path)?;
    }
    Ok(sealed)
}

/// A sealed file in the making.
struct Draft<'a> {
    disk: &'a Disk,
    pace: Pace<'a>,
    path: PathBuf,
    /// It takes the place of a damaged sealed file, which is set aside. Another one there is what
    /// an attempt has left that failed at the very end.
    damaged: bool,
    file: File,
    /// Bytes of the file so far, including those in `buffer`.
    place: u64,
    /// Those that are written.
    written: u64,
    buffer: Vec<u8>,
    head: &'a Head,
    filters: FilterTable,
    mark: [u8; 8],
    packer: Packer,
    /// The event that the block in the packer begins with.
    first: Option<BlockEntry>,
    index: Growing,
    blocks: Vec<BlockEntry>,
    events: u32,
    previous: Sequence,
    newest: Sequence,
}

impl<'a> Draft<'a> {
    fn begin(
        disk: &'a Disk,
        path: PathBuf,
        head: &'a Head,
        mark: [u8; 8],
        previous: Sequence,
        pace: Pace<'a>,
    ) -> Result<Self, SealError> {
        let file = disk.create(&path)?;
        let buffer = head.encode(sealed::MAGIC);
        Ok(Self {
            disk,
            pace,
            path,
            damaged: false,
            file,
            place: buffer.len() as u64,
            written: 0,
            buffer,
            head,
            filters: FilterTable::new(head.filters.clone()),
            mark,
            packer: Packer::default(),
            first: None,
            index: Growing::after(previous),
            blocks: Vec::new(),
            events: 0,
            previous,
            newest: previous,
        })
    }

    fn push(&mut self, event: &EventRef<'_>) -> Result<(), SealError> {
        if !self.packer.has_room(event, BLOCK) {
            self.close_block()?;
        }
        let (first, time) = (event.sequence, event.time);
        let ordinal = self.events;
        self.first.get_or_insert(BlockEntry {
            first,
            time,
            ordinal,
            length: 0,
            place: 0,
        });
        let topic = self.filters.topic_or_bare(event.topic);
        let key = &self.head.origin.key;
        let restricted = event.receivers.is_some();
        let EventRef {
            sequence,
            time,
            publication,
            ..
        } = *event;
        self.index
            .add(key, &topic, sequence, time, publication, restricted);
        self.packer.push(event);
        self.events += 1;
        self.newest = event.sequence;
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), SealError> {
        let Some(first) = self.first.take() else {
            return Ok(());
        };
        // A sealed block is a transaction of its own: all are complete.
        let commit_events = self.packer.events() as u32;
        let place = Place {
            commit_events,
            commit_start: 0,
            previous: self.previous,
        };
        let block = self.packer.finish(self.mark, &place);
        self.blocks.push(BlockEntry {
            length: block.len() as u32,
            place: self.place,
            ..first
        });
        self.buffer.extend_from_slice(block);
        self.place += block.len() as u64;
        self.previous = self.newest;
        if self.buffer.len() >= STRIDE {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), SealError> {
        let end = self.written + self.buffer.len() as u64;
        (self.pace)(self.written, end)?;
        self.disk.write(&self.path, &mut self.file, &self.buffer)?;
        self.written = end;
        self.buffer.clear();
        Ok(self.disk.sync(&self.path, &self.file)?)
    }

    /// Index and summary, then the file gets its name. `None` without events.
    fn finish(mut self, since: u64, path: &Path) -> Result<Option<Sealed>, SealError> {
        self.close_block()?;
        let Some((last, last_time)) = self.index.last() else {
            return Ok(None);
        };
        let mut ordinals = OrdinalsOnDisk::default();
        let filters = self.index.filter_lists();
        let filters = filters
            .into_iter()
            .map(|(filter, last, dense, rest)| (filter, last, ordinals.list(dense, rest)))
            .collect();
        let topics: Vec<TopicEntry<'_>> = self
            .index
            .topic_lists()
            .map(|(name, dense, rest)| {
                let List {
                    dense,
                    start,
                    count,
                } = ordinals.list(dense, rest);
                TopicEntry {
                    name,
                    dense,
                    start,
                    count,
                }
            })
            .collect();
        let mut array = ArrayWriter {
            buffer: &mut self.buffer,
            place: self.place,
        };
        let summary = Summary {
            events: self.events,
            previous: self.index.previous(),
            last,
            last_time,
            since,
            filters,
            blocks: std::mem::take(&mut self.blocks),
            ordinals: array.ordinals(&ordinals.all),
            publications: array.pairs(&self.index.publications()),
            subscriptions: array.pairs(&subscriptions(&self.index, &topics)),
            topics: array.topics(&topics),
            bloom: Bloom::of(self.index.publications().iter().map(|(id, _)| *id)),
        };
        self.place = array.place;
        self.buffer.extend_from_slice(&summary.encode(self.place));
        self.flush()?;
        if self.damaged {
            self.disk.rename(path, &bad_path(path))?;
        }
        self.disk.rename(&self.path, path)?;
        let size = self.disk.size(path);
        Ok(Some(Sealed::new(self.file, size, summary)))
    }
}

/// All lists one after another.
#[derive(Default)]
struct OrdinalsOnDisk {
    all: Vec<u32>,
}

impl OrdinalsOnDisk {
    fn list(&mut self, dense: u32, rest: &[u32]) -> List {
        let start = self.all.len() as u32;
        self.all.extend_from_slice(rest);
        List {
            dense,
            start,
            count: rest.len() as u32,
        }
    }
}

/// Appends arrays in pages to a buffer whose first byte comes to stand at some place.
struct ArrayWriter<'b> {
    buffer: &'b mut Vec<u8>,
    place: u64,
}

impl ArrayWriter<'_> {
    fn put<T>(&mut self, count: usize, put: impl FnOnce(&mut Vec<u8>, &mut Vec<T>)) -> Array<T> {
        let (place, begin) = (self.place, self.buffer.len());
        let mut firsts = Vec::new();
        put(self.buffer, &mut firsts);
        self.place += (self.buffer.len() - begin) as u64;
        Array {
            place,
            count: count as u32,
            firsts,
        }
    }

    fn ordinals(&mut self, ordinals: &[u32]) -> Array<u32> {
        self.put(ordinals.len(), |bytes, firsts| {
            put_ordinals(bytes, firsts, ordinals)
        })
    }

    fn pairs(&mut self, pairs: &[(u64, u32)]) -> Array<u64> {
        self.put(pairs.len(), |bytes, firsts| put_pairs(bytes, firsts, pairs))
    }

    fn topics(&mut self, topics: &[TopicEntry<'_>]) -> Array<(u32, ByteString)> {
        self.put(topics.len(), |bytes, firsts| {
            let mut names = Vec::new();
            put_topics(bytes, &mut names, topics);
            firsts.extend(
                names
                    .into_iter()
                    .map(|(number, name)| (number, name.into())),
            );
        })
    }
}

/// Exact subscription to the topic's number in the dictionary.
fn subscriptions(index: &Growing, topics: &[TopicEntry<'_>]) -> Vec<(u64, u32)> {
    let number = |name: &str| topics.binary_search_by_key(&name, |topic| topic.name).ok();
    let mut pairs: Vec<_> = index
        .subscriptions()
        .filter_map(|(id, name)| Some((id.get(), number(name)? as u32)))
        .collect();
    pairs.sort_unstable();
    pairs
}
