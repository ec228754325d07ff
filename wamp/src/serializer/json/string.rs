//! Strings of JSON: eight bytes at a time as long as there is nothing to escape.

use bytes::BytesMut;

use super::{JsonReader, Malformed, Text};

const LONE_SURROGATE: &str = "a lone surrogate is not a character";

impl<'a> JsonReader<'a> {
    /// The string whose opening quote has been taken.
    pub(super) fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let begins = self.at;
        self.at = plain_end(self.bytes, begins);
        let plain = self.text.get(begins..self.at).unwrap_or_default();
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Text::Checked(plain));
        }
        let mut built = String::from(plain);
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::Built(built));
                }
                Some(b'\\') => built.push(self.escape()?),
                _ => return Err(self.malformed("a control character must be escaped")),
            }
            let begins = self.at;
            self.at = plain_end(self.bytes, begins);
            built.push_str(self.text.get(begins..self.at).unwrap_or_default());
        }
    }

    /// As [`Self::string`], only to see that it is one.
    pub(super) fn skip_string(&mut self) -> Result<(), Malformed> {
        loop {
            self.at = plain_end(self.bytes, self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                _ => return Err(self.malformed("a control character must be escaped")),
            }
        }
    }

    /// The character of the escape whose backslash comes next.
    fn escape(&mut self) -> Result<char, Malformed> {
        self.at += 1;
        let character = match self.byte() {
            Some(b'u') => return self.escaped_code(),
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.malformed("unknown escape")),
        };
        self.at += 1;
        Ok(character)
    }

    /// `uXXXX`, or two of them for a character beyond the first plane.
    fn escaped_code(&mut self) -> Result<char, Malformed> {
        let first = self.hexadecimal()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.malformed(LONE_SURROGATE));
        }
        if self.bytes.get(self.at..self.at + 2) != Some(br"\u") {
            return Err(self.malformed(LONE_SURROGATE));
        }
        self.at += 1;
        let second = self.hexadecimal()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.malformed(LONE_SURROGATE));
        }
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).ok_or_else(|| self.malformed(LONE_SURROGATE))
    }

    /// `uXXXX`.
    fn hexadecimal(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for offset in 1..=4 {
            let digit = self
                .bytes
                .get(self.at + offset)
                .and_then(|&byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.malformed("expected four hexadecimal digits"));
            };
            code = code << 4 | digit;
        }
        self.at += 5;
        Ok(code)
    }
}

/// Where the first quote, backslash or control character from `at` on is, or the end.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    while let Some(word) = bytes.get(at..at + 8).and_then(|word| word.try_into().ok()) {
        let word = u64::from_le_bytes(word);
        // The top bit of a byte is set where the byte is zero after the exclusive or, or below
        // 0x20. Bytes above a hit may be set wrongly, the lowest hit never is.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        match hits & HIGHS {
            0 => at += 8,
            hits => return at + (hits.trailing_zeros() / 8) as usize,
        }
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
        .count()
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
            for before in 0..20 {
                let mut bytes = vec![0x7f; before];
                bytes.push(special);
                bytes.extend([b'"'; 9]);
                assert_eq!(plain_end(&bytes, 0), before, "{special:#x}");
            }
        }
        for plain in (0x20..=0xff).filter(|byte| ![b'"', b'\\'].contains(byte)) {
            assert_eq!(plain_end(&[plain; 21], 0), 21, "{plain:#x}");
        }
    }
}
