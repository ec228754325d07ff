//! From bytes of one serializer to bytes of another, or to a tree. Nothing is changed silently:
//! what the target cannot express exactly is an error that says what and where.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::token::{End, Fault, Malformed, Next, Open, Reader, Token};
use super::write::Writer;
use crate::value::{Dict, Value};

/// Why data cannot be had in another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// Something that the target does not have, such as an infinite number in JSON.
    #[error("{path}: {what} cannot be expressed in {target}")]
    Unrepresentable {
        /// What it is.
        what: &'static str,
        /// Where it is, such as `args[2].price`.
        path: String,
        /// The serializer's name, or `a value`.
        target: &'static str,
    },
    /// The data was never well-formed.
    #[error("malformed data at byte {at}: {what}")]
    Malformed {
        /// Where, in bytes from the start of the data.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Lists and maps are nested more deeply than allowed, see [`super::Limits`].
    #[error("the data at byte {at} is nested too deeply")]
    TooDeep {
        /// Where, in bytes from the start of the data.
        at: usize,
    },
    /// More values than a tree may have, see [`super::Limits`].
    #[error("{path}: more than {limit} values")]
    TooMany {
        /// Where the limit was reached.
        path: String,
        /// The limit.
        limit: usize,
    },
}

/// Of a key only so much is repeated in an error.
const KEY_BYTES_SHOWN: usize = 64;

impl TranscodeError {
    pub(crate) const fn unrepresentable(what: &'static str, target: &'static str) -> Self {
        Self::Unrepresentable {
            what,
            path: String::new(),
            target,
        }
    }

    pub(crate) fn within_item(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    pub(crate) fn within_key(self, key: &str) -> Self {
        let end = (0..=KEY_BYTES_SHOWN.min(key.len()))
            .rev()
            .find(|&end| key.is_char_boundary(end));
        let end = end.unwrap_or_default();
        let more = if end < key.len() { "…" } else { "" };
        self.within(&format!(".{}{more}", key.get(..end).unwrap_or_default()))
    }

    /// With `place` before the path.
    pub(crate) fn within(mut self, place: &str) -> Self {
        match &mut self {
            Self::Unrepresentable { path, .. } | Self::TooMany { path, .. } => {
                path.insert_str(0, place);
            }
            Self::Malformed { .. } | Self::TooDeep { .. } => {}
        }
        self
    }
}

impl From<Malformed> for TranscodeError {
    fn from(malformed: Malformed) -> Self {
        match malformed.fault {
            Fault::TooDeep => Self::TooDeep { at: malformed.at() },
            fault => Self::Malformed {
                at: malformed.at(),
                what: fault.text(),
            },
        }
    }
}

/// Copies one item at most `depth` containers deep from `reader` to the end of `out`.
pub(crate) fn copy<'a, R: Reader<'a>, W: Writer>(
    reader: &mut R,
    depth: u8,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    Copy {
        reader,
        lengths: VecDeque::new(),
        out,
    }
    .item::<W>(depth)
}

struct Copy<'r, R> {
    reader: &'r mut R,
    /// Lengths of containers to come whose heads do not tell, in the order of their beginnings.
    lengths: VecDeque<usize>,
    out: &'r mut BytesMut,
}

impl<'a, R: Reader<'a>> Copy<'_, R> {
    fn item<W: Writer>(&mut self, depth: u8) -> Result<(), TranscodeError> {
        let begins = self.reader.clone();
        let inexpressible = |what| TranscodeError::unrepresentable(what, W::SERIALIZER.name());
        match self.reader.token()? {
            Token::Null => W::null(self.out),
            Token::Bool(bool) => W::bool(self.out, bool),
            Token::Integer(number) => W::integer(self.out, number),
            Token::Float(number) => W::float(self.out, number).map_err(inexpressible)?,
            Token::Text(text) => {
                let text = self.reader.str(&text)?;
                W::text(self.out, text).map_err(inexpressible)?;
            }
            Token::Binary(blob) => W::binary(self.out, blob.as_bytes()),
            Token::List(open) => {
                let length = self.length::<W>(open, begins, depth)?;
                self.list::<W>(open, length, depth)?;
            }
            Token::Map(open) => {
                let length = self.length::<W>(open, begins, depth)?;
                self.map::<W>(open, length, depth)?;
            }
            Token::Foreign(what) => return Err(inexpressible(what)),
        }
        Ok(())
    }

    fn list<W: Writer>(
        &mut self,
        mut open: Open,
        length: usize,
        depth: u8,
    ) -> Result<(), TranscodeError> {
        W::begin_list(self.out, length);
        let mut index = 0;
        while self.reader.more(&mut open, End::List)? {
            let depth = deeper(depth, self.reader)?;
            W::separate(self.out, index == 0);
            self.item::<W>(depth)
                .map_err(|error| error.within_item(index))?;
            index += 1;
        }
        W::end_list(self.out);
        Ok(())
    }

    fn map<W: Writer>(
        &mut self,
        mut open: Open,
        length: usize,
        depth: u8,
    ) -> Result<(), TranscodeError> {
        W::begin_map(self.out, length);
        let mut first = true;
        while self.reader.more(&mut open, End::Map)? {
            let depth = deeper(depth, self.reader)?;
            let Token::Text(key) = self.reader.key()? else {
                return Err(TranscodeError::unrepresentable(
                    NOT_A_KEY,
                    W::SERIALIZER.name(),
                ));
            };
            let key = self.reader.str(&key)?;
            W::separate(self.out, std::mem::replace(&mut first, false));
            W::key(self.out, key);
            self.item::<W>(depth)
                .map_err(|error| error.within_key(key))?;
        }
        W::end_map(self.out);
        Ok(())
    }

    /// How many items the container has. Where only its end would tell, the reader is sent
    /// ahead once for all containers within it, so that the whole remains linear.
    fn length<W: Writer>(
        &mut self,
        open: Open,
        begins: R,
        depth: u8,
    ) -> Result<usize, TranscodeError> {
        match open.left() {
            Some(length) => Ok(length),
            None if !W::COUNTS => Ok(0),
            None => {
                if self.lengths.is_empty() {
                    count(&mut begins.clone(), depth, &mut self.lengths)?;
                }
                Ok(self.lengths.pop_front().unwrap_or_default())
            }
        }
    }
}

