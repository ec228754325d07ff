//! A store that is only read: the whole contract of reading holds, and not a byte of the folder
//! changes, whatever state the last life left it in.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use rewamp_wamp::id::SubscriptionId;

use super::*;
use crate::query::{Purge, Viewer};

fn reading(path: &Path, filters: &[Filter], limit: Option<u64>) -> StoreConfig {
    StoreConfig {
        engine: Engine::Sled {
            path: path.to_owned(),
            readonly: true,
        },
        ..config(path, filters, limit)
    }
}

fn open_to_read(path: &Path, filters: &[Filter], limit: Option<u64>) -> Arc<dyn EventStore> {
    crate::store::open(reading(path, filters, limit)).unwrap()
}

/// Everything that a file or folder is: content, time of the last change, mode, inode.
type Tree = BTreeMap<PathBuf, (Option<Vec<u8>>, i64, i64, u32, u64)>;

fn tree(path: &Path) -> Tree {
    let mut found = Tree::new();
    note(path, &mut found);
    found
}

fn note(path: &Path, found: &mut Tree) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let bytes = metadata.is_file().then(|| std::fs::read(path).unwrap());
    let (time, fraction) = (metadata.mtime(), metadata.mtime_nsec());
    found.insert(
        path.to_owned(),
        (bytes, time, fraction, metadata.mode(), metadata.ino()),
    );
    if metadata.is_dir() {
        for name in names(path) {
            note(&path.join(name), found);
        }
    }
}

/// Takes events like any store, and answers each question from the same folder opened anew to be
/// read.
#[derive(Debug)]
struct ReadElsewhere {
    path: PathBuf,
    filters: Vec<Filter>,
    limit: Option<u64>,
    /// What the first writer found.
    opened: Opened,
    /// As it was when it was begun: filters, IDs and topics are the same in every life.
    first: Arc<dyn EventStore>,
    side: Mutex<Side>,
    questions: AtomicU64,
    /// The latest time told, in ns.
    told: AtomicU64,
}

/// Who has the folder.
#[derive(Debug, Clone)]
enum Side {
    Writes(Arc<dyn EventStore>),
    Reads(Arc<dyn EventStore>),
    Nobody,
}

impl ReadElsewhere {
    fn begin(path: PathBuf, filters: &[Filter], limit: Option<u64>) -> Self {
        let writes = open_small(&path, filters, limit, 20_000);
        let opened = writes.opened().clone();
        writes.close(opened.next_sequence).unwrap();
        drop(writes);
        Self {
            opened,
            first: open_to_read(&path, filters, limit),
            path,
            filters: filters.to_vec(),
            limit,
            side: Mutex::new(Side::Nobody),
            questions: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    fn writes(&self) -> Arc<dyn EventStore> {
        let mut side = self.side.lock();
        if let Side::Writes(store) = &*side {
            return Arc::clone(store);
        }
        *side = Side::Nobody;
        let store = open_small(&self.path, &self.filters, self.limit, 20_000);
        *side = Side::Writes(Arc::clone(&store));
        store
    }

    fn reads(&self) -> Arc<dyn EventStore> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut side = self.side.lock();
        if let Side::Reads(store) = &*side {
            return Arc::clone(store);
        }
        // Without a clean end: what is read is what a crash leaves.
        *side = Side::Nobody;
        let store = open_to_read(&self.path, &self.filters, self.limit);
        store.at(Timestamp::from_nanos(self.told.load(Ordering::Relaxed)));
        *side = Side::Reads(Arc::clone(&store));
        store
    }
}

impl EventStore for ReadElsewhere {
    fn opened(&self) -> &Opened {
        &self.opened
    }

    fn filters(&self) -> &[ConfiguredFilter] {
        self.first.filters()
    }

    fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        self.first.topic(topic)
    }

    fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.first.covering(uri, match_policy)
    }

    fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        self.first.readable(uri, match_policy)
    }

    fn subscription_id(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        self.reads().subscription_id(uri, match_policy)
    }

    fn find_subscription(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.reads().find_subscription(id)
    }

    fn remember_pattern(&self, uri: &str, match_policy: MatchPolicy) {
        self.reads().remember_pattern(uri, match_policy);
    }

    fn reserve(&self, end: Sequence) -> Result<Sequence, StoreError> {
        self.writes().reserve(end)
    }

    fn append(&self, events: &[Arc<Event>]) -> Result<Appended, AppendError> {
        self.writes().append(events)
    }

    fn commit_bytes(&self) -> u64 {
        self.first.commit_bytes()
    }

    fn read(
        &self,
        query: &Query,
        pending: &[&[Arc<Event>]],
        visit: &mut dyn FnMut(&EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<PageEnd, QueryError> {
        self.reads().read(query, pending, visit)
    }

    fn span(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Span, StoreError> {
        self.reads().span(scope, viewer, pending)
    }

    fn info(
        &self,
        scope: &Scope,
        viewer: &Viewer,
        pending: &[&[Arc<Event>]],
    ) -> Result<Info, StoreError> {
        self.reads().info(scope, viewer, pending)
    }

    fn previous(
        &self,
        scope: &Scope,
        before: Sequence,
        pending: &[&[Arc<Event>]],
    ) -> Result<Option<Sequence>, StoreError> {
        self.reads().previous(scope, before, pending)
    }

    fn at(&self, now: Timestamp) {
        self.told.fetch_max(now.nanos(), Ordering::Relaxed);
        self.reads().at(now);
    }

    fn purge(&self, scope: &Scope, viewer: &Viewer, what: &Purge) -> Result<u64, QueryError> {
        self.writes().purge(scope, viewer, what)
    }

    fn room(&self) -> u64 {
        self.first.room()
    }

    fn tell_time_every(&self) -> Option<Duration> {
        self.first.tell_time_every()
    }

    fn usage(&self) -> Usage {
        self.reads().usage()
    }

    fn lost(&self) -> Vec<Lost> {
        self.reads().lost()
    }

    fn note_lost(&self, lost: Lost) -> Result<(), StoreError> {
        self.writes().note_lost(lost)
    }

    fn close(&self, next: Sequence) -> Result<(), StoreError> {
        self.writes().close(next)
    }
}

impl Drop for ReadElsewhere {
    fn drop(&mut self) {
        assert!(self.questions.load(Ordering::Relaxed) > 0, "never read");
    }
}

#[test]
fn a_store_that_is_only_read_keeps_the_contract_of_reading() {
    let folder = tempfile::tempdir().unwrap();
    let next = numbered(&folder);
    contract::run(&|filters, limit| Arc::new(ReadElsewhere::begin(next(), filters, limit)));
}

#[test]
fn a_store_that_is_only_read_does_not_change_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix), filter("com..x", Wildcard)];
    // Sealed segments, one that grows, a prepared one, and no clean end.
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 300_000));
    desk.publish_all((0..4_000).map(|number| format!("com.{}.x", number % 5)), 50);
    let topic = desk.store.subscription_id("com.3.x", Exact);
    let pattern = desk.store.subscription_id("com.3", Prefix);
    desk.store.remember_pattern("com.3", Prefix);
    desk.publish("com.9.x");
    let (all, incarnation) = (
        sequences(&*desk.store, "com."),
        desk.store.opened().incarnation,
    );
    let next = desk.next;
    drop(desk);
    // What a crash may leave.
    std::fs::write(folder.path().join("0000000900.tmp"), b"half a segment").unwrap();
    std::fs::create_dir(folder.path().join("0000000001.trash")).unwrap();
    std::fs::write(folder.path().join("store.tmp"), b"half a catalog").unwrap();

    let before = tree(folder.path());
    for limit in [None, Some(700)] {
        let store = open_to_read(folder.path(), &filters, limit);
        assert!(store.opened().readonly);
        assert_eq!(store.opened().incarnation, incarnation);
        let kept = limit.map_or(0, |limit| all.len() - limit as usize);
        assert_eq!(sequences(&*store, "com."), all[kept..]);
        let found = |id| store.find_subscription(id);
        assert_eq!(found(topic), Some(("com.3.x".into(), Exact)));
        assert_eq!(found(pattern), Some(("com.3".into(), Prefix)));
        let new = store.subscription_id("com.4", Prefix);
        store.remember_pattern("com.4", Prefix);
        assert_eq!(found(new), Some(("com.4".into(), Prefix)));

        let mut desk = Desk::at(Arc::clone(&store));
        assert!(desk.next >= next);
        let event = Arc::new(Event {
            sequence: desk.next,
            ..desk_event(&desk)
        });
        desk.next = desk.next.next();
        let refused = store.append(&[event]).unwrap_err();
        assert!(matches!(refused.cause, StoreError::ReadOnly), "{refused:?}");
        assert!(matches!(
            store.reserve(desk.next),
            Err(StoreError::ReadOnly)
        ));
        store.close(desk.next).unwrap();
        drop((desk, store));
        assert!(tree(folder.path()) == before, "the folder has changed");
    }
    // Nobody is kept from writing to it later.
    let store = open(folder.path(), &filters, None);
    assert_eq!(sequences(&*store, "com."), all);
}

