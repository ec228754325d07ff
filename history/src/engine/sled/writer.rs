//! Appending: events become blocks in the growing segment, one durable transaction a commit. The
//! only one who writes events, one thread at a time.

use std::sync::Arc;

use parking_lot::RwLock;

use super::active::Db;
use super::block::{Packer, Place};
use super::index::{BlockEntry, Growing};
use super::piece;
use super::segment::{Blocks, Body, Segment};
use super::shared::{Keeping, Shared};
use crate::error::{AppendError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::store::Appended;

/// On a failing disk, so many segments may wait to be sealed before another one is begun: each
/// takes memory.
const UNSEALED: usize = 4;

/// The writing side of a store.
#[derive(Debug)]
pub(super) struct Writer {
    /// An operation on the growing segment failed: nobody knows what is in it, so it gets no
    /// further events.
    failed: bool,
    closed: bool,
    newest: Sequence,
    newest_time: Timestamp,
    packer: Packer,
    piece: Vec<u8>,
    /// Blocks of the commit under way, with the number of events in each.
    blocks: Vec<(BlockEntry, usize)>,
}

impl Writer {
    /// A writer whose events come after these.
    pub(super) fn new(newest: Sequence, newest_time: Timestamp) -> Self {
        Self {
            failed: false,
            closed: false,
            newest,
            newest_time,
            packer: Packer::default(),
            piece: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// See [`crate::EventStore::append`].
    pub(super) fn append(
        &mut self,
        shared: &Shared,
        events: &[Arc<Event>],
    ) -> Result<Appended, AppendError> {
        let mut appended = Appended {
            commits: 0,
            bytes: 0,
        };
        let mut stored = 0;
        if events.is_empty() {
            let ready = self.segment(shared, 0);
            shared.keeping.lock().writing = 0;
            ready.map_err(|cause| AppendError { stored, cause })?;
        }
        while let Some(rest) = events.get(stored..).filter(|rest| !rest.is_empty()) {
            let (count, bytes) = one_commit(rest, shared.sizes.commit());
            let commit = rest.get(..count).unwrap_or_default();
            let written = self
                .check_order(commit)
                .and_then(|()| self.commit(shared, commit, bytes));
            if written.is_err() {
                shared.keeping.lock().writing = 0;
                if self.failed && shared.retire_active() {
                    // Sled may answer nothing any more: it is read from its file, and sealed.
                    shared.wake_keeper();
                }
            }
            let written = written.map_err(|cause| AppendError { stored, cause })?;
            stored += count;
            appended.commits += 1;
            appended.bytes += written;
        }
        Ok(appended)
    }

    /// Makes everything durable and takes nothing more.
    pub(super) fn close(&mut self, shared: &Shared) -> Result<(), StoreError> {
        self.closed = true;
        let active = shared.keeping.lock().active.clone();
        match active
            .as_ref()
            .filter(|_| !self.failed)
            .and_then(|active| active.db())
        {
            Some(db) => db.flush(&shared.disk, true),
            None => Ok(()),
        }
    }

    fn check_order(&self, events: &[Arc<Event>]) -> Result<(), StoreError> {
        let mut before = (self.newest, self.newest_time);
        for event in events {
            if event.sequence <= before.0 || event.time <= before.1 {
                return Err(StoreError::OutOfOrder {
                    newest: before.0,
                    sequence: event.sequence,
                });
            }
            before = (event.sequence, event.time);
        }
        Ok(())
    }

    fn commit(
        &mut self,
        shared: &Shared,
        events: &[Arc<Event>],
        bytes: u64,
    ) -> Result<u64, StoreError> {
        shared.mark.lock().begin_use()?;
        let segment = self.segment(shared, bytes)?;
        let Body::Open {
            index,
            blocks: Blocks::Db(db),
        } = &segment.body
        else {
            return Err(StoreError::Closed);
        };
        self.write_durably(shared, &segment, db, events)?;
        let realm = shared.head.origin.realm.as_str();
        let saved = shared.patterns.save(shared.sync);
        let what = "subscriptions cannot be kept";
        shared.patterns_fail.note(realm, what, saved);
        let written = self.note_blocks(shared, index, events);
        if let Some(last) = events.last() {
            (self.newest, self.newest_time) = (last.sequence, last.time);
            shared.publish(last.sequence);
            // Without it a crash costs nothing but the knowledge of what is missing.
            let marked = shared.mark.lock().acknowledge(last.sequence, last.time);
            shared
                .mark_fails
                .note(realm, "the mark is not kept", marked);
        }
        let mut keeping = shared.keeping.lock();
        keeping.writing = 0;
        shared.take_room(&keeping, bytes);
        let half_full = log_size(&keeping) >= shared.sizes.segment / 2;
        if half_full && keeping.next.is_none() && !keeping.wants_next {
            keeping.wants_next = true;
            keeping.work = true;
            shared.changed.notify_all();
        }
        if !shared.sync && !std::mem::replace(&mut keeping.unsynced, true) {
            shared.changed.notify_all();
        }
        Ok(written)
    }

    /// Until that is through, the segment counts as failed.
    fn write_durably(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        db: &Db,
        events: &[Arc<Event>],
    ) -> Result<(), StoreError> {
        self.failed = true;
        let origin = &shared.head.origin;
        let put = |first, block: &[u8], piece: &mut Vec<u8>| {
            db.put(first, block, origin.piece_mark(), piece)
        };
        let written = self.write_blocks(events, put, segment.mark);
        let written = written.and_then(|()| db.flush(&shared.disk, shared.sync));
        self.failed = written.is_err();
        if let (true, Some(first)) = (self.failed, events.first()) {
            // Some of it may be on disk all the same, where another life would find it.
            let noted = shared
                .mark
                .lock()
                .refuse(segment.generation, first.sequence);
            let what = "the mark is not kept";
            shared.mark_fails.note(&origin.realm, what, noted);
        }
        written
    }

    /// Lets the index know the blocks that were written, and says how many bytes they are.
    fn note_blocks(
        &mut self,
        shared: &Shared,
        index: &RwLock<Growing>,
        events: &[Arc<Event>],
    ) -> u64 {
        let key = &shared.head.origin.key;
        let mut written = 0;
        let mut rest = events.iter();
        let mut index = index.write();
        if index.last().is_none() {
            index.set_previous(self.newest);
        }
        for (entry, count) in self.blocks.drain(..) {
            index.begin_block(entry);
            written += u64::from(entry.length);
            for event in rest.by_ref().take(count) {
                let Event {
                    sequence,
                    time,
                    publication,
                    ref topic,
                    ref receivers,
                    ..
                } = **event;
                let restricted = receivers.is_some();
                index.add(key, topic, sequence, time, publication, restricted);
            }
        }
        written
    }

    fn write_blocks(
        &mut self,
        events: &[Arc<Event>],
        mut put: impl FnMut(Sequence, &[u8], &mut Vec<u8>) -> Result<(), StoreError>,
        mark: [u8; 8],
    ) -> Result<(), StoreError> {
        let Self {
            packer,
            piece,
            blocks,
            newest,
            ..
        } = self;
        packer.clear();
        blocks.clear();
        let commit_events = events.len() as u32;
        let (mut commit_start, mut previous) = (0, *newest);
        let mut first: Option<(Sequence, Timestamp)> = None;
        let mut rest = events.iter().peekable();
        while let Some(event) = rest.next() {
            let view = EventRef::from(&**event);
            first.get_or_insert((event.sequence, event.time));
            packer.push(&view);
            let full = rest
                .peek()
                .is_none_or(|next| !packer.has_room(&EventRef::from(&***next), piece::MAX_VALUE));
            if let Some((sequence, time)) = first.take_if(|_| full) {
                let count = packer.events();
                let place = Place {
                    commit_events,
                    commit_start,
                    previous,
                };
                let block = packer.finish(mark, &place);
                let length = block.len() as u32;
                put(sequence, block, piece)?;
                let entry = BlockEntry {
                    first: sequence,
                    time,
                    ordinal: 0,
                    length,
                    place: 0,
                };
                blocks.push((entry, count));
                commit_start += count as u32;
                previous = event.sequence;
            }
        }
        Ok(())
    }

    /// The segment to write to: the growing one, or the next where that is full or has failed.
    /// Waits until the keeper has prepared it, and made room for the commit.
    fn segment(&mut self, shared: &Shared, bytes: u64) -> Result<Arc<Segment>, StoreError> {
        if self.closed {
            return Err(StoreError::Closed);
        }
        let growth = shared.sizes.growth(bytes);
        let mut keeping = shared.keeping.lock();
        keeping.failed = None;
        keeping.writing = 0;
        loop {
            let full = keeping.active.is_none() || log_size(&keeping) >= shared.sizes.segment;
            let failing = self.failed || keeping.is_failing;
            if (full || self.failed) && !(failing && shared.unsealed() > UNSEALED) {
                match keeping.next.take() {
                    Some(next) => {
                        self.failed = false;
                        shared.rotate(&mut keeping, next);
                    }
                    None => keeping.wants_next = true,
                }
                keeping.work = true;
                shared.changed.notify_all();
            }
            let spared = shared.spared_for_sealing();
            let fits = shared.used(&keeping) + growth + spared <= shared.sizes.max;
            let room = fits && !self.failed && log_size(&keeping) < shared.sizes.segment_end();
            if let Some(active) = keeping.active.clone().filter(|_| room) {
                keeping.wanted = 0;
                keeping.writing = growth;
                return Ok(active);
            }
            if let Some(error) = keeping.failed.take() {
                keeping.wanted = 0;
                return Err(error);
            }
            keeping.wanted = if fits { 0 } else { growth };
            keeping.work = true;
            keeping.waits = true;
            shared.changed.notify_all();
            shared.changed.wait(&mut keeping);
            keeping.waits = false;
        }
    }
}

/// Bytes of the log that grows.
fn log_size(keeping: &Keeping) -> u64 {
    let active = keeping.active.as_ref();
    active.and_then(|active| active.db()).map_or(0, Db::size)
}

/// How many events make one transaction of at most `limit` bytes (at least one event), and how
/// many bytes they are.
fn one_commit(events: &[Arc<Event>], limit: u64) -> (usize, u64) {
    let mut bytes = 0;
    for (count, event) in events.iter().enumerate() {
        let more = event.footprint();
        if count > 0 && bytes + more > limit {
            return (count, bytes);
        }
        bytes += more;
    }
    (events.len(), bytes)
}
