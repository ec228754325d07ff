//! `rewamp history compare`: joins two routers as a client and reports where they differ: a
//! rehearsal before one takes the other's place.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use clap::Args;
use rewamp_client::{Client, ClientError, Url};
use rewamp_history::Filter;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::message::Message;
use rewamp_wamp::value::Dict;

use super::ask::topics_or_everything;
use super::comparison::{Comparison, Difference, Seen, Side};
use super::{Failure, MISSING, Outcome, failed};
use crate::cli::Console;
use crate::cli::access::Access;
use crate::cli::record::span;

/// Events that wait to be compared; a router that sends more is read more slowly.
const QUEUE: usize = 4_096;

/// How long one router is waited for after the end.
const GRACE: Duration = Duration::from_secs(5);

/// How long both routers have to be listened to before differences count.
const SETTLE: Duration = Duration::from_secs(1);

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Join two routers and report where they differ.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The router that is there
    #[arg(value_name = "OLD")]
    old: Url,
    /// The one that is to take its place
    #[arg(value_name = "NEW")]
    new: Url,
    /// The realm, on both
    #[arg(long, value_name = "NAME", default_value = "realm1")]
    realm: String,
    /// File with what is subscribed to, one a line: `POLICY:URI`, or a topic; without it,
    /// everything
    #[arg(long, value_name = "FILE")]
    topics: Option<PathBuf>,
    /// For how long, such as 90s, 15m, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Duration,
    #[command(flatten)]
    access: Access,
}

/// What one router did.
enum News {
    Event(Seen),
    /// Whether it let us subscribe, for each topic: `None`, or how it refused.
    Subscribed(Vec<Option<String>>),
    Ended(ClientError),
}

impl Compare {
    pub(super) fn run(&self, console: &mut Console<'_>) -> Outcome {
        let topics = topics_or_everything(self.topics.as_deref())?;
        let (tell, told) = sync_channel(QUEUE);
        for (side, url) in [(Side::Old, &self.old), (Side::New, &self.new)] {
            let client = self.access.join(url, &self.realm).map_err(failed)?;
            let (topics, tell) = (topics.clone(), tell.clone());
            let thread = std::thread::Builder::new().name(format!("{side:?}"));
            thread
                .spawn(move || listen(client, &topics, side, &tell))
                .map_err(failed)?;
        }
        drop(tell);
        let differences = self.watch(&topics, &told, console)?;
        Ok(if differences == 0 { 0 } else { MISSING })
    }

    /// Compares until the time is over, and says how many differences there were.
    fn watch(
        &self,
        topics: &[Filter],
        told: &Receiver<(Side, News)>,
        console: &mut Console<'_>,
    ) -> Result<u64, Failure> {
        let mut comparison = Comparison::default();
        let (mut refused, mut differences) = (Vec::new(), 0);
        // Both listen before what they send is compared, and for a while: an event that was under
        // way then may have been sent by one of them before.
        let mut settled = None;
        while settled.is_none_or(|at| Instant::now() < at) {
            match told.recv_timeout(LOOK) {
                Ok((side, News::Subscribed(answers))) => refused.push((side, answers)),
                Ok((side, News::Event(seen))) => comparison.add_early(side, seen),
                Ok((side, News::Ended(error))) => return Err(self.ended(side, &error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failed("both routers ended the session"));
                }
            }
            if refused.len() == 2 {
                settled.get_or_insert_with(|| Instant::now() + SETTLE);
            }
        }
        differences += tell_refused(topics, &refused, console)?;
        writeln!(console.err, "both are listened to")?;
        let end = Instant::now() + self.time;
        let last = end + GRACE;
        loop {
            let now = Instant::now();
            if now >= last || (now >= end && comparison.is_even()) {
                break;
            }
            match told.recv_timeout(LOOK) {
                Ok((side, News::Event(seen))) => {
                    // After the end only counterparts are waited for.
                    if now < end || comparison.is_awaited(side, &seen) {
                        differences += tell_all(comparison.add(side, seen), console)?;
                    }
                }
                Ok((_, News::Subscribed(_))) | Err(RecvTimeoutError::Timeout) => {}
                Ok((side, News::Ended(error))) => return Err(self.ended(side, &error)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failed("both routers ended the session"));
                }
            }
        }
        differences += tell_all(comparison.end(), console)?;
        writeln!(
            console.out,
            "{} events were the same, {differences} differences",
            comparison.same
        )?;
        Ok(differences)
    }

    fn ended(&self, side: Side, error: &ClientError) -> Failure {
        let url = match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        failed(format!("{url}: {error}"))
    }
}

/// Subscribes and hands on what comes, until nobody wants it any more.
fn listen(mut client: Client, topics: &[Filter], side: Side, tell: &SyncSender<(Side, News)>) {
    let mut subscriptions: Vec<(SubscriptionId, ByteString)> = Vec::new();
    let mut answers = Vec::new();
    for topic in topics {
        match client.subscribe(&topic.uri, topic.match_policy, Dict::new()) {
            Ok(id) => {
                subscriptions.push((id, topic.uri.clone()));
                answers.push(None);
            }
            Err(ClientError::Refused { error, .. }) => answers.push(Some(error)),
            Err(error) => {
                let _ = tell.send((side, News::Ended(error)));
                return;
            }
        }
    }
    if tell.send((side, News::Subscribed(answers))).is_err() {
        return;
    }
    loop {
        let news = match client.receive(LOOK) {
            Ok(Some(Message::Event(event))) => {
                let mut known = subscriptions.iter();
                let Some((_, topic)) = known.find(|(id, _)| *id == event.subscription) else {
                    continue;
                };
                News::Event(Seen::of(&event, topic))
            }
            Ok(_) => continue,
            Err(error) => News::Ended(error),
        };
        let over = matches!(news, News::Ended(_));
        if tell.send((side, news)).is_err() || over {
            return;
        }
    }
}

fn tell_refused(
    topics: &[Filter],
    refused: &[(Side, Vec<Option<String>>)],
    console: &mut Console<'_>,
) -> Result<u64, Failure> {
    let of = |side: Side| refused.iter().find(|(other, _)| *other == side);
    let (Some((_, old)), Some((_, new))) = (of(Side::Old), of(Side::New)) else {
        return Ok(0);
    };
    let mut differences = 0;
    for ((topic, old), new) in topics.iter().zip(old).zip(new) {
        if old == new {
            continue;
        }
        differences += 1;
        let verdict = |answer: &Option<String>| match answer {
            Some(error) => format!("refused with {error}"),
            None => "allowed".to_owned(),
        };
        writeln!(
            console.out,
            "authorised differently: {} `{}`: {} by the old router, {} by the new one",
            topic.match_policy.name(),
            topic.uri,
            verdict(old),
            verdict(new)
        )?;
    }
    Ok(differences)
}

fn tell_all(differences: Vec<Difference>, console: &mut Console<'_>) -> Result<u64, Failure> {
    let count = differences.len() as u64;
    for difference in differences {
        let (what, seen) = match difference {
            Difference::Missing(seen) => ("missing: only the old router sent it", seen),
            Difference::Extra(seen) => ("extra: only the new router sent it", seen),
            Difference::Reordered(seen) => ("reordered within its topic", seen),
            Difference::Disclosed(seen) => ("its publisher was told by one of them only", seen),
        };
        let Seen {
            topic, publication, ..
        } = seen;
        writeln!(
            console.out,
            "publication {publication} to `{topic}`: {what}"
        )?;
    }
    Ok(count)
}
