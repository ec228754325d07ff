//! A store in the making: it stands under a name of its own until it is whole, so that nobody
//! ever finds half of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use rewamp_history::{
    AppendError, Engine, Event, EventStore, FoundStore, OpenError, RESERVATION, Sequence,
    StoreConfig, StoreError, Timestamp, begin_like, open,
};

use crate::record::{Record, RecordError};

/// Events that are written in one transaction.
const COMMIT: usize = 1_000;

/// Why no store was made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// There is something already.
    #[error("`{path}` is there already, and nothing of it was changed")]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The store did not begin.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store did not take an event.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store did not do something else.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is none of an event.
    #[error("event {sequence}: {error}")]
    Record {
        /// Which one.
        sequence: Sequence,
        /// What is wrong with it.
        error: RecordError,
    },
    /// A record does not come after the one before it.
    #[error(
        "event {sequence} does not come after event {after}: sequences and times have to increase"
    )]
    OutOfOrder {
        /// Which one.
        sequence: Sequence,
        /// The one before it.
        after: Sequence,
    },
    /// The finished store could not be put in its place.
    #[error("{what} `{path}`: {source}")]
    Place {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// See the head of this file. Dropped before it is [finished](Self::finish), it is removed.
#[derive(Debug)]
pub struct Draft {
    /// Where it will stand.
    target: PathBuf,
    /// Where it stands now.
    folder: PathBuf,
    store: Option<Arc<dyn EventStore>>,
    waiting: Vec<Arc<Event>>,
    newest: Sequence,
    newest_time: Timestamp,
    /// The least sequence with which the realm goes on.
    next: Sequence,
    reserved: Sequence,
    /// Records that no filter covers.
    uncovered: u64,
    events: u64,
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Events that were stored. With bounds, fewer may be left.
    pub events: u64,
    /// Records of topics that no filter covers, which were left out.
    pub uncovered: u64,
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, uncovered } = self;
        write!(f, "stored {events} events")?;
        match uncovered {
            0 => Ok(()),
            _ => write!(f, "; left out {uncovered} of topics that no filter covers"),
        }
    }
}

impl Draft {
    /// Begins a store that will stand where `config` says.
    ///
    /// # Errors
    /// If there is something already, or the store does not begin.
    pub fn begin(config: StoreConfig) -> Result<Self, DraftError> {
        Self::begin_as(config, None)
    }

    /// The same for a copy of another store: subscriptions have the IDs that they have there.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_like(config: StoreConfig, other: &FoundStore) -> Result<Self, DraftError> {
        Self::begin_as(config, Some(other))
    }

    fn begin_as(config: StoreConfig, like: Option<&FoundStore>) -> Result<Self, DraftError> {
        let target = match &config.engine {
            Engine::Sled { path, .. } | Engine::Cfxdb { path, .. } => path.clone(),
            Engine::Memory => PathBuf::new(),
        };
        if !is_absent(&target) {
            return Err(DraftError::Exists { path: target });
        }
        let folder = draft_path(&target);
        if folder.exists() {
            // What an attempt has left that was killed.
            fs::remove_dir_all(&folder).map_err(place("cannot remove", &folder))?;
        }
        let engine = match config.engine {
            Engine::Sled { .. } => Engine::Sled {
                path: folder.clone(),
                readonly: false,
            },
            Engine::Cfxdb { mode, .. } => Engine::Cfxdb {
                path: folder.clone(),
                readonly: false,
                mode,
            },
            Engine::Memory => Engine::Memory,
        };
        let config = StoreConfig { engine, ..config };
        let store = match like {
            Some(other) => begin_like(config, other)?,
            None => open(config)?,
        };
        let reserved = store.opened().reserved;
        Ok(Self {
            target,
            folder,
            store: Some(store),
            waiting: Vec::new(),
            newest: Sequence::ZERO,
            newest_time: Timestamp::ZERO,
            next: Sequence::new(1),
            reserved,
            uncovered: 0,
            events: 0,
        })
    }

    /// Adds an event, which comes after those before it.
    ///
    /// # Errors
    /// If it does not, or the store does not take it.
    pub fn add(&mut self, record: Record) -> Result<(), DraftError> {
        let Some(store) = self.store.clone() else {
            return Err(StoreError::Closed.into());
        };
        let sequence = record.sequence;
        if sequence <= self.newest || (record.time <= self.newest_time && self.events > 0) {
            let after = self.newest;
            return Err(DraftError::OutOfOrder { sequence, after });
        }
        let Some(topic) = store.topic(&record.topic) else {
            self.uncovered += 1;
            return Ok(());
        };
        (self.newest, self.newest_time) = (sequence, record.time);
        let event = record
            .event(topic)
            .map_err(|error| DraftError::Record { sequence, error })?;
        self.events += 1;
        self.waiting.push(Arc::new(event));
        match self.waiting.len() {
            COMMIT.. => self.write(&*store),
            _ => Ok(()),
        }
    }

    fn write(&mut self, store: &dyn EventStore) -> Result<(), DraftError> {
        if self.newest >= self.reserved {
            let end = Sequence::new(self.newest.get().saturating_add(RESERVATION));
            self.reserved = store.reserve(end)?;
        }
        store.append(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// The realm goes on with this sequence at the least: those before it were given out.
    pub fn next_sequence(&mut self, next: Sequence) {
        self.next = next;
    }

    /// Writes what is left and puts the store in its place.
    ///
    /// # Errors
    /// If that is not possible; then nothing is there.
    pub fn finish(mut self) -> Result<Finished, DraftError> {
        let Some(store) = self.store.clone() else {
            return Err(StoreError::Closed.into());
        };
        if !self.waiting.is_empty() {
            self.write(&*store)?;
        }
        store.close(self.newest.next().max(self.next))?;
        self.store = None;
        drop(store);
        let target = &self.target;
        if !is_absent(target) {
            let path = target.clone();
            return Err(DraftError::Exists { path });
        }
        fs::rename(&self.folder, target).map_err(place("cannot rename to", target))?;
        if let Some(parent) = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            let synced = fs::File::open(parent).and_then(|folder| folder.sync_all());
            synced.map_err(place("cannot sync", parent))?;
        }
        Ok(Finished {
            events: self.events,
            uncovered: self.uncovered,
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.store = None;
        // Whole, it is not there any more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Nothing, or an empty folder.
fn is_absent(target: &Path) -> bool {
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Where a store or a file stands until it is whole: beside its place, with `.draft` at its end.
pub fn draft_path(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".draft");
    target.with_file_name(name)
}

fn place<'p>(what: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> DraftError + 'p {
    move |source| DraftError::Place {
        what,
        path: path.to_owned(),
        source,
    }
}
