//! What two routers sent, held against each other: the same events, in the same order of each
//! topic, told to the same. Pure: knows no connection and no clock but the one it is told.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytestring::ByteString;
use rewamp_wamp::message::Event;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::value::Value;

/// Events of one topic that wait for their counterpart, for each router; beyond that the oldest
/// counts as missing on the other.
const MOST_WAITING: usize = 65_536;

/// Which router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The one that is there.
    Old,
    /// The one that is to take its place.
    New,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    /// Only the old router sent it.
    Missing(Seen),
    /// Only the new router sent it.
    Extra(Seen),
    /// Others of its topic came before it on one of them, and after it on the other.
    Reordered(Seen),
    /// One of them told who published it, the other did not.
    Disclosed(Seen),
}

/// An event as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its topic.
    pub(super) topic: ByteString,
    /// Its publication at the router that sent it.
    pub(super) publication: u64,
    /// Its arguments, whatever they were written in.
    content: u64,
    /// Whether its publisher was told.
    disclosed: bool,
}

impl Seen {
    /// An event of a subscription to `topic`, which may be a pattern.
    pub(super) fn of(event: &Event, topic: &ByteString) -> Self {
        let details = &event.details;
        Self {
            topic: details.topic.as_ref().unwrap_or(topic).clone(),
            publication: event.publication.get(),
            content: content(&event.payload),
            disclosed: details.publisher.is_some() || details.publisher_authid.is_some(),
        }
    }
}

/// Events of one topic that only one router has sent so far.
#[derive(Debug, Default)]
struct Waiting {
    old: VecDeque<Seen>,
    new: VecDeque<Seen>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    topics: HashMap<ByteString, Waiting>,
    /// Events that both have sent.
    pub(super) same: u64,
}

impl Comparison {
    /// An event came.
    pub(super) fn add(&mut self, side: Side, seen: Seen) -> Vec<Difference> {
        let waiting = self.topics.entry(seen.topic.clone()).or_default();
        let (own, other) = match side {
            Side::Old => (&mut waiting.old, &mut waiting.new),
            Side::New => (&mut waiting.new, &mut waiting.old),
        };
        let Some(at) = other.iter().position(|there| there.content == seen.content) else {
            own.push_back(seen);
            let overdue = (own.len() > MOST_WAITING)
                .then(|| own.pop_front())
                .flatten();
            return overdue.into_iter().map(|seen| alone(side, seen)).collect();
        };
        let Some(there) = other.remove(at) else {
            return Vec::new();
        };
        if own.is_empty() && other.is_empty() {
            self.topics.remove(&seen.topic);
        }
        self.same += 1;
        let mut differences = Vec::new();
        if at > 0 {
            differences.push(Difference::Reordered(seen.clone()));
        }
        if there.disclosed != seen.disclosed {
            differences.push(Difference::Disclosed(seen));
        }
        differences
    }

    /// Whether every event has its counterpart.
    pub(super) fn is_even(&self) -> bool {
        let mut topics = self.topics.values();
        topics.all(|waiting| waiting.old.is_empty() && waiting.new.is_empty())
    }

    /// Whether an event is the counterpart of one that waits for it.
    pub(super) fn is_awaited(&self, side: Side, seen: &Seen) -> bool {
        let Some(waiting) = self.topics.get(&seen.topic) else {
            return false;
        };
        let other = match side {
            Side::Old => &waiting.new,
            Side::New => &waiting.old,
        };
        other.iter().any(|there| there.content == seen.content)
    }

    /// Nothing more comes: what has no counterpart has none.
    pub(super) fn end(&mut self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (_, waiting) in self.topics.drain() {
            differences.extend(waiting.old.into_iter().map(Difference::Missing));
            differences.extend(waiting.new.into_iter().map(Difference::Extra));
        }
        differences
    }
}

const fn alone(side: Side, seen: Seen) -> Difference {
    match side {
        Side::Old => Difference::Missing(seen),
        Side::New => Difference::Extra(seen),
    }
}

