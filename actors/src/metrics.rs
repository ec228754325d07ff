//! The metrics of a node: one table that says what each is, and the handles that count.
//! Everything with a bound or a failure has its row here; the admin listener encodes the registry.
//! Labels are realm, filter and message type, never topic, session or authid: their number must not
//! grow with what clients do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter as PrometheusCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PrometheusGauge;
use prometheus_client::metrics::histogram::{
    Histogram as PrometheusHistogram, exponential_buckets,
};
use prometheus_client::registry::Registry;

/// Counts up.
pub type Counter = PrometheusCounter<u64, AtomicU64>;
/// Goes up and down.
pub type Gauge = PrometheusGauge<i64, AtomicI64>;
/// Counts observations by size.
pub type Histogram = PrometheusHistogram;

/// Realms that appear by name; later ones share the name `other`. Realms come from the
/// configuration, so this bounds what a scrape costs, not what a client can do.
const REALMS_BY_NAME: usize = 200;

/// What a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever goes up; its name in the output ends in `_total`.
    Counter,
    /// A present state.
    Gauge,
    /// A distribution; buckets in the unit that the name says.
    Histogram,
}

/// Names a row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    /// Open client connections, joined or not.
    Connections,
    /// Connections ended by ABORT or a transport fault.
    Aborted,
    /// Joined sessions.
    Sessions,
    /// Sessions that have joined.
    Joins,
    /// Logins refused.
    FailedLogins,
    /// Messages received from clients, by message type.
    Messages,
    /// Subscriptions that have a subscriber.
    Subscriptions,
    /// Registered procedures.
    Registrations,
    /// Publications routed.
    Publications,
    /// EVENTs handed to receivers.
    Deliveries,
    /// EVENTs dropped for receivers that were too slow.
    DroppedEvents,
    /// EVENTs over a receiver's message limit, dropped for it.
    OversizeEvents,
    /// EVENTs that a receiver's serializer cannot express, dropped for it.
    UntranscodableEvents,
    /// Sessions cut because they did not read.
    CutSlowConsumers,
    /// Bytes waiting for receivers, all sessions together.
    OutboxBytes,
    /// Messages waiting for receivers, all sessions together.
    OutboxMessages,
    /// Calls that wait for their callee.
    PendingCalls,
    /// Times the cache of topic routes was full and begun anew.
    TopicCacheResets,
    /// Batches of publishers that wait for room in the history buffer.
    HeldBatches,
    /// 1 while the realm's store cannot be written.
    HistoryDegraded,
    /// Events that a history filter shows.
    HistoryEvents,
    /// Bytes that the store takes, on disk or in memory.
    HistoryBytes,
    /// Events accepted and not yet committed.
    HistoryBufferedEvents,
    /// Bytes of the events accepted and not yet committed.
    HistoryBufferedBytes,
    /// Events committed to the store.
    HistoryStored,
    /// Events routed live and not stored, because the store failed or its buffers stayed full.
    HistoryNotStored,
    /// Publications refused because they are too large for the store.
    HistoryRefused,
    /// Commits that the store could not do.
    HistoryFailedCommits,
    /// Pages of history answered.
    HistoryQueries,
    /// Pages of history asked for and not yet answered.
    HistoryWaitingQueries,
    /// Events of a commit.
    HistoryFlushEvents,
    /// How long a commit took.
    HistoryFlushSeconds,
    /// From a publication's acceptance to its durable acknowledgement.
    HistoryAckSeconds,
    /// Starts at which the store had to be repaired.
    HistoryRecoveries,
    /// Events brought back by repair.
    HistoryRecoveredEvents,
    /// Events known to have been stored and not found any more, at most.
    HistoryMissingEvents,
    /// Damaged parts of the store set aside and kept.
    HistorySetAside,
}

/// A row of [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// What the code calls it.
    pub id: Id,
    /// Its name without the prefix `rewamp_`.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// One sentence for the one who reads a dashboard.
    pub help: &'static str,
}

const fn row(
    id: Id,
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        id,
        name,
        kind,
        labels,
        help,
    }
}

const NODE: &[&str] = &[];
const REASON: &[&str] = &["reason"];
const REALM: &[&str] = &["realm"];
const TYPED: &[&str] = &["realm", "type"];
const FILTERED: &[&str] = &["realm", "filter"];

