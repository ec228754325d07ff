//! A store that Crossbar wrote is opened in place.

use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};

use super::*;
use crate::contract::desk::{Desk, anybody, filter};
use crate::engine::cfxdb::flat::{Field, write};
use crate::engine::cfxdb::lmdb::Options;
use crate::engine::cfxdb::rows::{EventRow, PublicationRow};
use crate::engine::cfxdb::tables::Tables;
use crate::error::QueryError;
use crate::receivers::Receivers;

const OPTIONS: Options = Options {
    map: 64 << 20,
    readonly: false,
    mode: 0o640,
    sync: false,
};

/// What Crossbar would have written: publications by ID and time, each with an Event for two
/// receivers of a subscription of its own.
pub(super) struct Crossbar {
    env: Env,
    tables: Tables,
}

impl Crossbar {
    pub(super) fn at(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let env = Env::open(path, OPTIONS).unwrap();
        let mut txn = env.write().unwrap();
        let tables = Tables::find_or_make(&mut txn).unwrap();
        txn.commit().unwrap();
        Self { env, tables }
    }

    pub(super) fn row(&self, id: u64, time: u64, topic: &str, fields: &[(u16, Field<'_>)]) {
        let mut all = vec![
            (0, Field::U64(time)),
            (1, Field::U64(id)),
            (2, Field::U64(77)),
            (3, Field::Text(topic)),
            (7, Field::Bool(true)),
        ];
        all.extend_from_slice(fields);
        let mut out = Vec::new();
        write(&all, &mut out);
        let mut txn = self.env.write().unwrap();
        txn.put(&self.tables.publication(id), &out).unwrap();
        for receiver in 0..2 {
            let row = EventRow {
                timestamp: time + receiver,
                subscription: 4_242,
                publication: id,
            };
            row.write(&mut out);
            let key = self.tables.event(row.subscription, row.timestamp);
            txn.put(&key, &out).unwrap();
        }
        txn.commit().unwrap();
    }

    pub(super) fn session(&self, session: u64, realm: &str) {
        let mut out = Vec::new();
        let fields = [(2, Field::U64(session)), (15, Field::Text(realm))];
        write(&fields, &mut out);
        let mut key = Tables::begin(self.tables.sessions).to_vec();
        key.extend_from_slice(&[session as u8; 16]);
        let mut txn = self.env.write().unwrap();
        txn.put(&key, &out).unwrap();
        txn.commit().unwrap();
    }

    fn events(&self) -> usize {
        let txn = self.env.read().unwrap();
        let begin = Tables::begin(self.tables.events);
        let mut cursor = txn.cursor().unwrap();
        let mut next = cursor.seek(&begin).unwrap();
        let mut found = 0;
        while next.is_some_and(|(key, _)| key.starts_with(&begin)) {
            found += 1;
            next = cursor.next().unwrap();
        }
        found
    }
}

/// IDs, times and arguments of a history.
pub(super) fn all(store: &dyn EventStore, uri: &str) -> Vec<(u64, u64, Vec<u8>)> {
    let filter = store.covering(uri, Prefix).unwrap();
    let scope = Scope {
        uri: uri.into(),
        match_policy: Prefix,
        filter,
    };
    let mut found = Vec::new();
    let page = store.read(&Query::all(scope, anybody()), &[], &mut |event| {
        assert!(event.disclosed.is_none());
        let args = event.payload.args.unwrap_or_default().to_vec();
        found.push((event.publication.get(), event.time.nanos(), args));
        ControlFlow::Continue(())
    });
    page.unwrap();
    found
}

pub(super) fn ids(store: &dyn EventStore, uri: &str) -> Vec<u64> {
    all(store, uri).iter().map(|(id, ..)| *id).collect()
}

#[test]
fn what_crossbar_wrote_is_served_by_time_and_then_id_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    let args = Field::Bytes(&[0x81, 0x01]);
    crossbar.row(30, 1_000, "com.a", &[(4, args)]);
    crossbar.row(20, 1_000, "com.b", &[(5, Field::Bytes(&[0xa0]))]);
    crossbar.row(10, 3_000, "com.a", &[]);
    crossbar.row(40, 2_000, "net.a", &[(4, args)]);
    // Not for any history.
    crossbar.row(50, 2_000, "com.a", &[(6, Field::Bytes(b"sealed"))]);
    crossbar.row(60, 2_000, "com.a", &[(4, Field::Bytes(&[0x81]))]);
    crossbar.row(70, 2_000, "wamp.session.on_join", &[(4, args)]);
    crossbar.row(80, 2_500, "com.a", &[(2, Field::U64(99))]);
    crossbar.session(77, "realm1");
    crossbar.session(99, "realm2");
    drop(crossbar);
    let filters = [filter("com.", Prefix), filter("", Prefix)];
    let store = open(folder.path(), &filters, None);
    let times = all(&*store, "com.");
    let expected = [
        (20, 1_000, vec![0x80]),
        (30, 1_001, vec![0x81, 0x01]),
        (10, 3_000, vec![]),
    ];
    assert_eq!(times, expected);
    assert_eq!(ids(&*store, ""), [20, 30, 40, 10]);
    let mut desk = Desk::at(store);
    assert!(desk.time.nanos() >= 3_000);
    for id in [20, 30, 10] {
        let mut from = desk.all("com.", Prefix);
        from.publication.from = rewamp_wamp::id::PublicationId::new(id);
        let page = desk
            .store
            .read(&from, &[], &mut |_| ControlFlow::Continue(()));
        assert!(page.is_ok(), "{id} is found by its ID");
    }
    let mut from = desk.all("com.", Prefix);
    from.publication.from = rewamp_wamp::id::PublicationId::new(50);
    let page = desk
        .store
        .read(&from, &[], &mut |_| ControlFlow::Continue(()));
    assert!(matches!(page, Err(QueryError::NoSuchPublication { .. })));
    // It goes on, over lives and with more of Crossbar's in between.
    let before = desk.publish("com.a").publication.get();
    desk.store.close(desk.next).unwrap();
    let next = desk.next;
    drop(desk);
    let crossbar = Crossbar::at(folder.path());
    let sixth = desk_time_after(&crossbar);
    crossbar.row(45, sixth, "com.a", &[(4, args)]);
    drop(crossbar);
    for _ in 0..2 {
        let store = open(folder.path(), &filters, None);
        assert_eq!(ids(&*store, "com."), [20, 30, 10, before, 45]);
        assert!(store.opened().next_sequence > next);
        store.close(store.opened().next_sequence).unwrap();
    }
}

/// A time after all that is in the store.
fn desk_time_after(crossbar: &Crossbar) -> u64 {
    let txn = crossbar.env.read().unwrap();
    let begin = Tables::begin(crossbar.tables.publications);
    let mut cursor = txn.cursor().unwrap();
    let mut next = cursor.seek(&begin).unwrap();
    let mut latest = 0;
    while let Some((_, value)) = next.filter(|(key, _)| key.starts_with(&begin)) {
        latest = latest.max(PublicationRow::read(value).unwrap().timestamp);
        next = cursor.next().unwrap();
    }
    latest + 1
}

#[test]
fn lists_of_crossbars_hold_and_what_is_dropped_takes_its_rows_along() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    let excluded = [(11, Field::Texts(&["joe"]))];
    crossbar.row(1, 1_000, "com.a", &excluded);
    crossbar.row(2, 2_000, "com.a", &[(15, Field::Texts(&["user"]))]);
    crossbar.row(3, 3_000, "com.a", &[]);
    crossbar.row(4, 4_000, "com.a", &[]);
    assert_eq!(crossbar.events(), 8);
    drop(crossbar);
    let store = open(folder.path(), &[filter("com.", Prefix)], None);
    assert_eq!(ids(&*store, "com."), [2, 3, 4]);
    drop(store);
    let two = Filter {
        limit: Some(2),
        ..filter("com.", Prefix)
    };
    let store = open(folder.path(), &[two], None);
    assert_eq!(ids(&*store, "com."), [3, 4]);
    drop(store);
    assert_eq!(Crossbar::at(folder.path()).events(), 4);
}

