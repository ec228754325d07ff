//! An event's row in the table of order: what cfxdb's rows have no place for. The arguments stand
//! here as they came, unless Publications has them already, in the same bytes or in others of
//! which the same can be made again.

use bytes::Bytes;
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::{Layout, Payload};
use rewamp_wamp::serializer::Serializer;
use smallvec::SmallVec;

use super::rows::PublicationRow;
use crate::engine::fields::{
    put_text, put_u32, put_u64, take_array, take_bytes, take_text, take_u32, take_u64,
};
use crate::event::{EventRef, IdentityRef, PayloadRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::receivers::ReceiversRef;

/// The layout of rows.
const VERSION: u8 = 1;

mod flag {
    pub(super) const ARGS: u8 = 4;
    pub(super) const KWARGS: u8 = 8;
    pub(super) const EXCLUDE_ME: u8 = 16;
    pub(super) const RECEIVERS: u8 = 32;
    pub(super) const DETAILS: u8 = 64;
    pub(super) const DISCLOSED: u8 = 128;
}

/// Where the arguments of an event are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the row itself.
    Here,
    /// In Publications, the same bytes.
    Publication,
    /// In Publications, from where the same bytes can be made.
    Rewritten,
}

/// The filters that kept an event when it came.
pub(super) type Filters = SmallVec<[FilterId; 4]>;

/// A row, borrowed.
#[derive(Debug, Clone)]
pub(super) struct Record<'a> {
    pub(super) publication: u64,
    pub(super) time: Timestamp,
    pub(super) publisher: u64,
    /// The ID of the topic's exact subscription.
    pub(super) topic: u64,
    pub(super) topic_name: &'a str,
    pub(super) serializer: Serializer,
    pub(super) has_args: bool,
    pub(super) has_kwargs: bool,
    pub(super) exclude_me: bool,
    pub(super) place: Place,
    pub(super) filters: Filters,
    pub(super) disclosed: Option<IdentityRef<'a>>,
    pub(super) receivers: Option<ReceiversRef<'a>>,
    pub(super) details: Option<&'a [u8]>,
    /// Rows of Events, which others wrote for this publication, by subscription and time. `None`:
    /// it is ours.
    pub(super) foreign: Option<Vec<(u64, u64)>>,
    /// Arguments that are in the row: where the first element ends, where the second begins.
    here: (u32, u32, &'a [u8]),
}

impl<'a> Record<'a> {
    /// The row that an event gets.
    pub(super) fn of(event: &EventRef<'a>, topic: u64, filters: &[FilterId], place: Place) -> Self {
        let PayloadRef {
            serializer,
            tail,
            args,
            kwargs,
        } = event.payload;
        let args_end = args.map_or(0, <[u8]>::len);
        let kwargs_begin = kwargs.map_or(args_end, |kwargs| tail.len() - kwargs.len());
        Self {
            publication: event.publication.get(),
            time: event.time,
            publisher: event.publisher.get(),
            topic,
            topic_name: event.topic,
            serializer,
            has_args: args.is_some(),
            has_kwargs: kwargs.is_some(),
            exclude_me: event.exclude_me,
            place,
            filters: filters.into(),
            disclosed: event.disclosed,
            receivers: event.receivers,
            details: event.details,
            foreign: None,
            here: (args_end as u32, kwargs_begin as u32, tail),
        }
    }

    /// The row of a publication that others wrote.
    pub(super) fn adopted(
        row: &PublicationRow<'a>,
        time: Timestamp,
        topic: u64,
        filters: &[FilterId],
        receivers: Option<ReceiversRef<'a>>,
        rows: Vec<(u64, u64)>,
    ) -> Self {
        Self {
            publication: row.publication,
            time,
            publisher: row.publisher,
            topic,
            topic_name: row.topic,
            serializer: Serializer::Cbor,
            has_args: row.args.is_some() || row.kwargs.is_some(),
            has_kwargs: row.kwargs.is_some(),
            exclude_me: row.exclude_me,
            place: Place::Publication,
            filters: filters.into(),
            disclosed: None,
            receivers,
            details: None,
            foreign: Some(rows),
            here: (0, 0, &[]),
        }
    }

