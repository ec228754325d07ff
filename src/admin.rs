//! What operators and their machines ask: is the node alive, can it take sessions, what does it
//! count. Answers on an address of its own. Knows the node's [`Status`] and metrics, no realm.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use rewamp_actors::metrics::{Id, Metrics};
use serde_json::{Value, json};

use crate::transport::{Answer, Site};

/// How long a request may take to arrive, and an idle connection may stay.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// What Prometheus asks for: OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How far the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Stores are opened, nobody is let in yet.
    Starting,
    /// Sessions are taken.
    Ready,
    /// Nobody is let in any more; what was accepted is finished.
    Stopping,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// How the node is. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Status {
    phase: Rc<Cell<Phase>>,
    realms: Rc<[String]>,
    metrics: Metrics,
}

impl Status {
    /// A node that starts, with these realms.
    pub(crate) fn starting(realms: impl Iterator<Item = String>, metrics: &Metrics) -> Self {
        Self {
            phase: Rc::new(Cell::new(Phase::Starting)),
            realms: realms.collect(),
            metrics: metrics.clone(),
        }
    }

    /// The node has got further.
    pub(crate) fn set(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// What is not as it should be, although routing goes on. A full, read-only or damaged store
    /// never makes the node not ready: other nodes could not serve its history either.
    fn degraded(&self) -> Vec<Value> {
        const REASONS: [(Id, &str); 5] = [
            (
                Id::HistoryUnavailable,
                "the event store cannot be opened: events are routed and not stored",
            ),
            (Id::HistoryDegraded, "the event store cannot be written"),
            (
                Id::HistoryFull,
                "the event store is full and refuses publications",
            ),
            (
                Id::HistoryMissingEvents,
                "events that were stored are missing",
            ),
            (
                Id::HistorySetAside,
                "damaged parts of the event store are set aside",
            ),
        ];
        let mut degraded = Vec::new();
        for realm in self.realms.iter() {
            let metrics = self.metrics.realm(realm);
            for (id, reason) in REASONS {
                if metrics.gauge(id).get() > 0 {
                    degraded.push(json!({"realm": realm, "reason": reason}));
                }
            }
        }
        degraded
    }

    fn ready(&self) -> HttpResponse {
        let phase = self.phase.get();
        let status = match phase {
            Phase::Ready => StatusCode::OK,
            Phase::Starting | Phase::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = json!({"status": phase.name(), "degraded": self.degraded()});
        page(status, "application/json", body.to_string())
    }

    fn metrics(&self) -> HttpResponse {
        match self.metrics.encode() {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => page(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                error.to_string(),
            ),
        }
    }
}

fn page(status: StatusCode, content_type: &str, body: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type(content_type)
        .insert_header(("cache-control", "no-store"))
        .body(body)
}

/// The pages of the admin listener. `/health/live` is answered by the same event loop that serves
/// clients, and by nothing else: it says that the loop turns.
pub(crate) fn site(status: &Status) -> Rc<Site> {
    let (ready, metrics) = (status.clone(), status.clone());
    let live = || {
        page(
            StatusCode::OK,
            "application/json",
            json!({"status": "live"}).to_string(),
        )
    };
    let paths = [
        ("/health/live", Answer::Page(Box::new(live))),
        (
            "/health/ready",
            Answer::Page(Box::new(move || ready.ready())),
        ),
        (
            "/metrics",
            Answer::Page(Box::new(move || metrics.metrics())),
        ),
    ];
    let paths = paths
        .into_iter()
        .map(|(path, answer)| (path.to_owned(), answer))
        .collect();
    Site::new(paths, Some(CLIENT_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    async fn ask(status: &Status) -> (u16, Value) {
        let response = status.ready();
        let code = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.unwrap();
        (code, serde_json::from_slice(&body).unwrap())
    }

    #[actix_rt::test]
    async fn a_node_is_ready_from_its_start_to_its_stop() {
        let status = Status::starting(std::iter::empty(), &Metrics::new());
        assert_eq!(
            ask(&status).await,
            (503, json!({"status": "starting", "degraded": []}))
        );
        status.set(Phase::Ready);
        assert_eq!(
            ask(&status).await,
            (200, json!({"status": "ready", "degraded": []}))
        );
        status.set(Phase::Stopping);
        assert_eq!(
            ask(&status).await,
            (503, json!({"status": "stopping", "degraded": []}))
        );
    }

    #[actix_rt::test]
    async fn a_store_that_cannot_be_written_is_named_and_leaves_the_node_ready() {
        let metrics = Metrics::new();
        let status = Status::starting(["good", "bad"].map(str::to_owned).into_iter(), &metrics);
        status.set(Phase::Ready);
        metrics.realm("bad").gauge(Id::HistoryDegraded).set(1);
        let named = json!([{"realm": "bad", "reason": "the event store cannot be written"}]);
        assert_eq!(
            ask(&status).await,
            (200, json!({"status": "ready", "degraded": named}))
        );
    }
}
