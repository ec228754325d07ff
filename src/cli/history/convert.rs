//! `rewamp history convert`: the history of one store in another, under the same subscription
//! IDs, publication IDs, sequences and times.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use rewamp_archive::Draft;
use rewamp_history::{Engine, Full, Sequence, StoreConfig};

use super::import::Kind;
use super::progress::Progress;
use super::which::{Which, open_to_read_as};
use super::{Outcome, failed};
use crate::cli::Console;

/// Make a store of another one.
#[derive(Debug, Args)]
pub(super) struct Convert {
    #[command(flatten)]
    which: Which,
    /// What the new store is kept by
    #[arg(long, value_name = "TYPE")]
    to: Kind,
    /// Folder of the new store
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Bytes of the new store [default: twice what the old one takes, at least 1 GiB]
    #[arg(long, value_name = "BYTES")]
    maxsize: Option<u64>,
}

impl Convert {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let source = self.which.folder(console)?;
        let opened = open_to_read_as(&source, self.which.realm())?;
        let found = &opened.found;
        let usage = opened.store.usage();
        let config = StoreConfig {
            realm: found.realm.clone(),
            engine: self.to.engine(&self.folder),
            maxsize: self
                .maxsize
                .unwrap_or_else(|| usage.bytes.saturating_mul(2).max(1 << 30)),
            full: Full::DropOldest,
            sync: true,
            limit: None,
            filters: found.filters.clone(),
            memory_begin: Sequence::ZERO,
        };
        let mut draft = Draft::begin_like(config, found).map_err(failed)?;
        let mut progress = Progress::begin("converting", Some(usage.events));
        let mut failure = None;
        rewamp_archive::read(
            &*opened.store,
            &found.filters,
            Sequence::ZERO,
            &mut |record| {
                progress.event();
                match draft.add(record) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        )
        .map_err(failed)?;
        drop(progress);
        if let Some(error) = failure {
            return Err(failed(error));
        }
        draft.next_sequence(opened.store.opened().next_sequence);
        let finished = draft.finish().map_err(failed)?;
        for lost in [
            "not carried over: what retention had dropped, and where events were lost",
            "not carried over: the incarnation; cursors and resumed sequences are told that the \
             store is another one",
        ] {
            writeln!(console.err, "{lost}")?;
        }
        if matches!(found.engine, Engine::Cfxdb { .. }) {
            writeln!(console.err, "not carried over: rows of sessions")?;
        }
        writeln!(console.err, "{finished}")?;
        Ok(0)
    }
}
