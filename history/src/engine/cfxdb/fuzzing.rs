//! What must hold for any bytes whatever in the place of a store's: called by the fuzz targets in
//! `fuzz/` without end, and by the tests with a bounded number of inputs.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits as PayloadLimits, Serializer};
use rewamp_wamp::uri::MatchPolicy;

use super::record::Record;
use super::rows::{EventRow, PublicationRow, SessionRow};
use super::state::{take_filters, take_progress};
use crate::event::{Event, Sequence, Timestamp};
use crate::filter::Filter;
use crate::query::{Purge, Query, Scope, Viewer};
use crate::store::{Engine, EventStore, Full, StoreConfig};

/// A row is refused, or is written again as what it was read as.
pub(crate) fn row(input: &[u8]) {
    if let Some(found) = PublicationRow::read(input) {
        let mut again = Vec::new();
        found.write(None, &mut again);
        let written = PublicationRow::read(&again).map(|row| format!("{row:?}"));
        assert_eq!(written, Some(format!("{found:?}")));
        let limits = PayloadLimits::default();
        let _ = Payload::from_raw(Serializer::Cbor, found.args, found.kwargs, &limits);
    }
    let _ = PublicationRow::audience(input);
    if let Some(found) = EventRow::read(input) {
        let mut again = Vec::new();
        found.write(&mut again);
        assert_eq!(EventRow::read(&again), Some(found));
    }
    let _ = SessionRow::read(input);
    let _ = (take_filters(&mut &*input), take_progress(input));
    if let Some(found) = Record::read(input) {
        let _ = (found.bare(Sequence::new(1)), found.payload_here());
        if let Some(row) = PublicationRow::read(input) {
            let _ = found.payload_from(&row, &mut Vec::new());
        }
    }
}

/// A file that was damaged as `input` says is refused, or is one that events can be read from, put
/// into and purged from, whatever becomes of them: nothing ends the process, and nothing hangs.
/// `folder` is for this alone.
pub(crate) fn file(folder: &Path, input: &[u8]) {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = WHOLE.get_or_init(|| store_to_damage(&folder.join("whole")).unwrap_or_default());
    assert!(!whole.is_empty(), "a store can be made");
    let path = folder.join("damaged");
    let _ = std::fs::remove_dir_all(&path);
    let made = std::fs::create_dir_all(&path);
    let written = std::fs::write(path.join("data.mdb"), damaged(whole, input));
    assert!(made.is_ok() && written.is_ok(), "{}", path.display());
    if let Ok(store) = crate::store::open(config(&path, true)) {
        let _ = read(&*store, false);
    }
    if let Ok(store) = crate::store::open(config(&path, false)) {
        use_it(&*store);
    }
}

/// Bytes of a page, and of that part of it where most can go wrong.
const PAGE: usize = 4_096;
const HEAD: usize = 64;

/// The file with changes of eight bytes of input each: where, which, and to what.
fn damaged(whole: &[u8], input: &[u8]) -> Vec<u8> {
    let mut file = whole.to_vec();
    for change in input.chunks_exact(8).take(16) {
        let &[kind, to, count, a, b, c, d, within] = change else {
            continue;
        };
        let place = u32::from_le_bytes([a, b, c, d]) as usize;
        let pages = (file.len() / PAGE).max(1);
        let page = place % pages * PAGE;
        let at = match kind % 4 {
            0 | 1 => page + usize::from(within) % HEAD,
            2 => page + place / pages % PAGE,
            _ => page,
        };
        let count = match kind % 4 {
            0 | 2 => 1 + usize::from(count) % 8,
            1 => 1,
            _ => PAGE,
        };
        match kind {
            255 => file.truncate(at),
            254 => {
                // One page in the place of another.
                let other = usize::from(to) % pages * PAGE;
                let end = (other + PAGE).min(file.len());
                if end > other && page + (end - other) <= file.len() {
                    file.copy_within(other..end, page);
                }
            }
            _ => {
                let end = (at + count).min(file.len());
                let bytes = file.get_mut(at..end).into_iter().flatten();
                match kind & 4 {
                    0 => bytes.for_each(|byte| *byte = to),
                    _ => bytes.for_each(|byte| *byte ^= 1 << (to % 8)),
                }
            }
        }
    }
    file
}

