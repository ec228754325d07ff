//! What one transaction does to the tables: events are put, and leave the filters that keep them
//! one by one; what no filter keeps any more is removed from all tables. Nothing of it holds until
//! [`Shelf::commit`].

use bytestring::ByteString;
use hashbrown::HashMap;
use rewamp_wamp::uri::MatchPolicy;

use super::lmdb::{Env, LmdbError, WriteTxn};
use super::opaque::Opaque;
use super::record::{Filters, Record, in_cbor};
use super::rows::{EventRow, PublicationRow};
use super::state::Progress;
use super::tables::Tables;
use crate::engine::fields::{put_u32, put_u64, take_u32, u64_at};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, FilterId};
use crate::subscription::StoreKey;

/// What is the same for all transactions of a life.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tables: Tables,
    pub(super) key: StoreKey,
    /// Subscriptions of all filters that there are and were.
    pub(super) subscriptions: HashMap<FilterId, u64>,
    /// The configured filters, by their ID.
    pub(super) limits: HashMap<FilterId, ConfiguredFilter>,
}

impl Plan {
    pub(super) fn limit(&self, filter: FilterId) -> Option<u64> {
        self.limits.get(&filter)?.filter.limit
    }

    pub(super) fn limit_per_topic(&self, filter: FilterId) -> Option<u64> {
        self.limits.get(&filter)?.filter.limit_per_topic
    }
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Shelf<'a> {
    txn: WriteTxn<'a>,
    plan: &'a Plan,
    pub(super) progress: Progress,
    /// How many events filters keep of topics, where that has changed.
    counts: HashMap<(FilterId, u64), Count>,
    row: Vec<u8>,
}

#[derive(Debug)]
struct Count {
    before: u64,
    now: u64,
    /// The topic's name, if an event of it has come.
    name: Option<ByteString>,
}

/// What has to be known of an event to remove it.
#[derive(Debug)]
struct Entry {
    sequence: u64,
    publication: u64,
    time: u64,
    topic: u64,
    filters: Filters,
    foreign: Option<Vec<(u64, u64)>>,
}

type Done<T = ()> = Result<T, LmdbError>;

impl<'a> Shelf<'a> {
    pub(super) fn begin(env: &'a Env, plan: &'a Plan, progress: Progress) -> Done<Self> {
        Ok(Self {
            txn: env.write()?,
            plan,
            progress,
            counts: HashMap::new(),
            row: Vec::new(),
        })
    }

    /// Makes it hold, and says how far the store has come.
    pub(super) fn commit(mut self) -> Done<Progress> {
        self.write_counts()?;
        let Self {
            mut txn,
            plan,
            mut progress,
            ..
        } = self;
        progress.write(&mut txn, &plan.tables)?;
        txn.commit()?;
        Ok(progress)
    }

