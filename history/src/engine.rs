//! The engines behind [`crate::EventStore`].

mod fields; // bytes of what is on disk
pub(crate) mod memory; // events in memory
pub(crate) mod sled; //   events in segments on disk
pub(crate) mod cfxdb; //  events in LMDB, as Crossbar lays them out
