//! One event of a page as its record, straight from what the store lends. What all records of a
//! page have in common is serialized once.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rewamp_history::{EventRef, IdentityRef};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer, Writer, append_value, read_value};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use super::Question;

/// The names that every record has, in order.
const NAMES: [&str; 10] = [
    "timestamp",
    "time_ns",
    "subscription",
    "publication",
    "sequence",
    "topic",
    "details",
    "args",
    "kwargs",
    "realm",
];

/// The names that a record has besides where the publisher is disclosed: the spec's and Crossbar's.
const PUBLISHER: [&str; 6] = [
    "publisher",
    "session_id",
    "publisher_authid",
    "authid",
    "publisher_authrole",
    "authrole",
];

/// What a record has besides where the payload is opaque: that, and no arguments.
const PAYLOAD: &str = "payload";

/// See the head of this file: what stands between the values that differ.
pub(super) struct Shape<W> {
    /// All pieces, one after another: a small page would notice an allocation for each.
    pieces: BytesMut,
    /// Where each of them ends.
    ends: [usize; PIECES],
    match_policy: MatchPolicy,
    clock: Calendar,
    writer: PhantomData<W>,
}

/// What stands before a value of a record: its name, and what all records have before that.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// The first, with the beginning of the map.
    Timestamp,
    /// The same where the publisher is disclosed.
    TimestampDisclosed,
    TimeNs,
    /// With the subscription.
    Publication,
    Sequence,
    Topic,
    Details,
    Args,
    Kwargs,
    /// With the realm itself.
    Realm,
}

const PIECES: usize = Piece::Realm as usize + 1;

impl<W: Writer> Shape<W> {
    /// For the records that answer this question.
    pub(super) fn new(question: &Question) -> Self {
        let [
            _,
            time_ns,
            subscription,
            publication,
            sequence,
            topic,
            details,
            args,
            kwargs,
            realm,
        ] = NAMES;
        let mut shape = Self {
            pieces: BytesMut::with_capacity(256 + question.realm.len()),
            ends: [0; PIECES],
            match_policy: question.query.scope.match_policy,
            clock: Calendar::default(),
            writer: PhantomData,
        };
        shape.piece(Piece::Timestamp, |out| begin::<W>(out, NAMES.len()));
        let disclosed = NAMES.len() + PUBLISHER.len();
        shape.piece(Piece::TimestampDisclosed, |out| begin::<W>(out, disclosed));
        shape.piece(Piece::TimeNs, |out| next::<W>(out, time_ns));
        shape.piece(Piece::Publication, |out| {
            next::<W>(out, subscription);
            W::unsigned(out, question.subscription.get());
            next::<W>(out, publication);
        });
        for (piece, name) in [
            (Piece::Sequence, sequence),
            (Piece::Topic, topic),
            (Piece::Details, details),
            (Piece::Args, args),
            (Piece::Kwargs, kwargs),
        ] {
            shape.piece(piece, |out| next::<W>(out, name));
        }
        shape.piece(Piece::Realm, |out| {
            next::<W>(out, realm);
            text::<W>(out, &question.realm);
        });
        shape
    }

    /// Adds the next piece.
    fn piece(&mut self, piece: Piece, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.pieces);
        if let Some(end) = self.ends.get_mut(piece as usize) {
            *end = self.pieces.len();
        }
    }

    fn of(&self, piece: Piece) -> &[u8] {
        let begin = (piece as usize).checked_sub(1);
        let begin = begin.and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(piece as usize).copied();
        let place = begin.unwrap_or_default()..end.unwrap_or_default();
        self.pieces.get(place).unwrap_or_default()
    }

    /// Appends the record of an event.
    pub(super) fn append(&mut self, event: &EventRef<'_>, out: &mut BytesMut) {
        let time = event.time.nanos();
        let is_opaque = event.payload.is_opaque();
        match event.disclosed {
            _ if is_opaque => begin::<W>(out, entries_of_opaque(event)),
            Some(_) => out.extend_from_slice(self.of(Piece::TimestampDisclosed)),
            None => out.extend_from_slice(self.of(Piece::Timestamp)),
        }
        text::<W>(out, self.clock.rfc3339(time));
        out.extend_from_slice(self.of(Piece::TimeNs));
        W::unsigned(out, time);
        out.extend_from_slice(self.of(Piece::Publication));
        W::unsigned(out, event.publication.get());
        out.extend_from_slice(self.of(Piece::Sequence));
        W::unsigned(out, event.sequence.get());
        out.extend_from_slice(self.of(Piece::Topic));
        text::<W>(out, event.topic);
        let payload = payload::<W>(event);
        out.extend_from_slice(self.of(Piece::Details));
        details::<W>(out, event, self.match_policy, payload.as_ref().err());
        let payload = payload.as_ref().ok();
        let args = payload.and_then(|payload| payload.args());
        out.extend_from_slice(self.of(Piece::Args));
        argument::<W>(out, args.filter(|_| !is_opaque));
        out.extend_from_slice(self.of(Piece::Kwargs));
        argument::<W>(out, payload.and_then(|payload| payload.kwargs()));
        out.extend_from_slice(self.of(Piece::Realm));
        if let Some(who) = event.disclosed {
            publisher::<W>(out, event, who);
        }
        if is_opaque {
            next::<W>(out, PAYLOAD);
            argument::<W>(out, args);
        }
        W::end_map(out);
    }
}