/// Every metric of a node.
pub const TABLE: &[Metric] = &[
    row(
        Id::Connections,
        "connections",
        Kind::Gauge,
        NODE,
        "Open client connections, joined or not",
    ),
    row(
        Id::Aborted,
        "aborted",
        Kind::Counter,
        REASON,
        "Connections ended by ABORT or a transport fault",
    ),
    row(
        Id::Sessions,
        "sessions",
        Kind::Gauge,
        REALM,
        "Joined sessions",
    ),
    row(
        Id::Joins,
        "joins",
        Kind::Counter,
        REALM,
        "Sessions that have joined",
    ),
    row(
        Id::FailedLogins,
        "failed_logins",
        Kind::Counter,
        REALM,
        "Logins refused",
    ),
    row(
        Id::Messages,
        "messages",
        Kind::Counter,
        TYPED,
        "Messages received from clients, by message type",
    ),
    row(
        Id::Subscriptions,
        "subscriptions",
        Kind::Gauge,
        REALM,
        "Subscriptions that have a subscriber",
    ),
    row(
        Id::Registrations,
        "registrations",
        Kind::Gauge,
        REALM,
        "Registered procedures",
    ),
    row(
        Id::Publications,
        "publications",
        Kind::Counter,
        REALM,
        "Publications routed",
    ),
    row(
        Id::Deliveries,
        "deliveries",
        Kind::Counter,
        REALM,
        "EVENTs handed to receivers",
    ),
    row(
        Id::DroppedEvents,
        "dropped_events",
        Kind::Counter,
        REALM,
        "EVENTs dropped for receivers that were too slow",
    ),
    row(
        Id::OversizeEvents,
        "oversize_events",
        Kind::Counter,
        REALM,
        "EVENTs over a receiver's message limit, dropped for it",
    ),
    row(
        Id::UntranscodableEvents,
        "untranscodable_events",
        Kind::Counter,
        REALM,
        "EVENTs that a receiver's serializer cannot express, dropped for it",
    ),
    row(
        Id::CutSlowConsumers,
        "cut_slow_consumers",
        Kind::Counter,
        REALM,
        "Sessions cut because they did not read",
    ),
    row(
        Id::OutboxBytes,
        "outbox_bytes",
        Kind::Gauge,
        REALM,
        "Bytes waiting for receivers, all sessions together",
    ),
    row(
        Id::OutboxMessages,
        "outbox_messages",
        Kind::Gauge,
        REALM,
        "Messages waiting for receivers, all sessions together",
    ),
    row(
        Id::PendingCalls,
        "pending_calls",
        Kind::Gauge,
        REALM,
        "Calls that wait for their callee",
    ),
    row(
        Id::TopicCacheResets,
        "topic_cache_resets",
        Kind::Counter,
        REALM,
        "Times the cache of topic routes was full and begun anew",
    ),
    row(
        Id::HeldBatches,
        "held_batches",
        Kind::Gauge,
        REALM,
        "Batches of publishers that wait for room in the history buffer",
    ),
    row(
        Id::HistoryDegraded,
        "history_degraded",
        Kind::Gauge,
        REALM,
        "1 while the realm's store cannot be written",
    ),
    row(
        Id::HistoryEvents,
        "history_events",
        Kind::Gauge,
        FILTERED,
        "Events that a history filter shows",
    ),
    row(
        Id::HistoryBytes,
        "history_bytes",
        Kind::Gauge,
        REALM,
        "Bytes that the store takes, on disk or in memory",
    ),
    row(
        Id::HistoryBufferedEvents,
        "history_buffered_events",
        Kind::Gauge,
        REALM,
        "Events accepted and not yet committed",
    ),
    row(
        Id::HistoryBufferedBytes,
        "history_buffered_bytes",
        Kind::Gauge,
        REALM,
        "Bytes of the events accepted and not yet committed",
    ),
    row(
        Id::HistoryStored,
        "history_stored",
        Kind::Counter,
        REALM,
        "Events committed to the store",
    ),
    row(
        Id::HistoryNotStored,
        "history_not_stored",
        Kind::Counter,
        REALM,
        "Events routed live and not stored, because the store failed or its buffers stayed full",
    ),
    row(
        Id::HistoryRefused,
        "history_refused",
        Kind::Counter,
        REALM,
        "Publications refused because they are too large for the store",
    ),
    row(
        Id::HistoryFailedCommits,
        "history_failed_commits",
        Kind::Counter,
        REALM,
        "Commits that the store could not do",
    ),
    row(
        Id::HistoryQueries,
        "history_queries",
        Kind::Counter,
        REALM,
        "Pages of history answered",
    ),
    row(
        Id::HistoryWaitingQueries,
        "history_waiting_queries",
        Kind::Gauge,
        REALM,
        "Pages of history asked for and not yet answered",
    ),
    row(
        Id::HistoryFlushEvents,
        "history_flush_events",
        Kind::Histogram,
        REALM,
        "Events of a commit",
    ),
    row(
        Id::HistoryFlushSeconds,
        "history_flush_seconds",
        Kind::Histogram,
        REALM,
        "How long a commit took",
    ),
    row(
        Id::HistoryAckSeconds,
        "history_ack_seconds",
        Kind::Histogram,
        REALM,
        "From a publication's acceptance to its durable acknowledgement",
    ),
    row(
        Id::HistoryRecoveries,
        "history_recoveries",
        Kind::Counter,
        REALM,
        "Starts at which the store had to be repaired",
    ),
    row(
        Id::HistoryRecoveredEvents,
        "history_recovered_events",
        Kind::Counter,
        REALM,
        "Events brought back by repair",
    ),
    row(
        Id::HistoryMissingEvents,
        "history_missing_events",
        Kind::Gauge,
        REALM,
        "Events known to have been stored and not found any more, at most",
    ),
    row(
        Id::HistorySetAside,
        "history_set_aside",
        Kind::Gauge,
        REALM,
        "Damaged parts of the store set aside and kept",
    ),
];

