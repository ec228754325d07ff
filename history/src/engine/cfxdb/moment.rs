//! A view of the store as of one moment, in one reading transaction: where questions are
//! answered. Short: it is let go when the page is made.

mod count; //  how many there are
mod choice; // the newest of every topic

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::{MatchPolicy, matches};

use super::lmdb::{Cursor, LmdbError, Txn};
use super::record::Record;
use super::rows::PublicationRow;
use super::shelf::{Plan, read_topic};
use super::state::Progress;
use super::tables::Tables;
use super::{Cfxdb, store_error};
use crate::error::StoreError;
use crate::event::{EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::page::{Amount, Committed, Newest, Reach, Target, Visit};
use crate::query::Scope;
use crate::topics::literal_prefix;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    store: &'a Cfxdb,
    txn: Txn<'a>,
    progress: Progress,
    /// Where arguments are put together that are not stored as one.
    room: RefCell<Vec<u8>>,
}

/// Sequences, both ends inclusive.
type Run = (u64, u64);

impl<'a> Moment<'a> {
    pub(super) fn now(store: &'a Cfxdb) -> Result<Self, StoreError> {
        let failed = |error| store.failed("cannot read", error);
        let txn = store.env.read().map_err(failed)?;
        let progress = Progress::read(&txn, &store.plan.tables).map_err(failed)?;
        Ok(Self {
            store,
            txn,
            progress,
            room: RefCell::default(),
        })
    }

