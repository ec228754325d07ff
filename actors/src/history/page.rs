//! A page of history as the RESULT of `wamp.subscription.get_events`: one list of event records as
//! the only positional argument, which is what client libraries unwrap. Encoded on a reader's
//! thread, straight from what the store lends, without a tree of values between.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_history::{End, Event, EventRef, EventStore, Position, QueryError};
use rewamp_wamp::error_uri;
use rewamp_wamp::message::{CallResult, Error, Message, MessageType, ResultDetails};
use rewamp_wamp::payload::{Layout, Payload};
use rewamp_wamp::serializer::{CborWriter, JsonWriter, MsgPackWriter, Serializer, Writer};
use rewamp_wamp::value::{Dict, Value};

use super::Question;
use super::reader::Pending;
use super::record::{Shape, rfc3339};
use crate::session::encoding;

/// Bytes of a RESULT around its events, at most.
const ENVELOPE: usize = 128;

/// Bytes left free before the first record for the beginnings of the lists around them, which say
/// how many there are: twice a head of at most 9 bytes.
const BEFORE: usize = 18;

/// Answers a question with one framed message: RESULT, or ERROR.
pub(super) fn answer(store: &dyn EventStore, pending: &Pending, question: &Question) -> Bytes {
    let message = match question.wire.serializer {
        Serializer::Json => page::<JsonWriter>(store, pending, question),
        Serializer::MsgPack => page::<MsgPackWriter>(store, pending, question),
        Serializer::Cbor => page::<CborWriter>(store, pending, question),
    };
    let mut frame = BytesMut::new();
    encoding::append(question.wire, &message, &mut frame);
    frame.freeze()
}

fn page<W: Writer>(store: &dyn EventStore, pending: &Pending, question: &Question) -> Message {
    let mut records = Records::<W>::new(question);
    let pending: [&[Arc<Event>]; 2] = [&pending[0], &pending[1]];
    let end = store.read(&question.query, &pending, &mut |event| records.add(event));
    match end {
        Ok(_) if records.too_large.is_some() => records.too_large(question),
        Ok(end) => {
            let complete = matches!(end.end, End::Exhausted | End::Limit);
            records.result(question, complete)
        }
        Err(error) => failure(question, &error),
    }
}

/// The records of a page so far, one after another.
struct Records<'a, W> {
    question: &'a Question,
    bytes: BytesMut,
    count: u64,
    room: usize,
    too_large: Option<(u64, usize)>,
    shape: Shape<W>,
}

impl<'a, W: Writer> Records<'a, W> {
    fn new(question: &'a Question) -> Self {
        Self {
            question,
            bytes: BytesMut::zeroed(BEFORE),
            count: 0,
            room: question.max_message.saturating_sub(ENVELOPE) + BEFORE,
            too_large: None,
            shape: Shape::new(question),
        }
    }

    fn add(&mut self, event: &EventRef<'_>) -> ControlFlow<()> {
        if self.count >= self.question.page {
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

    fn result(self, question: &Question, complete: bool) -> Message {
        let mut before = BytesMut::with_capacity(BEFORE);
        W::begin_list(&mut before, 1);
        W::separate(&mut before, true);
        W::begin_list(
            &mut before,
            usize::try_from(self.count).unwrap_or(usize::MAX),
        );
        let mut list = self.bytes;
        list.advance(BEFORE.saturating_sub(before.len()));
        if let Some(place) = list.get_mut(..before.len()) {
            place.copy_from_slice(&before);
        }
        W::end_list(&mut list);
        W::end_list(&mut list);
        let mut extra = Dict::new();
        if !complete {
            extra.insert("_complete", false);
        }
        Message::Result(CallResult {
            request: question.request,
            details: ResultDetails {
                progress: false,
                extra,
            },
            payload: list_payload(question.wire.serializer, list.freeze()),
        })
    }

    fn too_large(&self, question: &Question) -> Message {
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

/// Arguments that are this list and nothing else.
fn list_payload(serializer: Serializer, list: Bytes) -> Payload {
    // A frame holds at most 16 MiB, and the list less than that.
    let end = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let layout = Layout {
        elements: 1,
        args_end: end,
        kwargs_begin: end,
    };
    Payload::restore(serializer, layout, list).unwrap_or_else(|_| Payload::empty(serializer))
}

fn failure(question: &Question, failure: &QueryError) -> Message {
    match failure {
        QueryError::NoSuchPublication { oldest, newest } => {
            let position = |position: &Option<Position>| match position {
                None => Value::Null,
                Some(position) => Value::Map(Dict::from([
                    ("publication", Value::from(position.publication.get())),
                    ("sequence", Value::from(position.sequence.get())),
                    ("timestamp", Value::from(rfc3339(position.time.nanos()))),
                ])),
            };
            let kwargs = Dict::from([("oldest", position(oldest)), ("newest", position(newest))]);
            let text = "this history does not have the event to start from; see `oldest` and \
                        `newest`";
            error(
                question,
                error_uri::NO_SUCH_PUBLICATION,
                text.to_owned(),
                kwargs,
            )
        }
        QueryError::Store(error_of_store) => error(
            question,
            error_uri::STORE_UNAVAILABLE,
            error_of_store.to_string(),
            Dict::new(),
        ),
    }
}

fn error(question: &Question, uri: &'static str, text: String, kwargs: Dict) -> Message {
    let kwargs = (!kwargs.is_empty()).then_some(&kwargs);
    Message::Error(Error {
        request_type: MessageType::Call,
        request: question.request,
        details: Dict::new(),
        error: ByteString::from_static(uri),
        payload: encoding::arguments(question.wire.serializer, &[Value::from(text)], kwargs),
    })
}