type Labels = Vec<(&'static str, String)>;

/// The series of one metric, whatever its labels.
#[derive(Debug, Clone)]
enum Series {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge>),
    Histogram(Family<Labels, Histogram, fn() -> Histogram>),
}

#[derive(Debug, Clone)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Series {
    fn register(metric: &Metric, registry: &mut Registry) -> Self {
        let (name, help) = (metric.name, metric.help);
        match metric.kind {
            Kind::Counter => {
                let family = Family::<Labels, Counter>::default();
                registry.register(name, help, family.clone());
                Self::Counter(family)
            }
            Kind::Gauge => {
                let family = Family::<Labels, Gauge>::default();
                registry.register(name, help, family.clone());
                Self::Gauge(family)
            }
            Kind::Histogram => {
                let buckets: fn() -> Histogram = match metric.id {
                    Id::HistoryFlushEvents => || Histogram::new(exponential_buckets(1.0, 4.0, 9)),
                    _ => || Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
                };
                let family = Family::new_with_constructor(buckets);
                registry.register(name, help, family.clone());
                Self::Histogram(family)
            }
        }
    }

    fn with(&self, labels: &Labels) -> Handle {
        match self {
            Self::Counter(family) => Handle::Counter(family.get_or_create_owned(labels)),
            Self::Gauge(family) => Handle::Gauge(family.get_or_create_owned(labels)),
            Self::Histogram(family) => Handle::Histogram(family.get_or_create_owned(labels)),
        }
    }
}

/// All metrics of a node. Cheap to clone; every clone counts into the same registry.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    series: Vec<Series>,
    realms: Mutex<HashSet<String>>,
}

