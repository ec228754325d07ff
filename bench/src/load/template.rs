//! Batches of messages that are written once and patched in place: a generator that costs less
//! than the servers it measures.

use crate::stamp::{self, LETTERS, Stamp};
use crate::wire::{self, Format, Wire};
use serde_json::{Value, json};

use super::session::MASK;

/// Most messages of one write.
pub(crate) const BATCH: usize = 256;
/// WAMP requests of a template count from here: as many digits and bytes in every message.
pub(crate) const FIRST_REQUEST: u64 = 1_000_000_000;

/// Stands where the stamp goes while a template is made.
const STAMP_PLACE: u64 = u64::MAX;
/// Stands where the reply number of NATS goes.
const REPLY_PLACE: &[u8] = b"oooooooooooooooo";

/// `BATCH` messages of equal length, one after the other.
pub(crate) struct Template {
    bytes: Vec<u8>,
    stride: usize,
    stamp: Place,
    time: Place,
    number: Option<(usize, Number)>,
    topics: u64,
}

/// Sixteen letters in every message, and the mask that lies over them.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    mask: u128,
}

/// How the message's own number is written.
#[derive(Clone, Copy)]
enum Number {
    /// Four bytes, big-endian, under a mask.
    Binary(u32),
    /// Ten decimal digits, under a mask.
    Decimal([u8; 10]),
    /// Sixteen letters.
    Letters,
}

impl Template {
    /// PUBLISH to each of `topics` in turn; all topics have names of one length. `size`: bytes of
    /// the arguments, as far as a filler before the payload can make it so; `None`: the payload alone.
    pub(crate) fn publish(
        wire: Wire,
        topics: &[String],
        acknowledge: bool,
        size: Option<usize>,
    ) -> Self {
        let options = if acknowledge {
            json!({"acknowledge": true})
        } else {
            json!({})
        };
        let arguments = arguments(wire.format, size);
        let message = |topic: &String| json!([16, FIRST_REQUEST, options, topic, arguments]);
        Self::of_requests(wire, &topics.iter().map(message).collect::<Vec<_>>())
    }

    /// CALL of one procedure.
    pub(crate) fn call(wire: Wire, procedure: &str) -> Self {
        Self::of_requests(
            wire,
            &[json!([48, FIRST_REQUEST, {}, procedure, [place_text()]])],
        )
    }

    /// EVENTs as a server frames them, for the relay that routes nothing.
    pub(crate) fn event(wire: Wire) -> Self {
        let message = json!([36, 1u64 << 52, FIRST_REQUEST, {}, [place_text()]]);
        let content = wire.format.encode(&message);
        let mut frame = Vec::new();
        wire::begin_frame(wire, content.len(), &mut frame);
        frame.extend_from_slice(&content);
        // The publication's number is patched too: the generator does as much as elsewhere.
        let number = match wire.format {
            Format::Json => {
                memchr::memmem::find(&frame, b"1000000000").map(|at| (at, Number::Decimal([0; 10])))
            }
            Format::Msgpack => memchr::memmem::find(&frame, &[0xce, 0x3b, 0x9a, 0xca, 0])
                .map(|at| (at + 1, Number::Binary(0))),
        };
        Self::of_frames(vec![frame], Cover::default(), number)
    }

    /// PUB to each of `subjects` in turn, with a reply subject below `reply` where given.
    pub(crate) fn nats(subjects: &[String], reply: Option<&str>) -> Self {
        let number = String::from_utf8_lossy(REPLY_PLACE);
        let reply = reply
            .map(|reply| format!(" {reply}{number}"))
            .unwrap_or_default();
        let frame = |subject: &String| {
            format!(
                "PUB {subject}{reply} {}\r\n{}\r\n",
                stamp::PAYLOAD,
                place_text()
            )
            .into_bytes()
        };
        let frames: Vec<_> = subjects.iter().map(frame).collect();
        let number = frames
            .first()
            .and_then(|frame| memchr::memmem::find(frame, REPLY_PLACE));
        Self::of_frames(
            frames,
            Cover::default(),
            number.map(|at| (at, Number::Letters)),
        )
    }

