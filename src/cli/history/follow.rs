//! `rewamp history export --follow`: what is there, and what comes, until the end is asked for. From
//! a store's files where its engine lets two read them, else through the node that has it.

mod files; //  a store that a node writes to
mod router; // a node that is asked

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use rewamp_archive::{Record, ndjson};
use rewamp_client::Url;
use rewamp_history::Sequence;

use super::ask::topics_or_everything;
use super::which::Which;
use super::{Failure, MISSING, Outcome, failed};
use crate::cli::Console;
use crate::cli::access::Access;
use crate::cli::stop::Stop;

/// Whether and whence what comes is exported too.
#[derive(Debug, Args)]
pub(super) struct Following {
    /// Go on with what comes, until SIGTERM or SIGINT; a FILE that is there is gone on with
    #[arg(long)]
    pub(super) follow: bool,
    /// Follow through this node, which has the store for itself
    #[arg(long, value_name = "WS-URL", requires_all = ["follow", "realm"], conflicts_with = "store")]
    from: Option<Url>,
    /// File with the histories to ask that node for, one a line: `POLICY:URI`, or a topic [default:
    /// everything]
    #[arg(long, value_name = "FILE", requires = "from")]
    topics: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Following {
    /// Follows until the end is asked for; `after` is what was exported already.
    pub(super) fn run(
        &self,
        which: &Which,
        file: Option<&Path>,
        after: Option<Sequence>,
        console: &mut Console<'_>,
    ) -> Outcome {
        let stop = Stop::on_signals().map_err(failed)?;
        let Console { out, err } = console;
        let (out, last): (Box<dyn Write + '_>, _) = match file {
            None => (Box::new(&mut **out), None),
            Some(path) => {
                let fault = |error| failed(format!("`{}`: {error}", path.display()));
                let (file, last) = gone_on_with(path).map_err(fault)?;
                (Box::new(file), last)
            }
        };
        let after = after.max(last);
        let mut sink = Sink {
            out,
            err: &mut **err,
            last: after.unwrap_or_default(),
            missing: false,
        };
        match &self.from {
            Some(url) => {
                let node = router::Node {
                    url,
                    realm: which.realm().unwrap_or_default(),
                    access: &self.access,
                    topics: topics_or_everything(self.topics.as_deref())?,
                };
                node.follow(&mut sink, after.is_some(), &stop)?;
            }
            None => {
                let folder = which.folder(&mut Console {
                    out: &mut io::sink(),
                    err: &mut *sink.err,
                })?;
                files::follow(&folder, &mut sink, after.is_some(), &stop)?;
            }
        }
        Ok(if sink.missing { MISSING } else { 0 })
    }
}

/// Where lines go: each event once, in order.
struct Sink<'a> {
    out: Box<dyn Write + 'a>,
    err: &'a mut dyn Write,
    /// The newest event that was written, or had been before.
    last: Sequence,
    /// Events were dropped before they could be written.
    missing: bool,
}

impl Sink<'_> {
    /// Writes an event, unless it was written before.
    fn put(&mut self, record: &Record) -> Result<(), Failure> {
        if record.sequence <= self.last {
            return Ok(());
        }
        let mut line = Vec::new();
        ndjson::write(record, &mut line)?;
        // One write a line: whoever reads along never sees the half of one for long.
        self.out.write_all(&line)?;
        self.out.flush()?;
        self.last = record.sequence;
        Ok(())
    }

    fn say(&mut self, what: &str) -> Result<(), Failure> {
        writeln!(self.err, "{what}").map_err(Failure::from)
    }

    /// Events after the last one were dropped before they were read.
    fn misses(&mut self, history: &str) -> Result<(), Failure> {
        self.missing = true;
        let last = self.last;
        self.say(&format!(
            "{history}: events after {last} were dropped before they could be read"
        ))
    }
}

/// Opens a file to go on at its end, behind the last whole line, and says which event that is.
fn gone_on_with(path: &Path) -> io::Result<(File, Option<Sequence>)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    let mut file = options.open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * ndjson::LONGEST);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    let whole = end.map_or(0, |end| end + 1);
    // A line that was cut off when an earlier life ended is written anew.
    file.set_len(from + whole as u64)?;
    let lines = tail.get(..whole).unwrap_or_default();
    let mut lines = lines.rsplit(|byte| *byte == b'\n');
    let Some(line) = lines.find(|line| !line.is_empty()) else {
        return Ok((file, None));
    };
    match ndjson::Reader::new(line).next() {
        Some(Ok(record)) => Ok((file, Some(record.sequence))),
        Some(Err(error)) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            error.to_string(),
        )),
        None => Ok((file, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_gone_on_with_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.ndjson");
        let line = |number: u64| {
            format!("{{\"sequence\":{number},\"publication\":1,\"topic\":\"a\",\"time_ns\":1}}\n")
        };
        for (text, last, left) in [
            (String::new(), None, 0),
            (line(1) + &line(7), Some(7), 2),
            (line(1) + &line(7)[..20], Some(1), 1),
            (line(1)[..20].to_owned(), None, 0),
        ] {
            std::fs::write(&path, text).unwrap();
            let (mut file, found) = gone_on_with(&path).unwrap();
            assert_eq!(found, last.map(Sequence::new));
            file.write_all(line(9).as_bytes()).unwrap();
            let now = std::fs::read_to_string(&path).unwrap();
            assert_eq!(now.lines().count(), left + 1, "{now}");
            assert!(now.ends_with(&line(9)), "{now}");
        }
        std::fs::write(&path, "no event\n").unwrap();
        gone_on_with(&path).unwrap_err();
    }
}
