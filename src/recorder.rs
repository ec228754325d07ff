//! `rewamp record`: a client of any WAMP router that keeps what it publishes, and answers for it
//! there. One thread listens and writes; another one answers. Knows no router of ours but the
//! way in which ours answers questions about a history.

mod book; //    what is kept
mod answers; // who asks for it

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use log::{error, info, warn};
use rewamp_actors::clock::Clock;
use rewamp_actors::meta::{Asked, Asking, Named, RECORDED, Recorded};
use rewamp_archive::time_text;
use rewamp_client::{Client, ClientError, Login, Trust, Url};
use rewamp_history::{OpenError, StoreConfig, StoreError, Timestamp};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RegistrationId, SubscriptionId};
use rewamp_wamp::message::{Invocation, Message};
use rewamp_wamp::uri::{MatchPolicy, is_restricted};
use rewamp_wamp::value::{Dict, Value};

use self::answers::{Answers, Question};
use self::book::Book;
use crate::cli::access::join_unless;
use crate::cli::stop::{Backoff, Stop};

/// How long the connection is waited at while there is something else to do.
const SHORT: Duration = Duration::from_millis(1);

/// And while there is not: as long as an end may stay unnoticed.
const LONG: Duration = Duration::from_millis(100);

/// How long an event waits for others to share its transaction.
const TOGETHER: Duration = Duration::from_millis(20);

/// How often it is said what there is, and the store told what time it is.
const REPORT: Duration = Duration::from_secs(60);

/// How long before procedures that could not be registered are tried again: the router may not
/// have noticed yet that an earlier session of ours is gone.
const REGISTER_AGAIN: Duration = Duration::from_secs(10);

/// How long before a disk that does not take events is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What is recorded, from where to where.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The router.
    pub(crate) url: Url,
    /// The realm there, and as whom.
    pub(crate) login: Login,
    /// Whose certificates count.
    pub(crate) trust: Trust,
    /// What is kept and where; its filters are what is subscribed to.
    pub(crate) store: StoreConfig,
    /// Whether there was a store already: then something may be missing since.
    pub(crate) goes_on: bool,
}

/// Why a recorder does not record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store did not end well.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The router will not have us.
    #[error("{url}: {error}")]
    Router {
        /// Which one.
        url: Url,
        /// What it said.
        error: Box<ClientError>,
    },
    /// No thread.
    #[error("no thread begins: {0}")]
    Thread(#[from] io::Error),
}

/// Records until it is told to stop.
///
/// # Errors
/// [`RecordError`]; a router that has once been joined is tried again for ever instead.
pub(crate) fn run(settings: Settings, stop: Stop) -> Result<(), RecordError> {
    let mut recorder = Recorder::begin(settings, stop)?;
    let mut backoff = Backoff::new();
    let mut joined = false;
    while !recorder.stop.is_set() {
        let ended = match recorder.listen(&mut joined, &mut backoff) {
            Ok(()) => break,
            Err(ended) => ended,
        };
        // What came before the end does not wait for the next beginning.
        recorder.write();
        let url = recorder.settings.url.clone();
        if !joined && is_final(&ended) {
            recorder.book.close()?;
            let error = Box::new(ended);
            return Err(RecordError::Router { url, error });
        }
        let wait = backoff.next();
        warn!("{url}: {ended}; tried again in {} ms", wait.as_millis());
        if joined && recorder.missing.is_none() {
            let since = format!("from {} on", time_text(recorder.now()));
            recorder.missing = Some(format!("{since}: {ended}"));
        }
        recorder.stop.wait(wait);
    }
    recorder.end()
}

/// Whether trying again would bring the same.
const fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Aborted { .. }
        | ClientError::Login(_)
        | ClientError::Refused { .. }
        | ClientError::NoSubprotocol
        | ClientError::Tls(_) => true,
        ClientError::Unreachable { .. }
        | ClientError::Io(_)
        | ClientError::WebSocket(_)
        | ClientError::Protocol(_)
        | ClientError::Silent
        | ClientError::Closed(_)
        | ClientError::Flooded => false,
    }
}

/// See the head of this file.
struct Recorder {
    settings: Settings,
    book: Book,
    recorded: Arc<Recorded>,
    answers: Answers,
    clock: Clock,
    stop: Stop,
    /// Connections that have been made.
    connection: u64,
    /// Since when nobody listens, and why: noted when somebody listens again.
    missing: Option<String>,
    /// The disk does not take events.
    failing: bool,
    reported: Instant,
}

/// A session of ours with the router.
struct Session {
    client: Client,
    subscriptions: Vec<(SubscriptionId, ByteString, MatchPolicy)>,
    procedures: Vec<(RegistrationId, Asked)>,
    register_at: Option<Instant>,
}

