//! Subscriptions that the store can answer for by their ID alone: in memory, and in a table of
//! their own, to which what is new is written with the next commit.

use bytestring::ByteString;
use parking_lot::Mutex;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use super::lmdb::{Env, LmdbError, Txn};
use super::shelf::{Plan, Shelf};
use super::tables::Tables;
use crate::engine::fields::{take_u8, take_u64};
use crate::engine::sled::head::policy_from_byte;
use crate::subscription::{PatternTable, REMEMBERED_PATTERNS, Remember};

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Patterns(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    table: PatternTable,
    unsaved: Vec<(ByteString, MatchPolicy)>,
    /// Rows that the table has on disk, at most.
    rows: usize,
    /// Counts what is written: the highest is the most recent.
    age: u64,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Unsaved {
    patterns: Vec<(ByteString, MatchPolicy)>,
    age: u64,
    /// Rows of what is forgotten are to go.
    prune: bool,
}

impl Patterns {
    /// Reads what earlier lives remembered.
    pub(super) fn read(env: &Env, plan: &Plan) -> Result<Self, LmdbError> {
        let txn = env.read()?;
        let mut rows = rows(&txn, &plan.tables)?;
        rows.sort_unstable_by_key(|(_, age, ..)| *age);
        let mut table = PatternTable::default();
        for (id, _, uri, policy) in &rows {
            if let Some(id) = SubscriptionId::new(*id) {
                table.remember(id, uri, *policy);
            }
        }
        Ok(Self(Mutex::new(Inner {
            table,
            unsaved: Vec::new(),
            age: rows.last().map_or(0, |(_, age, ..)| *age + 1),
            rows: rows.len(),
        })))
    }

    pub(super) fn find(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.0.lock().table.find(id)
    }

    /// Remembers a subscription; the next commit makes that durable.
    pub(super) fn remember(&self, id: SubscriptionId, uri: &str, policy: MatchPolicy) {
        let mut inner = self.0.lock();
        if inner.table.remember(id, uri, policy) != Remember::Known {
            inner.unsaved.push((uri.into(), policy));
            inner.rows += 1;
        }
    }

    /// Takes what is not written yet.
    pub(super) fn take_unsaved(&self) -> Unsaved {
        let mut inner = self.0.lock();
        let patterns = std::mem::take(&mut inner.unsaved);
        let age = inner.age;
        inner.age += patterns.len() as u64;
        let prune = inner.rows > 2 * REMEMBERED_PATTERNS;
        if prune {
            inner.rows = inner.table.len();
        }
        Unsaved {
            patterns,
            age,
            prune,
        }
    }

    /// Puts back what was taken and could not be written.
    pub(super) fn put_back(&self, unsaved: Unsaved) {
        let mut inner = self.0.lock();
        inner.unsaved.splice(..0, unsaved.patterns);
        if unsaved.prune {
            inner.rows = 2 * REMEMBERED_PATTERNS + 1;
        }
    }

    /// Writes what was taken.
    pub(super) fn write(
        &self,
        unsaved: &Unsaved,
        shelf: &mut Shelf<'_>,
        plan: &Plan,
    ) -> Result<(), LmdbError> {
        for ((uri, policy), age) in unsaved.patterns.iter().zip(unsaved.age..) {
            shelf.put_pattern(uri, *policy, age)?;
        }
        if unsaved.prune {
            let known = |id| SubscriptionId::new(id).is_some_and(|id| self.find(id).is_some());
            let rows = rows(shelf.rows(), &plan.tables)?;
            for (id, ..) in rows.iter().filter(|(id, ..)| !known(*id)) {
                shelf.rows().delete(&plan.tables.pattern(*id))?;
            }
        }
        Ok(())
    }
}

type Remembered = (u64, u64, ByteString, MatchPolicy);

/// The rows of the table: ID, age, subscription.
fn rows(txn: &Txn<'_>, tables: &Tables) -> Result<Vec<Remembered>, LmdbError> {
    let like = tables.pattern(0);
    let mut cursor = txn.cursor()?;
    let mut next = cursor.seek(&like)?;
    let mut found = Vec::new();
    while let Some((key, mut value)) = next {
        let Some(id) = Tables::sequence_in(key, &like) else {
            break;
        };
        let row = || {
            let age = take_u64(&mut value)?;
            let policy = policy_from_byte(take_u8(&mut value)?)?;
            let uri = std::str::from_utf8(value).ok()?;
            Some((id, age, uri.into(), policy))
        };
        found.extend({ row }());
        next = cursor.next()?;
    }
    Ok(found)
}
