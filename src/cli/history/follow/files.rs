//! Following the files of a store that a node writes to. Each look is at one state of the store.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use rewamp_archive::Record;
use rewamp_history::{
    Bounds, Engine, EventStore, Filter, Query, QueryError, Scope, Sequence, Viewer,
};

use super::super::which::{Opened, open_to_read};
use super::super::{Failure, failed};
use super::Sink;
use crate::cli::stop::{Backoff, Stop};

/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(100);

/// Writes what is in the store and what comes; `resumed` if what comes after [`Sink::last`] is
/// expected to be there.
pub(super) fn follow(
    folder: &Path,
    sink: &mut Sink<'_>,
    mut resumed: bool,
    stop: &Stop,
) -> Result<(), Failure> {
    let found = rewamp_history::identify(folder).map_err(failed)?;
    if !matches!(found.engine, Engine::Cfxdb { .. }) {
        return Err(failed(
            "only a store of type cfxdb can be read while a node has it; follow others through \
             the node, with --from WS-URL --realm NAME",
        ));
    }
    let mut backoff = Backoff::new();
    loop {
        let wait = match open_to_read(folder) {
            Ok(opened) => {
                look(&opened, sink, resumed)?;
                (resumed, backoff) = (true, Backoff::new());
                LOOK
            }
            // A node that begins has it for a moment.
            Err(Failure::Failed(why)) => {
                let wait = backoff.next();
                sink.say(&format!("{why}; tried again in {} ms", wait.as_millis()))?;
                wait
            }
            Err(other) => return Err(other),
        };
        if stop.wait(wait) {
            return Ok(());
        }
    }
}

/// Writes what has come since the last look.
fn look(opened: &Opened, sink: &mut Sink<'_>, resumed: bool) -> Result<(), Failure> {
    let Opened { found, store } = opened;
    // Filters are read one after another while the node goes on: what comes meanwhile is left for
    // the next look, or the last of them would show what the first does not yet.
    let mut newest = Sequence::ZERO;
    for scope in scopes(&**store, &found.filters) {
        let span = store.span(&scope, &Viewer::Operator, &[]).map_err(failed)?;
        newest = newest.max(span.newest.map_or(Sequence::ZERO, |newest| newest.sequence));
    }
    if newest <= sink.last {
        return Ok(());
    }
    if resumed {
        for scope in scopes(&**store, &found.filters) {
            if is_missing(&**store, &scope, sink.last)? {
                sink.misses(&format!("{} `{}`", scope.match_policy.name(), scope.uri))?;
            }
        }
    }
    let mut failure = None;
    let from = sink.last.next();
    let read = rewamp_archive::read(&**store, &found.filters, from, &mut |record: Record| {
        if record.sequence > newest {
            return ControlFlow::Break(());
        }
        match sink.put(&record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None => read.map_err(failed),
    }
}

fn scopes<'s>(
    store: &'s dyn EventStore,
    filters: &'s [Filter],
) -> impl Iterator<Item = Scope> + 's {
    filters.iter().filter_map(|filter| {
        Some(Scope {
            uri: filter.uri.clone(),
            match_policy: filter.match_policy,
            filter: store.readable(&filter.uri, filter.match_policy)?,
        })
    })
}

/// Whether the history has dropped events after that one.
fn is_missing(store: &dyn EventStore, scope: &Scope, after: Sequence) -> Result<bool, Failure> {
    let query = Query {
        sequence: Bounds {
            after: Some(after),
            ..Bounds::default()
        },
        limit: 1,
        ..Query::all(scope.clone(), Viewer::Operator)
    };
    match store.read(&query, &[], &mut |_| ControlFlow::Continue(())) {
        Ok(_) => Ok(false),
        Err(QueryError::NoSuchPublication { .. }) => Ok(true),
        Err(error) => Err(failed(error)),
    }
}
