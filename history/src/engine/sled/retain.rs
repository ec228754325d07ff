//! The keeper's part of retention: what the bounds of all filters have dropped leaves the disk.

use std::sync::Arc;

use super::floors::age_floor;
use super::keeper::Keeper;
use super::seal::sealed_path;
use super::segment::{Segment, store_error};
use super::unwanted::Survey;
use crate::error::StoreError;
use crate::event::Timestamp;
use crate::store::Full;

impl Keeper {
    /// Raises the floors of filters whose oldest events have become too old, for good; a growing
    /// segment in which nobody keeps anything any more ends.
    pub(super) fn expire(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        if shared.tell_time_every.is_none() {
            return Ok(());
        }
        let segments = shared.segments();
        let filters = shared.catalog.lock().filters.clone();
        let mut raised = Vec::new();
        for known in filters {
            let oldest = known.filter.oldest_at(shared.now());
            if oldest == Timestamp::ZERO {
                continue;
            }
            let floor = age_floor(&segments, known.id, oldest)
                .map_err(|fault| store_error("cannot read", &shared.folder, fault))?;
            if let Some(floor) = floor
                && shared.catalog.lock().raise_floor(known.id, floor)
            {
                raised.push(floor);
            }
        }
        if raised.is_empty() {
            return Ok(());
        }
        shared.save_catalog();
        self.reclaiming.floors_rose(&segments, &raised);
        let active = shared.keeping.lock().active.clone();
        if let Some(active) = active
            && self.survey(&segments)?.is_dead(&active)
        {
            shared.retire_active();
        }
        Ok(())
    }

    /// Drops the oldest segment if it is sealed and not the last, and if that is how room is made.
    pub(super) fn drop_oldest(&mut self) -> Result<bool, StoreError> {
        if self.shared.full == Full::Refuse {
            return Ok(false);
        }
        self.let_all_go()?;
        let oldest = self.shared.segments().first().cloned();
        match oldest {
            Some(oldest) if oldest.sealed().is_some() => self.drop_segment(oldest).map(|()| true),
            _ => Ok(false),
        }
    }

    /// What filters keep of these segments.
    pub(super) fn survey<'s>(
        &self,
        segments: &'s [Arc<Segment>],
    ) -> Result<Survey<'s>, StoreError> {
        Survey::new(&self.shared, segments)
            .map_err(|fault| store_error("cannot read", &self.shared.folder, fault))
    }

    /// Drops sealed segments of which no filter keeps anything.
    pub(super) fn drop_dead(&mut self) -> Result<(), StoreError> {
        if !self.leaving.is_empty() {
            return Ok(());
        }
        let segments = self.shared.segments();
        let survey = self.survey(&segments)?;
        let sealed = segments.iter().filter(|segment| segment.sealed().is_some());
        let dead = sealed.filter(|segment| survey.is_dead(segment));
        let dead: Vec<_> = dead.cloned().collect();
        drop(survey);
        drop(segments);
        dead.into_iter().try_for_each(|it| self.drop_segment(it))
    }

    /// Lets a segment go that does not grow: its floors are kept, its space is given back, slowly
    /// if the caller has nothing else that reads there.
    pub(super) fn drop_segment(&mut self, segment: Arc<Segment>) -> Result<(), StoreError> {
        self.note_dropped(&segment);
        self.take_out(segment)
    }

    /// Takes a segment out of the list; what it is noted as is up to the caller.
    pub(super) fn take_out(&mut self, segment: Arc<Segment>) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        shared.change_segments(|segments| {
            segments.retain(|kept| !Arc::ptr_eq(kept, &segment));
        });
        log::debug!(
            realm = shared.head.origin.realm.as_str(), events = segment.events();
            "dropped a segment"
        );
        let path = match segment.sealed() {
            Some(_) => segment.path.clone(),
            None => {
                self.retired.push(Arc::clone(&segment));
                // An attempt to seal it may have failed at the very end.
                sealed_path(&shared.folder, segment.generation)
            }
        };
        // Closes it, if nobody reads there.
        drop(segment);
        self.discard(&path)?;
        shared.measure();
        Ok(())
    }

    fn note_dropped(&self, segment: &Arc<Segment>) {
        let shared = &self.shared;
        let segments = shared.segments();
        let at = segments.iter().position(|kept| Arc::ptr_eq(kept, segment));
        let mut later = segments.iter().skip(at.map_or(0, |at| at + 1));
        let next = later.find(|later| later.ends().is_some());
        let mut catalog = shared.catalog.lock();
        for (filter, last) in segment.filters() {
            catalog.raise_floor(filter, last);
        }
        match (next, segment.last()) {
            (Some(next), _) if at == Some(0) => catalog.forget_dropped(next.previous()),
            (_, Some((last, _))) => catalog.note_dropped(segment.previous(), last),
            _ => {}
        }
        drop(catalog);
        // On a full disk the floors wait for the next time: the space is needed first.
        shared.save_catalog();
    }
}
