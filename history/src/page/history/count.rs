//! How many events a history has, and about how many bytes they take.

use std::ops::ControlFlow;

use super::History;
use crate::error::StoreError;
use crate::event::EventRef;
use crate::page::{Amount, Committed, Newest, Reach};

/// What an event takes on disk besides what came with it, about, in bytes.
const RECORD: u64 = 64;

impl<C: Committed> History<'_, C> {
    /// How many events there are, whoever may see them.
    pub(in crate::page) fn count(&self) -> Result<Amount, StoreError> {
        let mut range = Reach {
            start: self.oldest,
            ..Reach::ALL
        };
        if self.topics.is_some() {
            return match self.count_by_topic(range)? {
                Some(counted) => Ok(counted),
                None => self.count_one_by_one(),
            };
        }
        let pending = self
            .uncommitted()
            .filter(|event| self.is_asked_for(event, self.target, &range));
        let mut all = pending.fold(Amount::default(), |mut all, event| {
            all += Amount {
                events: 1,
                bytes: event.footprint(),
            };
            all
        });
        range.begin_at(self.floor.next());
        range.end_at(self.newest);
        if !range.is_empty() {
            all += self
                .committed
                .count(self.scope.filter, self.target, &range)?;
        }
        Ok(all)
    }

    /// The same where the filter keeps so many events of each topic.
    fn count_by_topic(&self, range: Reach) -> Result<Option<Amount>, StoreError> {
        let filter = self.scope.filter;
        let Some(each) = self.committed.limit_per_topic(filter) else {
            return Ok(None);
        };
        let mut newest = Newest::for_all(self.scope, each, self.target, range);
        let mut pending = Amount::default();
        for event in self.uncommitted().rev() {
            let counts = self.is_asked_for(event, self.target, &range)
                && newest.take_pending(event.topic.name(), &EventRef::from(&**event));
            if counts {
                pending += Amount {
                    events: 1,
                    bytes: event.footprint(),
                };
            }
        }
        newest.range.begin_at(self.floor.next());
        newest.range.end_at(self.newest);
        if newest.range.is_empty() {
            return Ok(Some(pending));
        }
        let committed = self.committed.count_newest(&mut newest)?;
        Ok(committed.map(|committed| {
            pending += committed;
            pending
        }))
    }

    /// The same where an index does not tell: the events between others may be gone.
    fn count_one_by_one(&self) -> Result<Amount, StoreError> {
        let mut all = Amount::default();
        self.walk(self.target, &Reach::ALL, false, &mut |event| {
            let bytes = event.payload.tail.len() + event.details.map_or(0, <[u8]>::len);
            all += Amount {
                events: 1,
                bytes: (bytes + event.topic.len()) as u64 + RECORD,
            };
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }
}
