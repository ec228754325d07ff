//! The cfxdb engine: events in LMDB, in the rows that Crossbar's own store has, so that `cfxdb`
//! and `zlmdb` read them while the node runs, and in tables of ours beside them, which know order,
//! filters and what cfxdb has no place for. A commit is one transaction; what filters no longer
//! keep leaves in the transaction that brings what is new. See `FORMAT-cfxdb.md`.

mod lmdb; //    the C library
mod sniff; //   what a file is
mod sound; //   whether its pages can be trusted
mod pages; //   and what is in it, without the library
mod flat; //    FlatBuffers
mod opaque; //  what is not for us to read
mod rows; //    the rows of cfxdb
mod tables; //  which table is where
mod state; //   what a store knows of itself
mod record; //  an event's row of ours
mod space; //   how full it is
mod shelf; //   what a transaction does
mod folder; //  where it is
mod readonly; // open to read
mod foreign; // what others have written, without changing it
mod begin; //   open
mod adopt; //   what others have written
mod patterns; // subscriptions by ID
mod visits; //  who was there
mod compact; // without what is free
mod writer; //  append, drop, purge
mod moment; //  read
pub(crate) mod fuzzing; // what must hold for any bytes
pub(crate) mod bare; // the same rows by LMDB alone, to compare with

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::{Mutex, RwLock};
use rewamp_wamp::id::{SessionId, SubscriptionId};
use rewamp_wamp::uri::MatchPolicy;

use self::begin::{Begun, begin};
pub use self::compact::Compacted;
pub(crate) use self::compact::compact;
use self::foreign::Source;
use self::lmdb::{Env, LmdbError};
use self::moment::Moment;
use self::patterns::Patterns;
use self::readonly::{Identity, begin_readonly};
use self::shelf::Plan;
use self::space::{Fill, Limits};
use self::state::{Progress, read_lost};
use self::visits::Visits;
use self::writer::Writing;
use crate::error::{AppendError, OpenError, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, FilterId, FilterTable, StoredTopic};
use crate::identify::FoundStore;
use crate::open_stores::Rests;
use crate::page;
use crate::query::{PageEnd, Purge, Query, Scope, Viewer};
use crate::retention;
use crate::store::{
    Appended, Engine, EventStore, Full, Info, Lost, MIN_CFXDB_MAXSIZE, Opened, Span, StoreConfig,
    Usage,
};
use crate::subscription::StoreKey;
use crate::visit::Visit;

/// The cfxdb engine.
#[derive(Debug)]
pub(crate) struct Cfxdb {
    opened: Opened,
    path: PathBuf,
    env: Env,
    plan: Plan,
    filters: FilterTable,
    patterns: Patterns,
    visits: Visits,
    /// Held by whoever changes something.
    writing: Mutex<Writing>,
    /// How far the store has come, for those who do not wait.
    shown: RwLock<Arc<Progress>>,
    /// The latest time that the store was told.
    now: AtomicU64,
    limits: Limits,
    full: Full,
    /// Whether a commit waits for all of it to be on disk.
    sync: bool,
    /// There are commits that nobody has waited for.
    unsynced: AtomicBool,
    /// When that was last waited for, in the store's time.
    synced_at: AtomicU64,
    /// Bytes of the file.
    bytes: AtomicU64,
    /// See [`EventStore::room`].
    room: AtomicU64,
    /// See [`EventStore::lost`].
    lost: Mutex<Vec<Lost>>,
    /// Where the rows of publications are, if not in the same file.
    source: Option<Source>,
    /// The folder is ours as long as this lives.
    _lock: Option<File>,
}

impl Cfxdb {
    /// Opens or begins the store in a folder; files that are made have the permissions `mode`.
    pub(crate) fn open(path: &Path, mode: u32, config: &StoreConfig) -> Result<Self, OpenError> {
        let maxsize = config.maxsize;
        if maxsize < MIN_CFXDB_MAXSIZE {
            let least = MIN_CFXDB_MAXSIZE;
            return Err(OpenError::TooSmall { maxsize, least });
        }
        let begun = begin(path, mode, config)?;
        Self::run(path, begun, config)
    }