    /// The transaction itself, for rows of other tables.
    pub(super) fn rows(&mut self) -> &mut WriteTxn<'a> {
        &mut self.txn
    }

    /// Keeps an event, and drops what no longer has room within the limits of its filters.
    pub(super) fn put(&mut self, event: &Event) -> Done {
        let view = EventRef::from(event);
        let (cbor, place) = in_cbor(&event.payload);
        let opaque = Opaque::of(event);
        let publication = PublicationRow {
            timestamp: event.time.nanos(),
            publication: event.publication.get(),
            publisher: event.publisher.get(),
            topic: view.topic,
            args: cbor.as_ref().and_then(|cbor| cbor.args()),
            kwargs: cbor.as_ref().and_then(|cbor| cbor.kwargs()),
            exclude_me: event.exclude_me,
            opaque: opaque.as_ref(),
        };
        publication.write(view.receivers, &mut self.row);
        let key = self.plan.tables.publication(publication.publication);
        self.txn.put(&key, &self.row)?;
        let topic = event.topic.subscription(&self.plan.key).get();
        let record = Record::of(&view, topic, event.topic.filters(), place);
        self.put_record(event.sequence, &record, event.topic.name())?;
        for filter in event.topic.filters() {
            let Some(subscription) = self.plan.subscriptions.get(filter) else {
                continue;
            };
            let row = EventRow {
                timestamp: event.time.nanos(),
                subscription: *subscription,
                publication: event.publication.get(),
            };
            row.write(&mut self.row);
            let key = self.plan.tables.event(*subscription, row.timestamp);
            self.txn.put(&key, &self.row)?;
        }
        self.keep_within_limits(event.topic.filters(), topic)
    }

    /// Puts an event of which Publications has what it has.
    pub(super) fn put_record(
        &mut self,
        sequence: Sequence,
        record: &Record<'_>,
        name: &ByteString,
    ) -> Done {
        record.write(&mut self.row);
        let key = self.plan.tables.order(sequence.get());
        if !self.txn.append(&key, &self.row)? {
            self.txn.put(&key, &self.row)?;
        }
        for filter in &record.filters {
            let Plan { tables, .. } = self.plan;
            let key = tables.kept(filter.get(), sequence.get());
            self.txn.put(&key, &[])?;
            let key = tables.kept_by_topic(filter.get(), record.topic, sequence.get());
            self.txn.put(&key, &[])?;
            let count = self.count(*filter, record.topic)?;
            count.now += 1;
            count.name.get_or_insert_with(|| name.clone());
            self.progress.held(*filter).events += 1;
        }
        self.progress.events += 1;
        self.progress.newest = self.progress.newest.max(sequence);
        self.progress.last_time = self.progress.last_time.max(record.time);
        Ok(())
    }

    /// Drops what filters that got an event of a topic have too much now.
    pub(super) fn keep_within_limits(&mut self, filters: &[FilterId], topic: u64) -> Done {
        for filter in filters {
            if let Some(each) = self.plan.limit_per_topic(*filter) {
                while self.count(*filter, topic)?.now > each {
                    self.give_way(*filter, topic)?;
                }
            }
        }
        for filter in filters {
            if let Some(limit) = self.plan.limit(*filter) {
                while self.progress.events_of(*filter) > limit {
                    self.drop_oldest(*filter)?;
                }
            }
        }
        Ok(())
    }

    /// Drops what filters have too much after another configuration, about `most` events; says
    /// whether that was all.
    pub(super) fn enforce(&mut self, filter: FilterId, most: usize) -> Done<bool> {
        let mut left = most;
        if let Some(each) = self.plan.limit_per_topic(filter) {
            for (topic, count) in self.crowded(filter, each)? {
                for _ in each..count {
                    if left == 0 {
                        return Ok(false);
                    }
                    left -= 1;
                    self.give_way(filter, topic)?;
                }
            }
        }
        let limit = self.plan.limit(filter).unwrap_or(u64::MAX);
        while self.progress.events_of(filter) > limit {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            self.drop_oldest(filter)?;
        }
        Ok(true)
    }

    /// Topics of which a filter keeps more than `each`, and how many.
    fn crowded(&self, filter: FilterId, each: u64) -> Done<Vec<(u64, u64)>> {
        let like = self.plan.tables.count(filter.get(), 0);
        let mut cursor = self.txn.cursor()?;
        let mut next = cursor.seek(&like)?;
        let mut found = Vec::new();
        while let Some((key, value)) = next {
            let Some(topic) = Tables::sequence_in(key, &like) else {
                break;
            };
            let count = u64_at(value, 0).unwrap_or(0);
            if count > each {
                found.push((topic, count));
            }
            next = cursor.next()?;
        }
        Ok(found)
    }

    /// Drops a filter's events from before `oldest`, at most `most`; says whether that was all.
    pub(super) fn drop_older(
        &mut self,
        filter: FilterId,
        oldest: Timestamp,
        most: usize,
    ) -> Done<bool> {
        for _ in 0..most {
            match self.front(filter)? {
                Some(entry) if entry.time < oldest.nanos() => self.drop_front(filter, &entry)?,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Drops the oldest event of all, from every filter that keeps it; says whether there was one.
    pub(super) fn drop_oldest_of_all(&mut self) -> Done<bool> {
        let like = self.plan.tables.order(0);
        let first = self.txn.cursor()?.seek(&like)?;
        let sequence = first.and_then(|(key, _)| Tables::sequence_in(key, &like));
        let Some(sequence) = sequence else {
            return Ok(false);
        };
        let Some(entry) = self.entry(sequence)? else {
            // What cannot be read is of no use to anybody.
            return self.txn.delete(&self.plan.tables.order(sequence));
        };
        for filter in entry.filters.clone() {
            if self.keeps(filter, sequence)? {
                self.drop_front(filter, &entry)?;
            }
        }
        if self.entry(sequence)?.is_some() {
            // No filter kept it.
            self.forget(&entry)?;
        }
        Ok(true)
    }

    fn drop_oldest(&mut self, filter: FilterId) -> Done {
        match self.front(filter)? {
            Some(entry) => self.drop_front(filter, &entry),
            None => {
                // Counted, and not there: what there is counts.
                self.progress.held(filter).events = 0;
                Ok(())
            }
        }
    }

    fn drop_front(&mut self, filter: FilterId, entry: &Entry) -> Done {
        let held = self.progress.held(filter);
        held.floor = held.floor.max(Sequence::new(entry.sequence));
        self.let_go(filter, entry)
    }

    /// The oldest event that a filter keeps.
    fn front(&self, filter: FilterId) -> Done<Option<Entry>> {
        let like = self.plan.tables.kept(filter.get(), 0);
        self.first(&like)
    }

    /// The first event under a key of what is kept that begins as `like`.
    fn first(&self, like: &[u8]) -> Done<Option<Entry>> {
        let first = self.txn.cursor()?.seek(like)?;
        match first.and_then(|(key, _)| Tables::sequence_in(key, like)) {
            Some(sequence) => Ok(Some(self.entry(sequence)?.ok_or(LmdbError::DAMAGED)?)),
            None => Ok(None),
        }
    }

    fn entry(&self, sequence: u64) -> Done<Option<Entry>> {
        let row = self.txn.get(&self.plan.tables.order(sequence))?;
        Ok(row.and_then(Record::read).map(|record| Entry {
            sequence,
            publication: record.publication,
            time: record.time.nanos(),
            topic: record.topic,
            filters: record.filters,
            foreign: record.foreign,
        }))
    }

    /// The oldest event of a topic gives way to newer ones.
    fn give_way(&mut self, filter: FilterId, topic: u64) -> Done {
        let like = self.plan.tables.kept_by_topic(filter.get(), topic, 0);
        match self.first(&like)? {
            Some(entry) => self.let_go(filter, &entry),
            None => {
                self.count(filter, topic)?.now = 0;
                Ok(())
            }
        }
    }

    /// Takes an event from every filter that keeps it.
    pub(super) fn purge(&mut self, sequence: Sequence) -> Done {
        let Some(entry) = self.entry(sequence.get())? else {
            return Ok(());
        };
        for filter in entry.filters.clone() {
            if self.keeps(filter, entry.sequence)? {
                self.let_go(filter, &entry)?;
            }
        }
        Ok(())
    }

    /// What is up to `dropped` counts as dropped by the filter.
    pub(super) fn raise_floor(&mut self, filter: FilterId, dropped: Sequence) {
        let held = self.progress.held(filter);
        held.floor = held.floor.max(dropped);
    }

    fn keeps(&self, filter: FilterId, sequence: u64) -> Done<bool> {
        let key = self.plan.tables.kept(filter.get(), sequence);
        Ok(self.txn.get(&key)?.is_some())
    }

    /// One filter less keeps an event; the last one removes it.
    fn let_go(&mut self, filter: FilterId, entry: &Entry) -> Done {
        let Plan {
            tables,
            subscriptions,
            ..
        } = self.plan;
        let Entry {
            sequence, topic, ..
        } = *entry;
        self.txn.delete(&tables.kept(filter.get(), sequence))?;
        let key = tables.kept_by_topic(filter.get(), topic, sequence);
        self.txn.delete(&key)?;
        if let Some(subscription) = subscriptions.get(&filter)
            && entry.foreign.is_none()
        {
            self.txn.delete(&tables.event(*subscription, entry.time))?;
        }
        let count = self.count(filter, topic)?;
        count.now = count.now.saturating_sub(1);
        let held = self.progress.held(filter);
        held.events = held.events.saturating_sub(1);
        for other in &entry.filters {
            if self.keeps(*other, sequence)? {
                return Ok(());
            }
        }
        self.forget(entry)
    }

    /// Removes an event that no filter keeps.
    fn forget(&mut self, entry: &Entry) -> Done {
        let Plan { tables, .. } = self.plan;
        self.txn.delete(&tables.order(entry.sequence))?;
        self.txn.delete(&tables.publication(entry.publication))?;
        for (subscription, time) in entry.foreign.iter().flatten() {
            self.txn.delete(&tables.event(*subscription, *time))?;
        }
        self.progress.events = self.progress.events.saturating_sub(1);
        Ok(())
    }

    /// How many events a filter keeps of a topic, to be changed.
    fn count(&mut self, filter: FilterId, topic: u64) -> Done<&mut Count> {
        if !self.counts.contains_key(&(filter, topic)) {
            let row = self.txn.get(&self.plan.tables.count(filter.get(), topic))?;
            let before = row.and_then(|row| u64_at(row, 0)).unwrap_or(0);
            let count = Count {
                before,
                now: before,
                name: None,
            };
            self.counts.insert((filter, topic), count);
        }
        self.counts
            .get_mut(&(filter, topic))
            .ok_or(LmdbError::DAMAGED)
    }

    fn write_counts(&mut self) -> Done {
        for ((filter, topic), count) in std::mem::take(&mut self.counts) {
            let key = self.plan.tables.count(filter.get(), topic);
            match (count.before, count.now) {
                (before, now) if before == now => {}
                (_, 0) => {
                    self.txn.delete(&key)?;
                    self.refer(topic, None)?;
                }
                (before, now) => {
                    self.txn.put(&key, &now.to_le_bytes())?;
                    if before == 0 {
                        self.refer(topic, count.name.as_ref())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One filter more has events of a topic, or, without a name, one less. A topic without any
    /// is forgotten.
    fn refer(&mut self, topic: u64, more: Option<&ByteString>) -> Done {
        let Plan { tables, .. } = self.plan;
        let key = tables.topic(topic);
        let known = self.txn.get(&key)?.and_then(read_topic);
        let (filters, name) = match (known, more) {
            (Some((filters, name)), Some(_)) => (filters + 1, ByteString::from(name)),
            (Some((filters, name)), None) => (filters.saturating_sub(1), ByteString::from(name)),
            (None, Some(name)) => {
                let key = tables.name(name, topic);
                self.txn.put(&key, &topic.to_le_bytes())?;
                (1, name.clone())
            }
            (None, None) => return Ok(()),
        };
        if filters == 0 {
            self.txn.delete(&tables.name(&name, topic))?;
            return self.txn.delete(&key).map(drop);
        }
        let mut row = Vec::with_capacity(4 + name.len());
        put_u32(&mut row, filters);
        row.extend_from_slice(name.as_bytes());
        self.txn.put(&key, &row)
    }

    /// Keeps a subscription to be found by its ID.
    pub(super) fn put_pattern(&mut self, uri: &str, policy: MatchPolicy, age: u64) -> Done {
        let id = self.plan.key.subscription(uri, policy);
        let mut row = Vec::with_capacity(9 + uri.len());
        put_u64(&mut row, age);
        row.push(crate::engine::sled::head::policy_byte(policy));
        row.extend_from_slice(uri.as_bytes());
        self.txn.put(&self.plan.tables.pattern(id.get()), &row)
    }
}

/// How many filters have events of a topic, and its name.
pub(super) fn read_topic(mut row: &[u8]) -> Option<(u32, &str)> {
    let filters = take_u32(&mut row)?;
    Some((filters, std::str::from_utf8(row).ok()?))
}
