//! CBOR read and written, RFC 8949. Used through `token.rs` and `write.rs`.
//! Read are indefinite lengths and longer forms than needed as well; written is neither.

mod skip;

use bytes::{Bytes, BytesMut};

use super::Serializer;
use super::token::{Blob, End, Fault, Malformed, Next, Open, Reader, Text, Token};
use super::write::Writer;
use crate::value::Integer;

/// Ends what has no length.
const BREAK: u8 = 0xff;

/// A pull parser over one input.
#[derive(Clone)]
pub(crate) struct CborReader<'a> {
    source: &'a Bytes,
    bytes: &'a [u8],
    at: usize,
}

/// The first byte of an item: three bits say what it is, five how its number follows.
/// RFC 8949, section 3.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Major {
    Unsigned,
    Negative,
    Binary,
    Text,
    List,
    Map,
    Tag,
    Simple,
}

/// The number of a head.
#[derive(Clone, Copy)]
enum Argument {
    /// With the five bits themselves, which tell floats from simple values.
    Number(u64, u8),
    Indefinite,
}

impl<'a> CborReader<'a> {
    pub(crate) fn new(source: &'a Bytes) -> Self {
        Self::within(source, source)
    }

    /// Reads `bytes`, a part of `source`; places count from their beginning.
    pub(crate) fn within(source: &'a Bytes, bytes: &'a [u8]) -> Self {
        Self {
            source,
            bytes,
            at: 0,
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self
            .bytes
            .get(self.at..self.at + N)
            .and_then(|bytes| bytes.try_into().ok())
        {
            Some(bytes) => {
                self.at += N;
                Ok(bytes)
            }
            None => Err(Malformed::new(self.bytes.len(), Fault::CutShort)),
        }
    }

    /// What follows the next byte.
    fn ahead<const N: usize>(&self) -> Option<[u8; N]> {
        self.bytes.get(self.at + 1..)?.first_chunk().copied()
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).ok();
        let end = length.and_then(|length| self.at.checked_add(length));
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, slice)) => {
                self.at = end;
                Ok(slice)
            }
            None => Err(Malformed::new(self.bytes.len(), Fault::CutShort)),
        }
    }

    fn head(&mut self) -> Result<(Major, Argument), Malformed> {
        let [first] = self.take()?;
        let major = match first >> 5 {
            0 => Major::Unsigned,
            1 => Major::Negative,
            2 => Major::Binary,
            3 => Major::Text,
            4 => Major::List,
            5 => Major::Map,
            6 => Major::Tag,
            _ => Major::Simple,
        };
        let info = first & 0x1f;
        let number = match info {
            0..24 => info.into(),
            24 => u64::from(u8::from_be_bytes(self.take()?)),
            25 => u64::from(u16::from_be_bytes(self.take()?)),
            26 => u64::from(u32::from_be_bytes(self.take()?)),
            27 => u64::from_be_bytes(self.take()?),
            31 if !matches!(major, Major::Unsigned | Major::Negative | Major::Tag) => {
                return Ok((major, Argument::Indefinite));
            }
            _ => return Err(Malformed::new(self.at - 1, Fault::ReservedLength)),
        };
        Ok((major, Argument::Number(number, info)))
    }

    /// Each of `items` takes a byte at least: a length that cannot be is found before anything
    /// is done with it.
    fn plausible(&self, items: u64, bytes_each: u64) -> Result<usize, Malformed> {
        let rest = (self.bytes.len() - self.at) as u64;
        match items.checked_mul(bytes_each) {
            Some(bytes) if bytes <= rest => Ok(items as usize),
            _ => Err(Malformed::new(self.at, Fault::CutShort)),
        }
    }

    /// The next chunk of an indefinite string of that kind, which has itself a length.
    fn chunk(&mut self, of: Major) -> Result<Option<&'a [u8]>, Malformed> {
        if self.bytes.get(self.at) == Some(&BREAK) {
            self.at += 1;
            return Ok(None);
        }
        let begins = self.at;
        match self.head()? {
            (major, Argument::Number(length, _)) if major == of => self.bytes(length).map(Some),
            _ => Err(Malformed::new(begins, Fault::NoChunk)),
        }
    }

    fn text(&mut self, argument: Argument) -> Result<Text<'a>, Malformed> {
        if let Argument::Number(length, _) = argument {
            return self.bytes(length).map(Text::Raw);
        }
        let mut built = String::new();
        while let Some(chunk) = self.chunk(Major::Text)? {
            let chunk = std::str::from_utf8(chunk);
            built.push_str(chunk.map_err(|_| Malformed::new(self.at, Fault::NotUtf8))?);
        }
        Ok(Text::Built(built))
    }

    fn blob(&mut self, argument: Argument) -> Result<Blob<'a>, Malformed> {
        if let Argument::Number(length, _) = argument {
            return self.bytes(length).map(Blob::Raw);
        }
        let mut built = Vec::new();
        while let Some(chunk) = self.chunk(Major::Binary)? {
            built.extend_from_slice(chunk);
        }
        Ok(Blob::Built(built))
    }

    fn open(&self, argument: Argument, bytes_each: u64) -> Result<Open, Malformed> {
        match argument {
            Argument::Number(items, _) => self.plausible(items, bytes_each).map(Open::of),
            Argument::Indefinite => Ok(Open::until_end()),
        }
    }

    /// Floats, and the few values that have a name. RFC 8949, section 3.3.
    fn simple(&self, argument: Argument) -> Result<Token<'a>, Malformed> {
        let Argument::Number(number, info) = argument else {
            return Err(Malformed::new(self.at - 1, Fault::Break));
        };
        Ok(match (info, number) {
            (20, _) => Token::Bool(false),
            (21, _) => Token::Bool(true),
            (22 | 23, _) => Token::Null,
            (24, 0..32) => return Err(Malformed::new(self.at - 1, Fault::LongSimple)),
            (25, _) => Token::Float(half(number as u16)),
            (26, _) => Token::Float(f32::from_bits(number as u32).into()),
            (27, _) => Token::Float(f64::from_bits(number)),
            _ => Token::Foreign("a CBOR simple value"),
        })
    }
}

