//! `rewamp history get`: events of one history, by the filters that `get_events` has.

use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;

use bytestring::ByteString;
use clap::Args;
use rewamp_archive::{Record, ndjson, parse_time};
use rewamp_history::{Bounds, End, Query, Scope, Sequence, Timestamp, Viewer};
use rewamp_wamp::id::PublicationId;
use rewamp_wamp::uri::MatchPolicy;

use super::which::{Which, open_to_read};
use super::{Failure, Outcome, failed};
use crate::cli::Console;

/// Print events of one history.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Topic or pattern whose history it is
    #[arg(value_name = "URI", default_value = "")]
    uri: String,
    /// How it is compared: exact, prefix, wildcard; prefix where no URI is given
    #[arg(long = "match", value_name = "POLICY", value_parser = policy)]
    match_policy: Option<MatchPolicy>,
    #[command(flatten)]
    which: Which,
    /// Only events of this topic
    #[arg(long, value_name = "URI")]
    topic: Option<String>,
    /// At this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from_time: Option<Timestamp>,
    /// Later than this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    after_time: Option<Timestamp>,
    /// Earlier than this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    before_time: Option<Timestamp>,
    /// At this time or earlier
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until_time: Option<Timestamp>,
    /// This publication and those after it
    #[arg(long, value_name = "ID", value_parser = publication)]
    from_publication: Option<PublicationId>,
    /// Those after this publication
    #[arg(long, value_name = "ID", value_parser = publication)]
    after_publication: Option<PublicationId>,
    /// Those before this publication
    #[arg(long, value_name = "ID", value_parser = publication)]
    before_publication: Option<PublicationId>,
    /// Those up to this publication
    #[arg(long, value_name = "ID", value_parser = publication)]
    until_publication: Option<PublicationId>,
    /// This sequence and those after it
    #[arg(long, value_name = "N")]
    from_sequence: Option<u64>,
    /// Those after this sequence
    #[arg(long, value_name = "N")]
    after_sequence: Option<u64>,
    /// The newest so many of every topic
    #[arg(long, value_name = "N")]
    last_per_topic: Option<u64>,
    /// Newest first
    #[arg(long)]
    reverse: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only what a session of this user could see; without, everything
    #[arg(long, value_name = "NAME", requires = "authrole")]
    authid: Option<String>,
    /// Only what a session of this role could see
    #[arg(long, value_name = "NAME", requires = "authid")]
    authrole: Option<String>,
}

impl Get {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let folder = self.which.folder(console)?;
        let opened = open_to_read(&folder)?;
        let query = self.query(&*opened.store)?;
        let mut out = BufWriter::new(&mut *console.out);
        let mut failure = None;
        let page = opened.store.read(&query, &[], &mut |event| {
            let written = Record::of(event)
                .map_err(|error| failed(format!("event {}: {error}", event.sequence)))
                .and_then(|record| ndjson::write(&record, &mut out).map_err(Failure::from));
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let page = page.map_err(failed)?;
        out.flush()?;
        drop(out);
        if page.end == End::Limit && page.next.is_some() {
            writeln!(console.err, "there may be more: --limit was reached")?;
        }
        Ok(0)
    }

    fn query(&self, store: &dyn rewamp_history::EventStore) -> Result<Query, Failure> {
        let match_policy = self.match_policy.unwrap_or(match self.uri.is_empty() {
            true => MatchPolicy::Prefix,
            false => MatchPolicy::Exact,
        });
        let filter = store.readable(&self.uri, match_policy).ok_or_else(|| {
            failed(format!(
                "no filter of the store covers {} `{}`; `rewamp history ls` names them",
                match_policy.name(),
                self.uri
            ))
        })?;
        let scope = Scope {
            uri: ByteString::from(self.uri.as_str()),
            match_policy,
            filter,
        };
        let viewer = match (&self.authid, &self.authrole) {
            (Some(authid), Some(authrole)) => Viewer::Session {
                authid: authid.as_str().into(),
                authrole: authrole.as_str().into(),
            },
            _ => Viewer::Operator,
        };
        Ok(Query {
            topic: self.topic.as_deref().map(Into::into),
            time: Bounds {
                from: self.from_time,
                after: self.after_time,
                before: self.before_time,
                until: self.until_time,
            },
            publication: Bounds {
                from: self.from_publication,
                after: self.after_publication,
                before: self.before_publication,
                until: self.until_publication,
            },
            sequence: Bounds {
                from: self.from_sequence.map(Sequence::new),
                after: self.after_sequence.map(Sequence::new),
                ..Bounds::default()
            },
            last_per_topic: self.last_per_topic,
            reverse: self.reverse,
            limit: self.limit.unwrap_or(u64::MAX),
            ..Query::all(scope, viewer)
        })
    }
}

pub(super) fn policy(text: &str) -> Result<MatchPolicy, String> {
    MatchPolicy::from_name(text).ok_or_else(|| "allowed are exact, prefix and wildcard".to_owned())
}

fn publication(text: &str) -> Result<PublicationId, String> {
    let number = text.parse().ok().and_then(PublicationId::new);
    number.ok_or_else(|| "a publication ID is an integer from 1 to 2^53".to_owned())
}