    fn of_requests(wire: Wire, messages: &[Value]) -> Self {
        let frames: Vec<_> = messages
            .iter()
            .map(|message| {
                let mut frame = Vec::new();
                wire::push_frame(wire, &wire.format.encode(message), MASK, &mut frame);
                frame
            })
            .collect();
        let (head, mask) = match frames.first().map(|frame| wire::peek(wire.framing, frame)) {
            Some(Ok(Some(frame))) => (frame.head, frame.mask.unwrap_or_default()),
            _ => (0, [0; 4]),
        };
        let cover = Cover { head, mask };
        // `[16,` in JSON; the list's head, the type and the head of a 32-bit number in MessagePack.
        let (at, number) = match wire.format {
            Format::Json => (head + 4, Number::Decimal(cover.over(head + 4))),
            Format::Msgpack => (
                head + 3,
                Number::Binary(u32::from_be_bytes(cover.over(head + 3))),
            ),
        };
        Self::of_frames(frames, cover, Some((at, number)))
    }

    /// Repeats `frames`, which all have their stamp in the same place.
    fn of_frames(frames: Vec<Vec<u8>>, cover: Cover, number: Option<(usize, Number)>) -> Self {
        let first = frames.first().cloned().unwrap_or_default();
        let mut plain = first.clone();
        wire::mask_in_place(plain.get_mut(cover.head..).unwrap_or_default(), cover.mask);
        let at = memchr::memmem::find(&plain, &stamp::letters(STAMP_PLACE)).unwrap_or_default();
        let place = |at| Place {
            at,
            mask: u128::from_be_bytes(cover.over(at)),
        };
        // One round more than a batch, so that a batch may begin at any topic.
        let rounds = BATCH.div_ceil(frames.len().max(1)) + 1;
        Self {
            bytes: frames.concat().repeat(rounds),
            stride: first.len(),
            stamp: place(at),
            time: place(at + LETTERS),
            number,
            topics: frames.len().max(1) as u64,
        }
    }

    /// `count` messages (at most `BATCH`) of `publisher` from number `first` on, ready to be sent.
    #[inline]
    pub(crate) fn fill(&mut self, publisher: u16, first: u64, count: usize) -> &[u8] {
        let from = (first % self.topics) as usize * self.stride;
        let to = from + count.min(BATCH) * self.stride;
        let (stamp, number) = (self.stamp, self.number);
        let Some(batch) = self.bytes.get_mut(from..to) else {
            return &[];
        };
        for (counter, frame) in (first..).zip(batch.chunks_exact_mut(self.stride)) {
            stamp.write(frame, Stamp { publisher, counter }.word());
            if let Some((at, number)) = number {
                number.write(frame, at, counter);
            }
        }
        batch
    }

    /// One message as `fill` gives it, with its send time in ns.
    pub(crate) fn fill_timed(&mut self, counter: u64, nanoseconds: u64) -> &[u8] {
        let from = (counter % self.topics) as usize * self.stride;
        let time = self.time;
        if let Some(frame) = self.bytes.get_mut(from..from + self.stride) {
            time.write(frame, nanoseconds);
        }
        self.fill(0, counter, 1)
    }
}

/// WebSocket's mask over a frame; all zero where there is none.
#[derive(Clone, Copy, Default)]
struct Cover {
    head: usize,
    mask: [u8; 4],
}

impl Cover {
    /// The mask bytes over the `N` bytes from `at` on, counted from the start of the frame.
    fn over<const N: usize>(self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        let phase = at.saturating_sub(self.head) % 4;
        for (byte, mask) in bytes.iter_mut().zip(self.mask.iter().cycle().skip(phase)) {
            *byte = *mask;
        }
        bytes
    }
}

/// The payload's place, and before it a string that makes the whole `size` bytes long. The payload
/// stays last: that is where it is found fastest.
fn arguments(format: Format, size: Option<usize>) -> Value {
    let alone = json!([place_text()]);
    let Some(size) = size.filter(|size| *size > format.encode(&alone).len()) else {
        return alone;
    };
    let filled = |length: usize| json!(["f".repeat(length), place_text()]);
    let least = format.encode(&filled(0)).len();
    // The head of MessagePack's string grows with the string.
    (0..=4)
        .filter_map(|head| Some(filled(size.checked_sub(least + head)?)))
        .find(|arguments| format.encode(arguments).len() == size)
        .unwrap_or(alone)
}

fn place_text() -> String {
    String::from_utf8_lossy(&stamp::payload(STAMP_PLACE)).into_owned()
}

