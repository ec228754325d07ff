//! The memory engine against the contract, and what is its own: bounds in bytes.

use std::sync::Arc;

use rewamp_wamp::uri::MatchPolicy::Prefix;

use super::*;
use crate::contract;
use crate::contract::desk::{Desk, filter};
use crate::filter::Filter;
use crate::store::Full;
use crate::store::{Engine, MEMORY_MAXSIZE};

fn open(filters: &[Filter], limit: Option<u64>, maxsize: u64) -> Arc<dyn EventStore> {
    let config = StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Memory,
        maxsize,
        full: Full::DropOldest,
        sync: false,
        limit,
        filters: filters.to_vec(),
        memory_begin: Sequence::new(1_800_000_000_000_000),
    };
    crate::store::open(config).unwrap()
}

#[test]
fn memory_keeps_the_contract() {
    contract::run(&|filters, limit| open(filters, limit, MEMORY_MAXSIZE));
}

#[test]
fn a_filter_without_any_limit_keeps_a_hundred_events() {
    let mut desk = Desk::at(open(&[filter("", Prefix)], None, MEMORY_MAXSIZE));
    desk.publish_all((0..250).map(|_| "com.a".to_owned()), 50);
    let expected: Vec<u64> = (151..=250).collect();
    assert_eq!(desk.ask(&desk.all("", Prefix)), expected);
}

#[test]
fn what_an_earlier_life_gave_out_is_refused() {
    let desk = Desk::at(open(&[filter("", Prefix)], None, MEMORY_MAXSIZE));
    let mut query = desk.all("", Prefix);
    query.sequence.after = Some(Sequence::new(desk.first.get() - 1));
    assert!(desk.page(&query, &[]).is_ok());
    query.sequence.after = Some(Sequence::new(desk.first.get() - 2));
    assert!(matches!(
        desk.page(&query, &[]),
        Err(QueryError::NoSuchPublication { .. })
    ));
}

#[test]
fn a_full_store_refuses_rather_than_to_drop() {
    let config = StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Memory,
        maxsize: 100_000,
        full: Full::Refuse,
        sync: false,
        limit: Some(u64::MAX),
        filters: vec![filter("com.", Prefix)],
        memory_begin: Sequence::new(1),
    };
    let mut desk = Desk::at(crate::store::open(config).unwrap());
    let mut taken = 0;
    loop {
        let event = desk.accept("com.a");
        if event.footprint() > desk.store.room() {
            break;
        }
        desk.store.append(&[Arc::new(event)]).unwrap();
        taken += 1;
    }
    let usage = desk.store.usage();
    assert!(usage.bytes <= 100_000 && usage.bytes > 99_000, "{usage:?}");
    assert_eq!(
        desk.ask(&desk.all("com.", Prefix)),
        (1..=taken).collect::<Vec<_>>()
    );
}

#[test]
fn the_oldest_events_of_all_filters_go_first_when_the_bytes_are_used_up() {
    let maxsize = 100_000;
    let filters = [
        filter("com.", Prefix),
        filter("", Prefix),
        filter("net.", Prefix),
    ];
    let mut desk = Desk::at(open(&filters, Some(u64::MAX), maxsize));
    desk.publish_all(
        (0..2_000).map(|number| ["com.a", "net.a"][number % 2].to_owned()),
        50,
    );
    let usage = desk.store.usage();
    assert!(
        usage.bytes <= maxsize && usage.bytes > maxsize * 9 / 10,
        "{usage:?}"
    );
    let all = desk.ask(&desk.all("", Prefix));
    assert_eq!(all, ((2_001 - usage.events)..=2_000).collect::<Vec<_>>());
    let com = desk.ask(&desk.all("com.", Prefix));
    assert_eq!(
        com,
        all.iter()
            .copied()
            .filter(|number| number % 2 == 1)
            .collect::<Vec<_>>()
    );
}
