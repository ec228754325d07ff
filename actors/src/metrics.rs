//! The metrics of a node: one table that says what each is, and the handles that count.
//! Everything with a bound or a failure has its row here; the admin listener encodes the registry.
//! Labels are realm, filter and message type, never topic, session or authid: their number must not
//! grow with what clients do.

mod table; // what there is

pub use table::{Id, Kind, Metric, TABLE};

use std::collections::HashMap;
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
use table::REALM;

/// Counts up.
pub type Counter = PrometheusCounter<u64, AtomicU64>;
/// Goes up and down.
pub type Gauge = PrometheusGauge<i64, AtomicI64>;
/// Counts observations by size.
pub type Histogram = PrometheusHistogram;

/// Realms that appear by name; later ones share the name `other`, and their gauges are added up;
/// `history_events` has the named ones alone. Realms come from the configuration, so this bounds
/// what a scrape costs, not what a client can do.
const REALMS_BY_NAME: usize = 200;

const OTHER: &str = "other";

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

/// The handles of one realm, a row each.
#[derive(Debug, Clone)]
struct Handles {
    by_name: bool,
    rows: Arc<[Option<Handle>]>,
}

impl Handles {
    fn row(&self, at: usize) -> Option<&Handle> {
        self.rows.get(at)?.as_ref()
    }
}

/// All metrics of a node. Cheap to clone; every clone counts into the same registry.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    series: Vec<Series>,
    realms: Mutex<HashMap<Arc<str>, Handles>>,
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
        self.add_up();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// The handles of one realm: resolved once, so that counting is one atomic addition.
    #[must_use]
    pub fn realm(&self, realm: &str) -> RealmMetrics {
        let mut realms = self.0.realms.lock();
        let handles = match realms.get(realm) {
            Some(known) => known.clone(),
            None => {
                let handles = self.handles(realm, realms.len() < REALMS_BY_NAME);
                realms.insert(realm.into(), handles.clone());
                handles
            }
        };
        let name = if handles.by_name { realm } else { OTHER };
        RealmMetrics {
            name: name.into(),
            handles,
            node: self.clone(),
        }
    }

    /// A realm without a name of its own counts into the counters of all such, and has its gauges
    /// for itself: what one of them is does not say what another is.
    fn handles(&self, realm: &str, by_name: bool) -> Handles {
        let labels = vec![("realm", if by_name { realm } else { OTHER }.to_owned())];
        let rows = TABLE.iter().zip(&self.0.series).map(|(metric, series)| {
            let handle = || match metric.kind {
                Kind::Gauge if !by_name => Handle::Gauge(Gauge::default()),
                _ => series.with(&labels),
            };
            (metric.labels == REALM).then(handle)
        });
        Handles {
            by_name,
            rows: rows.collect(),
        }
    }

    /// Brings the gauges of `other` up to the sum of those realms' own.
    fn add_up(&self) {
        let realms = self.0.realms.lock();
        let others: Vec<_> = realms.values().filter(|realm| !realm.by_name).collect();
        if others.is_empty() {
            return;
        }
        let labels = vec![("realm", OTHER.to_owned())];
        for (at, (metric, series)) in TABLE.iter().zip(&self.0.series).enumerate() {
            let own = |realm: &&Handles| match realm.row(at) {
                Some(Handle::Gauge(gauge)) => gauge.get(),
                _ => 0,
            };
            if metric.kind == Kind::Gauge
                && metric.labels == REALM
                && let Handle::Gauge(sum) = series.with(&labels)
            {
                sum.set(others.iter().map(own).sum());
            }
        }
    }

    /// Adds `n` to a counter without labels.
    pub fn count(&self, id: Id, n: u64) {
        if let Some(Handle::Counter(counter)) = self.labelled(id, &Labels::new()) {
            counter.inc_by(n);
        }
    }

    /// Adds an observation to a histogram without labels.
    pub fn observe(&self, id: Id, value: f64) {
        if let Some(Handle::Histogram(histogram)) = self.labelled(id, &Labels::new()) {
            histogram.observe(value);
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
    handles: Handles,
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
        if !self.handles.by_name {
            return;
        }
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
        self.handles.row(id as usize)
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
        for metric in TABLE.iter().filter(|metric| metric.labels.is_empty()) {
            match metric.kind {
                Kind::Counter => metrics.count(metric.id, 1),
                Kind::Gauge => drop(metrics.gauge(metric.id).inc()),
                Kind::Histogram => metrics.observe(metric.id, 1.0),
            }
        }
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

    #[test]
    fn the_state_of_a_realm_without_a_name_is_its_own() {
        let metrics = Metrics::new();
        let realm = |number: usize| metrics.realm(&format!("realm{number}"));
        let last = REALMS_BY_NAME + 3;
        for number in 0..last {
            realm(number).gauge(Id::HistoryDegraded).set(1);
        }
        realm(last - 1).gauge(Id::HistoryDegraded).set(0);
        assert_eq!(realm(last - 2).gauge(Id::HistoryDegraded).get(), 1);
        let text = metrics.encode().unwrap();
        assert!(text.contains("rewamp_history_degraded{realm=\"other\"} 2"));
    }
}
