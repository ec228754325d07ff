//! Time from just before an event is written to just after it is read, at a fixed rate that no
//! server finds hard. Publisher and receiver are threads of their own, each asleep in between.

use super::dialect::{Arrival, Dialect};
use super::fault::Fault;
use super::ledger::Expectation;
use super::stopwatch::{Outcome, Stopwatch, Timing};
use super::template::Template;
use crate::socket::Socket;
use crate::stamp::{self, Stamp};
use crate::stats::percentile;
use crate::wire::READ;
use rustix::thread::ClockId;
use rustix::time::Timespec;
use std::io;
use std::thread;

/// Events per second.
const RATE: u64 = 1_000;
const SECOND: u64 = 1_000_000_000;

/// Sends at `RATE` over the publisher's blocking socket while reading the receiver's.
pub(crate) fn run<D: Dialect>(
    dialect: D,
    (publisher, template): (Socket, Template),
    receiver: Socket,
    timing: Timing,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let events = |time: std::time::Duration| (time.as_secs_f64() * RATE as f64) as u64;
    let warm = events(timing.warmup).max(1);
    let total = warm + events(timing.measure).max(1);
    let sender = thread::spawn(move || send(publisher, template, total));
    let received = receive(
        dialect,
        receiver,
        warm,
        total,
        Stopwatch::start(timing, server),
    );
    let sent = sender
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the publisher died")));
    let (mut times, stopwatch) = received?;
    sent?;
    times.sort_unstable();
    let microseconds = |share| percentile(&times, share).map(|time| time as f64 / 1_000.0);
    let (p50_us, p99_us) = (microseconds(0.5), microseconds(0.99));
    // The sender's thread has ended with its CPU time: the generator's would be wrong.
    Ok(Outcome {
        p50_us,
        p99_us,
        generator_cpu_ns: None,
        ..stopwatch.outcome()
    })
}

fn send(mut socket: Socket, mut template: Template, total: u64) -> io::Result<()> {
    let begun = now();
    for counter in 0..total {
        sleep_until(begun + counter * SECOND / RATE);
        socket.send(template.fill_timed(counter, now()))?;
    }
    Ok(())
}

/// Times in ns of the events from number `warm` on.
fn receive<D: Dialect>(
    dialect: D,
    mut socket: Socket,
    warm: u64,
    total: u64,
    mut stopwatch: Stopwatch,
) -> Result<(Vec<u64>, Stopwatch), Fault> {
    let mut times = Vec::with_capacity((total - warm) as usize);
    let mut expectation = Expectation::new(0, 1, 0, 1);
    let mut input = vec![0; READ];
    while expectation.received() < total {
        let filled = socket.read(&mut input)?;
        let read_at = now();
        let mut left = input.get(..filled).unwrap_or_default();
        while let Some((used, arrival)) = dialect.next(left)? {
            match arrival {
                Arrival::Event(payload) => {
                    let stamps = Stamp::of(payload).zip(stamp::time_of(payload));
                    let stamps = stamps.ok_or_else(|| Fault::malformed("payload", payload))?;
                    expectation.receive(stamps.0)?;
                    if stamps.0.counter == warm {
                        stopwatch.begin(warm);
                    }
                    if stamps.0.counter >= warm {
                        times.push(read_at.saturating_sub(stamps.1));
                    }
                }
                Arrival::Ping(content) => dialect.pong(content, &mut socket.out),
                Arrival::Other => {}
                _ => return Err(Fault::malformed("event", left)),
            }
            left = left.get(used..).unwrap_or_default();
        }
        socket.keep(left);
        if !socket.is_flushed() {
            socket.flush()?;
        }
    }
    stopwatch.end(total);
    Ok((times, stopwatch))
}

/// Monotonic time in ns.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

fn sleep_until(time: u64) {
    let (tv_sec, tv_nsec) = ((time / SECOND) as i64, (time % SECOND) as i64);
    // Interrupted sleeps only make one event early.
    let _ =
        rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &Timespec { tv_sec, tv_nsec });
}
