//! The newest events of every topic.

use std::ops::ControlFlow;

use rewamp_wamp::uri::MatchPolicy;

use super::{Moment, Run};
use crate::engine::cfxdb::lmdb::LmdbError;
use crate::engine::cfxdb::record::Record;
use crate::engine::cfxdb::shelf::read_topic;
use crate::event::Sequence;
use crate::page::{Newest, Target};

impl Moment<'_> {
    /// Appends the events of one topic that a choice wants.
    fn choose(
        &self,
        newest: &mut Newest<'_>,
        topic: u64,
        run: Run,
        chosen: &mut Vec<u64>,
    ) -> Result<(), LmdbError> {
        let row = self.txn.get(&self.tables().topic(topic))?;
        let Some((_, name)) = row.and_then(read_topic) else {
            return Ok(());
        };
        let (left, filter) = (newest.left(name), newest.filter);
        let mut taken = 0;
        let key = |sequence| {
            let key = self.tables().kept_by_topic(filter.get(), topic, sequence);
            key.to_vec()
        };
        self.each_key(&key, run, true, |sequence| {
            if taken == left || newest.is_cut() {
                return Ok(ControlFlow::Break(()));
            }
            if !newest.is_for_one() || self.admits(newest, sequence)? {
                chosen.push(sequence);
                taken += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        newest.take(&name.into(), taken);
        Ok(())
    }

    fn admits(&self, newest: &mut Newest<'_>, sequence: u64) -> Result<bool, LmdbError> {
        let row = self.txn.get(&self.tables().order(sequence))?;
        let record = row.and_then(Record::read).ok_or(LmdbError::DAMAGED)?;
        let event = record.bare(Sequence::new(sequence));
        Ok(newest.admits(&event.ok_or(LmdbError::DAMAGED)?))
    }

    pub(super) fn chosen(&self, newest: &mut Newest<'_>) -> Result<Vec<u64>, LmdbError> {
        let run = self.run(&newest.range)?;
        let topics = match newest.target {
            // Nobody asks: a choice names a pattern.
            Target::Filter => Vec::new(),
            Target::Topic(name) => {
                vec![self.plan().key.subscription(name, MatchPolicy::Exact).get()]
            }
            Target::Pattern(pattern, policy) => self.topics(pattern, policy)?,
        };
        let mut chosen = Vec::new();
        for topic in topics {
            self.choose(newest, topic, run, &mut chosen)?;
        }
        Ok(chosen)
    }
}
