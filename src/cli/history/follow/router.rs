//! Following a history through the node that has it, as a client: pages of the past, oldest first,
//! until there are no more, then what comes. A connection that breaks is made again, and goes on
//! behind the last event.

use std::time::Duration;

use bytestring::ByteString;
use rewamp_archive::{Record, answered, further_details, parse_time};
use rewamp_client::{Client, ClientError, Url};
use rewamp_history::{Filter, Identity, Sequence, Timestamp};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::message::{Event, EventDetails, Message, ReceiverLists};
use rewamp_wamp::value::{Dict, Value};

use super::super::{Failure, failed};
use super::Sink;
use crate::cli::access::{Access, join_unless};
use crate::cli::stop::{Backoff, Stop};

/// Events of one page.
const PAGE: u64 = 1_000;

/// How long an end may stay unnoticed.
const LOOK: Duration = Duration::from_millis(100);

/// Before every event.
const BEGINNING: &str = "1970-01-01T00:00:00Z";

const GET_EVENTS: &str = "wamp.subscription.get_events";
const LOOKUP: &str = "wamp.subscription.lookup";
const HISTORY_INFO: &str = "rewamp.subscription.history_info";

/// The node, and what is asked of it.
pub(super) struct Node<'a> {
    pub(super) url: &'a Url,
    pub(super) realm: &'a str,
    pub(super) access: &'a Access,
    pub(super) topics: Vec<Filter>,
}

/// Why a connection is not followed any more.
enum End {
    /// It broke: another one is made.
    Broke(ClientError),
    /// For good.
    Failed(Failure),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        match error {
            // A node that has just started may not have opened it yet.
            ClientError::Refused { error: ref why, .. } if why == error_uri::STORE_UNAVAILABLE => {
                Self::Broke(error)
            }
            ClientError::Refused { .. } => Self::Failed(failed(error)),
            other => Self::Broke(other),
        }
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One history as far as it was read.
struct History {
    topic: Filter,
    /// Something of it was written, so what comes after is expected to be there.
    begun: bool,
}

impl Node<'_> {
    /// Writes what the node has and what comes; `resumed` if what comes after [`Sink::last`] is
    /// expected to be there.
    pub(super) fn follow(
        self,
        sink: &mut Sink<'_>,
        resumed: bool,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let histories = self.topics.iter().cloned().map(|topic| History {
            topic,
            begun: resumed,
        });
        let mut histories: Vec<_> = histories.collect();
        let trust = self.access.trust().map_err(failed)?;
        let (mut incarnation, mut backoff, mut joined) = (None, Backoff::new(), false);
        loop {
            let login = self.access.login(self.realm);
            let broke = match join_unless(stop, self.url, login, &trust) {
                None => return Ok(()),
                Some(Err(error)) if !joined => {
                    return Err(failed(format!("{}: {error}", self.url)));
                }
                Some(Err(error)) => error,
                Some(Ok(client)) => {
                    joined = true;
                    let mut following = Following {
                        client,
                        histories: &mut histories,
                        ids: Vec::new(),
                        sink,
                        stop,
                    };
                    match following.run(&mut incarnation, &mut backoff) {
                        Ok(()) => {
                            following.client.leave();
                            return Ok(());
                        }
                        Err(End::Failed(failure)) => return Err(failure),
                        Err(End::Broke(error)) => error,
                    }
                }
            };
            let wait = backoff.next();
            let (url, after) = (self.url, sink.last);
            sink.say(&format!(
                "{url}: {broke}; going on after event {after} in {} ms",
                wait.as_millis()
            ))?;
            if stop.wait(wait) {
                return Ok(());
            }
        }
    }
}

/// One connection.
struct Following<'f, 's> {
    client: Client,
    histories: &'f mut Vec<History>,
    /// The subscription of each.
    ids: Vec<SubscriptionId>,
    sink: &'f mut Sink<'s>,
    stop: &'f Stop,
}

