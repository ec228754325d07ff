//! The History actor, one for each realm that keeps its past: buffers what the realm accepted,
//! commits it in transactions off the arbiter, acknowledges what is durable, and has questions
//! answered. Knows no socket and no permission.
//!
//! While one buffer is being committed the next one fills (group commit). A publisher who waits
//! cuts the buffer time short, so an idle disk never makes him wait for the timer.

mod accept; // the realm's side: sequence, time, room
mod fullness; // the state of a store that refuses
mod health; // a store that fails, and works again
mod commit; // what a commit tells those who wait
mod question; // what get_events asked for
mod cursor; // where a walk stands
mod page; // the answer, encoded
mod record; // one event of it
mod purge; // events that have to go
mod info; // what there is
mod reader; // one session's questions, one after another
mod turn; // questions answered one after another
mod follow; // sessions that get events from here

pub use accept::{Acceptance, Accepted, Unstored};
pub use commit::Waiting;
pub use cursor::{Cursor, Walk};
pub use follow::{News, Replay, Resolve, Resolved, Track};
pub use question::{About, Paging, Question};

pub(crate) use commit::{routed_not_stored, routed_readonly};
pub(crate) use follow::{Begin, Follow, Followed, NewTrack, TrackKind, What};
pub(crate) use page::{answer, no_such_publication};
pub(crate) use record::rfc3339;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt as _;
use rewamp_history::{AppendError, Event, EventStore, Sequence, StoreError, Timestamp};
use rewamp_wamp::id::SubscriptionId;
use tokio::sync::oneshot;
use tokio::task::{JoinError, spawn_blocking};

use crate::clock::Clock;
use crate::meta::Found;
use crate::metrics::{Id, RealmMetrics};
use crate::realm::Realm;
use crate::realm::messages::Room;
use crate::turns::{Turns, questions_at_once};
use accept::Shared;
use follow::Tracks;
use fullness::Fullness;
use purge::Purges;
use reader::Readers;

/// How a realm's history buffers and acknowledges, from the configuration of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySettings {
    /// How long an event waits for others before it is committed with them. Key `buffertime`.
    pub buffertime: Duration,
    /// Events that are committed without waiting for the timer. Key `maxbuffer`.
    pub maxbuffer: usize,
    /// Bytes of one buffer; at twice as many, the one filling and the one being committed,
    /// publishers to stored topics are held back. Key `maxbuffer-bytes`, metric
    /// `rewamp_history_buffered_bytes`.
    pub maxbuffer_bytes: u64,
    /// Whether PUBLISHED waits for the commit: the store is persistent and `sync` is true.
    pub durable: bool,
    /// Bytes that the store takes at most. Key `maxsize`.
    pub maxsize: u64,
    /// Bytes of the largest publication that is stored: an eighth of the store's `maxsize`.
    pub largest: u64,
}

/// How often a store that may refuse is asked whether it has room again.
const ROOM_CHECK: Duration = Duration::from_secs(1);

/// See the head of this file.
pub struct History {
    realm_name: Arc<str>,
    realm: Recipient<Room>,
    store: Arc<dyn EventStore>,
    settings: HistorySettings,
    shared: Arc<Shared>,
    clock: Clock,
    metrics: RealmMetrics,
    filling: Filling,
    committing: Option<Arc<[Arc<Event>]>>,
    timer: Option<SpawnHandle>,
    degraded: bool,
    /// Somebody has joined or left.
    visited: bool,
    /// Nothing more is committed.
    closing: bool,
    /// Sequences could not be reserved.
    unreserved: bool,
    /// It will be asked whether the store works again.
    looking: bool,
    idle: Vec<oneshot::Sender<()>>,
    readers: Readers,
    /// Questions answered at once since others had their turn.
    at_once: usize,
    /// Bytes of the last page that was answered at once.
    page_size: usize,
    purges: Purges,
    tracks: Tracks,
    news: Recipient<News>,
    resolved: Recipient<Resolved>,
    /// The newest event accepted.
    newest: Sequence,
    turns: Turns,
}

