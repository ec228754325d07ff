//! How fast the sled engine stores and reads, beside the least that any store could do: the same
//! bytes appended to a file with one fdatasync a commit, in turns in the same run.
//!
//! `cargo run --release -p rewamp-history --example engine_speed [FOLDER]`

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rewamp_history::{
    Engine, Event, EventStore, Filter, Query, Scope, Sequence, StoreConfig, Timestamp, Viewer, open,
};
use rewamp_wamp::id::{PublicationId, SessionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::{Limits, Serializer};
use rewamp_wamp::uri::MatchPolicy;

/// Bytes of `args` of every event.
const PAYLOAD: usize = 200;
/// How long each rate is measured.
const MEASURE: Duration = Duration::from_millis(1_500);
/// Turns of the engine and of the bare file in that time.
const TURNS: u32 = 15;
const MAXSIZE: u64 = 1 << 30;
const TOPICS: usize = 100;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("engine_speed.{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = storing(&folder).and_then(|()| reading(&folder));
    std::fs::remove_dir_all(&folder)?;
    done
}

fn storing(folder: &Path) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "storing events of {PAYLOAD} B, durably; events/s, and of bare append + fdatasync"
    )?;
    writeln!(
        out,
        "{:>6} {:>8} {:>10} {:>6} {:>10} {:>12}",
        "batch", "filters", "engine", "ratio", "bare", "p99 commit"
    )?;
    for batch in [1, 10, 100, 1_000] {
        for filters in [1, 10, 1_000] {
            let path = folder.join("store");
            let mut realm = Realm::begin(&path, filters)?;
            let mut bare = Bare::begin(&folder.join("bare"), batch)?;
            // In turns of a tenth of a second: the disk is not equally fast all the time.
            let (mut engine, mut appended) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let (begin, turn) = (Instant::now(), MEASURE / TURNS);
                while begin.elapsed() < turn {
                    engine.push(realm.publish(batch)?);
                }
                let begin = Instant::now();
                while begin.elapsed() < turn {
                    appended.push(bare.append()?);
                }
            }
            let engine = Rate::of(engine, batch);
            let bare = Rate::of(appended, batch).rate;
            drop(realm);
            std::fs::remove_dir_all(&path)?;
            let ratio = engine.rate / bare;
            let stall = engine.p99.as_secs_f64() * 1e3;
            writeln!(
                out,
                "{batch:>6} {filters:>8} {:>10.0} {ratio:>6.2} {bare:>10.0} {stall:>9.2} ms  worst {:.1} ms",
                engine.rate,
                engine.worst.as_secs_f64() * 1e3,
            )?;
        }
    }
    Ok(())
}

fn reading(folder: &Path) -> Outcome {
    let mut out = std::io::stdout().lock();
    let path = folder.join("store");
    let mut realm = Realm::begin(&path, 10)?;
    let events = 1_000_000;
    for _ in 0..events / 1_000 {
        realm.publish(1_000)?;
    }
    let bytes = directory(&path)?;
    writeln!(
        out,
        "{events} events of {PAYLOAD} B: {:.0} B an event on disk",
        bytes as f64 / f64::from(events)
    )?;
    drop(realm);
    let begin = Instant::now();
    let realm = Realm::begin(&path, 10)?;
    writeln!(
        out,
        "opened without a clean end in {:.0} ms",
        begin.elapsed().as_secs_f64() * 1e3
    )?;
    let filter = realm
        .store
        .covering("com.", MatchPolicy::Prefix)
        .ok_or("no filter")?;
    let whole = Scope {
        uri: "com.".into(),
        match_policy: MatchPolicy::Prefix,
        filter,
    };
    let narrow = Scope {
        uri: "com.t7".into(),
        match_policy: MatchPolicy::Exact,
        filter,
    };
    writeln!(
        out,
        "{:>6} {:>12} {:>12} {:>12}   pages/s",
        "page", "newest", "random", "by topic"
    )?;
    for page in [20, 100, 1_000] {
        let viewer = Viewer {
            authid: "joe".into(),
            authrole: "user".into(),
        };
        let newest = Query {
            reverse: true,
            limit: page,
            ..Query::all(whole.clone(), viewer.clone())
        };
        let first = realm.store.opened().next_sequence.get() / 100_000;
        let random = |number: u64| {
            let mut query = Query {
                reverse: false,
                ..newest.clone()
            };
            query.sequence.from = Some(Sequence::new(
                1 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15 | first) % 990_000,
            ));
            query
        };
        let by_topic = |number| Query {
            scope: narrow.clone(),
            ..random(number)
        };
        let [newest, random, topic] = [
            realm.pages(|_| newest.clone())?,
            realm.pages(random)?,
            realm.pages(by_topic)?,
        ];
        writeln!(out, "{page:>6} {newest:>12.0} {random:>12.0} {topic:>12.0}")?;
    }
    Ok(())
}

