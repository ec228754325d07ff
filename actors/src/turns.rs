//! Turns: how many commits and questions are at work in the stores of a node at the same time, all
//! realms together. Each keeps a thread and a store busy. Whoever wants a turn waits without a
//! thread, in the order of asking, so a thousand realms take turns as a few do.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Gauge, Id, Metrics};

/// Commits and questions at the same time, at most. 64: fewer than a disk combines into one
/// write of its journal, and threads enough to wait for it.
const AT_ONCE: usize = 64;

/// Turns of questions at the same time: one less than there are processors, since reading keeps
/// one busy and routing needs one; at least 1, at most 4.
pub(crate) fn questions_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).clamp(1, 4))
}

/// See the head of this file. Cheap to clone; all clones share the same turns.
#[derive(Clone)]
pub struct Turns {
    all: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    taken: Gauge,
    waiting: Gauge,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

/// A turn, which ends when it is dropped.
#[derive(Debug)]
pub struct Turn {
    taken: Gauge,
    _all: Option<OwnedSemaphorePermit>,
    _questions: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.taken.dec();
    }
}

struct Waits<'a>(&'a Gauge);

impl<'a> Waits<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Turns {
    /// Turns for stores of which at most so many are open.
    #[must_use]
    pub fn new(open_stores: usize, metrics: &Metrics) -> Self {
        Self {
            all: Arc::new(Semaphore::new(open_stores.clamp(1, AT_ONCE))),
            questions: Arc::new(Semaphore::new(questions_at_once())),
            taken: metrics.gauge(Id::StoreTurns),
            waiting: metrics.gauge(Id::StoreTurnsWaiting),
        }
    }

    /// Waits for a turn to write.
    pub async fn write(&self) -> Turn {
        self.take(None).await
    }

    /// Waits for a turn to answer questions.
    pub async fn read(&self) -> Turn {
        let questions = self.permit(&self.questions).await;
        self.take(questions).await
    }

    async fn take(&self, questions: Option<OwnedSemaphorePermit>) -> Turn {
        let all = self.permit(&self.all).await;
        self.taken.inc();
        Turn {
            taken: self.taken.clone(),
            _all: all,
            _questions: questions,
        }
    }

    /// None only if the semaphore were closed, which nobody does.
    async fn permit(&self, of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(of).try_acquire_owned() {
            return Some(permit);
        }
        let _waits = Waits::new(&self.waiting);
        Arc::clone(of).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[actix::test]
    async fn turns_are_bounded_and_taken_in_order() {
        let metrics = Metrics::new();
        let turns = Turns::new(2, &metrics);
        let (one, two) = (turns.write().await, turns.write().await);
        let mut waits = [Box::pin(turns.write()), Box::pin(turns.write())];
        assert!(waits[0].as_mut().now_or_never().is_none());
        assert!(waits[1].as_mut().now_or_never().is_none());
        assert_eq!(metrics.gauge(Id::StoreTurns).get(), 2);
        assert_eq!(metrics.gauge(Id::StoreTurnsWaiting).get(), 2);
        drop(one);
        assert!(waits[1].as_mut().now_or_never().is_none());
        let three = waits[0].as_mut().now_or_never().unwrap();
        drop((two, three));
        assert!(waits[1].as_mut().now_or_never().is_some());
        assert_eq!(metrics.gauge(Id::StoreTurns).get(), 0);
        assert_eq!(metrics.gauge(Id::StoreTurnsWaiting).get(), 0);
    }

    #[actix::test]
    async fn questions_leave_turns_to_those_who_write() {
        let turns = Turns::new(64, &Metrics::new());
        let mut questions = Vec::new();
        while let Some(turn) = turns.read().now_or_never() {
            questions.push(turn);
        }
        assert!(questions.len() <= 4);
        assert!(turns.write().now_or_never().is_some());
    }
}
