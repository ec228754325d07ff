//! How many events there are.

use std::ops::ControlFlow;

use rewamp_wamp::uri::MatchPolicy;

use super::{Moment, Run};
use crate::engine::cfxdb::lmdb::LmdbError;
use crate::event::Sequence;
use crate::filter::FilterId;
use crate::page::Target;

impl Moment<'_> {
    pub(super) fn count_of_topic(&self, filter: FilterId, topic: u64) -> Result<u64, LmdbError> {
        let row = self.txn.get(&self.tables().count(filter.get(), topic))?;
        let count = row.and_then(|row| row.first_chunk().copied());
        Ok(count.map_or(0, u64::from_le_bytes))
    }

    /// How many of so many events lie within a run: those outside are looked at, since they are
    /// few.
    pub(super) fn count_within(
        &self,
        all: u64,
        key: &dyn Fn(u64) -> Vec<u8>,
        (first, last): Run,
    ) -> Result<u64, LmdbError> {
        let mut outside = 0;
        let mut count = |_| {
            outside += 1;
            Ok(ControlFlow::Continue(()))
        };
        if let Some(before) = first.checked_sub(1) {
            self.each_key(key, (0, before), false, &mut count)?;
        }
        if let Some(behind) = last.checked_add(1) {
            self.each_key(key, (behind, u64::MAX), false, &mut count)?;
        }
        Ok(all.saturating_sub(outside))
    }

    pub(super) fn count_on_target(
        &self,
        filter: FilterId,
        target: Target<'_>,
        run: Run,
    ) -> Result<u64, LmdbError> {
        let tables = self.tables();
        let of_topic = |topic: u64| {
            let key = |sequence| tables.kept_by_topic(filter.get(), topic, sequence).to_vec();
            self.count_within(self.count_of_topic(filter, topic)?, &key, run)
        };
        match target {
            Target::Filter => {
                let key = |sequence| tables.kept(filter.get(), sequence).to_vec();
                self.count_within(self.progress.events_of(filter), &key, run)
            }
            Target::Topic(name) => {
                of_topic(self.plan().key.subscription(name, MatchPolicy::Exact).get())
            }
            Target::Pattern(pattern, policy) => {
                let topics = self.topics(pattern, policy)?;
                topics.into_iter().map(of_topic).sum()
            }
        }
    }

    /// The `n`th event under keys of what is kept, from 1.
    pub(super) fn nth(
        &self,
        key: &dyn Fn(u64) -> Vec<u8>,
        n: u64,
    ) -> Result<Option<Sequence>, LmdbError> {
        let (mut left, mut found) = (n, None);
        self.each_key(key, (0, u64::MAX), false, |sequence| {
            left = left.saturating_sub(1);
            found = (left == 0).then_some(Sequence::new(sequence));
            Ok(match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })?;
        Ok(found)
    }
}
