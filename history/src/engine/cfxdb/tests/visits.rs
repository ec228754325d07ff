//! Rows of Sessions: who was there, from when, until when.

use bytes::Bytes;
use rewamp_wamp::uri::MatchPolicy::Prefix;

use super::*;
use crate::contract::desk::{Desk, filter};
use crate::engine::cfxdb::lmdb::Options;
use crate::engine::cfxdb::rows::SessionRow;
use crate::engine::cfxdb::tables::Tables;

fn session(id: u64) -> SessionId {
    SessionId::new(id).unwrap()
}

fn visit(id: u64, joined: u64) -> Visit {
    Visit {
        session: session(id),
        joined: Timestamp::from_nanos(joined),
        authid: "joe".into(),
        authrole: "user".into(),
        authmethod: "ticket".into(),
        authprovider: "static".into(),
        transport: Bytes::from_static(&[0xa0]),
    }
}

/// Sessions, when they joined and when they left, by rows that the index leads to.
fn rows(path: &Path) -> Vec<(u64, u64, u64)> {
    let options = Options {
        map: 0,
        readonly: true,
        mode: 0,
        sync: false,
    };
    let env = Env::open(path, options).unwrap();
    let txn = env.read().unwrap();
    let tables = Tables::find(&txn).unwrap().unwrap();
    let all = tables.session_index(0, 0);
    let mut cursor = txn.cursor().unwrap();
    let mut next = cursor.seek(&all).unwrap();
    let mut found = Vec::new();
    while let Some((key, oid)) = next.filter(|(key, _)| key[..2] == all[..2]) {
        let oid = oid.try_into().unwrap();
        let row = txn.get(&tables.session(oid)).unwrap().unwrap();
        let row = SessionRow::read(row).unwrap();
        assert_eq!(row.oid, oid);
        assert_eq!(key, tables.session_index(row.session, row.joined));
        assert_eq!((row.realm, row.authid), (Some("realm1"), Some("joe")));
        found.push((row.session, row.joined, row.left));
        next = cursor.next().unwrap();
    }
    found
}

fn everything() -> [Filter; 1] {
    [filter("", Prefix)]
}

#[test]
fn who_joins_and_leaves_is_written_with_the_next_append() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &everything(), None);
    assert!(store.keeps_visits());
    store.joined(visit(1, 100));
    store.joined(visit(2, 200));
    store.left(session(2), Timestamp::from_nanos(250));
    store.left(session(3), Timestamp::from_nanos(260));
    store.append(&[]).unwrap();
    store.left(session(1), Timestamp::from_nanos(300));
    store.joined(visit(1, 400));
    store.append(&[]).unwrap();
    let expected = [(1, 100, 300), (1, 400, 0), (2, 200, 250)];
    assert_eq!(rows(folder.path()), expected);
    store.close(Sequence::new(1)).unwrap();
    assert_eq!(
        rows(folder.path())[1],
        (1, 400, 400),
        "at the latest time that is known"
    );
}

#[test]
fn a_session_that_a_crash_left_has_left_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(open(folder.path(), &everything(), None));
    let far = u64::MAX / 2;
    desk.store.joined(visit(1, 100));
    desk.store.joined(visit(2, far));
    let newest = desk.publish("com.a").time.nanos();
    drop(desk);
    let store = open(folder.path(), &everything(), None);
    assert!(store.opened().recovered);
    assert_eq!(rows(folder.path()), [(1, 100, newest), (2, far, far)]);
}

#[test]
fn sessions_go_with_the_last_event_from_before_they_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(open(folder.path(), &everything(), Some(2)));
    let time = desk.publish("com.a").time.nanos();
    for (id, at) in [(1, time - 1), (2, time), (3, time + 1)] {
        desk.store.joined(visit(id, 1));
        desk.store.left(session(id), Timestamp::from_nanos(at));
    }
    desk.store.append(&[]).unwrap();
    let ids = || {
        let rows = rows(folder.path());
        rows.iter().map(|row| row.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(), [2, 3]);
    desk.store.joined(visit(4, 1));
    desk.publish("com.a");
    desk.publish("com.a");
    assert_eq!(ids(), [4], "whoever is there stays");
}

#[test]
fn sessions_take_an_eighth_of_the_store_at_most() {
    for full in [Full::DropOldest, Full::Refuse] {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            maxsize: 1 << 20,
            full,
            ..config(folder.path(), &everything(), None)
        };
        let store = crate::store::open(config).unwrap();
        for id in 1..=2_000 {
            store.joined(visit(id, id));
            store.left(session(id), Timestamp::from_nanos(id + 1));
            if id % 100 == 0 {
                store.append(&[]).unwrap();
            }
        }
        let rows = rows(folder.path());
        let most = (1 << 20) / 8 / 768;
        assert_eq!(rows.len(), most, "{full:?}");
        assert!(rows.iter().all(|(id, ..)| *id > 2_000 - most as u64));
    }
}
