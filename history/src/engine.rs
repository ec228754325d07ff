//! The engines behind [`crate::EventStore`]. `cfxdb` (LMDB in Crossbar's format) has its place
//! here when it is built.

pub(crate) mod memory; // events in memory
pub(crate) mod sled; //   events in segments on disk
