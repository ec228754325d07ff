//! The Router: which realms this node has. One registry for the whole node, asked by every session
//! when it says HELLO. Knows nothing of what a realm does.

use std::sync::Arc;

use actix::Addr;
use dashmap::DashMap;

use crate::metrics::{Metrics, RealmMetrics};
use crate::realm::Realm;
use crate::turns::Turns;

/// How to reach a realm.
#[derive(Clone)]
pub struct RealmHandle {
    /// Its name.
    pub name: Arc<str>,
    /// The actor.
    pub address: Addr<Realm>,
    /// Its metrics.
    pub metrics: RealmMetrics,
}

/// See the head of this file. Cheap to clone; every clone sees the same realms.
#[derive(Clone)]
pub struct Router {
    realms: Arc<DashMap<String, RealmHandle>>,
    /// The node's metrics.
    pub metrics: Metrics,
    /// How much is at work in the node's stores.
    pub turns: Turns,
}

impl Router {
    /// A router without a realm, of whose stores as many as there are may be at work.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        let turns = Turns::new(usize::MAX, &metrics);
        Self::with_turns(metrics, turns)
    }

    /// A router without a realm.
    #[must_use]
    pub fn with_turns(metrics: Metrics, turns: Turns) -> Self {
        Self {
            realms: Arc::default(),
            metrics,
            turns,
        }
    }

    /// Adds a realm that has been started, in place of one of the same name.
    pub fn add(&self, realm: RealmHandle) {
        self.realms.insert(realm.name.to_string(), realm);
    }

    /// The realm of this name.
    #[must_use]
    pub fn realm(&self, name: &str) -> Option<RealmHandle> {
        self.realms.get(name).map(|realm| realm.clone())
    }

    /// All realms, in no order.
    #[must_use]
    pub fn realms(&self) -> Vec<RealmHandle> {
        self.realms.iter().map(|realm| realm.clone()).collect()
    }
}