impl Following<'_, '_> {
    fn run(&mut self, incarnation: &mut Option<String>, backoff: &mut Backoff) -> Result<(), End> {
        self.look_up(incarnation.is_some())?;
        self.see_which_life(incarnation)?;
        // Nothing comes by itself yet, so nothing waits for a long past.
        self.catch_up()?;
        backoff.reset();
        let mut subscribed = Vec::new();
        for History { topic, .. } in self.histories.iter() {
            let timed = Dict::from([("_sequence", true)]);
            let id = self
                .client
                .subscribe(&topic.uri, topic.match_policy, timed)?;
            subscribed.push((id, topic.uri.clone()));
        }
        // What came in between. From here on events come by themselves.
        self.catch_up()?;
        while !self.stop.is_set() {
            match self.client.receive(LOOK)? {
                Some(Message::Event(event)) => self.live(event, &subscribed)?,
                Some(Message::Goodbye(goodbye)) => {
                    return Err(ClientError::Closed(goodbye.reason.to_string()).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds the subscriptions; `known` if they were there in an earlier connection.
    fn look_up(&mut self, known: bool) -> Result<(), End> {
        for History { topic, .. } in self.histories.iter() {
            let options = Dict::from([("match", topic.match_policy.name())]);
            let args = [Value::from(topic.uri.clone()), Value::Map(options)];
            let found = self.client.call(LOOKUP, &args, None)?;
            let found = found.args_value().map_err(failed)?.into_iter().next();
            let id = found
                .and_then(|id| id.as_u64())
                .and_then(SubscriptionId::new);
            let Some(id) = id else {
                let why = format!("the node has no history of {}", name(topic));
                return Err(match known {
                    true => End::Broke(ClientError::Protocol(why)),
                    false => End::Failed(failed(why)),
                });
            };
            self.ids.push(id);
        }
        Ok(())
    }

    /// A history that was begun anew has other events under the same sequences.
    fn see_which_life(&mut self, known: &mut Option<String>) -> Result<(), End> {
        let Some(id) = self.ids.first() else {
            return Ok(());
        };
        let info = match self
            .client
            .call(HISTORY_INFO, &[Value::from(id.get())], None)
        {
            Ok(info) => info.args_value().map_err(failed)?.into_iter().next(),
            // Not for us to know.
            Err(ClientError::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(Value::Map(info)) = info else {
            return Ok(());
        };
        let now = info.get("incarnation").and_then(Value::as_str);
        let now = now.map(str::to_owned);
        if known.is_some() && *known != now {
            let text = "the history was begun anew: what follows is from its beginning";
            self.sink.say(text)?;
            self.sink.missing = true;
            self.sink.last = Sequence::ZERO;
            self.histories.iter_mut().for_each(|it| it.begun = false);
        }
        *known = now;
        Ok(())
    }

    /// Writes all that the histories have, in the realm's order.
    fn catch_up(&mut self) -> Result<(), End> {
        while !self.stop.is_set() {
            // All that are at or before this one are there when the pages are asked for.
            let newest = self.newest()?;
            if newest <= self.sink.last {
                return Ok(());
            }
            self.pages(newest)?;
        }
        Ok(())
    }

    fn newest(&mut self) -> Result<Sequence, End> {
        let mut newest = Sequence::ZERO;
        for id in self.ids.clone() {
            let kwargs = Dict::from([
                ("reverse", Value::from(true)),
                ("limit", Value::from(1_u64)),
            ]);
            let page = self.ask(id, &kwargs)?;
            newest = page
                .iter()
                .map(|it| it.sequence)
                .fold(newest, Sequence::max);
        }
        Ok(newest)
    }

    /// Writes a page of every history, as far as all of them are read and up to `newest`.
    fn pages(&mut self, newest: Sequence) -> Result<(), End> {
        let (mut events, mut end) = (Vec::new(), newest);
        for (at, id) in self.ids.clone().into_iter().enumerate() {
            let page = self.page(at, id)?;
            // An empty page is the last one; any other may have been cut.
            if let Some(last) = page.last().filter(|last| last.sequence < newest) {
                end = end.min(last.sequence);
            }
            events.extend(page.into_iter().map(|record| (at, record)));
        }
        events.sort_by_key(|(_, record)| record.sequence);
        for (at, record) in events {
            if record.sequence > end {
                break;
            }
            self.sink.put(&record)?;
            if let Some(history) = self.histories.get_mut(at) {
                history.begun = true;
            }
        }
        // Whatever is not visible in between is done with as well.
        self.sink.last = self.sink.last.max(end);
        Ok(())
    }

    /// What comes after the last event in one history.
    fn page(&mut self, at: usize, id: SubscriptionId) -> Result<Vec<Record>, End> {
        let limit = ("limit", Value::from(PAGE));
        let last = self.sink.last;
        if let Some(history) = self.histories.get_mut(at).filter(|it| it.begun) {
            let after = Dict::from([limit.clone(), ("after_sequence", last.get().into())]);
            let answer = self
                .client
                .call(GET_EVENTS, &[id.get().into()], Some(&after));
            match answer {
                Ok(answer) => return Ok(answered(&answer).map_err(failed)?),
                Err(ClientError::Refused { error, .. })
                    if error == error_uri::NO_SUCH_PUBLICATION =>
                {
                    // Once: from its oldest event on nothing more is missed.
                    history.begun = false;
                    self.sink.misses(&name(&history.topic))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let from = Dict::from([limit, ("from_time", BEGINNING.into())]);
        let mut page = self.ask(id, &from)?;
        page.retain(|record| record.sequence > last);
        Ok(page)
    }

    fn ask(&mut self, id: SubscriptionId, kwargs: &Dict) -> Result<Vec<Record>, End> {
        let answer = self
            .client
            .call(GET_EVENTS, &[id.get().into()], Some(kwargs))?;
        let records = answered(&answer).map_err(failed)?;
        Ok(records)
    }

    /// An event that came by itself.
    fn live(
        &mut self,
        event: Event,
        subscribed: &[(SubscriptionId, ByteString)],
    ) -> Result<(), End> {
        let Some((_, uri)) = subscribed.iter().find(|(id, _)| *id == event.subscription) else {
            return Ok(());
        };
        let number = |key: &str| event.details.extra.get(key).and_then(Value::as_u64);
        // What has no place in the history is not of it.
        let Some(sequence) = number("_sequence").map(Sequence::new) else {
            return Ok(());
        };
        let last = self.sink.last;
        if sequence <= last {
            return Ok(());
        }
        if number("_previous").is_some_and(|previous| previous > last.get()) {
            // Something was left out on the way; the history has it, if it is for us.
            return self.catch_up();
        }
        let record = record(event, uri, sequence);
        self.sink.put(&record).map_err(End::from)
    }
}

fn name(topic: &Filter) -> String {
    format!("{} `{}`", topic.match_policy.name(), topic.uri)
}

/// A live event as the history has it.
fn record(event: Event, uri: &ByteString, sequence: Sequence) -> Record {
    let Event {
        publication,
        details,
        payload,
        ..
    } = event;
    let EventDetails {
        topic,
        publisher,
        publisher_authid,
        publisher_authrole,
        extra,
        ..
    } = *details;
    let time = extra.get("_timestamp").and_then(Value::as_str);
    let time = time.and_then(|time| parse_time(time).ok());
    let publisher_authrole = publisher_authrole.unwrap_or_default();
    Record {
        sequence,
        time: time.unwrap_or(Timestamp::ZERO),
        publication,
        topic: topic.unwrap_or_else(|| uri.clone()),
        publisher: publisher.map_or(0, |session| session.get()),
        exclude_me: true,
        disclosed: publisher_authid.map(|authid| Identity {
            authid,
            authrole: publisher_authrole,
        }),
        receivers: ReceiverLists::default(),
        details: further_details(&extra),
        payload,
    }
}
