//! How many connections the process can have: its file descriptors.

use log::{debug, warn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not for clients: stores, listeners, logs, the event loop, and some to
/// spare, so that a full node can still write its history and answer its operators.
const RESERVED: u64 = 512;

/// Connections where descriptors do not bound them. 100,000: about a gigabyte of idle sessions.
const MOST: u64 = 100_000;

/// Raises the limit of open files to what the system allows, and gives the number of connections
/// that leaves, at least one.
pub(super) fn connections() -> usize {
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
    let files = getrlimit(Resource::Nofile).current;
    let connections = room(files);
    debug!(connections; "the process may open {} files", files.unwrap_or(u64::MAX));
    connections
}

/// `None` stands for no limit, as in `getrlimit`.
fn room(files: Option<u64>) -> usize {
    let room = files.map_or(MOST, |files| files.saturating_sub(RESERVED).clamp(1, MOST));
    usize::try_from(room).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_the_node_itself() {
        let check = |files, connections| assert_eq!(room(files), connections, "{files:?}");
        check(Some(1024), 512);
        check(Some(1_048_576), 100_000);
        check(Some(100), 1);
        check(None, 100_000);
    }
}