    /// Writes the row into `out`, in place of what is there.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        let place = match self.place {
            Place::Here => 0,
            Place::Publication => 1,
            Place::Rewritten => 2,
        };
        let foreign = if self.foreign.is_some() { 4 } else { 0 };
        out.extend_from_slice(&[VERSION, self.flags(), place | foreign, 0]);
        put_u32(out, self.filters.len() as u32);
        for number in [
            self.publication,
            self.time.nanos(),
            self.publisher,
            self.topic,
        ] {
            put_u64(out, number);
        }
        self.filters.iter().for_each(|id| put_u32(out, id.get()));
        put_text(out, self.topic_name);
        if let Some(IdentityRef { authid, authrole }) = self.disclosed {
            put_text(out, authid);
            put_text(out, authrole);
        }
        for bytes in [self.receivers.map(ReceiversRef::bytes), self.details] {
            let Some(bytes) = bytes else { continue };
            put_u32(out, bytes.len() as u32);
            out.extend_from_slice(bytes);
        }
        if let Some(rows) = &self.foreign {
            put_u32(out, rows.len() as u32);
            for (subscription, time) in rows {
                put_u64(out, *subscription);
                put_u64(out, *time);
            }
        }
        if self.place == Place::Here {
            let (args_end, kwargs_begin, tail) = self.here;
            put_u32(out, args_end);
            put_u32(out, kwargs_begin);
            out.extend_from_slice(tail);
        }
    }

    fn flags(&self) -> u8 {
        let mut flags = self.serializer.index() as u8;
        for (is_set, flag) in [
            (self.has_args, flag::ARGS),
            (self.has_kwargs, flag::KWARGS),
            (self.exclude_me, flag::EXCLUDE_ME),
            (self.receivers.is_some(), flag::RECEIVERS),
            (self.details.is_some(), flag::DETAILS),
            (self.disclosed.is_some(), flag::DISCLOSED),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        flags
    }

    /// The row in these bytes.
    pub(super) fn read(mut rest: &'a [u8]) -> Option<Self> {
        let rest = &mut rest;
        let [version, flags, place, _] = take_array(rest)?;
        if version != VERSION {
            return None;
        }
        let count = take_u32(rest)?;
        let mut numbers = [0; 4];
        for number in &mut numbers {
            *number = take_u64(rest)?;
        }
        let [publication, time, publisher, topic] = numbers;
        let filters = (0..count).map(|_| take_u32(rest).map(FilterId::new));
        let filters = filters.collect::<Option<Filters>>()?;
        let topic_name = take_text(rest)?;
        let has = |flag: u8| flags & flag != 0;
        let mut disclosed = None;
        if has(flag::DISCLOSED) {
            let authid = take_text(rest)?;
            let authrole = take_text(rest)?;
            disclosed = Some(IdentityRef { authid, authrole });
        }
        let mut parts = [None; 2];
        for (part, flag) in parts.iter_mut().zip([flag::RECEIVERS, flag::DETAILS]) {
            if has(flag) {
                let length = take_u32(rest)?;
                *part = Some(take_bytes(rest, length as usize)?);
            }
        }
        let [receivers, details] = parts;
        let mut foreign = None;
        if place & 4 != 0 {
            let rows = (0..take_u32(rest)?).map(|_| Some((take_u64(rest)?, take_u64(rest)?)));
            foreign = Some(rows.collect::<Option<Vec<_>>>()?);
        }
        let place = match place & 3 {
            0 => Place::Here,
            1 => Place::Publication,
            _ => Place::Rewritten,
        };
        let here = match place {
            Place::Here => (take_u32(rest)?, take_u32(rest)?, *rest),
            Place::Publication | Place::Rewritten => (0, 0, &[][..]),
        };
        Some(Self {
            publication,
            time: Timestamp::from_nanos(time),
            publisher,
            topic,
            topic_name,
            serializer: Serializer::ALL.get(usize::from(flags & 3)).copied()?,
            has_args: has(flag::ARGS),
            has_kwargs: has(flag::KWARGS),
            exclude_me: has(flag::EXCLUDE_ME),
            place,
            filters,
            disclosed,
            receivers: receivers.map(ReceiversRef::from_bytes),
            details,
            foreign,
            here,
        })
    }

    /// The event without its arguments.
    pub(super) fn bare(&self, sequence: Sequence) -> Option<EventRef<'_>> {
        Some(EventRef {
            sequence,
            time: self.time,
            publication: PublicationId::new(self.publication)?,
            topic: self.topic_name,
            publisher: SessionId::new(self.publisher).unwrap_or(SessionId::FIRST),
            exclude_me: self.exclude_me,
            disclosed: self.disclosed,
            receivers: self.receivers,
            details: self.details,
            payload: PayloadRef {
                serializer: self.serializer,
                tail: &[],
                args: None,
                kwargs: None,
            },
            previous: None,
        })
    }

    /// The arguments, if they are in the row itself or there are none.
    pub(super) fn payload_here(&self) -> Option<PayloadRef<'a>> {
        let (args_end, kwargs_begin, tail) = self.here;
        match self.place {
            _ if !self.has_args => Some(self.split(&[], 0, 0)),
            Place::Here => Some(self.split(tail, args_end as usize, kwargs_begin as usize)),
            Place::Publication | Place::Rewritten => None,
        }
    }

    fn split<'b>(&self, tail: &'b [u8], args_end: usize, kwargs_begin: usize) -> PayloadRef<'b> {
        let args = tail.get(..args_end).filter(|_| self.has_args);
        let kwargs = tail.get(kwargs_begin..).filter(|_| self.has_kwargs);
        PayloadRef {
            serializer: self.serializer,
            tail,
            args,
            kwargs,
        }
    }

    /// The arguments as they came, from what Publications has of them; `room` is where they are
    /// put together.
    pub(super) fn payload_from<'b>(
        &self,
        row: &PublicationRow<'b>,
        room: &'b mut Vec<u8>,
    ) -> Option<PayloadRef<'b>> {
        // One map and no list: an empty list stands before it.
        let args = row.args.unwrap_or(&[0x80]);
        let Some(kwargs) = row.kwargs.filter(|_| self.has_kwargs) else {
            return match self.place {
                Place::Rewritten => self.rewrite(args, None, room),
                Place::Here | Place::Publication => Some(self.split(args, args.len(), args.len())),
            };
        };
        if self.place == Place::Rewritten {
            return self.rewrite(args, Some(kwargs), room);
        }
        room.clear();
        room.extend_from_slice(args);
        room.extend_from_slice(kwargs);
        Some(self.split(room, args.len(), args.len()))
    }

    fn rewrite<'b>(
        &self,
        args: &[u8],
        kwargs: Option<&[u8]>,
        room: &'b mut Vec<u8>,
    ) -> Option<PayloadRef<'b>> {
        let mut tail = args.to_vec();
        tail.extend_from_slice(kwargs.unwrap_or_default());
        let layout = Layout {
            elements: if kwargs.is_some() { 2 } else { 1 },
            args_end: args.len() as u32,
            kwargs_begin: args.len() as u32,
        };
        let cbor = Payload::restore(Serializer::Cbor, layout, Bytes::from(tail)).ok()?;
        let written = cbor.transcode(self.serializer).ok()?;
        room.clear();
        room.extend_from_slice(written.tail());
        let Layout {
            args_end,
            kwargs_begin,
            ..
        } = written.layout();
        Some(self.split(room, args_end as usize, kwargs_begin as usize))
    }
}