fn begin<W: Writer>(out: &mut BytesMut, entries: usize) {
    let [timestamp, ..] = NAMES;
    W::begin_map(out, entries);
    W::separate(out, true);
    W::key(out, timestamp);
}

fn entries_of_opaque(event: &EventRef<'_>) -> usize {
    let disclosed = event.disclosed.map_or(0, |_| PUBLISHER.len());
    NAMES.len() + disclosed + 1
}

/// What stands before the value of an entry that is not the first.
fn next<W: Writer>(out: &mut BytesMut, name: &str) {
    W::separate(out, false);
    W::key(out, name);
}

fn publisher<W: Writer>(out: &mut BytesMut, event: &EventRef<'_>, who: IdentityRef<'_>) {
    for (at, name) in PUBLISHER.iter().enumerate() {
        W::separate(out, false);
        W::key(out, name);
        match at / 2 {
            0 => W::unsigned(out, event.publisher.get()),
            1 => text::<W>(out, who.authid),
            _ => text::<W>(out, who.authrole),
        }
    }
}

/// Times as RFC 3339 in UTC with as many digits as they have. Remembers the second, which most
/// events share with the one before.
#[derive(Default)]
struct Calendar {
    second: Option<u64>,
    text: String,
    /// Bytes of `text` that say the second.
    seconds: usize,
}

impl Calendar {
    fn rfc3339(&mut self, nanoseconds: u64) -> &str {
        const IN_A_SECOND: u64 = 1_000_000_000;
        let second = nanoseconds / IN_A_SECOND;
        if self.second != Some(second) {
            self.text = rfc3339(second * IN_A_SECOND);
            self.seconds = self.text.len().saturating_sub(1);
            self.second = Some(second);
        }
        self.text.truncate(self.seconds);
        let fraction = nanoseconds % IN_A_SECOND;
        if fraction > 0 {
            let mut digits = [b'0'; 9];
            let mut left = fraction as u32;
            for digit in digits.iter_mut().rev() {
                *digit += (left % 10) as u8;
                left /= 10;
            }
            let digits = std::str::from_utf8(&digits).unwrap_or_default();
            self.text.push('.');
            self.text.push_str(digits.trim_end_matches('0'));
        }
        self.text.push('Z');
        &self.text
    }
}

/// A time in ns since 1970 as RFC 3339 in UTC, with as many digits as it has.
pub(crate) fn rfc3339(nanoseconds: u64) -> String {
    // Every u64 of nanoseconds is before 2555, which `Timestamp` covers.
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// The arguments for the one who asks, or why his serializer cannot express them.
fn payload<'a, W: Writer>(event: &EventRef<'a>) -> Result<Arguments<'a>, String> {
    let stored = &event.payload;
    if stored.serializer == W::SERIALIZER || stored.args.is_none() {
        return Ok(Arguments::Stored(stored.args, stored.kwargs));
    }
    transcoded(event, W::SERIALIZER).map(Arguments::Transcoded)
}

/// The arguments in another serializer than they came in, or why it cannot express them.
pub(super) fn transcoded(event: &EventRef<'_>, to: Serializer) -> Result<Payload, String> {
    let stored = &event.payload;
    let limits = Limits::default();
    Payload::from_raw(stored.serializer, stored.args, stored.kwargs, &limits)
        .map_err(|error| error.to_string())?
        .transcode(to)
        .map_err(|error| error.to_string())
}

/// What its EVENT had in its details besides what the router puts there.
pub(super) fn further(event: &EventRef<'_>) -> Dict {
    let read = event.details.and_then(|bytes| {
        let bytes = Bytes::copy_from_slice(bytes);
        read_value(Serializer::MsgPack, &bytes, &Limits::default()).ok()
    });
    match read {
        Some(Value::Map(further)) => further,
        _ => Dict::new(),
    }
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
    for (key, value) in further(event) {
        details.insert(key, value);
    }
    if append_value(W::SERIALIZER, &Value::Map(details), out).is_err() {
        W::begin_map(out, 0);
        W::end_map(out);
    }
}

fn text<W: Writer>(out: &mut BytesMut, text: &str) {
    // A URI, a name or a time: none of them begins with NUL, the one thing that JSON would not
    // give back as it is.
    if W::text(out, text).is_err() {
        W::null(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_jiff_writes_it() {
        let mut calendar = Calendar::default();
        for time in [
            0,
            1,
            999_999_999,
            1_000_000_000,
            1_500_000_000,
            1_795_458_569_981_565_501,
            1_795_458_569_981_565_502,
            1_795_458_569_000_000_000,
            1_795_458_570_000_000_100,
            1_795_458_570_100_000_000,
            u64::MAX,
        ] {
            assert_eq!(calendar.rfc3339(time), rfc3339(time));
        }
    }
}
