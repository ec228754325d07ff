//! `rewamp history import --from`: what a running router answers to `get_events`. Made for the
//! memory history of a Crossbar, which is in no file.

use std::path::{Path, PathBuf};

use clap::Args;
use rewamp_archive::{Answers, Record};
use rewamp_client::{ClientError, Url};
use rewamp_history::Filter;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::{Dict, Value};

use super::import::filter;
use super::{Failure, failed};
use crate::cli::Console;
use crate::cli::access::Access;

/// Whom is asked for what.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// Ask this router instead of reading a file
    #[arg(long, value_name = "WS-URL", requires_all = ["topics", "realm"], conflicts_with = "file")]
    from: Option<Url>,
    /// File with the histories to ask for, one a line: `POLICY:URI`, or a topic
    #[arg(long, value_name = "FILE", requires = "from")]
    topics: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Asked {
    /// The histories that are asked for.
    pub(super) fn topics(&self) -> Result<Vec<Filter>, Failure> {
        match &self.topics {
            Some(file) => topics(file),
            None => Ok(Vec::new()),
        }
    }

    /// What the router has of them, each publication once, in order.
    pub(super) fn records(
        &self,
        realm: Option<&str>,
        console: &mut Console<'_>,
    ) -> Result<Vec<Record>, Failure> {
        let Some(url) = &self.from else {
            return Ok(Vec::new());
        };
        let at = |error: ClientError| failed(format!("{url}: {error}"));
        let realm = realm.unwrap_or_default();
        let mut client = self.access.join(url, realm).map_err(failed)?;
        let mut answers = Answers::default();
        for topic in self.topics()? {
            let name = format!("{} `{}`", topic.match_policy.name(), topic.uri);
            let mut options = Dict::new();
            options.insert("match", topic.match_policy.name());
            let found = client
                .call(
                    "wamp.subscription.lookup",
                    &[Value::from(topic.uri), Value::Map(options)],
                    None,
                )
                .map_err(at)?;
            let found = found.args_value().map_err(failed)?;
            let Some(subscription @ Value::Integer(_)) = found.into_iter().next() else {
                return Err(failed(format!("{url}: there is no history of {name}")));
            };
            // Without a limit, all that there are.
            let events = client
                .call(
                    "wamp.subscription.get_events",
                    &[subscription, Value::Null],
                    None,
                )
                .map_err(at)?;
            let events = answers
                .add(&events)
                .map_err(|error| failed(format!("{url}: {name}: {error}")))?;
            writeln!(console.err, "{name}: {events} events")?;
        }
        client.leave();
        if answers.duplicates() > 0 {
            writeln!(
                console.err,
                "left out {} records of publications that were there already",
                answers.duplicates()
            )?;
        }
        Ok(answers.in_order())
    }
}

/// Those of a file, if there is one.
pub(super) fn topics_or_everything(file: Option<&Path>) -> Result<Vec<Filter>, Failure> {
    match file {
        Some(file) => topics(file),
        None => Ok(vec![Filter::new("", MatchPolicy::Prefix)]),
    }
}

/// The topics and patterns that a file names, one a line.
pub(super) fn topics(file: &Path) -> Result<Vec<Filter>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| failed(format!("`{}`: {error}", file.display())))?;
    let mut topics = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let named = match line.contains(':') {
            true => line.to_owned(),
            false => format!("exact:{line}"),
        };
        let topic = filter(&named).map_err(|why| {
            let line = number + 1;
            failed(format!("`{}`: line {line}: {why}", file.display()))
        })?;
        topics.push(topic);
    }
    match topics.is_empty() {
        true => Err(failed(format!("`{}` names no topic", file.display()))),
        false => Ok(topics),
    }
}