#[test]
fn what_no_filter_covers_is_left_alone_and_shown_by_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    crossbar.row(1, 1_000, "com.a", &[]);
    crossbar.row(2, 2_000, "net.a", &[]);
    drop(crossbar);
    let store = open(folder.path(), &[filter("com.a", Exact)], None);
    assert_eq!(store.opened().events, 1);
    drop(store);
    let crossbar = Crossbar::at(folder.path());
    assert_eq!(crossbar.events(), 4);
    crossbar.row(3, 3_000, "net.a", &[]);
    drop(crossbar);
    let store = open(folder.path(), &[filter("", Prefix)], None);
    assert_eq!(ids(&*store, ""), [2, 3]);
}

#[test]
fn what_no_filter_covered_is_shown_by_a_later_one_though_nobody_has_written_since() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    crossbar.row(1, 1_000, "com.a", &[]);
    crossbar.row(2, 2_000, "net.a", &[]);
    drop(crossbar);
    for (filters, expected) in [
        (vec![filter("com.", Prefix)], vec![1]),
        (vec![filter("com.", Prefix)], vec![1]),
        (
            vec![filter("com.", Prefix), filter("net.", Prefix)],
            vec![1],
        ),
    ] {
        let store = open(folder.path(), &filters, None);
        assert_eq!(ids(&*store, "com."), expected);
        store.close(store.opened().next_sequence).unwrap();
    }
    let store = open(folder.path(), &[filter("net.", Prefix)], None);
    assert_eq!(ids(&*store, "net."), [2]);
}

