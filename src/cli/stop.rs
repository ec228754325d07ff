//! Commands that go on until they are told to stop: SIGTERM and SIGINT become something that
//! they look at.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Whether the end is asked for. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    told: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// One that SIGTERM and SIGINT set; from here on they do not end the process by themselves.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        let told = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut terminate, mut interrupt) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            )
        };
        let wait = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            told.set();
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)?;
        Ok(stop)
    }

    /// Asks for the end.
    pub(crate) fn set(&self) {
        self.0.stopped.store(true, Ordering::Release);
        let _told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.changed.notify_all();
    }

    /// Whether the end has been asked for.
    pub(crate) fn is_set(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Waits so long, or until the end is asked for; says whether it is.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .changed
            .wait_timeout_while(told, time, |()| !self.is_set());
        drop(waited);
        self.is_set()
    }
}

/// How long it is waited before another router is tried again: doubled from one attempt to the
/// next, at most ten seconds, so that a router that returns is not stormed and not waited for long.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(10);

    /// Before the first attempt.
    pub(crate) const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// How long before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Self::MOST);
        now
    }

    /// It has worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_it_is_told_to() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::from_millis(1)));
        let told = stop.clone();
        let teller = std::thread::spawn(move || told.set());
        assert!(stop.wait(Duration::from_secs(60)));
        teller.join().unwrap();
        assert!(stop.is_set());
    }

    #[test]
    fn attempts_are_further_and_further_apart_but_not_without_end() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(
            waits,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
        );
        backoff.reset();
        assert_eq!(backoff.next().as_millis(), 250);
    }
}