/// A hash of arguments, the same in whichever serializer and order of keys they are written.
/// Of those that cannot be read as trees, of their bytes.
fn content(payload: &Payload) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (payload.args_value(), payload.kwargs_value()) {
        (Ok(args), Ok(kwargs)) => {
            hash(&Value::List(args), &mut hasher);
            hash(&Value::Map(kwargs), &mut hasher);
        }
        _ => payload.tail().hash(&mut hasher),
    }
    hasher.finish()
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::List(items) => {
            ('l', items.len()).hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|one, other| one.0.cmp(other.0));
            ('m', sorted.len()).hash(hasher);
            for (key, value) in sorted {
                key.hash(hasher);
                hash(value, hasher);
            }
        }
        other => format!("{other:?}").hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rewamp_wamp::serializer::{Limits, Serializer};

    fn seen(topic: &str, publication: u64, json: &str) -> Seen {
        let limits = Limits::default();
        let payload =
            Payload::from_raw(Serializer::Json, Some(json.as_bytes()), None, &limits).unwrap();
        Seen {
            topic: topic.into(),
            publication,
            content: content(&payload),
            disclosed: false,
        }
    }

    fn numbers(differences: &[Difference]) -> Vec<(char, u64)> {
        let number = |difference: &Difference| match difference {
            Difference::Missing(seen) => ('m', seen.publication),
            Difference::Extra(seen) => ('e', seen.publication),
            Difference::Reordered(seen) => ('r', seen.publication),
            Difference::Disclosed(seen) => ('d', seen.publication),
        };
        let mut numbers: Vec<_> = differences.iter().map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn the_same_events_in_the_same_order_differ_in_nothing() {
        let mut comparison = Comparison::default();
        for number in 0..100 {
            let json = format!("[{}]", number / 2);
            assert_eq!(comparison.add(Side::Old, seen("a", number, &json)), []);
            // The new router is fifty events behind.
            if number >= 50 {
                let json = format!("[{}]", (number - 50) / 2);
                assert_eq!(
                    comparison.add(Side::New, seen("a", 1_000 + number, &json)),
                    []
                );
            }
        }
        for number in 50..100 {
            let json = format!("[{}]", number / 2);
            assert_eq!(
                comparison.add(Side::New, seen("a", 2_000 + number, &json)),
                []
            );
        }
        assert_eq!((comparison.same, comparison.end()), (100, vec![]));
    }

    #[test]
    fn what_is_missing_extra_out_of_order_or_told_to_others_is_named() {
        let mut comparison = Comparison::default();
        for (number, json) in [(1, "[1]"), (2, "[2]"), (3, "[3]"), (4, "[4]")] {
            assert_eq!(comparison.add(Side::Old, seen("a", number, json)), []);
        }
        // Topics have an order of their own each.
        assert_eq!(comparison.add(Side::Old, seen("b", 5, "[1]")), []);
        assert_eq!(comparison.add(Side::New, seen("b", 15, "[1]")), []);
        let reordered = comparison.add(Side::New, seen("a", 13, "[3]"));
        assert_eq!(numbers(&reordered), [('r', 13)]);
        assert_eq!(comparison.add(Side::New, seen("a", 11, "[1]")), []);
        assert_eq!(comparison.add(Side::New, seen("a", 19, "[9]")), []);
        let told = Seen {
            disclosed: true,
            ..seen("a", 12, "[2]")
        };
        assert_eq!(numbers(&comparison.add(Side::New, told)), [('d', 12)]);
        assert_eq!(numbers(&comparison.end()), [('e', 19), ('m', 4)]);
    }

    #[test]
    fn arguments_are_the_same_whatever_they_are_written_in() {
        let limits = Limits::default();
        let of = |json: &str| {
            let kwargs = Some(json.as_bytes());
            Payload::from_raw(Serializer::Json, Some(b"[1, \"x\"]"), kwargs, &limits).unwrap()
        };
        let one = of(r#"{"a": 1, "b": [2.5, null]}"#);
        let other = of(r#"{"b":[2.5,null],"a":1}"#);
        assert_eq!(content(&one), content(&other));
        for serializer in [Serializer::MsgPack, Serializer::Cbor] {
            let transcoded = one.transcode(serializer).unwrap();
            assert_eq!(content(&transcoded), content(&one), "{serializer:?}");
        }
        assert_ne!(content(&of(r#"{"a": 2}"#)), content(&of(r#"{"a": 1}"#)));
    }
}