struct Realm {
    store: Arc<dyn EventStore>,
    next: u64,
    time: u64,
    payload: Payload,
    events: Vec<Arc<Event>>,
}

struct Rate {
    rate: f64,
    p99: Duration,
    worst: Duration,
}

impl Realm {
    /// `filters` filters, of which one matches what is published.
    fn begin(path: &Path, filters: usize) -> Outcome<Self> {
        let other = |number| format!("net.{number}.");
        let uris = (1..filters).map(other).chain(["com.".to_owned()]);
        let filters = uris.map(|uri| Filter::new(uri, MatchPolicy::Prefix));
        let store = open(StoreConfig {
            realm: "realm1".to_owned(),
            engine: Engine::Sled {
                path: path.to_owned(),
                readonly: false,
            },
            maxsize: MAXSIZE,
            full: rewamp_history::Full::DropOldest,
            sync: true,
            limit: None,
            filters: filters.collect(),
            memory_begin: Sequence::new(1),
        })?;
        let args = format!("[\"{}\"]", "x".repeat(PAYLOAD - 4));
        let limits = Limits::default();
        let payload = Payload::from_raw(Serializer::Json, Some(args.as_bytes()), None, &limits)?;
        let opened = store.opened();
        let (next, time) = (opened.next_sequence.get(), opened.last_time.nanos());
        Ok(Self {
            store,
            next,
            time,
            payload,
            events: Vec::new(),
        })
    }

    fn publish(&mut self, count: usize) -> Outcome<Duration> {
        self.events.clear();
        for _ in 0..count {
            let topic = format!("com.t{}", self.next as usize % TOPICS);
            self.time += 1_000;
            self.events.push(Arc::new(Event {
                sequence: Sequence::new(self.next),
                time: Timestamp::from_nanos(self.time),
                publication: PublicationId::new(
                    self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12 | 1,
                )
                .ok_or("publication")?,
                topic: self.store.topic(&topic).ok_or("topic")?,
                publisher: SessionId::FIRST,
                exclude_me: true,
                disclosed: None,
                receivers: None,
                details: None,
                payload: self.payload.clone(),
            }));
            self.next += 1;
        }
        let begin = Instant::now();
        self.store.append(&self.events)?;
        Ok(begin.elapsed())
    }

    fn pages(&self, query: impl Fn(u64) -> Query) -> Outcome<f64> {
        let begin = Instant::now();
        let (mut pages, mut bytes) = (0_u64, 0);
        while begin.elapsed() < MEASURE {
            self.store.read(&query(pages), &[], &mut |event| {
                bytes += event.payload.tail.len();
                ControlFlow::Continue(())
            })?;
            pages += 1;
        }
        if bytes == 0 {
            return Err("no events were read".into());
        }
        Ok(pages as f64 / begin.elapsed().as_secs_f64())
    }
}

/// The bytes of a commit appended to a file, with one fdatasync.
struct Bare {
    file: File,
    bytes: Vec<u8>,
}

impl Bare {
    fn begin(path: &Path, batch: usize) -> Outcome<Self> {
        Ok(Self {
            file: File::create(path)?,
            bytes: vec![b'x'; PAYLOAD * batch],
        })
    }

    fn append(&mut self) -> Outcome<Duration> {
        let begin = Instant::now();
        self.file.write_all(&self.bytes)?;
        self.file.sync_data()?;
        Ok(begin.elapsed())
    }
}

impl Rate {
    /// Of commits alone: making the events is not in it.
    fn of(mut commits: Vec<Duration>, batch: usize) -> Self {
        let total: Duration = commits.iter().sum();
        let rate = (commits.len() * batch) as f64 / total.as_secs_f64();
        commits.sort_unstable();
        let p99 = commits
            .get(commits.len() * 99 / 100)
            .copied()
            .unwrap_or_default();
        let worst = commits.last().copied().unwrap_or_default();
        Self { rate, p99, worst }
    }
}

fn directory(path: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            directory(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
