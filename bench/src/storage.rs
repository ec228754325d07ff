//! The storage benchmark: what a history costs. The engine beside the bare file, the router beside
//! the engine, replay beside live; pages, bytes on disk, starts after a crash, and the bound.
//!
//! Like a comparison it lets what is compared take turns, so that what else the machine does meets
//! both, and it writes results for people and single numbers for programs.

mod plan; //    what is measured, what it is called, the bars
mod book; //    the numbers
mod realm; //   events straight into the engine
mod bare; //    the least that a store could do
mod folder; //  bytes on disk
mod engine; //  part: commits
mod router; //  parts: the whole node, replay
mod pages; //   parts: pages, starts after a crash
mod state; //   part: the newest of every topic
mod maxsize; // parts: bytes an event, the bound
mod cfxdb; //   part: the other engine on disk
mod report; //  Markdown

pub(crate) use plan::Part;

use crate::compare::{Programs, Server, machine};
use crate::results;
use book::Book;
use plan::Scale;
use report::Report;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How a part ends: what went wrong is shown with the results.
type Done<T = ()> = Result<T, Box<dyn Error>>;

/// A run of the benchmark.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Where Rewamp is.
    pub(crate) programs: Programs,
    /// Parts; all where empty.
    pub(crate) parts: Vec<Part>,
    /// Small stores and one round: shows that everything works, not how fast.
    pub(crate) quick: bool,
    /// Largest sizes in bytes; the usual ones where empty.
    pub(crate) maxsizes: Vec<u64>,
    /// Rounds.
    pub(crate) runs: usize,
    /// Where the stores are made: on the disk that is to be measured.
    pub(crate) folder: PathBuf,
    /// Markdown file.
    pub(crate) out: PathBuf,
    /// Folder for the single numbers.
    pub(crate) results: PathBuf,
    /// The command, for the reader.
    pub(crate) command: String,
}

/// What the parts share.
struct Bench<'a> {
    programs: &'a Programs,
    scale: Scale,
    /// A folder of this run alone, gone afterwards.
    folder: &'a Path,
    book: Book,
}

impl Storage {
    /// Measures part by part and writes the results after each.
    pub(crate) fn execute(&self) -> io::Result<()> {
        let folder = tempfile::tempdir_in(&self.folder)?;
        let mut scale = Scale::new(self.quick, self.runs);
        if !self.maxsizes.is_empty() {
            scale.maxsizes.clone_from(&self.maxsizes);
        }
        let mut bench = Bench {
            programs: &self.programs,
            scale,
            folder: folder.path(),
            book: Book::default(),
        };
        for part in Part::ALL.into_iter().filter(|part| self.wants(*part)) {
            if let Err(why) = bench.measure(part, |other| self.wants(other)) {
                bench.book.fail(part, &why.to_string());
            }
            self.write(&bench)?;
        }
        Ok(())
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn write(&self, bench: &Bench<'_>) -> io::Result<()> {
        fs::create_dir_all(&self.results)?;
        fs::write(self.results.join("storage.jsonl"), bench.book.lines())?;
        let report = Report {
            command: &self.command,
            machine: machine::machine(),
            version: machine::version(&self.programs, Server::Rewamp),
            scale: &bench.scale,
            book: &bench.book,
        };
        results::replace(&self.out, results::STORAGE, &report.markdown())
    }
}

impl Bench<'_> {
    fn measure(&mut self, part: Part, wants: impl Fn(Part) -> bool) -> Done {
        match part {
            Part::Engine => engine::measure(self),
            Part::Router => router::measure(self),
            Part::Replay => router::measure_replay(self),
            Part::Pages => pages::measure(self, wants(Part::Open)),
            // Made in the stores of the pages, where both are wanted.
            Part::Open if wants(Part::Pages) => Ok(()),
            Part::Open => pages::measure_open(self),
            Part::State => state::measure(self),
            Part::Disk => maxsize::measure_bytes(self),
            Part::Maxsize => maxsize::measure(self),
            Part::Cfxdb => cfxdb::measure(self),
        }
    }
}