/// The double that a float of 16 bits is. RFC 8949, appendix D.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (fraction + 1024.0) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// -1 − `number`.
fn negative<'a>(number: u64) -> Token<'a> {
    match i64::try_from(number) {
        Ok(number) => Token::Integer(Integer::from(-1 - number)),
        Err(_) => Token::Foreign("an integer of more than 64 bits"),
    }
}

impl<'a> Reader<'a> for CborReader<'a> {
    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        let (major, argument) = self.head()?;
        Ok(match (major, argument) {
            (Major::Unsigned, Argument::Number(number, _)) => Token::Integer(number.into()),
            (Major::Negative, Argument::Number(number, _)) => negative(number),
            (Major::Binary, _) => Token::Binary(self.blob(argument)?),
            (Major::Text, _) => Token::Text(self.text(argument)?),
            (Major::List, _) => Token::List(self.open(argument, 1)?),
            (Major::Map, _) => Token::Map(self.open(argument, 2)?),
            (Major::Simple, _) => self.simple(argument)?,
            (Major::Tag | Major::Unsigned | Major::Negative, _) => Token::Foreign("a CBOR tag"),
        })
    }

    #[inline]
    fn enter(&mut self, container: End) -> Option<Open> {
        let (first, bytes_each) = match container {
            End::List => (0x80, 1),
            End::Map => (0xa0, 2),
        };
        let items = usize::from(self.bytes.get(self.at)?.checked_sub(first)?);
        if items > 23 || items * bytes_each >= self.bytes.len() - self.at {
            return None;
        }
        self.at += 1;
        Some(Open::of(items))
    }

    #[inline]
    fn plain_unsigned(&mut self) -> Option<u64> {
        let (number, length) = match self.bytes.get(self.at)? {
            small @ 0x00..=0x17 => (u64::from(*small), 1),
            0x18 => (u64::from(*self.bytes.get(self.at + 1)?), 2),
            0x19 => (u64::from(u16::from_be_bytes(self.ahead()?)), 3),
            0x1a => (u64::from(u32::from_be_bytes(self.ahead()?)), 5),
            0x1b => (u64::from_be_bytes(self.ahead()?), 9),
            _ => return None,
        };
        self.at += length;
        Some(number)
    }

    #[inline]
    fn plain_text(&mut self) -> Option<&'a [u8]> {
        let (begins, length) = match self.bytes.get(self.at)? {
            short @ 0x60..=0x77 => (self.at + 1, usize::from(short & 0x1f)),
            0x78 => (self.at + 2, usize::from(*self.bytes.get(self.at + 1)?)),
            _ => return None,
        };
        let text = self.bytes.get(begins..begins + length)?;
        self.at = begins + length;
        Some(text)
    }

    #[inline]
    fn plain_key(&mut self) -> Option<&'a [u8]> {
        self.plain_text()
    }

    fn next(&mut self) -> Result<Next, Malformed> {
        Ok(match self.bytes.get(self.at) {
            Some(0xf6 | 0xf7) => Next::Null,
            Some(0x80..=0x9f) => Next::List,
            Some(0xa0..=0xbf) => Next::Map,
            Some(0x40..=0x7f) => Next::Text,
            Some(_) => Next::Other,
            None => return Err(Malformed::new(self.at, Fault::CutShort)),
        })
    }

    fn more(&mut self, open: &mut Open, _: End) -> Result<bool, Malformed> {
        open.fresh = false;
        if let Some(more) = open.count() {
            return Ok(more);
        }
        match self.bytes.get(self.at) {
            Some(&BREAK) => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Ok(true),
            None => Err(Malformed::new(self.at, Fault::CutShort)),
        }
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        self.token()
    }

    fn skip(&mut self, depth: u8) -> Result<(), Malformed> {
        self.skip_item(depth)
    }

    fn position(&self) -> usize {
        self.at
    }

    fn end_of_text(&self) -> usize {
        self.at
    }

    fn finish(&mut self) -> Result<(), Malformed> {
        match self.at < self.bytes.len() {
            true => Err(Malformed::new(self.at, Fault::Trailing)),
            false => Ok(()),
        }
    }

    fn source(&self) -> &'a Bytes {
        self.source
    }
}

