//! Staging: what is meant for a session that still gets older events from the history, and has to
//! wait for its place behind them. Part of an Outbox while its session catches up or joins the
//! live events, and of a replay while that is behind. Bounded; knows no history.

use std::collections::VecDeque;

use bytes::Bytes;
use rewamp_history::Sequence;
use rewamp_wamp::id::SubscriptionId;

/// Where frames of EVENTs stand in the realm's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The subscription that they are of.
    pub subscription: SubscriptionId,
    /// Whether the history of that subscription has them: then who comes later gets them from there.
    pub in_history: bool,
    /// With `in_history` the sequence of the first of them, else the newest sequence that the realm
    /// had given before it.
    pub sequence: Sequence,
}

impl Place {
    /// The newest event of the history that stands before them.
    #[must_use]
    pub fn behind(&self) -> Sequence {
        if self.in_history {
            self.sequence.previous()
        } else {
            self.sequence
        }
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Staging {
    entries: VecDeque<Entry>,
    bytes: usize,
    messages: usize,
}

#[derive(Debug)]
struct Entry {
    frames: Bytes,
    messages: u32,
    place: Place,
}

impl Staging {
    /// Bytes and messages that wait here.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        (self.bytes, self.messages)
    }

    /// Adds frames behind all others; false if there would be more than `bytes` or `messages`
    /// then. A frame that alone is longer has room where nothing else is.
    pub fn push(
        &mut self,
        frames: Bytes,
        messages: u32,
        place: Place,
        limit: (usize, usize),
    ) -> bool {
        let (bytes, count) = (self.bytes + frames.len(), self.messages + messages as usize);
        if self.messages > 0 && (bytes > limit.0 || count > limit.1) {
            return false;
        }
        (self.bytes, self.messages) = (bytes, count);
        self.entries.push_back(Entry {
            frames,
            messages,
            place,
        });
        true
    }

    /// The event of the history behind which the first of the waiting frames stand.
    #[must_use]
    pub fn first(&self) -> Option<Sequence> {
        self.entries.front().map(|entry| entry.place.behind())
    }

    /// Takes the frames out, in order, whose place is behind an event up to `passed`.
    pub fn take(&mut self, passed: Sequence) -> Option<(Bytes, u32)> {
        if self.first()? > passed {
            return None;
        }
        self.take_entry()
            .map(|(frames, messages, _)| (frames, messages))
    }

    /// Takes the first frames out, with their place.
    pub fn take_entry(&mut self) -> Option<(Bytes, u32, Place)> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.frames.len();
        self.messages -= entry.messages as usize;
        Some((entry.frames, entry.messages, entry.place))
    }

    /// Drops the frames that are not `wanted`.
    pub fn retain(&mut self, wanted: impl Fn(&Place) -> bool) {
        self.entries.retain(|entry| wanted(&entry.place));
        self.bytes = self.entries.iter().map(|entry| entry.frames.len()).sum();
        self.messages = self
            .entries
            .iter()
            .map(|entry| entry.messages as usize)
            .sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, in_history: bool) -> Place {
        Place {
            subscription: SubscriptionId::FIRST,
            in_history,
            sequence: Sequence::new(sequence),
        }
    }

    #[test]
    fn frames_come_out_once_the_events_before_them_have_passed() {
        let mut staging = Staging::default();
        let limit = (100, 10);
        assert!(staging.push(Bytes::from_static(b"a"), 1, place(5, false), limit));
        assert!(staging.push(Bytes::from_static(b"b"), 1, place(9, true), limit));
        assert_eq!(staging.first(), Some(Sequence::new(5)));
        assert_eq!(staging.take(Sequence::new(4)), None);
        assert_eq!(
            staging.take(Sequence::new(5)),
            Some((Bytes::from_static(b"a"), 1))
        );
        assert_eq!(staging.take(Sequence::new(7)), None);
        assert!(staging.take(Sequence::new(8)).is_some());
        assert_eq!(staging.depth(), (0, 0));
    }

    #[test]
    fn it_is_bounded_in_bytes_and_in_messages() {
        let mut staging = Staging::default();
        let frames = Bytes::from_static(b"0123456789");
        let mut push = |messages| staging.push(frames.clone(), messages, place(1, false), (25, 5));
        assert!(push(4));
        assert!(!push(2));
        assert!(push(1));
        assert!(!push(0));
        assert_eq!(staging.depth(), (20, 5));
    }

    #[test]
    fn what_is_not_wanted_any_more_gives_its_room_back() {
        let mut staging = Staging::default();
        let limit = (100, 100);
        for n in 0..6 {
            assert!(staging.push(Bytes::from_static(b"abc"), 2, place(n, n % 2 == 0), limit));
        }
        staging.retain(|place| !place.in_history);
        assert_eq!(staging.depth(), (9, 6));
        assert_eq!(staging.first(), Some(Sequence::new(1)));
    }
}
