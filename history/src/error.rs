//! What can go wrong, an enum an operation. Nothing here decides which WAMP error a client sees:
//! that is the caller's one place.

use std::io;
use std::path::PathBuf;

use crate::event::{Sequence, Timestamp};
use rewamp_wamp::id::PublicationId;

/// Why a store does not open. Damage is no reason: what is sound is opened and the rest set aside.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk did not do what it should. Nothing was set aside: the data may be whole.
    #[error("{what} `{path}`: {source}")]
    Io {
        /// What was tried, such as `cannot read`.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another store, of this process or another, has the folder.
    #[error("the store `{path}` is in use by another realm or process")]
    InUse {
        /// The folder of the store.
        path: PathBuf,
    },
    /// The folder holds the history of another realm.
    #[error("the store `{path}` holds the history of realm `{found}`, not of `{expected}`")]
    OtherRealm {
        /// The folder of the store.
        path: PathBuf,
        /// The realm it was made for.
        found: String,
        /// The realm that asked.
        expected: String,
    },
    /// Written by a later version of this program.
    #[error("the store `{path}` has format version {found}; this program reads up to {supported}")]
    NewerVersion {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// The newest version that can be read.
        supported: u8,
    },
    /// The folder holds another store than the one that it held when the node began with it.
    #[error("the store `{path}` was replaced while it was in use")]
    Replaced {
        /// The folder of the store.
        path: PathBuf,
    },
    /// What is in the folder is nothing that this engine can open.
    #[error("the store `{path}` cannot be opened: {why}")]
    Unfit {
        /// The folder of the store.
        path: PathBuf,
        /// What it is, and what helps.
        why: String,
    },
    /// `maxsize` is too small for the engine to work with.
    #[error("maxsize {maxsize}: at least {least} bytes are needed")]
    TooSmall {
        /// What was asked, in bytes.
        maxsize: u64,
        /// The least, in bytes.
        least: u64,
    },
    /// A store that is only read has to be there.
    #[error("`{path}` holds no event store, and one that is `readonly` is not begun")]
    NoStore {
        /// The folder of the store.
        path: PathBuf,
    },
    /// The system has no randomness for the secrets of a new store.
    #[error("no random bytes from the system: {0}")]
    Random(String),
}

/// A store that is opened when it is asked: what it was asked cannot be done now.
impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let reason = error.to_string();
        match error {
            OpenError::Io { what, path, source } => Self::Io {
                what,
                path,
                kind: source.kind(),
                reason: source.to_string(),
            },
            OpenError::InUse { path }
            | OpenError::OtherRealm { path, .. }
            | OpenError::NewerVersion { path, .. }
            | OpenError::NoStore { path }
            | OpenError::Unfit { path, .. }
            | OpenError::Replaced { path } => Self::Engine {
                what: "cannot open",
                path,
                reason,
            },
            OpenError::TooSmall { .. } | OpenError::Random(_) => Self::Engine {
                what: "cannot open",
                path: PathBuf::new(),
                reason,
            },
        }
    }
}

/// Why a store cannot do its work now. The caller routes on and tries again with what comes next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk did not do what it should.
    #[error("{what} `{path}`: {reason}")]
    Io {
        /// What was tried, such as `cannot write`.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// Its kind, to tell a full disk from a broken one.
        kind: io::ErrorKind,
    },
    /// The engine below failed in a way that is no error of the disk.
    #[error("{what} in `{path}`: {reason}")]
    Engine {
        /// What was tried.
        what: &'static str,
        /// In which folder.
        path: PathBuf,
        /// What it said, or the text of its panic.
        reason: String,
    },
    /// An event was handed in out of the realm's order: a fault of the program.
    #[error("event {sequence} does not come after {newest}")]
    OutOfOrder {
        /// The newest stored.
        newest: Sequence,
        /// The one that came.
        sequence: Sequence,
    },
    /// The store is only read.
    #[error("the store is readonly")]
    ReadOnly,
    /// [`crate::EventStore::close`] was called before.
    #[error("the store is closed")]
    Closed,
}

/// Why not all events of an append were stored.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct AppendError {
    /// How many of them, counted from the first, are stored all the same (and durable, where the
    /// store is): an append that is larger than [`crate::EventStore::commit_bytes`] is more than
    /// one transaction. The others are not stored.
    pub stored: usize,
    /// What happened to the next one.
    #[source]
    pub cause: StoreError,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It starts from a publication or sequence that is not in this history, not any more, or
    /// not for this viewer. `rewamp.error.no_such_publication`.
    #[error("no such publication in this history")]
    NoSuchPublication {
        /// The oldest event that the viewer can see.
        oldest: Option<Position>,
        /// The newest event that the viewer can see.
        newest: Option<Position>,
    },
    /// The store cannot be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event's names: what an error tells a client to start from instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its publication.
    pub publication: PublicationId,
    /// Its place in the realm's order.
    pub sequence: Sequence,
    /// When it was accepted.
    pub time: Timestamp,
}
