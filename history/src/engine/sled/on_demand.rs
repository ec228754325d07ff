//! A store that is open while it is used. At rest it holds no thread, no descriptor and no index,
//! only what must be known without the disk: who it is, its filters, what it held. Whoever needs
//! its events opens it, off the event loop; [`OpenStores`] closes it again. Its folder stays
//! locked all the time, so what is known of it stays true.

use std::ops::{ControlFlow, Deref};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;

use super::begin::sizes;
use super::disk::Disk;
use super::glance::{Known, find_out};
use super::head::Origin;
use super::mark::{Mark, Marked, Rest};
use super::patterns::Patterns;
use super::{Site, Sled};
use crate::error::{AppendError, OpenError, QueryError, StoreError};
use crate::event::{Event, EventRef, Sequence, Timestamp};
use crate::filter::{ConfiguredFilter, FilterId, FilterTable, StoredTopic};
use crate::open_stores::{OpenStores, Rests};
use crate::query::{PageEnd, Purge, Query, Scope, Viewer};
use crate::store::{Appended, EventStore, Info, Lost, Opened, Span, StoreConfig, Usage};
use crate::subscription::PatternTable;

/// How long a store that could not be opened is left alone, and everybody told why.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct OnDemand {
    me: Weak<Self>,
    site: Site,
    origin: Origin,
    filters: Arc<FilterTable>,
    opened: Opened,
    stores: Arc<OpenStores>,
    /// Locked for reading as long as the engine is being used.
    engine: RwLock<State>,
    memory: Mutex<Memory>,
    tell_time_every: Option<Duration>,
    /// The latest time that it was told, ns since 1970.
    now: AtomicU64,
    /// Since [`OpenStores::now`] began, in ms.
    last_used: AtomicU64,
    /// [`EventStore::room`] when it was last heard of.
    room: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
enum State {
    Open(Box<Sled>),
    /// With what it holds, if all of it is sealed.
    AtRest(Option<Rest>),
}

/// What is answered without waiting for the engine.
#[derive(Debug)]
struct Memory {
    usage: Usage,
    lost: Vec<Lost>,
    set_aside: u64,
    /// Patterns that the engine has not been told of.
    patterns: PatternTable,
    /// When and why it could not be opened.
    failed: Option<(Instant, StoreError)>,
}

/// The engine, which stays open as long as this lives.
struct Using<'a> {
    engine: MappedRwLockReadGuard<'a, Sled>,
    owner: &'a OnDemand,
}

impl Deref for Using<'_> {
    type Target = Sled;

    fn deref(&self) -> &Sled {
        &self.engine
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.owner.touch();
    }
}

impl OnDemand {
    /// Opens or begins a store; see [`OpenStores::open`].
    pub(crate) fn open(
        path: &Path,
        config: StoreConfig,
        stores: &Arc<OpenStores>,
    ) -> Result<Arc<Self>, OpenError> {
        let site = Site::take(Disk::default(), sizes(&config)?, path, &config)?;
        let admission = stores.try_admit();
        let known = find_out(&site, &config, admission.is_some())?;
        let is_open = known.engine.is_some();
        let admission = is_open.then(|| admission.unwrap_or_else(|| stores.admit()));
        let store = Arc::new_cyclic(|me| Self::new(me, site, known, stores));
        if let Some(admission) = admission {
            admission.opened(store.me.clone());
        }
        Ok(store)
    }

    fn new(me: &Weak<Self>, site: Site, known: Known, stores: &Arc<OpenStores>) -> Self {
        let memory = Memory {
            usage: known.usage(),
            lost: known.opened.lost.clone(),
            set_aside: known.opened.set_aside.len() as u64,
            patterns: PatternTable::default(),
            failed: None,
        };
        let room = match &known.engine {
            Some(engine) => engine.room(),
            None => site.room(known.rest.bytes),
        };
        let state = match known.engine {
            Some(engine) => State::Open(engine),
            None => State::AtRest(Some(known.rest)),
        };
        let store = Self {
            me: me.clone(),
            site,
            origin: known.origin,
            filters: known.filters,
            opened: known.opened,
            stores: Arc::clone(stores),
            engine: RwLock::new(state),
            memory: Mutex::new(memory),
            tell_time_every: known.tell_time_every,
            now: AtomicU64::new(0),
            last_used: AtomicU64::new(0),
            room: AtomicU64::new(room),
            closed: AtomicBool::new(false),
        };
        store.touch();
        store
    }

