//! What sessions cost by being there: resident memory per idle session, and joins per second.

use super::fault::Fault;
use super::session::Session;
use super::stopwatch::{Outcome, Phase, Stopwatch, Timing};
use super::target::Target;
use crate::meter::Meter;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients that join at the same time.
const JOINERS: usize = 4;

/// Joins `sessions` sessions and divides what the server's memory grew by their number.
pub(crate) fn idle(target: &Target, sessions: u64, server: Option<u32>) -> Result<Outcome, Fault> {
    let meter = server.map(Meter::of);
    // The first sessions make the server allocate what all share.
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(Session::join(target)?);
    }
    let before = meter.as_ref().and_then(Meter::settled_kib);
    let begun = Instant::now();
    for _ in 0..sessions {
        held.push(Session::join(target)?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let grown = meter
        .as_ref()
        .and_then(Meter::settled_kib)
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    Ok(Outcome {
        count: sessions,
        seconds,
        rate: sessions as f64 / seconds,
        kib_per_session: grown.map(|kib| kib as f64 / sessions as f64),
        ..Outcome::default()
    })
}

/// Joins and leaves as fast as a few clients can.
pub(crate) fn joins(
    target: &Target,
    timing: Timing,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let joined = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let mut stopwatch = Stopwatch::start(timing, server);
    thread::scope(|scope| {
        let join = || {
            while !over.load(Ordering::Relaxed) {
                Session::join(target)?.leave()?;
                joined.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let joiners: Vec<_> = (0..JOINERS).map(|_| scope.spawn(join)).collect();
        while stopwatch.tick(joined.load(Ordering::Relaxed)) == Phase::Running
            && !joiners.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            thread::park_timeout(Duration::from_millis(2));
        }
        over.store(true, Ordering::Relaxed);
        joiners.into_iter().try_for_each(|joiner| {
            joiner
                .join()
                .unwrap_or_else(|_| Err(Fault::Handshake("a client died".to_owned())))
        })
    })?;
    Ok(stopwatch.outcome())
}
