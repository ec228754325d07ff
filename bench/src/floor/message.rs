//! Messages of the floor server, written straight into what waits for a connection. Arguments and
//! whatever closes the message are copied from the message they came in.
//!
//! Every store goes where the bytes stay: a message put together on the stack and copied from
//! there costs 20 ns more, because wide loads have to wait for narrow stores before them.

use crate::wire::{self, Cursor, Format, Wire};

/// Smallest number that takes sixteen digits in JSON; ten to the sixteenth is the end.
pub(super) const SIXTEEN_DIGITS: u64 = 1_000_000_000_000_000;

/// The unchanging beginning of a topic's events in both formats.
pub(super) struct EventPrefix {
    /// `[36,` and sixteen digits.
    json: [u8; 20],
    /// `36` and a number of eight bytes.
    msgpack: [u8; 10],
}

impl EventPrefix {
    /// For a subscription of sixteen digits.
    pub(super) fn new(subscription: u64) -> Self {
        let [mut json, mut msgpack] = [[0; 20], [0; 20]];
        let digits = Counted::from(subscription).digits;
        for (to, from) in json.iter_mut().zip(b"[36,".iter().chain(&digits)) {
            *to = *from;
        }
        for (to, from) in msgpack
            .iter_mut()
            .zip([36, 0xcf].iter().chain(&subscription.to_be_bytes()))
        {
            *to = *from;
        }
        Self {
            json,
            msgpack: msgpack.first_chunk().copied().unwrap_or_default(),
        }
    }
}

/// `[36, Subscription, Publication, Details, …]` in JSON; the publication as sixteen digits.
#[inline(always)]
pub(super) fn json_event(
    out: &mut Vec<u8>,
    wire: Wire,
    prefix: &EventPrefix,
    publication: [u8; 16],
    arguments: &Cursor<'_>,
) {
    let tail = arguments.tail();
    let comma = usize::from(!arguments.is_at_end());
    wire::begin_frame(wire, 20 + 1 + 16 + 3 + comma + tail.len(), out);
    out.extend_from_slice(&prefix.json);
    out.push(b',');
    out.extend_from_slice(&publication);
    if comma == 1 {
        out.extend_from_slice(b",{},");
    } else {
        out.extend_from_slice(b",{}");
    }
    out.extend_from_slice(tail);
}

/// The same in MessagePack. `list` is the list's head of the PUBLISH: an EVENT has as many
/// elements.
#[inline(always)]
pub(super) fn msgpack_event(
    out: &mut Vec<u8>,
    wire: Wire,
    list: u8,
    prefix: &EventPrefix,
    publication: u64,
    arguments: &Cursor<'_>,
) {
    let tail = arguments.tail();
    wire::begin_frame(wire, 1 + 10 + 9 + 1 + tail.len(), out);
    out.push(list);
    out.extend_from_slice(&prefix.msgpack);
    out.push(0xcf);
    out.extend_from_slice(&publication.to_be_bytes());
    out.push(0x80);
    out.extend_from_slice(tail);
}

/// A list of numbers: acknowledgements.
#[inline(always)]
pub(super) fn numbers<const N: usize>(out: &mut Vec<u8>, wire: Wire, ids: [u64; N]) {
    let end = usize::from(wire.format == Format::Json);
    wire::begin_frame(wire, numbers_length(wire.format, ids) + end, out);
    push_numbers(out, wire.format, 0x90 | N as u8, ids);
    if wire.format == Format::Json {
        out.push(b']');
    }
}

/// A list of numbers, empty details and arguments: invocations and results. `list` is the list's
/// head of the message that the arguments came in, which has as many elements.
#[inline(always)]
pub(super) fn converted<const N: usize>(
    out: &mut Vec<u8>,
    wire: Wire,
    list: u8,
    ids: [u64; N],
    arguments: &Cursor<'_>,
) {
    let details: &[u8] = match (wire.format, arguments.is_at_end()) {
        (Format::Json, true) => b",{}",
        (Format::Json, false) => b",{},",
        (Format::Msgpack, _) => &[0x80],
    };
    let tail = arguments.tail();
    let len = numbers_length(wire.format, ids) + details.len() + tail.len();
    wire::begin_frame(wire, len, out);
    push_numbers(out, wire.format, list, ids);
    out.extend_from_slice(details);
    out.extend_from_slice(tail);
}

