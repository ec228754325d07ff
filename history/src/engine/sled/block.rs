//! A block: whole events, packed, with their topics and publishers named once, and everything
//! needed to tell that it is whole. The same in the active and in sealed segments; the only
//! place where events are. See `FORMAT.md`, "Block".

use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::serializer::Serializer;

use crate::engine::fields::{length_u32, put_u16, put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::event::{EventRef, IdentityRef, PayloadRef, Sequence, Timestamp};
use crate::receivers::ReceiversRef;

/// Bytes before the offset tables.
pub(super) const HEADER: usize = 56;
/// Bytes of a record before its body.
const RECORD: usize = 28;
/// The version of this layout.
const VERSION: u8 = 1;
/// Where a publisher's authid would have its length: it is not disclosed.
const UNDISCLOSED: u32 = u32::MAX;
/// Events in a block at most, far above what fits in the usual size.
const MAX_EVENTS: usize = 4_096;

const ARGS: u8 = 0b0000_0100;
const KWARGS: u8 = 0b0000_1000;
const EXCLUDE_ME: u8 = 0b0001_0000;
const RECEIVERS: u8 = 0b0010_0000;
const DETAILS: u8 = 0b0100_0000;
const SERIALIZER: u8 = 0b0000_0011;

/// Where a block stands among the events of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Events of the whole transaction.
    pub(super) commit_events: u32,
    /// Events of the transaction in earlier blocks.
    pub(super) commit_start: u32,
    /// The event stored before the block's first; [`Sequence::ZERO`] for none.
    pub(super) previous: Sequence,
}

/// Packs events into a block. Reused from block to block, so that nothing is allocated for an
/// event once its buffers have grown.
#[derive(Debug, Default)]
pub(super) struct Packer {
    records: Vec<u8>,
    record_offsets: Vec<u32>,
    topics: Names,
    publishers: Names,
    first: Sequence,
    first_time: Timestamp,
    block: Vec<u8>,
    entry: Vec<u8>,
}

/// Distinct entries of a block, in order of appearance.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    last: u16,
}

impl Names {
    /// The index of an entry, which is added if it is not there.
    fn index(&mut self, entry: &[u8]) -> u16 {
        if self.get(self.last as usize) == Some(entry) {
            return self.last;
        }
        let known = (0..self.offsets.len()).find(|index| self.get(*index) == Some(entry));
        let index = known.unwrap_or_else(|| {
            self.offsets.push(length_u32(self.bytes.len()));
            self.bytes.extend_from_slice(entry);
            self.offsets.len() - 1
        });
        self.last = index as u16;
        self.last
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let begin = *self.offsets.get(index)? as usize;
        let end = self
            .offsets
            .get(index + 1)
            .map_or(self.bytes.len(), |end| *end as usize);
        self.bytes.get(begin..end)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.offsets.clear();
        self.last = 0;
    }
}

impl Packer {
    /// Events packed so far.
    pub(super) fn events(&self) -> usize {
        self.record_offsets.len()
    }

    /// Whether the block would stay within `limit` bytes with this event too, and within what
    /// the fields of a record can say. An empty block takes any event.
    pub(super) fn has_room(&self, event: &EventRef<'_>, limit: usize) -> bool {
        if self.events() == 0 {
            return true;
        }
        let near = event.sequence.get() - self.first.get() <= u64::from(u16::MAX)
            && event.time.nanos() - self.first_time.nanos() <= u64::from(u32::MAX);
        let tables = self.record_offsets.len() + self.topics.offsets.len();
        let packed = HEADER
            + 4 * (tables + self.publishers.offsets.len())
            + self.records.len()
            + self.topics.bytes.len()
            + self.publishers.bytes.len();
        near && self.events() < MAX_EVENTS && packed + size(event) <= limit
    }

