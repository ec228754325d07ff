//! Random histories and random questions against the plainest answer there is: look at every
//! event and ask whether it belongs.

use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::uri::MatchPolicy::{self, Exact, Prefix, Wildcard};
use rewamp_wamp::uri::matches;

use super::Open;
use super::desk::{Desk, JOE, anybody, filter, limited};
use crate::event::{Event, EventRef};
use crate::filter::Filter;
use crate::query::{Bounds, Query, Resume};
use crate::receivers::Receivers;

const TOPICS: [&str; 6] = ["a.b.c", "a.b.d", "a.x.c", "a.b", "b.b.c", "ab"];
const PATTERNS: [(&str, MatchPolicy); 9] = [
    ("", Prefix),
    ("a", Prefix),
    ("a.b", Prefix),
    ("a..c", Wildcard),
    ("..c", Wildcard),
    ("a.b", Exact),
    ("a.b.c", Exact),
    ("a.b.", Wildcard),
    ("zz", Prefix),
];

/// A publication: its topic, and whether the viewer is excluded.
type Published = (usize, bool);

/// A question, with events named by their number; numbers beyond the last are never published.
#[derive(Debug, Clone)]
struct Question {
    pattern: usize,
    topic: Option<usize>,
    last_per_topic: Option<u64>,
    reverse: bool,
    /// Where it goes on, and the sequences that the first page allowed.
    resume: Option<[u64; 3]>,
    limit: u64,
    time: [Option<u64>; 4],
    publication: [Option<u64>; 4],
    sequence: [Option<u64>; 4],
}

fn bounds() -> impl Strategy<Value = [Option<u64>; 4]> {
    let seldom = || prop::option::weighted(0.15, 1..130_u64);
    [seldom(), seldom(), seldom(), seldom()]
}

fn question() -> impl Strategy<Value = Question> {
    let topic = prop::option::weighted(0.2, 0..TOPICS.len());
    let limit = prop_oneof![1..12_u64, Just(u64::MAX)];
    let last_per_topic = prop::option::weighted(0.5, 1..6_u64);
    let parts = (
        (0..PATTERNS.len(), topic, last_per_topic),
        any::<bool>(),
        prop::option::weighted(0.3, [1..130_u64, 0..60_u64, 40..200_u64]),
        limit,
        bounds(),
        bounds(),
        bounds(),
    );
    parts.prop_map(
        |((pattern, topic, last), reverse, resume, limit, time, publication, sequence)| Question {
            pattern,
            topic,
            last_per_topic: last,
            reverse,
            resume,
            limit,
            time,
            publication,
            sequence,
        },
    )
}

pub(crate) fn random_questions_have_the_naive_answer(open: Open<'_>) {
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let history = prop::collection::vec((0..TOPICS.len(), prop::bool::weighted(0.2)), 1..120);
    let limit = prop::option::of(1..40_u64);
    let input = (
        history,
        limit,
        0.0..1.0_f64,
        prop::collection::vec(question(), 60),
    );
    let checked = runner.run(&input, |(history, limit, committed, questions)| {
        Case::new(open, &history, limit, committed).check(&questions);
        Ok(())
    });
    checked.unwrap();
}

struct Case {
    desk: Desk,
    filters: Vec<Filter>,
    events: Vec<Arc<Event>>,
    committed: usize,
}

impl Case {
    fn new(open: Open<'_>, history: &[Published], limit: Option<u64>, committed: f64) -> Self {
        let filters = vec![
            filter("a..c", Wildcard),
            match limit {
                Some(limit) => limited("a", Prefix, limit),
                None => filter("a", Prefix),
            },
            filter("", Prefix),
        ];
        // Large enough that no limit but the one above is met.
        let mut desk = Desk::at(open(&filters, Some(1_000)));
        let excluded = ReceiverLists {
            exclude_authid: vec![JOE.into()],
            ..ReceiverLists::default()
        };
        let events: Vec<Arc<Event>> = history
            .iter()
            .map(|(topic, hidden)| {
                let receivers = hidden.then(|| Receivers::new(&excluded).map(Arc::new));
                let event = desk.accept(TOPICS[*topic]);
                Arc::new(Event {
                    receivers: receivers.flatten(),
                    ..event
                })
            })
            .collect();
        let committed = (events.len() as f64 * committed) as usize;
        for events in events[..committed].chunks(7) {
            desk.store.append(events).unwrap();
        }
        Self {
            desk,
            filters,
            events,
            committed,
        }
    }

    fn check(&self, questions: &[Question]) {
        for question in questions {
            let query = self.query(question);
            // Some of what is pending was committed meanwhile.
            let pending = &self.events[self.committed.saturating_sub(5)..];
            let answer = self
                .desk
                .page(&query, &[pending])
                .ok()
                .map(|(found, _)| found);
            assert_eq!(answer, self.naive(question), "{question:?}");
        }
    }