    fn touch(&self) {
        let now = u64::try_from(self.stores.now().as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(now, Ordering::Relaxed);
    }

    /// The engine, opened if it is not. Waits for the disk. With `write`, it is about to be
    /// written to.
    fn using(&self, write: bool) -> Result<Using<'_>, StoreError> {
        let open = |state| {
            RwLockReadGuard::try_map(state, |state| match state {
                State::Open(engine) => Some(&**engine),
                State::AtRest(_) => None,
            })
        };
        let mut tried = open(self.engine.read());
        if tried.is_err() {
            drop(tried);
            let mut state = self.engine.write();
            if matches!(*state, State::AtRest(_)) {
                *state = State::Open(Box::new(self.wake(write)?));
            }
            tried = open(RwLockWriteGuard::downgrade(state));
        }
        let engine = tried.map_err(|_| StoreError::Closed)?;
        self.touch();
        Ok(Using {
            engine,
            owner: self,
        })
    }

    /// Opens the engine, with room made for it. One that failed just now is left alone.
    fn wake(&self, write: bool) -> Result<Sled, StoreError> {
        if let Some((when, error)) = &self.memory.lock().failed
            && when.elapsed() < LEFT_ALONE
        {
            return Err(error.clone());
        }
        let admission = self.stores.admit();
        match Sled::reopen(&self.site, &self.origin, &self.filters, write) {
            Ok(engine) => {
                self.touch();
                engine.at(self.now());
                admission.opened(self.me.clone());
                let mut memory = self.memory.lock();
                memory.failed = None;
                let found = engine.opened();
                memory.set_aside += found.set_aside.len() as u64;
                for path in &found.set_aside {
                    log::warn!(
                        realm = self.realm();
                        "what cannot be read was set aside as {}", path.display()
                    );
                }
                Ok(engine)
            }
            Err(error) => {
                let error = StoreError::from(error);
                let failed = Some((Instant::now(), error.clone()));
                let before = std::mem::replace(&mut self.memory.lock().failed, failed);
                // Said once.
                if before.is_none() {
                    log::error!(realm = self.realm(); "the event store cannot be opened: {error}");
                }
                Err(error)
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.load(Ordering::Acquire))
    }

    /// Whether a store at rest has a segment in which everything is too old.
    fn has_expired(&self) -> bool {
        let state = self.engine.try_read();
        state.is_some_and(|state| match &*state {
            State::Open(_) => false,
            State::AtRest(rest) => rest.as_ref().is_some_and(|rest| rest.expires < self.now()),
        })
    }

    fn realm(&self) -> &str {
        &self.origin.realm
    }

    /// Tells the engine of patterns that it does not know yet.
    fn hand_over(&self, engine: &Sled) {
        let mut memory = self.memory.lock();
        if memory.patterns.len() > 0 {
            let fresh = std::mem::take(&mut memory.patterns);
            drop(memory);
            for (uri, match_policy) in fresh.by_age() {
                engine.remember_pattern(uri, match_policy);
            }
        }
    }

    /// The engine, if it is open and that can be said at once.
    fn if_open(&self) -> Option<MappedRwLockReadGuard<'_, Sled>> {
        let state = self.engine.try_read()?;
        RwLockReadGuard::try_map(state, |state| match state {
            State::Open(engine) => Some(&**engine),
            State::AtRest(_) => None,
        })
        .ok()
    }

    /// Changes the mark of a store at rest, which stays at rest. `None`: the mark does not say
    /// what it said before.
    fn mark(
        &self,
        rest: Option<&Rest>,
        change: impl FnOnce(Marked) -> Marked,
    ) -> Result<Option<Marked>, StoreError> {
        let (mut mark, found) = Mark::open(&self.site.disk, &self.site.path)?;
        let Some(found) = found else { return Ok(None) };
        let changed = change(found);
        if changed != found {
            match rest {
                Some(rest) => mark.rest(changed, rest)?,
                None => mark.set(changed)?,
            }
        }
        Ok(Some(changed))
    }

    /// Makes what is not in the store's files durable, and notes where sequences go on.
    fn close_at_rest(&self, rest: Option<&Rest>, next: Sequence) -> Result<(), StoreError> {
        let fresh = std::mem::take(&mut self.memory.lock().patterns);
        if fresh.len() > 0 {
            let patterns = Patterns::open(&self.site.disk, &self.site.path, &self.origin.key)?;
            for (uri, match_policy) in fresh.by_age() {
                patterns.remember(self.subscription_id(uri, match_policy), uri, match_policy);
            }
            patterns.save(true)?;
        }
        let clean = |marked: Marked| Marked {
            clean: next.max(marked.acknowledged.next()),
            ..marked
        };
        self.mark(rest, clean).map(drop)
    }
}

