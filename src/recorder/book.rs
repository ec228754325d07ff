//! The store of a recorder: what comes in gets the next sequence and a time after every other's, and
//! is written in transactions. What was missed is noted under a sequence of its own.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytestring::ByteString;
use rewamp_archive::{further_details, parse_time};
use rewamp_history::{
    Event, EventStore, Identity, Lost, RESERVATION, Sequence, StoreConfig, StoreError, Timestamp,
    open,
};
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::message::{self, EventDetails};
use rewamp_wamp::value::Value;

/// Events that one transaction takes.
const MOST_EVENTS: usize = 1_000;

/// Bytes of events that wait for their transaction.
const MOST_BYTES: u64 = 4 << 20;

/// Publications that are known again when they come by another subscription.
///
/// 65,536: at 100,000 a second the best part of a second, and both come in the same batch.
const RECENT: usize = 65_536;

/// See the head of this file.
pub(super) struct Book {
    store: Arc<dyn EventStore>,
    next: Sequence,
    reserved: Sequence,
    last_time: Timestamp,
    waiting: Vec<Arc<Event>>,
    bytes: u64,
    /// When the first of those that wait came.
    since: Option<Instant>,
    recent: Recent,
    /// Events that were written in this life.
    pub(super) written: u64,
}

/// Publications that came lately.
#[derive(Default)]
struct Recent {
    known: HashSet<PublicationId>,
    order: VecDeque<PublicationId>,
}

impl Recent {
    /// Whether it is new.
    fn add(&mut self, publication: PublicationId) -> bool {
        if !self.known.insert(publication) {
            return false;
        }
        self.order.push_back(publication);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Book {
    /// Opens or begins the store.
    pub(super) fn open(config: StoreConfig) -> Result<Self, rewamp_history::OpenError> {
        let store = open(config)?;
        let opened = store.opened();
        let (next, reserved, last_time) = (opened.next_sequence, opened.reserved, opened.last_time);
        Ok(Self {
            store,
            next,
            reserved,
            last_time,
            waiting: Vec::new(),
            bytes: 0,
            since: None,
            recent: Recent::default(),
            written: 0,
        })
    }

    /// The store, for those who read it.
    pub(super) fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// The time of the newest event that has come; [`Timestamp::ZERO`] if there is none.
    pub(super) const fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// An event of a subscription to `uri` came in, which may be a pattern; `now` is when.
    pub(super) fn add(&mut self, event: message::Event, uri: &ByteString, now: Timestamp) {
        let details = *event.details;
        let topic = details.topic.as_ref().unwrap_or(uri);
        let Some(topic) = self.store.topic(topic) else {
            return;
        };
        if !self.recent.add(event.publication) {
            return;
        }
        let time = accepted(&details).unwrap_or(now).max(self.last_time.next());
        let sequence = self.next;
        (self.next, self.last_time) = (sequence.next(), time);
        let event = Event {
            sequence,
            time,
            publication: event.publication,
            topic,
            publisher: details.publisher.unwrap_or(SessionId::MAX),
            exclude_me: true,
            disclosed: disclosed(&details).map(Arc::new),
            receivers: None,
            details: further_details(&details.extra),
            payload: event.payload.detach(),
        };
        self.bytes += event.footprint();
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push(Arc::new(event));
    }

    /// Since when events wait to be written, if any do.
    pub(super) const fn waiting_since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether as many wait as one transaction takes.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_EVENTS || self.bytes >= MOST_BYTES
    }

    /// Writes what waits. What could not be written still waits.
    pub(super) fn write(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.reserve()?;
        let stored = match self.store.append(&self.waiting) {
            Ok(_) => Ok(self.waiting.len()),
            Err(error) => Err((error.stored, error.cause)),
        };
        let (count, failed) = match stored {
            Ok(count) => (count, None),
            Err((count, cause)) => (count, Some(cause)),
        };
        self.waiting.drain(..count.min(self.waiting.len()));
        self.written += count as u64;
        self.bytes = self.waiting.iter().map(|event| event.footprint()).sum();
        match failed {
            Some(cause) => Err(cause),
            None => {
                self.since = None;
                Ok(())
            }
        }
    }

    /// Notes that something is missing here, behind all that has come.
    pub(super) fn gap(&mut self, why: String) -> Result<(), StoreError> {
        self.write()?;
        self.reserve()?;
        let at = self.next;
        self.next = at.next();
        self.store.note_lost(Lost {
            from: at,
            to: at,
            why,
        })
    }

    /// Makes sure that the sequence after all that were given out may be.
    fn reserve(&mut self) -> Result<(), StoreError> {
        if self.next >= self.reserved {
            let end = Sequence::new(self.next.get().saturating_add(RESERVATION));
            self.reserved = self.store.reserve(end)?;
        }
        Ok(())
    }

    /// Writes what waits and ends the store's life cleanly.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.write()?;
        self.store.close(self.next)
    }
}