    fn query(&self, question: &Question) -> Query {
        let (uri, match_policy) = PATTERNS[question.pattern];
        let first = self.desk.first;
        fn all<T>(bounds: [Option<u64>; 4], name: impl Fn(u64) -> T) -> Bounds<T> {
            let [from, after, before, until] = bounds.map(|number| number.map(&name));
            Bounds {
                from,
                after,
                before,
                until,
            }
        }
        Query {
            topic: question.topic.map(|topic| ByteString::from(TOPICS[topic])),
            last_per_topic: question.last_per_topic,
            reverse: question.reverse,
            resume: question.resume.map(|numbers| {
                let [next, first, last] =
                    numbers.map(|number| crate::Sequence::new(first.get() + number - 1));
                Resume { next, first, last }
            }),
            limit: question.limit,
            time: all(question.time, |number| {
                let begin = self.desk.store.opened().last_time.nanos();
                crate::event::Timestamp::from_nanos(begin + number * super::desk::TICK)
            }),
            publication: all(question.publication, |number| {
                super::desk::publication(crate::Sequence::new(first.get() + number - 1))
            }),
            sequence: all(question.sequence, |number| {
                crate::Sequence::new(first.get() + number - 1)
            }),
            ..self.desk.all(uri, match_policy)
        }
    }

    /// The answer, or `None` for an error.
    fn naive(&self, question: &Question) -> Option<Vec<u64>> {
        let (uri, match_policy) = PATTERNS[question.pattern];
        let covering = self
            .filters
            .iter()
            .find(|filter| filter.uri == uri && filter.match_policy == match_policy);
        let covering = covering.or_else(|| {
            let covers = |filter: &&Filter| {
                let wide = (&*filter.uri, filter.match_policy);
                rewamp_wamp::uri::covers(wide, (uri, match_policy))
            };
            self.filters.iter().find(covers)
        })?;
        let in_filter: Vec<u64> = (1..=self.events.len() as u64)
            .filter(|number| {
                let topic = self.events[*number as usize - 1].topic.name();
                matches(&covering.uri, covering.match_policy, topic)
            })
            .collect();
        let kept = covering.limit.map_or(usize::MAX, |limit| limit as usize);
        let (dropped, kept) = in_filter.split_at(in_filter.len().saturating_sub(kept));
        let visible: Vec<u64> = kept
            .iter()
            .copied()
            .filter(|number| {
                let event = &self.events[*number as usize - 1];
                let view = EventRef::from(&**event);
                matches(uri, match_policy, view.topic) && anybody().may_see(&view)
            })
            .collect();
        let [from, after, ..] = question.sequence;
        let floor = dropped.last().copied().unwrap_or(0);
        let gone =
            from.is_some_and(|from| from <= floor) || after.is_some_and(|after| after < floor);
        let unknown = question
            .publication
            .iter()
            .flatten()
            .any(|number| !visible.contains(number));
        if question.resume.is_none() && (gone || unknown) {
            return None;
        }
        let inside = |number: u64, [from, after, before, until]: [Option<u64>; 4]| {
            from.is_none_or(|from| number >= from)
                && after.is_none_or(|after| number > after)
                && before.is_none_or(|before| number < before)
                && until.is_none_or(|until| number <= until)
        };
        let mut found: Vec<u64> = visible
            .into_iter()
            .filter(|number| {
                let allowed = match question.resume {
                    Some([_, first, last]) => {
                        inside(*number, [Some(first), None, None, Some(last)])
                    }
                    None => {
                        inside(*number, question.publication) && inside(*number, question.sequence)
                    }
                };
                allowed && inside(*number, question.time)
            })
            .filter(|number| {
                let topic = question.topic.map(|topic| TOPICS[topic]);
                let name = self.events[*number as usize - 1].topic.name();
                topic.is_none_or(|topic| topic == &**name)
            })
            .collect();
        if let Some(each) = question.last_per_topic {
            found = self.newest(found, each);
        }
        found.retain(|number| match question.resume {
            Some([next, ..]) if question.reverse => *number <= next,
            Some([next, ..]) => *number >= next,
            None => true,
        });
        if question.reverse {
            found.reverse();
        }
        found.truncate(usize::try_from(question.limit).unwrap_or(usize::MAX));
        Some(found)
    }

    /// Of these the newest `each` of every topic.
    fn newest(&self, mut numbers: Vec<u64>, each: u64) -> Vec<u64> {
        let mut shown = HashMap::new();
        numbers.reverse();
        numbers.retain(|number| {
            let topic = self.events[*number as usize - 1].topic.name();
            let count: &mut u64 = shown.entry(topic.clone()).or_default();
            *count += 1;
            *count <= each
        });
        numbers.reverse();
        numbers
    }
}
