//! Which table is where. All rows are in one database; a table is the rows whose keys begin with
//! its number, and what number it has stands in rows of table 0, by the table's UUID. cfxdb's own
//! four, and ours beside them; and how their keys look. Every key has even length.

use bytes::{Bytes, BytesMut};
use rewamp_wamp::serializer::{Limits, Serializer, append_value, read_value};
use rewamp_wamp::value::{Dict, Value};

use super::foreign::each_of;
use super::lmdb::{LmdbError, MAX_KEY, Txn, WriteTxn};

/// A table by its name in the world: UUID, name, what it is for.
type Known = (&'static str, &'static str, &'static str);

/// In the order in which they get numbers in a new file. The last has the highest: events are
/// appended to it, at the end of the file's order.
const TABLES: [Known; 13] = [
    (
        "403ecc06-f564-4ea9-92f2-c4c13bd2ba5a",
        "Sessions",
        "Persisted WAMP session details",
    ),
    (
        "0ea1ea1a-45f2-4352-a4a0-1fafff099c96",
        "IndexSessionsBySessionId",
        "Index of sessions",
    ),
    (
        "dd04931a-753b-4fde-8140-d66b93519c73",
        "Publications",
        "Persisted publications",
    ),
    (
        "40a9df31-6065-496f-809f-027a1879654c",
        "Events",
        "Persisted events",
    ),
    (
        "073201f4-c941-4686-a151-e074c1c3b6a6",
        "RewampState",
        "Rewamp: who and how far",
    ),
    (
        "d370ac0f-ec07-4038-82de-68c8fb759f1a",
        "RewampKept",
        "Rewamp: events of a filter",
    ),
    (
        "53fa97d4-8656-4cb8-9f34-3fdb0f76a7b6",
        "RewampKeptByTopic",
        "Rewamp: and of a topic",
    ),
    (
        "60ca23ff-fe5a-40d3-8d0c-0e427a258b27",
        "RewampCounts",
        "Rewamp: how many these are",
    ),
    (
        "641ff178-6d2c-4d26-9f7d-36fbb47d6fa2",
        "RewampTopics",
        "Rewamp: topics by subscription",
    ),
    (
        "2681d18b-e2a6-4338-b6e1-312d5d926162",
        "RewampNames",
        "Rewamp: topics by name",
    ),
    (
        "074bc321-8d8f-4a37-b003-f7c3ff0a01fd",
        "RewampPatterns",
        "Rewamp: subscriptions by ID",
    ),
    (
        "c4de08ba-65de-47ef-9de5-97c0387ed2f8",
        "RewampLeft",
        "Rewamp: sessions by when they left",
    ),
    (
        "1af19717-5e01-4e53-b756-97e5d66d01a2",
        "RewampOrder",
        "Rewamp: events in order",
    ),
];

/// The number of every table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) sessions: u16,
    session_index: u16,
    pub(super) publications: u16,
    pub(super) events: u16,
    state: u16,
    kept: u16,
    kept_by_topic: u16,
    counts: u16,
    topics: u16,
    names: u16,
    patterns: u16,
    left: u16,
    order: u16,
}

/// The most tables that are looked at in a file of others.
const MOST: u32 = 1_000;

/// What table 0 of a file says: the numbers of the tables that we know, as far as it has them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slots {
    known: [Option<u16>; 13],
    /// The highest number that there is.
    last: u16,
    pub(super) sessions: Option<u16>,
    pub(super) publications: Option<u16>,
}

/// Visits rows.
type Each<'a> = dyn FnMut(&mut Visit<'_>) -> Result<(), LmdbError> + 'a;
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), LmdbError> + 'a;

