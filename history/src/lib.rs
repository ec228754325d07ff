//! The event history of a realm: what was published, kept, and read back by page.
//! Called by the realm's History actor. Knows no actor, no session and no wire message: events
//! come in with their place in the order, and go out as borrowed views.
//!
//! [`open`] gives an [`EventStore`]; [`Event`]s go in by `append`, a [`Query`] is answered by
//! `read`. Bytes on disk are described in `FORMAT.md`.

mod store; //        what every engine does
mod event; //        what is stored
mod receivers; //    who may see it
mod filter; //       what is stored at all, and which histories there are
mod subscription; // IDs that are the same in every life of a store
mod retention; //    how long it is kept
mod visit; //        who was there
mod query; //        what can be asked
mod error; //        what can go wrong
mod topics; //       topics by pattern in sorted names
mod page; //         how a question is answered, the same for every engine
mod engine; //       memory, sled, cfxdb
mod open_stores; //  which of a node's stores are open
mod identify; //     what a folder holds
#[doc(hidden)]
pub mod fuzzing; //   what must hold for any bytes in a store's place
#[cfg(test)]
mod contract; //     what every engine must do, as checks

pub use engine::cfxdb::Compacted;
#[doc(hidden)]
pub use engine::cfxdb::bare::{BareCfxdb, Rows};
pub use error::{AppendError, OpenError, Position, QueryError, StoreError};
pub use event::{Event, EventRef, Identity, IdentityRef, PayloadRef, Sequence, Timestamp};
pub use filter::{ConfiguredFilter, Filter, FilterId, StoredTopic};
pub use identify::{FoundStore, begin_like, compact, identify, identify_as};
pub use open_stores::{OpenStores, StoreNews};
pub use query::{Bounds, End, PageEnd, Purge, Query, Resume, Scope, Viewer};
pub use receivers::{Receivers, ReceiversRef, ViewerRef};
pub use store::{
    Appended, Engine, EventStore, Full, Incarnation, Info, Lost, MEMORY_MAXSIZE, MIN_CFXDB_MAXSIZE,
    MIN_SLED_MAXSIZE, Opened, RESERVATION, Span, StoreConfig, Usage, open,
};
pub use visit::Visit;
