//! What two routers sent, held against each other: the same events, in the same order of each
//! topic, told to the same. Pure: knows no connection and no clock but the one it is told.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytestring::ByteString;
use rewamp_wamp::message::Event;
use rewamp_wamp::payload::Payload;
use rewamp_wamp::value::Value;

/// Events that wait for their counterpart, of all topics and both routers; beyond that the oldest
/// counts as missing on the other. So however long is listened, memory holds no more than these,
/// some 100 bytes each.
const MOST_WAITING: usize = 131_072;

/// Events of the beginning that are remembered.
const MOST_EARLY: usize = 65_536;

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
    /// Others of its topic came before it on one of them, and after it on the other. (Of two that
    /// changed places, the one that came later than it should.)
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
    /// Its place among all that waited.
    arrival: u64,
    /// One that came after it has met its counterpart before it.
    overtaken: bool,
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
            arrival: 0,
            overtaken: false,
        }
    }
}

/// Events of one topic that only one router has sent so far.
#[derive(Debug, Default)]
struct Waiting {
    old: VecDeque<Seen>,
    new: VecDeque<Seen>,
}

impl Waiting {
    fn of(&mut self, side: Side) -> &mut VecDeque<Seen> {
        match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        }
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    topics: HashMap<ByteString, Waiting>,
    /// Where those wait that do, oldest first; some have found their counterpart meanwhile.
    arrivals: VecDeque<(u64, Side, ByteString)>,
    /// How many wait.
    waiting: usize,
    /// Events that have waited, ever.
    arrived: u64,
    /// Events that came before both routers were listened to for a while: the other may have had
    /// them before that, or may send them yet.
    early: VecDeque<(Side, ByteString, u64)>,
    /// Events that both have sent.
    pub(super) same: u64,
}

impl Comparison {
    /// An event came while it was not sure that both routers are heard: it is no difference if
    /// the other never sends it.
    pub(super) fn add_early(&mut self, side: Side, seen: Seen) {
        if self.was_early(side, &seen) {
            return;
        }
        self.early.push_back((side, seen.topic, seen.content));
        if self.early.len() > MOST_EARLY {
            self.early.pop_front();
        }
    }

    /// Whether it is the counterpart of one that came early; it is then done with.
    fn was_early(&mut self, side: Side, seen: &Seen) -> bool {
        let mut early = self.early.iter();
        let at = early.position(|(of, topic, content)| {
            *of != side && *topic == seen.topic && *content == seen.content
        });
        at.is_some_and(|at| self.early.remove(at).is_some())
    }

    /// An event came.
    pub(super) fn add(&mut self, side: Side, seen: Seen) -> Vec<Difference> {
        let waiting = self.topics.entry(seen.topic.clone()).or_default();
        let (own, other) = match side {
            Side::Old => (&mut waiting.old, &mut waiting.new),
            Side::New => (&mut waiting.new, &mut waiting.old),
        };
        let found = other.iter().position(|there| there.content == seen.content);
        let there = found.and_then(|at| other.remove(at));
        let Some(there) = there else {
            if self.was_early(side, &seen) {
                return Vec::new();
            }
            return self.wait(side, seen);
        };
        let before = other.iter_mut().take(found.unwrap_or_default());
        before.for_each(|overtaken| overtaken.overtaken = true);
        if own.is_empty() && other.is_empty() {
            self.topics.remove(&seen.topic);
        }
        self.waiting -= 1;
        self.same += 1;
        let mut differences = Vec::new();
        if there.overtaken {
            differences.push(Difference::Reordered(seen.clone()));
        }
        if there.disclosed != seen.disclosed {
            differences.push(Difference::Disclosed(seen));
        }
        differences
    }

    /// Lets an event wait for its counterpart; if too many do, the oldest has none.
    fn wait(&mut self, side: Side, mut seen: Seen) -> Vec<Difference> {
        seen.arrival = self.arrived;
        let arrival = (seen.arrival, side, seen.topic.clone());
        self.arrived += 1;
        self.waiting += 1;
        let waiting = self.topics.entry(seen.topic.clone()).or_default();
        waiting.of(side).push_back(seen);
        self.arrivals.push_back(arrival);
        if self.arrivals.len() > 2 * MOST_WAITING {
            let topics = &mut self.topics;
            self.arrivals.retain(|(arrival, side, topic)| {
                let waiting = topics.get_mut(topic).map(|waiting| waiting.of(*side));
                waiting.is_some_and(|of| of.binary_search_by_key(arrival, |it| it.arrival).is_ok())
            });
        }
        if self.waiting <= MOST_WAITING {
            return Vec::new();
        }
        self.overdue().into_iter().collect()
    }

