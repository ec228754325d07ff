//! Cursors: where a walk through a history stands, and what it asks, as one text that a client
//! hands back for the next page. Nothing of it is kept here, so it outlives the node. Whoever makes
//! one up asks no more than a session may ask anyway: who sees what is decided for each page anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytestring::ByteString;
use rewamp_history::{Bounds, Incarnation, Resume, Sequence, Timestamp};
use rewamp_wamp::id::{PublicationId, SubscriptionId};

/// What a walk asks: the keywords that its first call came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The subscription whose history it is.
    pub subscription: SubscriptionId,
    /// `topic`.
    pub topic: Option<ByteString>,
    /// `from_time` and its kin.
    pub time: Bounds<Timestamp>,
    /// `from_publication` and its kin: what they meant is in [`Resume`].
    pub publication: Bounds<PublicationId>,
    /// `from_sequence` and its kin: likewise.
    pub sequence: Bounds<Sequence>,
    /// `last_per_topic`.
    pub last_per_topic: Option<u64>,
    /// `reverse`.
    pub reverse: bool,
    /// `limit`: events of a page.
    pub limit: Option<u64>,
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the store that it is about.
    pub incarnation: Incarnation,
    /// What it asks.
    pub walk: Walk,
    /// Where it goes on.
    pub resume: Resume,
}

/// The layout, big-endian: `u8` version, `u32` CRC-32 of version and all that follows, 16 bytes
/// incarnation, `u64` subscription, `u64` next, first and last sequence, `u32` of what is present,
/// a `u64` for each number that is, and the topic up to the end.
const VERSION: u8 = 1;
/// Where what the checksum covers, besides the version, begins.
const BODY: usize = 5;

/// Bits of what is present; the twelve lowest are the bounds.
const LAST_PER_TOPIC: u32 = 1 << 12;
const LIMIT: u32 = 1 << 13;
const TOPIC: u32 = 1 << 14;
const REVERSE: u32 = 1 << 15;
const KNOWN: u32 = (1 << 16) - 1;

impl Cursor {
    /// The text.
    pub fn encode(&self) -> String {
        let Self {
            incarnation,
            walk,
            resume,
        } = self;
        let mut body = incarnation.bytes().to_vec();
        let mut put = |number: u64| body.extend_from_slice(&number.to_be_bytes());
        put(walk.subscription.get());
        [resume.next, resume.first, resume.last]
            .iter()
            .for_each(|sequence| put(sequence.get()));
        let numbers = walk.numbers();
        let mut present = 0;
        for (number, bit) in numbers.iter().zip(0..) {
            present |= u32::from(number.is_some()) << bit;
        }
        present |= if walk.topic.is_some() { TOPIC } else { 0 };
        present |= if walk.reverse { REVERSE } else { 0 };
        body.extend_from_slice(&present.to_be_bytes());
        for number in numbers.iter().flatten() {
            body.extend_from_slice(&number.to_be_bytes());
        }
        body.extend_from_slice(walk.topic.as_deref().unwrap_or_default().as_bytes());
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checksum(&body).to_be_bytes());
        bytes.extend_from_slice(&body);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a text says; `None` if it is not one that [`Self::encode`] made.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, body) = bytes.split_at_checked(BODY)?;
        let (version, crc) = head.split_first()?;
        if *version != VERSION || crc != checksum(body).to_be_bytes() {
            return None;
        }
        let (incarnation, mut rest) = body.split_first_chunk::<16>()?;
        let subscription = SubscriptionId::new(take(&mut rest)?)?;
        let mut sequence = || take(&mut rest).map(Sequence::new);
        let resume = Resume {
            next: sequence()?,
            first: sequence()?,
            last: sequence()?,
        };
        let (present, mut rest) = rest.split_first_chunk::<4>()?;
        let present = u32::from_be_bytes(*present);
        if present & !KNOWN != 0 {
            return None;
        }
        let mut number = |bit: u32| match present & bit {
            0 => Some(None),
            _ => take(&mut rest).map(Some),
        };
        let mut four = |begin: u32| -> Option<[Option<u64>; 4]> {
            let [a, b, c, d] = [0, 1, 2, 3].map(|side| number(1 << (begin + side)));
            Some([a?, b?, c?, d?])
        };
        let (time, publication, sequence) = (four(0)?, four(4)?, four(8)?);
        let (last_per_topic, limit) = (number(LAST_PER_TOPIC)?, number(LIMIT)?);
        let topic = match (present & TOPIC, rest) {
            (0, []) => None,
            (0, _) => return None,
            (_, name) => Some(ByteString::from(std::str::from_utf8(name).ok()?)),
        };
        let ids = publication.map(|number| number.map(PublicationId::new));
        if ids.contains(&Some(None)) {
            return None;
        }
        let [from, after, before, until] = ids.map(Option::flatten);
        let publication = Bounds {
            from,
            after,
            before,
            until,
        };
        Some(Self {
            incarnation: Incarnation::from_bytes(*incarnation),
            walk: Walk {
                subscription,
                topic,
                time: bounds(time, Timestamp::from_nanos),
                publication,
                sequence: bounds(sequence, Sequence::new),
                last_per_topic,
                reverse: present & REVERSE != 0,
                limit,
            },
            resume,
        })
    }
}