impl Slots {
    /// Reads them from the rows that `each` visits: those of table 0.
    pub(super) fn read(each: &mut Each<'_>) -> Result<Self, LmdbError> {
        let mut slots = Self::default();
        let mut rows = 0;
        each(&mut |key, value| {
            rows += 1;
            if let [0, 0, high, low] = key
                && rows <= MOST
            {
                slots.note(u16::from_be_bytes([*high, *low]), value);
            }
            Ok(())
        })?;
        let [sessions, _, publications, ..] = slots.known;
        (slots.sessions, slots.publications) = (sessions, publications);
        Ok(slots)
    }

    fn note(&mut self, number: u16, value: &[u8]) {
        self.last = self.last.max(number);
        let uuid = slot_uuid(value);
        let place = TABLES
            .iter()
            .position(|(own, ..)| Some(*own) == uuid.as_deref());
        if let Some(place) = place.and_then(|place| self.known.get_mut(place)) {
            *place = Some(number);
        }
    }

    fn of(txn: &Txn<'_>) -> Result<Self, LmdbError> {
        Self::read(&mut |visit| each_of(txn, &[0, 0], visit))
    }

    /// The tables, if there are all.
    pub(super) fn all(&self) -> Option<Tables> {
        Tables::of(self.known)
    }
}

impl Tables {
    /// The tables that a file has; `None` if one of them is missing.
    pub(super) fn find(txn: &Txn<'_>) -> Result<Option<Self>, LmdbError> {
        Ok(Slots::of(txn)?.all())
    }

    /// The tables of a file, with those made that are missing.
    pub(super) fn find_or_make(txn: &mut WriteTxn<'_>) -> Result<Self, LmdbError> {
        let Slots {
            mut known,
            mut last,
            ..
        } = Slots::of(txn)?;
        for (number, table) in known.iter_mut().zip(TABLES) {
            if number.is_none() {
                last += 1;
                txn.put(&slot_key(last), &slot_value(table, last))?;
                *number = Some(last);
            }
        }
        Self::of(known).ok_or(LmdbError::DAMAGED)
    }

    /// The numbers of our own tables of events.
    pub(super) fn own(&self) -> [u16; 8] {
        [
            self.state,
            self.kept,
            self.kept_by_topic,
            self.counts,
            self.topics,
            self.names,
            self.patterns,
            self.order,
        ]
    }

    fn of(known: [Option<u16>; 13]) -> Option<Self> {
        let [sessions, session_index, publications, events, own @ ..] = known;
        let [
            state,
            kept,
            kept_by_topic,
            counts,
            topics,
            names,
            patterns,
            left,
            order,
        ] = own;
        Some(Self {
            sessions: sessions?,
            session_index: session_index?,
            publications: publications?,
            events: events?,
            state: state?,
            kept: kept?,
            kept_by_topic: kept_by_topic?,
            counts: counts?,
            topics: topics?,
            names: names?,
            patterns: patterns?,
            left: left?,
            order: order?,
        })
    }
}

fn slot_key(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [0, 0, high, low]
}

fn slot_value((uuid, name, description): Known, number: u16) -> Vec<u8> {
    let row = Dict::from([
        ("oid", Value::from(uuid)),
        ("name", Value::from(name)),
        ("description", Value::from(description)),
        ("creator", Value::from("rewamp")),
        ("slot", Value::from(u64::from(number))),
    ]);
    let mut out = BytesMut::new();
    // Texts and a number: CBOR has them all.
    let _ = append_value(Serializer::Cbor, &Value::Map(row), &mut out);
    out.to_vec()
}

fn slot_uuid(value: &[u8]) -> Option<String> {
    let value = Bytes::copy_from_slice(value);
    let row = read_value(Serializer::Cbor, &value, &Limits::default()).ok()?;
    Some(row.as_map()?.get("oid")?.as_str()?.to_lowercase())
}

/// `N` bytes of which the parts follow one another.
fn key<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    for (place, byte) in key.iter_mut().zip(parts.iter().copied().flatten()) {
        *place = *byte;
    }
    key
}

impl Tables {
    /// Publications: by ID.
    pub(super) fn publication(&self, id: u64) -> [u8; 10] {
        key(&[&self.publications.to_be_bytes(), &id.to_be_bytes()])
    }

