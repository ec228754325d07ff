//! The `store` file: who the store is, every filter that it has ever known with what it has
//! dropped, and what was lost. Rewritten as a whole, seldom: when the configuration changes, when
//! a segment is dropped, when something is found missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{Disk, Done};
use super::head::{Origin, put_filter, take_filter};
use super::segment::Segment;
use super::shared::Shared;
use crate::engine::fields::{
    Unsound, open_envelope, put_text, put_u32, put_u64, seal_envelope, take_text, take_u8,
    take_u32, take_u64,
};
use crate::error::StoreError;
use crate::event::{Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, Filter, FilterId};
use crate::store::Lost;

const MAGIC: [u8; 8] = *b"RWMPSTOR";

/// Raised limits of topics that are remembered for a filter; beyond that the oldest two become
/// one, which keeps the lesser number.
const MAX_ERAS: usize = 16;

/// What the `store` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) origin: Origin,
    pub(super) filters: Vec<Known>,
    pub(super) lost: Vec<Lost>,
    /// Runs between segments that were dropped because no filter kept anything of them, in
    /// order: what is missing there is not lost.
    pub(super) dropped: Vec<Dropped>,
    /// The latest time that the store was told before this was written.
    pub(super) told: Timestamp,
}

/// A run of sequences, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) from: Sequence,
    pub(super) to: Sequence,
}

/// A filter that is configured, or was once and may have events left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: FilterId,
    /// With the bounds of the last start.
    pub(super) filter: Filter,
    /// The newest event that it has dropped: everything up to it is gone from its history.
    pub(super) floor: Sequence,
    /// Whether it is configured now.
    pub(super) configured: bool,
    /// What earlier limits of its topics dropped, oldest first.
    pub(super) eras: Vec<Era>,
}

impl Known {
    /// Whether events may give way to newer ones of their topic.
    pub(super) fn is_by_topic(&self) -> bool {
        self.filter.limit_per_topic.is_some() || !self.eras.is_empty()
    }

    /// Takes the bounds of another start over. What the old limit of the topics had dropped up to
    /// `newest` stays dropped; a lower one drops that and more.
    fn set_bounds(&mut self, filter: &Filter, newest: Sequence) {
        let raised = match (self.filter.limit_per_topic, filter.limit_per_topic) {
            (Some(before), Some(now)) if now <= before => None,
            (before, _) => before,
        };
        self.filter = filter.clone();
        let Some(each) = raised else { return };
        // What is kept by this era was kept by those before that kept as many or more.
        self.eras.retain(|era| era.each < each);
        self.eras.push(Era {
            until: newest,
            each,
        });
        while self.eras.len() > MAX_ERAS {
            let oldest = self.eras.remove(0);
            if let Some(next) = self.eras.first_mut() {
                next.each = next.each.min(oldest.each);
            }
        }
    }
}

/// Up to an event, only the newest so many of each topic are kept, counted up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era {
    pub(super) until: Sequence,
    pub(super) each: u64,
}

impl Catalog {
    pub(super) fn begin(origin: Origin) -> Self {
        Self {
            origin,
            filters: Vec::new(),
            lost: Vec::new(),
            dropped: Vec::new(),
            told: Timestamp::ZERO,
        }
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("store")
    }

    /// The catalog in `folder`: `Ok(None)` if there is none.
    pub(super) fn read(disk: &Disk, folder: &Path) -> Done<Option<Result<Self, Unsound>>> {
        let bytes = disk.read(&Self::path(folder))?;
        Ok(bytes.map(|bytes| {
            let mut body = open_envelope(MAGIC, &bytes)?;
            Self::take(&mut body).ok_or(Unsound::Damaged)
        }))
    }

