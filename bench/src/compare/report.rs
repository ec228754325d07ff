//! Turns samples into Markdown.

use super::plan::{Bar, Measure, Row, RowWire};
use super::sample::Sample;
use super::servers::Server;
use crate::results;
use crate::stats::{Spread, figure};
use std::fmt::Write as _;

/// Everything that the page says.
pub(crate) struct Report<'a> {
    /// The command that made it.
    pub(crate) command: String,
    /// The machine in one sentence.
    pub(crate) machine: String,
    /// Programs with versions.
    pub(crate) versions: Vec<String>,
    /// Rows in order.
    pub(crate) rows: &'a [Row],
    /// All samples.
    pub(crate) samples: &'a [Sample],
    /// Servers that were not measured, and why.
    pub(crate) absent: &'a [(Server, String)],
    /// Rounds.
    pub(crate) runs: usize,
    /// Measured seconds of a run.
    pub(crate) seconds: f64,
}

/// How a bar came out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Met,
    NotMet,
    Unknown,
}

impl Report<'_> {
    /// The whole page.
    pub(crate) fn markdown(&self) -> String {
        let mut page = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut page);
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        writeln!(
            page,
            "{}\n\nMade by `{}`.\n",
            results::COMPARISON,
            self.command
        )?;
        writeln!(
            page,
            "- Machine: {}; servers and generator share it.",
            self.machine
        )?;
        for version in &self.versions {
            writeln!(page, "- {version}")?;
        }
        writeln!(
            page,
            "- {} runs of {} s each after a warm-up; in every run the servers take turns row by \
             row. A cell is the median (smallest–largest). A ratio is the median of the ratios of \
             the single runs. Every event, acknowledgement, result and page is checked: a run that \
             lost, doubled or reordered anything has failed and its numbers do not count.",
            self.runs, self.seconds
        )?;
        writeln!(
            page,
            "- *floor* is the null router of this folder, *bare sockets* a relay that copies the \
             same bytes and looks at nothing. Absolute numbers do not travel to another machine; \
             ratios do.\n"
        )?;
        self.write_bars(page)?;
        for wire in [RowWire::RawMsgpack, RowWire::WsJson] {
            self.write_values(page, wire)?;
            self.write_cpu(page, wire)?;
        }
        self.write_faults(page)
    }

    fn write_bars(&self, page: &mut String) -> std::fmt::Result {
        writeln!(page, "## Bars\n")?;
        writeln!(
            page,
            "| mode | wire | who | bar | measured | |\n|---|---|---|---|---|---|"
        )?;
        for row in self.rows {
            for (subject, bar) in row.bars() {
                let measured = self.measured(row, subject, bar);
                let verdict = match self.verdict(row, subject, bar, measured) {
                    Verdict::Met => "met",
                    Verdict::NotMet => "**not met**",
                    Verdict::Unknown => "not measured",
                };
                let digits = if matches!(bar, Bar::Below(_)) {
                    ""
                } else {
                    "x"
                };
                let measured = measured.map_or("–".to_owned(), |measured| measured.shown(digits));
                writeln!(
                    page,
                    "| {} | {} | {} | {} | {measured} | {verdict} |",
                    row.title(),
                    row.wire.title(),
                    subject.title(),
                    bar_text(bar)
                )?;
            }
        }
        writeln!(page)
    }

    fn write_values(&self, page: &mut String, wire: RowWire) -> std::fmt::Result {
        writeln!(page, "## {}\n", wire.title())?;
        let others = [
            Server::Floor,
            Server::Crossbar,
            Server::Nats,
            Server::Sockets,
        ];
        write!(page, "| mode | Rewamp |")?;
        for other in others {
            write!(page, " {} | Rewamp : {0} |", other.title())?;
        }
        writeln!(page, "\n|---|---|{}", "---|---|".repeat(others.len()))?;
        for row in self.rows.iter().filter(|row| row.wire == wire) {
            write!(
                page,
                "| {} | {} |",
                row.title(),
                self.cell(row, Server::Rewamp)
            )?;
            for other in others {
                let ratio = Spread::of(self.ratios(row, Server::Rewamp, other, Sample::value));
                let ratio = ratio.map_or(String::new(), |ratio| figure(ratio.median) + "x");
                write!(page, " {} | {ratio} |", self.cell(row, other))?;
            }
            writeln!(page)?;
        }
        writeln!(page)
    }

    fn write_cpu(&self, page: &mut String, wire: RowWire) -> std::fmt::Result {
        writeln!(
            page,
            "CPU time of the server in ns per event, call, page or join:\n"
        )?;
        write!(page, "| mode |")?;
        for server in Server::ALL {
            write!(page, " {} |", server.title())?;
        }
        let columns = "---|".repeat(Server::ALL.len());
        writeln!(
            page,
            " Rewamp : floor | generator |\n|---|{columns}---|---|"
        )?;
        let rows = self.rows.iter().filter(|row| row.wire == wire);
        for row in rows.filter(|row| row.measure() != Measure::Memory) {
            let title = row.title();
            write!(
                page,
                "| {} |",
                title.rsplit_once(", ").map_or(&*title, |(name, _)| name)
            )?;
            for server in Server::ALL {
                let cpu = Spread::of(self.of(row, server).filter_map(Sample::server_cpu));
                write!(
                    page,
                    " {} |",
                    cpu.map_or(String::new(), |cpu| cpu.shown(""))
                )?;
            }
            let ratios = self.ratios(row, Server::Rewamp, Server::Floor, Sample::server_cpu);
            let ratio = Spread::of(ratios).map_or(String::new(), |one| figure(one.median) + "x");
            let own = self
                .of(row, Server::Rewamp)
                .chain(self.of(row, Server::Floor));
            let own = Spread::of(own.filter_map(Sample::generator_cpu));
            let own = own.map_or(String::new(), |own| figure(own.median));
            writeln!(page, " {ratio} | {own} |")?;
        }
        writeln!(page)
    }

    fn write_faults(&self, page: &mut String) -> std::fmt::Result {
        let failed = self.samples.iter().filter_map(|sample| {
            let failure = sample.result.as_ref().err()?;
            Some((sample, failure))
        });
        let failed: Vec<_> = failed.collect();
        if failed.is_empty() && self.absent.is_empty() {
            return writeln!(page, "Nothing failed.");
        }
        writeln!(page, "## What failed\n")?;
        for (server, why) in self.absent {
            writeln!(page, "- {} {why}", server.title())?;
        }
        for (sample, failure) in failed {
            let (server, row) = (sample.server.title(), &sample.row);
            let (title, wire) = (row.title(), row.wire.title());
            writeln!(
                page,
                "- {server}, {title}, {wire}, run {}: {failure}",
                sample.run + 1
            )?;
        }
        Ok(())
    }

    fn of(&self, row: &Row, server: Server) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.row == *row && sample.server == server)
    }

    fn cell(&self, row: &Row, server: Server) -> String {
        let failed = self
            .of(row, server)
            .filter(|sample| sample.result.is_err())
            .count();
        let values = Spread::of(self.of(row, server).filter_map(Sample::value));
        let mut cell = values.map_or(String::new(), |values| values.shown(""));
        if row.measure() == Measure::P50 {
            let p99 = self
                .of(row, server)
                .filter_map(|sample| sample.result.as_ref().ok()?.p99_us);
            if let Some(p99) = Spread::of(p99) {
                let _ = write!(cell, ", p99 {}", figure(p99.median));
            }
        }
        if failed > 0 {
            let _ = write!(cell, " **{failed} failed**");
        }
        cell
    }

    /// Ratios of one server to another, run by run.
    fn ratios(
        &self,
        row: &Row,
        subject: Server,
        of: Server,
        value: fn(&Sample) -> Option<f64>,
    ) -> Vec<f64> {
        self.of(row, subject)
            .filter_map(|sample| {
                let other = self.of(row, of).find(|other| other.run == sample.run)?;
                Some(value(sample)? / value(other)?)
            })
            .collect()
    }

    fn measured(&self, row: &Row, subject: Server, bar: Bar) -> Option<Spread> {
        match bar {
            Bar::AtLeast(_, of) | Bar::AtMost(_, of) => {
                Spread::of(self.ratios(row, subject, of, Sample::value))
            }
            Bar::Below(_) => Spread::of(self.of(row, subject).filter_map(Sample::value)),
        }
    }

    fn verdict(&self, row: &Row, subject: Server, bar: Bar, measured: Option<Spread>) -> Verdict {
        if self.of(row, subject).any(|sample| sample.result.is_err()) {
            return Verdict::NotMet;
        }
        let Some(Spread { median, .. }) = measured else {
            return Verdict::Unknown;
        };
        let met = match bar {
            Bar::AtLeast(bar, _) => median >= bar,
            Bar::AtMost(bar, _) => median <= bar,
            Bar::Below(bar) => median < bar,
        };
        if met { Verdict::Met } else { Verdict::NotMet }
    }
}

