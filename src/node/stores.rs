//! How many event stores the node has open, and what its metrics say of that.

use std::sync::Arc;

use log::warn;
use rewamp_actors::metrics::{Id, Metrics};
use rewamp_history::{OpenStores, StoreNews};

use super::limits;
use crate::config::Config;
use crate::config::checked::Engine;

/// The budget of a node, and how many stores it has at most.
pub(super) fn budget(config: &Config) -> usize {
    let on_disk = |engine: &Engine| match engine {
        // LMDB holds two descriptors and no thread: it stays open.
        Engine::Memory | Engine::Cfxdb { .. } => false,
        Engine::Sled { readonly, .. } => !readonly,
    };
    let stores = config
        .realms
        .iter()
        .filter_map(|realm| realm.store.as_ref());
    let stores = stores.filter(|store| on_disk(&store.engine)).count();
    let wanted = usize::try_from(config.open_stores).unwrap_or(usize::MAX);
    let allowed = limits::open_stores();
    if allowed < wanted.min(stores) {
        warn!(
            "the limit of open files leaves room for {allowed} open event stores, less than \
             `rewamp.open_stores`"
        );
    }
    wanted.min(stores).min(allowed).max(1)
}

/// The stores of a node, of which at most `most` are open.
pub(super) fn open(config: &Config, most: usize, metrics: &Metrics) -> Arc<OpenStores> {
    let (told, open) = (metrics.clone(), metrics.gauge(Id::OpenStores));
    for id in [
        Id::StoreOpenFailures,
        Id::StoreEvictions,
        Id::StoresOverBudget,
    ] {
        metrics.count(id, 0); // so that it is there before the first
    }
    OpenStores::new(most, config.store_idle, move |news, stores| {
        open.set(i64::try_from(stores).unwrap_or(i64::MAX));
        match news {
            StoreNews::Opened { took } => told.observe(Id::StoreOpenSeconds, took.as_secs_f64()),
            StoreNews::NotOpened => told.count(Id::StoreOpenFailures, 1),
            StoreNews::Rested { took, for_another } => {
                told.observe(Id::StoreRestSeconds, took.as_secs_f64());
                told.count(Id::StoreEvictions, u64::from(for_another));
            }
            StoreNews::OverBudget => told.count(Id::StoresOverBudget, 1),
        }
    })
}