    /// Replaces the file, durably.
    pub(super) fn write(&self, disk: &Disk, folder: &Path) -> Done {
        disk.replace(&Self::path(folder), &self.encode())
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.origin.put(&mut body);
        put_u32(&mut body, self.filters.len() as u32);
        for known in &self.filters {
            put_u32(&mut body, known.id.get());
            put_filter(&mut body, &known.filter);
            // No limit is the largest number: nobody keeps as many events.
            put_u64(&mut body, known.filter.limit.unwrap_or(u64::MAX));
            put_u64(&mut body, known.floor.get());
            body.push(u8::from(known.configured));
        }
        put_u32(&mut body, self.lost.len() as u32);
        for lost in &self.lost {
            put_u64(&mut body, lost.from.get());
            put_u64(&mut body, lost.to.get());
            put_text(&mut body, &lost.why);
        }
        put_u32(&mut body, self.dropped.len() as u32);
        for dropped in &self.dropped {
            put_u64(&mut body, dropped.from.get());
            put_u64(&mut body, dropped.to.get());
        }
        put_u64(&mut body, self.told.nanos());
        for known in &self.filters {
            put_u64(&mut body, known.filter.limit_per_topic.unwrap_or(u64::MAX));
            let age = known.filter.max_age.map(|age| age.as_nanos());
            let age = age.and_then(|age| u64::try_from(age).ok());
            put_u64(&mut body, age.unwrap_or(u64::MAX));
            put_u32(&mut body, known.eras.len() as u32);
            for era in &known.eras {
                put_u64(&mut body, era.until.get());
                put_u64(&mut body, era.each);
            }
        }
        seal_envelope(MAGIC, &body)
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let mut catalog = Self::begin(Origin::take(rest)?);
        for _ in 0..take_u32(rest)? {
            let id = FilterId::new(take_u32(rest)?);
            let filter = take_filter(rest)?;
            let limit = take_u64(rest)?;
            catalog.filters.push(Known {
                id,
                filter: Filter {
                    limit: bound(limit),
                    ..filter
                },
                floor: Sequence::new(take_u64(rest)?),
                configured: take_u8(rest)? != 0,
                eras: Vec::new(),
            });
        }
        for _ in 0..take_u32(rest)? {
            catalog.lost.push(Lost {
                from: Sequence::new(take_u64(rest)?),
                to: Sequence::new(take_u64(rest)?),
                why: take_text(rest)?.to_owned(),
            });
        }
        for _ in 0..take_u32(rest)? {
            catalog.dropped.push(Dropped {
                from: Sequence::new(take_u64(rest)?),
                to: Sequence::new(take_u64(rest)?),
            });
        }
        // Version 1 ends here.
        if !rest.is_empty() {
            catalog.take_bounds(rest)?;
        }
        Some(catalog)
    }

    fn take_bounds(&mut self, rest: &mut &[u8]) -> Option<()> {
        self.told = Timestamp::from_nanos(take_u64(rest)?);
        for known in &mut self.filters {
            known.filter.limit_per_topic = bound(take_u64(rest)?);
            known.filter.max_age = bound(take_u64(rest)?).map(Duration::from_nanos);
            for _ in 0..take_u32(rest)? {
                known.eras.push(Era {
                    until: Sequence::new(take_u64(rest)?),
                    each: take_u64(rest)?,
                });
            }
        }
        Some(())
    }

    /// Takes the configured filters over: those known keep their IDs, new ones get the next.
    /// Returns them in configured order. Of equal ones the first counts. `newest` is the newest
    /// event that there is.
    pub(super) fn configure(
        &mut self,
        filters: Vec<Filter>,
        newest: Sequence,
    ) -> Vec<ConfiguredFilter> {
        self.filters
            .iter_mut()
            .for_each(|known| known.configured = false);
        let mut configured: Vec<ConfiguredFilter> = Vec::with_capacity(filters.len());
        for filter in filters {
            let same = |known: &&mut Known| known.filter.is_same(&filter);
            let id = match self.filters.iter_mut().find(same) {
                Some(known) if known.configured => continue,
                Some(known) => {
                    known.configured = true;
                    known.set_bounds(&filter, newest);
                    known.id
                }
                None => {
                    let next = self.filters.iter().map(|known| known.id.get() + 1).max();
                    let id = FilterId::new(next.unwrap_or(0));
                    let floor = Sequence::ZERO;
                    let filter = filter.clone();
                    self.filters.push(Known {
                        id,
                        filter,
                        floor,
                        configured: true,
                        eras: Vec::new(),
                    });
                    id
                }
            };
            configured.push(ConfiguredFilter { id, filter });
        }
        configured
    }

