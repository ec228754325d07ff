//! The keeper's part of sealing: room is set aside, the file is written in strides, and between
//! them is done what a commit must not wait for.

use std::sync::Arc;

use super::dispose::Leaving;
use super::keeper::{EMPTY_SEGMENT, Keeper};
use super::reclaim::Urgency;
use super::rescan::rescan;
use super::seal::{SealError, Source, seal, sealed_path};
use super::segment::Segment;
use crate::error::StoreError;
use crate::event::EventRef;

impl Keeper {
    /// Sets room aside for the file that is to be made of some segments: how many bytes, or `None`
    /// where it is not the moment. Sources that were dropped for it are none any more.
    pub(super) fn make_place(
        &mut self,
        sources: &mut Vec<Source>,
        urgency: Urgency,
    ) -> Result<Option<u64>, StoreError> {
        let bytes = sources.iter().map(Source::bytes).sum();
        match urgency {
            Urgency::Due => self.set_aside(bytes)?,
            Urgency::Idle if self.shared.set_aside_idle(bytes) => {}
            Urgency::Idle => return Ok(None),
        }
        let segments = self.shared.segments();
        let is_there = |source: &Source| segments.iter().any(|it| Arc::ptr_eq(it, &source.segment));
        sources.retain(is_there);
        Ok((!sources.is_empty()).then_some(bytes))
    }

    /// Seals those events of some segments that are to be kept; `bytes` are set aside for it.
    pub(super) fn seal(
        &mut self,
        sources: &[Source],
        keep: &dyn Fn(&EventRef<'_>) -> bool,
        urgency: Urgency,
        mut bytes: u64,
    ) -> Result<Option<Segment>, SealError> {
        let shared = Arc::clone(&self.shared);
        let newest = sources.last().map(|source| source.segment.generation);
        let draft = newest.map(|newest| sealed_path(&shared.folder, newest));
        let draft = draft.map(|path| path.with_extension("tmp"));
        // What an earlier attempt has left is written over.
        self.leaving.retain(
            |leaving| !matches!(leaving, Leaving::Gone(path) if Some(path) == draft.as_ref()),
        );
        let mut holes = Vec::new();
        let mut pace = |written: u64, end: u64| {
            self.breathe(urgency)?;
            if end > bytes {
                self.set_more_aside(urgency, bytes.saturating_sub(written), end - bytes)?;
                bytes = end;
            }
            Ok(())
        };
        let (disk, folder) = (&shared.disk, &shared.folder);
        let sealed = seal(disk, folder, sources, keep, &mut pace, &mut holes);
        match &sealed {
            Ok(_) => shared.note_holes(&holes, "blocks of a segment are damaged"),
            // It may be tried again, or never: what it was made of may be dropped.
            Err(_) if sources.iter().all(|source| source.segment.path.exists()) => {
                self.leaving
                    .extend(draft.filter(|path| path.exists()).map(Leaving::Gone));
            }
            // It is all there is in place of a damaged file that has been set aside.
            Err(_) => {}
        }
        sealed
    }

    /// Puts what was sealed in the place of what it was made from.
    pub(super) fn put(
        &mut self,
        sealed: Option<Segment>,
        sources: Vec<Source>,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let sealed = sealed.map(Arc::new);
        let is_old = |kept: &Arc<Segment>| {
            let mut sources = sources.iter();
            sources.any(|source| source.segment.generation == kept.generation)
        };
        shared.change_segments(|segments| {
            let at = segments.iter().position(is_old);
            segments.retain(|kept| !is_old(kept));
            if let (Some(at), Some(sealed)) = (at, &sealed) {
                segments.insert(at.min(segments.len()), Arc::clone(sealed));
            }
        });
        if let Some((first, last)) = sealed.as_ref().and_then(|sealed| sealed.ends()) {
            shared.catalog.lock().forget_dropped_within(first, last);
        }
        let mut removed = Ok(());
        for Source { segment, .. } in sources {
            match segment.sealed() {
                // The new file has its name.
                Some(_) if sealed.as_ref().is_some_and(|it| it.path == segment.path) => {}
                Some(_) => {
                    let path = segment.path.clone();
                    // Closes it, if nobody reads there.
                    drop(segment);
                    removed = removed.and(self.discard(&path));
                }
                None => self.retired.push(segment),
            }
        }
        shared.measure();
        self.reclaiming.due = true;
        removed
    }

    /// The last source from its file, in which is what was committed; the others stay as they are.
    pub(super) fn read_anew(&self, sources: &[Source]) -> Result<Vec<Source>, StoreError> {
        let last = sources
            .last()
            .map(|last| rescan(&self.shared, &last.segment));
        let last = last.transpose()?;
        Ok(last.iter().map(Source::whole).collect())
    }

    /// Between two strides: whoever waits for the next segment gets it, and what is idle gives way.
    fn breathe(&mut self, urgency: Urgency) -> Result<(), SealError> {
        let keeping = self.shared.keeping.lock();
        let waits = keeping.closing || keeping.wanted > 0 || keeping.order.waits();
        drop(keeping);
        if urgency == Urgency::Idle && waits {
            return Err(SealError::Urgent);
        }
        self.prepare_between();
        Ok(())
    }

    /// Prepares the next segment in the midst of something else, if that is possible at once.
    pub(super) fn prepare_between(&mut self) {
        let shared = Arc::clone(&self.shared);
        let keeping = shared.keeping.lock();
        let prepares = keeping.next.is_none() && keeping.wants_next && !keeping.closing;
        drop(keeping);
        if prepares && shared.set_aside(EMPTY_SEGMENT) {
            // Where that fails it is tried again, and told, when the work here is done.
            let _ = self.prepare_next();
        }
    }

    /// `more` is to be written than was set aside, of which `unwritten` is left.
    fn set_more_aside(
        &mut self,
        urgency: Urgency,
        unwritten: u64,
        more: u64,
    ) -> Result<(), SealError> {
        while !self.shared.set_aside(more) {
            if urgency == Urgency::Idle {
                return Err(SealError::Urgent);
            }
            if !self.drop_oldest().map_err(SealError::Target)? {
                return Err(SealError::Target(self.no_room()));
            }
            // What is dropped has the folder measured, and what is not written yet is not in it.
            self.shared.keep_aside(unwritten);
        }
        Ok(())
    }
}
