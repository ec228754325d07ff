//! What the three formats have in common when read: a pull parser a format, one token at a time.
//! Message decoding, value building and transcoding are written once on top of it.

use bytes::Bytes;
use bytestring::ByteString;

use crate::value::Integer;

/// The next piece of data; a container is followed by its content.
#[derive(Debug)]
pub(crate) enum Token<'a> {
    /// Null, or what a format has for `undefined`.
    Null,
    Bool(bool),
    Integer(Integer),
    Float(f64),
    Text(Text<'a>),
    Binary(Blob<'a>),
    List(Open),
    Map(Open),
    /// Well-formed, but nothing that [`crate::value::Value`] has; names what it is. What follows
    /// it in the input is not defined: whoever meets it gives up.
    Foreign(&'static str),
}

impl Token<'_> {
    /// What it is, for messages: `a string`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Binary(_) => "binary data",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Foreign(what) => what,
        }
    }
}

/// Text as it stands in the input, or put together from pieces.
#[derive(Debug)]
pub(crate) enum Text<'a> {
    /// Still to be checked, which [`Reader::own`] and [`Reader::str`] do.
    Raw(&'a [u8]),
    /// Without the escapes or chunks it came in.
    Built(String),
}

impl Text<'_> {
    /// The bytes, to compare with known names.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Built(text) => text.as_bytes(),
        }
    }
}

/// Bytes as they stand in the input, or put together from pieces.
#[derive(Debug)]
pub(crate) enum Blob<'a> {
    Raw(&'a [u8]),
    Built(Vec<u8>),
}

impl Blob<'_> {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Built(bytes) => bytes,
        }
    }
}

/// A container that was opened; [`Reader::more`] counts in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    /// Items (or entries) to come, or [`Self::UNKNOWN`]. Small, so that it stays in a register:
    /// there are no more items than bytes, and no input of 4 GiB.
    left: u32,
    /// Whether none has been read.
    pub(crate) fresh: bool,
}

impl Open {
    const UNKNOWN: u32 = u32::MAX;

    pub(crate) const fn of(left: usize) -> Self {
        Self {
            left: left as u32,
            fresh: true,
        }
    }

    /// Where only the end will tell.
    pub(crate) const fn until_end() -> Self {
        Self {
            left: Self::UNKNOWN,
            fresh: true,
        }
    }

    /// As [`Self::until_end`], after the first item.
    pub(crate) const fn begun() -> Self {
        Self {
            left: Self::UNKNOWN,
            fresh: false,
        }
    }

    /// Items (or entries) to come, where that is known.
    pub(crate) const fn left(self) -> Option<usize> {
        match self.left {
            Self::UNKNOWN => None,
            left => Some(left as usize),
        }
    }

    /// For formats that tell the length: whether there is another one, which is then counted.
    pub(crate) const fn count(&mut self) -> Option<bool> {
        match self.left {
            Self::UNKNOWN => None,
            0 => Some(false),
            _ => {
                self.left -= 1;
                Some(true)
            }
        }
    }
}

/// What the next item is, as far as a message's payload has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Null,
    List,
    Map,
    /// A text, or bytes.
    Text,
    Other,
}

/// Bytes that are not what the format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Where, in bytes from the start of the input. Small, so that results stay in registers.
    at: u32,
    pub(crate) fault: Fault,
}

/// What is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooDeep,
    CutShort,
    Trailing,
    NotUtf8,
    NoValue,
    NoKey,
    NoColon,
    NoComma,
    Control,
    Escape,
    Hexadecimal,
    LoneSurrogate,
    NoDigit,
    LeadingZero,
    NeverUsed,
    ReservedLength,
    NoChunk,
    Break,
    LongSimple,
}

