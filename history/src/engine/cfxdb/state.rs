//! What a store knows of itself: who it is, its filters, how far it has come. Rows of the table
//! of state, of which [`Progress`] changes with every commit.

use std::time::Duration;

use hashbrown::HashMap;

use super::lmdb::{Env, LmdbError, Txn, WriteTxn};
use super::tables::Tables;
use crate::engine::fields::{
    put_text, put_u32, put_u64, take_array, take_text, take_u8, take_u32, take_u64, u64_at,
};
use crate::engine::sled::head::{policy_byte, policy_from_byte};
use crate::event::{Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, Filter, FilterId};
use crate::store::{Incarnation, Lost};
use crate::subscription::StoreKey;

/// The layout of our tables that this program writes, and the newest that it reads.
pub(super) const VERSION: u8 = 1;

/// Rows of the table of state.
const WHO: u16 = 0;
const FILTERS: u16 = 1;
const PROGRESS: u16 = 2;
const LEFT: u16 = 3;
const LOST: u16 = 4;

/// What stands for no bound.
const NONE: u64 = u64::MAX;

/// Who a store is, the same for its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) realm: String,
    pub(super) incarnation: Incarnation,
    pub(super) key: StoreKey,
}

/// A filter that is or was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: FilterId,
    /// With the limits of the last configuration.
    pub(super) filter: Filter,
    pub(super) configured: bool,
}

/// What a filter has, and had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Events that it keeps.
    pub(super) events: u64,
    /// The newest that it has dropped.
    pub(super) floor: Sequence,
}

/// How far a store has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The transaction that wrote this: if it is the last one, nobody else has written since.
    pub(super) txn: u64,
    /// Sequences below may have been given out.
    pub(super) reserved: Sequence,
    /// The newest event ever stored.
    pub(super) newest: Sequence,
    /// Its time; new ones must be later.
    pub(super) last_time: Timestamp,
    /// After a clean end the next sequence, else zero.
    pub(super) clean: Sequence,
    /// The latest time that the store was told.
    pub(super) told: Timestamp,
    /// Events that are there.
    pub(super) events: u64,
    /// Events that were taken over from others and given another time than their own.
    pub(super) shifted: u64,
    pub(super) filters: HashMap<FilterId, Held>,
}

impl Progress {
    pub(super) fn held(&mut self, filter: FilterId) -> &mut Held {
        self.filters.entry(filter).or_default()
    }

    pub(super) fn events_of(&self, filter: FilterId) -> u64 {
        self.filters.get(&filter).map_or(0, |held| held.events)
    }

    pub(super) fn floor(&self, filter: FilterId) -> Sequence {
        let held = self.filters.get(&filter);
        held.map_or(Sequence::ZERO, |held| held.floor)
    }

    pub(super) fn read(txn: &Txn<'_>, tables: &Tables) -> Result<Self, LmdbError> {
        let row = txn.get(&Self::key(tables))?;
        row.and_then(Self::of).ok_or(LmdbError::DAMAGED)
    }

    /// Where the row is.
    pub(super) fn key(tables: &Tables) -> [u8; 4] {
        tables.state(PROGRESS)
    }

    /// What such a row says.
    pub(super) fn of(row: &[u8]) -> Option<Self> {
        take_progress(row)
    }

    /// Writes the row, with the number of the transaction in which it is written.
    pub(super) fn write(
        &mut self,
        txn: &mut WriteTxn<'_>,
        tables: &Tables,
    ) -> Result<(), LmdbError> {
        self.txn = txn.id();
        let mut out = vec![VERSION];
        let numbers = [
            self.txn,
            self.reserved.get(),
            self.newest.get(),
            self.last_time.nanos(),
            self.clean.get(),
            self.told.nanos(),
            self.events,
            self.shifted,
        ];
        numbers.iter().for_each(|number| put_u64(&mut out, *number));
        put_u32(&mut out, self.filters.len() as u32);
        let mut filters: Vec<_> = self.filters.iter().collect();
        filters.sort_unstable_by_key(|(id, _)| **id);
        for (id, held) in filters {
            put_u32(&mut out, id.get());
            put_u64(&mut out, held.events);
            put_u64(&mut out, held.floor.get());
        }
        txn.put(&tables.state(PROGRESS), &out)
    }
}

pub(super) fn take_progress(mut rest: &[u8]) -> Option<Progress> {
    let rest = &mut rest;
    if take_u8(rest)? != VERSION {
        return None;
    }
    let mut numbers = [0; 8];
    for number in &mut numbers {
        *number = take_u64(rest)?;
    }
    let [
        txn,
        reserved,
        newest,
        last_time,
        clean,
        told,
        events,
        shifted,
    ] = numbers;
    let mut filters = HashMap::new();
    for _ in 0..take_u32(rest)? {
        let id = FilterId::new(take_u32(rest)?);
        let events = take_u64(rest)?;
        let floor = Sequence::new(take_u64(rest)?);
        filters.insert(id, Held { events, floor });
    }
    Some(Progress {
        txn,
        reserved: Sequence::new(reserved),
        newest: Sequence::new(newest),
        last_time: Timestamp::from_nanos(last_time),
        clean: Sequence::new(clean),
        told: Timestamp::from_nanos(told),
        events,
        shifted,
        filters,
    })
}