/// The buffer that fills.
#[derive(Default)]
struct Filling {
    events: Vec<Arc<Event>>,
    waiting: Vec<Waiting>,
    bytes: u64,
    snapshot: Option<Arc<[Arc<Event>]>>,
}

/// Events that a realm has accepted, in its order, and those who wait for their commit.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Store {
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) waiting: Vec<Waiting>,
}

/// Somebody has joined or left: the store has that to write when `buffertime` is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Visited;

/// The realm needs sequences up to `end`.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Reserve {
    pub(crate) end: Sequence,
}

/// Which subscription has this ID, where only the disk knows.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Lookup {
    pub(crate) id: SubscriptionId,
    pub(crate) tell: Box<dyn FnOnce(Found) + Send>,
}

/// Commits everything accepted so far. The answer comes when it is done and everybody who waited
/// for it has been told.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush;

/// Ends the store cleanly; `next` is the sequence that the realm would have given out next.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub(crate) struct Close {
    pub(crate) next: Sequence,
}

impl History {
    /// Starts the actor for `store` on this arbiter. Returns the realm's side of it.
    #[must_use]
    pub fn start(
        realm_name: Arc<str>,
        realm: &Addr<Realm>,
        store: Arc<dyn EventStore>,
        settings: HistorySettings,
        clock: Clock,
        metrics: RealmMetrics,
        turns: Turns,
    ) -> Acceptance {
        let fullness = Fullness::new(Arc::clone(&realm_name), metrics.gauge(Id::HistoryFull));
        let shared = Arc::new(Shared::new(store.opened().reserved, fullness));
        let history = Self {
            realm_name,
            realm: realm.clone().recipient(),
            news: realm.clone().recipient(),
            resolved: realm.clone().recipient(),
            newest: store.opened().next_sequence.previous(),
            tracks: Tracks::new(questions_at_once(), metrics.clone()),
            store: Arc::clone(&store),
            settings: settings.clone(),
            shared: Arc::clone(&shared),
            clock,
            readers: Readers::new(metrics.clone()),
            at_once: 0,
            page_size: 0,
            purges: Purges::default(),
            metrics,
            filling: Filling::default(),
            committing: None,
            timer: None,
            degraded: false,
            visited: false,
            closing: false,
            unreserved: false,
            looking: false,
            idle: Vec::new(),
            turns,
        };
        history.report_usage();
        if store.opened().readonly {
            history.metrics.gauge(Id::HistoryDegraded).set(1);
        }
        Acceptance::new(Actor::start(history), store, settings, shared)
    }

    fn commit_when_due(&mut self, ctx: &mut Context<Self>) {
        if !self.has_something() {
            return self.tell_idle();
        }
        if self.committing.is_some() {
            return;
        }
        let due = !self.filling.waiting.is_empty()
            || !self.idle.is_empty()
            || self.purges.is_behind()
            || self.filling.events.len() >= self.settings.maxbuffer
            || self.filling.bytes >= self.settings.maxbuffer_bytes;
        if due {
            self.commit(ctx);
        } else if self.timer.is_none() {
            self.timer = Some(ctx.run_later(self.settings.buffertime, |history, ctx| {
                history.timer = None;
                if history.committing.is_none() && history.has_something() {
                    history.commit(ctx);
                }
            }));
        }
    }

    fn has_something(&self) -> bool {
        self.is_filling() || self.visited
    }

    fn is_filling(&self) -> bool {
        !self.filling.events.is_empty()
    }