impl Fault {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::TooDeep => "nested too deeply",
            Self::CutShort => "the data ends too early",
            Self::Trailing => "something follows the end",
            Self::NotUtf8 => "text is not UTF-8",
            Self::NoValue => "expected a value",
            Self::NoKey => "expected a key",
            Self::NoColon => "expected a colon",
            Self::NoComma => "expected a comma or the end of the container",
            Self::Control => "a control character must be escaped",
            Self::Escape => "unknown escape",
            Self::Hexadecimal => "expected four hexadecimal digits",
            Self::LoneSurrogate => "a lone surrogate is not a character",
            Self::NoDigit => "expected a digit",
            Self::LeadingZero => "a number must not begin with zero",
            Self::NeverUsed => "0xc1 begins nothing",
            Self::ReservedLength => "a reserved length",
            Self::NoChunk => "expected a chunk of the string",
            Self::Break => "a break where nothing is to end",
            Self::LongSimple => "a simple value in two bytes",
        }
    }
}

impl Malformed {
    pub(crate) const fn new(at: usize, fault: Fault) -> Self {
        // A longer input than that does not come in; its faults would be placed wrongly.
        Self {
            at: at as u32,
            fault,
        }
    }

    pub(crate) const fn at(self) -> usize {
        self.at as usize
    }
}

/// A pull parser. `'a` is the life of the input.
pub(crate) trait Reader<'a>: Clone {
    /// Takes the next token.
    fn token(&mut self) -> Result<Token<'a>, Malformed>;

    /// Takes the opening of a container if that comes next, as [`Self::token`] would. This and
    /// the `plain_…` methods are the short way for what messages are mostly made of; where they
    /// say no, nothing has been taken, and [`Self::token`] will tell.
    fn enter(&mut self, container: End) -> Option<Open>;

    /// Takes a non-negative integer in its usual form.
    fn plain_unsigned(&mut self) -> Option<u64>;

    /// Takes text that stands in the input as it is; still to be checked by [`Self::slice`].
    fn plain_text(&mut self) -> Option<&'a [u8]>;

    /// As [`Self::plain_text`], for [`Self::key`].
    fn plain_key(&mut self) -> Option<&'a [u8]>;

    /// What the next item is; takes nothing.
    fn next(&mut self) -> Result<Next, Malformed>;

    /// Whether the container has another item (or entry), which then comes next; if not, the
    /// container's end has been taken.
    fn more(&mut self, open: &mut Open, end: End) -> Result<bool, Malformed>;

    /// Takes the key of a map's entry, so that its value comes next.
    fn key(&mut self) -> Result<Token<'a>, Malformed>;

    /// Takes a whole item with all it contains, at most `depth` containers within one another.
    /// It is well-formed if this succeeds.
    fn skip(&mut self, depth: u8) -> Result<(), Malformed>;

    /// Where the next item begins (after [`Self::next`]), or the last one ended.
    fn position(&self) -> usize;

    /// Where the text ends that [`Self::plain_text`] has just taken, without quotes.
    fn end_of_text(&self) -> usize;

    /// Nothing may follow.
    fn finish(&mut self) -> Result<(), Malformed>;

    /// The input, to cut slices from.
    fn source(&self) -> &'a Bytes;

    /// The text as a string of its own, a slice of the input where it stands there.
    fn own(&self, text: Text<'a>) -> Result<ByteString, Malformed> {
        match text {
            Text::Raw(bytes) => self.slice(bytes),
            Text::Built(text) => Ok(text.into()),
        }
    }

    /// A part of the input as a string, checked to be one.
    fn slice(&self, part: &'a [u8]) -> Result<ByteString, Malformed> {
        ByteString::try_from(self.source().slice_ref(part))
            .map_err(|_| Malformed::new(self.position(), Fault::NotUtf8))
    }

    /// The text to look at.
    fn str<'t>(&self, text: &'t Text<'a>) -> Result<&'t str, Malformed> {
        match text {
            Text::Raw(bytes) => std::str::from_utf8(bytes)
                .map_err(|_| Malformed::new(self.position(), Fault::NotUtf8)),
            Text::Built(text) => Ok(text),
        }
    }

    /// The bytes as a slice of the input where they stand there.
    fn own_blob(&self, blob: Blob<'a>) -> Bytes {
        match blob {
            Blob::Raw(bytes) => self.source().slice_ref(bytes),
            Blob::Built(bytes) => bytes.into(),
        }
    }
}

/// Which container is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    List,
    Map,
}