impl Walk {
    /// Bytes of a cursor's text, at most.
    pub fn cursor_bytes(&self) -> usize {
        let numbers = self.numbers().len() + 4;
        let bytes = BODY + 16 + numbers * 8 + 4 + self.topic.as_ref().map_or(0, |name| name.len());
        bytes.div_ceil(3) * 4
    }

    /// Its numbers in the order of their bits.
    fn numbers(&self) -> [Option<u64>; 14] {
        let [t0, t1, t2, t3] = sides(&self.time).map(|time| time.map(Timestamp::nanos));
        let [p0, p1, p2, p3] = sides(&self.publication).map(|id| id.map(PublicationId::get));
        let [s0, s1, s2, s3] = sides(&self.sequence).map(|number| number.map(Sequence::get));
        let (last, limit) = (self.last_per_topic, self.limit);
        [t0, t1, t2, t3, p0, p1, p2, p3, s0, s1, s2, s3, last, limit]
    }
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[VERSION]);
    crc.update(body);
    crc.finalize()
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*number))
}

fn sides<T: Copy>(bounds: &Bounds<T>) -> [Option<T>; 4] {
    [bounds.from, bounds.after, bounds.before, bounds.until]
}

fn bounds<T>(sides: [Option<u64>; 4], read: impl Fn(u64) -> T) -> Bounds<T> {
    let [from, after, before, until] = sides.map(|side| side.map(&read));
    Bounds {
        from,
        after,
        before,
        until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn four<T: std::fmt::Debug>(
        value: impl Strategy<Value = T> + Clone,
    ) -> impl Strategy<Value = Bounds<T>> {
        let side = || prop::option::of(value.clone());
        (side(), side(), side(), side()).prop_map(|(from, after, before, until)| Bounds {
            from,
            after,
            before,
            until,
        })
    }

    fn cursors() -> impl Strategy<Value = Cursor> {
        let id = (1..=1_u64 << 53).prop_map(|number| PublicationId::new(number).unwrap());
        let sequence = any::<u64>().prop_map(Sequence::new);
        let walk = (
            1..=1_u64 << 53,
            prop::option::of("[a-zü.]{0,300}"),
            four(any::<u64>().prop_map(Timestamp::from_nanos)),
            four(id),
            four(sequence.clone()),
            any::<(Option<u64>, bool, Option<u64>)>(),
        );
        let walk = walk.prop_map(
            |(
                subscription,
                topic,
                time,
                publication,
                sequence,
                (last_per_topic, reverse, limit),
            )| {
                Walk {
                    subscription: SubscriptionId::new(subscription).unwrap(),
                    topic: topic.map(ByteString::from),
                    time,
                    publication,
                    sequence,
                    last_per_topic,
                    reverse,
                    limit,
                }
            },
        );
        let resume = [sequence.clone(), sequence.clone(), sequence];
        (any::<[u8; 16]>(), walk, resume).prop_map(|(incarnation, walk, [next, first, last])| {
            Cursor {
                incarnation: Incarnation::from_bytes(incarnation),
                walk,
                resume: Resume { next, first, last },
            }
        })
    }

    proptest! {
        #[test]
        fn a_cursor_says_what_was_put_into_it(cursor in cursors()) {
            let text = cursor.encode();
            prop_assert!(text.len() <= cursor.walk.cursor_bytes(), "{}", text.len());
            prop_assert_eq!(Cursor::decode(&text), Some(cursor));
        }

        #[test]
        fn a_cursor_that_was_tampered_with_says_nothing(
            cursor in cursors(),
            at in any::<prop::sample::Index>(),
            with in "[A-Za-z0-9_-]",
        ) {
            let text = cursor.encode();
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            if changed != text {
                prop_assert_eq!(Cursor::decode(&changed), None);
            }
            prop_assert_eq!(Cursor::decode(&text[..at]), None);
            prop_assert_eq!(Cursor::decode(&format!("{text}{with}")), None);
        }

        /// Whoever knows the checksum can write anything.
        #[test]
        fn bytes_under_a_right_checksum_panic_nobody(
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = vec![VERSION];
            bytes.extend_from_slice(&checksum(&body).to_be_bytes());
            bytes.extend_from_slice(&body);
            let text = URL_SAFE_NO_PAD.encode(bytes);
            if let Some(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }
    }

    #[test]
    fn what_is_no_cursor_says_nothing() {
        for text in ["", "true", "AAAA", "not base64!", "ü", "AQAAAAA"] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }
}
