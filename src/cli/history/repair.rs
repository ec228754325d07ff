//! `rewamp history repair`: what a node does at its start, without a node: what is sound is kept,
//! what is damaged is set aside and named.

use std::path::Path;

use clap::Args;
use rewamp_history::{identify, open};

use super::which::{Which, each};
use super::{MISSING, Outcome, failed};
use crate::cli::Console;

/// Set aside what is damaged in a store and keep the rest.
#[derive(Debug, Args)]
pub(super) struct Repair {
    #[command(flatten)]
    which: Which,
}

impl Repair {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let folders = self.which.folders(console)?;
        each(&folders, console, repair)
    }
}

fn repair(folder: &Path, console: &mut Console<'_>) -> Outcome {
    let found = identify(folder).map_err(failed)?;
    if !found.is_ours {
        return Err(failed(format!(
            "the store `{}` is Crossbar's: nothing in it is mended, and a node that is configured \
             with it takes it over",
            folder.display()
        )));
    }
    let store = open(found.to_write()).map_err(failed)?;
    let opened = store.opened();
    for path in &opened.set_aside {
        writeln!(console.out, "set aside: {}", path.display())?;
    }
    let lost = store.lost();
    for lost in &lost {
        writeln!(
            console.out,
            "{}: sequences {} to {} are missing: {}",
            folder.display(),
            lost.from,
            lost.to,
            lost.why
        )?;
    }
    writeln!(
        console.out,
        "{}: {} events of realm {}",
        folder.display(),
        opened.events,
        found.realm
    )?;
    store.close(opened.next_sequence).map_err(failed)?;
    Ok(if lost.is_empty() { 0 } else { MISSING })
}