    /// Events: by subscription and time, which cfxdb writes in little-endian.
    pub(super) fn event(&self, subscription: u64, time: u64) -> [u8; 18] {
        let number = self.events.to_be_bytes();
        key(&[&number, &subscription.to_be_bytes(), &time.to_le_bytes()])
    }

    /// State: by kind.
    pub(super) fn state(&self, kind: u16) -> [u8; 4] {
        key(&[&self.state.to_be_bytes(), &kind.to_be_bytes()])
    }

    /// Events that a filter keeps: by filter and sequence.
    pub(super) fn kept(&self, filter: u32, sequence: u64) -> [u8; 14] {
        let number = self.kept.to_be_bytes();
        key(&[&number, &filter.to_be_bytes(), &sequence.to_be_bytes()])
    }

    /// The same by filter, topic and sequence.
    pub(super) fn kept_by_topic(&self, filter: u32, topic: u64, sequence: u64) -> [u8; 22] {
        let number = self.kept_by_topic.to_be_bytes();
        let (filter, topic) = (filter.to_be_bytes(), topic.to_be_bytes());
        key(&[&number, &filter, &topic, &sequence.to_be_bytes()])
    }

    /// How many events a filter keeps of a topic.
    pub(super) fn count(&self, filter: u32, topic: u64) -> [u8; 14] {
        let number = self.counts.to_be_bytes();
        key(&[&number, &filter.to_be_bytes(), &topic.to_be_bytes()])
    }

    /// Topics: by the ID of their exact subscription.
    pub(super) fn topic(&self, topic: u64) -> [u8; 10] {
        key(&[&self.topics.to_be_bytes(), &topic.to_be_bytes()])
    }

    /// Topics in the order of their names, as far as a key has room for one.
    pub(super) fn name(&self, name: &str, topic: u64) -> Vec<u8> {
        let mut key = self.names_from(name);
        if !key.len().is_multiple_of(2) {
            key.push(0);
        }
        key.extend_from_slice(&topic.to_be_bytes());
        key
    }

    /// Where names begin that begin with `prefix`; those that do all begin with these bytes.
    pub(super) fn names_from(&self, prefix: &str) -> Vec<u8> {
        let shown = prefix.as_bytes();
        let shown = shown.get(..shown.len().min(MAX_KEY - 12)).unwrap_or(shown);
        let mut key = self.names.to_be_bytes().to_vec();
        key.extend_from_slice(shown);
        key
    }

    /// Remembered subscriptions: by ID.
    pub(super) fn pattern(&self, id: u64) -> [u8; 10] {
        key(&[&self.patterns.to_be_bytes(), &id.to_be_bytes()])
    }

    /// Sessions: by UUID.
    pub(super) fn session(&self, oid: &[u8; 16]) -> [u8; 18] {
        key(&[&self.sessions.to_be_bytes(), oid])
    }

    /// Sessions by ID and when they joined.
    pub(super) fn session_index(&self, session: u64, joined: u64) -> [u8; 18] {
        let number = self.session_index.to_be_bytes();
        key(&[&number, &session.to_be_bytes(), &joined.to_be_bytes()])
    }

    /// Sessions that have left: by when they did, and UUID.
    pub(super) fn left(&self, at: u64, oid: &[u8; 16]) -> [u8; 26] {
        key(&[&self.left.to_be_bytes(), &at.to_be_bytes(), oid])
    }