impl Recorder {
    fn begin(settings: Settings, stop: Stop) -> Result<Self, RecordError> {
        let book = Book::open(settings.store.clone())?;
        let last = match book.last_time() {
            Timestamp::ZERO => "the beginning".to_owned(),
            time => time_text(time),
        };
        let missing = settings
            .goes_on
            .then(|| format!("after {last}: the recorder did not run"));
        let recorded = Recorded::new(
            Arc::clone(book.store()),
            &settings.store.realm,
            settings.store.maxsize,
        );
        let recorded = Arc::new(recorded);
        Ok(Self {
            answers: Answers::begin(Arc::clone(&recorded))?,
            settings,
            book,
            recorded,
            clock: Clock::system(),
            stop,
            connection: 0,
            missing,
            failing: false,
            reported: Instant::now(),
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.now())
    }

    /// Joins the router and keeps what it sends until it ends the session; `Ok` if the end was
    /// asked for.
    fn listen(&mut self, joined: &mut bool, backoff: &mut Backoff) -> Result<(), ClientError> {
        let Settings {
            url, login, trust, ..
        } = &self.settings;
        let Some(client) = join_unless(&self.stop, url, login.clone(), trust) else {
            return Ok(());
        };
        let mut session = Session {
            client: client?,
            subscriptions: Vec::new(),
            procedures: Vec::new(),
            register_at: Some(Instant::now()),
        };
        for filter in self.settings.store.filters.clone() {
            let id = subscribe(&mut session.client, &filter.uri, filter.match_policy)?;
            let subscription = (id, filter.uri, filter.match_policy);
            session.subscriptions.push(subscription);
        }
        self.connection += 1;
        *joined = true;
        backoff.reset();
        let url = &self.settings.url;
        info!(session = session.client.session().get(); "recording from {url}");
        self.note_what_is_missing();
        while !self.stop.is_set() {
            self.step(&mut session)?;
        }
        self.write();
        session.client.leave();
        Ok(())
    }

    fn note_what_is_missing(&mut self) {
        let Some(missing) = self.missing.take() else {
            return;
        };
        let why = format!(
            "not recorded {missing}; recording again since {}",
            time_text(self.now())
        );
        warn!("{why}");
        while let Err(error) = self.book.gap(why.clone()) {
            self.cannot_write(&error);
            if self.stop.wait(WRITE_AGAIN) {
                return;
            }
        }
        self.failing = false;
    }

    /// Takes what has come, and does what is due.
    fn step(&mut self, session: &mut Session) -> Result<(), ClientError> {
        let busy = self.book.waiting_since().is_some() || self.answers.are_awaited();
        let message = session.client.receive(if busy { SHORT } else { LONG })?;
        let nothing_came = message.is_none();
        match message {
            Some(Message::Event(event)) => {
                let mut known = session.subscriptions.iter();
                if let Some((_, uri, _)) = known.find(|(id, ..)| *id == event.subscription) {
                    let now = self.now();
                    self.book.add(event, uri, now);
                }
            }
            Some(Message::Invocation(invocation)) => {
                // Whoever has seen an event finds it in the answer.
                self.write();
                self.answer(session, &invocation)?;
            }
            Some(Message::Goodbye(goodbye)) => {
                self.write();
                return Err(ClientError::Closed(goodbye.reason.to_string()));
            }
            _ => {}
        }
        let waited = self.book.waiting_since();
        let due = waited.is_some_and(|since| nothing_came || since.elapsed() >= TOGETHER);
        if due || self.book.is_full() {
            self.write();
        }
        self.hand_answers_out(session)?;
        self.see_to_procedures(session)?;
        self.report();
        Ok(())
    }

    /// Writes what waits. While the disk does not take it nothing more is read, so that nothing
    /// grows; the router sees to the rest.
    fn write(&mut self) {
        while let Err(error) = self.book.write() {
            self.cannot_write(&error);
            if self.stop.wait(WRITE_AGAIN) {
                return;
            }
        }
        if std::mem::take(&mut self.failing) {
            info!("the store takes events again");
        }
    }

    fn cannot_write(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            error!("{error}; tried again until it works");
        }
    }

