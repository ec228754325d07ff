//! Waiting that ends: a condition is polled until it holds or its time is over.
//! The only place of the tests that sleeps; a sleep is never the assertion.

use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(10);

/// The first `Some` that `attempt` gives, or `None` when `limit` is over.
pub(crate) fn poll<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        pause();
    }
}

/// As [`poll`]; a test that waits in vain fails and says for what.
pub(crate) fn within<T>(limit: Duration, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    poll(limit, attempt).unwrap_or_else(|| panic!("not within {limit:?}: {what}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at a process there is nothing to wait on; the deadline bounds it"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}