fn bar_text(bar: Bar) -> String {
    match bar {
        Bar::AtLeast(ratio, of) => format!("≥ {}x {}", figure(ratio), of.title()),
        Bar::AtMost(ratio, of) => format!("≤ {}x {}", figure(ratio), of.title()),
        Bar::Below(value) => format!("< {}", figure(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Mode, Outcome};

    #[test]
    fn a_page_judges_by_the_ratios_of_single_runs() {
        let rows = Row::all(&[Mode::FanOut]);
        let row = *rows.first().unwrap();
        let sample = |run, server, rate| {
            let outcome = Outcome {
                rate,
                ..Outcome::default()
            };
            Sample {
                run,
                row,
                server,
                result: Ok(outcome),
            }
        };
        let page = |samples: &[Sample]| {
            let (command, machine) = ("bench".to_owned(), "none".to_owned());
            let (versions, absent) = (Vec::new(), &[][..]);
            let (runs, seconds, rows) = (2, 1.0, &rows[..]);
            Report {
                command,
                machine,
                versions,
                rows,
                samples,
                absent,
                runs,
                seconds,
            }
            .markdown()
        };
        let mut samples = vec![
            sample(0, Server::Rewamp, 130.0),
            sample(0, Server::Floor, 100.0),
            sample(1, Server::Rewamp, 260.0),
            sample(1, Server::Floor, 200.0),
        ];
        let met = page(&samples);
        assert!(
            met.contains("| ≥ 1.20x floor | 1.30x (1.30–1.30) | met |"),
            "{met}"
        );
        assert!(met.contains("Nothing failed."));
        samples.push(Sample {
            run: 2,
            row,
            server: Server::Rewamp,
            result: Err("lost".to_owned()),
        });
        let failed = page(&samples);
        assert!(
            failed.contains("**not met**") && failed.contains("run 3: lost"),
            "{failed}"
        );
        assert!(page(&[]).contains("not measured"));
    }
}
