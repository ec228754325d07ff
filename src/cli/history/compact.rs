//! `rewamp history compact`: gives disk space back to the system, and with it the bytes of what was
//! dropped and purged.

use std::path::Path;

use clap::Args;
use indicatif::BinaryBytes;
use rewamp_history::{Compacted, compact};

use super::progress::Progress;
use super::which::{Which, each};
use super::{Outcome, failed};
use crate::cli::Console;

/// Give back what is free in a store, and with it the bytes of what was dropped and purged.
///
/// A cfxdb store is written anew while nobody has it open, no node, no Crossbar and no reader; with
/// an error, or killed, it is as it was. There has to be room on the disk for both.
#[derive(Debug, Args)]
pub(super) struct Compact {
    #[command(flatten)]
    which: Which,
}

impl Compact {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let folders = self.which.folders(console)?;
        each(&folders, console, one)
    }
}

fn one(folder: &Path, console: &mut Console<'_>) -> Outcome {
    let mut progress = None;
    let compacted = compact(folder, &mut |rows| {
        progress
            .get_or_insert_with(|| Progress::of_rows("compacting", rows))
            .event();
    });
    drop(progress);
    match compacted.map_err(failed)? {
        Some(Compacted { before, after }) => writeln!(
            console.out,
            "{}: {}, {} before",
            folder.display(),
            BinaryBytes(after),
            BinaryBytes(before)
        )?,
        None => writeln!(
            console.out,
            "{}: nothing to give back: a sled store has no free space in its files, and writes anew \
             what no filter keeps by itself",
            folder.display()
        )?,
    }
    Ok(0)
}
