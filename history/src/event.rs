//! A stored publication: [`Event`] as it is handed in, [`EventRef`] as it is read back.
//! Made by the realm, which gives sequence, time and publication ID; borrowed by every reader.
//! Knows no engine and no bytes on disk.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::{Payload, is_opaque};
use rewamp_wamp::serializer::Serializer;

use crate::filter::StoredTopic;
use crate::receivers::{Receivers, ReceiversRef};

/// The place of an event in its realm's one order: increasing, with gaps, never given twice.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// Before every event.
    pub const ZERO: Self = Self(0);
    /// After every event.
    pub const MAX: Self = Self(u64::MAX);

    /// The sequence `number`; any `u64`, although stored events are 1 to 2^53.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it; [`Self::MAX`] stays what it is.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before it; [`Self::ZERO`] stays what it is.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// When the router accepted a publication: nanoseconds since 1970-01-01T00:00:00Z, strictly
/// increasing within a realm.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Before every event.
    pub const ZERO: Self = Self(0);
    /// After every event: in the year 2554.
    pub const MAX: Self = Self(u64::MAX);

    /// The time `nanoseconds` after 1970 began.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since 1970 began.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// One nanosecond later; [`Self::MAX`] stays what it is.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// One nanosecond earlier; [`Self::ZERO`] stays what it is.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

/// Who published, where the publisher's role discloses it; the session is [`Event::publisher`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `publisher_authid`.
    pub authid: ByteString,
    /// `publisher_authrole`.
    pub authrole: ByteString,
}

/// A publication to be stored. Everything in it may be kept for long: nothing borrows from the
/// block that the network read ([`Payload::detach`]).
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the realm's order.
    pub sequence: Sequence,
    /// When the router accepted it.
    pub time: Timestamp,
    /// `PUBLISHED.Publication`.
    pub publication: PublicationId,
    /// The topic, from [`crate::EventStore::topic`] of the same store.
    pub topic: Arc<StoredTopic>,
    /// The session that published, disclosed or not: replay leaves out what a session published
    /// itself with `exclude_me`.
    pub publisher: SessionId,
    /// `PUBLISH.Options.exclude_me`.
    pub exclude_me: bool,
    /// Who published, if receivers were told.
    pub disclosed: Option<Arc<Identity>>,
    /// `exclude_authid` and its kin; `None` if all who may subscribe may see it.
    pub receivers: Option<Arc<Receivers>>,
    /// Further details of the EVENT as one MessagePack map (`ppt_*` and the like); never read
    /// here. Together with `receivers` at most 16 MiB, as a message is.
    pub details: Option<Bytes>,
    /// `args` and `kwargs` as they came.
    pub payload: Payload,
}

/// `args` and `kwargs` of a stored event as they came in, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadRef<'a> {
    /// What the bytes are written in.
    pub serializer: Serializer,
    /// `args[, kwargs]` as they stood in the message, with what separated them (JSON's comma):
    /// the tail of an EVENT in the same serializer. Empty if there were none.
    pub tail: &'a [u8],
    /// One list, or the text or binary value of an opaque payload; `None` where none was sent.
    pub args: Option<&'a [u8]>,
    /// One map; `None` where none was sent.
    pub kwargs: Option<&'a [u8]>,
}

impl PayloadRef<'_> {
    /// See [`rewamp_wamp::payload::is_opaque`].
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        self.args
            .is_some_and(|args| is_opaque(self.serializer, args))
    }
}

impl<'a> From<&'a Payload> for PayloadRef<'a> {
    fn from(payload: &'a Payload) -> Self {
        Self {
            serializer: payload.serializer(),
            tail: payload.tail(),
            args: payload.args(),
            kwargs: payload.kwargs(),
        }
    }
}

/// A stored event, borrowed from the engine for as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// See [`Event::sequence`].
    pub sequence: Sequence,
    /// See [`Event::time`].
    pub time: Timestamp,
    /// See [`Event::publication`].
    pub publication: PublicationId,
    /// The topic it was published to.
    pub topic: &'a str,
    /// See [`Event::publisher`]. To be shown only if `disclosed` is there.
    pub publisher: SessionId,
    /// See [`Event::exclude_me`].
    pub exclude_me: bool,
    /// See [`Event::disclosed`].
    pub disclosed: Option<IdentityRef<'a>>,
    /// See [`Event::receivers`]; already applied when a page is read.
    pub receivers: Option<ReceiversRef<'a>>,
    /// See [`Event::details`].
    pub details: Option<&'a [u8]>,
    /// See [`Event::payload`].
    pub payload: PayloadRef<'a>,
    /// The event before it in the history that is read ([`crate::Scope`]), whoever may see that
    /// one. `None` where the read has not come by it: for the first event that it looks at, and
    /// in reverse or of one [`crate::Query::topic`] for all.
    pub previous: Option<Sequence>,
}

/// An [`Identity`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityRef<'a> {
    /// See [`Identity::authid`].
    pub authid: &'a str,
    /// See [`Identity::authrole`].
    pub authrole: &'a str,
}

impl<'a> From<&'a Event> for EventRef<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            sequence: event.sequence,
            time: event.time,
            publication: event.publication,
            topic: event.topic.name(),
            publisher: event.publisher,
            exclude_me: event.exclude_me,
            disclosed: event.disclosed.as_deref().map(|identity| IdentityRef {
                authid: &identity.authid,
                authrole: &identity.authrole,
            }),
            receivers: event.receivers.as_deref().map(Receivers::as_ref),
            details: event.details.as_deref(),
            payload: PayloadRef::from(&event.payload),
            previous: None,
        }
    }
}

impl Event {
    /// About how much memory it takes, in bytes, and no less than on disk: what bounds in bytes count.
    pub fn footprint(&self) -> u64 {
        // 256: the struct, its `Arc` and its entries in three indexes, rounded up; on disk, less.
        // The topic is named in a block and in an index, the publisher in a block.
        let identity = self.disclosed.as_deref();
        let identity = identity.map_or(0, |who| who.authid.len() + who.authrole.len());
        let variable = self.payload.tail().len()
            + 2 * self.topic.name().len()
            + identity
            + self.details.as_ref().map_or(0, Bytes::len)
            + self
                .receivers
                .as_ref()
                .map_or(0, |receivers| receivers.len());
        variable as u64 + 256
    }
}
