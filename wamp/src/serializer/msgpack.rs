//! MessagePack read and written. Used through `token.rs` and `write.rs`.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::token::{Blob, End, Fault, Malformed, Next, Open, Reader, Text, Token};
use super::write::Writer;
use super::{Serializer, is_ascii};
use crate::value::Integer;

/// A pull parser over one input.
#[derive(Clone)]
pub(crate) struct MsgPackReader<'a> {
    source: &'a Bytes,
    bytes: &'a [u8],
    at: usize,
}

/// A first byte and the length that follows it.
enum Head {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(usize),
    Binary(usize),
    List(usize),
    Map(usize),
    /// Type and length.
    Extension(u8, usize),
}

impl<'a> MsgPackReader<'a> {
    pub(crate) fn new(source: &'a Bytes) -> Self {
        Self::within(source, source, 0)
    }

    /// Reads `bytes`, a part of `source`, from `at` on; places count from their beginning.
    pub(crate) fn within(source: &'a Bytes, bytes: &'a [u8], at: usize) -> Self {
        Self { source, bytes, at }
    }

    /// The non-negative integer at `at`, where something follows it, and its end.
    #[inline(always)]
    pub(crate) fn plain_number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
        let first = *bytes.get(at)?;
        if first <= 0x7f {
            return Some((first.into(), at + 1));
        }
        // 1, 2, 4 or 8 bytes, taken out of eight.
        let power = first.checked_sub(0xcc).filter(|power| *power <= 3)?;
        let length = 1 << power;
        let following = u64::from_be_bytes(*bytes.get(at + 1..)?.first_chunk()?);
        Some((following >> (64 - 8 * length), at + 1 + length))
    }

    /// Where the list at `at` ends, if it is short and has nothing in it but what data mostly
    /// consists of.
    #[inline(always)]
    pub(crate) fn flat_list_end(bytes: &[u8], at: usize) -> Option<usize> {
        let mut items = bytes.get(at)?.checked_sub(0x90)?;
        if items > 15 {
            return None;
        }
        let mut at = at + 1;
        while items > 0 {
            at = short_end(bytes, at)?;
            items -= 1;
        }
        Some(at)
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

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(slice) => {
                self.at += length;
                Ok(slice)
            }
            None => Err(Malformed::new(self.bytes.len(), Fault::CutShort)),
        }
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let first = self.u8()?;
        Ok(match first {
            0x00..=0x7f => Head::Unsigned(first.into()),
            0x80..=0x8f => Head::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Head::List(usize::from(first & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(first & 0x1f)),
            0xc0 => Head::Null,
            0xc1 => return Err(Malformed::new(self.at - 1, Fault::NeverUsed)),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4 => Head::Binary(self.u8()?.into()),
            0xc5 => Head::Binary(self.u16()?.into()),
            0xc6 => Head::Binary(self.u32()? as usize),
            0xc7..=0xc9 | 0xd4..=0xd8 => self.extension_head(first)?,
            0xca => Head::Float(f32::from_be_bytes(self.take()?).into()),
            0xcb => Head::Float(f64::from_be_bytes(self.take()?)),
            0xcc => Head::Unsigned(self.u8()?.into()),
            0xcd => Head::Unsigned(self.u16()?.into()),
            0xce => Head::Unsigned(self.u32()?.into()),
            0xcf => Head::Unsigned(u64::from_be_bytes(self.take()?)),
            0xd0 => Head::Signed(i8::from_be_bytes(self.take()?).into()),
            0xd1 => Head::Signed(i16::from_be_bytes(self.take()?).into()),
            0xd2 => Head::Signed(i32::from_be_bytes(self.take()?).into()),
            0xd3 => Head::Signed(i64::from_be_bytes(self.take()?)),
            0xd9 => Head::Text(self.u8()?.into()),
            0xda => Head::Text(self.u16()?.into()),
            0xdb => Head::Text(self.u32()? as usize),
            0xdc => Head::List(self.u16()?.into()),
            0xdd => Head::List(self.u32()? as usize),
            0xde => Head::Map(self.u16()?.into()),
            0xdf => Head::Map(self.u32()? as usize),
            0xe0..=0xff => Head::Signed(first.cast_signed().into()),
        })
    }

    fn extension_head(&mut self, first: u8) -> Result<Head, Malformed> {
        let length = match first {
            0xc7 => self.u8()?.into(),
            0xc8 => self.u16()?.into(),
            0xc9 => self.u32()? as usize,
            fixed => 1 << (fixed - 0xd4),
        };
        Ok(Head::Extension(self.u8()?, length))
    }

    /// Each of `items` takes a byte at least: a length that cannot be is found before anything
    /// is done with it.
    fn plausible(&self, items: usize, bytes_each: usize) -> Result<usize, Malformed> {
        let rest = self.bytes.len() - self.at;
        match items.checked_mul(bytes_each) {
            Some(bytes) if bytes <= rest => Ok(items),
            _ => Err(Malformed::new(self.at, Fault::CutShort)),
        }
    }

    /// Takes an item; of a container only the head, and returns how many items it has.
    fn skip_item(&mut self) -> Result<Option<usize>, Malformed> {
        match self.head()? {
            Head::Null | Head::Bool(_) | Head::Unsigned(_) | Head::Signed(_) | Head::Float(_) => {}
            Head::Text(length) => {
                let begins = self.at;
                if std::str::from_utf8(self.bytes(length)?).is_err() {
                    return Err(Malformed::new(begins, Fault::NotUtf8));
                }
            }
            Head::Binary(length) | Head::Extension(_, length) => drop(self.bytes(length)?),
            Head::List(items) => return self.plausible(items, 1).map(Some),
            Head::Map(entries) => {
                return self.plausible(entries, 2).map(|entries| Some(entries * 2));
            }
        }
        Ok(None)
    }

    /// As [`Reader::skip`].
    fn skip_any(&mut self, depth: u8) -> Result<(), Malformed> {
        // Items still to come in the containers around the one being read.
        let mut around = SmallVec::<[usize; 16]>::new();
        let mut left = 1_usize;
        loop {
            while left == 0 {
                match around.pop() {
                    Some(outer) => left = outer,
                    None => return Ok(()),
                }
            }
            left -= 1;
            let begins = self.at;
            if let Some(end) = short_end(self.bytes, begins) {
                self.at = end;
            } else if let Some(items) = self.skip_item()?
                && items > 0
            {
                if around.len() >= usize::from(depth) {
                    return Err(Malformed::new(begins, Fault::TooDeep));
                }
                around.push(left);
                left = items;
            }
        }
    }
}

