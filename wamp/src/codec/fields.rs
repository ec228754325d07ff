//! The elements of one message, read one after another. Called by `read.rs` and
//! `read_options.rs`, which know what each message is made of.

use std::ops::Range;

use bytestring::ByteString;

use super::fault::{DecodeErrorKind, Place, Wrong, malformed, wrong};
use crate::id::{Id, Kind, RequestId};
use crate::message::MessageType;
use crate::payload::{Payload, allowed_by};
use crate::serializer::{
    Builder, End, Limits, NOT_A_KEY, Next, Open, Reader, Serializer, Text, Token,
};
use crate::value::{Dict, whole};

/// A message whose type has been read.
pub(super) struct Fields<'l, R> {
    reader: R,
    serializer: Serializer,
    limits: &'l Limits,
    builder: Builder,
    open: Open,
    read: usize,
    /// Whether the end of the list has been taken.
    ended: bool,
    place: Place,
}

impl<'a, 'l, R: Reader<'a>> Fields<'l, R> {
    /// At the beginning of the message.
    pub(super) fn new(reader: R, serializer: Serializer, limits: &'l Limits) -> Self {
        // The type is not known yet; errors do not name it before it is.
        let message_type = MessageType::Hello;
        Self {
            reader,
            serializer,
            limits,
            builder: Builder::new(limits.max_values()),
            open: Open::until_end(),
            read: 1,
            ended: false,
            place: Place {
                message_type,
                request: None,
                element: "",
                key: "",
            },
        }
    }

    /// The first element, to be read before all others.
    pub(super) fn message_type(&mut self) -> Result<MessageType, Wrong> {
        let unknown = |what: &str| wrong(DecodeErrorKind::UnknownType, what.to_owned());
        self.open = match self.reader.enter(End::List) {
            Some(open) => open,
            None => match self.reader.token().map_err(malformed)? {
                Token::List(open) => open,
                _ => return Err(unknown("a message is a list")),
            },
        };
        if !self
            .reader
            .more(&mut self.open, End::List)
            .map_err(malformed)?
        {
            return Err(unknown("a message begins with its type"));
        }
        let code = match self.reader.plain_unsigned() {
            Some(code) => code,
            None => unsigned(&self.reader.token().map_err(malformed)?)
                .ok_or_else(|| unknown("a message begins with its type, a non-negative integer"))?,
        };
        let message_type = MessageType::from_code(code)
            .ok_or_else(|| unknown(&format!("there is no message of type {code}")))?;
        self.place.message_type = message_type;
        Ok(message_type)
    }

    /// Whether there is another element, called `element`.
    #[inline]
    pub(super) fn has(&mut self, element: &'static str) -> Result<bool, Wrong> {
        self.place.element = element;
        self.place.key = "";
        if self.ended {
            return Ok(false);
        }
        let more = self.reader.more(&mut self.open, End::List);
        let more = more.map_err(|malformed| self.place.malformed(malformed))?;
        self.read += usize::from(more);
        self.ended = !more;
        Ok(more)
    }

    #[inline]
    fn need(&mut self, element: &'static str, least: usize) -> Result<(), Wrong> {
        if self.has(element)? {
            return Ok(());
        }
        let (message_type, read) = (self.place.message_type, self.read);
        let reason = format!("{message_type} has {read} elements, {least} are needed");
        Err(self.place.of_message(DecodeErrorKind::WrongLength, reason))
    }

