//! Walks the elements of a serialized message without building anything: the floor server finds
//! topic and arguments with it, the generator request IDs. Checks no more than it needs to step.

use super::Format;

/// A place between two elements of the outer list of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    format: Format,
    left: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Steps into the outer list of `message`; `None` when it is none.
    #[inline]
    pub(crate) fn open(format: Format, message: &'a [u8]) -> Option<Self> {
        let left = match (format, message) {
            (Format::Json, [b'[', left @ ..]) => left,
            (Format::Msgpack, [head, left @ ..]) if head & 0xf0 == 0x90 => left,
            (Format::Msgpack, [0xdc, _, _, left @ ..]) => left,
            _ => return None,
        };
        Some(Self { format, left })
    }

    /// The next element, an unsigned integer.
    #[inline(always)]
    pub(crate) fn uint(&mut self) -> Option<u64> {
        match self.format {
            Format::Json => self.json_uint(),
            Format::Msgpack => self.msgpack_uint(),
        }
    }

    /// Steps over the next element, an unsigned integer.
    #[inline(always)]
    pub(crate) fn skip_uint(&mut self) -> Option<()> {
        match self.format {
            Format::Json => {
                while let Some(&chunk) = self.left.first_chunk() {
                    let digits = count_digits(u64::from_le_bytes(chunk));
                    self.left = self.left.get(digits..)?;
                    if digits < 8 {
                        self.left = after_comma(self.left);
                        return Some(());
                    }
                }
                self.json_uint().map(drop)
            }
            Format::Msgpack => self.msgpack_uint().map(drop),
        }
    }

    /// The next element, a string without escapes: its bytes.
    #[inline(always)]
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        match self.format {
            Format::Json => {
                let body = self.left.strip_prefix(b"\"")?;
                let end = find_quote(body)?;
                self.left = after_comma(body.get(end + 1..)?);
                body.get(..end)
            }
            Format::Msgpack => {
                let (head, len) = msgpack_text(self.left)?;
                let text = self.left.get(head..head + len)?;
                self.left = self.left.get(head + len..)?;
                Some(text)
            }
        }
    }

    /// Steps over the next element and gives its bytes.
    #[inline(always)]
    pub(crate) fn skip(&mut self) -> Option<&'a [u8]> {
        let len = match self.format {
            Format::Json => json_length(self.left)?,
            Format::Msgpack => msgpack_length(self.left)?,
        };
        let (element, left) = self.left.split_at_checked(len)?;
        self.left = match self.format {
            Format::Json => after_comma(left),
            Format::Msgpack => left,
        };
        Some(element)
    }

    /// The bytes of all elements that are left, as they stand, with JSON's closing bracket.
    #[inline]
    pub(crate) fn tail(&self) -> &'a [u8] {
        self.left
    }

    /// No element is left.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        match self.format {
            Format::Json => self.left.len() == 1,
            Format::Msgpack => self.left.is_empty(),
        }
    }

    #[inline]
    fn json_uint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        while let Some(&chunk) = self.left.first_chunk() {
            let (digits, value) = leading_digits(chunk);
            number = number
                .wrapping_mul(power_of_ten(digits))
                .wrapping_add(value);
            self.left = self.left.get(digits..)?;
            if digits < 8 {
                self.left = after_comma(self.left);
                return Some(number);
            }
        }
        // Fewer than eight bytes are left of the message.
        while let [digit @ b'0'..=b'9', left @ ..] = self.left {
            number = number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'));
            self.left = left;
        }
        self.left = after_comma(self.left);
        Some(number)
    }

    #[inline]
    fn msgpack_uint(&mut self) -> Option<u64> {
        let (&head, left) = self.left.split_first()?;
        let (number, left) = match head {
            0..=0x7f => (u64::from(head), left),
            0xcc => left
                .split_first_chunk::<1>()
                .map(|(n, left)| (u64::from(n[0]), left))?,
            0xcd => left
                .split_first_chunk()
                .map(|(n, left)| (u64::from(u16::from_be_bytes(*n)), left))?,
            0xce => left
                .split_first_chunk()
                .map(|(n, left)| (u64::from(u32::from_be_bytes(*n)), left))?,
            // Positive numbers in a signed form, as some encoders write them.
            0xcf | 0xd3 => left
                .split_first_chunk()
                .map(|(n, left)| (u64::from_be_bytes(*n), left))?,
            _ => return None,
        };
        self.left = left;
        Some(number)
    }
}

const ASCII_ZEROS: u64 = 0x3030_3030_3030_3030;

/// How many of the eight bytes (the first is the lowest) are digits, from the first on.
#[inline]
fn count_digits(word: u64) -> usize {
    let value = word ^ ASCII_ZEROS;
    // The high bit of every byte that is above 9; a carry only reaches bytes behind such a one.
    let wrong = (value.wrapping_add(0x7676_7676_7676_7676) | value) & HIGH_BITS;
    wrong.trailing_zeros() as usize / 8
}

/// As `count_digits`, and the value of these digits.
#[inline]
fn leading_digits(chunk: [u8; 8]) -> (usize, u64) {
    let word = u64::from_le_bytes(chunk);
    let digits = count_digits(word);
    if digits == 0 {
        return (0, 0);
    }
    let value = word ^ ASCII_ZEROS;
    let value = value << (64 - 8 * digits);
    let pairs = (value.wrapping_mul(10) + (value >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    (digits, eight)
}

#[inline]
fn power_of_ten(digits: usize) -> u64 {
    const POWERS: [u64; 9] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
    ];
    POWERS.get(digits).copied().unwrap_or(1)
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Place of the first quote. Topics are short: eight bytes a step beat a call of `memchr`.
#[inline]
fn find_quote(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ 0x2222_2222_2222_2222;
        let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & HIGH_BITS;
        if zeros != 0 {
            return Some(8 * place + zeros.trailing_zeros() as usize / 8);
        }
    }
    let place = tail.iter().position(|byte| *byte == b'"')?;
    Some(8 * words.len() + place)
}

#[inline]
fn after_comma(mut left: &[u8]) -> &[u8] {
    while let [b',' | b' ', more @ ..] = left {
        left = more;
    }
    left
}

/// Bytes of the JSON value at the start of `bytes`.
#[inline(always)]
fn json_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'{', b'}', ..] | [b'[', b']', ..] => Some(2),
        _ => json_length_any(bytes),
    }
}