/// Writes the shortest head of everything; doubles as doubles.
pub enum CborWriter {}

fn put(out: &mut BytesMut, major: Major, number: u64) {
    let major = (major as u8) << 5;
    let mut head = [0; 9];
    let [first, rest @ ..] = &mut head;
    let length = if number < 24 {
        *first = major | number as u8;
        0
    } else if let Ok(number) = u8::try_from(number) {
        *first = major | 24;
        copy(rest, number.to_be_bytes())
    } else if let Ok(number) = u16::try_from(number) {
        *first = major | 25;
        copy(rest, number.to_be_bytes())
    } else if let Ok(number) = u32::try_from(number) {
        *first = major | 26;
        copy(rest, number.to_be_bytes())
    } else {
        *first = major | 27;
        copy(rest, number.to_be_bytes())
    };
    out.extend_from_slice(head.get(..=length).unwrap_or_default());
}

fn copy<const N: usize>(space: &mut [u8; 8], bytes: [u8; N]) -> usize {
    if let Some(space) = space.first_chunk_mut() {
        *space = bytes;
    }
    N
}

impl Writer for CborWriter {
    const SERIALIZER: Serializer = Serializer::Cbor;
    const COUNTS: bool = true;

    fn null(out: &mut BytesMut) {
        out.extend_from_slice(&[0xf6]);
    }

    fn bool(out: &mut BytesMut, bool: bool) {
        out.extend_from_slice(&[0xf4 + u8::from(bool)]);
    }

    fn unsigned(out: &mut BytesMut, number: u64) {
        put(out, Major::Unsigned, number);
    }

    fn integer(out: &mut BytesMut, number: Integer) {
        match number.as_u64() {
            Some(number) => put(out, Major::Unsigned, number),
            // Negative numbers are from -1 down: the complement is -1 minus the number.
            None => {
                put(
                    out,
                    Major::Negative,
                    !number.as_i64().unwrap_or_default().cast_unsigned(),
                );
            }
        }
    }

    fn float(out: &mut BytesMut, number: f64) -> Result<(), &'static str> {
        let mut bytes = [0xfb; 9];
        let [_, rest @ ..] = &mut bytes;
        *rest = number.to_be_bytes();
        out.extend_from_slice(&bytes);
        Ok(())
    }

    fn text(out: &mut BytesMut, text: &str) -> Result<(), &'static str> {
        Self::key(out, text);
        Ok(())
    }

    fn binary(out: &mut BytesMut, bytes: &[u8]) {
        put(out, Major::Binary, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }

    fn begin_list(out: &mut BytesMut, items: usize) {
        put(out, Major::List, items as u64);
    }

    fn end_list(_: &mut BytesMut) {}

    fn begin_map(out: &mut BytesMut, entries: usize) {
        put(out, Major::Map, entries as u64);
    }

    fn end_map(_: &mut BytesMut) {}

    fn separate(_: &mut BytesMut, _: bool) {}

    fn key(out: &mut BytesMut, key: &str) {
        put(out, Major::Text, key.len() as u64);
        out.extend_from_slice(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_16_bits_are_what_appendix_a_of_the_rfc_says() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0x3e00, 1.5),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x0400, 0.000_061_035_156_25),
            (0xc400, -4.0),
            (0x7c00, f64::INFINITY),
            (0xfc00, f64::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), expected, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }
}
