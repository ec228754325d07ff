//! JSON read and written, RFC 8259, with WAMP's convention for binary data. Used through
//! `token.rs` and `write.rs`.
//!
//! The whole input is known to be UTF-8 before reading begins, so that strings are only looked
//! through for their end.

mod number;
mod string;
mod skip;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};

pub(crate) use self::skip::flat_list_end;
use self::skip::{after, literal_end, value_end};
pub(crate) use self::string::plain_name;
use super::Serializer;
use super::token::{Blob, End, Fault, Malformed, Next, Open, Reader, Text, Token};
use super::write::Writer;
use crate::value::Integer;

/// Reads base64 with or without padding; what is written always has it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A pull parser over one text.
#[derive(Clone)]
pub(crate) struct JsonReader<'a> {
    source: &'a Bytes,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> JsonReader<'a> {
    /// `text` is all of `source`.
    pub(crate) fn new(source: &'a Bytes, text: &'a str) -> Self {
        Self::within(source, text.as_bytes(), 0)
    }

    /// Reads `bytes`, a part of `source`, from `at` on, where it is UTF-8; places count from their
    /// beginning.
    pub(crate) fn within(source: &'a Bytes, bytes: &'a [u8], at: usize) -> Self {
        Self { source, bytes, at }
    }

    /// The non-negative integer at `at`, where it is in its usual form, and its end.
    #[inline(always)]
    pub(crate) fn plain_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        number::plain_unsigned(bytes, at)
    }

    /// Skips whitespace and looks at what follows.
    fn sight(&mut self) -> Option<u8> {
        self.at = blank_end(self.bytes, self.at);
        self.bytes.get(self.at).copied()
    }

    fn fault(&self, what: Fault) -> Malformed {
        fault(self.bytes, self.at, what)
    }

    fn literal(&mut self, literal: &[u8], token: Token<'a>) -> Result<Token<'a>, Malformed> {
        self.at = literal_end(self.bytes, self.at, literal)?;
        Ok(token)
    }
}

/// What is wrong at `at`: `what`, or that nothing is there any more.
#[cold]
fn fault(bytes: &[u8], at: usize, what: Fault) -> Malformed {
    match at < bytes.len() {
        true => Malformed::new(at, what),
        false => Malformed::new(bytes.len(), Fault::CutShort),
    }
}

/// Where the whitespace at `at` ends. Mostly there is none, which one comparison tells.
#[inline]
fn blank_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'!'..) => at,
        _ => some_blank_end(bytes, at),
    }
}

#[cold]
fn some_blank_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
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
            Some(b't') => self.literal(b"true", Token::Bool(true))?,
            Some(b'f') => self.literal(b"false", Token::Bool(false))?,
            Some(b'n') => self.literal(b"null", Token::Null)?,
            _ => return Err(self.fault(Fault::NoValue)),
        })
    }

    #[inline]
    fn enter(&mut self, container: End) -> Option<Open> {
        let opening = match container {
            End::List => b'[',
            End::Map => b'{',
        };
        (self.sight() == Some(opening)).then(|| {
            self.at += 1;
            Open::until_end()
        })
    }

    #[inline]
    fn plain_text(&mut self) -> Option<&'a [u8]> {
        let begins = blank_end(self.bytes, self.at);
        let (text, end) = string::plain(self.bytes, begins)?;
        self.at = end;
        Some(text)
    }

    #[inline]
    fn plain_key(&mut self) -> Option<&'a [u8]> {
        let begins = blank_end(self.bytes, self.at);
        let (text, end) = string::plain(self.bytes, begins)?;
        self.at = after(self.bytes, end, b':', Fault::NoColon).ok()?;
        Some(text)
    }

    #[inline]
    fn plain_unsigned(&mut self) -> Option<u64> {
        let begins = blank_end(self.bytes, self.at);
        let (number, end) = number::plain_unsigned(self.bytes, begins)?;
        self.at = end;
        Some(number)
    }

    fn next(&mut self) -> Result<Next, Malformed> {
        Ok(match self.sight() {
            Some(b'n') => Next::Null,
            Some(b'[') => Next::List,
            Some(b'{') => Next::Map,
            Some(b'"') => Next::Text,
            Some(_) => Next::Other,
            None => return Err(self.fault(Fault::NoValue)),
        })
    }

    #[inline]
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
            _ => Err(self.fault(Fault::NoComma)),
        }
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        self.at = after(self.bytes, self.at, b'"', Fault::NoKey)?;
        let key = self.string()?;
        self.at = after(self.bytes, self.at, b':', Fault::NoColon)?;
        Ok(Token::Text(key))
    }

    fn skip(&mut self, depth: u8) -> Result<(), Malformed> {
        self.at = value_end(self.bytes, self.at, depth)?;
        Ok(())
    }

    fn position(&self) -> usize {
        self.at
    }

    fn end_of_text(&self) -> usize {
        self.at - 1
    }

    fn finish(&mut self) -> Result<(), Malformed> {
        match self.sight() {
            None => Ok(()),
            Some(_) => Err(self.fault(Fault::Trailing)),
        }
    }

    fn source(&self) -> &'a Bytes {
        self.source
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
