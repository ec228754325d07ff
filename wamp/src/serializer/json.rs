//! JSON read and written, RFC 8259, with WAMP's convention for binary data. Used through
//! `token.rs` and `write.rs`.
//!
//! The whole input is known to be UTF-8 before reading begins (it is a `ByteString`), so that
//! strings are only looked through for their end.

mod number;
mod string;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::Serializer;
use super::token::{Blob, End, Malformed, Next, Open, Reader, Text, Token};
use super::write::Writer;
use crate::value::Integer;

/// Reads base64 with or without padding; what is written always has it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A pull parser over one text.
#[derive(Clone)]
pub(crate) struct JsonReader<'a> {
    text: &'a ByteString,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(text: &'a ByteString) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips whitespace and looks at what follows.
    fn sight(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        match self.at < self.bytes.len() {
            true => Malformed::new(self.at, what),
            false => Malformed::cut_short(self.at),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Malformed> {
        match self.bytes.get(self.at..self.at + literal.len()) {
            Some(found) if found == literal.as_bytes() => {
                self.at += literal.len();
                Ok(())
            }
            _ => Err(self.malformed("expected a value")),
        }
    }

    fn take(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.sight() != Some(byte) {
            return Err(self.malformed(what));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_key(&mut self) -> Result<(), Malformed> {
        self.take(b'"', "expected a key")?;
        self.skip_string()?;
        self.take(b':', "expected a colon")
    }

    /// Takes a value; if it is a container with something in it, only its opening, and returns
    /// which one it is.
    fn skip_value(&mut self) -> Result<Option<End>, Malformed> {
        match self.sight() {
            Some(b'"') => {
                self.at += 1;
                self.skip_string()?;
            }
            Some(b'0'..=b'9' | b'-') => {
                self.skip_number()?;
            }
            Some(b'{') => return Ok(self.skip_opening(b'}').then_some(End::Map)),
            Some(b'[') => return Ok(self.skip_opening(b']').then_some(End::List)),
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ => return Err(self.malformed("expected a value")),
        }
        Ok(None)
    }

    /// Whether there is something in the container; else its end is taken too.
    fn skip_opening(&mut self, end: u8) -> bool {
        self.at += 1;
        let empty = self.sight() == Some(end);
        self.at += usize::from(empty);
        !empty
    }
}

/// NUL and base64 stand for binary data. Spec: "Binary conversion of JSON Strings".
fn binary_of(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.strip_prefix('\0')?).ok()
}

impl<'a> Reader<'a> for JsonReader<'a> {
    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        Ok(match self.sight() {
            Some(b'"') => {
                self.at += 1;
                match self.string()? {
                    Text::Built(text) => match binary_of(&text) {
                        Some(bytes) => Token::Binary(Blob::Built(bytes)),
                        None => Token::Text(Text::Built(text)),
                    },
                    text => Token::Text(text),
                }
            }
            Some(b'0'..=b'9' | b'-') => self.number()?,
            Some(b'{') => {
                self.at += 1;
                Token::Map(Open::until_end())
            }
            Some(b'[') => {
                self.at += 1;
                Token::List(Open::until_end())
            }
            Some(b't') => self.literal("true").map(|()| Token::Bool(true))?,
            Some(b'f') => self.literal("false").map(|()| Token::Bool(false))?,
            Some(b'n') => self.literal("null").map(|()| Token::Null)?,
            _ => return Err(self.malformed("expected a value")),
        })
    }

    fn next(&mut self) -> Result<Next, Malformed> {
        Ok(match self.sight() {
            Some(b'n') => Next::Null,
            Some(b'[') => Next::List,
            Some(b'{') => Next::Map,
            Some(_) => Next::Other,
            None => return Err(self.malformed("expected a value")),
        })
    }

    fn more(&mut self, open: &mut Open, end: End) -> Result<bool, Malformed> {
        let closing = match end {
            End::List => b']',
            End::Map => b'}',
        };
        let fresh = std::mem::replace(&mut open.fresh, false);
        match self.sight() {
            Some(byte) if byte == closing => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if fresh => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.malformed("expected a comma or the end of the container")),
        }
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        self.take(b'"', "expected a key")?;
        let key = self.string()?;
        self.take(b':', "expected a colon")?;
        Ok(Token::Text(key))
    }

    fn skip(&mut self, depth: u8) -> Result<(), Malformed> {
        // Bit n tells whether the n-th open container is a map; `Limits` keeps within 128.
        let (mut open, mut maps) = (0_u8, 0_u128);
        loop {
            let begins = self.at;
            if let Some(container) = self.skip_value()? {
                if open >= depth {
                    return Err(Malformed::too_deep(begins));
                }
                maps = match container {
                    End::Map => maps | 1 << open,
                    End::List => maps & !(1 << open),
                };
                open += 1;
                if container == End::Map {
                    self.skip_key()?;
                }
                continue;
            }
            loop {
                if open == 0 {
                    return Ok(());
                }
                let in_map = maps >> (open - 1) & 1 == 1;
                match self.sight() {
                    Some(b',') => {
                        self.at += 1;
                        if in_map {
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(b']') if !in_map => {}
                    Some(b'}') if in_map => {}
                    _ => {
                        return Err(self.malformed("expected a comma or the end of the container"));
                    }
                }
                self.at += 1;
                open -= 1;
            }
        }
    }

    fn position(&self) -> usize {
        self.at
    }

    fn finish(&mut self) -> Result<(), Malformed> {
        match self.sight() {
            None => Ok(()),
            Some(_) => Err(Malformed::new(self.at, "something follows the end")),
        }
    }

    fn source(&self) -> &'a Bytes {
        self.text.as_bytes()
    }

    fn own(&self, text: Text<'a>) -> Result<ByteString, Malformed> {
        Ok(match text {
            Text::Checked(text) => self.text.slice_ref(text),
            Text::Built(text) => text.into(),
            Text::Raw(_) => return Err(self.malformed("text is not UTF-8")),
        })
    }
}

