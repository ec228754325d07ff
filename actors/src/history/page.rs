//! A page of history as the RESULT of `wamp.subscription.get_events`: one list of event records as
//! the only positional argument, which is what client libraries unwrap. Encoded on a reader's
//! thread, straight from what the store lends, without a tree of values between.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_history::{End, Event, EventRef, EventStore, PageEnd, Position, QueryError, Timestamp};
use rewamp_wamp::codec;
use rewamp_wamp::error_uri;
use rewamp_wamp::framing::Wire;
use rewamp_wamp::id::RequestId;
use rewamp_wamp::message::{Error, Message, MessageType};
use rewamp_wamp::serializer::{CborWriter, JsonWriter, MsgPackWriter, Serializer, Writer};
use rewamp_wamp::value::{Dict, Value};

use super::record::Shape;
use super::turn::Pending;
use super::{About, Cursor, Paging, Question, Walk, info};
use crate::session::encoding;

/// Bytes of a RESULT around its events, at most.
const ENVELOPE: usize = 128;

/// Bytes left free before the first record for all that stands before it and says how long the
/// page is: the beginnings of the two lists around it, twice 9 bytes at most, and before them the
/// frame's header, the RESULT's first elements and its details.
const BEFORE: usize = 128;

/// What one page takes to begin with, in bytes; after that, what the last one took.
const FIRST_PAGE: usize = 4096;

/// Bytes of a page that is answered at once, at most. 64 KiB: some 20 us.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// Events of a page that is answered at once, at most: larger ones are worth a thread.
const AT_ONCE_EVENTS: u64 = 128;

/// Answers a question at once, for the event loop: a small page of the newest events, all of them
/// in memory. `None` says no more than that it has to be answered the other way.
pub(super) fn answer_at_once(
    store: &dyn EventStore,
    pending: &Pending,
    now: Timestamp,
    question: &Question,
    size: &mut usize,
) -> Option<Bytes> {
    let About::Events(paging) = &question.about else {
        return None;
    };
    if paging.page > AT_ONCE_EVENTS || paging.walk.is_some() {
        return None;
    }
    let asked = (question, paging);
    let answer = match question.wire.serializer {
        Serializer::Json => page_at_once::<JsonWriter>(store, pending, now, asked, *size),
        Serializer::MsgPack => page_at_once::<MsgPackWriter>(store, pending, now, asked, *size),
        Serializer::Cbor => page_at_once::<CborWriter>(store, pending, now, asked, *size),
    }?;
    *size = answer.len();
    Some(answer)
}

fn page_at_once<W: Writer>(
    store: &dyn EventStore,
    pending: &Pending,
    now: Timestamp,
    (question, paging): (&Question, &Paging),
    size: usize,
) -> Option<Bytes> {
    let mut records = Records::<W>::new(question, paging, size);
    let pending: [&[Arc<Event>]; 2] = [&pending[0], &pending[1]];
    let mut bytes = 0;
    let end = store.read_at_once(&question.query, &pending, now, &mut |event| {
        // Before anything is done with them: one event may be longer than all others.
        bytes += length(event);
        match bytes > AT_ONCE_BYTES {
            true => ControlFlow::Break(()),
            false => records.add(event),
        }
    })?;
    match end.end {
        End::Exhausted | End::Limit => Some(records.result(question, &Dict::new())),
        End::Stopped | End::Budget => None,
    }
}

/// Bytes of what a publisher put into an event.
fn length(event: &EventRef<'_>) -> usize {
    let of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    of(event.payload.args) + of(event.payload.kwargs) + of(event.details)
}

/// Answers a question with one framed message: RESULT, or ERROR. `size` is what the last answer
/// took and this one probably will.
pub(crate) fn answer(
    store: &dyn EventStore,
    pending: &Pending,
    question: &Question,
    size: &mut usize,
) -> Bytes {
    let paging = match &question.about {
        About::Events(paging) => paging,
        About::Info(limits) => return info::answer(store, pending, question, limits),
        // Not a question for a reader: the actor sees to it.
        About::Purge(_) => {
            let text = "a purge is not answered here".to_owned();
            return error(question, error_uri::STORE_UNAVAILABLE, text, Dict::new());
        }
    };
    let asked = (question, paging);
    let answer = match question.wire.serializer {
        Serializer::Json => page::<JsonWriter>(store, pending, asked, *size),
        Serializer::MsgPack => page::<MsgPackWriter>(store, pending, asked, *size),
        Serializer::Cbor => page::<CborWriter>(store, pending, asked, *size),
    };
    *size = answer.len();
    answer
}

/// The frame of a page, or of the ERROR instead.
fn page<W: Writer>(
    store: &dyn EventStore,
    pending: &Pending,
    (question, paging): (&Question, &Paging),
    size: usize,
) -> Bytes {
    let mut records = Records::<W>::new(question, paging, size);
    let pending: [&[Arc<Event>]; 2] = [&pending[0], &pending[1]];
    let end = store.read(&question.query, &pending, &mut |event| records.add(event));
    match end {
        Ok(_) if records.too_large.is_some() => records.too_large(question),
        Ok(end) => {
            let details = records.details(store, &end);
            records.result(question, &details)
        }
        Err(error) => failure(question, &error),
    }
}

/// The records of a page so far, one after another.
struct Records<'a, W> {
    paging: &'a Paging,
    bytes: BytesMut,
    /// Where the first record begins.
    begin: usize,
    count: u64,
    room: usize,
    too_large: Option<(u64, usize)>,
    shape: Shape<W>,
}

