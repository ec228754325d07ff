//! What is asked of a history: which events, for whom, from which end, how much at most.
//! Meaning as in the spec's "Event History", of which sequences are an extension.

use bytestring::ByteString;
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::MatchPolicy;

use crate::event::{EventRef, Sequence, Timestamp};
use crate::filter::FilterId;
use crate::receivers::ViewerRef;

/// A question to one history. All conditions hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The subscription whose history it is.
    pub scope: Scope,
    /// The session that asks, or that events will be sent to.
    pub viewer: Viewer,
    /// Only events of this topic.
    pub topic: Option<ByteString>,
    /// By time of acceptance. A time before the oldest event starts at the oldest.
    pub time: Bounds<Timestamp>,
    /// By publication. One that is not in this history, or not for this viewer, is an error.
    pub publication: Bounds<PublicationId>,
    /// By sequence. `from` and `after` are an error where events in their range have been
    /// dropped, and beyond what the realm can have given out.
    pub sequence: Bounds<Sequence>,
    /// Of the events that all of the above let through and the viewer may see, only the newest
    /// so many of every topic: the state of the topics. `None`: all.
    pub last_per_topic: Option<u64>,
    /// Read from the newest to the oldest.
    pub reverse: bool,
    /// For a later page of the same question, what [`PageEnd::resume`] was. Instead of
    /// `publication` and `sequence`: what was there for the first page may be gone by now.
    pub resume: Option<Resume>,
    /// The most events to show, counted from the end at which reading starts. 0 shows none.
    pub limit: u64,
    /// The most events to look at, shown or not: what a page may cost where few are visible.
    /// When it is used up the page ends with [`End::Budget`].
    pub budget: u64,
}

impl Query {
    /// All events of a history, oldest first, without limit and budget.
    pub fn all(scope: Scope, viewer: Viewer) -> Self {
        Self {
            scope,
            viewer,
            topic: None,
            time: Bounds::default(),
            publication: Bounds::default(),
            sequence: Bounds::default(),
            last_per_topic: None,
            reverse: false,
            resume: None,
            limit: u64::MAX,
            budget: u64::MAX,
        }
    }
}

/// Which events of a history are to be purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge {
    /// All that there are.
    All,
    /// Those accepted before a time.
    BeforeTime(Timestamp),
    /// Those up to a publication, which goes too.
    UntilPublication(PublicationId),
    /// That one.
    Publication(PublicationId),
    /// Those of a topic.
    Topic(ByteString),
}

/// The history of one subscription: what `filter` keeps of the topics that it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The subscription's topic or pattern.
    pub uri: ByteString,
    /// How `uri` is compared.
    pub match_policy: MatchPolicy,
    /// The filter that covers it, from [`crate::EventStore::covering`].
    pub filter: FilterId,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// A session: receiver lists are applied to it.
    Session {
        /// Its authid.
        authid: ByteString,
        /// Its authrole.
        authrole: ByteString,
    },
    /// Whoever has the store itself in hand: sees every event.
    Operator,
}

impl Viewer {
    /// Whether an event is for the viewer.
    pub fn may_see(&self, event: &EventRef<'_>) -> bool {
        match (self, event.receivers) {
            (Self::Session { authid, authrole }, Some(receivers)) => {
                receivers.admit(ViewerRef { authid, authrole })
            }
            (Self::Operator, _) | (_, None) => true,
        }
    }
}

/// `from_x`, `after_x`, `before_x`, `until_x`: at or after, after, before, at or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<T> {
    /// At this one or after it.
    pub from: Option<T>,
    /// After this one.
    pub after: Option<T>,
    /// Before this one.
    pub before: Option<T>,
    /// At this one or before it.
    pub until: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self {
            from: None,
            after: None,
            before: None,
            until: None,
        }
    }
}

/// Where a question goes on, and what it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Where the next page begins, inclusive, in the question's direction.
    pub next: Sequence,
    /// The least sequence that the conditions of the first page allowed.
    pub first: Sequence,
    /// The greatest that they allowed; with [`Query::last_per_topic`] at most the newest event of
    /// that moment, so that all pages are of one state.
    pub last: Sequence,
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEnd {
    /// Why.
    pub end: End,
    /// Where the next page of the same question begins: nothing that it asks for lies between
    /// the last event shown and this sequence, inclusive. `None` at the end of the range.
    pub next: Option<Sequence>,
    /// The last event that was looked at and is done with, shown or not for this viewer; not the
    /// one at [`Self::next`]. In a forward read the one before what the next page looks at.
    pub last: Option<Sequence>,
    /// How the next page of the same question is asked for; `None` where `next` is.
    pub resume: Option<Resume>,
    /// Events looked at.
    pub scanned: u64,
}

/// Why a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every event of the range was shown.
    Exhausted,
    /// [`Query::limit`] events were shown. There may be more or not.
    Limit,
    /// The reader broke off: the event at [`PageEnd::next`] was shown to it and not taken.
    Stopped,
    /// [`Query::budget`] events were looked at. Without [`PageEnd::next`] it was used up by
    /// choosing for [`Query::last_per_topic`] among events that are not for the viewer: what was
    /// shown belongs to the answer, and the rest of it is not to be had.
    Budget,
}
