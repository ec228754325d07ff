//! Drives publishers and receivers in one thread: one to one, one to many, many to many, and
//! acknowledged publications with or without a receiver.
//!
//! A publisher never has more under way than its window: events beyond what every receiver has
//! got, or acknowledgements not yet in. So no server has to drop anything, and none is asked to.

use super::dialect::{Arrival, Dialect};
use super::fault::Fault;
use super::ledger::{Expectation, Ledger};
use super::stopwatch::{Outcome, Phase, Stopwatch, Timing};
use super::target::PATIENCE;
use super::template::{BATCH, Template};
use crate::poller::{Poller, Ready};
use crate::socket::{Flushed, Socket};
use crate::stamp::Stamp;
use crate::wire::READ;
use std::time::{Duration, Instant};

/// Sessions that are set up, and how much may be under way.
pub(crate) struct Stage {
    /// Joined publishers with what they send.
    pub(crate) publishers: Vec<(Socket, Template)>,
    /// Subscribed receivers with the index of their topic.
    pub(crate) receivers: Vec<(Socket, usize)>,
    /// Number of topics that publishers go through in turn.
    pub(crate) topics: usize,
    /// Count and bound acknowledgements instead of events.
    pub(crate) acknowledged: bool,
    /// Most publications under way for each publisher.
    pub(crate) window: u64,
}

struct Publisher {
    socket: Socket,
    template: Template,
    sent: u64,
    /// Everything below is known to have reached every receiver.
    confirmed: u64,
    ledger: Ledger,
}

struct Receiver {
    socket: Socket,
    expectation: Expectation,
}

struct Driver<D> {
    dialect: D,
    poller: Poller,
    publishers: Vec<Publisher>,
    receivers: Vec<Receiver>,
    acknowledged: bool,
    window: u64,
    input: Vec<u8>,
    /// Events that receivers have got.
    received: u64,
    /// Publications that have been acknowledged.
    answered: u64,
}

/// Runs the stage for the time given and then until everything sent has arrived; the result and
/// the number of all publications.
pub(crate) fn run<D: Dialect>(
    dialect: D,
    stage: Stage,
    timing: Timing,
    server: Option<u32>,
) -> Result<(Outcome, u64), Fault> {
    let mut driver = Driver::set_up(dialect, stage)?;
    let mut stopwatch = Stopwatch::start(timing, server);
    let mut ready = Vec::new();
    while stopwatch.tick(driver.count()) == Phase::Running {
        let sent_all = driver.publish()?;
        driver.turn(
            if sent_all {
                Duration::ZERO
            } else {
                Duration::from_millis(5)
            },
            &mut ready,
        )?;
    }
    driver.drain(&mut ready)?;
    Ok((stopwatch.outcome(), driver.sent()))
}

impl Publisher {
    fn new((socket, template): (Socket, Template)) -> Self {
        Self {
            socket,
            template,
            sent: 0,
            confirmed: 0,
            ledger: Ledger::default(),
        }
    }
}

impl<D: Dialect> Driver<D> {
    fn set_up(dialect: D, stage: Stage) -> Result<Self, Fault> {
        let senders = stage.publishers.len();
        let publishers: Vec<_> = stage.publishers.into_iter().map(Publisher::new).collect();
        let receivers = stage.receivers.into_iter().enumerate();
        let receivers: Vec<_> = receivers
            .map(|(index, (socket, topic))| {
                let expectation = Expectation::new(index, senders, topic, stage.topics);
                Receiver {
                    socket,
                    expectation,
                }
            })
            .collect();
        let poller = Poller::new()?;
        let sockets = publishers.iter().map(|one| &one.socket);
        for (token, socket) in sockets
            .chain(receivers.iter().map(|one| &one.socket))
            .enumerate()
        {
            poller.watch(socket, token)?;
        }
        Ok(Self {
            dialect,
            poller,
            publishers,
            receivers,
            acknowledged: stage.acknowledged,
            window: stage.window,
            input: vec![0; READ],
            received: 0,
            answered: 0,
        })
    }

    fn count(&self) -> u64 {
        if self.acknowledged {
            self.answered
        } else {
            self.received
        }
    }

    fn sent(&self) -> u64 {
        self.publishers.iter().map(|publisher| publisher.sent).sum()
    }

    /// One batch of every publisher that may send; whether any did.
    fn publish(&mut self) -> Result<bool, Fault> {
        let mut any = false;
        for index in 0..self.publishers.len() {
            let room = self.room(index);
            // A publisher without acknowledgements waits for room for a whole batch, or its
            // batches would get smaller and smaller.
            let worth = if self.acknowledged {
                1
            } else {
                (self.window / 2).min(BATCH as u64)
            };
            let Some(publisher) = self.publishers.get_mut(index) else {
                continue;
            };
            if room < worth.max(1) || !publisher.socket.is_flushed() {
                continue;
            }
            let count = room.min(BATCH as u64);
            let batch = publisher
                .template
                .fill(index as u16, publisher.sent, count as usize);
            publisher.sent += count;
            let flushed = publisher.socket.send(batch)?;
            self.follow(flushed, index)?;
            any = true;
        }
        Ok(any)
    }