fn config(path: &Path, readonly: bool) -> StoreConfig {
    StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Cfxdb {
            path: path.to_owned(),
            readonly,
            mode: 0o600,
        },
        maxsize: 1 << 20,
        full: Full::DropOldest,
        sync: false,
        limit: None,
        filters: vec![
            Filter {
                limit: Some(150),
                ..Filter::new("com.", MatchPolicy::Prefix)
            },
            Filter {
                limit_per_topic: Some(20),
                ..Filter::new("com.b", MatchPolicy::Exact)
            },
        ],
        memory_begin: Sequence::new(1),
    }
}

/// A store with rows of all tables, small and large values, and pages that are free.
fn store_to_damage(path: &Path) -> Option<Vec<u8>> {
    let _ = std::fs::remove_dir_all(path);
    let store = crate::store::open(config(path, false)).ok()?;
    let mut next = store.opened().next_sequence;
    for bytes in [10, 300, 9_000, 60, 3_000, 20] {
        let events = events(&*store, next, 40, bytes)?;
        next = events.last()?.sequence.next();
        store.append(&events).ok()?;
    }
    store.remember_pattern("com..b", MatchPolicy::Wildcard);
    store.close(next).ok()?;
    drop(store);
    std::fs::read(path.join("data.mdb")).ok()
}

fn events(
    store: &dyn EventStore,
    mut sequence: Sequence,
    count: u64,
    bytes: usize,
) -> Option<Vec<Arc<Event>>> {
    let args = format!("[\"{}\"]", "x".repeat(bytes));
    let limits = PayloadLimits::default();
    let payload = Payload::from_raw(Serializer::Json, Some(args.as_bytes()), None, &limits).ok()?;
    let mut events = Vec::new();
    let mut time = store.opened().last_time;
    for number in 0..count {
        time = time
            .max(Timestamp::from_nanos(sequence.get() * 1_000))
            .next();
        events.push(Arc::new(Event {
            sequence,
            time,
            publication: PublicationId::new(sequence.get() % (1 << 50) + 1)?,
            topic: store.topic(["com.a", "com.b"].get(number as usize % 2)?)?,
            publisher: SessionId::FIRST,
            exclude_me: true,
            disclosed: None,
            receivers: None,
            details: None,
            payload: payload.clone(),
        }));
        sequence = sequence.next();
    }
    Some(events)
}

fn scope(store: &dyn EventStore) -> Option<Scope> {
    Some(Scope {
        uri: "com.".into(),
        match_policy: MatchPolicy::Prefix,
        filter: store.covering("com.", MatchPolicy::Prefix)?,
    })
}

fn read(store: &dyn EventStore, reverse: bool) -> Option<()> {
    let query = Query {
        reverse,
        ..Query::all(scope(store)?, Viewer::Operator)
    };
    let page = store.read(&query, &[], &mut |event| {
        let _ = (event.topic.len(), event.payload.tail.len());
        ControlFlow::Continue(())
    });
    page.ok().map(drop)
}

fn use_it(store: &dyn EventStore) -> Option<()> {
    for reverse in [false, true] {
        let _ = read(store, reverse);
    }
    let mut next = store.opened().next_sequence;
    for bytes in [5_000, 30] {
        let events = events(store, next, 30, bytes)?;
        let _ = store.append(&events);
        next = events.last()?.sequence.next();
    }
    let _ = (
        read(store, true),
        store.info(&scope(store)?, &Viewer::Operator, &[]),
    );
    let _ = store.purge(&scope(store)?, &Viewer::Operator, &Purge::All);
    let _ = store.close(next);
    Some(())
}
