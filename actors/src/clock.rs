//! The clock: the only place that reads the system's time. Everything else is told what time it is,
//! so that a test can decide it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in nanoseconds since 1970-01-01 UTC.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Fixed(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is set, and the handle that sets it.
    #[must_use]
    pub fn fixed(nanoseconds: u64) -> (Self, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(nanoseconds));
        (Self(Source::Fixed(Arc::clone(&time))), time)
    }

    /// Now. A system clock before 1970 or after 2554 reads as the end of that range.
    #[must_use]
    pub fn now(&self) -> u64 {
        match &self.0 {
            Source::System => system_now(),
            Source::Fixed(time) => time.load(Ordering::Relaxed),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one reader of the system clock"
)]
fn system_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}
