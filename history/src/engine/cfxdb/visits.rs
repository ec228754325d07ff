//! Rows of Sessions: who was there, from when, until when. What happens is noted in memory and
//! written with the next transaction; rows of sessions that have left go when nothing is kept any
//! more from before they did.

use hashbrown::HashMap;
use parking_lot::Mutex;
use rewamp_wamp::id::SessionId;

use super::lmdb::{Env, LmdbError};
use super::record::Record;
use super::rows::SessionRow;
use super::shelf::{Plan, Shelf};
use super::space::{Limits, PAGE};
use super::state::Progress;
use super::tables::Tables;
use crate::event::Timestamp;
use crate::visit::Visit;

/// Sessions that wait to be written, at most: who joins while there are as many is not noted.
/// 16,384: some 8 MB, of a disk that fails for minutes.
const MOST_WAITING: usize = 16_384;

/// About how many bytes a session takes, in its row and in two more that lead to it.
pub(super) const ROW: u64 = 768;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Visits {
    realm: String,
    /// Rows of sessions that have left, at most: an eighth of the store.
    most: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Who is there, and where his row is.
    here: HashMap<u64, Place>,
    waiting: Vec<Change>,
    /// Rows of sessions that have left.
    rows: u64,
}

/// Where the row of a session is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    oid: [u8; 16],
    joined: u64,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Change {
    Joined(Box<(Place, Visit)>),
    Left(Place, u64),
}

impl Visits {
    /// Counts what is there.
    pub(super) fn begin(
        env: &Env,
        plan: &Plan,
        realm: &str,
        limits: Limits,
    ) -> Result<Self, LmdbError> {
        let txn = env.read()?;
        let mut cursor = txn.cursor()?;
        let mut next = cursor.seek(&plan.tables.left(0, &[0; 16]))?;
        let mut rows = 0;
        while let Some((key, _)) = next
            && plan.tables.left_in(key).is_some()
        {
            rows += 1;
            next = cursor.next()?;
        }
        let inner = Inner {
            rows,
            ..Inner::default()
        };
        Ok(Self {
            realm: realm.to_owned(),
            most: (limits.pages * PAGE / 8 / ROW).max(16),
            inner: Mutex::new(inner),
        })
    }

    pub(super) fn joined(&self, visit: Visit) {
        let mut oid = [0; 16];
        let mut inner = self.inner.lock();
        if inner.waiting.len() >= MOST_WAITING || getrandom::fill(&mut oid).is_err() {
            return;
        }
        // A UUID of version 4, as Crossbar draws them.
        let [.., version, _, variant, _, _, _, _, _, _, _] = &mut oid;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        let joined = visit.joined.nanos();
        let place = Place { oid, joined };
        inner.here.insert(visit.session.get(), place);
        inner.waiting.push(Change::Joined(Box::new((place, visit))));
    }

    pub(super) fn left(&self, session: SessionId, at: Timestamp) {
        let mut inner = self.inner.lock();
        if let Some(place) = inner.here.remove(&session.get()) {
            let at = at.nanos().max(place.joined);
            inner.waiting.push(Change::Left(place, at));
        }
    }

    /// Everybody has left.
    pub(super) fn all_left(&self, at: Timestamp) {
        let mut inner = self.inner.lock();
        let here = std::mem::take(&mut inner.here);
        let left = here.into_values();
        let left = left.map(|place| Change::Left(place, at.nanos().max(place.joined)));
        inner.waiting.extend(left);
    }