impl Metrics {
    /// A registry with every row of [`TABLE`], under the prefix `rewamp_`.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rewamp");
        let series = TABLE
            .iter()
            .map(|metric| Series::register(metric, &mut registry))
            .collect();
        Self(Arc::new(Inner {
            registry,
            series,
            realms: Mutex::default(),
        }))
    }

    /// The registry as OpenMetrics text, which Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// The handles of one realm: resolved once, so that counting is one atomic addition.
    #[must_use]
    pub fn realm(&self, realm: &str) -> RealmMetrics {
        let mut realms = self.0.realms.lock();
        let known = realms.contains(realm) || realms.len() < REALMS_BY_NAME;
        let name = if known { realm } else { "other" };
        realms.insert(name.to_owned());
        drop(realms);
        let labels = vec![("realm", name.to_owned())];
        let handles = TABLE
            .iter()
            .zip(&self.0.series)
            .map(|(metric, series)| (metric.labels == REALM).then(|| series.with(&labels)))
            .collect();
        RealmMetrics {
            name: name.into(),
            handles,
            node: self.clone(),
        }
    }

    /// The gauge of a row without labels.
    #[must_use]
    pub fn gauge(&self, id: Id) -> Gauge {
        match self.labelled(id, &Labels::new()) {
            Some(Handle::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// Counts a connection that was ended for `reason`.
    pub fn aborted(&self, reason: &'static str) {
        if let Some(Handle::Counter(counter)) =
            self.labelled(Id::Aborted, &vec![("reason", reason.to_owned())])
        {
            counter.inc();
        }
    }

    fn labelled(&self, id: Id, labels: &Labels) -> Option<Handle> {
        let at = TABLE.iter().position(|metric| metric.id == id)?;
        Some(self.0.series.get(at)?.with(labels))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The metrics of one realm; see [`Metrics::realm`].
#[derive(Debug, Clone)]
pub struct RealmMetrics {
    name: Arc<str>,
    handles: Arc<[Option<Handle>]>,
    node: Metrics,
}

impl RealmMetrics {
    /// Adds `n` to a counter of this realm.
    pub fn count(&self, id: Id, n: u64) {
        if let Some(Handle::Counter(counter)) = self.handle(id) {
            counter.inc_by(n);
        }
    }

    /// A gauge of this realm, to keep.
    #[must_use]
    pub fn gauge(&self, id: Id) -> Gauge {
        match self.handle(id) {
            Some(Handle::Gauge(gauge)) => gauge.clone(),
            _ => Gauge::default(),
        }
    }

    /// Adds an observation to a histogram of this realm.
    pub fn observe(&self, id: Id, value: f64) {
        if let Some(Handle::Histogram(histogram)) = self.handle(id) {
            histogram.observe(value);
        }
    }

    /// The counter of received messages of one type, to keep.
    #[must_use]
    pub fn messages(&self, message_type: &'static str) -> Counter {
        let labels = vec![
            ("realm", self.name.to_string()),
            ("type", message_type.to_owned()),
        ];
        match self.node.labelled(Id::Messages, &labels) {
            Some(Handle::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// Says how many events a history filter shows.
    pub fn history_events(&self, filter: &str, events: u64) {
        let labels = vec![
            ("realm", self.name.to_string()),
            ("filter", filter.to_owned()),
        ];
        if let Some(Handle::Gauge(gauge)) = self.node.labelled(Id::HistoryEvents, &labels) {
            gauge.set(i64::try_from(events).unwrap_or(i64::MAX));
        }
    }

    fn handle(&self, id: Id) -> Option<&Handle> {
        debug_assert!(TABLE.get(id as usize).is_some_and(|metric| metric.id == id));
        self.handles.get(id as usize)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_where_its_id_says_and_is_in_the_output() {
        let metrics = Metrics::new();
        let realm = metrics.realm("realm1");
        realm.messages("PUBLISH").inc();
        realm.history_events("com.", 3);
        metrics.gauge(Id::Connections).set(1);
        metrics.aborted("protocol_violation");
        let text = metrics.encode().unwrap();
        for (at, metric) in TABLE.iter().enumerate() {
            assert_eq!(metric.id as usize, at, "{}", metric.name);
            let suffix = match metric.kind {
                Kind::Counter => "_total",
                Kind::Gauge => "",
                Kind::Histogram => "_count",
            };
            let line = format!("\nrewamp_{}{suffix}", metric.name);
            assert!(text.contains(&line), "{line} is not in the output:\n{text}");
            assert!(text.contains(metric.help), "{}", metric.help);
        }
    }

    #[test]
    fn realms_past_the_two_hundredth_share_a_name() {
        let metrics = Metrics::new();
        for n in 0..REALMS_BY_NAME + 50 {
            metrics
                .realm(&format!("realm{n}"))
                .count(Id::Publications, 1);
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("rewamp_publications_total{realm=\"other\"} 50"));
        assert_eq!(
            text.matches("rewamp_publications_total{").count(),
            REALMS_BY_NAME + 1
        );
    }
}
