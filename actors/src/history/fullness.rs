//! Whether the store is full and refuses: a state, said once when it begins and once when it ends,
//! and a metric all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{info, warn};

use crate::metrics::Gauge;

/// See the head of this file.
pub(super) struct Fullness {
    realm: Arc<str>,
    is_full: AtomicBool,
    gauge: Gauge,
}

impl Fullness {
    pub(super) fn new(realm: Arc<str>, gauge: Gauge) -> Self {
        Self {
            realm,
            is_full: AtomicBool::new(false),
            gauge,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// A publication had no room.
    pub(super) fn refused(&self) {
        if !self.is_full.swap(true, Ordering::Relaxed) {
            self.gauge.set(1);
            warn!(realm = &*self.realm;
                "the event store is full: publications to stored topics are refused");
        }
    }

    /// There is room again.
    pub(super) fn ended(&self) {
        if self.is_full.swap(false, Ordering::Relaxed) {
            self.gauge.set(0);
            info!(realm = &*self.realm; "the event store has room again, publications are taken");
        }
    }
}
