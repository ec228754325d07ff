//! The Realm actor, one for each realm: what its sessions send, in one order. Authorises, and has
//! the Broker, the Dealer, the history and the meta API do the rest, which are plain structs.
//! Knows no socket. Spec: "Realms, Sessions and Transports".
//!
//! A batch is one read of one session. What it causes is collected, and handed over at its end:
//! one run of EVENTs a subscription, one message to the history, one wake-up a receiver.

pub mod messages; // what it is told
pub mod role; // who may do what
pub mod member; // a session, as the realm sees it
mod membership; // join and leave
mod batch; // one read of one session
mod route; // what is known of a topic
mod publish; // a publication gets its place
mod requests; // subscribe, register, call and their opposites
mod follow; // sessions that get events from the history
mod following; // what one of them has of it
mod held; // publications that wait for room in the history
mod stop; // a clean stop
mod unavailable; // a history whose store is not open
#[cfg(test)]
mod tests;

pub use held::PATIENCE;
pub use stop::stop;
pub use unavailable::{StoreNotOpened, StoreOpened, Unavailable};

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::BytesMut;
use foldhash::HashMap;
use log::warn;
use rewamp_history::{EventStore, Filter};
use rewamp_wamp::id::{RandomIds, SessionId, SubscriptionId};
use rewamp_wamp::message::{Call, Message as WampMessage};
use rewamp_wamp::uri::UriCheck;

use crate::broker::{Broker, Delivery, SlowConsumer};
use crate::clock::Clock;
use crate::dealer::Dealer;
use crate::history::{Acceptance, History, HistorySettings, News, Resolved};
use crate::meta::Found;
use crate::metrics::{Gauge, Id, RealmMetrics};
use crate::router::{RealmHandle, Router};
use crate::session::encoding;
use crate::session::outbox::OutboxLimits;
use crate::turns::Turns;
use batch::Received;
use held::Held;
use member::Member;
use messages::{Batch, Join, Leave, Room};
use role::Roles;
use route::Routes;

/// A realm as configured, all checked.
pub struct RealmSettings {
    /// Its name.
    pub name: String,
    /// How strictly URIs are checked; key `options.uri_check`.
    pub uri_check: UriCheck,
    /// What its roles may.
    pub roles: Roles,
    /// What may wait for one of its sessions; keys `rewamp.outbox_bytes`, `rewamp.outbox_messages`.
    pub outbox: OutboxLimits,
    /// What happens to a session for which too much waits; key `rewamp.slow_consumer`.
    pub slow_consumer: SlowConsumer,
    /// How long publishers wait for room in the history: [`PATIENCE`], but for tests.
    pub patience: Duration,
    /// Its history, if it keeps one.
    pub history: Option<(Arc<dyn EventStore>, HistorySettings)>,
    /// The history that it should keep, if its store is not open.
    pub unavailable: Option<Unavailable>,
}

/// See the head of this file.
pub struct Realm {
    name: Arc<str>,
    uri_check: UriCheck,
    roles: Roles,
    outbox_limits: OutboxLimits,
    pub(crate) broker: Broker,
    pub(crate) dealer: Dealer,
    delivery: Delivery,
    pub(crate) members: HashMap<SessionId, Rc<Member>>,
    routes: Routes,
    pub(crate) history: Option<Acceptance>,
    pub(crate) unavailable: Option<Unavailable>,
    turns: Turns,
    /// The subscriptions of the history filters, which exist without a subscriber.
    pub(crate) filters: HashMap<SubscriptionId, Filter>,
    /// What the history found out about the subscription of the call under way.
    pub(crate) looked_up: Option<(SubscriptionId, Found)>,
    pub(crate) address: Addr<Realm>,
    held: Held,
    ids: RandomIds,
    clock: Clock,
    /// When the batch under way began, ns since 1970.
    now: u64,
    /// When the realm began, ns since 1970: the creation of its filters' subscriptions.
    pub(crate) started: u64,
    received: Received,
    metrics: RealmMetrics,
    gauges: Gauges,
    /// PUBLISHED of the batch under way.
    acknowledgements: BytesMut,
    acknowledged: u32,
    /// Publications of the batch under way.
    published: u64,
    scratch: BytesMut,
}

struct Gauges {
    sessions: Gauge,
    subscriptions: Gauge,
    registrations: Gauge,
    tracks: Gauge,
    depth: (Gauge, Gauge),
}

