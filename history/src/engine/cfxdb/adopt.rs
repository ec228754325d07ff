//! What others have written is taken over: Publications that Crossbar put into the file get a
//! place in the order, by their time and then their ID, and rows of ours that say which filters
//! keep them. Their own rows are left as they are.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits as PayloadLimits, Serializer};
use rewamp_wamp::uri::is_restricted;

use super::begin::Failed;
use super::foreign::{Source, each_of};
use super::lmdb::{Env, LmdbError, Txn};
use super::record::Record;
use super::rows::{EventRow, PublicationRow, SessionRow};
use super::shelf::{Plan, Shelf};
use super::space::{Fill, Limits};
use super::state::Progress;
use super::tables::Tables;
use crate::event::{Sequence, Timestamp};
use crate::filter::FilterTable;
use crate::receivers::Receivers;
use crate::store::{Full, StoreConfig};

/// Publications that are taken over in one transaction, at most.
const AT_ONCE: usize = 1_000;

/// See the head of this file.
pub(super) struct Adoption<'a> {
    pub(super) env: &'a Env,
    pub(super) plan: &'a Plan,
    pub(super) filters: &'a FilterTable,
    pub(super) config: &'a StoreConfig,
    /// Where their rows are, if not in the same file.
    pub(super) source: Option<&'a Source>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) progress: Progress,
    /// The next sequence that is free.
    pub(super) next: Sequence,
    /// Publications that no history shows.
    pub(super) left: u64,
}

/// A table that others write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Theirs {
    Sessions,
    Publications,
    Events,
}

/// Publications that are new to us.
#[derive(Debug, Default)]
struct Strangers {
    /// Their times and IDs, in order.
    publications: Vec<(u64, u64)>,
    /// Rows of Events that name them.
    events: HashMap<u64, Vec<(u64, u64)>>,
    /// How many there are that no history shows.
    hidden: u64,
}