impl Rests for OnDemand {
    fn last_used(&self) -> Duration {
        Duration::from_millis(self.last_used.load(Ordering::Relaxed))
    }

    fn try_rest(&self) -> bool {
        let Some(mut state) = self.engine.try_write() else {
            return false;
        };
        let State::Open(engine) = &*state else {
            return false;
        };
        self.hand_over(engine);
        let rest = engine.rest().unwrap_or_else(|error| {
            log::warn!(realm = self.realm(); "the event store was not put to rest cleanly: {error}");
            None
        });
        let mut memory = self.memory.lock();
        memory.usage = engine.usage();
        memory.lost = engine.lost();
        self.room.store(engine.room(), Ordering::Release);
        drop(memory);
        *state = State::AtRest(rest);
        self.filters.forget_topics();
        true
    }
}

impl EventStore for OnDemand {
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
        self.origin.key.subscription(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        if let Some(found) = self.find_remembered(id) {
            return Some(found);
        }
        match self.using(false) {
            Ok(engine) => engine.find_subscription(id),
            Err(error) => {
                log::warn!(realm = self.realm(); "a subscription cannot be looked for: {error}");
                None
            }
        }
    }

    fn find_remembered(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        if let Some(found) = self.memory.lock().patterns.find(id) {
            return Some(found);
        }
        self.if_open()?.find_remembered(id)
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        let Some(engine) = self.if_open() else {
            let id = self.subscription_id(uri, match_policy);
            let mut memory = self.memory.lock();
            memory.patterns.remember(id, uri, match_policy);
            return;
        };
        engine.remember_pattern(uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        if let Some(engine) = self.if_open() {
            return engine.reserve(end);
        }
        let mut state = self.engine.write();
        let rest = match &mut *state {
            State::Open(engine) => return engine.reserve(end),
            State::AtRest(rest) => rest,
        };
        let marked = self.mark(rest.as_ref(), |marked| Marked {
            reserved: end.max(marked.reserved),
            clean: Sequence::ZERO,
            ..marked
        })?;
        drop(state);
        match marked {
            Some(marked) => Ok(marked.reserved),
            None => self.using(false)?.reserve(end),
        }
    }

    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        let refused = |cause| AppendError { stored: 0, cause };
        if self.closed.load(Ordering::Acquire) {
            return Err(refused(StoreError::Closed));
        }
        let engine = self.using(true).map_err(refused)?;
        self.hand_over(&engine);
        let appended = engine.append(events);
        self.room.store(engine.room(), Ordering::Release);
        appended
    }

    fn commit_bytes(&self) -> u64 {
        self.site.sizes.commit()
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        self.using(false)?.read(query, pending, visit)
    }

    fn read_at_once(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        now: Timestamp,
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Option<PageEnd> {
        let engine = self.if_open()?;
        self.touch();
        self.now.fetch_max(now.nanos(), Ordering::AcqRel);
        engine.read_at_once(query, pending, now, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        self.using(false)?.span(scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        self.using(false)?.info(scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        self.using(false)?.previous(scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.now.fetch_max(now.nanos(), Ordering::AcqRel);
        if let Some(engine) = self.if_open() {
            return engine.at(now);
        }
        if self.has_expired()
            && let Err(error) = self.using(false)
        {
            log::debug!(realm = self.realm(); "what is too old stays on disk for now: {error}");
        }
    }

    fn tell_time_every(&self) -> Option<Duration> {
        self.tell_time_every
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        self.using(true)?.purge(scope, viewer, what)
    }

    fn room(&self) -> u64 {
        match self.if_open() {
            Some(engine) => engine.room(),
            None => self.room.load(Ordering::Acquire),
        }
    }

    fn usage(&self) -> Usage {
        let open = self.if_open().map(|engine| engine.usage());
        open.unwrap_or_else(|| self.memory.lock().usage.clone())
    }

    fn lost(&self) -> Vec<Lost> {
        let open = self.if_open().map(|engine| engine.lost());
        open.unwrap_or_else(|| self.memory.lock().lost.clone())
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        self.using(true)?.note_lost(lost)
    }

    fn set_aside(&self) -> u64 {
        self.memory.lock().set_aside
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        match &*self.engine.write() {
            State::Open(engine) => {
                self.hand_over(engine);
                engine.close_at_rest(next)
            }
            State::AtRest(rest) => self.close_at_rest(rest.as_ref(), next),
        }
    }
}
