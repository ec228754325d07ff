//! How many events there are: by the indexes of segments alone, whoever may see them.

use super::index::List;
use super::pages::PageCache;
use super::segment::{Fault, Segment};
use super::shared::Shared;
use crate::filter::{ConfiguredFilter, FilterId};
use crate::page::{Amount, Reach, Target};
use crate::store::Usage;

impl Segment {
    /// The filter's events on target within `reach`, and their share of the segment's bytes.
    pub(super) fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, Fault> {
        if self.events() == 0 || !self.knows(filter) {
            return Ok(Amount::default());
        }
        let mut pages = PageCache::default();
        let lists: Vec<List> = self.look_up(|index| index.lists(filter, target, &mut pages))?;
        let ordinals = self.exact_ordinals(reach)?;
        let mut events = 0;
        for list in lists {
            let run = self.within(list, ordinals, &mut pages)?;
            events += u64::from(run.until.saturating_sub(run.from));
        }
        Ok(self.share(events))
    }

    /// So many of its events, with their share of its bytes.
    pub(super) fn share(&self, events: u64) -> Amount {
        let all = u128::from(self.events().max(1));
        let bytes = u128::from(self.sealed_bytes()) * u128::from(events) / all;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Amount { events, bytes }
    }
}

/// What a store holds.
pub(super) fn usage(shared: &Shared) -> Usage {
    let segments = shared.segments();
    let kept = |filter: &ConfiguredFilter| {
        let counts = segments
            .iter()
            .map(|segment| u64::from(segment.filter(filter.id).0));
        let count: u64 = counts.sum();
        (
            filter.id,
            filter.filter.limit.map_or(count, |limit| count.min(limit)),
        )
    };
    Usage {
        events: segments
            .iter()
            .map(|segment| u64::from(segment.events()))
            .sum(),
        bytes: shared.used(&shared.keeping.lock()),
        segments: segments.len() as u64,
        filters: shared.filters.configured().iter().map(kept).collect(),
    }
}
