//! A store that a test can stall or break: memory, behind a switch.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::{Condvar, Mutex};
use rewamp_history::{
    AppendError, Appended, ConfiguredFilter, Event, EventRef, EventStore, FilterId, Info, Lost,
    Opened, PageEnd, Purge, Query, QueryError, Scope, Sequence, Span, StoreError, StoredTopic,
    Timestamp, Usage, Viewer,
};
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

/// What an append does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Works,
    Stalls,
    Fails,
}

#[derive(Debug)]
pub(super) struct SwitchedStore {
    inner: Arc<dyn EventStore>,
    opened: Opened,
    disk: Mutex<Disk>,
    changed: Condvar,
    /// Whether reads wait, and how many do.
    reads: Mutex<(bool, usize)>,
    read_on: Condvar,
    /// How often sequences were asked for.
    pub(super) reservations: AtomicU64,
}

impl SwitchedStore {
    pub(super) fn new(inner: Arc<dyn EventStore>) -> Arc<Self> {
        Self::with_sequences(inner, u64::MAX)
    }

    /// One that lets the realm give out so many before it has to ask for more.
    pub(super) fn with_sequences(inner: Arc<dyn EventStore>, count: u64) -> Arc<Self> {
        let mut opened = inner.opened().clone();
        let end = opened.next_sequence.get().saturating_add(count);
        opened.reserved = opened.reserved.min(Sequence::new(end));
        Arc::new(Self {
            inner,
            opened,
            reservations: AtomicU64::new(0),
            disk: Mutex::new(Disk::Works),
            changed: Condvar::new(),
            reads: Mutex::default(),
            read_on: Condvar::new(),
        })
    }

    /// Has reads wait from now on, or go on.
    pub(super) fn stall_reads(&self, stall: bool) {
        self.reads.lock().0 = stall;
        self.read_on.notify_all();
    }

    /// Reads that wait.
    pub(super) fn waiting_reads(&self) -> usize {
        self.reads.lock().1
    }

    pub(super) fn set(&self, disk: Disk) {
        *self.disk.lock() = disk;
        self.changed.notify_all();
    }
}

fn failure() -> StoreError {
    StoreError::Engine {
        what: "cannot write",
        path: "test".into(),
        reason: "the test said so".to_owned(),
    }
}

impl EventStore for SwitchedStore {
    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        let mut disk = self.disk.lock();
        while *disk == Disk::Stalls {
            self.changed.wait(&mut disk);
        }
        if *disk == Disk::Fails {
            let cause = failure();
            return Err(AppendError { stored: 0, cause });
        }
        drop(disk);
        self.inner.append(events)
    }

    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn filters(&self) -> &[ConfiguredFilter] {
        self.inner.filters()
    }

    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        self.inner.topic(topic)
    }

    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.inner.covering(uri, match_policy)
    }

    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.inner.readable(uri, match_policy)
    }

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.inner.subscription_id(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.inner.find_subscription(id)
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        self.inner.remember_pattern(uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        self.reservations.fetch_add(1, Ordering::Relaxed);
        if *self.disk.lock() == Disk::Fails {
            return Err(failure());
        }
        self.inner.reserve(end)
    }

    fn commit_bytes(&self) -> u64 {
        self.inner.commit_bytes()
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        let mut reads = self.reads.lock();
        reads.1 += 1;
        while reads.0 {
            self.read_on.wait(&mut reads);
        }
        reads.1 -= 1;
        drop(reads);
        self.inner.read(query, pending, visit)
    }

    fn read_at_once(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        now: Timestamp,
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Option<PageEnd> {
        self.inner.read_at_once(query, pending, now, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        self.inner.span(scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        self.inner.info(scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        self.inner.previous(scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.inner.at(now);
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        self.inner.purge(scope, viewer, what)
    }

    fn room(&self) -> u64 {
        self.inner.room()
    }

    fn tell_time_every(&self) -> Option<Duration> {
        self.inner.tell_time_every()
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }

    fn lost(&self) -> Vec<Lost> {
        self.inner.lost()
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        self.inner.note_lost(lost)
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        self.inner.close(next)
    }
}
