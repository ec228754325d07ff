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
    /// Known to be UTF-8.
    Checked(&'a str),
    /// Still to be checked, which [`Reader::own`] and [`Reader::str`] do.
    Raw(&'a [u8]),
    /// Without the escapes or chunks it came in.
    Built(String),
}

impl Text<'_> {
    /// The bytes, to compare with known names.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Checked(text) => text.as_bytes(),
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
    /// Items (or entries) to come; `None` where only the end will tell.
    pub(crate) left: Option<usize>,
    /// Whether none has been read.
    pub(crate) fresh: bool,
}

impl Open {
    pub(crate) const fn of(left: usize) -> Self {
        Self {
            left: Some(left),
            fresh: true,
        }
    }

    pub(crate) const fn until_end() -> Self {
        Self {
            left: None,
            fresh: true,
        }
    }

    /// For formats that tell the length: whether there is another one, which is then counted.
    pub(crate) const fn count(&mut self) -> Option<bool> {
        match &mut self.left {
            Some(0) => Some(false),
            Some(left) => {
                *left -= 1;
                Some(true)
            }
            None => None,
        }
    }
}

/// What the next item is, as far as a message's payload has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Null,
    List,
    Map,
    Other,
}

/// Bytes that are not what the format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Where, in bytes from the start of the input.
    pub(crate) at: usize,
    pub(crate) what: &'static str,
    /// Whether it is only deeper than allowed.
    pub(crate) too_deep: bool,
}

impl Malformed {
    pub(crate) const fn new(at: usize, what: &'static str) -> Self {
        Self {
            at,
            what,
            too_deep: false,
        }
    }

    pub(crate) const fn too_deep(at: usize) -> Self {
        Self {
            at,
            what: "nested too deeply",
            too_deep: true,
        }
    }

    pub(crate) const fn cut_short(at: usize) -> Self {
        Self::new(at, "the data ends too early")
    }
}

/// A pull parser. `'a` is the life of the input.
pub(crate) trait Reader<'a>: Clone {
    /// Takes the next token.
    fn token(&mut self) -> Result<Token<'a>, Malformed>;

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

    /// Nothing may follow.
    fn finish(&mut self) -> Result<(), Malformed>;

    /// The input, to cut slices from.
    fn source(&self) -> &'a Bytes;

    /// The text as a string of its own, a slice of the input where it stands there.
    fn own(&self, text: Text<'a>) -> Result<ByteString, Malformed> {
        match text {
            Text::Checked(text) => Ok(ByteString::from(text)),
            Text::Raw(bytes) => ByteString::try_from(self.source().slice_ref(bytes))
                .map_err(|_| Malformed::new(self.position(), NOT_UTF8)),
            Text::Built(text) => Ok(text.into()),
        }
    }

    /// The text to look at.
    fn str<'t>(&self, text: &'t Text<'a>) -> Result<&'t str, Malformed> {
        match text {
            Text::Checked(text) => Ok(text),
            Text::Raw(bytes) => {
                std::str::from_utf8(bytes).map_err(|_| Malformed::new(self.position(), NOT_UTF8))
            }
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

pub(crate) const NOT_UTF8: &str = "text is not UTF-8";