    /// Adds an event, which must come after the others.
    pub(super) fn push(&mut self, event: &EventRef<'_>) {
        if self.events() == 0 {
            self.first = event.sequence;
            self.first_time = event.time;
        }
        let topic = self.topics.index(event.topic.as_bytes());
        self.entry.clear();
        put_u64(&mut self.entry, event.publisher.get());
        match event.disclosed {
            None => put_u32(&mut self.entry, UNDISCLOSED),
            Some(IdentityRef { authid, authrole }) => {
                put_u32(&mut self.entry, length_u32(authid.len()));
                self.entry.extend_from_slice(authid.as_bytes());
                self.entry.extend_from_slice(authrole.as_bytes());
            }
        }
        let publisher = self.publishers.index(&self.entry);
        self.record_offsets.push(length_u32(self.records.len()));
        put_record(
            &mut self.records,
            event,
            self.first,
            self.first_time,
            topic,
            publisher,
        );
    }

    /// The finished block; the packer is empty again.
    pub(super) fn finish(&mut self, mark: [u8; 8], place: &Place) -> &[u8] {
        let Self {
            block,
            records,
            record_offsets,
            topics,
            publishers,
            ..
        } = self;
        block.clear();
        block.extend_from_slice(&mark);
        block.extend_from_slice(&[0; 8]); // length and checksum, once they are known
        block.extend_from_slice(&[VERSION, 0]);
        put_u16(block, record_offsets.len() as u16);
        put_u16(block, topics.offsets.len() as u16);
        put_u16(block, publishers.offsets.len() as u16);
        put_u32(block, place.commit_events);
        put_u32(block, place.commit_start);
        put_u64(block, self.first.get());
        put_u64(block, self.first_time.nanos());
        put_u64(block, place.previous.get());
        let tables = record_offsets.len() + topics.offsets.len() + publishers.offsets.len();
        let mut begin = length_u32(HEADER + 4 * tables);
        for (offsets, bytes) in [
            (&*record_offsets, &*records),
            (&topics.offsets, &topics.bytes),
            (&publishers.offsets, &publishers.bytes),
        ] {
            offsets
                .iter()
                .for_each(|offset| put_u32(block, begin + offset));
            begin += length_u32(bytes.len());
        }
        block.extend_from_slice(records);
        block.extend_from_slice(&topics.bytes);
        block.extend_from_slice(&publishers.bytes);
        let length = length_u32(block.len());
        let crc = crc32fast::hash(block.get(16..).unwrap_or_default());
        if let Some((lengths, crcs)) = block.get_mut(8..16).and_then(|f| f.split_at_mut_checked(4))
        {
            lengths.copy_from_slice(&length.to_le_bytes());
            crcs.copy_from_slice(&crc.to_le_bytes());
        }
        self.clear();
        &self.block
    }

    /// Forgets the events that were pushed since the last block.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.record_offsets.clear();
        self.topics.clear();
        self.publishers.clear();
    }
}

/// Bytes that an event adds to a block at most.
fn size(event: &EventRef<'_>) -> usize {
    let identity = event
        .disclosed
        .map_or(0, |id| id.authid.len() + id.authrole.len());
    let extras = event
        .receivers
        .map_or(0, |receivers| 4 + receivers.bytes().len())
        + event.details.map_or(0, |details| 4 + details.len());
    4 + RECORD + event.payload.tail.len() + 1 + extras + 4 + event.topic.len() + 16 + identity
}

