//! How long events are kept, as far as it is the same for every engine. Knows no events on disk.

use std::time::Duration;

use crate::filter::Filter;

/// See [`crate::EventStore::tell_time_every`].
pub(crate) fn tell_time_every<'f>(filters: impl Iterator<Item = &'f Filter>) -> Option<Duration> {
    let shortest = filters.filter_map(|filter| filter.max_age).min()?;
    Some((shortest / 10).clamp(Duration::from_secs(1), Duration::from_secs(60)))
}