    /// Opens the store in a folder to read it, without changing a row of it.
    pub(crate) fn open_readonly(path: &Path, config: &StoreConfig) -> Result<Self, OpenError> {
        let begun = begin_readonly(path, config)?;
        Self::run(path, begun, config)
    }

    /// See [`crate::identify`].
    pub(crate) fn identify(folder: &Path, realm: Option<&str>) -> Result<FoundStore, OpenError> {
        let Identity {
            who,
            known,
            is_ours,
        } = readonly::identify(folder, realm)?;
        let (configured, gone): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|known| known.configured);
        let configured_filters = configured.len();
        let filters = configured.into_iter().chain(gone);
        Ok(FoundStore {
            engine: Engine::Cfxdb {
                path: folder.to_owned(),
                readonly: true,
                mode: 0o640,
            },
            realm: who.realm,
            key: who.key,
            incarnation: who.incarnation,
            configured: configured_filters,
            filters: filters.map(|known| known.filter).collect(),
            is_ours,
        })
    }

    /// See [`crate::begin_like`]: what [`Self::open`] then finds.
    pub(crate) fn begin_like(
        path: &Path,
        mode: u32,
        config: &StoreConfig,
        key: &StoreKey,
    ) -> Result<(), OpenError> {
        begin::begin_like(path, mode, config, key)
    }

    fn run(path: &Path, begun: Begun, config: &StoreConfig) -> Result<Self, OpenError> {
        let Begun {
            lock,
            env,
            plan,
            filters,
            incarnation,
            progress,
            next,
            recovered,
            readonly,
            source,
        } = begun;
        let failed = |error| begin::open_error(path, error);
        let patterns = Patterns::read(&env, &plan).map_err(failed)?;
        let lost = env.read().and_then(|txn| read_lost(&txn, &plan.tables));
        let lost = lost.map_err(failed)?;
        let limits = Limits::of(config.maxsize);
        let visits = Visits::begin(&env, &plan, &config.realm, limits).map_err(failed)?;
        let fill = Fill::of(&env, limits).map_err(failed)?;
        let opened = Opened {
            incarnation,
            next_sequence: next,
            reserved: progress.reserved,
            last_time: progress.last_time,
            events: progress.events,
            bytes: source.as_ref().map_or(fill.bytes, |source| source.bytes),
            readonly,
            recovered,
            lost: lost.clone(),
            set_aside: Vec::new(),
            path: Some(path.to_owned()),
        };
        let store = Self {
            path: path.to_owned(),
            limits,
            full: config.full,
            sync: config.sync,
            unsynced: AtomicBool::new(false),
            synced_at: AtomicU64::new(0),
            room: AtomicU64::new(0),
            lost: Mutex::new(lost),
            bytes: AtomicU64::new(opened.bytes),
            now: AtomicU64::new(progress.told.nanos()),
            shown: RwLock::new(Arc::new(progress.clone())),
            writing: Mutex::new(Writing::new(progress, fill)),
            opened,
            env,
            plan,
            filters,
            patterns,
            visits,
            source,
            _lock: lock,
        };
        let room = store.room_in(&fill);
        store.room.store(room, Ordering::Release);
        Ok(store)
    }

    fn writable(&self) -> Result<(), StoreError> {
        match self.opened.readonly {
            true => Err(StoreError::ReadOnly),
            false => Ok(()),
        }
    }

    fn failed(&self, what: &'static str, error: LmdbError) -> StoreError {
        store_error(what, &self.path, error)
    }

    fn told(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::Acquire))
    }

    fn reserved(&self) -> Sequence {
        self.shown.read().reserved
    }
}

