//! What is to be purged: the events of a history that were named, as runs of the realm's order.

use std::ops::ControlFlow;

use bytestring::ByteString;
use hashbrown::HashSet;
use rewamp_wamp::uri::matches;

use super::history::History;
use super::{Committed, Reach, Target};
use crate::error::QueryError;
use crate::event::{Sequence, Timestamp};
use crate::query::{Purge, Scope, Viewer};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) runs: Runs,
    pub(crate) events: u64,
    /// The filter's history begins behind this one, if all before it is to go.
    pub(crate) floor: Option<Sequence>,
    /// Their topics, where older events of them have given way to these and would be back.
    pub(crate) topics: HashSet<ByteString>,
}

/// Sequences, as sorted runs of which both ends are inclusive. 16 bytes a run: events that were
/// published one after another are one.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<(Sequence, Sequence)>);

impl Runs {
    /// Adds one; in any order, if [`Self::sort`] follows.
    pub(crate) fn add(&mut self, sequence: Sequence) {
        match self.0.last_mut() {
            Some((_, to)) if to.next() == sequence => *to = sequence,
            _ => self.0.push((sequence, sequence)),
        }
    }

    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    pub(crate) fn holds(&self, sequence: Sequence) -> bool {
        self.touches(sequence, sequence)
    }

    /// Whether any of it lies from `first` to `last`.
    pub(crate) fn touches(&self, first: Sequence, last: Sequence) -> bool {
        let begun = self.0.partition_point(|(_, to)| *to < first);
        self.0.get(begun).is_some_and(|(from, _)| *from <= last)
    }

    /// Each of them, in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Sequence> {
        let runs = self.0.iter();
        runs.flat_map(|(from, to)| (from.get()..=to.get()).map(Sequence::new))
    }
}

/// Finds what a purge names. Only events of this history are in it, whoever may see them; a
/// publication has to be one that the viewer sees.
pub(crate) fn doomed(
    committed: &impl Committed,
    scope: &Scope,
    viewer: &Viewer,
    what: &Purge,
) -> Result<Doomed, QueryError> {
    let history = History::new(committed, scope, viewer, &[])?;
    let mut reach = Reach::ALL;
    let mut target = history.target;
    match what {
        Purge::All => {}
        Purge::BeforeTime(Timestamp::ZERO) => return Ok(Doomed::nothing()),
        Purge::BeforeTime(time) => reach.end = time.previous(),
        Purge::UntilPublication(publication) => reach.last = history.find(*publication)?,
        Purge::Publication(publication) => reach = Reach::only(history.find(*publication)?),
        Purge::Topic(topic) if matches(&scope.uri, scope.match_policy, topic) => {
            target = Target::Topic(topic);
        }
        Purge::Topic(_) => return Ok(Doomed::nothing()),
    }
    let mut doomed = Doomed::nothing();
    let single = matches!(what, Purge::Publication(_));
    let from_the_oldest = !single && !matches!(what, Purge::Topic(_)) && committed.is_whole(scope);
    let by_topic = committed.is_any_by_topic();
    history.walk(target, &reach, false, &mut |event| {
        doomed.runs.add(event.sequence);
        doomed.events += 1;
        doomed.floor = Some(event.sequence);
        if by_topic && !doomed.topics.contains(event.topic) {
            doomed.topics.insert(ByteString::from(event.topic));
        }
        ControlFlow::Continue(())
    })?;
    doomed.floor = doomed.floor.filter(|_| from_the_oldest);
    Ok(doomed)
}

impl Doomed {
    fn nothing() -> Self {
        Self {
            runs: Runs::default(),
            events: 0,
            floor: None,
            topics: HashSet::new(),
        }
    }
}