impl Adoption<'_> {
    /// Takes over what there is, from the sequence `next` on; gives the next one that is free.
    pub(super) fn run(
        &self,
        mut progress: Progress,
        mut next: Sequence,
    ) -> Result<Adopted, Failed> {
        let strangers = self.find()?;
        let Strangers {
            publications,
            events,
            hidden,
        } = &strangers;
        if *hidden > 0 {
            log::warn!(
                realm = self.config.realm.as_str();
                "{hidden} publications of others are for no history: of other topics, of another \
                 realm, for certain sessions only, or not readable"
            );
        }
        let left = *hidden;
        if publications.is_empty() {
            return Ok(Adopted {
                progress,
                next,
                left,
            });
        }
        log::info!(
            realm = self.config.realm.as_str();
            "{} publications of others get their place", publications.len()
        );
        let limits = Limits::of(self.config.maxsize);
        let most = limits.removed_at_once().min(AT_ONCE);
        for part in publications.chunks(most) {
            let mut shelf = Shelf::begin(self.env, self.plan, progress)?;
            for (_, id) in part {
                let rows = events.get(id).cloned().unwrap_or_default();
                if self.adopt(&mut shelf, *id, next, rows)? {
                    next = next.next();
                }
            }
            // Not to be given out once more, should this be cut short.
            shelf.progress.reserved = shelf.progress.reserved.max(next);
            progress = shelf.commit()?;
            while self.config.full == Full::DropOldest
                && progress.events > 0
                && Fill::of(self.env, limits)?.missing(limits) > 0
            {
                let mut shelf = Shelf::begin(self.env, self.plan, progress)?;
                for _ in 0..most {
                    shelf.drop_oldest_of_all()?;
                }
                progress = shelf.commit()?;
            }
        }
        Ok(Adopted {
            progress,
            next,
            left,
        })
    }

    /// Gives one publication its place; says whether it is still there.
    fn adopt(
        &self,
        shelf: &mut Shelf<'_>,
        id: u64,
        sequence: Sequence,
        rows: Vec<(u64, u64)>,
    ) -> Result<bool, LmdbError> {
        let bytes = match self.source {
            Some(source) => source.publication(id)?.map(Cow::into_owned),
            None => {
                let key = self.plan.tables.publication(id);
                shelf.rows().get(&key)?.map(<[u8]>::to_vec)
            }
        };
        let Some(bytes) = bytes else {
            return Ok(false);
        };
        let Some((row, receivers)) = readable(&bytes) else {
            return Ok(false);
        };
        let Some(topic) = self.filters.topic(row.topic) else {
            return Ok(false);
        };
        let time = Timestamp::from_nanos(row.timestamp);
        let free = shelf.progress.last_time.next();
        if time < free {
            shelf.progress.shifted += 1;
        }
        let subscription = topic.subscription(&self.plan.key).get();
        let receivers = receivers.as_ref().map(Receivers::as_ref);
        let filters = topic.filters();
        let time = time.max(free);
        let record = Record::adopted(&row, time, subscription, filters, receivers, rows);
        shelf.put_record(sequence, &record, topic.name())?;
        shelf.keep_within_limits(filters, subscription)?;
        Ok(true)
    }

    /// Looks for publications that have no place in the order.
    fn find(&self) -> Result<Strangers, LmdbError> {
        let tables = &self.plan.tables;
        let known = self.known(&self.env.read()?)?;
        let mut elsewhere: HashMap<u64, bool> = HashMap::new();
        self.each(Theirs::Sessions, &mut |_, value| {
            let Some(row) = SessionRow::read(value) else {
                return;
            };
            if let Some(realm) = row.realm {
                let here = realm == self.config.realm;
                let elsewhere = elsewhere.entry(row.session).or_insert(true);
                *elsewhere &= !here;
            }
        })?;
        let mut found = Strangers::default();
        self.each(Theirs::Publications, &mut |_, value| {
            let Some(row) = PublicationRow::read(value) else {
                return;
            };
            if known.contains(&row.publication) {
                return;
            }
            let shown = readable(value).is_some()
                && elsewhere.get(&row.publisher) != Some(&true)
                && PublicationId::new(row.publication).is_some()
                && !is_restricted(row.topic);
            match shown && self.filters.topic(row.topic).is_some() {
                true => found.publications.push((row.timestamp, row.publication)),
                false => found.hidden += 1,
            }
        })?;
        found.publications.sort_unstable();
        let wanted: HashSet<u64> = found.publications.iter().map(|(_, id)| *id).collect();
        self.each(Theirs::Events, &mut |key, value| {
            if let (Some(key), Some(row)) = (tables.event_in(key), EventRow::read(value))
                && wanted.contains(&row.publication)
            {
                found.events.entry(row.publication).or_default().push(key);
            }
        })?;
        Ok(found)
    }

    /// Visits the rows of a table.
    fn each(&self, table: Theirs, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LmdbError> {
        if let Some(source) = self.source {
            return source.each_of_theirs(table, visit);
        }
        let tables = &self.plan.tables;
        let table = match table {
            Theirs::Sessions => tables.sessions,
            Theirs::Publications => tables.publications,
            Theirs::Events => tables.events,
        };
        each_of(
            &self.env.read()?,
            &Tables::begin(table),
            &mut |key, value| {
                visit(key, value);
                Ok(())
            },
        )
    }

    /// The publications that have a place already.
    fn known(&self, txn: &Txn<'_>) -> Result<HashSet<u64>, LmdbError> {
        let like = self.plan.tables.order(0);
        let mut known = HashSet::new();
        let mut cursor = txn.cursor()?;
        let mut next = cursor.seek(&like)?;
        while let Some((key, value)) = next {
            if Tables::sequence_in(key, &like).is_none() {
                break;
            }
            known.extend(Record::read(value).map(|record| record.publication));
            next = cursor.next()?;
        }
        Ok(known)
    }
}

/// A row that a history can show, and who may see it.
fn readable(bytes: &[u8]) -> Option<(PublicationRow<'_>, Option<Receivers>)> {
    let row = PublicationRow::read(bytes)?;
    let audience = PublicationRow::audience(bytes)?;
    let limits = PayloadLimits::default();
    Payload::from_raw(Serializer::Cbor, row.args, row.kwargs, &limits).ok()?;
    Some((row, audience))
}