/// Where the item at `at` ends, if it is of the kinds that data mostly consists of; the others
/// are left to [`MsgPackReader::skip_item`].
#[inline(always)]
fn short_end(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at)?;
    // Texts first, and told by comparing: a jump to one of ten places costs as much as checking
    // one.
    if first == 0xd9 {
        return ascii_end(bytes, at + 2, (*bytes.get(at + 1)?).into());
    }
    if first & 0xe0 == 0xa0 {
        return ascii_end(bytes, at + 1, (first & 0x1f).into());
    }
    let length = match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
        0xcc | 0xd0 => 2,
        0xcd | 0xd1 => 3,
        0xca | 0xce | 0xd2 => 5,
        0xcb | 0xcf | 0xd3 => 9,
        _ => return None,
    };
    (at + length <= bytes.len()).then_some(at + length)
}

/// Where a text of that length ends, if it is ASCII.
#[inline]
fn ascii_end(bytes: &[u8], begins: usize, length: usize) -> Option<usize> {
    let end = begins + length;
    is_ascii(bytes.get(begins..end)?).then_some(end)
}

impl<'a> Reader<'a> for MsgPackReader<'a> {
    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        Ok(match self.head()? {
            Head::Null => Token::Null,
            Head::Bool(bool) => Token::Bool(bool),
            Head::Unsigned(number) => Token::Integer(number.into()),
            Head::Signed(number) => Token::Integer(number.into()),
            Head::Float(number) => Token::Float(number),
            Head::Text(length) => Token::Text(Text::Raw(self.bytes(length)?)),
            Head::Binary(length) => Token::Binary(Blob::Raw(self.bytes(length)?)),
            Head::List(items) => Token::List(Open::of(self.plausible(items, 1)?)),
            Head::Map(entries) => Token::Map(Open::of(self.plausible(entries, 2)?)),
            Head::Extension(0, length) => {
                self.bytes(length)?;
                Token::Null
            }
            Head::Extension(_, length) => {
                self.bytes(length)?;
                Token::Foreign("a MessagePack extension")
            }
        })
    }

    #[inline(always)]
    fn enter(&mut self, container: End) -> Option<Open> {
        let (first, bytes_each) = match container {
            End::List => (0x90, 1),
            End::Map => (0x80, 2),
        };
        let items = usize::from(self.bytes.get(self.at)?.checked_sub(first)?);
        if items > 15 || items * bytes_each >= self.bytes.len() - self.at {
            return None;
        }
        self.at += 1;
        Some(Open::of(items))
    }

    #[inline(always)]
    fn plain_unsigned(&mut self) -> Option<u64> {
        let (number, length) = match self.bytes.get(self.at)? {
            small @ 0x00..=0x7f => (u64::from(*small), 1),
            0xcc => (u64::from(*self.bytes.get(self.at + 1)?), 2),
            0xcd => (u64::from(u16::from_be_bytes(self.ahead()?)), 3),
            0xce => (u64::from(u32::from_be_bytes(self.ahead()?)), 5),
            0xcf => (u64::from_be_bytes(self.ahead()?), 9),
            _ => return None,
        };
        self.at += length;
        Some(number)
    }

    #[inline(always)]
    fn plain_text(&mut self) -> Option<&'a [u8]> {
        let (begins, length) = match self.bytes.get(self.at)? {
            short @ 0xa0..=0xbf => (self.at + 1, usize::from(short & 0x1f)),
            0xd9 => (self.at + 2, usize::from(*self.bytes.get(self.at + 1)?)),
            _ => return None,
        };
        let text = self.bytes.get(begins..begins + length)?;
        self.at = begins + length;
        Some(text)
    }

    #[inline(always)]
    fn plain_key(&mut self) -> Option<&'a [u8]> {
        self.plain_text()
    }

    #[inline]
    fn next(&mut self) -> Result<Next, Malformed> {
        match self.bytes.get(self.at) {
            Some(0x90..=0x9f) => return Ok(Next::List),
            Some(0x80..=0x8f) => return Ok(Next::Map),
            _ => {}
        }
        let mut ahead = self.clone();
        Ok(match ahead.head()? {
            Head::Null | Head::Extension(0, _) => Next::Null,
            Head::List(_) => Next::List,
            Head::Map(_) => Next::Map,
            Head::Text(_) | Head::Binary(_) => Next::Text,
            _ => Next::Other,
        })
    }

    #[inline(always)]
    fn more(&mut self, open: &mut Open, _: End) -> Result<bool, Malformed> {
        open.fresh = false;
        Ok(open.count().unwrap_or(false))
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        self.token()
    }

    #[inline]
    fn skip(&mut self, depth: u8) -> Result<(), Malformed> {
        match Self::flat_list_end(self.bytes, self.at) {
            Some(end) if depth > 0 => {
                self.at = end;
                Ok(())
            }
            _ => self.skip_any(depth),
        }
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

/// Writes the shortest form of everything; doubles as doubles.
pub enum MsgPackWriter {}

/// A head of one byte with a big-endian length or number of `N` bytes.
fn put<const N: usize>(out: &mut BytesMut, first: u8, rest: [u8; N]) {
    let mut head = [first; 9];
    if let Some(space) = head.get_mut(1..=N) {
        space.copy_from_slice(&rest);
    }
    out.extend_from_slice(head.get(..=N).unwrap_or_default());
}

impl Writer for MsgPackWriter {
    const SERIALIZER: Serializer = Serializer::MsgPack;
    const COUNTS: bool = true;

    fn null(out: &mut BytesMut) {
        put(out, 0xc0, []);
    }

    fn bool(out: &mut BytesMut, bool: bool) {
        put(out, 0xc2 + u8::from(bool), []);
    }

    fn unsigned(out: &mut BytesMut, number: u64) {
        if number < 0x80 {
            put(out, number as u8, []);
        } else if let Ok(number) = u8::try_from(number) {
            put(out, 0xcc, [number]);
        } else if let Ok(number) = u16::try_from(number) {
            put(out, 0xcd, number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(number) {
            put(out, 0xce, number.to_be_bytes());
        } else {
            put(out, 0xcf, number.to_be_bytes());
        }
    }

    fn integer(out: &mut BytesMut, number: Integer) {
        let Some(number) = number.as_i64().filter(|number| *number < 0) else {
            return Self::unsigned(out, number.as_u64().unwrap_or_default());
        };
        if let Ok(number) = i8::try_from(number) {
            match number >= -32 {
                true => put(out, number.cast_unsigned(), []),
                false => put(out, 0xd0, number.to_be_bytes()),
            }
        } else if let Ok(number) = i16::try_from(number) {
            put(out, 0xd1, number.to_be_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            put(out, 0xd2, number.to_be_bytes());
        } else {
            put(out, 0xd3, number.to_be_bytes());
        }
    }

    fn float(out: &mut BytesMut, number: f64) -> Result<(), &'static str> {
        put(out, 0xcb, number.to_be_bytes());
        Ok(())
    }

    fn text(out: &mut BytesMut, text: &str) -> Result<(), &'static str> {
        Self::key(out, text);
        Ok(())
    }

    fn binary(out: &mut BytesMut, bytes: &[u8]) {
        if let Ok(length) = u8::try_from(bytes.len()) {
            put(out, 0xc4, [length]);
        } else if let Ok(length) = u16::try_from(bytes.len()) {
            put(out, 0xc5, length.to_be_bytes());
        } else {
            put(out, 0xc6, (bytes.len() as u32).to_be_bytes());
        }
        out.extend_from_slice(bytes);
    }

    fn begin_list(out: &mut BytesMut, items: usize) {
        match items {
            0..=15 => put(out, 0x90 | items as u8, []),
            16..=0xffff => put(out, 0xdc, (items as u16).to_be_bytes()),
            _ => put(out, 0xdd, (items as u32).to_be_bytes()),
        }
    }

    fn end_list(_: &mut BytesMut) {}

    fn begin_map(out: &mut BytesMut, entries: usize) {
        match entries {
            0..=15 => put(out, 0x80 | entries as u8, []),
            16..=0xffff => put(out, 0xde, (entries as u16).to_be_bytes()),
            _ => put(out, 0xdf, (entries as u32).to_be_bytes()),
        }
    }

    fn end_map(_: &mut BytesMut) {}

    fn separate(_: &mut BytesMut, _: bool) {}

    fn key(out: &mut BytesMut, key: &str) {
        match key.len() {
            length @ 0..=31 => put(out, 0xa0 | length as u8, []),
            length @ 32..=0xff => put(out, 0xd9, [length as u8]),
            length @ 0x100..=0xffff => put(out, 0xda, (length as u16).to_be_bytes()),
            length => put(out, 0xdb, (length as u32).to_be_bytes()),
        }
        out.extend_from_slice(key.as_bytes());
    }
}
