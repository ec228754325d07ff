//! A realm that publishes straight into the engine: the store without a router.

use super::Done;
use super::plan::SIZE;
use crate::compare::{STORED_REALM, stored_prefixes};
use crate::load::STORED;
use rewamp_history::{
    Engine, Event, EventStore, Filter, Full, Query, RESERVATION, Scope, Sequence, StoreConfig,
    Timestamp, Viewer, open,
};
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Topics that are published to in turn, where nothing else is asked for.
const TOPICS: u64 = 100;

/// An open store and its next event.
pub(super) struct Realm {
    /// The store.
    pub(super) store: Arc<dyn EventStore>,
    next: u64,
    time: u64,
    reserved: Sequence,
    payload: Payload,
    events: Vec<Arc<Event>>,
}

/// What commits came to.
#[derive(Debug)]
pub(super) struct Rate {
    /// Events per second.
    pub(super) rate: f64,
    /// 99 of 100 commits took at most this long.
    pub(super) p99: Duration,
    /// The longest.
    pub(super) worst: Duration,
}

impl Realm {
    /// Begins or opens the sled store in `path`: the one that a router has there, with `filters`
    /// filters, of which one matches what is published.
    pub(super) fn open(path: &Path, maxsize: u64, filters: usize) -> Done<Self> {
        let engine = Engine::Sled {
            path: path.to_owned(),
            readonly: false,
        };
        Self::open_with(store_config(engine, maxsize, filters))
    }

    /// The same with a store of any engine.
    pub(super) fn open_with(config: StoreConfig) -> Done<Self> {
        let store = open(config)?;
        let args = format!("[\"{}\"]", "x".repeat(SIZE - 4));
        let limits = Limits::default();
        let payload = Payload::from_raw(Serializer::Json, Some(args.as_bytes()), None, &limits)?;
        let opened = store.opened();
        let (next, time) = (opened.next_sequence.get(), opened.last_time.nanos());
        let reserved = opened.reserved;
        Ok(Self {
            store,
            next,
            time,
            reserved,
            payload,
            events: Vec::new(),
        })
    }

    /// One commit of `count` events; how long it took. Making the events is not in it.
    pub(super) fn publish(&mut self, count: usize) -> Done<Duration> {
        self.publish_to(count, |number| format!("{STORED}t{}", number % TOPICS))
    }

    /// The same, to a topic of each event's own.
    pub(super) fn publish_to(
        &mut self,
        count: usize,
        topic: impl FnMut(u64) -> String,
    ) -> Done<Duration> {
        self.make(count, topic)?;
        let begin = Instant::now();
        self.store.append(&self.events)?;
        Ok(begin.elapsed())
    }

    /// The events of a next commit, which is not made.
    pub(super) fn next(&mut self, count: usize) -> Done<&[Arc<Event>]> {
        self.make(count, |number| format!("{STORED}t{}", number % TOPICS))?;
        Ok(&self.events)
    }

    fn make(&mut self, count: usize, mut topic: impl FnMut(u64) -> String) -> Done {
        self.events.clear();
        for _ in 0..count {
            let topic = topic(self.next);
            self.time += 1_000;
            self.events.push(Arc::new(Event {
                sequence: Sequence::new(self.next),
                time: Timestamp::from_nanos(self.time),
                publication: publication(self.next)?,
                topic: self.store.topic(&topic).ok_or("the topic is not stored")?,
                publisher: SessionId::FIRST,
                exclude_me: true,
                disclosed: None,
                receivers: None,
                details: None,
                payload: self.payload.clone(),
            }));
            self.next += 1;
        }
        // As the router does: when half of what is reserved is used.
        if self.next + RESERVATION / 2 > self.reserved.get() {
            let end = Sequence::new(self.next + RESERVATION);
            self.reserved = self.store.reserve(end)?;
        }
        Ok(())
    }

    /// All that the store keeps, for a viewer who may see everything.
    pub(super) fn everything(&self) -> Done<Query> {
        let filter = self.store.covering(STORED, MatchPolicy::Prefix);
        let scope = Scope {
            uri: STORED.into(),
            match_policy: MatchPolicy::Prefix,
            filter: filter.ok_or("no filter covers what is published")?,
        };
        let viewer = Viewer::Session {
            authid: "joe".into(),
            authrole: "user".into(),
        };
        Ok(Query::all(scope, viewer))
    }

    /// The same of one of the topics.
    pub(super) fn one_topic(&self) -> Done<Query> {
        let mut query = self.everything()?;
        query.scope.uri = format!("{STORED}t7").into();
        query.scope.match_policy = MatchPolicy::Exact;
        Ok(query)
    }
}

impl Rate {
    /// Of commits of `batch` events each.
    pub(super) fn of(mut commits: Vec<Duration>, batch: usize) -> Self {
        let total: Duration = commits.iter().sum();
        let rate = (commits.len() * batch) as f64 / total.as_secs_f64().max(1e-9);
        commits.sort_unstable();
        let at = |place: usize| commits.get(place).copied().unwrap_or_default();
        let p99 = at(commits.len() * 99 / 100);
        let worst = at(commits.len().saturating_sub(1));
        Self { rate, p99, worst }
    }
}

/// A durable store with `filters` filters, of which one matches what is published.
pub(super) fn store_config(engine: Engine, maxsize: u64, filters: usize) -> StoreConfig {
    let filters = stored_prefixes(filters).map(|uri| Filter::new(uri, MatchPolicy::Prefix));
    StoreConfig {
        realm: STORED_REALM.to_owned(),
        engine,
        maxsize,
        full: Full::DropOldest,
        sync: true,
        limit: None,
        filters: filters.collect(),
        memory_begin: Sequence::new(1),
    }
}

/// Milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// IDs that look drawn: the store's index of them must not profit from their order.
fn publication(sequence: u64) -> Done<PublicationId> {
    let id = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12 | 1;
    Ok(PublicationId::new(id).ok_or("an ID is out of range")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_commits_alone() {
        let commits = (1..=100).map(Duration::from_millis).collect();
        let rate = Rate::of(commits, 10);
        assert!((rate.rate - 1_000.0 / 5.05).abs() < 0.1, "{rate:?}");
        assert_eq!(rate.p99, Duration::from_millis(100));
        assert_eq!(rate.worst, Duration::from_millis(100));
        assert_eq!(Rate::of(Vec::new(), 1).worst, Duration::ZERO);
    }

    #[test]
    fn what_is_published_is_there_after_the_next_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut realm = Realm::open(&path, 64 << 20, 10).unwrap();
        realm.publish(100).unwrap();
        drop(realm);
        let mut realm = Realm::open(&path, 64 << 20, 10).unwrap();
        assert_eq!(realm.store.opened().events, 100);
        realm.publish(1).unwrap();
        assert_eq!(realm.store.usage().events, 101);
    }
}
