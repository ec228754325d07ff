//! A stored topic that is filled without acknowledgements and read back whole by a replay: how fast
//! a history takes events, how fast it gives them back, and that it lost none.
//!
//! Needs Rewamp: nobody else has the option `_replay`.

use super::dialect::{Arrival, Dialect as _};
use super::fault::Fault;
use super::ledger::Expectation;
use super::pages::{GET_EVENTS, STORED, check_newest};
use super::session::Session;
use super::stopwatch::{Outcome, Stopwatch, Timing};
use super::target::{PATIENCE, Target};
use super::template::{BATCH, Template};
use crate::meter::Meter;
use crate::poller::Poller;
use crate::socket::{Flushed, Socket};
use crate::stamp::{self, Stamp};
use crate::wire::{READ, Wire};
use serde_json::{Value, json};
use std::time::Duration;

/// Bytes of the arguments of an event, where nothing else is asked for.
const SIZE: usize = 200;
/// Newest events that are looked at when all have been published.
const NEWEST: u64 = 20;
/// These runs begin and end with their events.
const NO_TIMES: Timing = Timing {
    warmup: Duration::ZERO,
    measure: Duration::ZERO,
};

/// What one run publishes, and where that begins in the history.
struct Course<'a> {
    target: &'a Target,
    topic: String,
    events: u64,
    size: usize,
    /// The sequence of the event before the first.
    before: u64,
    subscription: u64,
    asker: Session,
}

/// Publishes `events` events of `size` bytes. The measurement ends when the last is acknowledged
/// (in a durable store everything before it is on disk then) and the history shows it; afterwards
/// every event has to be there.
pub(crate) fn store(
    target: &Target,
    events: u64,
    size: Option<usize>,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let mut course = Course::begin(target, events, size, false)?;
    let stopwatch = course.fill(server)?;
    course.read(None)?;
    Ok(stopwatch.outcome())
}

/// Fills the history in the same way unless it is `filled`, reads all of it once so that it is warm,
/// and measures one subscriber that reads it again.
pub(crate) fn replay(
    target: &Target,
    events: u64,
    size: Option<usize>,
    filled: bool,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let mut course = Course::begin(target, events, size, filled)?;
    if !filled {
        course.fill(None)?;
    }
    let meter = server.map(Meter::of);
    // What a start or the publications left to do behind them is not the replay's.
    let before = meter.as_ref().and_then(|meter| {
        let settled = meter.settled_kib()?;
        meter.reset_peak()?;
        Some(settled)
    });
    course.read(None)?;
    let stopwatch = course.read(server)?;
    let peak = meter.as_ref().and_then(Meter::peak_kib);
    let grown = peak
        .zip(before)
        .map(|(peak, before)| peak.saturating_sub(before));
    Ok(Outcome {
        peak_growth_kib: grown.map(|kib| kib as f64),
        ..stopwatch.outcome()
    })
}

impl<'a> Course<'a> {
    /// An event of another publisher is the place after which the replay begins; where the history
    /// is `filled` already, the one before the newest `events`.
    fn begin(
        target: &'a Target,
        events: u64,
        size: Option<usize>,
        filled: bool,
    ) -> Result<Self, Fault> {
        let topic = format!("{STORED}replay");
        let mut asker = Session::join(target)?;
        if !filled {
            asker.publish(&topic, &payload(1, 0))?;
        }
        let found = asker.call(
            "wamp.subscription.lookup",
            json!([STORED, {"match": "prefix"}]),
        )?;
        let subscription = number(target, &found, "/3/0")?;
        let newest = asker.call(GET_EVENTS, json!([subscription, 1]))?;
        let newest = number(target, &newest, "/3/0/0/sequence")?;
        let behind = if filled { events.max(1) } else { 0 };
        Ok(Self {
            target,
            topic,
            events: events.max(1),
            size: size.unwrap_or(SIZE),
            before: newest.saturating_sub(behind),
            subscription,
            asker,
        })
    }

    fn fill(&mut self, server: Option<u32>) -> Result<Stopwatch, Fault> {
        let mut session = Session::join(self.target)?;
        let topics = [self.topic.clone()];
        let mut template = Template::publish(self.target.wire, &topics, false, Some(self.size));
        let mut stopwatch = Stopwatch::start(NO_TIMES, server);
        stopwatch.begin(0);
        let last = self.events - 1;
        for first in (0..last).step_by(BATCH) {
            let count = (last - first).min(BATCH as u64);
            session.send_framed(template.fill(0, first, count as usize))?;
        }
        session.publish(&self.topic, &payload(0, last))?;
        let newest = self.events.min(NEWEST);
        check_newest(&mut self.asker, self.subscription, newest, self.events)?;
        stopwatch.end(self.events);
        session.leave()?;
        Ok(stopwatch)
    }

    /// Reads every event by a replay: each has to come once and in order.
    fn read(&self, server: Option<u32>) -> Result<Stopwatch, Fault> {
        let mut session = Session::join(self.target)?;
        let options = json!({"match": "prefix", "_replay": {"after_sequence": self.before}});
        let mut stopwatch = Stopwatch::start(NO_TIMES, server);
        stopwatch.begin(0);
        session.subscribe_with(STORED, &options)?;
        let mut socket = session.into_socket(false)?;
        let mut poller = Poller::new()?;
        poller.watch(&socket, 0)?;
        let (mut input, mut ready) = (vec![0; READ], Vec::new());
        let mut expectation = Expectation::new(0, 1, 0, 1);
        // Some may have come with the answer to SUBSCRIBE: the first read does not wait.
        loop {
            receive(self.target.wire, &mut socket, &mut input, &mut expectation)?;
            if expectation.received() == self.events {
                stopwatch.end(self.events);
                return Ok(stopwatch);
            }
            if !socket.is_flushed()
                && let Flushed::Watch(writable) = socket.flush()?
            {
                poller.watch_writable(&socket, 0, writable)?;
            }
            poller.wait(Some(PATIENCE), &mut ready)?;
            if ready.is_empty() {
                return Err(Fault::Missing {
                    what: "events",
                    missing: self.events - expectation.received(),
                    seconds: PATIENCE.as_secs(),
                });
            }
        }
    }
}

/// One read, and what it brought.
fn receive(
    wire: Wire,
    socket: &mut Socket,
    input: &mut Vec<u8>,
    expectation: &mut Expectation,
) -> Result<(), Fault> {
    let filled = socket.read(input)?;
    let mut left = input.get(..filled).unwrap_or_default();
    while let Some((used, arrival)) = wire.next(left)? {
        match arrival {
            Arrival::Event(payload) => {
                let stamp = Stamp::of(payload);
                expectation.receive(stamp.ok_or_else(|| Fault::malformed("payload", payload))?)?;
            }
            Arrival::Ping(content) => wire.pong(content, &mut socket.out),
            Arrival::Other => {}
            _ => return Err(Fault::malformed("event", left)),
        }
        left = left.get(used..).unwrap_or_default();
    }
    socket.keep(left);
    Ok(())
}

fn payload(publisher: u16, counter: u64) -> String {
    let payload = stamp::payload(Stamp { publisher, counter }.word());
    String::from_utf8_lossy(&payload).into_owned()
}

/// The number that is at this place of a RESULT.
fn number(target: &Target, message: &[u8], place: &str) -> Result<u64, Fault> {
    let result = target.wire.format.decode(message).unwrap_or_default();
    let found = result.pointer(place).and_then(Value::as_u64);
    found.ok_or_else(|| Fault::Answer {
        asked: format!("a number at {place}"),
        answer: result.to_string(),
    })
}
