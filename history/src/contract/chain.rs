//! What comes before an event: for those who must be able to see that they missed nothing.

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::message::ReceiverLists;
use rewamp_wamp::uri::MatchPolicy::{self, Exact, Prefix, Wildcard};
use rewamp_wamp::uri::matches;

use super::Open;
use super::desk::{Desk, JOE, filter, limited};
use crate::error::Position;
use crate::event::{Event, Sequence};
use crate::query::{End, PageEnd, Query};
use crate::receivers::Receivers;

const SCOPES: [(&str, MatchPolicy); 5] = [
    ("com.", Prefix),
    ("com.a", Prefix),
    ("com..x", Wildcard),
    ("com.b.x", Exact),
    ("com.z", Exact),
];

/// A history of which the first events are committed and the others, and some of the first, are
/// pending. Every fifth is not for anybody.
struct Chain {
    desk: Desk,
    events: Vec<Arc<Event>>,
    committed: usize,
    dropped: usize,
}

impl Chain {
    fn new(open: Open<'_>, limit: u64, committed: usize) -> Self {
        let filters = [limited("com.", Prefix, limit), filter("", Prefix)];
        let mut desk = Desk::at(open(&filters, Some(1_000)));
        let hidden = Receivers::new(&ReceiverLists {
            exclude_authid: vec![JOE.into()],
            ..ReceiverLists::default()
        });
        let events: Vec<Arc<Event>> = (0..300_usize)
            .map(|number| {
                let topic = ["com.a.x", "com.b.x", "net.a", "com.a", "com.b.y"];
                let mut event = desk.accept(topic[number * number % 7 % 5]);
                event.receivers = hidden.clone().filter(|_| number % 5 == 0).map(Arc::new);
                Arc::new(event)
            })
            .collect();
        for events in events[..committed].chunks(11) {
            desk.store.append(events).unwrap();
        }
        let kept = events
            .iter()
            .filter(|event| event.topic.name().starts_with("com."));
        let dropped = kept.count().saturating_sub(limit as usize);
        Self {
            desk,
            events,
            committed,
            dropped,
        }
    }

    fn pending(&self) -> [&[Arc<Event>]; 2] {
        let begin = self.committed.saturating_sub(3);
        let (one, other) = self.events[begin..].split_at((self.events.len() - begin) / 2);
        [one, other]
    }

    /// The sequences of a scope, whoever may see them.
    fn scope(&self, uri: &str, match_policy: MatchPolicy) -> Vec<Sequence> {
        let events = self.events.iter();
        let kept = events.filter(|event| event.topic.name().starts_with("com."));
        kept.skip(self.dropped)
            .filter(|event| matches(uri, match_policy, event.topic.name()))
            .map(|event| event.sequence)
            .collect()
    }

    fn read(&self, query: &Query) -> (Vec<(Sequence, Option<Sequence>)>, PageEnd) {
        let mut shown = Vec::new();
        let end = self.desk.store.read(query, &self.pending(), &mut |event| {
            shown.push((event.sequence, event.previous));
            ControlFlow::Continue(())
        });
        (shown, end.unwrap())
    }
}

fn before(all: &[Sequence], sequence: Sequence) -> Option<Sequence> {
    all.iter().rev().copied().find(|one| *one < sequence)
}

fn chains(open: Open<'_>, check: impl Fn(&Chain, &Query, &[Sequence])) {
    for (limit, committed) in [(1_000, 300), (1_000, 0), (1_000, 170), (60, 120), (60, 290)] {
        let chain = Chain::new(open, limit, committed);
        for (uri, match_policy) in SCOPES {
            let all = chain.scope(uri, match_policy);
            check(&chain, &chain.desk.all(uri, match_policy), &all);
        }
    }
}

pub(crate) fn an_event_that_is_read_forward_names_the_one_before_it(open: Open<'_>) {
    chains(open, |chain, query, all| {
        let (shown, end) = chain.read(query);
        assert_eq!(end.last, all.last().copied());
        for (sequence, previous) in shown {
            assert_eq!(previous, before(all, sequence), "{:?}", query.scope);
        }
        let reverse = Query {
            reverse: true,
            ..query.clone()
        };
        let (shown, end) = chain.read(&reverse);
        assert_eq!(end.last, all.first().copied());
        assert!(shown.iter().all(|(_, previous)| previous.is_none()));
    });
}

pub(crate) fn a_page_tells_what_the_next_one_comes_after(open: Open<'_>) {
    chains(open, |chain, query, all| {
        for (limit, budget) in [(7, u64::MAX), (u64::MAX, 3), (2, 2)] {
            let mut page = Query {
                limit,
                budget,
                ..query.clone()
            };
            let mut last = None;
            loop {
                let (shown, end) = chain.read(&page);
                for (sequence, previous) in shown {
                    // The first one of a page may not know; the end of the page before does.
                    assert_eq!(previous.or(last), before(all, sequence));
                }
                last = end.last.or(last);
                let Some(next) = end.next else { break };
                assert_eq!(last, before(all, next));
                page.sequence.from = Some(next);
            }
        }
    });
}

pub(crate) fn an_event_that_is_not_taken_is_not_the_last(open: Open<'_>) {
    chains(open, |chain, query, all| {
        for taken in 0..4 {
            let mut shown = 0;
            let end = chain.desk.store.read(query, &chain.pending(), &mut |_| {
                shown += 1;
                if shown > taken {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            let end = end.unwrap();
            if end.end == End::Stopped {
                assert_eq!(end.last, before(all, end.next.unwrap()));
            }
        }
    });
}

pub(crate) fn a_history_knows_how_much_there_is(open: Open<'_>) {
    chains(open, |chain, query, all| {
        let Query { scope, viewer, .. } = query;
        let info = chain.desk.store.info(scope, viewer, &chain.pending());
        let info = info.unwrap();
        assert_eq!(info.events, all.len() as u64, "{scope:?}");
        // Some 30 bytes of arguments and as many around them, at least.
        let each = info.bytes / info.events.max(1);
        assert!(all.is_empty() || (40..2_000).contains(&each), "{info:?}");
        let (shown, _) = chain.read(query);
        let position = |position: Option<Position>| position.map(|position| position.sequence);
        let ends = [shown.first(), shown.last()].map(|shown| shown.map(|(sequence, _)| *sequence));
        assert_eq!(
            [position(info.span.oldest), position(info.span.newest)],
            ends
        );
    });
}

pub(crate) fn the_event_before_any_sequence_is_found(open: Open<'_>) {
    chains(open, |chain, query, all| {
        let store = &chain.desk.store;
        let previous = |sequence| store.previous(&query.scope, sequence, &chain.pending());
        for number in 0..=301 {
            let sequence = chain.desk.sequence(number);
            assert_eq!(previous(sequence).unwrap(), before(all, sequence));
        }
        assert_eq!(previous(Sequence::MAX).unwrap(), all.last().copied());
        assert_eq!(previous(Sequence::ZERO).unwrap(), None);
    });
}