    fn overdue(&mut self) -> Option<Difference> {
        while let Some((arrival, side, topic)) = self.arrivals.pop_front() {
            let Some(waiting) = self.topics.get_mut(&topic) else {
                continue;
            };
            let of = waiting.of(side);
            if of.front().is_none_or(|oldest| oldest.arrival != arrival) {
                continue;
            }
            let oldest = of.pop_front()?;
            if waiting.old.is_empty() && waiting.new.is_empty() {
                self.topics.remove(&topic);
            }
            self.waiting -= 1;
            return Some(alone(side, oldest));
        }
        None
    }

    /// Whether every event has its counterpart.
    pub(super) fn is_even(&self) -> bool {
        self.waiting == 0
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
        self.waiting = 0;
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
            arrival: 0,
            overtaken: false,
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
        assert_eq!(comparison.add(Side::New, seen("a", 13, "[3]")), []);
        let reordered = comparison.add(Side::New, seen("a", 11, "[1]"));
        assert_eq!(numbers(&reordered), [('r', 11)]);
        assert_eq!(comparison.add(Side::New, seen("a", 19, "[9]")), []);
        let told = Seen {
            disclosed: true,
            ..seen("a", 12, "[2]")
        };
        let both = comparison.add(Side::New, told);
        assert_eq!(numbers(&both), [('d', 12), ('r', 12)]);
        // That another one is missing before it changes no order.
        assert_eq!(comparison.add(Side::Old, seen("a", 6, "[6]")), []);
        assert_eq!(comparison.add(Side::New, seen("a", 16, "[6]")), []);
        assert_eq!(numbers(&comparison.end()), [('e', 19), ('m', 4)]);
    }

    #[test]
    fn memory_is_bounded_however_long_one_router_sends_what_the_other_does_not() {
        let mut comparison = Comparison::default();
        let (mut missing, mut same) = (0, 0);
        let events = 3 * MOST_WAITING as u64;
        for number in 0..events {
            // Every fourth has its counterpart; topics come and go.
            let topic = format!("com.{}", number % 1_000);
            let of = |disclosed| Seen {
                topic: topic.as_str().into(),
                publication: number,
                content: number,
                disclosed,
                arrival: 0,
                overtaken: false,
            };
            missing += comparison.add(Side::Old, of(false)).len() as u64;
            if number % 4 == 0 {
                let _ = comparison.add(Side::New, of(false));
                same += 1;
            }
            assert!(comparison.waiting <= MOST_WAITING);
            assert!(comparison.arrivals.len() <= 2 * MOST_WAITING);
        }
        missing += comparison.end().len() as u64;
        assert_eq!(comparison.same, same);
        // Of those that have a counterpart each came behind others of its topic that have none.
        assert_eq!(missing, events - same);
    }

    #[test]
    fn what_waited_and_met_its_counterpart_leaves_nothing_behind() {
        let mut comparison = Comparison::default();
        let stays = seen("stays", 1, "[0]");
        assert_eq!(comparison.add(Side::Old, stays), []);
        for number in 0..5 * MOST_WAITING as u64 {
            for side in [Side::Old, Side::New] {
                let event = Seen {
                    content: number,
                    ..seen("a", number, "[1]")
                };
                assert_eq!(comparison.add(side, event), []);
            }
        }
        assert_eq!((comparison.waiting, comparison.topics.len()), (1, 1));
        assert!(comparison.arrivals.len() <= 2 * MOST_WAITING);
        assert_eq!(numbers(&comparison.end()), [('m', 1)]);
    }

    #[test]
    fn what_came_early_may_have_a_counterpart_or_not() {
        let mut comparison = Comparison::default();
        comparison.add_early(Side::Old, seen("a", 1, "[1]"));
        comparison.add_early(Side::Old, seen("a", 2, "[2]"));
        comparison.add_early(Side::New, seen("a", 11, "[1]"));
        assert_eq!(comparison.early.len(), 1);
        assert_eq!(comparison.add(Side::New, seen("a", 12, "[2]")), []);
        assert!(comparison.is_even());
        assert_eq!(comparison.add(Side::New, seen("a", 13, "[2]")), []);
        assert_eq!(numbers(&comparison.end()), [('e', 13)]);
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
