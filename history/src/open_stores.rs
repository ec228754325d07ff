//! The stores of a node that are open: as many at once as its budget allows, and none longer than
//! it is used. Engines that can close and open again on demand register here; the one that was
//! used least recently rests first, and one that is being used never does. Knows no engine.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::cfxdb::Cfxdb;
use crate::engine::sled::OnDemand;
use crate::error::OpenError;
use crate::store::{self, Engine, EventStore, StoreConfig};

/// How often idle stores are looked for, at least.
const LOOK: Duration = Duration::from_secs(1);

/// Of what an operator wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreNews {
    /// A store was opened for someone who waited so long.
    Opened {
        /// How long he waited.
        took: Duration,
    },
    /// A store could not be opened.
    NotOpened,
    /// A store was closed.
    Rested {
        /// How long closing took.
        took: Duration,
        /// Not because it was idle, but because another one was wanted.
        for_another: bool,
    },
    /// All stores were in use, and one more was opened than allowed.
    OverBudget,
}

/// A store that can be closed and opened again while it is asked.
pub(crate) trait Rests: Send + Sync {
    /// When it was used last, as of [`OpenStores::now`].
    fn last_used(&self) -> Duration;

    /// Closes it, if it is open and nobody uses it right now.
    fn try_rest(&self) -> bool;
}

type Tell = dyn Fn(StoreNews, usize) + Send + Sync;

/// See the head of this file. One for a node.
pub struct OpenStores {
    most: usize,
    idle: Duration,
    began: Instant,
    tell: Box<Tell>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    stores: Vec<Weak<dyn Rests>>,
    /// Stores that are being opened.
    opening: usize,
    watched: bool,
}

impl Open {
    fn count(&mut self) -> usize {
        self.stores.retain(|store| store.strong_count() > 0);
        self.stores.len() + self.opening
    }
}

impl fmt::Debug for OpenStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStores")
            .field("most", &self.most)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl OpenStores {
    /// At most `most` stores (at least one) open at once, and each closed when it has not been
    /// used for `idle`. `tell` hears what happens, with the number of stores then open.
    pub fn new(
        most: usize,
        idle: Duration,
        tell: impl Fn(StoreNews, usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            idle,
            began: Instant::now(),
            tell: Box::new(tell),
            open: Mutex::default(),
        })
    }

    /// Opens or begins a store of which the events are read and written when somebody asks for
    /// them. While there is room within the budget it is opened now, so that damage is found
    /// now; else only what it says of itself is read. A cfxdb store stays open and takes a place
    /// for as long. Memory stores, and those that are only read, are always open and do not count.
    ///
    /// # Errors
    /// The store cannot be used, or is not this realm's.
    pub fn open(self: &Arc<Self>, config: StoreConfig) -> Result<Arc<dyn EventStore>, OpenError> {
        match &config.engine {
            Engine::Sled {
                path,
                readonly: false,
            } => Ok(OnDemand::open(&path.clone(), config, self)?),
            Engine::Cfxdb {
                path,
                readonly: false,
                mode,
            } => {
                // It stays open, and so takes a place for good.
                let admission = self.admit();
                let store = Arc::new(Cfxdb::open(path, *mode, &config)?);
                let kept: Weak<Cfxdb> = Arc::downgrade(&store);
                admission.opened(kept);
                Ok(store)
            }
            Engine::Sled { readonly: true, .. }
            | Engine::Memory
            | Engine::Cfxdb { readonly: true, .. } => store::open(config),
        }
    }

    /// Time since this began.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// A place for one more store, if there is one without another being closed.
    pub(crate) fn try_admit(self: &Arc<Self>) -> Option<Admission> {
        let mut open = self.open.lock();
        if open.count() >= self.most {
            return None;
        }
        open.opening += 1;
        Some(self.admission())
    }

    /// Makes room for one more store, which is about to be opened.
    pub(crate) fn admit(self: &Arc<Self>) -> Admission {
        let began = Instant::now();
        let mut admission = loop {
            if let Some(admission) = self.try_admit() {
                break admission;
            }
            if !self.rest_one() {
                self.open.lock().opening += 1;
                self.tell(StoreNews::OverBudget);
                break self.admission();
            }
        };
        admission.began = began;
        admission
    }

    fn admission(self: &Arc<Self>) -> Admission {
        Admission {
            stores: Arc::clone(self),
            began: Instant::now(),
            open: false,
        }
    }

    /// Closes the store that was used least recently, of those that nobody uses.
    fn rest_one(&self) -> bool {
        let mut stores: Vec<_> = self.upgraded();
        stores.sort_by_key(|store| store.last_used());
        stores.iter().any(|store| self.rest(&**store, true))
    }

    /// Closes stores that are idle. Returns how long until there may be another.
    fn rest_idle(&self) -> Duration {
        let mut pause = LOOK;
        for store in self.upgraded() {
            let unused = self.now().saturating_sub(store.last_used());
            if unused >= self.idle {
                self.rest(&*store, false);
            } else {
                pause = pause.min(self.idle - unused);
            }
        }
        pause.max(LOOK / 100)
    }

    fn rest(&self, store: &dyn Rests, for_another: bool) -> bool {
        let began = Instant::now();
        if !store.try_rest() {
            return false;
        }
        let it = std::ptr::from_ref(store).cast::<()>();
        let mut open = self.open.lock();
        open.stores.retain(|kept| kept.as_ptr().cast::<()>() != it);
        drop(open);
        self.tell(StoreNews::Rested {
            took: began.elapsed(),
            for_another,
        });
        true
    }

    /// Closes every store that nobody uses right now.
    #[cfg(test)]
    pub(crate) fn rest_now(&self) {
        for store in self.upgraded() {
            self.rest(&*store, false);
        }
    }

    fn upgraded(&self) -> Vec<Arc<dyn Rests>> {
        let open = self.open.lock();
        open.stores.iter().filter_map(Weak::upgrade).collect()
    }

    fn tell(&self, news: StoreNews) {
        let open = self.open.lock().count();
        (self.tell)(news, open);
    }

    /// Starts the thread that closes idle stores; it ends with the last who knows them.
    fn watch(self: &Arc<Self>) {
        let mut open = self.open.lock();
        if std::mem::replace(&mut open.watched, true) {
            return;
        }
        let stores = Arc::downgrade(self);
        let watch = move || {
            while let Some(pause) = stores.upgrade().map(|stores| stores.rest_idle()) {
                std::thread::park_timeout(pause);
            }
        };
        let started = std::thread::Builder::new()
            .name("idle stores".to_owned())
            .spawn(watch);
        if let Err(error) = started {
            open.watched = false;
            log::warn!("idle stores are not closed until a thread can be started: {error}");
        }
    }
}

/// The place of a store that is being opened; dropped without [`Admission::opened`], it was not.
#[must_use]
pub(crate) struct Admission {
    stores: Arc<OpenStores>,
    began: Instant,
    open: bool,
}

impl Admission {
    /// The store is open.
    pub(crate) fn opened(mut self, store: Weak<dyn Rests>) {
        self.open = true;
        let mut open = self.stores.open.lock();
        open.stores.push(store);
        open.opening -= 1;
        drop(open);
        let took = self.began.elapsed();
        self.stores.tell(StoreNews::Opened { took });
        self.stores.watch();
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.open {
            self.stores.open.lock().opening -= 1;
            self.stores.tell(StoreNews::NotOpened);
        }
    }
}