#[inline(always)]
fn numbers_length<const N: usize>(format: Format, ids: [u64; N]) -> usize {
    let lengths = ids.map(|id| match (format, id) {
        (Format::Json, SIXTEEN_DIGITS..=9_999_999_999_999_999) => 17,
        (Format::Json, _) => 2 + id.checked_ilog10().unwrap_or_default() as usize,
        (Format::Msgpack, 0..0x80) => 1,
        (Format::Msgpack, 0x80..=0xffff_ffff) => 5,
        (Format::Msgpack, _) => 9,
    });
    // In JSON, a bracket or comma stands before each.
    lengths.iter().sum::<usize>() + usize::from(format == Format::Msgpack)
}

#[inline(always)]
fn push_numbers<const N: usize>(out: &mut Vec<u8>, format: Format, list: u8, ids: [u64; N]) {
    let mut before = b'[';
    if format == Format::Msgpack {
        out.push(list);
    }
    for id in ids {
        match (format, id) {
            (Format::Json, _) => {
                out.push(before);
                before = b',';
                push_digits(out, id);
            }
            (Format::Msgpack, 0..0x80) => out.push(id as u8),
            (Format::Msgpack, 0x80..=0xffff_ffff) => {
                out.push(0xce);
                out.extend_from_slice(&(id as u32).to_be_bytes());
            }
            (Format::Msgpack, _) => {
                out.push(0xcf);
                out.extend_from_slice(&id.to_be_bytes());
            }
        }
    }
}

#[inline(always)]
fn push_digits(out: &mut Vec<u8>, id: u64) {
    match id {
        0..10 => out.push(b'0' + id as u8),
        _ => out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes()),
    }
}

/// A number of sixteen digits that is counted up, in both forms: to count in digits is cheaper
/// than to divide for every event.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// The number.
    pub(super) number: u64,
    /// The same in decimal digits.
    pub(super) digits: [u8; 16],
}

impl Counted {
    /// Begins at a number of sixteen digits.
    pub(super) fn from(number: u64) -> Self {
        let text = number.to_string();
        Self {
            number,
            digits: text.as_bytes().first_chunk().copied().unwrap_or([b'0'; 16]),
        }
    }

    /// Adds one.
    #[inline(always)]
    pub(super) fn count(&mut self) {
        self.number += 1;
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Framing, peek};
    use serde_json::{Value, json};

    fn content(wire: Wire, out: &[u8]) -> Value {
        let frame = peek(wire.framing, out).unwrap().unwrap();
        assert_eq!(frame.total(), out.len());
        wire.format.decode(&out[frame.head..]).unwrap()
    }

    #[test]
    fn counted_digits_are_those_of_the_number() {
        let mut counted = Counted::from(SIXTEEN_DIGITS + 98);
        for _ in 0..1_000 {
            counted.count();
            assert_eq!(counted.digits, counted.number.to_string().as_bytes());
        }
    }

    #[test]
    fn every_message_says_what_it_means() {
        let (subscription, publication) = (1u64 << 52, SIXTEEN_DIGITS + 300);
        for framing in [Framing::Raw, Framing::Ws] {
            for format in [Format::Json, Format::Msgpack] {
                let wire = Wire { framing, format };
                for tail in [None, Some(json!(["a", "x".repeat(200)]))] {
                    let mut publish = vec![json!(16), json!(7), json!({}), json!("com.a")];
                    publish.extend(tail.clone());
                    let bytes = format.encode(&json!(publish));
                    let mut cursor = Cursor::open(format, &bytes).unwrap();
                    cursor.skip_uint().unwrap();
                    cursor.skip_uint().unwrap();
                    cursor.skip().unwrap();
                    cursor.text().unwrap();

                    let prefix = EventPrefix::new(subscription);
                    let mut event = Vec::new();
                    match format {
                        Format::Json => {
                            let digits = Counted::from(publication).digits;
                            json_event(&mut event, wire, &prefix, digits, &cursor);
                        }
                        Format::Msgpack => {
                            msgpack_event(
                                &mut event,
                                wire,
                                bytes[0],
                                &prefix,
                                publication,
                                &cursor,
                            );
                        }
                    }
                    let mut expected = vec![
                        json!(36),
                        json!(subscription),
                        json!(publication),
                        json!({}),
                    ];
                    expected.extend(tail);
                    assert_eq!(content(wire, &event), json!(expected));

                    let mut other = Vec::new();
                    let ids = [36, subscription, publication];
                    converted(&mut other, wire, bytes[0], ids, &cursor);
                    assert_eq!(other, event);
                }
                for ids in [[17, 0, 5], [17, 127, 128], [17, 1 << 40, publication]] {
                    let mut out = Vec::new();
                    numbers(&mut out, wire, ids);
                    assert_eq!(content(wire, &out), json!(ids));
                }
            }
        }
    }
}
