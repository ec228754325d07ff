//! What is measured, what it is called in the results, how much of it, and the bars: tables.

use crate::compare::RowWire;
use std::time::Duration;

/// Events a commit, filters of a store.
pub(super) const BATCHES: [usize; 3] = [1, 100, 1_000];
pub(super) const FILTERS: [usize; 3] = [1, 10, 1_000];
/// Events a commit that the router is compared with.
pub(super) const USUAL_BATCH: usize = 100;
/// Bytes of the arguments of every event.
pub(super) const SIZE: usize = 200;
/// Events a page.
pub(super) const PAGES: [u64; 3] = [20, 100, 1_000];
/// Newest events of every topic.
pub(super) const EACH: [u64; 3] = [1, 10, 100];
/// Events of the stores in which pages are read.
pub(super) const STORES: [u64; 3] = [10_000, 1_000_000, 5_000_000];
/// Events of the cfxdb store whose bytes are counted.
const CFXDB_EVENTS: u64 = 200_000;
/// Topics of the store in which their newest events are read.
pub(super) const TOPICS: u64 = 10_000;
/// Largest sizes of a store in bytes.
pub(super) const MAXSIZES: [u64; 3] = [5 << 20, 64 << 20, 1 << 30];
/// From this one on more events a commit are written, and once only: it takes minutes.
pub(super) const LARGE: u64 = 1 << 30;
/// The engine and the bare store take turns so many times while the largest size is written once.
pub(super) const TURNS_OF_SIZE: u64 = 4;
/// How many times the largest size is written.
pub(super) const TIMES: u64 = 5;

/// Columns that a bar is about.
pub(super) const OF_BARE: &str = "engine : bare";
pub(super) const OF_LMDB: &str = "engine : LMDB";
pub(super) const ALONE: &str = "engine : rows of cfxdb alone";
pub(super) const OF_ONE_FILTER: &str = "to 1 filter";
pub(super) const ACKED_OF_ENGINE: &str = "acknowledged : engine";
pub(super) const OF_LIVE: &str = "replay : live";
pub(super) const GROWTH: &str = "memory grew by, MiB";
pub(super) const BYTES: &str = "bytes an event";
pub(super) const LARGEST: &str = "folder at most, %";
pub(super) const DELAY: &str = "worst commit over worst of the bare store, ms";
pub(super) const BESIDE: &str = "worst commit over worst bare beside it, ms";

/// A table of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// The engine beside a bare file.
    Engine,
    /// The whole router beside the engine.
    Router,
    /// Replay beside live events.
    Replay,
    /// Pages in small and large stores.
    Pages,
    /// Time to open after SIGKILL.
    Open,
    /// The newest events of every topic.
    State,
    /// Bytes on disk.
    Disk,
    /// Writing more than fits.
    Maxsize,
    /// The cfxdb engine beside LMDB itself.
    Cfxdb,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// Rounds of what is compared by ratio.
    pub(super) runs: usize,
    /// Turns of a round, and how long each is.
    pub(super) turns: u32,
    pub(super) turn: Duration,
    /// Seconds that the generator measures.
    pub(super) seconds: f64,
    /// Events of the router's fire-and-forget run and of a replay.
    pub(super) published: u64,
    pub(super) replayed: u64,
    /// Stores in which pages are read.
    pub(super) stores: &'static [u64],
    /// Events of the store with many topics.
    pub(super) state: u64,
    /// Events whose bytes are counted.
    pub(super) counted: u64,
    /// Events of a cfxdb store whose bytes are counted.
    pub(super) cfxdb: u64,
    /// Largest sizes.
    pub(super) maxsizes: Vec<u64>,
}

/// What is asked of the median of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Limit {
    /// At least this much.
    AtLeast(f64),
    /// At most this much.
    AtMost(f64),
    /// At least the smallest of what this column of the same row has: the same within noise.
    SameAs(String),
}

/// A bar: one cell of one table, and its limit.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) part: Part,
    pub(super) row: String,
    pub(super) column: String,
    pub(super) limit: Limit,
}

impl Part {
    /// In the order of the results.
    pub(super) const ALL: [Self; 9] = [
        Self::Engine,
        Self::Router,
        Self::Replay,
        Self::Pages,
        Self::Open,
        Self::State,
        Self::Disk,
        Self::Maxsize,
        Self::Cfxdb,
    ];

