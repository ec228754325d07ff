//! All events of a store, once each, in the realm's order, whichever filters keep them.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use rewamp_history::{EventStore, Filter, Query, QueryError, Resume, Scope, Sequence, Viewer};

use crate::record::{Record, RecordError};

/// Events that are taken from one history at a time: what is held in memory for each filter.
const BLOCK: u64 = 512;

/// Why a store is not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] QueryError),
    /// An event does not hold what an event holds.
    #[error("event {sequence}: {error}")]
    Event {
        /// Which one.
        sequence: Sequence,
        /// What is wrong with it.
        error: RecordError,
    },
}

/// Shows `visit` every event that one of `filters` keeps, from the sequence `from` on, in order,
/// until it breaks.
///
/// # Errors
/// [`ReadError`]; what was shown before stands.
pub fn read(
    store: &dyn EventStore,
    filters: &[Filter],
    from: Sequence,
    visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let mut histories: Vec<History> = filters
        .iter()
        .filter_map(|filter| History::of(store, filter, from))
        .collect();
    loop {
        for history in &mut histories {
            history.fill(store)?;
        }
        let oldest = histories.iter().filter_map(History::next).min();
        let Some(oldest) = oldest else { return Ok(()) };
        let mut record = None;
        for history in &mut histories {
            if history.next() == Some(oldest) {
                record = history.block.pop_front();
            }
        }
        let shown = record.map_or(ControlFlow::Continue(()), &mut *visit);
        if shown.is_break() {
            return Ok(());
        }
    }
}

/// What one filter keeps, as far as it was read.
struct History {
    scope: Scope,
    block: VecDeque<Record>,
    resume: Option<Resume>,
}

impl History {
    fn of(store: &dyn EventStore, filter: &Filter, from: Sequence) -> Option<Self> {
        Some(Self {
            scope: Scope {
                uri: filter.uri.clone(),
                match_policy: filter.match_policy,
                filter: store.readable(&filter.uri, filter.match_policy)?,
            },
            block: VecDeque::new(),
            resume: Some(Resume {
                next: from,
                first: from,
                last: Sequence::MAX,
            }),
        })
    }

    fn next(&self) -> Option<Sequence> {
        self.block.front().map(|record| record.sequence)
    }

    /// Reads on where nothing is left of what was read.
    fn fill(&mut self, store: &dyn EventStore) -> Result<(), ReadError> {
        while self.block.is_empty()
            && let Some(resume) = self.resume
        {
            let query = Query {
                resume: Some(resume),
                limit: BLOCK,
                ..Query::all(self.scope.clone(), Viewer::Operator)
            };
            let mut wrong = None;
            let end = store.read(&query, &[], &mut |event| match Record::of(event) {
                Ok(record) => {
                    self.block.push_back(record);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    let sequence = event.sequence;
                    wrong = Some(ReadError::Event { sequence, error });
                    ControlFlow::Break(())
                }
            })?;
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            self.resume = end.resume;
        }
        Ok(())
    }
}
