//! `rewamp history export`: all events of a store into a file that other programs read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rewamp_archive::{Record, draft_path, ndjson, parquet, parse_time};
use rewamp_history::{Sequence, Timestamp};

use super::follow::Following;
use super::progress::Progress;
use super::which::{Opened, Which, open_to_read};
use super::{Failure, Outcome, failed};
use crate::cli::Console;

/// Write all events of a store into a file.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file; without it, NDJSON to standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// Otherwise by the name's end: `.parquet`, everything else is NDJSON
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// This sequence and those after it
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "follow")]
    from_sequence: u64,
    /// Those after this sequence
    #[arg(long, value_name = "N", conflicts_with = "from_sequence")]
    after_sequence: Option<u64>,
    /// At this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    #[arg(conflicts_with = "follow")]
    from_time: Option<Timestamp>,
    /// Earlier than this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    #[arg(conflicts_with = "follow")]
    before_time: Option<Timestamp>,
    #[command(flatten)]
    following: Following,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    Ndjson,
    /// Columns for pandas, DuckDB and Spark
    Parquet,
}

impl Format {
    /// By the end of a name.
    pub(super) fn of(file: &Path) -> Self {
        match file.extension().and_then(|end| end.to_str()) {
            Some("parquet") => Self::Parquet,
            _ => Self::Ndjson,
        }
    }
}

impl Export {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        if self.following.follow {
            let format = self.file.as_deref().map_or(Format::Ndjson, Format::of);
            if self.format.unwrap_or(format) == Format::Parquet {
                return Err(failed(
                    "Parquet is written when its end is known; --follow has none",
                ));
            }
            let after = self.after_sequence.map(Sequence::new);
            let file = self.file.as_deref();
            return self.following.run(&self.which, file, after, console);
        }
        let opened = open_to_read(&self.which.folder(console)?)?;
        let Some(file) = &self.file else {
            if self.format == Some(Format::Parquet) {
                return Err(failed("Parquet needs a FILE, which it is written into"));
            }
            let mut out = BufWriter::new(&mut *console.out);
            self.records(&opened, &mut |record| {
                ndjson::write(&record, &mut out).map_err(Failure::from)
            })?;
            out.flush()?;
            return Ok(0);
        };
        if file.exists() {
            return Err(failed(format!(
                "`{}` is there already, and was not changed",
                file.display()
            )));
        }
        let draft = draft_path(file);
        let written = match self.format.unwrap_or_else(|| Format::of(file)) {
            Format::Ndjson => self.ndjson(&opened, &draft),
            Format::Parquet => self.parquet(&opened, &draft),
        };
        let put = written.and_then(|(events, written)| {
            let fault = |error| failed(format!("cannot write `{}`: {error}", file.display()));
            written.sync_all().map_err(fault)?;
            std::fs::rename(&draft, file).map_err(fault)?;
            Ok(events)
        });
        if put.is_err() {
            let _ = std::fs::remove_file(&draft);
        }
        writeln!(console.err, "{}: {} events", file.display(), put?)?;
        Ok(0)
    }

    fn ndjson(&self, opened: &Opened, draft: &Path) -> Result<(u64, File), Failure> {
        let fault = |error| failed(format!("cannot write `{}`: {error}", draft.display()));
        let mut out = BufWriter::new(File::create(draft).map_err(fault)?);
        let events = self.records(opened, &mut |record| {
            ndjson::write(&record, &mut out).map_err(fault)
        })?;
        let file = out
            .into_inner()
            .map_err(|error| fault(error.into_error()))?;
        Ok((events, file))
    }

    fn parquet(&self, opened: &Opened, draft: &Path) -> Result<(u64, File), Failure> {
        let fault = |error: &dyn std::fmt::Display| {
            failed(format!("cannot write `{}`: {error}", draft.display()))
        };
        let file = File::create(draft).map_err(|error| fault(&error))?;
        let notes = [
            ("realm", opened.found.realm.clone()),
            ("incarnation", opened.found.incarnation.to_string()),
        ];
        let mut writer = parquet::Writer::begin(file, &notes).map_err(|error| fault(&error))?;
        let events = self.records(opened, &mut |record| {
            writer.add(&record).map_err(|error| fault(&error))
        })?;
        let file = writer.finish().map_err(|error| fault(&error))?;
        Ok((events, file))
    }

    /// Hands the records that are meant on, and says how many.
    fn records(
        &self,
        opened: &Opened,
        take: &mut dyn FnMut(Record) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let mut progress = Progress::begin("exporting", Some(opened.store.usage().events));
        let mut failure = None;
        let after = self.after_sequence.map(|after| Sequence::new(after).next());
        let from = after.unwrap_or(Sequence::new(self.from_sequence));
        let read =
            rewamp_archive::read(&*opened.store, &opened.found.filters, from, &mut |record| {
                if self.before_time.is_some_and(|end| record.time >= end) {
                    return ControlFlow::Break(());
                }
                if self.from_time.is_some_and(|begin| record.time < begin) {
                    return ControlFlow::Continue(());
                }
                progress.event();
                match take(record) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
        match failure {
            Some(failure) => Err(failure),
            None => read.map_err(failed).map(|()| progress.events()),
        }
    }
}