/// When the router accepted it, where it says so.
fn accepted(details: &EventDetails) -> Option<Timestamp> {
    let text = details.extra.get("_timestamp").and_then(Value::as_str)?;
    parse_time(text).ok()
}

fn disclosed(details: &EventDetails) -> Option<Identity> {
    let told = details.publisher.is_some() || details.publisher_authid.is_some();
    told.then(|| Identity {
        authid: details.publisher_authid.clone().unwrap_or_default(),
        authrole: details.publisher_authrole.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use rewamp_history::{Engine, Filter, Full, Query, Scope, Viewer};
    use rewamp_wamp::id::SubscriptionId;
    use rewamp_wamp::payload::Payload;
    use rewamp_wamp::serializer::Serializer;
    use rewamp_wamp::uri::MatchPolicy;
    use rewamp_wamp::value::Dict;
    use std::ops::ControlFlow;
    use std::path::Path;

    use super::*;

    fn config(path: &Path) -> StoreConfig {
        StoreConfig {
            realm: "realm1".to_owned(),
            engine: Engine::Sled {
                path: path.to_owned(),
                readonly: false,
            },
            maxsize: 64 << 20,
            full: Full::DropOldest,
            sync: false,
            limit: None,
            filters: vec![Filter::new("com.", MatchPolicy::Prefix)],
            memory_begin: Sequence::ZERO,
        }
    }

    fn event(publication: u64, topic: &str, extra: Dict) -> message::Event {
        message::Event {
            subscription: SubscriptionId::FIRST,
            publication: PublicationId::new(publication).unwrap(),
            details: Box::new(EventDetails {
                topic: Some(topic.into()),
                extra,
                ..EventDetails::default()
            }),
            payload: Payload::empty(Serializer::Json),
        }
    }

    fn stored(book: &Book) -> Vec<(u64, u64, u64)> {
        let (uri, policy) = ("com.", MatchPolicy::Prefix);
        let scope = Scope {
            uri: uri.into(),
            match_policy: policy,
            filter: book.store.readable(uri, policy).unwrap(),
        };
        let mut events = Vec::new();
        let query = Query::all(scope, Viewer::Operator);
        book.store
            .read(&query, &[], &mut |event| {
                let (sequence, time) = (event.sequence.get(), event.time.nanos());
                events.push((sequence, event.publication.get(), time));
                ControlFlow::Continue(())
            })
            .unwrap();
        events
    }

    #[test]
    fn what_comes_is_kept_once_in_order_with_its_time_and_gaps_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (uri, at) = (ByteString::from("com."), Timestamp::from_nanos);
        let mut book = Book::open(config(&path)).unwrap();
        book.add(event(7, "com.a", Dict::new()), &uri, at(100));
        // By another subscription.
        book.add(event(7, "com.a", Dict::new()), &uri, at(101));
        // Not of what is recorded.
        book.add(event(8, "net.a", Dict::new()), &uri, at(102));
        let timed = Dict::from([
            ("_timestamp", Value::from("1970-01-01T00:00:00.0000005Z")),
            ("_sequence", Value::from(3_u64)),
        ]);
        book.add(event(9, "com.b", timed), &uri, at(9_000));
        // A router whose clock is behind.
        book.add(event(10, "com.b", Dict::new()), &uri, at(400));
        book.write().unwrap();
        assert_eq!(stored(&book), [(1, 7, 100), (2, 9, 500), (3, 10, 501)]);
        book.gap("somebody pulled a plug".to_owned()).unwrap();
        book.add(event(11, "com.b", Dict::new()), &uri, at(600));
        book.close().unwrap();
        drop(book);
        let book = Book::open(config(&path)).unwrap();
        assert_eq!(stored(&book)[3..], [(5, 11, 600)]);
        let lost = book.store.lost();
        assert_eq!(
            (lost.len(), lost[0].from.get(), lost[0].to.get()),
            (1, 4, 4)
        );
        assert_eq!(book.last_time(), at(600));
    }
}
