//! How many connections the process can have: its file descriptors.

use log::{debug, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are neither for clients nor for stores: listeners, logs, the event loop, and
/// some to spare, so that a full node can still answer its operators.
const RESERVED: u64 = 256;

/// Descriptors of an open store: its files, of which there are some twenty where it is full, and
/// what it needs to write the next one.
const A_STORE: u64 = 32;

/// Connections where descriptors do not bound them. 100,000: about a gigabyte of idle sessions.
const MOST: u64 = 100_000;

/// How many stores may be open at the same time, at least one: half of all descriptors are theirs.
pub(super) fn open_stores() -> usize {
    store_room(getrlimit(Resource::Nofile).current)
}

fn store_room(files: Option<u64>) -> usize {
    let room = files.map_or(u64::MAX, |files| (files / 2 / A_STORE).max(1));
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// The number of connections that the limit of open files leaves beside so many open stores, at
/// least one.
pub(super) fn connections(open_stores: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let connections = room(files, A_STORE.saturating_mul(open_stores as u64));
    debug!(connections; "the process may open {} files", files.unwrap_or(u64::MAX));
    connections
}

/// Raises the limit of open files to what the system allows.
pub(super) fn raise() {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        warn!(error:%; "the limit of open files cannot be raised");
    }
}

/// `None` stands for no limit, as in `getrlimit`.
fn room(files: Option<u64>, stores: u64) -> usize {
    let left = |files: u64| files.saturating_sub(RESERVED).saturating_sub(stores);
    let room = files.map_or(MOST, |files| left(files).clamp(1, MOST));
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_the_node_itself() {
        let check = |files, stores: u64, connections| {
            assert_eq!(room(files, stores * A_STORE), connections, "{files:?}");
        };
        check(Some(1024), 0, 768);
        check(Some(1024), 16, 256);
        check(Some(1_048_576), 128, 100_000);
        check(Some(100), 1, 1);
        check(None, 1_000, 100_000);
    }

    #[test]
    fn stores_have_half_of_the_descriptors() {
        for (files, stores) in [(Some(1024), 16), (Some(20_000), 312), (Some(10), 1)] {
            assert_eq!(store_room(files), stores, "{files:?}");
        }
        assert_eq!(store_room(None), usize::MAX);
    }
}
