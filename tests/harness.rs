//! What every integration test stands on. Knows how to start things, not what they should do.

pub(crate) mod deadline; // wait until something is so, or fail
pub(crate) mod node; // the rewamp binary as a process of its own
pub(crate) mod mount; // file systems of a node's own
pub(crate) mod client; // a client of our own, for what no proper client does
pub(crate) mod crossbar;
pub(crate) mod foreign; // clients that others wrote, at pinned versions
