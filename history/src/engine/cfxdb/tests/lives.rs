//! Who may open a store, and how.

use std::os::unix::fs::PermissionsExt as _;

use rewamp_wamp::uri::MatchPolicy::Prefix;

use super::*;
use crate::contract::desk::{Desk, filter};

#[test]
fn a_store_is_open_once_and_belongs_to_one_realm() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), &[], None);
    let again = crate::store::open(config(folder.path(), &[], None));
    assert!(matches!(again, Err(OpenError::InUse { .. })), "{again:?}");
    drop(store);
    let other = StoreConfig {
        realm: "realm2".to_owned(),
        ..config(folder.path(), &[], None)
    };
    let other = crate::store::open(other);
    assert!(
        matches!(other, Err(OpenError::OtherRealm { .. })),
        "{other:?}"
    );
    let small = StoreConfig {
        maxsize: 131_071,
        ..config(folder.path(), &[], None)
    };
    let small = crate::store::open(small);
    assert!(
        matches!(small, Err(OpenError::TooSmall { .. })),
        "{small:?}"
    );
}

#[test]
fn a_file_of_lmdb_0_9_stops_the_start_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut older = vec![0_u8; 8_192];
    older[16..20].copy_from_slice(&0xBEEF_C0DE_u32.to_le_bytes());
    older[20] = 1;
    let path = folder.path().join("data.mdb");
    std::fs::write(&path, &older).unwrap();
    let opened = crate::store::open(config(folder.path(), &[], None));
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("LMDB 0.9"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), older);
    assert!(!folder.path().join("lock.mdb").exists());
}

#[test]
fn files_have_the_permissions_that_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &[], None));
    let mode = |name| {
        let file = std::fs::metadata(folder.path().join(name)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!((mode("data.mdb"), mode("lock.mdb")), (0o640, 0o660));
}

fn readonly(path: &Path) -> Result<Arc<dyn EventStore>, OpenError> {
    crate::store::open(StoreConfig {
        engine: Engine::Cfxdb {
            path: path.to_owned(),
            readonly: true,
            mode: 0o640,
        },
        ..config(path, &[filter("com.", Prefix)], None)
    })
}

#[test]
fn a_store_is_read_beside_the_one_who_writes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = readonly(&folder.path().join("none"));
    assert!(
        matches!(missing, Err(OpenError::NoStore { .. })),
        "{missing:?}"
    );
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    desk.publish_all((0..50).map(|_| "com.a".to_owned()), 10);
    let next = desk.next;
    desk.store.close(next).unwrap();
    drop(desk);
    let before = std::fs::read(folder.path().join("data.mdb")).unwrap();
    let store = readonly(folder.path()).unwrap();
    assert!(store.opened().readonly);
    assert_eq!(store.opened().events, 50);
    let mut desk = Desk {
        first: Sequence::new(1),
        ..Desk::at(Arc::clone(&store))
    };
    let all: Vec<u64> = (1..=50).collect();
    assert_eq!(desk.ask(&desk.all("com.", Prefix)), all);
    let scope = desk.scope("com.", Prefix);
    let viewer = crate::contract::desk::anybody();
    assert!(desk.store.purge(&scope, &viewer, &Purge::All).is_err());
    assert!(desk.store.reserve(Sequence::new(1 << 30)).is_err());
    desk.reserved = Sequence::new(1 << 40);
    let event = Arc::new(desk.accept("com.a"));
    let refused = desk.store.append(&[event]).unwrap_err();
    assert!(matches!(refused.cause, StoreError::ReadOnly));
    desk.store.close(desk.next).unwrap();
    drop((desk, store));
    assert_eq!(
        std::fs::read(folder.path().join("data.mdb")).unwrap(),
        before
    );
}

#[test]
fn a_folder_says_whose_store_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), &[filter("com.", Prefix)], Some(9)));
    drop(open(folder.path(), &[filter("net.", Prefix)], None));
    let found = crate::identify::identify(folder.path()).unwrap();
    assert_eq!((found.realm.as_str(), found.configured), ("realm1", 1));
    let uris: Vec<&str> = found.filters.iter().map(|filter| &*filter.uri).collect();
    assert_eq!(uris, ["net.", "com."]);
    let store = crate::store::open(found.to_read()).unwrap();
    assert!(store.opened().readonly);
}

#[test]
fn a_page_that_lmdb_would_trip_over_is_found_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.mdb");
    let mut desk = Desk::at(open(folder.path(), &[filter("com.", Prefix)], None));
    desk.publish_all((0..500).map(|number| format!("com.{}", number % 7)), 50);
    let next = desk.next;
    desk.store.close(next).unwrap();
    drop(desk);
    let whole = std::fs::read(&path).unwrap();
    let mut found = 0;
    for page in 2..whole.len() / 4_096 {
        // Where its free room begins: behind its end.
        let mut bytes = whole.clone();
        bytes[page * 4_096 + 20..][..2].copy_from_slice(&[0xfe, 0xff]);
        std::fs::write(&path, &bytes).unwrap();
        match crate::store::open(config(folder.path(), &[filter("com.", Prefix)], None)) {
            // One that is free.
            Ok(store) => assert_eq!(store.opened().events, 500),
            Err(error) => {
                assert!(matches!(error, OpenError::Unfit { .. }), "{error:?}");
                assert!(error.to_string().contains("is damaged"), "{error}");
                assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left alone");
                found += 1;
            }
        }
    }
    assert!(found > 50, "{found} pages");
}
