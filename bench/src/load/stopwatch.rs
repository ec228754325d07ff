//! When a run measures, and what it comes to.

use super::target::{PATIENCE, Transport};
use crate::meter::Meter;
use crate::wire::Format;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long a run warms up and measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Not measured: caches, buffers and TCP windows grow.
    pub(crate) warmup: Duration,
    /// Measured.
    pub(crate) measure: Duration,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Warming up or measuring: load goes on.
    Running,
    /// Measured: what is under way is still to arrive.
    Over,
}

/// Counts and CPU times at the two ends of the measurement.
pub(crate) struct Stopwatch {
    timing: Timing,
    server: Option<Meter>,
    own: Meter,
    begun: Instant,
    first: Option<Reading>,
    last: Option<Reading>,
    seen: u64,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    count: u64,
    server_ns: Option<u64>,
    own_ns: Option<u64>,
}

/// One line of results.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Events, acknowledgements, results, pages, joins or sessions in the measured time.
    pub(crate) count: u64,
    /// Measured time.
    pub(crate) seconds: f64,
    /// Count per second.
    pub(crate) rate: f64,
    /// CPU time of the server, all its processes, per counted thing in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_ns: Option<f64>,
    /// CPU time of the generator per counted thing in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator_cpu_ns: Option<f64>,
    /// Half of the events took at most this long, in µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    /// 99 of 100 took at most this long, in µs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// Resident memory of the server per idle session in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kib_per_session: Option<f64>,
    /// How far the server's resident memory grew meanwhile, at most, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_growth_kib: Option<f64>,
}

/// A result as printed: what was measured, and how it went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// Mode of the run.
    pub(crate) mode: String,
    /// Protocol.
    pub(crate) transport: Transport,
    /// Serializer, meaningless for NATS.
    pub(crate) serializer: Format,
    /// Numbers; absent when the run failed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// Why the run does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Stopwatch {
    /// Starts the warm-up; `server` is the process whose CPU time is read.
    pub(crate) fn start(timing: Timing, server: Option<u32>) -> Self {
        let (server, own) = (server.map(Meter::of), Meter::own());
        Self {
            timing,
            server,
            own,
            begun: Instant::now(),
            first: None,
            last: None,
            seen: 0,
        }
    }

    /// Takes a reading of `count` when it is due. Called once a turn of a driver's loop.
    ///
    /// A slow server answers in lumps of thousands: both readings wait for the next arrival, so
    /// that whole lumps are measured.
    #[inline]
    pub(crate) fn tick(&mut self, count: u64) -> Phase {
        let arrived = count != self.seen;
        self.seen = count;
        let due = |since: Instant, after: Duration| {
            let over = since.elapsed().checked_sub(after);
            over.is_some_and(|over| arrived || over >= PATIENCE)
        };
        match (self.first, self.last) {
            (None, _) if due(self.begun, self.timing.warmup) => self.begin(count),
            // Counted from the first reading, however late that was.
            (Some(first), None) if due(first.at, self.timing.measure) => self.end(count),
            _ => {}
        }
        if self.last.is_some() {
            Phase::Over
        } else {
            Phase::Running
        }
    }

    /// The measurement begins now.
    pub(crate) fn begin(&mut self, count: u64) {
        self.first = Some(self.read(count));
    }

    /// The measurement ends now.
    pub(crate) fn end(&mut self, count: u64) {
        self.last = Some(self.read(count));
    }

    /// Numbers between the two readings.
    pub(crate) fn outcome(&self) -> Outcome {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Outcome::default();
        };
        let count = last.count - first.count;
        let seconds = (last.at - first.at).as_secs_f64();
        let each = |from: Option<u64>, to: Option<u64>| {
            Some(to?.saturating_sub(from?) as f64 / count.max(1) as f64)
        };
        Outcome {
            count,
            seconds,
            rate: tenths(count as f64 / seconds),
            server_cpu_ns: each(first.server_ns, last.server_ns).map(tenths),
            generator_cpu_ns: each(first.own_ns, last.own_ns).map(tenths),
            ..Outcome::default()
        }
    }

    fn read(&self, count: u64) -> Reading {
        Reading {
            at: Instant::now(),
            count,
            server_ns: self.server.as_ref().and_then(Meter::cpu_ns),
            own_ns: self.own.cpu_ns(),
        }
    }
}

/// No measurement here is worth more than one decimal place.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn started(warmup: Duration, measure: Duration) -> Stopwatch {
        Stopwatch::start(Timing { warmup, measure }, None)
    }

    #[test]
    fn a_measurement_lasts_from_its_first_reading_on() {
        let mut stopwatch = started(Duration::ZERO, HOUR);
        for count in 1..5 {
            assert_eq!(stopwatch.tick(count), Phase::Running);
        }
        assert_eq!(stopwatch.first.map(|first| first.count), Some(1));
    }

    #[test]
    fn both_readings_wait_for_an_arrival() {
        let mut stopwatch = started(Duration::ZERO, Duration::ZERO);
        assert_eq!(stopwatch.tick(0), Phase::Running);
        assert_eq!(stopwatch.tick(10), Phase::Running);
        assert_eq!(stopwatch.tick(10), Phase::Running);
        assert_eq!(stopwatch.tick(25), Phase::Over);
        assert_eq!(stopwatch.outcome().count, 15);
    }
}
