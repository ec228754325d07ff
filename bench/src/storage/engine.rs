//! Commits straight into the engine, with few and many filters, and the bare file, in turns.

use super::bare::Bare;
use super::plan::{self, BATCHES, FILTERS, OF_BARE, OF_ONE_FILTER, Part};
use super::realm::{Rate, Realm, ms};
use super::{Bench, Done};
use crate::compare::STORE_BYTES;
use std::fs;
use std::time::{Duration, Instant};

/// All batches and filters, round by round.
pub(super) fn measure(bench: &mut Bench<'_>) -> Done {
    for run in 0..bench.scale.runs {
        for batch in BATCHES {
            measure_batch(bench, run, batch)?;
        }
    }
    Ok(())
}

/// Commits as they can, for a while.
pub(super) fn commits(
    lasting: Duration,
    mut commit: impl FnMut() -> Done<Duration>,
    into: &mut Vec<Duration>,
) -> Done {
    let begin = Instant::now();
    while begin.elapsed() < lasting {
        into.push(commit()?);
    }
    Ok(())
}

fn measure_batch(bench: &mut Bench<'_>, run: usize, batch: usize) -> Done {
    let folder = bench.folder.join("engine");
    fs::create_dir_all(&folder)?;
    let realm = |filters: usize| {
        let path = folder.join(filters.to_string());
        Ok((Realm::open(&path, STORE_BYTES, filters)?, Vec::new()))
    };
    let mut realms = FILTERS.map(realm).into_iter().collect::<Done<Vec<_>>>()?;
    let mut bare = Bare::begin(&folder.join("bare"), batch)?;
    let mut appended = Vec::new();
    // In short turns: the disk is not equally fast all the time.
    for _ in 0..bench.scale.turns {
        for (realm, into) in &mut realms {
            commits(bench.scale.turn, || realm.publish(batch), into)?;
        }
        commits(bench.scale.turn, || Ok(bare.append()?), &mut appended)?;
    }
    let bare = Rate::of(appended, batch);
    let mut first = None;
    for ((_, commits), filters) in realms.into_iter().zip(FILTERS) {
        let engine = Rate::of(commits, batch);
        let row = plan::commit_row(batch, filters);
        let mut enter = |column: &str, value| {
            bench.book.enter(run, Part::Engine, &row, column, value);
        };
        enter("engine, events/s", engine.rate);
        enter("bare, events/s", bare.rate);
        enter(OF_BARE, engine.rate / bare.rate);
        enter("p99 commit, ms", ms(engine.p99));
        enter("worst commit, ms", ms(engine.worst));
        enter("worst bare, ms", ms(bare.worst));
        let one = *first.get_or_insert(engine.rate);
        enter(OF_ONE_FILTER, engine.rate / one);
    }
    Ok(fs::remove_dir_all(&folder)?)
}