/// What the first row says.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Newer(u8),
    Store(Who),
}

/// Where it is said who a store is.
pub(super) fn who_key(tables: &Tables) -> [u8; 4] {
    tables.state(WHO)
}

pub(super) fn read_who(txn: &Txn<'_>, tables: &Tables) -> Result<Found, LmdbError> {
    who_of(txn.get(&who_key(tables))?)
}

/// What such a row says.
pub(super) fn who_of(row: Option<&[u8]>) -> Result<Found, LmdbError> {
    let Some(mut rest) = row else {
        return Ok(Found::Nothing);
    };
    let rest = &mut rest;
    let version = take_u8(rest).ok_or(LmdbError::DAMAGED)?;
    if version > VERSION {
        return Ok(Found::Newer(version));
    }
    take_who(rest).map(Found::Store).ok_or(LmdbError::DAMAGED)
}

fn take_who(rest: &mut &[u8]) -> Option<Who> {
    Some(Who {
        incarnation: Incarnation(take_array(rest)?),
        key: StoreKey::from_bytes(take_array(rest)?),
        realm: take_text(rest)?.to_owned(),
    })
}

pub(super) fn write_who(
    txn: &mut WriteTxn<'_>,
    tables: &Tables,
    who: &Who,
) -> Result<(), LmdbError> {
    let mut out = vec![VERSION];
    out.extend_from_slice(who.incarnation.bytes());
    out.extend_from_slice(who.key.bytes());
    put_text(&mut out, &who.realm);
    txn.put(&who_key(tables), &out)
}

pub(super) fn read_filters(txn: &Txn<'_>, tables: &Tables) -> Result<Vec<Known>, LmdbError> {
    filters_of(txn.get(&filters_key(tables))?)
}

/// How many publications of others were left alone when it was last looked for them.
pub(super) fn read_left(env: &Env, tables: &Tables) -> Result<u64, LmdbError> {
    let txn = env.read()?;
    let row = txn.get(&tables.state(LEFT))?;
    Ok(row.and_then(|row| u64_at(row, 0)).unwrap_or(0))
}

pub(super) fn write_left(
    txn: &mut WriteTxn<'_>,
    tables: &Tables,
    left: u64,
) -> Result<(), LmdbError> {
    txn.put(&tables.state(LEFT), &left.to_le_bytes())
}

/// Where the filters are.
pub(super) fn filters_key(tables: &Tables) -> [u8; 4] {
    tables.state(FILTERS)
}

/// What such a row says.
pub(super) fn filters_of(row: Option<&[u8]>) -> Result<Vec<Known>, LmdbError> {
    let Some(mut rest) = row else {
        return Ok(Vec::new());
    };
    take_filters(&mut rest).ok_or(LmdbError::DAMAGED)
}

pub(super) fn take_filters(rest: &mut &[u8]) -> Option<Vec<Known>> {
    let mut filters = Vec::new();
    for _ in 0..take_u32(rest)? {
        let id = FilterId::new(take_u32(rest)?);
        let configured = take_u8(rest)? != 0;
        let match_policy = policy_from_byte(take_u8(rest)?)?;
        let mut bounds = [None; 3];
        for bound in &mut bounds {
            *bound = Some(take_u64(rest)?).filter(|bound| *bound != NONE);
        }
        let [limit, limit_per_topic, max_age] = bounds;
        let uri = take_text(rest)?;
        let filter = Filter {
            limit,
            limit_per_topic,
            max_age: max_age.map(Duration::from_nanos),
            ..Filter::new(uri, match_policy)
        };
        filters.push(Known {
            id,
            filter,
            configured,
        });
    }
    Some(filters)
}

pub(super) fn write_filters(
    txn: &mut WriteTxn<'_>,
    tables: &Tables,
    filters: &[Known],
) -> Result<(), LmdbError> {
    let mut out = Vec::new();
    put_u32(&mut out, filters.len() as u32);
    for Known {
        id,
        filter,
        configured,
    } in filters
    {
        put_u32(&mut out, id.get());
        out.push(u8::from(*configured));
        out.push(policy_byte(filter.match_policy));
        let age = filter.max_age.map(|age| age.as_nanos());
        let age = age.map(|age| u64::try_from(age).unwrap_or(NONE - 1));
        for bound in [filter.limit, filter.limit_per_topic, age] {
            put_u64(&mut out, bound.unwrap_or(NONE));
        }
        put_text(&mut out, &filter.uri);
    }
    txn.put(&tables.state(FILTERS), &out)
}