    fn plan(&self) -> &'a Plan {
        &self.store.plan
    }

    fn tables(&self) -> &'a Tables {
        &self.store.plan.tables
    }

    fn done<T>(&self, result: Result<T, LmdbError>) -> Result<T, StoreError> {
        result.map_err(|error| store_error("cannot read", &self.store.path, error))
    }

    /// The topic of a subscription.
    pub(super) fn topic(&self, id: u64) -> Result<Option<String>, StoreError> {
        let row = self.done(self.txn.get(&self.tables().topic(id)))?;
        let topic = row.and_then(read_topic);
        Ok(topic.map(|(_, name)| name.to_owned()))
    }

    /// Whether a filter keeps an event from before `oldest`.
    pub(super) fn has_older(
        &self,
        filter: FilterId,
        oldest: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = |sequence| self.tables().kept(filter.get(), sequence).to_vec();
        let older = self.nth(&key, 1).and_then(|first| {
            let Some(first) = first else { return Ok(false) };
            let row = self.txn.get(&self.tables().order(first.get()))?;
            let record = row.and_then(Record::read);
            Ok(record.is_some_and(|record| record.time < oldest))
        });
        self.done(older)
    }

    /// What a reach is in sequences.
    fn run(&self, reach: &Reach) -> Result<Run, LmdbError> {
        let (mut first, mut last) = (reach.first.get(), reach.last.get());
        if reach.start > Timestamp::ZERO {
            first = first.max(self.first_at(reach.start)?.unwrap_or(u64::MAX));
        }
        if reach.end < Timestamp::MAX {
            let behind = self.first_at(reach.end.next())?;
            last = behind.map_or(last, |behind| last.min(behind.saturating_sub(1)));
        }
        Ok((first, last))
    }

    /// The first event accepted at or after `time`, found by halving: times increase with
    /// sequences.
    fn first_at(&self, time: Timestamp) -> Result<Option<u64>, LmdbError> {
        let like = self.tables().order(0);
        let mut cursor = self.txn.cursor()?;
        let newest = cursor.seek_before(&self.tables().order(u64::MAX))?;
        let newest = newest.and_then(|(key, row)| at(key, row, &like));
        let Some((newest, _)) = newest.filter(|(_, newest)| *newest >= time) else {
            return Ok(None);
        };
        // Below `low` all are earlier; `found` is not, and nothing is from `high` to it.
        let (mut low, mut high, mut found) = (0, newest, newest);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = cursor.seek(&self.tables().order(middle))?;
            match row.and_then(|(key, row)| at(key, row, &like)) {
                Some((sequence, when)) if sequence < high && when < time => low = sequence + 1,
                Some((sequence, _)) if sequence < high => (high, found) = (middle, sequence),
                _ => high = middle,
            }
        }
        Ok(Some(found))
    }

    /// Visits the keys from `like` with a sequence within a run, in order.
    fn each_key(
        &self,
        key: &dyn Fn(u64) -> Vec<u8>,
        (first, last): Run,
        reverse: bool,
        mut visit: impl FnMut(u64) -> Result<ControlFlow<()>, LmdbError>,
    ) -> Result<(), LmdbError> {
        let like = key(0);
        let mut cursor = self.txn.cursor()?;
        let mut next = match reverse {
            false => cursor.seek(&key(first))?,
            true => seek_last(&mut cursor, key, last)?,
        };
        while let Some(sequence) = next.and_then(|(key, _)| Tables::sequence_in(key, &like)) {
            if sequence < first || sequence > last {
                break;
            }
            if visit(sequence)?.is_break() {
                break;
            }
            next = match reverse {
                false => cursor.next()?,
                true => cursor.previous()?,
            };
        }
        Ok(())
    }

    /// Visits the sequences that a filter keeps on target, in order.
    fn each_sequence(
        &self,
        filter: FilterId,
        target: Target<'_>,
        run: Run,
        reverse: bool,
        mut visit: impl FnMut(u64) -> Result<ControlFlow<()>, LmdbError>,
    ) -> Result<(), LmdbError> {
        let tables = self.tables();
        match target {
            Target::Filter => {
                let key = |sequence| tables.kept(filter.get(), sequence).to_vec();
                self.each_key(&key, run, reverse, visit)
            }
            Target::Topic(name) => {
                let topic = self.plan().key.subscription(name, MatchPolicy::Exact).get();
                let key = |sequence| tables.kept_by_topic(filter.get(), topic, sequence).to_vec();
                self.each_key(&key, run, reverse, visit)
            }
            Target::Pattern(pattern, policy) => {
                let topics = self.topics(pattern, policy)?;
                self.merge(filter, &topics, run, reverse, &mut visit)
            }
        }
    }

    /// The topics that a pattern stands for, whichever filter keeps them.
    fn topics(&self, pattern: &str, policy: MatchPolicy) -> Result<Vec<u64>, LmdbError> {
        let prefix = self.tables().names_from(literal_prefix(pattern, policy));
        let mut cursor = self.txn.cursor()?;
        let mut next = cursor.seek(&prefix)?;
        let mut found = Vec::new();
        while let Some((_, value)) = next.filter(|(key, _)| key.starts_with(&prefix)) {
            let topic = value.first_chunk().map_or(0, |id| u64::from_le_bytes(*id));
            let row = self.txn.get(&self.tables().topic(topic))?;
            if let Some((_, name)) = row.and_then(read_topic)
                && matches(pattern, policy, name)
            {
                found.push(topic);
            }
            next = cursor.next()?;
        }
        Ok(found)
    }

    /// Visits what is kept of several topics as one order: of each the next is known.
    fn merge(
        &self,
        filter: FilterId,
        topics: &[u64],
        (first, last): Run,
        reverse: bool,
        visit: &mut dyn FnMut(u64) -> Result<ControlFlow<()>, LmdbError>,
    ) -> Result<(), LmdbError> {
        let mut cursor = self.txn.cursor()?;
        let mut next_of = |topic: u64, from: u64| -> Result<Option<u64>, LmdbError> {
            let key = |at| {
                let key = self.tables().kept_by_topic(filter.get(), topic, at);
                key.to_vec()
            };
            let row = match reverse {
                false => cursor.seek(&key(from))?,
                true => seek_last(&mut cursor, &key, from)?,
            };
            let sequence = row.and_then(|(found, _)| Tables::sequence_in(found, &key(0)));
            Ok(sequence.filter(|sequence| (first..=last).contains(sequence)))
        };
        // The greatest comes out first: forward, the least.
        let rank = |sequence: u64| if reverse { sequence } else { !sequence };
        let mut heads = BinaryHeap::new();
        for topic in topics {
            let from = if reverse { last } else { first };
            let head = next_of(*topic, from)?;
            heads.extend(head.map(|sequence| (rank(sequence), *topic)));
        }
        while let Some((ranked, topic)) = heads.pop() {
            let sequence = rank(ranked);
            if visit(sequence)?.is_break() {
                break;
            }
            let from = match reverse {
                true => sequence.checked_sub(1),
                false => sequence.checked_add(1),
            };
            if let Some(from) = from {
                let head = next_of(topic, from)?;
                heads.extend(head.map(|sequence| (rank(sequence), topic)));
            }
        }
        Ok(())
    }

    /// Shows an event with its arguments.
    fn show(
        &self,
        cursor: &mut Cursor<'_>,
        sequence: u64,
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LmdbError> {
        let key = self.tables().order(sequence);
        let row = cursor.seek(&key)?.filter(|(found, _)| *found == key);
        let record = row.and_then(|(_, row)| Record::read(row));
        let Some(record) = record.as_ref() else {
            return Err(LmdbError::DAMAGED);
        };
        let Some(mut event) = record.bare(Sequence::new(sequence)) else {
            return Err(LmdbError::DAMAGED);
        };
        if let Some(payload) = record.payload_here() {
            event.payload = payload;
            return Ok(visit(&event));
        }
        let row = self.publication(record.publication)?;
        let publication = row.as_deref().and_then(PublicationRow::read);
        let mut room = self.room.borrow_mut();
        let payload = publication
            .as_ref()
            .and_then(|row| record.payload_from(row, &mut room));
        // Somebody else deleted the publication, or wrote another under its ID: it is not there.
        let Some(payload) = payload else {
            return Ok(ControlFlow::Continue(()));
        };
        event.payload = payload;
        Ok(visit(&event))
    }

    /// The row of a publication, wherever it is.
    fn publication(&self, id: u64) -> Result<Option<Cow<'_, [u8]>>, LmdbError> {
        match &self.store.source {
            Some(source) => source.publication(id),
            None => {
                let row = self.txn.get(&self.tables().publication(id))?;
                Ok(row.map(Cow::Borrowed))
            }
        }
    }

    fn locate_one(&self, id: u64) -> Result<Option<Sequence>, LmdbError> {
        let row = self.publication(id)?;
        let Some(row) = row.as_deref().and_then(PublicationRow::read) else {
            return Ok(None);
        };
        let is_it = |sequence: u64| {
            let row = self.txn.get(&self.tables().order(sequence))?;
            let record = row.and_then(Record::read);
            Ok(record.is_some_and(|record| record.publication == id))
        };
        if let Some(sequence) = self.first_at(Timestamp::from_nanos(row.timestamp))?
            && is_it(sequence)?
        {
            return Ok(Some(Sequence::new(sequence)));
        }
        if self.progress.shifted == 0 {
            return Ok(None);
        }
        // It was given another time than its own, when it was taken over: that is seldom.
        let mut found = None;
        let key = |sequence| self.tables().order(sequence).to_vec();
        self.each_key(&key, (0, u64::MAX), false, |sequence| {
            found = is_it(sequence)?.then_some(Sequence::new(sequence));
            Ok(match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            })
        })?;
        Ok(found)
    }
}