impl Place {
    #[inline]
    fn write(self, frame: &mut [u8], word: u64) {
        if let Some(place) = frame
            .get_mut(self.at..)
            .and_then(|tail| tail.first_chunk_mut())
        {
            *place = (stamp::letters_word(word) ^ self.mask).to_be_bytes();
        }
    }
}

impl Number {
    #[inline]
    fn write(self, frame: &mut [u8], at: usize, counter: u64) {
        let Some(tail) = frame.get_mut(at..) else {
            return;
        };
        let request = FIRST_REQUEST + counter;
        match self {
            Self::Binary(mask) => {
                if let Some(place) = tail.first_chunk_mut() {
                    *place = (request as u32 ^ mask).to_be_bytes();
                }
            }
            Self::Decimal(mask) => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(request).as_bytes().first_chunk::<10>();
                if let (Some(place), Some(digits)) = (tail.first_chunk_mut::<10>(), digits) {
                    for ((place, digit), mask) in place.iter_mut().zip(digits).zip(mask) {
                        *place = digit ^ mask;
                    }
                }
            }
            Self::Letters => {
                if let Some(place) = tail.first_chunk_mut() {
                    *place = stamp::letters(counter);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;

    fn messages(wire: Wire, bytes: &[u8]) -> Vec<Value> {
        let mut bytes = bytes.to_vec();
        let mut found = Vec::new();
        while let Ok(Some(frame)) = wire::peek(wire.framing, &bytes) {
            let mut content = bytes[frame.head..frame.total()].to_vec();
            wire::mask_in_place(&mut content, frame.mask.unwrap_or_default());
            found.push(wire.format.decode(&content).unwrap());
            bytes.drain(..frame.total());
        }
        assert!(bytes.is_empty());
        found
    }

    #[test]
    fn every_message_of_a_batch_has_its_topic_request_and_stamp() {
        let topics: Vec<_> = (0..3).map(|n| format!("com.t{n}")).collect();
        for framing in [Framing::Raw, Framing::Ws] {
            for format in [Format::Json, Format::Msgpack] {
                let wire = Wire { framing, format };
                let mut template = Template::publish(wire, &topics, true, None);
                let batch = template.fill(5, 1_000, BATCH).to_vec();
                let found = messages(wire, &batch);
                assert_eq!(found.len(), BATCH);
                for (counter, message) in (1_000..).zip(found) {
                    assert_eq!(message[1], FIRST_REQUEST + counter);
                    assert_eq!(message[3], topics[counter as usize % 3]);
                    let payload = message[4][0].as_str().unwrap();
                    let stamp = Stamp {
                        publisher: 5,
                        counter,
                    };
                    assert_eq!(Stamp::of(payload.as_bytes()), Some(stamp));
                }
            }
        }
    }

    #[test]
    fn arguments_are_as_long_as_asked_and_end_with_the_payload() {
        for format in [Format::Json, Format::Msgpack] {
            for size in [200, 201, 1_000, 70_000] {
                let arguments = arguments(format, Some(size));
                assert_eq!(format.encode(&arguments).len(), size);
                assert_eq!(arguments[1], place_text());
            }
            for size in [None, Some(0), Some(130)] {
                assert_eq!(arguments(format, size), json!([place_text()]));
            }
        }
    }

    #[test]
    fn a_timed_message_carries_its_time() {
        let wire = Wire {
            framing: Framing::Ws,
            format: Format::Json,
        };
        let mut template = Template::publish(wire, &["com.t".to_owned()], false, None);
        let found = messages(wire, template.fill_timed(3, 123_456_789));
        let payload = found[0][4][0].as_str().unwrap();
        assert_eq!(stamp::time_of(payload.as_bytes()), Some(123_456_789));
    }

    #[test]
    fn nats_messages_carry_reply_and_stamp() {
        let mut template = Template::nats(&["a.b".to_owned()], Some("_INBOX.x."));
        let text = String::from_utf8(template.fill(0, 2, 1).to_vec()).unwrap();
        let payload = String::from_utf8(stamp::payload(2).to_vec()).unwrap();
        assert_eq!(
            text,
            format!("PUB a.b _INBOX.x.aaaaaaaaaaaaaaac 128\r\n{payload}\r\n")
        );
    }
}