    /// Publications that the window still allows.
    fn room(&mut self, index: usize) -> u64 {
        let Some(publisher) = self.publishers.get_mut(index) else {
            return 0;
        };
        let unanswered = if self.acknowledged {
            publisher.sent - publisher.ledger.answered()
        } else {
            0
        };
        if !self.receivers.is_empty()
            && publisher.sent + BATCH as u64 > publisher.confirmed + self.window
        {
            let next = self
                .receivers
                .iter()
                .map(|one| one.expectation.next(index))
                .min();
            publisher.confirmed = next.unwrap_or_default();
        }
        let unconfirmed = if self.receivers.is_empty() {
            0
        } else {
            publisher.sent.saturating_sub(publisher.confirmed)
        };
        self.window.saturating_sub(unanswered.max(unconfirmed))
    }

    /// Waits for sockets and handles what they have.
    fn turn(&mut self, timeout: Duration, ready: &mut Vec<Ready>) -> Result<(), Fault> {
        self.poller.wait(Some(timeout), ready)?;
        for &Ready {
            token,
            readable,
            writable,
        } in ready.iter()
        {
            if writable && let Some(socket) = self.socket(token) {
                let flushed = socket.flush()?;
                self.follow(flushed, token)?;
            }
            if readable {
                let flushed = match token.checked_sub(self.publishers.len()) {
                    None => self.read_publisher(token)?,
                    Some(receiver) => self.read_receiver(receiver)?,
                };
                self.follow(flushed, token)?;
            }
        }
        Ok(())
    }

    fn read_publisher(&mut self, index: usize) -> Result<Flushed, Fault> {
        let Some(publisher) = self.publishers.get_mut(index) else {
            return Ok(Flushed::Unchanged);
        };
        let filled = publisher.socket.read(&mut self.input)?;
        let mut left = self.input.get(..filled).unwrap_or_default();
        while let Some((used, arrival)) = self.dialect.next(left)? {
            match arrival {
                Arrival::Acknowledged(counter) => {
                    publisher.ledger.answer(counter, publisher.sent)?;
                    self.answered += 1;
                }
                Arrival::Ping(content) => self.dialect.pong(content, &mut publisher.socket.out),
                Arrival::Other => {}
                _ => return Err(Fault::malformed("acknowledgement", left)),
            }
            left = left.get(used..).unwrap_or_default();
        }
        publisher.socket.keep(left);
        flush(&mut publisher.socket)
    }

    fn read_receiver(&mut self, index: usize) -> Result<Flushed, Fault> {
        let Some(receiver) = self.receivers.get_mut(index) else {
            return Ok(Flushed::Unchanged);
        };
        let filled = receiver.socket.read(&mut self.input)?;
        let mut left = self.input.get(..filled).unwrap_or_default();
        while let Some((used, arrival)) = self.dialect.next(left)? {
            match arrival {
                Arrival::Event(payload) => {
                    let stamp = Stamp::of(payload);
                    let stamp = stamp.ok_or_else(|| Fault::malformed("payload", payload))?;
                    receiver.expectation.receive(stamp)?;
                    self.received += 1;
                }
                Arrival::Ping(content) => self.dialect.pong(content, &mut receiver.socket.out),
                Arrival::Other => {}
                _ => return Err(Fault::malformed("event", left)),
            }
            left = left.get(used..).unwrap_or_default();
        }
        receiver.socket.keep(left);
        flush(&mut receiver.socket)
    }

    /// Waits until every event and every acknowledgement is in.
    fn drain(&mut self, ready: &mut Vec<Ready>) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            let events = self.missing_events();
            let answers = if self.acknowledged {
                self.sent() - self.answered
            } else {
                0
            };
            if events == 0 && answers == 0 {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                let (what, missing) = if events > 0 {
                    ("events", events)
                } else {
                    ("acknowledgements", answers)
                };
                return Err(Fault::Missing {
                    what,
                    missing,
                    seconds,
                });
            }
            self.turn(Duration::from_millis(5), ready)?;
        }
    }

    fn missing_events(&self) -> u64 {
        let mut missing = 0;
        for receiver in &self.receivers {
            for (index, publisher) in self.publishers.iter().enumerate() {
                // Once complete, the next of every receiver's topic lies beyond the last sent.
                missing += publisher
                    .sent
                    .saturating_sub(receiver.expectation.next(index));
            }
        }
        missing
    }

    fn socket(&mut self, token: usize) -> Option<&mut Socket> {
        match token.checked_sub(self.publishers.len()) {
            None => self.publishers.get_mut(token).map(|one| &mut one.socket),
            Some(receiver) => self.receivers.get_mut(receiver).map(|one| &mut one.socket),
        }
    }

    fn follow(&mut self, flushed: Flushed, token: usize) -> Result<(), Fault> {
        if let Flushed::Watch(writable) = flushed {
            let socket = match token.checked_sub(self.publishers.len()) {
                None => self.publishers.get(token).map(|one| &one.socket),
                Some(receiver) => self.receivers.get(receiver).map(|one| &one.socket),
            };
            if let Some(socket) = socket {
                self.poller.watch_writable(socket, token, writable)?;
            }
        }
        Ok(())
    }
}

fn flush(socket: &mut Socket) -> Result<Flushed, Fault> {
    if socket.is_flushed() {
        Ok(Flushed::Unchanged)
    } else {
        Ok(socket.flush()?)
    }
}