/// Goes to the last row up to `last` under keys that are made from sequences.
fn seek_last<'t>(
    cursor: &mut Cursor<'t>,
    key: &dyn Fn(u64) -> Vec<u8>,
    last: u64,
) -> Result<Option<super::lmdb::Row<'t>>, LmdbError> {
    match last.checked_add(1) {
        Some(behind) => cursor.seek_before(&key(behind)),
        None => {
            let last = key(last);
            match cursor.seek(&last)? {
                Some((found, value)) if found == last => Ok(Some((found, value))),
                _ => cursor.seek_before(&last),
            }
        }
    }
}

/// Sequence and time of a row of the order.
fn at(key: &[u8], row: &[u8], like: &[u8]) -> Option<(u64, Timestamp)> {
    let sequence = Tables::sequence_in(key, like)?;
    Some((sequence, Record::read(row)?.time))
}

impl Committed for Moment<'_> {
    fn newest(&self) -> Sequence {
        self.progress.newest
    }

    fn reserved(&self) -> Sequence {
        self.store.reserved().max(self.progress.reserved)
    }

    fn is_whole(&self, scope: &Scope) -> bool {
        let filters = &self.store.filters;
        filters.is_own(scope.filter, &scope.uri, scope.match_policy)
    }

    fn limit(&self, filter: FilterId) -> Option<u64> {
        self.plan().limit(filter)
    }

    fn floor(&self, filter: FilterId, more: u64) -> Result<Sequence, StoreError> {
        let floor = self.progress.floor(filter);
        if self.plan().limit_per_topic(filter).is_some() {
            return Ok(floor);
        }
        let limit = self.plan().limit(filter);
        let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(more));
        let surplus = self.progress.events_of(filter).saturating_sub(room);
        if surplus == 0 {
            return Ok(floor);
        }
        let key = |sequence| self.tables().kept(filter.get(), sequence).to_vec();
        let dropped = self.done(self.nth(&key, surplus))?;
        Ok(dropped.unwrap_or(floor))
    }

    fn limit_per_topic(&self, filter: FilterId) -> Option<u64> {
        self.plan().limit_per_topic(filter)
    }

    fn topic_floor(
        &self,
        filter: FilterId,
        topic: &str,
        newer: u64,
    ) -> Result<Sequence, StoreError> {
        let Some(each) = self.plan().limit_per_topic(filter) else {
            return Ok(Sequence::ZERO);
        };
        let Some(left) = each.checked_sub(newer).filter(|left| *left > 0) else {
            return Ok(Sequence::MAX);
        };
        let topic = self
            .plan()
            .key
            .subscription(topic, MatchPolicy::Exact)
            .get();
        let count = self.done(self.count_of_topic(filter, topic))?;
        let Some(older) = count.checked_sub(left) else {
            return Ok(Sequence::ZERO);
        };
        let key = |sequence| {
            let key = self.tables().kept_by_topic(filter.get(), topic, sequence);
            key.to_vec()
        };
        let oldest = self.done(self.nth(&key, older + 1))?;
        Ok(oldest.unwrap_or(Sequence::ZERO))
    }

    fn oldest(&self, filter: FilterId) -> Timestamp {
        let own = self.plan().limits.get(&filter);
        own.map_or(Timestamp::ZERO, |own| {
            own.filter.oldest_at(self.store.told())
        })
    }

    fn locate(&self, publication: PublicationId) -> Result<Option<Sequence>, StoreError> {
        self.done(self.locate_one(publication.get()))
    }

    fn count(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
    ) -> Result<Amount, StoreError> {
        let counted = self
            .run(reach)
            .and_then(|run| Ok((self.count_on_target(filter, target, run)?, self.txn.stat()?)));
        let (events, stat) = self.done(counted)?;
        let share = u128::from(stat.pages * stat.page) * u128::from(events);
        let bytes = share / u128::from(self.progress.events.max(1));
        Ok(Amount {
            events,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        })
    }

    fn walk(
        &self,
        filter: FilterId,
        target: Target<'_>,
        reach: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let walked = self.run(reach).and_then(|run| {
            let mut cursor = self.txn.cursor()?;
            self.each_sequence(filter, target, run, reverse, |sequence| {
                self.show(&mut cursor, sequence, visit)
            })
        });
        self.done(walked)
    }

    fn walk_newest(
        &self,
        newest: &mut Newest<'_>,
        shown: &Reach,
        reverse: bool,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let walked = self.chosen(newest).and_then(|mut chosen| {
            let (first, last) = self.run(shown)?;
            chosen.retain(|sequence| (first..=last).contains(sequence));
            chosen.sort_unstable();
            if reverse {
                chosen.reverse();
            }
            let mut cursor = self.txn.cursor()?;
            for sequence in chosen {
                if self.show(&mut cursor, sequence, visit)?.is_break() {
                    break;
                }
            }
            Ok(())
        });
        self.done(walked)
    }
}