/// It stays open: that costs little, and other processes use it, too.
impl Rests for Cfxdb {
    fn last_used(&self) -> Duration {
        Duration::MAX
    }

    fn try_rest(&self) -> bool {
        false
    }
}

/// What LMDB or the system said, as it is said of a store.
fn store_error(what: &'static str, path: &Path, error: LmdbError) -> StoreError {
    let path = path.to_owned();
    let reason = error.to_string();
    match error.io() {
        Some(source) => StoreError::Io {
            what,
            path,
            reason,
            kind: source.kind(),
        },
        None => StoreError::Engine { what, path, reason },
    }
}

impl EventStore for Cfxdb {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn filters(&self) -> &[ConfiguredFilter] {
        self.filters.configured()
    }

    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        self.filters.topic(topic)
    }

    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.filters.covering(uri, match_policy)
    }

    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.filters.readable(uri, match_policy)
    }

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.plan.key.subscription(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        for filter in self.filters.all() {
            if self.subscription_id(&filter.uri, filter.match_policy) == id {
                return Some((filter.uri.clone(), filter.match_policy));
            }
        }
        if let Some(found) = self.find_remembered(id) {
            return Some(found);
        }
        let topic = Moment::now(self).and_then(|moment| moment.topic(id.get()));
        match topic {
            Ok(topic) => topic.map(|topic| (topic.into(), MatchPolicy::Exact)),
            Err(error) => {
                log::warn!("a subscription cannot be looked for: {error}");
                None
            }
        }
    }

    fn find_remembered(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.patterns.find(id)
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        let id = self.subscription_id(uri, match_policy);
        self.patterns.remember(id, uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        self.writable()?;
        self.reserve_up_to(end)
    }

    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        let refused = |cause| AppendError { stored: 0, cause };
        self.writable().map_err(refused)?;
        self.append_all(events)
    }

    fn commit_bytes(&self) -> u64 {
        u64::MAX
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        page::read(&Moment::now(self)?, query, pending, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        page::span(&Moment::now(self)?, scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        page::info(&Moment::now(self)?, scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        page::previous(&Moment::now(self)?, scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.now.fetch_max(now.nanos(), Ordering::AcqRel);
        if self.opened.readonly {
            return;
        }
        if let Err(error) = self.drop_what_is_too_old() {
            // Whoever stores something says it.
            log::debug!("what is too old cannot be removed now: {error}");
        }
        if let Err(error) = self.sync_what_is_left(now) {
            log::debug!("what was committed cannot be synced now: {error}");
        }
    }

    fn tell_time_every(&self) -> Option<Duration> {
        let filters = self.plan.limits.values();
        let every = retention::tell_time_every(filters.map(|known| &known.filter));
        match self.sync || self.opened.readonly {
            true => every,
            // And then what was committed is synced.
            false => Some(Duration::from_secs(1)),
        }
    }

    fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        self.writable()?;
        self.purge_now(scope, viewer, what)
    }

    fn usage(&self) -> Usage {
        let shown = Arc::clone(&self.shown.read());
        let filters = self.filters.configured().iter();
        Usage {
            events: shown.events,
            bytes: self.bytes.load(Ordering::Relaxed),
            segments: 0,
            filters: filters
                .map(|filter| (filter.id, shown.events_of(filter.id)))
                .collect(),
        }
    }

    fn lost(&self) -> Vec<Lost> {
        self.lost.lock().clone()
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        self.writable()?;
        self.note_gap(lost)
    }

    fn keeps_visits(&self) -> bool {
        !self.opened.readonly
    }

    fn joined(&self, visit: Visit) {
        if self.keeps_visits() {
            self.visits.joined(visit);
        }
    }

    fn left(&self, session: SessionId, at: Timestamp) {
        self.visits.left(session, at);
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        match self.opened.readonly {
            true => Ok(()),
            false => self.close_cleanly(next),
        }
    }
}

#[cfg(test)]
mod tests;
