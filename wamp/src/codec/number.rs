//! Numbers as they are written in each serializer, in two words and without a branch for each of
//! their digits or bytes. Used by `hot.rs` and `hot/event.rs`.

use bytes::BytesMut;

use crate::serializer::Serializer;

/// Numbers below this have at most sixteen digits; those of WAMP, up to 2^53, are.
const SIXTEEN_DIGITS: u64 = 10_000_000_000_000_000;

/// A number in the bytes that it is written with: `first_length` of `first`, and then
/// `second_length` of `second`. Both are put down whole, and what is too much is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) first: [u8; 8],
    pub(super) first_length: usize,
    pub(super) second: [u8; 8],
    pub(super) second_length: usize,
}

impl Number {
    /// Below 10^16.
    #[inline(always)]
    pub(super) const fn new(serializer: Serializer, number: u64) -> Self {
        match serializer {
            Serializer::Json => Self::decimal(number),
            Serializer::MsgPack => Self::binary(number, 0x7f, 0xcc),
            Serializer::Cbor => Self::binary(number, 0x17, 0x18),
        }
    }

    #[inline(always)]
    const fn decimal(number: u64) -> Self {
        /// Ten to the eighth.
        const EIGHT_DIGITS: u64 = 100_000_000;
        debug_assert!(number < SIXTEEN_DIGITS);
        let (first, second, second_length) = if number < EIGHT_DIGITS {
            (number, 0, 0)
        } else {
            (number / EIGHT_DIGITS, number % EIGHT_DIGITS, 8)
        };
        let digits = eight_digits(first);
        // The first digit is in the lowest byte; zero itself has one too.
        let zeros = digits.trailing_zeros() / 8;
        let zeros = if zeros > 7 { 7 } else { zeros };
        Self {
            first: (in_ascii(digits) >> (8 * zeros)).to_le_bytes(),
            first_length: 8 - zeros as usize,
            second: in_ascii(eight_digits(second)).to_le_bytes(),
            second_length,
        }
    }

    /// As MessagePack and CBOR have it: by itself up to `in_one`, else behind a byte that tells
    /// how long it is, which is `of_8` for one byte more and counts up from there.
    #[inline(always)]
    const fn binary(number: u64, in_one: u64, of_8: u64) -> Self {
        let (first, first_length, second_length) = match number {
            0x1_0000_0000.. => ((of_8 + 3) << 56, 1, 8),
            0x1_0000.. => ((of_8 + 2) << 56 | number << 24, 5, 0),
            0x100.. => ((of_8 + 1) << 56 | number << 40, 3, 0),
            _ if number > in_one => (of_8 << 56 | number << 48, 2, 0),
            _ => (number << 56, 1, 0),
        };
        Self {
            first: first.to_be_bytes(),
            first_length,
            second: number.to_be_bytes(),
            second_length,
        }
    }

    /// As [`Self::binary`], in a register: the first byte is the lowest one. And how many they are.
    #[inline(always)]
    pub(super) const fn in_register(number: u64, in_one: u64, of_8: u64) -> (u128, u32) {
        let big_end = number.swap_bytes();
        let (first, rest, length) = match number {
            0x1_0000_0000.. => (of_8 + 3, big_end, 9),
            0x1_0000.. => (of_8 + 2, big_end >> 32, 5),
            0x100.. => (of_8 + 1, big_end >> 48, 3),
            _ if number > in_one => (of_8, number, 2),
            _ => (number, 0, 1),
        };
        (first as u128 | (rest as u128) << 8, length)
    }

    /// How many bytes it has.
    #[inline(always)]
    pub(super) const fn length(&self) -> usize {
        self.first_length + self.second_length
    }

    /// Appends it.
    #[inline]
    pub(super) fn append(&self, out: &mut BytesMut) {
        for (bytes, length) in [
            (&self.first, self.first_length),
            (&self.second, self.second_length),
        ] {
            out.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
        }
    }
}

/// The eight decimal digits of `number`, each in a byte, the first in the lowest: four, two and
/// one digit are split off everywhere at once.
#[inline(always)]
const fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

#[inline(always)]
const fn in_ascii(digits: u64) -> u64 {
    digits | 0x3030_3030_3030_3030
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::{CborWriter, JsonWriter, MsgPackWriter, Writer};

    fn check(number: u64) {
        for serializer in Serializer::ALL {
            let (mut found, mut expected) = (BytesMut::new(), BytesMut::new());
            let written = Number::new(serializer, number);
            written.append(&mut found);
            match serializer {
                Serializer::Json => JsonWriter::unsigned(&mut expected, number),
                Serializer::MsgPack => MsgPackWriter::unsigned(&mut expected, number),
                Serializer::Cbor => CborWriter::unsigned(&mut expected, number),
            }
            assert_eq!(found, expected, "{serializer} {number}");
            assert_eq!(written.length(), expected.len());
            let (bytes, length) = match serializer {
                Serializer::Json => continue,
                Serializer::MsgPack => Number::in_register(number, 0x7f, 0xcc),
                Serializer::Cbor => Number::in_register(number, 0x17, 0x18),
            };
            assert_eq!(bytes.to_le_bytes()[..length as usize], expected);
            assert_eq!(bytes >> (8 * length), 0);
        }
    }

    #[test]
    fn numbers_are_written_as_the_serializers_write_them() {
        (0..70_000).for_each(check);
        for power in 0..=53 {
            let number = 1_u64 << power;
            [number - 1, number, number + 1].into_iter().for_each(check);
        }
        for power in 1..16 {
            let number = 10_u64.pow(power);
            [number - 1, number, number + 1].into_iter().for_each(check);
        }
        // Every group of four digits, at both places.
        for four in 0..10_000 {
            check(four * 10_000 + four);
            check(four * 1_000_000_000_000 + (9_999 - four));
        }
        check(SIXTEEN_DIGITS - 1);
    }
}
