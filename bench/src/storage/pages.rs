//! Pages in small and large stores, in turns; then each store is opened after its router was killed.

use super::plan::{self, PAGES, Part};
use super::realm::{Realm, ms};
use super::router::{fresh, generator, load};
use super::{Bench, Done, folder};
use crate::compare::{RowWire, Running};
use crate::load::Mode;
use rewamp_history::{Query, Sequence};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// No store comes near it.
const MAXSIZE: u64 = 8 << 30;
/// Filters of the stores.
const FILTERS: usize = 10;
/// Events a commit while a store is filled.
const BATCH: usize = 1_000;
/// How often every page is measured, so that the numbers have a spread, and how much longer than
/// other turns.
const TURNS: usize = 5;
const LONGER: u32 = 2;
/// Bytes that the router writes to a store, at least, before it is killed: what has to be scanned.
const WRITTEN: u64 = 32 << 20;
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of its events, how many a topic has at least, so that pages of one topic are full: every
/// hundredth, and a page may begin anywhere in the first four fifths.
const OF_TOPIC: u64 = 500;

/// A kind of page: its name, and the question of page `number` in a store of so many events.
struct Kind {
    name: &'static str,
    ask: fn(&Realm, u64, u64) -> Done<Query>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "newest",
        ask: |realm, _, _| {
            Ok(Query {
                reverse: true,
                ..realm.everything()?
            })
        },
    },
    Kind {
        name: "random position",
        ask: |realm, events, number| Ok(somewhere(realm.everything()?, events, number)),
    },
    Kind {
        name: BY_TOPIC,
        ask: |realm, events, number| Ok(somewhere(realm.one_topic()?, events, number)),
    },
];

const BY_TOPIC: &str = "by topic, random position";

/// Pages of every kind and size in every store, and where `open` is wanted the starts.
pub(super) fn measure(bench: &mut Bench<'_>, open: bool) -> Done {
    let stores = fill(bench)?;
    let realms = stores.iter().map(|(_, path)| reopen(path));
    let realms = realms.collect::<Done<Vec<_>>>()?;
    for turn in 0..TURNS {
        for kind in &KINDS {
            for page in PAGES {
                for (realm, (events, _)) in realms.iter().zip(&stores) {
                    if kind.name == BY_TOPIC && page * OF_TOPIC > *events {
                        continue;
                    }
                    let lasting = bench.scale.turn * LONGER;
                    let rate = pages(realm, kind, *events, page, lasting)?;
                    let (row, column) =
                        (plan::page_row(kind.name, page), plan::store_name(*events));
                    bench.book.enter(turn, Part::Pages, &row, &column, rate);
                }
            }
        }
    }
    drop(realms);
    over_the_wire(bench, &stores);
    if open && let Err(why) = starts(bench, &stores) {
        bench.book.fail(Part::Open, &why.to_string());
    }
    remove(&stores)
}

/// The starts alone.
pub(super) fn measure_open(bench: &mut Bench<'_>) -> Done {
    let stores = fill(bench)?;
    starts(bench, &stores)?;
    remove(&stores)
}

fn fill(bench: &Bench<'_>) -> Done<Vec<(u64, PathBuf)>> {
    let mut stores = Vec::new();
    for events in bench.scale.stores {
        let path = fresh(&bench.folder.join(format!("pages-{events}")))?;
        let mut realm = reopen(&path)?;
        for _ in 0..events / BATCH as u64 {
            realm.publish(BATCH)?;
        }
        stores.push((*events, path));
    }
    Ok(stores)
}

fn reopen(path: &Path) -> Done<Realm> {
    Realm::open(&path.join("store"), MAXSIZE, FILTERS)
}

fn remove(stores: &[(u64, PathBuf)]) -> Done {
    stores
        .iter()
        .try_for_each(|(_, path)| Ok(fs::remove_dir_all(path)?))
}

/// Full pages per second.
fn pages(realm: &Realm, kind: &Kind, events: u64, page: u64, lasting: Duration) -> Done<f64> {
    let (begin, mut pages) = (Instant::now(), 0);
    while begin.elapsed() < lasting {
        let mut query = (kind.ask)(realm, events, pages)?;
        query.limit = page;
        let mut shown = 0;
        realm.store.read(&query, &[], &mut |_| {
            shown += 1;
            ControlFlow::Continue(())
        })?;
        if shown != page {
            return Err(format!("{}: a page of {shown} instead of {page}", kind.name).into());
        }
        pages += 1;
    }
    Ok(pages as f64 / begin.elapsed().as_secs_f64())
}

/// From a position in the first four fifths on.
fn somewhere(mut query: Query, events: u64, number: u64) -> Query {
    let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    query.sequence.from = Some(Sequence::new(1 + drawn % (events * 4 / 5)));
    query
}

/// Newest pages through the router. What fails is told, and stops nothing.
fn over_the_wire(bench: &mut Bench<'_>, stores: &[(u64, PathBuf)]) {
    for turn in 0..bench.scale.runs {
        for (events, path) in stores {
            let mut ask = || -> Done {
                let node = start(bench, path)?;
                for page in PAGES {
                    let wire = RowWire::RawMsgpack;
                    let found = load(bench, &node, Mode::Pages, wire, &[("--limit", page)])?;
                    let row = plan::page_row("newest over the wire", page);
                    let column = plan::store_name(*events);
                    bench
                        .book
                        .enter(turn, Part::Pages, &row, &column, found.rate);
                }
                Ok(())
            };
            if let Err(why) = ask() {
                let store = plan::store_name(*events);
                bench
                    .book
                    .fail(Part::Pages, &format!("over the wire, {store}: {why}"));
            }
        }
    }
}

fn start(bench: &Bench<'_>, path: &Path) -> Done<Running> {
    let store = path.join("store");
    Ok(bench
        .programs
        .start_rewamp(path, &store, MAXSIZE, FILTERS)?)
}

fn starts(bench: &mut Bench<'_>, stores: &[(u64, PathBuf)]) -> Done {
    for run in 0..bench.scale.runs {
        for (events, path) in stores {
            let store = path.join("store");
            crash(bench, path)?;
            let begin = Instant::now();
            let realm = reopen(path)?;
            let opened = begin.elapsed();
            let found = realm.store.opened();
            if !found.recovered || found.events <= *events || !found.lost.is_empty() {
                return Err(format!("after SIGKILL the store has {found:?}").into());
            }
            let (found, bytes) = (found.events, folder::size(&store)?);
            let row = plan::store_name(*events);
            let mut enter = |column, value| bench.book.enter(run, Part::Open, &row, column, value);
            enter("open, ms", ms(opened));
            enter("events found", found as f64);
            enter("MiB on disk", bytes as f64 / f64::from(1 << 20));
        }
    }
    Ok(())
}

/// A router that is killed while it writes.
fn crash(bench: &Bench<'_>, path: &Path) -> Done {
    let store = path.join("store");
    let node = start(bench, path)?;
    let before = folder::size(&store)?;
    let events = [("--events", u64::from(u32::MAX))];
    let mut publisher = generator(bench, &node, Mode::Stored, RowWire::RawMsgpack, &events)?
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begin = Instant::now();
    let mut grown = 0;
    while grown < WRITTEN && begin.elapsed() < PATIENCE {
        thread::park_timeout(Duration::from_millis(5));
        grown = folder::size(&store)?.saturating_sub(before);
    }
    node.kill()?;
    // It fails as soon as its router is gone.
    publisher.kill()?;
    publisher.wait()?;
    match grown {
        0..WRITTEN => Err("nothing was written before the router was killed".into()),
        _ => Ok(()),
    }
}