    /// How many changes wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
    }

    /// Takes what is to be written next.
    pub(super) fn take(&self, most: usize) -> Vec<Change> {
        let waiting = &mut self.inner.lock().waiting;
        waiting.drain(..waiting.len().min(most)).collect()
    }

    /// Puts back what was taken and could not be written.
    pub(super) fn put_back(&self, changes: Vec<Change>) {
        self.inner.lock().waiting.splice(..0, changes);
    }

    /// Rows of sessions that have left, as of the last commit.
    pub(super) fn rows(&self) -> u64 {
        self.inner.lock().rows
    }

    /// A commit has succeeded that left so many.
    pub(super) fn committed(&self, rows: u64) {
        self.inner.lock().rows = rows;
    }

    /// Writes what was taken, and removes rows of sessions that nobody needs any more; where it is
    /// tight, who joins takes the place of who has left. Gives how many rows of sessions that have
    /// left there are then.
    pub(super) fn write(
        &self,
        changes: &[Change],
        shelf: &mut Shelf<'_>,
        plan: &Plan,
        is_tight: bool,
    ) -> Result<u64, LmdbError> {
        let mut rows = self.rows();
        let tables = &plan.tables;
        for change in changes {
            match change {
                Change::Joined(joined) => {
                    if is_tight && !remove_first(shelf, tables, &mut rows)? {
                        continue;
                    }
                    let (place, visit) = &**joined;
                    self.put(shelf, tables, place, visit)?;
                }
                Change::Left(place, at) => {
                    if close(shelf, tables, &place.oid, *at)? {
                        rows += 1;
                    }
                }
            }
        }
        let oldest = oldest_event(shelf, tables)?;
        for _ in 0..2 * changes.len() + 16 {
            let first = first_left(shelf, tables)?;
            let is_past = |(at, _): (u64, _)| oldest.is_some_and(|oldest| at < oldest);
            if rows <= self.most && !first.is_some_and(is_past) {
                break;
            }
            if !remove_first(shelf, tables, &mut rows)? {
                break;
            }
        }
        Ok(rows)
    }

    fn put(
        &self,
        shelf: &mut Shelf<'_>,
        tables: &Tables,
        place: &Place,
        visit: &Visit,
    ) -> Result<(), LmdbError> {
        let mut row = Vec::new();
        let session = visit.session.get();
        let written = SessionRow {
            oid: &place.oid,
            session,
            joined: place.joined,
            left: 0,
            transport: Some(&visit.transport),
            realm: Some(&self.realm),
            authid: Some(&visit.authid),
            authrole: Some(&visit.authrole),
            authmethod: Some(&visit.authmethod),
            authprovider: Some(&visit.authprovider),
        };
        written.write(&mut row);
        let txn = shelf.rows();
        txn.put(&tables.session(&place.oid), &row)?;
        let key = tables.session_index(session, place.joined);
        txn.put(&key, &place.oid)
    }
}

/// Says of a session that it has left; says whether its row is there.
fn close(
    shelf: &mut Shelf<'_>,
    tables: &Tables,
    oid: &[u8; 16],
    at: u64,
) -> Result<bool, LmdbError> {
    let key = tables.session(oid);
    let txn = shelf.rows();
    let Some(mut row) = txn.get(&key)?.map(<[u8]>::to_vec) else {
        return Ok(false);
    };
    if !SessionRow::set_left(&mut row, at) {
        return Ok(false);
    }
    txn.put(&key, &row)?;
    txn.put(&tables.left(at, oid), &[])?;
    Ok(true)
}

fn first_left(
    shelf: &mut Shelf<'_>,
    tables: &Tables,
) -> Result<Option<(u64, [u8; 16])>, LmdbError> {
    let mut cursor = shelf.rows().cursor()?;
    let first = cursor.seek(&tables.left(0, &[0; 16]))?;
    Ok(first.and_then(|(key, _)| tables.left_in(key)))
}

/// Removes the row of the session that left first; says whether there was one.
fn remove_first(shelf: &mut Shelf<'_>, tables: &Tables, rows: &mut u64) -> Result<bool, LmdbError> {
    let Some((at, oid)) = first_left(shelf, tables)? else {
        return Ok(false);
    };
    let key = tables.session(&oid);
    let txn = shelf.rows();
    let row = txn.get(&key)?.and_then(SessionRow::read);
    let index = row.map(|row| tables.session_index(row.session, row.joined));
    if let Some(index) = index {
        txn.delete(&index)?;
    }
    txn.delete(&key)?;
    txn.delete(&tables.left(at, &oid))?;
    *rows = rows.saturating_sub(1);
    Ok(true)
}

/// The time of the oldest event that is kept, in ns.
fn oldest_event(shelf: &mut Shelf<'_>, tables: &Tables) -> Result<Option<u64>, LmdbError> {
    let like = tables.order(0);
    let mut cursor = shelf.rows().cursor()?;
    let first = cursor.seek(&like)?;
    let first = first.filter(|(key, _)| Tables::sequence_in(key, &like).is_some());
    let record = first.and_then(|(_, row)| Record::read(row));
    Ok(record.map(|record| record.time.nanos()))
}

/// Closes the rows of sessions that were there when a process ended without a word: they left at
/// the latest time that it is known to have lived, or when they joined.
pub(super) fn close_what_a_crash_left(
    env: &Env,
    plan: &Plan,
    mut progress: Progress,
    at_once: usize,
) -> Result<Progress, LmdbError> {
    let tables = &plan.tables;
    let lived = progress.last_time.max(progress.told).nanos();
    let mut open = Vec::new();
    {
        let txn = env.read()?;
        let mut cursor = txn.cursor()?;
        let mut next = cursor.seek(&Tables::begin(tables.sessions))?;
        while let Some((key, value)) = next
            && let Some(oid) = tables.session_in(key)
        {
            let row = SessionRow::read(value).filter(|row| row.left == 0);
            open.extend(row.map(|row| (oid, row.joined.max(lived))));
            next = cursor.next()?;
        }
    }
    for part in open.chunks(at_once) {
        let mut shelf = Shelf::begin(env, plan, progress)?;
        for (oid, at) in part {
            close(&mut shelf, tables, oid, *at)?;
        }
        progress = shelf.commit()?;
    }
    Ok(progress)
}
