//! The cfxdb engine against the contract, and what is its own.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::contract;
use crate::filter::Filter;
use crate::store::{Engine, Full};

fn config(path: &Path, filters: &[Filter], limit: Option<u64>) -> StoreConfig {
    StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Cfxdb {
            path: path.to_owned(),
            readonly: false,
            mode: 0o640,
        },
        maxsize: 64 << 20,
        full: Full::DropOldest,
        sync: true,
        limit,
        filters: filters.to_vec(),
        memory_begin: Sequence::new(1),
    }
}

fn open(path: &Path, filters: &[Filter], limit: Option<u64>) -> Arc<dyn EventStore> {
    crate::store::open(config(path, filters, limit)).unwrap()
}

#[test]
fn cfxdb_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract::run(&|filters, limit| {
        number.set(number.get() + 1);
        let path = folder.path().join(number.get().to_string());
        open(&path, filters, limit)
    });
}

#[test]
fn cfxdb_keeps_the_contract_over_several_lives() {
    contract::outlives(&|path, filters, limit| open(path, filters, limit));
}

mod room; // maxsize holds, and what happens there
mod adopted; // what others have written
mod lives; //   who may open it, and how
mod foreign; // what others have written, without changing it
mod compact; // a file that shrinks
mod visits; //  who was there
