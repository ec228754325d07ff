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
        let digits = sixteen_digits(subscription);
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
        SIXTEEN_DIGITS..=9_999_999_999_999_999 => out.extend_from_slice(&sixteen_digits(id)),
        _ => out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes()),
    }
}

/// The decimal digits of a number below ten to the sixteenth.
#[inline]
pub(super) fn sixteen_digits(number: u64) -> [u8; 16] {
    let high = u128::from(eight_digits(number / 100_000_000));
    let low = u128::from(eight_digits(number % 100_000_000));
    (high | (low << 64)).to_le_bytes()
}

/// Eight digits, the first in the lowest byte: divides all pairs at once.
#[inline]
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | ((pairs - 10 * tens) << 8)) + 0x3030_3030_3030_3030
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
    fn digits_are_those_of_the_number() {
        for number in [
            0, 7, 99, 100, 9_999, 10_000, 12_345_678, 90_071_992, 99_999_999,
        ] {
            let text = format!("{number:08}");
            assert_eq!(eight_digits(number).to_le_bytes(), text.as_bytes());
        }
        assert_eq!(&sixteen_digits(1 << 53), b"9007199254740992");
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
                            let digits = sixteen_digits(publication);
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