    /// When a session left, and its UUID, in a key of those that have.
    pub(super) fn left_in(&self, key: &[u8]) -> Option<(u64, [u8; 16])> {
        let rest = key.strip_prefix(&self.left.to_be_bytes())?;
        let (at, oid) = rest.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*at), oid.try_into().ok()?))
    }

    /// The UUID in a key of Sessions.
    pub(super) fn session_in(&self, key: &[u8]) -> Option<[u8; 16]> {
        key.strip_prefix(&self.sessions.to_be_bytes())?
            .try_into()
            .ok()
    }

    /// Events: by sequence.
    pub(super) fn order(&self, sequence: u64) -> [u8; 10] {
        key(&[&self.order.to_be_bytes(), &sequence.to_be_bytes()])
    }

    /// The subscription and the time in a key of Events.
    pub(super) fn event_in(&self, key: &[u8]) -> Option<(u64, u64)> {
        let rest = key.strip_prefix(&self.events.to_be_bytes())?;
        let (subscription, time) = rest.split_first_chunk::<8>()?;
        let time = u64::from_le_bytes(time.try_into().ok()?);
        Some((u64::from_be_bytes(*subscription), time))
    }

    /// Where a table begins: a key before all of its rows.
    pub(super) fn begin(number: u16) -> [u8; 2] {
        number.to_be_bytes()
    }

    /// The sequence in a key of events or of what is kept, if it begins as `like` does.
    pub(super) fn sequence_in(key: &[u8], like: &[u8]) -> Option<u64> {
        let (before, sequence) = key.split_last_chunk::<8>()?;
        let (like, _) = like.split_last_chunk::<8>()?;
        (before == like).then(|| u64::from_be_bytes(*sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lmdb::{Env, Options};
    use super::*;

    fn env(folder: &std::path::Path) -> Env {
        let options = Options {
            map: 4 << 20,
            readonly: false,
            mode: 0o640,
            sync: false,
        };
        Env::open(folder, options).unwrap()
    }

    #[test]
    fn tables_keep_their_numbers_and_leave_those_of_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let env = env(folder.path());
        let mut txn = env.write().unwrap();
        let foreign = (
            "ffffffff-0000-4000-8000-000000000000",
            "Other",
            "of somebody else",
        );
        txn.put(&slot_key(3), &slot_value(foreign, 3)).unwrap();
        txn.put(&slot_key(4), &slot_value(TABLES[2], 4)).unwrap();
        assert_eq!(Tables::find(&txn).unwrap(), None);
        let made = Tables::find_or_make(&mut txn).unwrap();
        assert_eq!((made.publications, made.sessions), (4, 5));
        assert_eq!(made.order, 16);
        assert_eq!(Tables::find(&txn).unwrap(), Some(made));
        assert_eq!(Tables::find_or_make(&mut txn).unwrap(), made);
        assert_eq!(
            slot_uuid(txn.get(&slot_key(3)).unwrap().unwrap()).unwrap(),
            foreign.0
        );
    }

    #[test]
    fn a_new_file_has_cfxdbs_tables_first() {
        let folder = tempfile::tempdir().unwrap();
        let env = env(folder.path());
        let mut txn = env.write().unwrap();
        let made = Tables::find_or_make(&mut txn).unwrap();
        let numbers = (
            made.sessions,
            made.session_index,
            made.publications,
            made.events,
        );
        assert_eq!(numbers, (1, 2, 3, 4));
    }

    #[test]
    fn every_key_is_of_even_length_and_names_sort_by_what_they_begin_with() {
        let folder = tempfile::tempdir().unwrap();
        let env = env(folder.path());
        let mut txn = env.write().unwrap();
        let tables = Tables::find_or_make(&mut txn).unwrap();
        let long = "x".repeat(2_000);
        for name in [
            "",
            "a",
            "com.a",
            "com.ab",
            &long,
            &long[..497],
            &long[..498],
        ] {
            let key = tables.name(name, 7);
            assert!(
                key.len().is_multiple_of(2) && key.len() <= MAX_KEY,
                "{}",
                key.len()
            );
            for cut in 0..name.len() {
                assert!(key.starts_with(&tables.names_from(&name[..cut])));
            }
        }
        let order = tables.order(9);
        assert_eq!(Tables::sequence_in(&order, &tables.order(0)), Some(9));
        assert_eq!(
            Tables::sequence_in(&tables.kept(1, 9), &tables.kept(2, 0)),
            None
        );
    }
}