fn put_record(
    bytes: &mut Vec<u8>,
    event: &EventRef<'_>,
    first: Sequence,
    first_time: Timestamp,
    topic: u16,
    publisher: u16,
) {
    let PayloadRef {
        serializer,
        tail,
        args,
        kwargs,
    } = event.payload;
    let args_end = args.map_or(0, <[u8]>::len);
    let gap = kwargs.map_or(0, |kwargs| {
        tail.len().saturating_sub(args_end + kwargs.len())
    });
    let narrow = u8::try_from(gap).ok();
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = serializer_bits(serializer)
        | flag(args.is_some(), ARGS)
        | flag(kwargs.is_some(), KWARGS)
        | flag(event.exclude_me, EXCLUDE_ME)
        | flag(event.receivers.is_some(), RECEIVERS)
        | flag(event.details.is_some(), DETAILS);
    put_u16(bytes, (event.sequence.get() - first.get()) as u16);
    put_u16(bytes, topic);
    put_u16(bytes, publisher);
    bytes.push(flags);
    bytes.push(narrow.unwrap_or(1));
    put_u32(bytes, (event.time.nanos() - first_time.nanos()) as u32);
    put_u32(bytes, length_u32(args_end));
    put_u64(bytes, event.publication.get());
    let spared = if narrow.is_some() { 0 } else { gap - 1 };
    put_u32(bytes, length_u32(tail.len() - spared));
    for extra in [event.receivers.map(ReceiversRef::bytes), event.details]
        .into_iter()
        .flatten()
    {
        put_u32(bytes, length_u32(extra.len()));
    }
    if narrow.is_some() {
        bytes.extend_from_slice(tail);
    } else {
        // Only JSON has something between its elements, and more than 255 bytes of it is
        // white space around a comma: the comma alone says as much.
        bytes.extend_from_slice(args.unwrap_or_default());
        bytes.push(b',');
        bytes.extend_from_slice(kwargs.unwrap_or_default());
    }
    for extra in [event.receivers.map(ReceiversRef::bytes), event.details]
        .into_iter()
        .flatten()
    {
        bytes.extend_from_slice(extra);
    }
}

fn serializer_bits(serializer: Serializer) -> u8 {
    match serializer {
        Serializer::Json => 0,
        Serializer::MsgPack => 1,
        Serializer::Cbor => 2,
    }
}

fn serializer_of(bits: u8) -> Option<Serializer> {
    Serializer::ALL
        .into_iter()
        .find(|serializer| serializer_bits(*serializer) == bits)
}

/// What is known of a block from its first [`HEADER`] bytes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) length: u32,
    pub(super) events: u16,
    pub(super) first: Sequence,
    pub(super) first_time: Timestamp,
    pub(super) place: Place,
}

impl BlockHead {
    /// Reads it where `mark` stands; nothing says yet that the block is whole.
    pub(super) fn peek(bytes: &[u8], mark: [u8; 8]) -> Option<Self> {
        if bytes.get(..8)? != mark || *bytes.get(16)? != VERSION {
            return None;
        }
        Some(Self {
            length: u32_at(bytes, 8)?,
            events: u16_at(bytes, 18)?,
            first: Sequence::new(u64_at(bytes, 32)?),
            first_time: Timestamp::from_nanos(u64_at(bytes, 40)?),
            place: Place {
                commit_events: u32_at(bytes, 24)?,
                commit_start: u32_at(bytes, 28)?,
                previous: Sequence::new(u64_at(bytes, 48)?),
            },
        })
    }
}

/// A whole block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    events: u16,
    topics: u16,
    publishers: u16,
}

impl<'a> Block<'a> {
    /// The block at the beginning of `bytes`, if length and checksum are right.
    pub(super) fn check(bytes: &'a [u8], mark: [u8; 8]) -> Option<Self> {
        let head = BlockHead::peek(bytes, mark)?;
        let bytes = bytes.get(..head.length as usize)?;
        let crc = crc32fast::hash(bytes.get(16..)?);
        if u32_at(bytes, 12)? != crc || head.events == 0 {
            return None;
        }
        Self::trust(bytes)
    }

