//! The newest events of every one of many topics, in a history that is much longer.

use super::plan::{self, EACH, Part, TOPICS};
use super::realm::{Realm, ms};
use super::router::fresh;
use super::{Bench, Done};
use crate::load::STORED;
use rewamp_history::{Query, Sequence};
use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The store does not come near it.
const MAXSIZE: u64 = 8 << 30;
/// Events a commit.
const BATCH: usize = 1_000;

/// Fills a store and asks it.
pub(super) fn measure(bench: &mut Bench<'_>) -> Done {
    let folder = fresh(&bench.folder.join("state"))?;
    let mut realm = Realm::open(&folder.join("store"), MAXSIZE, 1)?;
    let mut random = Random(1);
    for _ in 0..bench.scale.state / BATCH as u64 {
        realm.publish_to(BATCH, |_| random.topic())?;
    }
    for run in 0..bench.scale.runs {
        for each in EACH {
            let mut query = Query {
                last_per_topic: Some(each),
                ..realm.everything()?
            };
            let row = format!("newest {each} of each, {}", plan::short(bench.scale.state));
            let mut enter = |column: &str, value| {
                bench.book.enter(run, Part::State, &row, column, value);
            };
            let (shown, took) = read(&realm, &query)?;
            // After that it is warm.
            if run == 0 {
                enter("events", shown as f64);
                enter("first, ms", ms(took));
            }
            enter("again, ms", ms(read(&realm, &query)?.1));
            query.sequence.until = Some(Sequence::new(bench.scale.state / 2));
            enter("as of the middle, ms", ms(read(&realm, &query)?.1));
        }
    }
    drop(realm);
    Ok(fs::remove_dir_all(&folder)?)
}

fn read(realm: &Realm, query: &Query) -> Done<(u64, Duration)> {
    let (begin, mut shown) = (Instant::now(), 0);
    realm.store.read(query, &[], &mut |_| {
        shown += 1;
        ControlFlow::Continue(())
    })?;
    Ok((shown, begin.elapsed()))
}

/// The same topics in every run: a hundredth of them have half of the events, the others came at
/// random long ago or lately.
struct Random(u64);

impl Random {
    fn topic(&mut self) -> String {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let drawn = self.0 >> 33;
        let device = match (drawn % 2, drawn / 2) {
            (0, drawn) => drawn % (TOPICS / 100),
            (_, drawn) => drawn % TOPICS,
        };
        format!("{STORED}site{}.device{device}.temperature", device % 50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_hundredth_of_the_topics_has_half_of_the_events() {
        let (mut random, mut counts) = (Random(1), HashMap::new());
        for _ in 0..200_000 {
            *counts.entry(random.topic()).or_insert(0_u64) += 1;
        }
        assert_eq!(counts.len() as u64, TOPICS);
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let busy: u64 = counts.iter().take(TOPICS as usize / 100).sum();
        assert!((95_000..110_000).contains(&busy), "{busy}");
    }
}