    /// Filters that were configured once.
    pub(super) fn gone(&self) -> Vec<ConfiguredFilter> {
        let gone = self.filters.iter().filter(|known| !known.configured);
        gone.map(|known| ConfiguredFilter {
            id: known.id,
            filter: known.filter.clone(),
        })
        .collect()
    }

    pub(super) fn known(&self, filter: FilterId) -> Option<&Known> {
        self.filters.iter().find(|known| known.id == filter)
    }

    /// Events up to `dropped` are gone from the filter's history. Says whether that is news.
    pub(super) fn raise_floor(&mut self, filter: FilterId, dropped: Sequence) -> bool {
        match self.filters.iter_mut().find(|known| known.id == filter) {
            Some(known) if known.floor < dropped => {
                known.floor = dropped;
                true
            }
            _ => false,
        }
    }

    /// Notes that a segment between others was dropped: what came after `previous`, up to `to`.
    pub(super) fn note_dropped(&mut self, previous: Sequence, to: Sequence) {
        let from = previous.next();
        self.dropped.push(Dropped { from, to });
        self.dropped.sort_by_key(|dropped| dropped.from);
        // Runs that meet are one. They overlap where a run was noted and more of it went later.
        self.dropped.dedup_by(|next, before| {
            let meets = next.from <= before.to.next();
            if meets {
                before.to = before.to.max(next.to);
            }
            meets
        });
    }

    /// Forgets dropped runs and eras from before the oldest segment, which comes after `previous`.
    /// A run up to there may be what is missing between it and the floors.
    pub(super) fn forget_dropped(&mut self, previous: Sequence) {
        self.dropped.retain(|dropped| dropped.to >= previous);
        for known in &mut self.filters {
            known.eras.retain(|era| era.until > previous);
        }
    }

    /// Forgets dropped runs that lie within a segment: there is no gap any more.
    pub(super) fn forget_dropped_within(&mut self, first: Sequence, last: Sequence) {
        self.dropped
            .retain(|dropped| dropped.from <= first || last <= dropped.to);
    }

    /// Whether an era ends between two segments: they must not be sealed together.
    pub(super) fn has_era_between(&self, before: &Segment, after: &Segment) -> bool {
        let (Some((last, _)), Some((first, _))) = (before.last(), after.ends()) else {
            return false;
        };
        let mut eras = self.filters.iter().flat_map(|known| &known.eras);
        eras.any(|era| (last..first).contains(&era.until))
    }

    /// Whether what is missing between `dropped` and the oldest event, whose segment comes after
    /// `previous`, was dropped on purpose.
    pub(super) fn is_beginning_dropped(&self, dropped: Sequence, previous: Sequence) -> bool {
        let mut runs = self.dropped.iter();
        runs.any(|run| run.from <= dropped.next() && previous <= run.to)
    }

    /// Whether all from `from` to `to` was dropped on purpose.
    pub(super) fn is_dropped(&self, from: Sequence, to: Sequence) -> bool {
        self.dropped
            .iter()
            .any(|dropped| dropped.from <= from && to <= dropped.to)
    }

    /// Whether all behind `newest` up to `acknowledged` was dropped on purpose; `nothing` is left
    /// where there are no segments.
    pub(super) fn is_end_dropped(
        &self,
        newest: Sequence,
        acknowledged: Sequence,
        nothing: bool,
    ) -> bool {
        self.dropped
            .iter()
            .any(|dropped| acknowledged <= dropped.to && (nothing || dropped.from <= newest.next()))
    }

    /// Notes that events from `from` to `to` may be missing; says whether that is news.
    pub(super) fn note_lost(&mut self, from: Sequence, to: Sequence, why: &str) -> bool {
        let why = why.to_owned();
        Lost { from, to, why }.note(&mut self.lost)
    }
}

impl Shared {
    /// Notes what nothing was stored of, as whoever stores events knows; durable.
    pub(super) fn note_gap(&self, gap: Lost) -> Result<(), StoreError> {
        gap.note(&mut self.catalog.lock().lost);
        Ok(self.write_catalog()?)
    }
}