fn json_length_any(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut in_text = false;
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            if !in_text && depth == 0 {
                return Some(at + 1);
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    (depth == 0 && !in_text).then_some(bytes.len())
}

/// Header and content length of a MessagePack string.
#[inline]
fn msgpack_text(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [head, ..] if head & 0xe0 == 0xa0 => Some((1, usize::from(head & 0x1f))),
        [0xd9, len, ..] => Some((2, usize::from(len))),
        [0xda, a, b, ..] => Some((3, usize::from(u16::from_be_bytes([a, b])))),
        [0xdb, a, b, c, d, ..] => Some((5, u32::from_be_bytes([a, b, c, d]) as usize)),
        _ => None,
    }
}

/// Bytes of the MessagePack value at the start of `bytes`.
fn msgpack_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0usize;
    let mut values = 1u64;
    while values > 0 {
        let here = bytes.get(at..)?;
        let (own, inner) = msgpack_step(here)?;
        at = at.checked_add(own)?;
        values = values - 1 + inner;
    }
    (at <= bytes.len()).then_some(at)
}

/// Bytes of the head (and content, for leaves) of the value at the start, and how many values
/// follow inside it.
fn msgpack_step(bytes: &[u8]) -> Option<(usize, u64)> {
    if let Some((head, len)) = msgpack_text(bytes) {
        return Some((head + len, 0));
    }
    let wide = |count: usize| -> Option<usize> {
        let digits = bytes.get(1..=count)?;
        Some(
            digits
                .iter()
                .fold(0usize, |number, &byte| (number << 8) | usize::from(byte)),
        )
    };
    Some(match *bytes.first()? {
        head @ 0x80..=0x8f => (1, 2 * u64::from(head & 0x0f)),
        head @ 0x90..=0x9f => (1, u64::from(head & 0x0f)),
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (1, 0),
        0xc4 => (2 + wide(1)?, 0),
        0xc5 => (3 + wide(2)?, 0),
        0xc6 => (5 + wide(4)?, 0),
        0xc7 => (3 + wide(1)?, 0),
        0xc8 => (4 + wide(2)?, 0),
        0xc9 => (6 + wide(4)?, 0),
        0xcc | 0xd0 => (2, 0),
        0xcd | 0xd1 => (3, 0),
        0xca | 0xce | 0xd2 => (5, 0),
        0xcb | 0xcf | 0xd3 => (9, 0),
        head @ 0xd4..=0xd8 => (2 + (1 << (head - 0xd4)), 0),
        0xdc => (3, wide(2)? as u64),
        0xdd => (5, wide(4)? as u64),
        0xde => (3, 2 * wide(2)? as u64),
        0xdf => (5, 2 * wide(4)? as u64),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_publish_falls_into_its_elements_in_both_formats() {
        let options = json!({"acknowledge": true, "x": [1, {"a": "]}\\\""}, -5, 2.5, null]});
        let message = json!([16, 70_000, options, "com.a.b", ["one, [two]", 2], {"k": false}]);
        for format in [Format::Json, Format::Msgpack] {
            let bytes = format.encode(&message);
            let mut cursor = Cursor::open(format, &bytes).unwrap();
            assert_eq!(cursor.uint(), Some(16));
            assert_eq!(cursor.uint(), Some(70_000));
            assert_eq!(format.decode(cursor.skip().unwrap()), Some(options.clone()));
            assert_eq!(cursor.text(), Some(&b"com.a.b"[..]));
            let mut both = match format {
                Format::Json => b"[".to_vec(),
                Format::Msgpack => vec![0x92],
            };
            both.extend_from_slice(cursor.tail());
            assert!(!cursor.is_at_end());
            assert_eq!(
                format.decode(&both),
                Some(json!([["one, [two]", 2], {"k": false}]))
            );
        }
    }

    #[test]
    fn numbers_of_every_length_are_read() {
        let check = |text: &str, value: u64| {
            let message = format!("[{text},{text}]");
            let mut cursor = Cursor::open(Format::Json, message.as_bytes()).unwrap();
            assert_eq!(
                (cursor.uint(), cursor.uint()),
                (Some(value), Some(value)),
                "{text}"
            );
            assert!(cursor.is_at_end());
        };
        let mut value = 0u64;
        for digit in "9007199254740992".bytes() {
            value = value * 10 + u64::from(digit - b'0');
            check(&value.to_string(), value);
        }
        check("0", 0);
        check("99999999", 99_999_999);
        check("100000000", 100_000_000);
    }

    #[test]
    fn truncated_messages_end_the_walk() {
        for format in [Format::Json, Format::Msgpack] {
            let bytes = format.encode(&json!([1, {"a": "some text"}, "b"]));
            for len in 0..bytes.len() - 1 {
                let walk = || {
                    let mut cursor = Cursor::open(format, bytes.get(..len)?)?;
                    cursor.uint()?;
                    cursor.skip()?;
                    cursor.text().map(<[u8]>::len)
                };
                assert_eq!(walk(), None, "{format:?} cut at {len}");
            }
        }
    }
}