/// Starts a realm on the current arbiter and makes it known to the router.
///
/// # Errors
/// If the system has no random numbers to give.
pub fn start(
    settings: RealmSettings,
    router: &Router,
    clock: Clock,
) -> Result<RealmHandle, getrandom::Error> {
    let name: Arc<str> = settings.name.as_str().into();
    let metrics = router.metrics.realm(&name);
    let ids = RandomIds::from_os()?;
    let (realm_name, realm_metrics) = (Arc::clone(&name), metrics.clone());
    let turns = router.turns.clone();
    let address = Realm::create(|ctx| {
        Realm::new(
            settings,
            realm_name,
            realm_metrics,
            ids,
            clock,
            ctx.address(),
            turns,
        )
    });
    let handle = RealmHandle {
        name,
        address,
        metrics,
    };
    router.add(handle.clone());
    Ok(handle)
}

impl Realm {
    fn new(
        settings: RealmSettings,
        name: Arc<str>,
        metrics: RealmMetrics,
        ids: RandomIds,
        clock: Clock,
        address: Addr<Self>,
        turns: Turns,
    ) -> Self {
        let history = settings.history.map(|(store, history)| {
            let (name, clock) = (Arc::clone(&name), clock.clone());
            let turns = turns.clone();
            History::start(
                name,
                &address,
                store,
                history,
                clock,
                metrics.clone(),
                turns,
            )
        });
        let unavailable = i64::from(settings.unavailable.is_some());
        metrics.gauge(Id::HistoryUnavailable).set(unavailable);
        let filters = history
            .as_ref()
            .map(Acceptance::filter_subscriptions)
            .unwrap_or_default();
        let now = clock.now();
        if let Some(history) = &history {
            tell_late_clock(&name, history.last_time().nanos(), now);
        }
        Self {
            name,
            uri_check: settings.uri_check,
            roles: settings.roles,
            outbox_limits: settings.outbox,
            broker: Broker::default(),
            dealer: Dealer::new(metrics.gauge(Id::PendingCalls)),
            delivery: Delivery::new(settings.slow_consumer, metrics.clone()),
            members: HashMap::default(),
            routes: Routes::new(metrics.clone()),
            history,
            unavailable: settings.unavailable,
            turns,
            filters: filters.into_iter().collect(),
            looked_up: None,
            address,
            held: Held::new(settings.patience, metrics.gauge(Id::HeldBatches)),
            ids,
            clock,
            now,
            started: now,
            received: Received::new(&metrics),
            gauges: Gauges {
                sessions: metrics.gauge(Id::Sessions),
                subscriptions: metrics.gauge(Id::Subscriptions),
                registrations: metrics.gauge(Id::Registrations),
                tracks: metrics.gauge(Id::Tracks),
                depth: (
                    metrics.gauge(Id::OutboxBytes),
                    metrics.gauge(Id::OutboxMessages),
                ),
            },
            metrics,
            acknowledgements: BytesMut::new(),
            acknowledged: 0,
            published: 0,
            scratch: BytesMut::new(),
        }
    }

    /// Goes on with a call that had to wait for something of the realm's own.
    pub(crate) fn resume_call(&mut self, member: &Rc<Member>, call: &Call) {
        self.now = self.clock.now();
        self.broker.flush(&mut self.delivery);
        self.call_meta(member, call);
        self.hand_over();
    }

    /// Answers something that `member` asked for.
    pub(crate) fn answer(&mut self, member: &Member, message: &WampMessage) {
        self.scratch.clear();
        encoding::append(member.wire, message, &mut self.scratch);
        self.delivery.answer(&member.outbox, &self.scratch);
    }
}

/// A clock that was set back does no harm, times still increase, but somebody should know.
fn tell_late_clock(realm: &str, newest: u64, now: u64) {
    const TOLERATED: Duration = Duration::from_secs(60);
    let behind = Duration::from_nanos(newest.saturating_sub(now));
    if behind > TOLERATED {
        warn!(realm; "the clock is {behind:?} behind the newest event: until it has caught up, \
            events are a nanosecond apart");
    }
}

impl Actor for Realm {
    type Context = Context<Self>;
}

impl Handler<Join> for Realm {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.now = self.clock.now();
        self.join(join);
        self.hand_over();
    }
}

impl Handler<Batch> for Realm {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        self.batch(batch);
        self.watch_held(ctx);
    }
}

impl Handler<Leave> for Realm {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) {
        self.now = self.clock.now();
        self.leave(leave.session);
        self.hand_over();
    }
}

impl Handler<Room> for Realm {
    type Result = ();

    fn handle(&mut self, _: Room, ctx: &mut Context<Self>) {
        self.release_held();
        self.watch_held(ctx);
    }
}

impl Handler<Resolved> for Realm {
    type Result = ();

    fn handle(&mut self, resolved: Resolved, _: &mut Context<Self>) {
        self.now = self.clock.now();
        self.resolved(resolved);
        self.hand_over();
    }
}

impl Handler<News> for Realm {
    type Result = ();

    fn handle(&mut self, news: News, _: &mut Context<Self>) {
        self.now = self.clock.now();
        self.news(news);
        self.hand_over();
    }
}
