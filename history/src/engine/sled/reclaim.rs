//! The keeper's part of giving back what lies between events that are kept: what no filter keeps
//! is left out when a segment is sealed, and a sealed one of which half is of no use any more is
//! written anew. So every rewriting at least halves what it reads, and the events that stay are
//! written a few times in all.

use std::sync::Arc;

use hashbrown::HashMap;

use super::keeper::Keeper;
use super::seal::{SealError, Source};
use super::segment::{Fault, Segment, Segments, store_error};
use super::unwanted::{BUDGET, Survey, Unwanted};
use crate::error::StoreError;
use crate::event::Sequence;

/// A sealed file of up to this is always sealed anew with what comes after it, in bytes.
const SMALL: u64 = 64 << 10;

/// Entries of topic dictionaries that are read for each new event, to find out of which segments
/// half is of no use: some tenth of what storing it costs.
const LOOKS: u64 = 8;

/// What is known of the sealed segments, by generation.
#[derive(Debug, Default)]
pub(super) struct Reclaiming {
    found: HashMap<u64, Found>,
    /// Up to which event looks are paid for, and how many are left.
    paid: Sequence,
    looks: u64,
    /// Something may have changed since they were looked at.
    pub(super) due: bool,
}

/// What was of no use in a sealed segment.
#[derive(Debug)]
struct Found {
    /// The newest event of the store then.
    newest: Sequence,
    events: u64,
    unwanted: u64,
    /// Bytes of the file, and those of them that are of no use.
    size: u64,
    bytes: u64,
}

impl Found {
    fn new(newest: Sequence, segment: &Segment, unwanted: &Unwanted) -> Self {
        Self {
            newest,
            events: u64::from(segment.events()),
            unwanted: u64::from(unwanted.events()),
            size: segment.sealed_bytes(),
            bytes: unwanted.bytes(),
        }
    }

    /// Whether half of it may be of no use by now: an event that comes pushes one out at most.
    fn is_due(&self, newest: Sequence) -> bool {
        let come = newest.get().saturating_sub(self.newest.get());
        let missing = (self.events / 2).saturating_sub(self.unwanted);
        come >= missing.max(self.events / 8).max(1)
    }

    fn is_half(&self) -> bool {
        2 * self.bytes >= self.size || 2 * self.unwanted >= self.events
    }
}

impl Reclaiming {
    /// How many looks there are for what has come up to now.
    fn pay(&mut self, newest: Sequence) -> u64 {
        let come = newest.get().saturating_sub(self.paid.get());
        self.paid = newest;
        let looks = self.looks.saturating_add(come.saturating_mul(LOOKS));
        self.looks = looks.min(BUDGET);
        self.looks
    }

    /// Filters have dropped more by themselves: who is concerned is looked at anew.
    pub(super) fn floors_rose(&mut self, segments: &[Arc<Segment>], floors: &[Sequence]) {
        self.due = true;
        for segment in segments {
            let ends = segment.ends();
            let (first, last) = ends.unwrap_or_default();
            if floors.iter().any(|floor| (first..=last).contains(floor)) {
                self.found.remove(&segment.generation);
            }
        }
    }
}

impl Keeper {
    /// Writes one sealed segment anew of which half is of no use, if so much lies about that it is
    /// worth it: what grows takes more room than half a segment anyway.
    pub(super) fn reclaim(&mut self) -> Result<(), StoreError> {
        if !self.reclaiming.due || !self.leaving.is_empty() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let segments = shared.segments();
        self.look(&segments)?;
        let found = &self.reclaiming.found;
        let lies_about: u64 = found.values().map(|found| found.bytes).sum();
        let half = found.iter().filter(|(_, found)| found.is_half());
        let worst = half.max_by_key(|(_, found)| found.bytes);
        let worst = worst.map(|(generation, _)| *generation);
        let worst = worst.filter(|_| lies_about > shared.sizes.segment / 2);
        let at = |generation| segments.iter().position(|it| it.generation == generation);
        let rewritten = match worst.and_then(at) {
            Some(at) => self.rewrite_around(segments, at)?,
            None => false,
        };
        self.reclaiming.due = rewritten;
        if rewritten {
            shared.keeping.lock().work = true;
        }
        Ok(())
    }

    /// Looks at sealed segments, those first that were looked at the longest time ago, as far as
    /// looks are paid for.
    fn look(&mut self, segments: &[Arc<Segment>]) -> Result<(), StoreError> {
        let newest = self.shared.newest();
        let mut survey = self
            .survey(segments)?
            .with_budget(self.reclaiming.pay(newest));
        let found = &mut self.reclaiming.found;
        found.retain(|generation, _| segments.iter().any(|it| it.generation == *generation));
        let sealed = segments.iter().filter(|segment| segment.sealed().is_some());
        let mut due: Vec<_> = sealed
            .map(|segment| (found.get(&segment.generation), segment))
            .filter(|(known, _)| known.is_none_or(|known| known.is_due(newest)))
            .map(|(known, segment)| (known.map(|known| known.newest), segment))
            .collect();
        due.sort_by_key(|(looked_at, _)| *looked_at);
        for (_, segment) in due {
            if survey.budget() == 0 {
                break;
            }
            let unwanted = unwanted(&mut survey, segment)?;
            let known = Found::new(newest, segment, &unwanted);
            found.insert(segment.generation, known);
        }
        self.reclaiming.looks = survey.budget();
        Ok(())
    }