    /// The message must end here.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        if self.has("end")? {
            let (message_type, read) = (self.place.message_type, self.read - 1);
            let reason = format!("{message_type} has more than {read} elements");
            return Err(self.place.of_message(DecodeErrorKind::WrongLength, reason));
        }
        self.reader.finish().map_err(|fault| {
            let wrong = malformed(fault);
            self.place.of_message(wrong.kind, wrong.reason)
        })
    }

    /// What is wrong with the element or key just read.
    pub(super) fn wrong(&self, what: &str) -> Wrong {
        self.place.wrong(what)
    }

    /// The ID of the request, remembered for errors that follow. `least` is how many elements
    /// the message has at least.
    pub(super) fn request(&mut self, least: usize) -> Result<RequestId, Wrong> {
        let request = self.id("Request", least)?;
        self.place.request = Some(request);
        Ok(request)
    }

    #[inline]
    pub(super) fn id<K: Kind>(
        &mut self,
        element: &'static str,
        least: usize,
    ) -> Result<Id<K>, Wrong> {
        let number = self.unsigned(element, least)?;
        Id::new(number).ok_or_else(|| self.wrong(&not_an_id(number)))
    }

    #[inline]
    pub(super) fn unsigned(&mut self, element: &'static str, least: usize) -> Result<u64, Wrong> {
        self.need(element, least)?;
        if let Some(number) = self.reader.plain_unsigned() {
            return Ok(number);
        }
        let token = self.token()?;
        unsigned(&token).ok_or_else(|| {
            self.place
                .expected("a non-negative integer", &describe(&token))
        })
    }

    #[inline]
    pub(super) fn text(
        &mut self,
        element: &'static str,
        least: usize,
    ) -> Result<ByteString, Wrong> {
        self.need(element, least)?;
        if let Some(text) = self.reader.plain_text() {
            return self.slice(text);
        }
        match self.token()? {
            Token::Text(text) => self.own(text),
            other => Err(self.place.expected("a string", other.kind())),
        }
    }

    /// A map whose keys `known` may take; it answers whether it did. All others go to `extra`.
    pub(super) fn options(
        &mut self,
        element: &'static str,
        least: usize,
        extra: &mut Dict,
        known: impl FnMut(&mut Entry<'_, 'l, R>, &[u8]) -> Result<bool, Wrong>,
    ) -> Result<(), Wrong> {
        self.need(element, least)?;
        self.entries(extra, known)
    }

    /// As [`Self::options`] for an element that may be absent.
    pub(super) fn entries(
        &mut self,
        extra: &mut Dict,
        mut known: impl FnMut(&mut Entry<'_, 'l, R>, &[u8]) -> Result<bool, Wrong>,
    ) -> Result<(), Wrong> {
        let mut open = match self.reader.enter(End::Map) {
            Some(open) => open,
            None => match self.token()? {
                Token::Map(open) => open,
                other => return Err(self.place.expected("a map", other.kind())),
            },
        };
        loop {
            self.place.key = "";
            let more = self.reader.more(&mut open, End::Map);
            if !more.map_err(|malformed| self.place.malformed(malformed))? {
                return Ok(());
            }
            match self.reader.plain_key() {
                Some(key) => {
                    if !known(&mut Entry { fields: self }, key)? {
                        let key = self.slice(key)?;
                        self.keep(key, extra)?;
                    }
                }
                None => {
                    let key = self.reader.key();
                    let key = key.map_err(|malformed| self.place.malformed(malformed))?;
                    let Token::Text(key) = key else {
                        return Err(self.wrong(NOT_A_KEY));
                    };
                    if !known(&mut Entry { fields: self }, key.as_bytes())? {
                        let key = self.own(key)?;
                        self.keep(key, extra)?;
                    }
                }
            }
        }
    }

    /// Reads the value of `key` for whoever comes after.
    fn keep(&mut self, key: ByteString, extra: &mut Dict) -> Result<(), Wrong> {
        let depth = self.limits.max_nesting().saturating_sub(1);
        let value = self.builder.value(&mut self.reader, depth);
        let value = value.map_err(|error| self.place.tree(error.within_key(&key)))?;
        extra.push(key, value);
        Ok(())
    }

    /// A map as it is.
    pub(super) fn dict(&mut self, element: &'static str, least: usize) -> Result<Dict, Wrong> {
        let mut dict = Dict::new();
        self.options(element, least, &mut dict, |_, _| Ok(false))?;
        Ok(dict)
    }

    /// The arguments that end the message, and its end. They are opaque where `options` say how.
    pub(super) fn payload(&mut self, options: &Dict) -> Result<Payload, Wrong> {
        let mut args = None;
        let mut kwargs = None;
        if self.has("Arguments")? {
            let is_opaque = self.next()? == Next::Text;
            let expected = if is_opaque { Next::Text } else { Next::List };
            args = self.argument(expected, "a list")?;
            if is_opaque {
                allowed_by(options).map_err(|why| self.wrong(why))?;
            } else if self.has("ArgumentsKw")? {
                kwargs = self.argument(Next::Map, "a map")?;
            }
        }
        let payload = Payload::from_message(self.serializer, self.reader.source(), args, kwargs);
        self.end()?;
        Ok(payload)
    }

    /// Where the next element is; nowhere if it is null.
    fn argument(&mut self, expected: Next, name: &str) -> Result<Option<Range<usize>>, Wrong> {
        let found = self.next()?;
        let begins = self.reader.position();
        let skipped = self.reader.skip(self.limits.max_nesting());
        skipped.map_err(|malformed| self.place.malformed(malformed))?;
        if found == expected {
            return Ok(Some(begins..self.reader.position()));
        }
        match found {
            Next::Null => Ok(None),
            Next::List => Err(self.place.expected(name, "a list")),
            Next::Map => Err(self.place.expected(name, "a map")),
            Next::Text | Next::Other => Err(self.wrong(&format!("expected {name}"))),
        }
    }

    /// What the next element is.
    fn next(&mut self) -> Result<Next, Wrong> {
        let next = self.reader.next();
        next.map_err(|malformed| self.place.malformed(malformed))
    }

    fn token(&mut self) -> Result<Token<'a>, Wrong> {
        self.reader
            .token()
            .map_err(|malformed| self.place.malformed(malformed))
    }

    #[inline]
    fn slice(&self, text: &'a [u8]) -> Result<ByteString, Wrong> {
        self.reader
            .slice(text)
            .map_err(|malformed| self.place.malformed(malformed))
    }

    fn own(&self, text: Text<'a>) -> Result<ByteString, Wrong> {
        self.reader
            .own(text)
            .map_err(|malformed| self.place.malformed(malformed))
    }
}

