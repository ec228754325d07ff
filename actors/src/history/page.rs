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
use rewamp_wamp::serializer::{
    CborWriter, JsonWriter, Limits, MsgPackWriter, Serializer, Writer, append_value, read_value,
};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use super::Question;
use super::reader::Pending;
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
    writer: std::marker::PhantomData<W>,
}

impl<'a, W: Writer> Records<'a, W> {
    fn new(question: &'a Question) -> Self {
        Self {
            question,
            bytes: BytesMut::zeroed(BEFORE),
            count: 0,
            room: question.max_message.saturating_sub(ENVELOPE) + BEFORE,
            too_large: None,
            writer: std::marker::PhantomData,
        }
    }

    fn add(&mut self, event: &EventRef<'_>) -> ControlFlow<()> {
        if self.count >= self.question.page {
            return ControlFlow::Break(());
        }
        let before = self.bytes.len();
        W::separate(&mut self.bytes, self.count == 0);
        self.record(event);
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

    fn record(&mut self, event: &EventRef<'_>) {
        let out = &mut self.bytes;
        W::begin_map(out, if event.disclosed.is_some() { 16 } else { 10 });
        let mut first = true;
        let mut key = |out: &mut BytesMut, name: &str| {
            W::separate(out, first);
            first = false;
            W::key(out, name);
        };
        key(out, "timestamp");
        text::<W>(out, &rfc3339(event.time.nanos()));
        key(out, "time_ns");
        W::unsigned(out, event.time.nanos());
        key(out, "subscription");
        W::unsigned(out, self.question.subscription.get());
        key(out, "publication");
        W::unsigned(out, event.publication.get());
        key(out, "sequence");
        W::unsigned(out, event.sequence.get());
        key(out, "topic");
        text::<W>(out, event.topic);
        let payload = payload::<W>(event);
        key(out, "details");
        details::<W>(
            out,
            event,
            self.question.query.scope.match_policy,
            payload.as_ref().err(),
        );
        key(out, "args");
        argument::<W>(
            out,
            payload.as_ref().ok().and_then(|payload| payload.args()),
        );
        key(out, "kwargs");
        argument::<W>(
            out,
            payload.as_ref().ok().and_then(|payload| payload.kwargs()),
        );
        key(out, "realm");
        text::<W>(out, &self.question.realm);
        if let Some(who) = event.disclosed {
            for name in ["publisher", "session_id"] {
                key(out, name);
                W::unsigned(out, event.publisher.get());
            }
            for name in ["publisher_authid", "authid"] {
                key(out, name);
                text::<W>(out, who.authid);
            }
            for name in ["publisher_authrole", "authrole"] {
                key(out, name);
                text::<W>(out, who.authrole);
            }
        }
        W::end_map(out);
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

/// The arguments for the one who asks, or why his serializer cannot express them.
fn payload<'a, W: Writer>(event: &EventRef<'a>) -> Result<Arguments<'a>, String> {
    let stored = &event.payload;
    if stored.serializer == W::SERIALIZER || stored.args.is_none() {
        return Ok(Arguments::Stored(stored.args, stored.kwargs));
    }
    Payload::from_raw(
        stored.serializer,
        stored.args,
        stored.kwargs,
        &Limits::default(),
    )
    .map_err(|error| error.to_string())?
    .transcode(W::SERIALIZER)
    .map(Arguments::Transcoded)
    .map_err(|error| error.to_string())
}

enum Arguments<'a> {
    Stored(Option<&'a [u8]>, Option<&'a [u8]>),
    Transcoded(Payload),
}

impl Arguments<'_> {
    fn args(&self) -> Option<&[u8]> {
        match self {
            Self::Stored(args, _) => *args,
            Self::Transcoded(payload) => payload.args(),
        }
    }

    fn kwargs(&self) -> Option<&[u8]> {
        match self {
            Self::Stored(_, kwargs) => *kwargs,
            Self::Transcoded(payload) => payload.kwargs(),
        }
    }
}

fn argument<W: Writer>(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => out.extend_from_slice(bytes),
        None => W::null(out),
    }
}

/// What the live EVENT had as its details; `inexpressible` says why there are no arguments.
fn details<W: Writer>(
    out: &mut BytesMut,
    event: &EventRef<'_>,
    match_policy: MatchPolicy,
    inexpressible: Option<&String>,
) {
    let is_pattern = match_policy != MatchPolicy::Exact;
    if event.details.is_none() && inexpressible.is_none() && event.disclosed.is_none() {
        // Most events: nothing is built that is not written.
        W::begin_map(out, usize::from(is_pattern));
        if is_pattern {
            W::separate(out, true);
            W::key(out, "topic");
            text::<W>(out, event.topic);
        }
        return W::end_map(out);
    }
    let mut details = Dict::new();
    if is_pattern {
        details.insert("topic", ByteString::from(event.topic));
    }
    if let Some(who) = event.disclosed {
        details.insert("publisher", event.publisher.get());
        details.insert("publisher_authid", ByteString::from(who.authid));
        details.insert("publisher_authrole", ByteString::from(who.authrole));
    }
    if let Some(why) = inexpressible {
        details.insert("_inexpressible", ByteString::from(why.as_str()));
    }
    let further = event.details.and_then(|bytes| {
        read_value(
            Serializer::MsgPack,
            &Bytes::copy_from_slice(bytes),
            &Limits::default(),
        )
        .ok()
    });
    if let Some(Value::Map(further)) = further {
        for (key, value) in further {
            details.insert(key, value);
        }
    }
    if append_value(W::SERIALIZER, &Value::Map(details), out).is_err() {
        W::begin_map(out, 0);
        W::end_map(out);
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

fn text<W: Writer>(out: &mut BytesMut, text: &str) {
    // A URI, a name or a time: none of them begins with NUL, the one thing that JSON would not
    // give back as it is.
    if W::text(out, text).is_err() {
        W::null(out);
    }
}

/// A time in ns since 1970 as RFC 3339 in UTC, with as many digits as it has.
pub(crate) fn rfc3339(nanoseconds: u64) -> String {
    // Every u64 of nanoseconds is before 2555, which `Timestamp` covers.
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| String::new(), |time| time.to_string())
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