    /// Heading and explanation.
    pub(super) fn title(self) -> (&'static str, &'static str) {
        match self {
            Self::Engine => (
                "The engine",
                "Durable commits straight into the sled engine, beside the same bytes appended to a \
                 bare file with one fdatasync a commit, in turns. Only commits are timed.",
            ),
            Self::Router => (
                "The whole router",
                "One publisher to a stored topic, beside the engine at 100 events a commit with as \
                 many filters: acknowledged (256 under way, one receiver), and fire-and-forget until \
                 everything is on disk and the history shows the last.",
            ),
            Self::Replay => (
                "Replay",
                "One consumer that subscribes with `_replay` and gets 1,000,000 events, for the second \
                 time; after it 1 to 1 with events of the same size. Memory: the most that was \
                 resident during both replays, over what the router needs that has just started and put its store in order.",
            ),
            Self::Pages => (
                "Pages",
                "Pages per second, one reader, 10 filters, 100 topics, in stores of so many events; \
                 *over the wire* through the router, newest, RawSocket + MessagePack, 4 under way.",
            ),
            Self::Open => (
                "Start after a crash",
                "The router gets SIGKILL while it is published to as fast as it goes, after 32 MiB or \
                 more; then the engine opens the store.",
            ),
            Self::State => (
                "State of many topics",
                "`last_per_topic` over 10,000 topics, of which a hundredth have half of the events: \
                 the first time, again, and as of the middle of the history.",
            ),
            Self::Disk => ("Bytes on disk", "100 events a commit, `maxsize` 1 GiB."),
            Self::Maxsize => (
                "Writing five times what fits",
                "Payload of five times `maxsize`, each commit beside a bare append of the same bytes, \
                 so that a disk that stalls meets both; and in turns with it the same into a bare \
                 store: files that are copied and removed beside the commits, as the least that \
                 stays within a size. The folder is looked at all the time, in percent of \
                 `maxsize`: after each multiple written, and the ends (from the second multiple on \
                 for the smallest).",
            ),
            Self::Cfxdb => (
                "The cfxdb engine",
                "Durable commits straight into the cfxdb engine, beside LMDB alone that is handed the \
                 same rows ready-made: all that the engine writes for the events, and only those that \
                 cfxdb defines (a Publication and an Event). In turns, as many commits each; only \
                 commits are timed. Bytes: 100 events a commit, `maxsize` 1 GiB.",
            ),
        }
    }
}

impl Scale {
    /// Everything, or as little as shows that it works.
    pub(super) fn new(quick: bool, runs: usize) -> Self {
        let [stores, maxsizes] = [STORES.len(), MAXSIZES.len()].map(|all| all - usize::from(quick));
        let stores = STORES.get(..stores).unwrap_or_default();
        let maxsizes = MAXSIZES.get(..maxsizes).unwrap_or_default();
        Self {
            runs: if quick { 1 } else { runs.max(1) },
            turns: if quick { 3 } else { 15 },
            turn: Duration::from_millis(if quick { 50 } else { 100 }),
            seconds: if quick { 0.5 } else { 2.0 },
            published: if quick { 200_000 } else { 1_000_000 },
            replayed: 1_000_000,
            stores,
            state: stores.last().copied().unwrap_or_default(),
            counted: 1_000_000,
            cfxdb: CFXDB_EVENTS,
            maxsizes: maxsizes.to_vec(),
        }
    }
}

/// The row of so many events a commit.
pub(super) fn commit_row(batch: usize, filters: usize) -> String {
    format!(
        "{} a commit, {}",
        short(batch as u64),
        filter_count(filters)
    )
}

/// The row of a wire.
pub(super) fn router_row(wire: RowWire, filters: usize) -> String {
    format!("{}, {}", wire.title(), filter_count(filters))
}

/// The row of a kind of page.
pub(super) fn page_row(kind: &str, page: u64) -> String {
    format!("{kind} {}", short(page))
}

/// The column or row of a store.
pub(super) fn store_name(events: u64) -> String {
    format!("{} events", short(events))
}

/// The row of a `maxsize`.
pub(super) fn maxsize_row(bytes: u64) -> String {
    let size = match bytes >> 20 {
        mib @ 1_024.. => format!("{} GiB", mib >> 10),
        mib => format!("{mib} MiB"),
    };
    format!("{size}, {} a commit", short(maxsize_batch(bytes) as u64))
}