    /// Writes a sealed segment anew, with neighbours that are small beside it; `false` where it
    /// was not the moment.
    fn rewrite_around(&mut self, segments: Segments, at: usize) -> Result<bool, StoreError> {
        let mut survey = self.survey(&segments)?;
        let Some(segment) = segments.get(at) else {
            return Ok(false);
        };
        let before = segments.get(..at).unwrap_or_default();
        let mut sources = self.with_small_ones_before(&mut survey, before, segment)?;
        let mut size: u64 = sources.iter().map(Source::bytes).sum();
        let mut newest = segment;
        for after in segments.iter().skip(at + 1) {
            let Some(source) = self.joins(&mut survey, newest, after, size, after)? else {
                break;
            };
            size += source.bytes();
            sources.push(source);
            newest = after;
        }
        self.keep_floors(&survey);
        drop(survey);
        drop(segments);
        for source in &sources {
            self.reclaiming.found.remove(&source.segment.generation);
        }
        self.merge(sources, Urgency::Idle)
    }

    /// What a segment that no longer grows is sealed from: itself, and sealed ones before it that
    /// are to make one file with it.
    pub(super) fn sources(
        &mut self,
        mut survey: Survey<'_>,
        before: &[Arc<Segment>],
        segment: &Arc<Segment>,
    ) -> Result<Vec<Source>, StoreError> {
        let sources = self.with_small_ones_before(&mut survey, before, segment)?;
        if sources.iter().any(|source| source.unwanted.events() > 0) {
            self.keep_floors(&survey);
        }
        Ok(sources)
    }

    /// What limits have dropped stays dropped when there are fewer events to count.
    fn keep_floors(&self, survey: &Survey<'_>) {
        let mut raised = false;
        for (filter, floor) in survey.floors() {
            raised |= self.shared.catalog.lock().raise_floor(filter, floor);
        }
        if raised {
            self.shared.save_catalog();
        }
    }

    /// A segment and the sealed ones before it that are to make one file with it: many short
    /// lives must not leave many small files. One that is more than twice as large as what comes
    /// after it waits until more has come, so that no event is written again more often than its
    /// file doubles.
    fn with_small_ones_before(
        &self,
        survey: &mut Survey<'_>,
        before: &[Arc<Segment>],
        segment: &Arc<Segment>,
    ) -> Result<Vec<Source>, StoreError> {
        let mut sources = vec![Source {
            segment: Arc::clone(segment),
            unwanted: unwanted(survey, segment)?,
        }];
        let mut size: u64 = sources.iter().map(Source::bytes).sum();
        let mut oldest = segment;
        for before in before.iter().rev() {
            let Some(source) = self.joins(survey, before, oldest, size, before)? else {
                break;
            };
            size += source.bytes();
            sources.insert(0, source);
            oldest = before;
        }
        Ok(sources)
    }

    /// `which`, one of two segments that follow one another, if it is to be in one file with the
    /// other one, which has `size` bytes with those that are in it already.
    fn joins(
        &self,
        survey: &mut Survey<'_>,
        before: &Segment,
        after: &Segment,
        size: u64,
        which: &Arc<Segment>,
    ) -> Result<Option<Source>, StoreError> {
        if which.sealed().is_none()
            || which.damaged
            || before.head != after.head
            || self.shared.catalog.lock().has_era_between(before, after)
        {
            return Ok(None);
        }
        let source = Source {
            segment: Arc::clone(which),
            unwanted: unwanted(survey, which)?,
        };
        let bytes = source.bytes();
        let fits = bytes <= (2 * size).max(SMALL) && bytes + size <= self.shared.sizes.segment / 4;
        Ok(fits.then_some(source))
    }

    /// Writes segments that follow one another as one, without what no filter keeps of them, and
    /// puts it in their place; `false` where it was not the moment.
    pub(super) fn merge(
        &mut self,
        mut sources: Vec<Source>,
        urgency: Urgency,
    ) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let Some(bytes) = self.make_place(&mut sources, urgency)? else {
            return Ok(false);
        };
        let newest = newest_of(&sources)?;
        let mut ends = sources.iter().filter_map(|source| source.segment.last());
        let previous = sources.first().map(|oldest| oldest.segment.previous());
        let kept = newest.or(previous).unwrap_or_default();
        if let Some((end, _)) = ends.next_back().filter(|(end, _)| kept < *end) {
            // No floor: what is older is not gone.
            shared.catalog.lock().note_dropped(kept, end);
            shared.save_catalog();
        }
        if newest.is_none() {
            let mut taken = sources.into_iter();
            taken.try_for_each(|source| self.take_out(source.segment))?;
            return Ok(true);
        }
        let sealed = match self.seal(&sources, &|_| true, urgency, bytes) {
            // sled does not answer any more, or its memory and its file disagree: the file has
            // what was committed.
            Err(SealError::Source(error)) if urgency == Urgency::Due => {
                log::warn!("{error}; reading the file instead");
                sources = self.read_anew(&sources)?;
                self.seal(&sources, &|_| true, urgency, bytes)
            }
            sealed => sealed,
        };
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => return error.unless_urgent().map(|()| false),
        };
        self.put(sealed, sources)?;
        Ok(true)
    }
}

/// How much something matters that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Nobody waits for it, and it gives way to everything else.
    Idle,
    /// It has to be done, and old segments are dropped for it where there is no room.
    Due,
}

fn unwanted(survey: &mut Survey<'_>, segment: &Segment) -> Result<Unwanted, StoreError> {
    match survey.unwanted(segment) {
        Ok(unwanted) => Ok(unwanted),
        // All of it is kept until whoever reads it has had it made anew.
        Err(Fault::Damaged) => Ok(Unwanted::default()),
        Err(fault) => Err(store_error("cannot read", &segment.path, fault)),
    }
}

/// The newest event that is kept.
fn newest_of(sources: &[Source]) -> Result<Option<Sequence>, StoreError> {
    for source in sources.iter().rev() {
        let newest = source.newest();
        let newest = newest.map_err(|f| store_error("cannot read", &source.segment.path, f))?;
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}
