//! The sled engine against the contract, and what is its own: segments, crashes, damage.

use std::path::Path;
use std::sync::Arc;

use crate::contract;
use crate::event::Sequence;
use crate::filter::Filter;
use crate::store::{Engine, EventStore, StoreConfig};

pub(super) fn config(
    path: &Path,
    filters: &[Filter],
    limit: Option<u64>,
    maxsize: u64,
) -> StoreConfig {
    StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Sled {
            path: path.to_owned(),
        },
        maxsize,
        sync: true,
        limit,
        filters: filters.to_vec(),
        memory_begin: Sequence::new(1),
    }
}

pub(super) fn open(
    path: &Path,
    filters: &[Filter],
    limit: Option<u64>,
    maxsize: u64,
) -> Arc<dyn EventStore> {
    crate::store::open(config(path, filters, limit, maxsize)).unwrap()
}

#[test]
fn sled_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract::run(&|filters, limit| {
        number.set(number.get() + 1);
        open(
            &folder.path().join(number.get().to_string()),
            filters,
            limit,
            64 << 20,
        )
    });
}

#[test]
fn sled_keeps_the_contract_over_several_lives() {
    contract::outlives(&|path, filters, limit| open(path, filters, limit, 64 << 20));
}