    /// The block that `bytes` are, which were checked before.
    pub(super) fn trust(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            bytes,
            events: u16_at(bytes, 18)?,
            topics: u16_at(bytes, 20)?,
            publishers: u16_at(bytes, 22)?,
        })
    }

    /// How many events there are.
    pub(super) fn events(&self) -> u16 {
        self.events
    }

    /// The event at `index`, from 0.
    pub(super) fn event(&self, index: u16) -> Option<EventRef<'a>> {
        if index >= self.events {
            return None;
        }
        let record = self.bytes.get(self.offset(index as usize)?..)?;
        let flags = *record.get(6)?;
        let gap = usize::from(*record.get(7)?);
        let (args_end, tail_length) = (u32_at(record, 12)? as usize, u32_at(record, 24)? as usize);
        let mut lengths = RECORD;
        let mut extra = |flag| {
            if flags & flag == 0 {
                return Some(None);
            }
            let length = u32_at(record, lengths)? as usize;
            lengths += 4;
            Some(Some(length))
        };
        let (receivers, details) = (extra(RECEIVERS)?, extra(DETAILS)?);
        let (tail, rest) = record.get(lengths..)?.split_at_checked(tail_length)?;
        let (receivers, rest) = match receivers {
            Some(length) => {
                let (bytes, rest) = rest.split_at_checked(length)?;
                (Some(ReceiversRef::from_bytes(bytes)), rest)
            }
            None => (None, rest),
        };
        let details = match details {
            Some(length) => Some(rest.get(..length)?),
            None => None,
        };
        let args = (flags & ARGS != 0).then(|| tail.get(..args_end));
        let kwargs = (flags & KWARGS != 0).then(|| tail.get(args_end + gap..));
        let (publisher, disclosed) = self.publisher(u16_at(record, 4)?)?;
        let first_time = u64_at(self.bytes, 40)?;
        Some(EventRef {
            sequence: Sequence::new(
                u64_at(self.bytes, 32)?.checked_add(u64::from(u16_at(record, 0)?))?,
            ),
            time: Timestamp::from_nanos(first_time.checked_add(u64::from(u32_at(record, 8)?))?),
            publication: PublicationId::new(u64_at(record, 16)?)?,
            topic: self.topic(u16_at(record, 2)?)?,
            publisher,
            exclude_me: flags & EXCLUDE_ME != 0,
            disclosed,
            receivers,
            details,
            payload: PayloadRef {
                serializer: serializer_of(flags & SERIALIZER)?,
                tail,
                args: present(args)?,
                kwargs: present(kwargs)?,
            },
            previous: None,
        })
    }

    fn topic(&self, index: u16) -> Option<&'a str> {
        let at = usize::from(self.events) + usize::from(index);
        let begin = self.offset(at)?;
        // The first publisher comes right after the last topic: every block has one.
        std::str::from_utf8(self.bytes.get(begin..self.offset(at + 1)?)?).ok()
    }

    fn publisher(&self, index: u16) -> Option<(SessionId, Option<IdentityRef<'a>>)> {
        let before = usize::from(self.events) + usize::from(self.topics);
        let at = before + usize::from(index);
        let is_last = index >= self.publishers.saturating_sub(1);
        let end = if is_last {
            self.bytes.len()
        } else {
            self.offset(at + 1)?
        };
        let entry = self.bytes.get(self.offset(at)?..end)?;
        let session = SessionId::new(u64_at(entry, 0)?)?;
        let disclosed = match u32_at(entry, 8)? {
            UNDISCLOSED => None,
            length => {
                let names = std::str::from_utf8(entry.get(12..)?).ok()?;
                let (authid, authrole) = names.split_at_checked(length as usize)?;
                Some(IdentityRef { authid, authrole })
            }
        };
        Some((session, disclosed))
    }

    fn offset(&self, at: usize) -> Option<usize> {
        u32_at(self.bytes, HEADER + 4 * at).map(|offset| offset as usize)
    }
}

