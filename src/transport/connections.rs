//! All open client connections of the node: how many there may be, and how a clean stop reaches
//! them. Asked by the listeners for every accepted socket. Knows no protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use log::warn;
use rewamp_actors::metrics::Metrics;
use rewamp_actors::session::outbox::Outbox;
use tokio::sync::Notify;

/// See the head of this file. One for the whole node.
pub(crate) struct Connections {
    /// Sockets that may be open at once, whatever they do. Policy: more are told so and closed.
    /// Metric `rewamp_aborted{reason="too_many_connections"}`.
    limit: usize,
    open: AtomicUsize,
    sessions: DashMap<u64, Arc<Outbox>>,
    next: AtomicU64,
    draining: AtomicBool,
    /// Whether the log says that there was no room: once is enough, the metric counts.
    told: AtomicBool,
    gone: Notify,
    metrics: Metrics,
}

impl Connections {
    /// A registry without a connection.
    pub(crate) fn new(limit: usize, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            limit,
            open: AtomicUsize::new(0),
            sessions: DashMap::new(),
            next: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            told: AtomicBool::new(false),
            gone: Notify::new(),
            metrics: metrics.clone(),
        })
    }

    /// A place for one more socket, to be kept as long as it is open; none when the limit is
    /// reached or the node is stopping.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Slot> {
        if self.draining.load(Ordering::Acquire) {
            return None;
        }
        let below = |open| (open < self.limit).then_some(open + 1);
        if self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, below)
            .is_err()
        {
            self.metrics.aborted("too_many_connections");
            if !self.told.swap(true, Ordering::Relaxed) {
                warn!(limit = self.limit; "there is no room for more connections");
            }
            return None;
        }
        Some(Slot {
            connections: Arc::clone(self),
            session: None,
        })
    }

    /// The first step of a clean stop: admits nobody any more, and reads nothing more from those
    /// that are here; what waits for them is still written.
    pub(crate) fn stop_reading(&self) {
        self.draining.store(true, Ordering::Release);
        self.sessions
            .iter()
            .for_each(|outbox| outbox.stop_reading());
    }

    /// Closes in an orderly way what is still open.
    pub(crate) fn finish(&self) {
        let open: Vec<Arc<Outbox>> = self
            .sessions
            .iter()
            .map(|entry| Arc::clone(&entry))
            .collect();
        open.iter().for_each(|outbox| outbox.finish());
    }

    /// How many connections have got past their handshake and are still open.
    pub(crate) fn established(&self) -> usize {
        self.sessions.len()
    }

    /// Returns when everything is written and closed.
    pub(crate) async fn all_closed(&self) {
        loop {
            let gone = self.gone.notified();
            if self.sessions.is_empty() {
                return;
            }
            gone.await;
        }
    }
}

/// The place of one open socket; its drop frees it.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    session: Option<u64>,
}

impl Slot {
    /// Makes the connection known to a clean stop. False when the node is already stopping: then
    /// it must not begin.
    #[must_use]
    pub(crate) fn establish(&mut self, outbox: &Arc<Outbox>) -> bool {
        let connections = &self.connections;
        let session = connections.next.fetch_add(1, Ordering::Relaxed);
        connections.sessions.insert(session, Arc::clone(outbox));
        self.session = Some(session);
        // Looked at after the insertion: either this sees the stop, or the stop sees the session.
        !connections.draining.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.connections.sessions.remove(&session);
            self.connections.gone.notify_waiters();
        }
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rewamp_actors::session::outbox::OutboxLimits;

    fn room_for(limit: usize) -> Arc<Connections> {
        Connections::new(limit, &Metrics::new())
    }

    #[test]
    fn a_place_is_free_again_when_its_socket_is_gone() {
        let connections = room_for(2);
        let first = connections.admit();
        let second = connections.admit();
        assert!(first.is_some() && second.is_some());
        assert!(connections.admit().is_none());
        drop(first);
        assert!(connections.admit().is_some());
    }

    #[test]
    fn nobody_is_admitted_or_established_while_the_node_stops() {
        let connections = room_for(2);
        let mut early = connections.admit().unwrap();
        connections.stop_reading();
        assert!(connections.admit().is_none());
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        assert!(!early.establish(&outbox));
    }

    #[actix_rt::test]
    async fn all_are_closed_when_the_last_established_socket_is_gone() {
        let connections = room_for(2);
        let mut slot = connections.admit().unwrap();
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        assert!(slot.establish(&outbox));
        assert_eq!(connections.established(), 1);
        connections.finish();
        assert!(outbox.is_closed());
        let closed = actix_rt::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.all_closed().await }
        });
        actix_rt::task::yield_now().await;
        assert!(!closed.is_finished());
        drop(slot);
        closed.await.unwrap();
    }
}