/// What is missing; a file without the row has lost nothing.
pub(super) fn read_lost(txn: &Txn<'_>, tables: &Tables) -> Result<Vec<Lost>, LmdbError> {
    let Some(mut rest) = txn.get(&tables.state(LOST))? else {
        return Ok(Vec::new());
    };
    take_lost(&mut rest).ok_or(LmdbError::DAMAGED)
}

fn take_lost(rest: &mut &[u8]) -> Option<Vec<Lost>> {
    let mut lost = Vec::new();
    for _ in 0..take_u32(rest)? {
        lost.push(Lost {
            from: Sequence::new(take_u64(rest)?),
            to: Sequence::new(take_u64(rest)?),
            why: take_text(rest)?.to_owned(),
        });
    }
    Some(lost)
}

pub(super) fn write_lost(
    txn: &mut WriteTxn<'_>,
    tables: &Tables,
    lost: &[Lost],
) -> Result<(), LmdbError> {
    let mut out = Vec::new();
    put_u32(&mut out, lost.len() as u32);
    for Lost { from, to, why } in lost {
        put_u64(&mut out, from.get());
        put_u64(&mut out, to.get());
        put_text(&mut out, why);
    }
    txn.put(&tables.state(LOST), &out)
}

/// Takes the configuration over: filters that were known keep their ID, new ones get the next.
/// Gives the configured ones in configured order.
pub(super) fn configure(known: &mut Vec<Known>, configured: Vec<Filter>) -> Vec<ConfiguredFilter> {
    known.iter_mut().for_each(|known| known.configured = false);
    let mut filters = Vec::with_capacity(configured.len());
    for filter in configured {
        let next = known.iter().map(|known| known.id.get() + 1).max();
        let same = known.iter_mut().find(|known| known.filter.is_same(&filter));
        let id = match same {
            // Of two that are the same the first counts.
            Some(same) if same.configured => same.id,
            Some(same) => {
                same.configured = true;
                same.filter = filter.clone();
                same.id
            }
            None => {
                let id = FilterId::new(next.unwrap_or(0));
                known.push(Known {
                    id,
                    filter: filter.clone(),
                    configured: true,
                });
                id
            }
        };
        filters.push(ConfiguredFilter { id, filter });
    }
    filters
}

#[cfg(test)]
mod tests {
    use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix, Wildcard};

    use super::super::lmdb::{Env, Options};
    use super::*;

    #[test]
    fn what_a_store_knows_of_itself_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            map: 1 << 20,
            readonly: false,
            mode: 0o640,
            sync: false,
        };
        let env = Env::open(folder.path(), options).unwrap();
        let mut txn = env.write().unwrap();
        let tables = Tables::find_or_make(&mut txn).unwrap();
        assert!(matches!(read_who(&txn, &tables).unwrap(), Found::Nothing));
        let who = Who {
            realm: "realm1".to_owned(),
            incarnation: Incarnation([9; 16]),
            key: StoreKey::from_bytes([8; 32]),
        };
        write_who(&mut txn, &tables, &who).unwrap();
        let mut filters = Vec::new();
        let bounded = Filter {
            limit: Some(3),
            max_age: Some(Duration::from_secs(9)),
            ..Filter::new("com.", Prefix)
        };
        let ids = |configured: &[ConfiguredFilter]| {
            let ids = configured.iter().map(|configured| configured.id.get());
            ids.collect::<Vec<_>>()
        };
        let both = vec![bounded.clone(), Filter::new("", Prefix)];
        assert_eq!(ids(&configure(&mut filters, both)), [0, 1]);
        let other = vec![Filter::new("a..b", Wildcard), bounded];
        assert_eq!(ids(&configure(&mut filters, other)), [2, 0]);
        write_filters(&mut txn, &tables, &filters).unwrap();
        let mut progress = Progress {
            reserved: Sequence::new(4),
            newest: Sequence::new(3),
            last_time: Timestamp::from_nanos(2),
            clean: Sequence::ZERO,
            told: Timestamp::from_nanos(1),
            events: 3,
            ..Progress::default()
        };
        progress.held(FilterId::new(1)).events = 3;
        progress.held(FilterId::new(2)).floor = Sequence::new(1);
        progress.write(&mut txn, &tables).unwrap();
        let id = txn.id();
        txn.commit().unwrap();
        let txn = env.read().unwrap();
        assert_eq!(txn.id(), id);
        assert_eq!(Progress::read(&txn, &tables).unwrap(), progress);
        assert_eq!(progress.txn, id);
        assert_eq!(read_filters(&txn, &tables).unwrap(), filters);
        let Found::Store(found) = read_who(&txn, &tables).unwrap() else {
            panic!("it is a store");
        };
        assert_eq!(found, who);
        assert!(
            !filters
                .iter()
                .any(|known| known.filter.match_policy == Exact)
        );
    }
}
