//! Strings of JSON: many bytes at a time as long as there is nothing to escape.

use bytes::BytesMut;

use super::{Fault, JsonReader, Malformed, Text, fault};

impl<'a> JsonReader<'a> {
    /// The string whose opening quote has been taken.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let end = plain_end(self.bytes, self.at);
        let plain = self.bytes.get(self.at..end).unwrap_or_default();
        match self.bytes.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Text::Raw(plain))
            }
            _ => self.unescaped(self.at, end),
        }
    }

    /// A string that is not plain: it begins at `begins`, and is plain as far as `at`.
    #[cold]
    fn unescaped(&mut self, begins: usize, mut at: usize) -> Result<Text<'a>, Malformed> {
        // Quotes and backslashes are whole characters: what is between them is UTF-8.
        let plain = |from, to| {
            let bytes = self.bytes.get(from..to).unwrap_or_default();
            std::str::from_utf8(bytes).unwrap_or_default()
        };
        let mut built = String::from(plain(begins, at));
        while self.bytes.get(at) == Some(&b'\\') {
            let (character, after) = escape(self.bytes, at)?;
            built.push(character);
            at = plain_end(self.bytes, after);
            built.push_str(plain(after, at));
        }
        self.at = closing(self.bytes, at)?;
        Ok(Text::Built(built))
    }
}

/// The string at `at` if there is nothing escaped in it, and where it ends.
#[inline]
pub(super) fn plain(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = plain_end(bytes, at + 1);
    match bytes.get(end) {
        Some(b'"') => Some((bytes.get(at + 1..end)?, end + 1)),
        _ => None,
    }
}

/// As [`plain`], for what has to be ASCII.
#[inline(always)]
pub(crate) fn plain_name(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let end = ascii_end(bytes, at + 1);
    match bytes.get(end) {
        Some(b'"') => Some((bytes.get(at + 1..end)?, end + 1)),
        _ => None,
    }
}

/// Where the string ends whose opening quote is before `at`: after its closing quote.
#[inline]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = plain_end(bytes, at);
    match bytes.get(at) {
        Some(b'"') => Ok(at + 1),
        _ => escaped_end(bytes, at),
    }
}

#[cold]
fn escaped_end(bytes: &[u8], mut at: usize) -> Result<usize, Malformed> {
    while bytes.get(at) == Some(&b'\\') {
        at = plain_end(bytes, escape(bytes, at)?.1);
    }
    closing(bytes, at)
}

fn closing(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    match bytes.get(at) {
        Some(b'"') => Ok(at + 1),
        _ => Err(fault(bytes, at, Fault::Control)),
    }
}

/// The character of the escape whose backslash is at `at`, and where it ends.
fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), Malformed> {
    let character = match bytes.get(at + 1) {
        Some(b'u') => return escaped_code(bytes, at),
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        _ => return Err(fault(bytes, at + 1, Fault::Escape)),
    };
    Ok((character, at + 2))
}

/// `\uXXXX`, or two of them for a character beyond the first plane.
fn escaped_code(bytes: &[u8], at: usize) -> Result<(char, usize), Malformed> {
    const LENGTH: usize = 6;
    let lone = || Malformed::new(at, Fault::LoneSurrogate);
    let first = hexadecimal(bytes, at + 2)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Ok((char::from_u32(first).ok_or_else(lone)?, at + LENGTH));
    }
    if bytes.get(at + LENGTH..at + LENGTH + 2) != Some(br"\u") {
        return Err(lone());
    }
    let second = hexadecimal(bytes, at + LENGTH + 2)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(lone());
    }
    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Ok((char::from_u32(code).ok_or_else(lone)?, at + 2 * LENGTH))
}

/// `XXXX`.
fn hexadecimal(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let mut code = 0;
    for at in at..at + 4 {
        let digit = bytes
            .get(at)
            .and_then(|&byte| char::from(byte).to_digit(16));
        code = code << 4 | digit.ok_or_else(|| fault(bytes, at, Fault::Hexadecimal))?;
    }
    Ok(code)
}

/// Where the first quote, backslash or control character from `at` on is, or the end.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // Names and keys are short; what is not is looked at in larger pieces.
    if let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match specials(*word) {
            0 => at += 8,
            hits => return at + (hits.trailing_zeros() / 8) as usize,
        }
    }
    while let Some(piece) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        let (words, _) = piece.as_chunks();
        if words.iter().fold(0, |hits, word| hits | specials(*word)) != 0 {
            break;
        }
        at += 32;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match specials(*word) {
            0 => at += 8,
            hits => return at + (hits.trailing_zeros() / 8) as usize,
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// As [`plain_end`], or where the first byte is that is not ASCII.
#[inline]
pub(super) fn ascii_end(bytes: &[u8], mut at: usize) -> usize {
    let special = |byte: u8| byte.cast_signed() < 0x20 || byte == b'"' || byte == b'\\';
    // So written, it becomes comparisons of many bytes at once.
    while let Some(piece) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if piece.iter().fold(false, |any, byte| any | special(*byte)) {
            break;
        }
        at += 32;
    }
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        match specials(*word) | u64::from_le_bytes(*word) & HIGHS {
            0 => at += 8,
            hits => return at + (hits.trailing_zeros() / 8) as usize,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let found = rest.iter().position(|byte| special(*byte));
    at + found.unwrap_or(rest.len())
}

/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of every byte.
const HIGHS: u64 = ONES << 7;

/// The top bit of a byte (the first one is the lowest) is set where the byte is special. Bytes
/// above a hit may be set wrongly, the lowest hit never is.
#[inline]
fn specials(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    // Zero after the exclusive or, or below 0x20.
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let hits = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hits & HIGHS
}

/// With quotes, escaping only what must be.
pub(super) fn write_string(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.extend_from_slice(b"\"");
    let mut at = 0;
    loop {
        let end = plain_end(bytes, at);
        out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        let Some(&special) = bytes.get(end) else {
            break;
        };
        match special {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            control => {
                let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0') as u8;
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
            }
        }
        at = end + 1;
    }
    out.extend_from_slice(b"\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_offset() {
        for special in (0..0x20).chain([b'"', b'\\']) {
            for before in 0..100 {
                let mut bytes = vec![0x7f; before];
                bytes.push(special);
                bytes.extend([b'"'; 9]);
                assert_eq!(plain_end(&bytes, 0), before, "{special:#x}");
                assert_eq!(ascii_end(&bytes, 0), before, "{special:#x}");
            }
        }
        for other in 0x80..=0xff {
            for before in 0..100 {
                let mut bytes = vec![0x7f; before];
                bytes.extend([other; 20]);
                assert_eq!(ascii_end(&bytes, 0), before, "{other:#x}");
            }
        }
        for plain in (0x20..=0xff).filter(|byte| ![b'"', b'\\'].contains(byte)) {
            assert_eq!(plain_end(&[plain; 77], 0), 77, "{plain:#x}");
        }
    }
}