/// Events a commit that are written to such a store.
pub(super) fn maxsize_batch(bytes: u64) -> usize {
    if bytes < LARGE { USUAL_BATCH } else { 1_000 }
}

/// The bars.
pub(super) fn bars() -> Vec<Bar> {
    let bar = |part, row: String, column: &str, limit| Bar {
        part,
        row,
        column: column.to_owned(),
        limit,
    };
    let mut bars = Vec::new();
    for (batch, least) in BATCHES.into_iter().zip([0.6, 0.35, 0.15]) {
        for filters in FILTERS {
            let row = commit_row(batch, filters);
            bars.push(bar(Part::Engine, row, OF_BARE, Limit::AtLeast(least)));
        }
        let row = commit_row(batch, 1_000);
        bars.push(bar(Part::Engine, row, OF_ONE_FILTER, Limit::AtLeast(0.8)));
    }
    for (wire, filters) in router_rows() {
        let row = router_row(wire, filters);
        bars.push(bar(Part::Router, row, ACKED_OF_ENGINE, Limit::AtLeast(0.5)));
    }
    for wire in WIRES {
        let row = wire.title().to_owned();
        bars.push(bar(Part::Replay, row.clone(), OF_LIVE, Limit::AtLeast(0.5)));
        bars.push(bar(Part::Replay, row, GROWTH, Limit::AtMost(32.0)));
    }
    for page in PAGES {
        for events in STORES.into_iter().skip(1) {
            let (row, column) = (page_row("newest", page), store_name(events));
            let same = Limit::SameAs(store_name(STORES[0]));
            bars.push(bar(Part::Pages, row, &column, same));
        }
    }
    bars.push(bar(
        Part::Disk,
        store_name(1_000_000),
        BYTES,
        Limit::AtMost(600.0),
    ));
    for maxsize in MAXSIZES {
        let row = maxsize_row(maxsize);
        bars.push(bar(
            Part::Maxsize,
            row.clone(),
            LARGEST,
            Limit::AtMost(100.0),
        ));
        bars.push(bar(Part::Maxsize, row, DELAY, Limit::AtMost(10.0)));
    }
    for batch in BATCHES {
        let row = commit_row(batch, 1);
        bars.push(bar(Part::Cfxdb, row, OF_LMDB, Limit::AtLeast(0.8)));
    }
    let row = store_name(CFXDB_EVENTS);
    bars.push(bar(Part::Cfxdb, row, BYTES, Limit::AtMost(900.0)));
    bars
}

/// The wires of the bars.
pub(super) const WIRES: [RowWire; 2] = [RowWire::RawMsgpack, RowWire::WsJson];

/// What the router is measured with: filters over one wire, and the other wire.
pub(super) fn router_rows() -> impl Iterator<Item = (RowWire, usize)> {
    let raw = FILTERS
        .into_iter()
        .map(|filters| (RowWire::RawMsgpack, filters));
    raw.chain([(RowWire::WsJson, 1)])
}

fn filter_count(filters: usize) -> String {
    match filters {
        1 => "1 filter".to_owned(),
        many => format!("{} filters", short(many as u64)),
    }
}

/// A number with thousands marked.
pub(super) fn short(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_marked() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (5_000_000, "5,000,000"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(commit_row(1_000, 1), "1,000 a commit, 1 filter");
        assert_eq!(maxsize_row(1 << 30), "1 GiB, 1,000 a commit");
        assert_eq!(maxsize_row(5 << 20), "5 MiB, 100 a commit");
    }

    #[test]
    fn quick_measures_the_same_kinds_with_less() {
        let (quick, full) = (Scale::new(true, 5), Scale::new(false, 5));
        assert_eq!((quick.runs, full.runs), (1, 5));
        assert_eq!(full.stores, STORES);
        assert_eq!(full.maxsizes, MAXSIZES);
        assert!(quick.stores.len() >= 2 && quick.maxsizes.len() >= 2);
    }

    #[test]
    fn every_part_but_those_without_a_ratio_has_a_bar() {
        let bars = bars();
        for part in Part::ALL {
            let free = matches!(part, Part::State | Part::Open);
            assert_eq!(bars.iter().any(|bar| bar.part == part), !free, "{part:?}");
        }
    }
}