    fn commit(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        self.visited = false;
        self.shared.writes_visits();
        let filled = std::mem::take(&mut self.filling);
        let events: Arc<[Arc<Event>]> = filled.snapshot.unwrap_or_else(|| filled.events.into());
        self.committing = Some(Arc::clone(&events));
        let store = Arc::clone(&self.store);
        let began = self.clock.now();
        let transaction = self.at_work(move || store.append(&events).map(drop));
        let done = transaction
            .into_actor(self)
            .map(move |result, history, ctx| {
                let result = result.unwrap_or_else(|panic| {
                    Err(AppendError {
                        stored: 0,
                        cause: commit::panicked(&panic),
                    })
                });
                history.committed(result, &filled.waiting, filled.bytes, began);
                history.purges.committed();
                history.commit_when_due(ctx);
                if history.degraded {
                    history.look_again(ctx);
                }
            });
        ctx.spawn(done);
    }

    fn committed(
        &mut self,
        result: Result<(), AppendError>,
        waiting: &[Waiting],
        bytes: u64,
        began: u64,
    ) {
        let committed = self.committing.take().unwrap_or_default();
        let events = committed.len();
        let stored = result
            .as_ref()
            .map_or_else(|error| error.stored, |()| events);
        self.tracks
            .failed(committed.get(stored..).unwrap_or_default());
        let now = self.clock.now();
        if events > 0 {
            self.metrics.observe(Id::HistoryFlushEvents, events as f64);
            self.metrics
                .observe(Id::HistoryFlushSeconds, commit::seconds(began, now));
        }
        self.metrics.count(Id::HistoryStored, stored as u64);
        self.buffered(-(events as i64), -(bytes as i64));
        let failure = result.err().map(|error| error.cause);
        self.judge(failure.as_ref(), events - stored);
        let mut scratch = bytes::BytesMut::new();
        let mut dirty = Vec::new();
        for waiting in waiting {
            let refused = failure.as_ref().filter(|_| waiting.place >= stored);
            waiting.tell(refused, &mut scratch, &mut dirty);
            self.metrics.observe(
                Id::HistoryAckSeconds,
                commit::seconds(waiting.accepted, now),
            );
        }
        dirty.iter().for_each(|outbox| outbox.wake());
        self.report_usage();
        let full = 2 * self.settings.maxbuffer_bytes;
        if self.shared.freed(bytes, full / 2) {
            self.tell_room();
        }
    }

    /// Does something that may wait for the disk, when it is its turn.
    fn at_work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, JoinError>> + 'static {
        let turns = self.turns.clone();
        async move {
            let turn = turns.write().await;
            let work = move || {
                let _turn = turn;
                work()
            };
            spawn_blocking(work).await
        }
    }

    /// For the store, which has no clock of its own.
    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.now())
    }

    fn buffered(&self, events: i64, bytes: i64) {
        self.metrics.gauge(Id::HistoryBufferedEvents).inc_by(events);
        self.metrics.gauge(Id::HistoryBufferedBytes).inc_by(bytes);
    }

    fn report_usage(&self) {
        let usage = self.store.usage();
        self.metrics
            .gauge(Id::HistoryBytes)
            .set(i64::try_from(usage.bytes).unwrap_or(i64::MAX));
        let lost = self.store.lost();
        let missing = lost.iter().map(|lost| {
            let after = lost.to.next().get();
            after.saturating_sub(lost.from.get())
        });
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics
            .gauge(Id::HistoryMissingEvents)
            .set(number(missing.sum()));
        self.metrics
            .gauge(Id::HistorySetAside)
            .set(number(self.store.set_aside()));
        for (configured, (_, events)) in self.store.filters().iter().zip(usage.filters) {
            self.metrics.history_events(&configured.filter.uri, events);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "at most one such message is under way: `freed`"
    )]
    fn tell_room(&self) {
        self.realm.do_send(Room);
    }

    fn tell_idle(&mut self) {
        if self.committing.is_none() {
            for idle in self.idle.drain(..) {
                // Whoever asked may have gone.
                let _ = idle.send(());
            }
        }
    }

    /// What has been accepted and may not be committed yet, in order.
    fn pending(&mut self) -> [Arc<[Arc<Event>]>; 2] {
        let filling = &mut self.filling;
        let snapshot = filling
            .snapshot
            .get_or_insert_with(|| filling.events.as_slice().into())
            .clone();
        [self.committing.clone().unwrap_or_default(), snapshot]
    }
}