/// Of something that may be absent and, if not, may be out of bounds.
#[expect(clippy::option_option, reason = "out of bounds is not absent")]
fn present<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        None => Some(None),
        Some(None) => None,
        Some(found) => Some(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MARK: [u8; 8] = *b"a secret";
    const PLACE: Place = Place {
        commit_events: 3,
        commit_start: 0,
        previous: Sequence::ZERO,
    };

    fn event<'a>(number: u64, topic: &'a str, tail: &'a [u8]) -> EventRef<'a> {
        EventRef {
            sequence: Sequence::new(1_000 + number),
            time: Timestamp::from_nanos(5_000 * number),
            publication: PublicationId::new(number + 1).unwrap(),
            topic,
            publisher: SessionId::FIRST,
            exclude_me: number.is_multiple_of(2),
            disclosed: Some(IdentityRef {
                authid: "joe",
                authrole: "user",
            }),
            receivers: None,
            details: None,
            payload: PayloadRef {
                serializer: Serializer::Json,
                tail,
                args: Some(tail),
                kwargs: None,
            },
            previous: None,
        }
    }

    fn block() -> Vec<u8> {
        let mut packer = Packer::default();
        for (topic, number) in ["com.a", "com.b", "com.a"].into_iter().zip(0..) {
            packer.push(&event(number, topic, b"[1,2,3]"));
        }
        packer.finish(MARK, &PLACE).to_vec()
    }

    #[test]
    fn a_block_gives_its_events_back_and_names_topics_and_publishers_once() {
        let bytes = block();
        let block = Block::check(&bytes, MARK).unwrap();
        assert_eq!((block.events, block.topics, block.publishers), (3, 2, 1));
        let found = block.event(2).unwrap();
        assert_eq!(
            (found.sequence, found.topic),
            (Sequence::new(1_002), "com.a")
        );
        assert_eq!(found.time, Timestamp::from_nanos(10_000));
        assert_eq!(
            found.disclosed,
            Some(IdentityRef {
                authid: "joe",
                authrole: "user"
            })
        );
        assert_eq!(found.payload.args, Some(&b"[1,2,3]"[..]));
        assert!(block.event(3).is_none());
    }

    #[test]
    fn a_block_with_any_bit_flipped_is_none() {
        let bytes = block();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Block::check(&bytes, MARK).is_none(), "bit {bit}");
        }
        assert!(Block::check(&bytes, *b"no such!").is_none());
    }

    #[test]
    fn a_block_has_room_up_to_its_limit_and_for_events_that_are_near() {
        let mut packer = Packer::default();
        let tail = [b'x'; 200];
        let mut events = 0;
        while packer.has_room(&event(events, "com.a", &tail), 7_000) {
            packer.push(&event(events, "com.a", &tail));
            events += 1;
        }
        let bytes = packer.finish(MARK, &PLACE);
        assert!((6_700..=7_000).contains(&bytes.len()), "{}", bytes.len());
        // 36 bytes an event beside its payload, with all that belongs to the block.
        assert!(
            bytes.len() as u64 <= events * 236,
            "{} bytes, {events} events",
            bytes.len()
        );
        packer.push(&event(0, "com.a", &tail));
        assert!(!packer.has_room(&event(70_000, "com.a", &tail), 7_000));
        let late = EventRef {
            time: Timestamp::from_nanos(5_000_000_000),
            ..event(1, "com.a", &tail)
        };
        assert!(!packer.has_room(&late, 7_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// A file may change after its checksum was verified.
        #[test]
        fn bytes_that_are_trusted_wrongly_panic_nobody(
            changes in prop::collection::vec((0..2_000_usize, any::<u8>()), 1..30),
            cut in 0..2_000_usize,
        ) {
            let mut bytes = block();
            let length = bytes.len();
            for (at, byte) in changes {
                bytes[at % length] = byte;
            }
            bytes.truncate(length - cut % (length / 4));
            if let Some(block) = Block::trust(&bytes) {
                for index in 0..block.events().min(100) {
                    let _ = block.event(index);
                }
                let _ = block.event(u16::MAX - 1);
            }
        }
    }
}
