//! The numbers of a run: one a cell and round, as they are measured.

use super::plan::{Bar, Limit, Part};
use crate::stats::Spread;
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write as _};

/// One number.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    run: usize,
    part: Part,
    row: String,
    column: String,
    value: f64,
}

/// All numbers, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Book {
    samples: Vec<Sample>,
    failures: Vec<(Part, String)>,
}

/// How a bar came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    NotMet,
    Unknown,
}

impl Book {
    /// Enters a number of round `run`, from 0.
    pub(super) fn enter(&mut self, run: usize, part: Part, row: &str, column: &str, value: f64) {
        let sample = Sample {
            run,
            part,
            row: row.to_owned(),
            column: column.to_owned(),
            value,
        };
        tell(&json!(sample).to_string());
        self.samples.push(sample);
    }

    /// Enters why a part, or something of it, has no numbers.
    pub(super) fn fail(&mut self, part: Part, why: &str) {
        tell(&json!({"part": part, "failure": why}).to_string());
        self.failures.push((part, why.to_owned()));
    }

    /// What went wrong.
    pub(super) fn failures(&self) -> &[(Part, String)] {
        &self.failures
    }

    /// Every number and failure as a line of JSON.
    pub(super) fn lines(&self) -> String {
        let samples = self.samples.iter().map(|sample| json!(sample));
        let failures = self.failures.iter();
        let failures = failures.map(|(part, why)| json!({"part": part, "failure": why}));
        samples
            .chain(failures)
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Rows and columns of a table, in the order in which they were measured.
    pub(super) fn table(&self, part: Part) -> (Vec<&str>, Vec<&str>) {
        let (mut rows, mut columns) = (Vec::new(), Vec::new());
        for sample in self.samples.iter().filter(|sample| sample.part == part) {
            for (names, name) in [(&mut rows, &sample.row), (&mut columns, &sample.column)] {
                if !names.contains(&name.as_str()) {
                    names.push(name.as_str());
                }
            }
        }
        (rows, columns)
    }

    /// All rounds of a cell.
    pub(super) fn cell(&self, part: Part, row: &str, column: &str) -> Option<Spread> {
        let samples = self
            .samples
            .iter()
            .filter(|sample| sample.part == part && sample.row == row && sample.column == column);
        Spread::of(samples.map(|sample| sample.value))
    }

    /// What a bar measured, and how it came out. A part of which anything failed has not met it.
    pub(super) fn judge(&self, bar: &Bar) -> (Option<Spread>, Verdict) {
        let measured = self.cell(bar.part, &bar.row, &bar.column);
        let failed = self.failures.iter().any(|(part, _)| *part == bar.part);
        let met = measured.and_then(|measured| {
            Some(match &bar.limit {
                Limit::AtLeast(least) => measured.median >= *least,
                Limit::AtMost(most) => measured.median <= *most,
                Limit::SameAs(column) => {
                    measured.median >= self.cell(bar.part, &bar.row, column)?.min
                }
            })
        });
        let verdict = match met {
            None if !failed => Verdict::Unknown,
            Some(true) if !failed => Verdict::Met,
            _ => Verdict::NotMet,
        };
        (measured, verdict)
    }
}

/// One line of progress on standard error.
fn tell(line: &str) {
    // Nobody reads it where standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(values: &[(&str, f64)]) -> Book {
        let mut book = Book::default();
        for (run, (column, value)) in values.iter().enumerate() {
            book.enter(run, Part::Pages, "newest 20", column, *value);
        }
        book
    }

    fn judge(book: &Book, limit: Limit) -> Verdict {
        let (row, column) = ("newest 20".to_owned(), "large".to_owned());
        let bar = Bar {
            part: Part::Pages,
            row,
            column,
            limit,
        };
        book.judge(&bar).1
    }

    #[test]
    fn a_bar_is_judged_by_the_median_of_its_cell() {
        let book = book(&[("large", 1.0), ("large", 3.0), ("large", 2.0)]);
        assert_eq!(judge(&book, Limit::AtLeast(2.0)), Verdict::Met);
        assert_eq!(judge(&book, Limit::AtLeast(2.1)), Verdict::NotMet);
        assert_eq!(judge(&book, Limit::AtMost(2.0)), Verdict::Met);
        assert_eq!(judge(&book, Limit::AtMost(1.9)), Verdict::NotMet);
        assert_eq!(
            judge(&Book::default(), Limit::AtMost(1.0)),
            Verdict::Unknown
        );
    }

    #[test]
    fn the_same_means_not_below_the_slowest_round_of_the_other() {
        let same = || Limit::SameAs("small".to_owned());
        let check = |large, verdict| {
            let book = book(&[("small", 10.0), ("small", 14.0), ("large", large)]);
            assert_eq!(judge(&book, same()), verdict, "{large}");
        };
        check(10.0, Verdict::Met);
        check(9.9, Verdict::NotMet);
        assert_eq!(judge(&book(&[("large", 1.0)]), same()), Verdict::Unknown);
    }

    #[test]
    fn a_part_that_failed_has_met_nothing() {
        let mut book = book(&[("large", 5.0)]);
        book.fail(Part::Disk, "no space");
        assert_eq!(judge(&book, Limit::AtLeast(1.0)), Verdict::Met);
        book.fail(Part::Pages, "a page is missing");
        assert_eq!(judge(&book, Limit::AtLeast(1.0)), Verdict::NotMet);
        assert_eq!(book.lines().lines().count(), 3);
    }
}