/// Writes JSON without whitespace.
pub enum JsonWriter {}

impl Writer for JsonWriter {
    const SERIALIZER: Serializer = Serializer::Json;
    const COUNTS: bool = false;

    fn null(out: &mut BytesMut) {
        out.extend_from_slice(b"null");
    }

    fn bool(out: &mut BytesMut, bool: bool) {
        out.extend_from_slice(if bool { b"true" } else { b"false" });
    }

    fn unsigned(out: &mut BytesMut, number: u64) {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn integer(out: &mut BytesMut, number: Integer) {
        match number.as_u64() {
            Some(number) => Self::unsigned(out, number),
            None => out.extend_from_slice(itoa::Buffer::new().format(number.get()).as_bytes()),
        }
    }

    fn float(out: &mut BytesMut, number: f64) -> Result<(), &'static str> {
        number::write_float(out, number)
    }

    fn text(out: &mut BytesMut, text: &str) -> Result<(), &'static str> {
        if text.starts_with('\0') && binary_of(text).is_some() {
            return Err("text of NUL and base64, which would be read as binary data,");
        }
        string::write_string(out, text);
        Ok(())
    }

    fn binary(out: &mut BytesMut, bytes: &[u8]) {
        out.extend_from_slice(b"\"\\u0000");
        let begins = out.len();
        let length = base64::encoded_len(bytes.len(), true).unwrap_or_default();
        out.resize(begins + length, 0);
        // The space is exactly what the encoder asks for.
        let space = out.get_mut(begins..).unwrap_or_default();
        let written = STANDARD.encode_slice(bytes, space).unwrap_or_default();
        out.truncate(begins + written);
        out.extend_from_slice(b"\"");
    }

    fn begin_list(out: &mut BytesMut, _: usize) {
        out.extend_from_slice(b"[");
    }

    fn end_list(out: &mut BytesMut) {
        out.extend_from_slice(b"]");
    }

    fn begin_map(out: &mut BytesMut, _: usize) {
        out.extend_from_slice(b"{");
    }

    fn end_map(out: &mut BytesMut) {
        out.extend_from_slice(b"}");
    }

    fn separate(out: &mut BytesMut, first: bool) {
        if !first {
            out.extend_from_slice(b",");
        }
    }

    fn key(out: &mut BytesMut, key: &str) {
        string::write_string(out, key);
        out.extend_from_slice(b":");
    }
}