impl Actor for History {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.readers.started(ctx.address());
        if self.store.room() < u64::MAX {
            ctx.run_interval(ROOM_CHECK, |history, _| {
                history
                    .shared
                    .judge_room(&*history.store, &history.settings);
            });
        }
        if let Some(every) = self.store.tell_time_every() {
            ctx.run_interval(every, |history, ctx| {
                let (store, now) = (Arc::clone(&history.store), history.time());
                let told = history.at_work(move || store.at(now));
                ctx.spawn(
                    told.into_actor(history)
                        .map(|_, history, _| history.report_usage()),
                );
            });
        }
    }
}

impl Handler<Store> for History {
    type Result = ();

    fn handle(&mut self, store: Store, ctx: &mut Context<Self>) {
        let bytes: u64 = store.events.iter().map(|event| event.footprint()).sum();
        self.buffered(store.events.len() as i64, bytes as i64);
        let filling = &mut self.filling;
        let before = filling.events.len();
        filling.bytes += bytes;
        filling.snapshot = None;
        if let Some(newest) = store.events.last() {
            self.newest = newest.sequence;
        }
        filling.events.extend(store.events);
        filling.waiting.extend(
            store
                .waiting
                .into_iter()
                .map(|waiting| waiting.behind(before)),
        );
        self.commit_when_due(ctx);
    }
}

impl Handler<Visited> for History {
    type Result = ();

    fn handle(&mut self, _: Visited, ctx: &mut Context<Self>) {
        self.visited = !self.closing;
        self.commit_when_due(ctx);
    }
}

impl Handler<Reserve> for History {
    type Result = ();

    fn handle(&mut self, reserve: Reserve, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let reserved = self.at_work(move || store.reserve(reserve.end));
        let done = reserved.into_actor(self).map(move |result, history, ctx| {
            let result = result.unwrap_or_else(|panic| Err(commit::panicked(&panic)));
            history.unreserved = result.is_err();
            match result {
                Ok(end) => {
                    history.shared.reserved(end);
                    if history.degraded {
                        history.look_again(ctx);
                    }
                    if history.shared.is_room_wanted() {
                        history.tell_room();
                    }
                }
                Err(error) => {
                    history.judge(Some(&error), 0);
                    // Counts as under way until then, so that nobody asks in between.
                    ctx.notify_later(Reserve { end: reserve.end }, health::LOOK_AGAIN);
                }
            }
        });
        ctx.spawn(done);
    }
}

impl Handler<Lookup> for History {
    type Result = ();

    fn handle(&mut self, lookup: Lookup, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let found = self.at_work(move || store.find_subscription(lookup.id));
        let told = found.map(move |found| (lookup.tell)(found.unwrap_or_default()));
        ctx.spawn(told.into_actor(self));
    }
}

impl Handler<Flush> for History {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) -> Self::Result {
        let (done, flushed) = oneshot::channel();
        self.idle.push(done);
        self.commit_when_due(ctx);
        // An error means that the actor is gone, and with it everything that could be flushed.
        Box::pin(async move { flushed.await.unwrap_or_default() })
    }
}

impl Handler<Close> for History {
    type Result = ResponseFuture<Result<(), StoreError>>;

    fn handle(&mut self, close: Close, _: &mut Context<Self>) -> Self::Result {
        (self.closing, self.visited) = (true, false);
        let store = Arc::clone(&self.store);
        let closed = self.at_work(move || store.close(close.next));
        Box::pin(async move {
            closed
                .await
                .unwrap_or_else(|panic| Err(commit::panicked(&panic)))
        })
    }
}
