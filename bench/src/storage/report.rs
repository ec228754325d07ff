//! Turns the numbers into Markdown.

use super::book::{Book, Verdict};
use super::plan::{self, Bar, Limit, Part, Scale};
use crate::results;
use crate::stats::figure;
use std::fmt::Write as _;

/// Everything that the section says.
pub(super) struct Report<'a> {
    /// The command that made it.
    pub(super) command: &'a str,
    /// The machine in one sentence.
    pub(super) machine: String,
    /// What Rewamp's binary says of itself.
    pub(super) version: Option<String>,
    /// How much was measured.
    pub(super) scale: &'a Scale,
    /// The numbers.
    pub(super) book: &'a Book,
}

impl Report<'_> {
    /// The section, from its heading on.
    pub(super) fn markdown(&self) -> String {
        let mut section = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut section);
        section
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}\n\nMade by `{}`.\n", results::STORAGE, self.command)?;
        writeln!(out, "- Machine: {}; all share it.", self.machine)?;
        if let Some(version) = &self.version {
            writeln!(out, "- Rewamp: {version}")?;
        }
        writeln!(
            out,
            "- Events have {} bytes of arguments. Everything is durable: `sync: true`. What is \
             compared takes turns, rounds: {}; a cell is the median (smallest–largest), a ratio is \
             made in every round. Every event that goes through the router is checked: a run that \
             lost, doubled or reordered one has failed, and a part in which anything failed meets \
             no bar.\n",
            plan::SIZE,
            self.scale.runs
        )?;
        self.write_bars(out)?;
        for part in Part::ALL {
            self.write_table(part, out)?;
        }
        match self.book.failures() {
            [] => writeln!(out, "Nothing failed."),
            failures => {
                writeln!(out, "## What failed in storage\n")?;
                failures
                    .iter()
                    .try_for_each(|(part, why)| writeln!(out, "- {}: {why}", part.title().0))
            }
        }
    }

    fn write_bars(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## Bars of storage\n")?;
        writeln!(
            out,
            "| part | what | of | bar | measured | |\n|---|---|---|---|---|---|"
        )?;
        for bar in plan::bars() {
            let (measured, verdict) = self.book.judge(&bar);
            let verdict = match verdict {
                Verdict::Met => "met",
                Verdict::NotMet => "**not met**",
                Verdict::Unknown => "not measured",
            };
            let measured = measured.map_or("–".to_owned(), |measured| measured.shown(""));
            let (part, limit) = (bar.part.title().0, limit(self.book, &bar));
            let Bar { row, column, .. } = bar;
            writeln!(
                out,
                "| {part} | {column} | {row} | {limit} | {measured} | {verdict} |"
            )?;
        }
        writeln!(out)
    }

    fn write_table(&self, part: Part, out: &mut String) -> std::fmt::Result {
        let (rows, columns) = self.book.table(part);
        if rows.is_empty() {
            return Ok(());
        }
        let (title, what) = part.title();
        writeln!(out, "## {title}\n\n{what}\n")?;
        writeln!(out, "| | {} |", columns.join(" | "))?;
        writeln!(out, "|---|{}", "---|".repeat(columns.len()))?;
        for row in rows {
            write!(out, "| {row} |")?;
            for column in &columns {
                let cell = self.book.cell(part, row, column);
                let cell = cell.map_or(String::new(), |cell| cell.shown(""));
                write!(out, " {cell} |")?;
            }
            writeln!(out)?;
        }
        writeln!(out)
    }
}

fn limit(book: &Book, bar: &Bar) -> String {
    match &bar.limit {
        Limit::AtLeast(least) => format!("≥ {}", figure(*least)),
        Limit::AtMost(most) => format!("≤ {}", figure(*most)),
        Limit::SameAs(column) => {
            let slowest = book.cell(bar.part, &bar.row, column);
            let slowest = slowest.map_or(String::new(), |cell| format!(", {}", figure(cell.min)));
            format!("≥ slowest round at {column}{slowest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(book: &Book) -> String {
        Report {
            command: "bench",
            machine: "none".to_owned(),
            version: None,
            scale: &Scale::new(false, 3),
            book,
        }
        .markdown()
    }

    #[test]
    fn a_section_has_its_bars_and_tables() {
        let mut book = Book::default();
        let row = plan::commit_row(100, 10);
        for (run, ratio) in [0.4, 0.5, 0.3].into_iter().enumerate() {
            book.enter(run, Part::Engine, &row, plan::OF_BARE, ratio);
        }
        book.enter(0, Part::Engine, &row, "p99 commit, ms", 1.5);
        let section = section(&book);
        assert!(section.starts_with(results::STORAGE), "{section}");
        let bar = "| engine : bare | 100 a commit, 10 filters | ≥ 0.35 | 0.40 (0.30–0.50) | met |";
        assert!(section.contains(bar), "{section}");
        let table = "| | engine : bare | p99 commit, ms |\n|---|---|---|\n\
                     | 100 a commit, 10 filters | 0.40 (0.30–0.50) | 1.50 |\n";
        assert!(section.contains(table), "{section}");
        assert!(section.contains("not measured") && section.contains("Nothing failed."));
        assert!(!section.contains("## Replay"), "{section}");
    }

    #[test]
    fn what_failed_is_told() {
        let mut book = Book::default();
        book.fail(Part::Replay, "an event is missing");
        let section = section(&book);
        assert!(
            section.contains("- Replay: an event is missing"),
            "{section}"
        );
        assert!(!section.contains("Nothing failed."));
    }
}
