//! A store of others that is only read: not a byte of it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rewamp_wamp::uri::MatchPolicy::{Exact, Prefix};
use sha2::{Digest as _, Sha256};

use super::adopted::{Crossbar, all, ids, put_odd_key};
use super::*;
use crate::contract::desk::{Desk, filter};
use crate::engine::cfxdb::flat::Field;
use crate::engine::cfxdb::lmdb::Options;

const OPTIONS: Options = Options {
    map: 64 << 20,
    readonly: false,
    mode: 0o640,
    sync: false,
};

/// A hash of every file of a folder.
fn bytes(path: &Path) -> BTreeMap<PathBuf, String> {
    let files = std::fs::read_dir(path).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let hash = |file| format!("{:x}", Sha256::digest(std::fs::read(file).unwrap()));
    files.map(|file| (file.clone(), hash(file))).collect()
}

/// As Crossbar leaves a store: without tables of ours.
fn left_by_crossbar(path: &Path) {
    let crossbar = Crossbar::at(path);
    crossbar.session(77, "realm1");
    for id in 1..=200 {
        let topic = ["com.a", "com.b", "net.a"][id as usize % 3];
        let args = [0x81, 0x18, id as u8];
        crossbar.row(
            id,
            10_000 + 1_000 * (200 - id),
            topic,
            &[(4, Field::Bytes(&args))],
        );
    }
    crossbar.row(300, 1, "com.a", &[(4, Field::Bytes(&[0xff]))]);
    drop(crossbar);
    forget_our_tables(path);
}

fn forget_our_tables(path: &Path) {
    let env = Env::open(path, OPTIONS).unwrap();
    let mut txn = env.write().unwrap();
    for number in 5..=20_u8 {
        txn.delete(&[0, 0, 0, number]).unwrap();
    }
    txn.commit().unwrap();
}

fn to_read(path: &Path, filters: &[Filter]) -> Arc<dyn EventStore> {
    crate::store::open(StoreConfig {
        engine: Engine::Cfxdb {
            path: path.to_owned(),
            readonly: true,
            mode: 0o640,
        },
        ..config(path, filters, None)
    })
    .unwrap()
}

#[test]
fn a_store_of_crossbars_is_served_readonly_and_not_a_byte_of_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    left_by_crossbar(path);
    let before = bytes(path);
    let mut lives = Vec::new();
    for _ in 0..2 {
        let store = to_read(path, &[filter("com.", Prefix), filter("com.a", Exact)]);
        assert!(store.opened().readonly && !store.keeps_visits());
        let shown = all(&*store, "com.");
        let expected = (1..=200).rev().filter(|id| id % 3 != 2);
        let expected: Vec<_> = expected
            .map(|id| (id, 10_000 + 1_000 * (200 - id), vec![0x81, 0x18, id as u8]))
            .collect();
        assert_eq!(shown, expected);
        let desk = Desk::at(Arc::clone(&store));
        assert_eq!(store.usage().events, expected.len() as u64);
        let event = desk.store.append(&[]).unwrap_err();
        assert!(matches!(event.cause, StoreError::ReadOnly));
        lives.push((
            store.opened().incarnation,
            store.subscription_id("com.", Prefix),
        ));
        store.close(Sequence::new(1)).unwrap();
    }
    assert_eq!(lives[0], lives[1]);
    let found = crate::identify(path).unwrap();
    assert_eq!((found.realm.as_str(), found.is_ours), ("realm1", false));
    let store = crate::store::open(found.to_read()).unwrap();
    assert_eq!(ids(&*store, "").len(), 200);
    assert_eq!(store.subscription_id("com.", Prefix), lives[0].1);
    drop(store);
    assert_eq!(bytes(path), before);
}

#[test]
fn what_is_read_stays_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    left_by_crossbar(folder.path());
    let store = to_read(folder.path(), &[filter("", Prefix)]);
    let before = all(&*store, "");
    let crossbar = Crossbar::at(folder.path());
    for id in 1_000..1_200 {
        crossbar.row(id, 1_000_000 + id, "com.a", &[]);
        if id % 50 == 0 {
            assert_eq!(all(&*store, ""), before);
        }
    }
    assert_eq!(all(&*store, ""), before);
    drop(store);
    let store = to_read(folder.path(), &[filter("", Prefix)]);
    assert_eq!(all(&*store, "").len(), before.len() + 200);
}

#[test]
fn a_store_that_was_ours_shows_what_others_have_added() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    let own = desk.publish("com.a").publication.get();
    desk.store.close(desk.next).unwrap();
    let id = desk.store.subscription_id("com.", Prefix);
    drop(desk);
    let crossbar = Crossbar::at(folder.path());
    crossbar.row(5, 2_000_000, "com.b", &[]);
    drop(crossbar);
    let before = bytes(folder.path());
    let store = to_read(folder.path(), &[filter("com.", Prefix)]);
    assert_eq!(ids(&*store, "com."), [own, 5]);
    assert_eq!(store.subscription_id("com.", Prefix), id);
    drop(store);
    let found = crate::identify(folder.path()).unwrap();
    assert!(found.is_ours);
    assert_eq!(bytes(folder.path()), before);
}

#[test]
fn keys_of_odd_length_are_found_before_a_byte_is_written() {
    let folder = tempfile::tempdir().unwrap();
    left_by_crossbar(folder.path());
    put_odd_key(folder.path());
    let file = folder.path().join("data.mdb");
    let before = bytes(folder.path()).remove(&file);
    let store = open(folder.path(), &[filter("", Prefix)], None);
    assert!(store.opened().readonly);
    assert_eq!(ids(&*store, "").len(), 200);
    drop(store);
    assert_eq!(bytes(folder.path()).remove(&file), before);
}

#[test]
fn a_store_that_does_not_say_whose_it_is_has_to_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let crossbar = Crossbar::at(folder.path());
    crossbar.row(1, 1_000, "com.a", &[]);
    crossbar.session(78, "one");
    crossbar.session(79, "two");
    drop(crossbar);
    forget_our_tables(folder.path());
    let error = crate::identify(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("`one`, `two`") && error.contains("--realm"),
        "{error}"
    );
    let found = crate::identify_as(folder.path(), Some("two")).unwrap();
    assert_eq!(found.realm, "two");
}
