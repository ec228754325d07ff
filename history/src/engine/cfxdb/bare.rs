//! A writer of the same rows and nothing else, for benchmarks: what LMDB itself takes for them. It
//! has the rows from a store of its own that is given the same events.

use std::path::Path;
use std::sync::Arc;

use super::begin::open_error;
use super::lmdb::{Env, LmdbError, Options};
use super::{Cfxdb, EventStore as _};
use crate::error::{OpenError, StoreError};
use crate::event::Event;
use crate::store::StoreConfig;

/// Which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All that the engine writes for events.
    All,
    /// Those that cfxdb defines: without order, limits and what is by topic.
    OfCfxdb,
}

/// See the head of this file.
#[derive(Debug)]
pub struct BareCfxdb {
    env: Env,
    like: Cfxdb,
    which: Rows,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl BareCfxdb {
    /// Begins a file in `folder`, and in `scratch` the store that the rows are taken from. Both are
    /// folders that have nothing in them.
    pub fn begin(
        folder: &Path,
        scratch: &Path,
        config: &StoreConfig,
        which: Rows,
    ) -> Result<Self, OpenError> {
        let like = StoreConfig {
            sync: false,
            ..config.clone()
        };
        let options = Options {
            map: config.maxsize / 4_096 * 4_096,
            readonly: false,
            mode: 0o600,
            sync: config.sync,
        };
        Ok(Self {
            env: Env::open(folder, options).map_err(|error| open_error(folder, error))?,
            like: Cfxdb::open(scratch, 0o600, &like)?,
            which,
            rows: Vec::new(),
        })
    }

    /// Makes the rows of the next commit: those that are there when these events are stored.
    pub fn prepare(&mut self, events: &[Arc<Event>]) -> Result<(), StoreError> {
        let next = events.last().map(|event| event.sequence.next());
        self.like.reserve(next.unwrap_or_default())?;
        self.like.append(events).map_err(|error| error.cause)?;
        self.rows.clear();
        let failed = |error| self.like.failed("cannot read", error);
        let txn = self.like.env.read().map_err(failed)?;
        let plan = &self.like.plan;
        let mut rows = std::mem::take(&mut self.rows);
        let mut row = |key: &[u8]| -> Result<(), StoreError> {
            let value = txn.get(key).map_err(failed)?;
            let value = value.ok_or_else(|| failed(LmdbError::DAMAGED))?;
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        let mut counted = Vec::new();
        for event in events {
            row(&plan.tables.publication(event.publication.get()))?;
            let topic = event.topic.subscription(&plan.key).get();
            let sequence = event.sequence.get();
            for filter in event.topic.filters() {
                if let Some(subscription) = plan.subscriptions.get(filter) {
                    row(&plan.tables.event(*subscription, event.time.nanos()))?;
                }
                if self.which == Rows::All {
                    row(&plan.tables.kept(filter.get(), sequence))?;
                    row(&plan.tables.kept_by_topic(filter.get(), topic, sequence))?;
                    counted.push(plan.tables.count(filter.get(), topic));
                }
            }
            if self.which == Rows::All {
                row(&plan.tables.order(sequence))?;
            }
        }
        // Once a commit.
        counted.sort_unstable();
        counted.dedup();
        counted.iter().try_for_each(|key| row(key))?;
        if self.which == Rows::All {
            row(&plan.tables.state(2))?;
        }
        drop(txn);
        self.rows = rows;
        Ok(())
    }

    /// Puts the rows that were prepared, in one durable transaction.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let commit = || -> Result<(), LmdbError> {
            let mut txn = self.env.write()?;
            for (key, value) in &self.rows {
                txn.put(key, value)?;
            }
            txn.commit()
        };
        commit().map_err(|error| self.like.failed("cannot write", error))
    }
}
