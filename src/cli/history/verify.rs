//! `rewamp history verify`: reads a whole store, and says whether what it should hold is there.

use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use rewamp_history::{EventStore, Filter, Query, Scope, Sequence, Viewer};

use super::progress::Progress;
use super::which::{Opened, Which, each, open_to_read};
use super::{Failure, MISSING, Outcome, failed};
use crate::cli::Console;

/// Read a whole store and say whether anything is missing.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    which: Which,
}

impl Verify {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let folders = self.which.folders(console)?;
        each(&folders, console, verify)
    }
}

fn verify(folder: &Path, console: &mut Console<'_>) -> Outcome {
    let Opened { found, store } = open_to_read(folder)?;
    let mut faults = Vec::new();
    let mut progress = Progress::begin("reading", Some(store.usage().events));
    for filter in &found.filters {
        history(&*store, filter, &mut progress, &mut faults)?;
    }
    let mut events = 0_u64;
    let read = rewamp_archive::read(&*store, &found.filters, Sequence::ZERO, &mut |_| {
        events += 1;
        ControlFlow::Continue(())
    });
    drop(progress);
    if let Err(error) = read {
        faults.push(error.to_string());
    }
    let lost = store.lost();
    for lost in &lost {
        faults.push(format!(
            "sequences {} to {} are missing: {}",
            lost.from, lost.to, lost.why
        ));
    }
    for fault in &faults {
        writeln!(console.out, "{}: {fault}", folder.display())?;
    }
    writeln!(
        console.out,
        "{}: {events} events of realm {}: {}",
        folder.display(),
        found.realm,
        match faults.is_empty() {
            true => "whole",
            false => "not whole",
        }
    )?;
    Ok(if faults.is_empty() { 0 } else { MISSING })
}

/// Every event of a filter's history is read, forwards and backwards, and counted.
fn history(
    store: &dyn EventStore,
    filter: &Filter,
    progress: &mut Progress,
    faults: &mut Vec<String>,
) -> Result<(), Failure> {
    let Some(id) = store.readable(&filter.uri, filter.match_policy) else {
        return Ok(());
    };
    let scope = Scope {
        uri: filter.uri.clone(),
        match_policy: filter.match_policy,
        filter: id,
    };
    let name = format!("{} `{}`", filter.match_policy.name(), filter.uri);
    let counted = store
        .info(&scope, &Viewer::Operator, &[])
        .map_err(failed)?
        .events;
    for reverse in [false, true] {
        let query = Query {
            reverse,
            ..Query::all(scope.clone(), Viewer::Operator)
        };
        let (mut events, mut before, mut disorder) = (0_u64, None, None);
        let read = store.read(&query, &[], &mut |event| {
            let now = (event.sequence, event.time);
            if before.is_some_and(|before| (before < now) == reverse) {
                disorder.get_or_insert(event.sequence);
            }
            before = Some(now);
            events += 1;
            if !reverse {
                progress.event();
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            faults.push(format!("{name}: {error}"));
        }
        if let Some(sequence) = disorder {
            faults.push(format!("{name}: event {sequence} is out of order"));
        }
        if events != counted {
            faults.push(format!(
                "{name}: {events} events where {counted} are counted"
            ));
        }
    }
    Ok(())
}
