//! The clock: the only place that reads the system's time. Everything else is handed one, and asks
//! it once a batch.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in nanoseconds since 1970-01-01 UTC.
#[derive(Debug, Clone)]
pub struct Clock(());

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(())
    }

    /// Now. A system clock before 1970 or after 2554 reads as the end of that range.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the system clock"
    )]
    pub fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            })
    }
}
