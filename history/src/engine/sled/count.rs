//! How many events of a history lie in a segment: by its index alone, whoever may see them.

use super::index::List;
use super::pages::PageCache;
use super::segment::{Fault, Segment};
use crate::filter::FilterId;
use crate::page::{Amount, Reach, Target};

impl Segment {
    /// The filter's events on target within `reach`, and their share of the segment's bytes.
    pub(super) fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, Fault> {
        let all = u64::from(self.events());
        if all == 0 || !self.knows(filter) {
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
        let bytes = u128::from(self.sealed_bytes()) * u128::from(events) / u128::from(all);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(Amount { events, bytes })
    }
}