/// An entry of options or details whose key has been read. Null counts as absent everywhere.
pub(super) struct Entry<'f, 'l, R> {
    fields: &'f mut Fields<'l, R>,
}

impl<'a, 'l, R: Reader<'a>> Entry<'_, 'l, R> {
    /// What is wrong with the value just read.
    pub(super) fn wrong(&self, what: &str) -> Wrong {
        self.fields.wrong(what)
    }

    pub(super) fn bool(&mut self, key: &'static str) -> Result<Option<bool>, Wrong> {
        match self.token(key)? {
            Token::Bool(bool) => Ok(Some(bool)),
            Token::Null => Ok(None),
            other => Err(self.expected("a bool", &other)),
        }
    }

    pub(super) fn unsigned(&mut self, key: &'static str) -> Result<Option<u64>, Wrong> {
        let token = self.token(key)?;
        match unsigned(&token) {
            None if !matches!(token, Token::Null) => {
                Err(self.expected("a non-negative integer", &token))
            }
            number => Ok(number),
        }
    }

    pub(super) fn id<K: Kind>(&mut self, key: &'static str) -> Result<Option<Id<K>>, Wrong> {
        let Some(number) = self.unsigned(key)? else {
            return Ok(None);
        };
        Id::new(number)
            .map(Some)
            .ok_or_else(|| self.wrong(&not_an_id(number)))
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<ByteString>, Wrong> {
        match self.token(key)? {
            Token::Text(text) => self.fields.own(text).map(Some),
            Token::Null => Ok(None),
            other => Err(self.expected("a string", &other)),
        }
    }

    /// One of the names that `from_name` knows; `allowed` lists them.
    pub(super) fn name<T>(
        &mut self,
        key: &'static str,
        from_name: impl FnOnce(&str) -> Option<T>,
        allowed: &str,
    ) -> Result<Option<T>, Wrong> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match from_name(&text) {
            Some(known) => Ok(Some(known)),
            None => Err(self.fields.place.expected(allowed, &shortened(&text))),
        }
    }

    pub(super) fn map(&mut self, key: &'static str) -> Result<Option<Dict>, Wrong> {
        match self.token(key)? {
            Token::Map(open) => {
                let depth = self.fields.limits.max_nesting().saturating_sub(1);
                let Fields {
                    builder,
                    reader,
                    place,
                    ..
                } = &mut *self.fields;
                builder
                    .map(open, reader, depth)
                    .map(Some)
                    .map_err(|error| place.tree(error))
            }
            Token::Null => Ok(None),
            other => Err(self.expected("a map", &other)),
        }
    }

    /// A list of strings; empty if absent.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<ByteString>, Wrong> {
        self.list(key, |entry| match entry.fields.token()? {
            Token::Text(text) => entry.fields.own(text),
            other => Err(entry.expected("a list of strings", &other)),
        })
    }

    /// A list of IDs; empty if absent.
    pub(super) fn ids<K: Kind>(&mut self, key: &'static str) -> Result<Vec<Id<K>>, Wrong> {
        self.list(key, |entry| {
            let token = entry.fields.token()?;
            match unsigned(&token).and_then(Id::new) {
                Some(id) => Ok(id),
                None => Err(entry.expected("a list of IDs", &token)),
            }
        })
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let mut open = match self.token(key)? {
            Token::List(open) => open,
            Token::Null => return Ok(Vec::new()),
            other => return Err(self.expected("a list", &other)),
        };
        let mut items = Vec::new();
        loop {
            let Fields {
                builder,
                reader,
                place,
                ..
            } = &mut *self.fields;
            let more = reader.more(&mut open, End::List);
            if !more.map_err(|malformed| place.malformed(malformed))? {
                return Ok(items);
            }
            builder.count().map_err(|error| place.tree(error))?;
            items.push(item(self)?);
        }
    }

    fn token(&mut self, key: &'static str) -> Result<Token<'a>, Wrong> {
        self.fields.place.key = key;
        self.fields.token()
    }

    fn expected(&self, expected: &str, found: &Token<'a>) -> Wrong {
        self.fields.place.expected(expected, &describe(found))
    }
}

/// An integer, or a float without a fraction up to 2^53: some clients send every number so.
fn unsigned(token: &Token<'_>) -> Option<u64> {
    match token {
        Token::Integer(number) => number.as_u64(),
        Token::Float(number) => whole(*number).and_then(|number| u64::try_from(number).ok()),
        _ => None,
    }
}

fn describe(found: &Token<'_>) -> String {
    match found {
        Token::Integer(number) => number.to_string(),
        Token::Float(number) => format!("{number:?}"),
        other => other.kind().to_owned(),
    }
}

fn not_an_id(number: u64) -> String {
    format!("expected an ID from 1 to 2^53, found {number}")
}

/// Of a text that a client chose only so much is repeated.
fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 32;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