/// An event as another store would have it.
fn desk_event(desk: &Desk) -> Event {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = Desk::at(open(elsewhere.path(), &[filter("com.", Prefix)], None));
    let event = other.accept("com.9.x");
    Event {
        topic: desk.store.topic("com.9.x").unwrap(),
        ..event
    }
}

#[test]
fn damage_is_read_around_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 300_000));
    desk.publish_all((0..4_000).map(|_| "com.a".to_owned()), 50);
    wait_until("a segment is sealed", || {
        names(folder.path())
            .iter()
            .any(|name| name.ends_with(".sealed"))
    });
    let all = sequences(&*desk.store, "com.");
    drop(desk);
    let sealed = names(folder.path())
        .into_iter()
        .find(|name| name.ends_with(".sealed"))
        .unwrap();
    for (name, at) in [(sealed.as_str(), 0.99), ("store", 0.5), ("mark", 0.0)] {
        let path = folder.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let place = (bytes.len() as f64 * at) as usize;
        bytes[place] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let before = tree(folder.path());
        let store = open_to_read(folder.path(), &filters, None);
        assert_eq!(sequences(&*store, "com."), all, "{name}");
        assert_eq!(store.opened().set_aside, Vec::<PathBuf>::new());
        drop(store);
        assert!(tree(folder.path()) == before, "{name}: the folder changed");
    }
}

#[test]
fn a_successor_without_its_name_is_read_under_the_one_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 300_000));
    desk.publish_all((0..4_000).map(|_| "com.a".to_owned()), 50);
    let all = sequences(&*desk.store, "com.");
    drop(desk);
    let path = |name: &str| folder.path().join(name);
    let sealed = names(folder.path())
        .into_iter()
        .find(|name| name.ends_with(".sealed"))
        .unwrap();
    let draft = sealed.replace(".sealed", ".tmp");
    std::fs::rename(path(&sealed), path(&draft)).unwrap();
    let _ = std::fs::remove_dir_all(path(&sealed.replace(".sealed", ".active")));
    let before = tree(folder.path());
    assert_eq!(
        sequences(&*open_to_read(folder.path(), &filters, None), "com."),
        all
    );
    assert!(tree(folder.path()) == before);
}

#[test]
fn any_number_may_read_a_store_while_nobody_writes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let filters = [filter("com.", Prefix)];
    let mut desk = Desk::at(open(folder.path(), &filters, None));
    desk.publish("com.a");
    let refused = crate::store::open(reading(folder.path(), &filters, None));
    assert!(
        matches!(refused, Err(OpenError::InUse { .. })),
        "{refused:?}"
    );
    drop(desk);
    let readers = [(); 3].map(|()| open_to_read(folder.path(), &filters, None));
    // A writer that comes later is not hindered, and what it does is not seen.
    let mut desk = Desk::at(open_small(folder.path(), &filters, None, 8_192));
    desk.publish_all((0..2_000).map(|_| "com.a".to_owned()), 10);
    for reader in readers {
        assert_eq!(sequences(&*reader, "com."), [1]);
    }
    drop(desk);
    // A copy without the lock is read all the same, and gets none.
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    assert_eq!(
        sequences(&*open_to_read(folder.path(), &filters, None), "com.").len(),
        2_001
    );
    assert!(!names(folder.path()).contains(&"lock".to_owned()));
}

#[test]
fn what_is_not_there_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("a/b");
    for path in [folder.path(), &missing] {
        let opened = crate::store::open(reading(path, &[], None));
        assert!(
            matches!(opened, Err(OpenError::NoStore { .. })),
            "{opened:?}"
        );
    }
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