#[test]
fn keys_of_odd_length_make_a_store_readonly() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    drop(crossbar);
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    desk.publish("com.a");
    drop(desk);
    put_odd_key(folder.path());
    let store = open(folder.path(), &[filter("com.", Prefix)], None);
    assert!(store.opened().readonly);
    assert_eq!(ids(&*store, "com.").len(), 1);
    let mut desk = Desk::at(store);
    desk.reserved = Sequence::new(1 << 40);
    let event = Arc::new(desk.accept("com.a"));
    let refused = desk.store.append(&[event]).unwrap_err();
    assert!(matches!(refused.cause, StoreError::ReadOnly));
}

/// Puts a row under a key that the wrapper would refuse: into the file itself, in place of one
/// that has another length.
pub(super) fn put_odd_key(path: &Path) {
    let env = Env::open(path, OPTIONS).unwrap();
    let mut txn = env.write().unwrap();
    txn.put(b"\xff\xffodd-key-here", b"").unwrap();
    txn.commit().unwrap();
    drop(env);
    let file = path.join("data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"\xff\xffodd-key-here";
    let places: Vec<usize> = bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        // The length stands in the two bytes before the key.
        assert_eq!(bytes[at - 2], needle.len() as u8);
        bytes[at - 2] -= 1;
    }
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn receivers_of_our_own_rows_are_read_by_whoever_adopts_them() {
    let lists = ReceiverLists {
        eligible_authrole: vec!["user".into()],
        ..ReceiverLists::default()
    };
    let receivers = Receivers::new(&lists);
    let row = PublicationRow {
        timestamp: 1,
        publication: 2,
        publisher: 3,
        topic: "com.a",
        args: None,
        kwargs: None,
        exclude_me: false,
        opaque: None,
    };
    let mut out = Vec::new();
    row.write(receivers.as_ref().map(Receivers::as_ref), &mut out);
    assert_eq!(PublicationRow::audience(&out), Some(receivers));
}