/// Appends the lengths of the container that comes next, and of all within it, that their heads
/// do not tell.
fn count<'a, R: Reader<'a>>(
    reader: &mut R,
    depth: u8,
    lengths: &mut VecDeque<usize>,
) -> Result<(), Malformed> {
    let (mut open, end) = match reader.next()? {
        Next::Null | Next::Text | Next::Other => return reader.skip(depth),
        Next::List | Next::Map => match reader.token()? {
            Token::List(open) => (open, End::List),
            Token::Map(open) => (open, End::Map),
            _ => return Ok(()),
        },
    };
    let place = open.left().is_none().then(|| {
        lengths.push_back(0);
        lengths.len() - 1
    });
    let mut items = 0;
    while reader.more(&mut open, end)? {
        let depth = deeper(depth, reader)?;
        if end == End::Map {
            reader.key()?;
        }
        count(reader, depth, lengths)?;
        items += 1;
    }
    if let Some(length) = place.and_then(|place| lengths.get_mut(place)) {
        *length = items;
    }
    Ok(())
}

/// A key that is not text.
pub(crate) const NOT_A_KEY: &str = "a key that is not a string";

fn deeper<'a>(depth: u8, reader: &impl Reader<'a>) -> Result<u8, Malformed> {
    depth
        .checked_sub(1)
        .ok_or(Malformed::new(reader.position(), Fault::TooDeep))
}

/// Builds trees, of at most so many values altogether.
pub(crate) struct Builder {
    limit: usize,
    left: usize,
}

impl Builder {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, left: limit }
    }

    /// Counts one value.
    pub(crate) fn count(&mut self) -> Result<(), TranscodeError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(TranscodeError::TooMany {
                path: String::new(),
                limit: self.limit,
            }),
        }
    }

    /// The next item as a tree.
    pub(crate) fn value<'a, R: Reader<'a>>(
        &mut self,
        reader: &mut R,
        depth: u8,
    ) -> Result<Value, TranscodeError> {
        let token = reader.token()?;
        self.value_of(token, reader, depth)
    }

    /// `token`, which has just been taken, and what follows it, as a tree.
    pub(crate) fn value_of<'a, R: Reader<'a>>(
        &mut self,
        token: Token<'a>,
        reader: &mut R,
        depth: u8,
    ) -> Result<Value, TranscodeError> {
        self.count()?;
        Ok(match token {
            Token::Null => Value::Null,
            Token::Bool(bool) => Value::Bool(bool),
            Token::Integer(number) => Value::Integer(number),
            Token::Float(number) => Value::Float(number),
            Token::Text(text) => Value::String(reader.own(text)?),
            Token::Binary(blob) => Value::Binary(reader.own_blob(blob)),
            Token::List(open) => Value::List(self.list(open, reader, depth)?),
            Token::Map(open) => Value::Map(self.map(open, reader, depth)?),
            Token::Foreign(what) => return Err(TranscodeError::unrepresentable(what, "a value")),
        })
    }

    fn list<'a, R: Reader<'a>>(
        &mut self,
        mut open: Open,
        reader: &mut R,
        depth: u8,
    ) -> Result<Vec<Value>, TranscodeError> {
        let mut items = Vec::new();
        while reader.more(&mut open, End::List)? {
            let depth = deeper(depth, reader)?;
            let index = items.len();
            items.push(
                self.value(reader, depth)
                    .map_err(|error| error.within_item(index))?,
            );
        }
        Ok(items)
    }

    /// The rest of a map whose opening has just been taken.
    pub(crate) fn map<'a, R: Reader<'a>>(
        &mut self,
        mut open: Open,
        reader: &mut R,
        depth: u8,
    ) -> Result<Dict, TranscodeError> {
        let mut dict = Dict::new();
        while reader.more(&mut open, End::Map)? {
            let depth = deeper(depth, reader)?;
            let Token::Text(key) = reader.key()? else {
                return Err(TranscodeError::unrepresentable(NOT_A_KEY, "a value"));
            };
            let key = reader.own(key)?;
            let value = self
                .value(reader, depth)
                .map_err(|error| error.within_key(&key))?;
            dict.push(key, value);
        }
        Ok(dict)
    }
}
