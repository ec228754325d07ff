//! A store that fails is a state of its realm: said once, counted always, and looked at from time to
//! time until it works again. Part of the History actor.

use std::time::Duration;

use actix::prelude::*;
use log::{error, info};
use rewamp_history::StoreError;

use super::History;
use crate::metrics::Id;

/// How often a store that fails is asked whether it works again. 1 s: soon enough for those who
/// look at the metrics, and nothing to a disk.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl History {
    /// As long as the store fails and nobody publishes, it is asked from time to time whether it
    /// works again.
    pub(super) fn look_again(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.looking, true) {
            ctx.run_later(LOOK_AGAIN, |history, ctx| {
                history.looking = false;
                if history.committing.is_none() {
                    history.commit(ctx); // of nothing, if nobody has published
                } else {
                    history.look_again(ctx);
                }
            });
        }
    }

    /// A store that fails is a state: said once, counted always.
    pub(super) fn judge(&mut self, failure: Option<&StoreError>, not_stored: usize) {
        let realm = &*self.realm_name;
        let was_degraded =
            std::mem::replace(&mut self.degraded, failure.is_some() || self.unreserved);
        match failure {
            Some(error) => {
                self.metrics
                    .count(Id::HistoryFailedCommits, u64::from(not_stored > 0));
                self.metrics.count(Id::HistoryNotStored, not_stored as u64);
                if !was_degraded {
                    error!(realm; "the event store cannot be written, events are routed and not stored: {error}");
                }
            }
            None if was_degraded && !self.degraded => {
                info!(realm; "the event store can be written again");
            }
            None => {}
        }
        self.metrics
            .gauge(Id::HistoryDegraded)
            .set(i64::from(self.degraded));
    }
}
