//! A realm in small.

use std::ops::ControlFlow;
use std::sync::Arc;

use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;

use crate::error::QueryError;
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::Filter;
use crate::query::{PageEnd, Query, Scope, Viewer};
use crate::receivers::Receivers;
use crate::store::{EventStore, RESERVATION};

/// A filter without a limit of its own.
pub(crate) fn filter(uri: &str, match_policy: MatchPolicy) -> Filter {
    Filter::new(uri, match_policy)
}

/// A filter that keeps so many.
pub(crate) fn limited(uri: &str, match_policy: MatchPolicy, limit: u64) -> Filter {
    Filter {
        limit: Some(limit),
        ..filter(uri, match_policy)
    }
}

/// Whom [`anybody`] is.
pub(crate) const JOE: &str = "joe";

pub(crate) fn anybody() -> Viewer {
    Viewer::Session {
        authid: JOE.into(),
        authrole: "user".into(),
    }
}

/// A store and what a realm would know: the next sequence, the newest time.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) next: Sequence,
    pub(crate) first: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) reserved: Sequence,
}

/// Nanoseconds between two events of a desk.
pub(crate) const TICK: u64 = 1_000;

impl Desk {
    pub(crate) fn at(store: Arc<dyn EventStore>) -> Self {
        let opened = store.opened();
        let (next, time, reserved) = (opened.next_sequence, opened.last_time, opened.reserved);
        Self {
            store,
            next,
            first: next,
            time,
            reserved,
        }
    }

    /// A publication to a stored topic, in its place but not stored yet. Its ID is
    /// [`publication`] of its sequence.
    pub(crate) fn accept(&mut self, topic: &str) -> Event {
        let sequence = self.next;
        self.next = sequence.next();
        if sequence >= self.reserved {
            let end = Sequence::new(sequence.get() + RESERVATION);
            self.reserved = self.store.reserve(end).unwrap();
        }
        self.time = Timestamp::from_nanos(self.time.nanos() + TICK);
        let args = format!("[{sequence},\"{topic}\"]");
        let json = Serializer::Json;
        let args = Payload::from_raw(json, Some(args.as_bytes()), None, &Limits::default());
        Event {
            sequence,
            time: self.time,
            publication: publication(sequence),
            topic: self.store.topic(topic).unwrap(),
            publisher: SessionId::new(77).unwrap(),
            exclude_me: true,
            disclosed: None,
            receivers: None,
            details: None,
            payload: args.unwrap(),
        }
    }

    /// Accepts and stores one.
    pub(crate) fn publish(&mut self, topic: &str) -> Arc<Event> {
        let event = Arc::new(self.accept(topic));
        self.store.append(&[Arc::clone(&event)]).unwrap();
        event
    }

    /// Accepts and stores one that only some may see.
    pub(crate) fn publish_to(&mut self, topic: &str, receivers: Option<Receivers>) -> Arc<Event> {
        let event = Event {
            receivers: receivers.map(Arc::new),
            ..self.accept(topic)
        };
        let event = Arc::new(event);
        self.store.append(&[Arc::clone(&event)]).unwrap();
        event
    }

    /// Accepts and stores many in transactions of `batch`.
    pub(crate) fn publish_all(&mut self, topics: impl Iterator<Item = String>, batch: usize) {
        let events: Vec<_> = topics.map(|topic| Arc::new(self.accept(&topic))).collect();
        for events in events.chunks(batch) {
            self.store.append(events).unwrap();
        }
    }

    pub(crate) fn scope(&self, uri: &str, match_policy: MatchPolicy) -> Scope {
        let filter = self.store.covering(uri, match_policy).unwrap();
        Scope {
            uri: uri.into(),
            match_policy,
            filter,
        }
    }

    /// All events of a history, for anybody.
    pub(crate) fn all(&self, uri: &str, match_policy: MatchPolicy) -> Query {
        Query::all(self.scope(uri, match_policy), anybody())
    }

    /// The answer as sequences counted from the desk's first, which is 1.
    pub(crate) fn ask(&self, query: &Query) -> Vec<u64> {
        self.page(query, &[]).unwrap().0
    }

    pub(crate) fn page(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
    ) -> Result<(Vec<u64>, PageEnd), QueryError> {
        let page = self.read(query, pending)?;
        if let Some((found, end)) = self.at_once(query, pending)
            // Nothing was dropped meanwhile.
            && self.read(query, pending)? == page
        {
            assert_eq!((found, end.end), (page.0.clone(), page.1.end), "{query:?}");
        }
        Ok(page)
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
    ) -> Result<(Vec<u64>, PageEnd), QueryError> {
        let mut found = Vec::new();
        let end = self.store.read(query, pending, &mut |event| {
            found.push(self.number(event));
            ControlFlow::Continue(())
        })?;
        Ok((found, end))
    }

    /// The page, if the store answers at once.
    pub(crate) fn at_once(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
    ) -> Option<(Vec<u64>, PageEnd)> {
        let mut found = Vec::new();
        let now = Timestamp::ZERO;
        let end = self.store.read_at_once(query, pending, now, &mut |event| {
            found.push(self.number(event));
            ControlFlow::Continue(())
        })?;
        Some((found, end))
    }

    fn number(&self, event: &EventRef<'_>) -> u64 {
        assert_eq!(event.publication, publication(event.sequence));
        event.sequence.get() - self.first.get() + 1
    }

    /// The sequence of the desk's n-th event, from 1.
    pub(crate) fn sequence(&self, number: u64) -> Sequence {
        Sequence::new(self.first.get() + number - 1)
    }
}

/// The publication ID that a desk gives with a sequence: not in order.
pub(crate) fn publication(sequence: Sequence) -> PublicationId {
    PublicationId::new(sequence.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12 | 1).unwrap()
}
