//! Histories as files that other programs read, and stores made of them: newline-delimited JSON
//! and Parquet. Called by `rewamp history`. Knows stores and their events; no session, no actor,
//! no configuration.
//!
//! A [`Record`] is one event with all that a store knows of it. [`read`] takes the records of a
//! store, [`Draft`] makes a store of records; [`ndjson`] and [`parquet`] write and read them.

pub mod ndjson; //  one event a line
pub mod parquet; // one event a row

mod record; //      one event
mod source; //      out of a store
mod answer; //      out of what a router answers
mod draft; //       into a new one
mod time; //        as text
#[cfg(test)]
mod tests;

pub use answer::{Answers, answered, further_details};
pub use draft::{Draft, DraftError, Finished, draft_path};
pub use record::{Record, RecordError};
pub use source::{ReadError, read};
pub use time::{TimeError, parse_time, time_text};