    fn answer(
        &mut self,
        session: &mut Session,
        invocation: &Invocation,
    ) -> Result<(), ClientError> {
        let mut known = session.procedures.iter();
        let Some((_, asked)) = known.find(|(id, _)| *id == invocation.registration) else {
            return Ok(());
        };
        let serializer = session.client.serializer();
        let request = invocation.request;
        let refused = match self.recorded.read(*asked, &invocation.payload) {
            Err(refused) => refused,
            Ok(asking) => match self.subscription(session, &asking)? {
                None => self.recorded.unknown(&asking, serializer),
                Some(subscription) => {
                    let question = Question {
                        connection: self.connection,
                        request,
                        asking,
                        subscription,
                        serializer,
                    };
                    match self.answers.ask(question) {
                        Ok(()) => return Ok(()),
                        Err(refused) => refused,
                    }
                }
            },
        };
        session.client.refuse(request, refused.0, refused.1)
    }

    /// Which subscription a call is about: one of ours by the router's ID of it, one that the
    /// store knows, or one that the router knows; where none is named, the only one that there is.
    fn subscription(
        &self,
        session: &mut Session,
        asking: &Asking,
    ) -> Result<Option<(SubscriptionId, ByteString, MatchPolicy)>, ClientError> {
        let store = self.book.store();
        let number = match &asking.named {
            Named::Uri(uri, policy) => {
                let id = store.subscription_id(uri, *policy);
                return Ok(Some((id, uri.clone(), *policy)));
            }
            Named::Nothing => {
                return Ok(match &*session.subscriptions {
                    [only] => Some(only.clone()),
                    _ => None,
                });
            }
            Named::Id(number) => *number,
        };
        let Some(id) = SubscriptionId::new(number) else {
            return Ok(None);
        };
        if let Some(ours) = session.subscriptions.iter().find(|(of, ..)| *of == id) {
            return Ok(Some(ours.clone()));
        }
        if let Some((uri, policy)) = store.find_subscription(id) {
            return Ok(Some((id, uri, policy)));
        }
        let get = "wamp.subscription.get";
        let found = match session.client.call(get, &[Value::from(number)], None) {
            Ok(found) => found.args_value().ok(),
            // It does not know it either, or does not tell us.
            Err(ClientError::Refused { .. }) => None,
            Err(error) => return Err(error),
        };
        let found = found.and_then(|args| args.into_iter().next());
        let Some(Value::Map(found)) = found else {
            return Ok(None);
        };
        let text = |key: &str| found.get(key).and_then(Value::as_str);
        let policy = text("match").and_then(MatchPolicy::from_name);
        let uri = text("uri").filter(|uri| !is_restricted(uri));
        Ok(uri
            .zip(policy)
            .map(|(uri, policy)| (id, uri.into(), policy)))
    }

    fn hand_answers_out(&mut self, session: &mut Session) -> Result<(), ClientError> {
        while let Some(answer) = self.answers.next() {
            if answer.connection != self.connection {
                continue;
            }
            match answer.answer {
                Ok(payload) => session.client.give(answer.request, payload)?,
                Err((uri, payload)) => session.client.refuse(answer.request, uri, payload)?,
            }
        }
        Ok(())
    }

    /// Registers what is not registered yet.
    fn see_to_procedures(&self, session: &mut Session) -> Result<(), ClientError> {
        if session.register_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        session.register_at = None;
        for (procedure, asked) in RECORDED {
            if session.procedures.iter().any(|(_, known)| *known == asked) {
                continue;
            }
            match session.client.register(procedure) {
                Ok(id) => session.procedures.push((id, asked)),
                Err(ClientError::Refused { error, .. }) => {
                    session.register_at = Some(Instant::now() + REGISTER_AGAIN);
                    warn!("`{procedure}` is not registered: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        if session.register_at.is_none() {
            info!(
                "`{}` answers",
                RECORDED.map(|(name, _)| name).join("` and `")
            );
        }
        Ok(())
    }

    fn report(&mut self) {
        if self.reported.elapsed() < REPORT {
            return;
        }
        self.reported = Instant::now();
        let store = self.book.store();
        store.at(self.now());
        let usage = store.usage();
        info!(
            recorded = self.book.written, events = usage.events, bytes = usage.bytes,
            gaps = store.lost().len(); "newest event: {}", time_text(self.book.last_time())
        );
    }

    fn end(mut self) -> Result<(), RecordError> {
        self.book.close()?;
        info!(recorded = self.book.written; "the recorder has stopped");
        Ok(())
    }
}

/// Subscribes, with the time and place of every event where the router tells them.
fn subscribe(
    client: &mut Client,
    uri: &str,
    policy: MatchPolicy,
) -> Result<SubscriptionId, ClientError> {
    let timed = Dict::from([("_sequence", true)]);
    match client.subscribe(uri, policy, timed) {
        // A router that takes no options that it does not know.
        Err(ClientError::Refused { error, .. }) if error != error_uri::NOT_AUTHORIZED => {
            client.subscribe(uri, policy, Dict::new())
        }
        answered => answered,
    }
}