/// A bound as it is stored: the largest number stands for none, nobody keeps as much.
fn bound(stored: u64) -> Option<u64> {
    (stored != u64::MAX).then_some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MAX_LOST;
    use rewamp_wamp::uri::MatchPolicy;

    fn filter(uri: &str, limit: Option<u64>) -> Filter {
        Filter {
            limit,
            ..Filter::new(uri, MatchPolicy::Prefix)
        }
    }

    fn numbers(configured: &[ConfiguredFilter]) -> Vec<u32> {
        configured.iter().map(|filter| filter.id.get()).collect()
    }

    #[test]
    fn a_catalog_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::begin(Origin::draw("realm1").unwrap());
        catalog.configure(
            vec![filter("com.", Some(5)), filter("net.", None)],
            Sequence::ZERO,
        );
        catalog.raise_floor(FilterId::new(1), Sequence::new(77));
        catalog.note_lost(Sequence::new(3), Sequence::new(9), "flipped");
        catalog.note_dropped(Sequence::new(10), Sequence::new(20));
        let kept = Filter {
            limit_per_topic: Some(3),
            max_age: Some(Duration::from_secs(7)),
            ..filter("org.", None)
        };
        catalog.configure(vec![kept, filter("net.", None)], Sequence::ZERO);
        catalog.told = Timestamp::from_nanos(1_234);
        catalog.write(&Disk::default(), folder.path()).unwrap();
        assert_eq!(
            Catalog::read(&Disk::default(), folder.path()).unwrap(),
            Some(Ok(catalog))
        );
    }

    #[test]
    fn a_filter_keeps_its_id_over_configurations_that_do_without_it() {
        let mut catalog = Catalog::begin(Origin::draw("realm1").unwrap());
        let first = catalog.configure(vec![filter("a", None), filter("b", None)], Sequence::ZERO);
        assert_eq!(numbers(&first), [0, 1]);
        let second = catalog.configure(
            vec![filter("c", None), filter("b", Some(1))],
            Sequence::ZERO,
        );
        assert_eq!(numbers(&second), [2, 1]);
        assert!(!catalog.known(FilterId::new(0)).unwrap().configured);
        let third = catalog.configure(vec![filter("a", None), filter("a", None)], Sequence::ZERO);
        assert_eq!(numbers(&third), [0]);
    }

    #[test]
    fn dropped_runs_that_meet_are_one() {
        let mut catalog = Catalog::begin(Origin::draw("realm1").unwrap());
        let sequence = Sequence::new;
        catalog.note_dropped(sequence(10), sequence(20));
        catalog.note_dropped(sequence(30), sequence(40));
        assert!(!catalog.is_dropped(sequence(11), sequence(40)));
        catalog.note_dropped(sequence(20), sequence(30));
        assert!(catalog.is_dropped(sequence(11), sequence(40)));
        assert_eq!(catalog.dropped.len(), 1);
        catalog.note_dropped(sequence(35), sequence(38));
        catalog.note_dropped(sequence(8), sequence(12));
        assert!(catalog.is_dropped(sequence(9), sequence(40)));
        assert_eq!(catalog.dropped.len(), 1);
        catalog.forget_dropped(sequence(40));
        assert_eq!(catalog.dropped.len(), 1);
        catalog.forget_dropped(sequence(41));
        assert_eq!(catalog.dropped, []);
    }

    #[test]
    fn lost_runs_are_noted_once_and_neighbours_join_when_there_are_too_many() {
        let mut catalog = Catalog::begin(Origin::draw("realm1").unwrap());
        let sequence = Sequence::new;
        assert!(catalog.note_lost(sequence(1), sequence(5), "why"));
        assert!(!catalog.note_lost(sequence(2), sequence(5), "why"));
        assert!(!catalog.note_lost(sequence(7), sequence(6), "why"));
        for number in 1..=1_000 {
            catalog.note_lost(sequence(number * 100), sequence(number * 100 + 1), "why");
        }
        assert_eq!(catalog.lost.len(), MAX_LOST);
        let covered = |number| {
            let hit = |lost: &Lost| (lost.from.get()..=lost.to.get()).contains(&number);
            catalog.lost.iter().any(hit)
        };
        assert!((1..=1_000).all(|number| covered(number * 100)));
    }
}