impl<'a, W: Writer> Records<'a, W> {
    fn new(question: &'a Question, paging: &'a Paging, size: usize) -> Self {
        let cursor = paging.walk.as_deref().map_or(0, Walk::cursor_bytes);
        let begin = BEFORE + cursor;
        // An eighth more, since one page is seldom exactly as long as another.
        let mut bytes = BytesMut::with_capacity(FIRST_PAGE.max(size + size / 8));
        bytes.resize(begin, 0);
        Self {
            paging,
            bytes,
            begin,
            count: 0,
            room: question.max_message.saturating_sub(ENVELOPE + cursor) + begin,
            too_large: None,
            shape: Shape::new(question),
        }
    }

    fn add(&mut self, event: &EventRef<'_>) -> ControlFlow<()> {
        if self.count >= self.paging.page {
            return ControlFlow::Break(());
        }
        let before = self.bytes.len();
        W::separate(&mut self.bytes, self.count == 0);
        self.shape.append(event, &mut self.bytes);
        if self.bytes.len() > self.room {
            if self.count == 0 {
                self.too_large = Some((event.publication.get(), self.bytes.len() - before));
            }
            self.bytes.truncate(before);
            return ControlFlow::Break(());
        }
        self.count += 1;
        ControlFlow::Continue(())
    }

    /// Says where the page was cut short, and how a walk goes on.
    fn details(&self, store: &dyn EventStore, end: &PageEnd) -> Dict {
        let Paging { page, capped, walk } = self.paging;
        let as_asked = walk.is_some() && self.count == *page && !capped;
        let complete = match end.end {
            End::Exhausted | End::Limit => true,
            End::Stopped => as_asked,
            End::Budget => false,
        };
        let mut details = Dict::new();
        if !complete {
            details.insert("_complete", false);
        }
        if let (Some(walk), Some(resume)) = (walk, end.resume) {
            let cursor = Cursor {
                incarnation: store.opened().incarnation,
                walk: Walk::clone(walk),
                resume,
            };
            details.insert("_cursor", ByteString::from(cursor.encode()));
        }
        details
    }

    fn result(self, question: &Question, details: &Dict) -> Bytes {
        let mut lists = BytesMut::with_capacity(BEFORE);
        W::begin_list(&mut lists, 1);
        W::separate(&mut lists, true);
        W::begin_list(
            &mut lists,
            usize::try_from(self.count).unwrap_or(usize::MAX),
        );
        let mut bytes = self.bytes;
        let begin = self.begin.saturating_sub(lists.len());
        if let Some(place) = bytes.get_mut(begin..self.begin) {
            place.copy_from_slice(&lists);
        }
        W::end_list(&mut bytes);
        W::end_list(&mut bytes);
        codec::frame_result(question.wire, question.request, details, bytes, begin).unwrap_or_else(
            || {
                let text = "the page does not fit a message".to_owned();
                error(
                    question,
                    error_uri::PAYLOAD_SIZE_EXCEEDED,
                    text,
                    Dict::new(),
                )
            },
        )
    }

    fn too_large(&self, question: &Question) -> Bytes {
        let (publication, bytes) = self.too_large.unwrap_or_default();
        let text = format!(
            "publication {publication} takes {bytes} bytes here, and one message to this session \
             may have {}",
            question.max_message
        );
        let kwargs = Dict::from([("publication", Value::from(publication))]);
        error(question, error_uri::EVENT_TOO_LARGE, text, kwargs)
    }
}

/// The ERROR instead of an answer.
pub(super) fn failure(question: &Question, failure: &QueryError) -> Bytes {
    match failure {
        QueryError::NoSuchPublication { oldest, newest } => {
            let (request_type, request) = (MessageType::Call, question.request);
            let wire = question.wire;
            let message = Message::Error(no_such_publication(
                wire,
                request_type,
                request,
                *oldest,
                *newest,
            ));
            let mut frame = BytesMut::new();
            encoding::append(wire, &message, &mut frame);
            frame.freeze()
        }
        QueryError::Store(error_of_store) => error(
            question,
            error_uri::STORE_UNAVAILABLE,
            error_of_store.to_string(),
            Dict::new(),
        ),
    }
}

/// The ERROR for a start that this history does not have, with what it has instead.
pub(crate) fn no_such_publication(
    wire: Wire,
    request_type: MessageType,
    request: RequestId,
    oldest: Option<Position>,
    newest: Option<Position>,
) -> Error {
    let kwargs = Dict::from([
        ("oldest", info::position(oldest)),
        ("newest", info::position(newest)),
    ]);
    let text = "this history does not have the event to start from; see `oldest` and `newest`";
    Error {
        request_type,
        request,
        details: Dict::new(),
        error: ByteString::from_static(error_uri::NO_SUCH_PUBLICATION),
        payload: encoding::arguments(wire.serializer, &[Value::from(text)], Some(&kwargs)),
    }
}

fn error(question: &Question, uri: &'static str, text: String, kwargs: Dict) -> Bytes {
    let kwargs = (!kwargs.is_empty()).then_some(&kwargs);
    let message = Message::Error(Error {
        request_type: MessageType::Call,
        request: question.request,
        details: Dict::new(),
        error: ByteString::from_static(uri),
        payload: encoding::arguments(question.wire.serializer, &[Value::from(text)], kwargs),
    });
    let mut frame = BytesMut::new();
    encoding::append(question.wire, &message, &mut frame);
    frame.freeze()
}
