//! How fast the state of many topics is read: the newest event of each, of a history that is
//! much longer.
//!
//! `cargo run --release -p rewamp-history --example state_speed [FOLDER [EVENTS [TOPICS]]]`

use std::error::Error;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rewamp_history::{
    Engine, Event, EventStore, Filter, Query, Scope, Sequence, StoreConfig, Timestamp, Viewer, open,
};
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;

/// Bytes of `args` of every event.
const PAYLOAD: usize = 200;
const MAXSIZE: u64 = 4 << 30;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let mut number = |default| {
        arguments
            .next()
            .map_or(Ok(default), |text| text.parse::<u64>())
    };
    let (events, topics) = (number(5_000_000)?, number(10_000)?);
    let folder = folder.join(format!("state_speed.{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = measure(&folder, events, topics);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn measure(folder: &Path, events: u64, topics: u64) -> Outcome {
    let mut out = std::io::stdout().lock();
    let store = fill(folder, events, topics)?;
    let usage = store.usage();
    writeln!(
        out,
        "{} events over {topics} topics in {} segments, {} MiB",
        usage.events,
        usage.segments,
        usage.bytes >> 20
    )?;
    let filter = store
        .covering("com.", MatchPolicy::Prefix)
        .ok_or("no filter")?;
    let scope = Scope {
        uri: "com.".into(),
        match_policy: MatchPolicy::Prefix,
        filter,
    };
    let viewer = Viewer {
        authid: "joe".into(),
        authrole: "user".into(),
    };
    let middle = Sequence::new(events / 2);
    writeln!(
        out,
        "{:>5} {:>9} {:>10} {:>10} {:>10}   ms: first time, again, as of the middle",
        "each", "events", "first", "again", "middle"
    )?;
    for each in [1, 10, 100] {
        let mut query = Query {
            last_per_topic: Some(each),
            ..Query::all(scope.clone(), viewer.clone())
        };
        let (count, first) = timed(&*store, &query)?;
        let (_, again) = timed(&*store, &query)?;
        query.sequence.until = Some(middle);
        let (_, as_of) = timed(&*store, &query)?;
        writeln!(
            out,
            "{each:>5} {count:>9} {first:>10.1} {again:>10.1} {as_of:>10.1}"
        )?;
    }
    Ok(())
}

fn timed(store: &dyn EventStore, query: &Query) -> Outcome<(u64, f64)> {
    let begin = Instant::now();
    let mut count = 0;
    store.read(query, &[], &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok((count, begin.elapsed().as_secs_f64() * 1e3))
}

/// A store in which a hundredth of the topics have half of the events, and the others came at
/// random long ago or lately.
fn fill(folder: &Path, events: u64, topics: u64) -> Outcome<Arc<dyn EventStore>> {
    let store = open(StoreConfig {
        realm: "realm1".to_owned(),
        engine: Engine::Sled {
            path: folder.join("store"),
            readonly: false,
        },
        maxsize: MAXSIZE,
        full: rewamp_history::Full::DropOldest,
        sync: true,
        limit: None,
        filters: vec![Filter::new("com.", MatchPolicy::Prefix)],
        memory_begin: Sequence::new(1),
    })?;
    store.reserve(Sequence::new(events + 1))?;
    let args = format!("[\"{}\"]", "x".repeat(PAYLOAD - 4));
    let payload = Payload::from_raw(
        Serializer::Json,
        Some(args.as_bytes()),
        None,
        &Limits::default(),
    )?;
    let mut random: u64 = 1;
    for begin in (0..events).step_by(1_000) {
        let mut batch = Vec::with_capacity(1_000);
        for number in begin..events.min(begin + 1_000) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let some = random >> 33;
            let half = some % 2;
            let some = some / 2;
            let device = match half {
                0 => some % (topics / 100).max(1),
                _ => some % topics,
            };
            let topic = format!("com.site{}.device{device}.temperature", device % 50);
            batch.push(Arc::new(Event {
                sequence: Sequence::new(number + 1),
                time: Timestamp::from_nanos((number + 1) * 1_000),
                publication: PublicationId::new(number + 1).ok_or("no ID")?,
                topic: store.topic(&topic).ok_or("not stored")?,
                publisher: SessionId::FIRST,
                exclude_me: true,
                disclosed: None,
                receivers: None,
                details: None,
                payload: payload.clone(),
            }));
        }
        store.append(&batch)?;
    }
    Ok(store)
}