/// The arguments in CBOR, for Publications, and where they are to be read from. `None` where they
/// cannot be said in CBOR, and of an opaque payload.
pub(super) fn in_cbor(payload: &Payload) -> (Option<Payload>, Place) {
    if payload.is_opaque() {
        return (None, Place::Here);
    }
    if payload.is_empty() || payload.serializer() == Serializer::Cbor {
        return (Some(payload.clone()), Place::Publication);
    }
    let Ok(cbor) = payload.transcode(Serializer::Cbor) else {
        return (None, Place::Here);
    };
    let again = cbor.transcode(payload.serializer());
    let same = again
        .is_ok_and(|again| again.tail() == payload.tail() && again.layout() == payload.layout());
    let place = if same { Place::Rewritten } else { Place::Here };
    (Some(cbor), place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rewamp_wamp::message::ReceiverLists;
    use rewamp_wamp::serializer::Limits;

    use super::*;
    use crate::receivers::Receivers;

    fn round(payload: &Payload) -> (Place, Option<Vec<u8>>) {
        let (cbor, place) = in_cbor(payload);
        let lists = ReceiverLists {
            exclude_authid: vec!["joe".into()],
            ..ReceiverLists::default()
        };
        let receivers = Receivers::new(&lists).unwrap();
        let event = EventRef {
            sequence: Sequence::new(3),
            time: Timestamp::from_nanos(4),
            publication: PublicationId::new(5).unwrap(),
            topic: "com.a",
            publisher: SessionId::new(6).unwrap(),
            exclude_me: true,
            disclosed: Some(IdentityRef {
                authid: "ann",
                authrole: "",
            }),
            receivers: Some(receivers.as_ref()),
            details: Some(b"details"),
            payload: PayloadRef::from(payload),
            previous: None,
        };
        let (mut row, mut out) = (Vec::new(), Vec::new());
        let publication = PublicationRow {
            timestamp: 4,
            publication: 5,
            publisher: 6,
            topic: "com.a",
            args: cbor.as_ref().and_then(Payload::args),
            kwargs: cbor.as_ref().and_then(Payload::kwargs),
            exclude_me: true,
            opaque: None,
        };
        publication.write(None, &mut out);
        let filters = [FilterId::new(0), FilterId::new(70)];
        Record::of(&event, 9, &filters, place).write(&mut row);
        let record = Record::read(&row).unwrap();
        assert_eq!(&record.filters[..], filters);
        let found = record.bare(Sequence::new(3)).unwrap();
        assert_eq!(
            (found.time, found.publication, found.publisher, found.topic),
            (event.time, event.publication, event.publisher, "com.a")
        );
        assert_eq!(
            (found.disclosed, found.details),
            (event.disclosed, event.details)
        );
        assert_eq!(found.receivers, event.receivers);
        let mut room = Vec::new();
        let stored = PublicationRow::read(&out).unwrap();
        let read = match record.payload_here() {
            Some(payload) => payload,
            None => record.payload_from(&stored, &mut room).unwrap(),
        };
        assert_eq!(read, event.payload);
        for cut in 0..row.len() {
            let _ = Record::read(&row[..cut]);
        }
        (place, stored.args.map(<[u8]>::to_vec))
    }

    fn json(args: Option<&str>, kwargs: Option<&str>) -> Payload {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let (args, kwargs) = (bytes(args), bytes(kwargs));
        let limits = Limits::default();
        Payload::from_raw(
            Serializer::Json,
            args.as_deref(),
            kwargs.as_deref(),
            &limits,
        )
        .unwrap()
    }

    #[test]
    fn arguments_are_read_as_they_came_wherever_they_are_kept() {
        let check = |args, kwargs, place| {
            let payload = json(args, kwargs);
            assert_eq!(round(&payload).0, place, "{payload:?}");
            for serializer in [Serializer::MsgPack, Serializer::Cbor] {
                round(&payload.transcode(serializer).unwrap());
            }
        };
        check(None, None, Place::Publication);
        check(Some("[]"), None, Place::Rewritten);
        check(Some("[1,\"a\",null,-5,[true]]"), None, Place::Rewritten);
        check(Some("[]"), Some("{\"a\":1}"), Place::Rewritten);
        check(Some("[1, 2]"), Some("{\"a\" : 1}"), Place::Here);
        check(Some("[\"\\u00e4\"]"), None, Place::Here);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn whatever_is_read_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::read(&bytes);
            let with_version = [&[VERSION][..], &bytes].concat();
            if let Some(record) = Record::read(&with_version) {
                let _ = record.payload_here();
                let _ = record.bare(Sequence::new(1));
            }
        }
    }
}
