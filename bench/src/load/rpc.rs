//! Drives one caller and one callee in one thread: a window of calls under way, each answered with
//! its own arguments, each result checked to be that of its call.

use super::dialect::{Arrival, Dialect};
use super::fault::Fault;
use super::ledger::Ledger;
use super::session::MASK;
use super::stopwatch::{Outcome, Phase, Stopwatch, Timing};
use super::target::PATIENCE;
use super::template::{BATCH, Template};
use crate::poller::{Poller, Ready};
use crate::socket::{Flushed, Socket};
use crate::stamp::Stamp;
use crate::wire::{self, Format, READ, Wire};
use std::time::{Duration, Instant};

const CALLER: usize = 0;
const CALLEE: usize = 1;

struct Driver {
    wire: Wire,
    poller: Poller,
    caller: Socket,
    callee: Socket,
    template: Template,
    window: u64,
    sent: u64,
    ledger: Ledger,
    input: Vec<u8>,
    scratch: Vec<u8>,
}

/// Calls for the time given, `window` under way, and then waits for what is left.
pub(crate) fn run(
    wire: Wire,
    (caller, template): (Socket, Template),
    callee: Socket,
    window: u64,
    timing: Timing,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let poller = Poller::new()?;
    poller.watch(&caller, CALLER)?;
    poller.watch(&callee, CALLEE)?;
    let (input, scratch, ledger) = (vec![0; READ], Vec::new(), Ledger::default());
    let mut driver = Driver {
        wire,
        poller,
        caller,
        callee,
        template,
        window,
        sent: 0,
        ledger,
        input,
        scratch,
    };
    let mut stopwatch = Stopwatch::start(timing, server);
    let mut ready = Vec::new();
    while stopwatch.tick(driver.ledger.answered()) == Phase::Running {
        driver.call()?;
        driver.turn(&mut ready)?;
    }
    driver.drain(&mut ready)?;
    Ok(stopwatch.outcome())
}

impl Driver {
    fn call(&mut self) -> Result<(), Fault> {
        let room = self.window - (self.sent - self.ledger.answered());
        let count = room.min(BATCH as u64);
        if count == 0 || !self.caller.is_flushed() {
            return Ok(());
        }
        let batch = self.template.fill(0, self.sent, count as usize);
        self.sent += count;
        let flushed = self.caller.send(batch)?;
        follow(&self.poller, flushed, &self.caller, CALLER)
    }

    /// Waits until every call has its result.
    fn drain(&mut self, ready: &mut Vec<Ready>) -> Result<(), Fault> {
        let begun = Instant::now();
        while self.ledger.answered() < self.sent {
            if begun.elapsed() > PATIENCE {
                let (missing, seconds) = (self.sent - self.ledger.answered(), PATIENCE.as_secs());
                return Err(Fault::Missing {
                    what: "results",
                    missing,
                    seconds,
                });
            }
            self.turn(ready)?;
        }
        Ok(())
    }

    fn turn(&mut self, ready: &mut Vec<Ready>) -> Result<(), Fault> {
        let full = self.sent - self.ledger.answered() == self.window;
        let timeout = if full {
            Duration::from_millis(5)
        } else {
            Duration::ZERO
        };
        self.poller.wait(Some(timeout), ready)?;
        for &Ready {
            token,
            readable,
            writable,
        } in ready.iter()
        {
            let (socket, is_caller) = match token {
                CALLER => (&mut self.caller, true),
                _ => (&mut self.callee, false),
            };
            if writable {
                let flushed = socket.flush()?;
                follow(&self.poller, flushed, socket, token)?;
            }
            if readable && is_caller {
                self.read_results()?;
            } else if readable {
                self.answer_invocations()?;
            }
        }
        Ok(())
    }

    fn read_results(&mut self) -> Result<(), Fault> {
        let filled = self.caller.read(&mut self.input)?;
        let mut left = self.input.get(..filled).unwrap_or_default();
        while let Some((used, arrival)) = self.wire.next(left)? {
            match arrival {
                Arrival::Result { counter, payload } => {
                    // The arguments came back to the call that they were sent with.
                    match Stamp::of(payload) {
                        Some(stamp) if stamp.counter == counter => {}
                        _ => return Err(Fault::malformed("payload of this call", payload)),
                    }
                    self.ledger.answer(counter, self.sent)?;
                }
                Arrival::Ping(content) => self.wire.pong(content, &mut self.caller.out),
                Arrival::Other => {}
                _ => return Err(Fault::malformed("result", left)),
            }
            left = left.get(used..).unwrap_or_default();
        }
        self.caller.keep(left);
        flush(&self.poller, &mut self.caller, CALLER)
    }

    fn answer_invocations(&mut self) -> Result<(), Fault> {
        let filled = self.callee.read(&mut self.input)?;
        let mut left = self.input.get(..filled).unwrap_or_default();
        while let Some((used, arrival)) = self.wire.next(left)? {
            match arrival {
                Arrival::Invocation { request, arguments } => {
                    compose_yield(&mut self.scratch, self.wire.format, request, arguments);
                    wire::push_frame(self.wire, &self.scratch, MASK, &mut self.callee.out);
                }
                Arrival::Ping(content) => self.wire.pong(content, &mut self.callee.out),
                Arrival::Other => {}
                _ => return Err(Fault::malformed("invocation", left)),
            }
            left = left.get(used..).unwrap_or_default();
        }
        self.callee.keep(left);
        flush(&self.poller, &mut self.callee, CALLEE)
    }
}

/// `[70, Request, Options, Arguments]`; `arguments` is the end of the message they came in.
fn compose_yield(out: &mut Vec<u8>, format: Format, request: u64, arguments: &[u8]) {
    out.clear();
    match format {
        Format::Json => {
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(b"[70,");
            out.extend_from_slice(digits.format(request).as_bytes());
            out.extend_from_slice(b",{},");
            out.extend_from_slice(arguments);
        }
        Format::Msgpack => {
            let [a, b, c, d, e, f, g, h] = request.to_be_bytes();
            out.extend_from_slice(&[0x94, 70, 0xcf, a, b, c, d, e, f, g, h, 0x80]);
            out.extend_from_slice(arguments);
        }
    }
}

fn flush(poller: &Poller, socket: &mut Socket, token: usize) -> Result<(), Fault> {
    if socket.is_flushed() {
        return Ok(());
    }
    let flushed = socket.flush()?;
    follow(poller, flushed, socket, token)
}

fn follow(poller: &Poller, flushed: Flushed, socket: &Socket, token: usize) -> Result<(), Fault> {
    if let Flushed::Watch(writable) = flushed {
        poller.watch_writable(socket, token, writable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_yield_carries_the_invocations_arguments() {
        for format in [Format::Json, Format::Msgpack] {
            let mut arguments = format.encode(&json!(["x", 1]));
            if format == Format::Json {
                arguments.push(b']');
            }
            let mut out = Vec::new();
            compose_yield(&mut out, format, 1 << 40, &arguments);
            assert_eq!(
                format.decode(&out),
                Some(json!([70, 1u64 << 40, {}, ["x", 1]]))
            );
        }
    }
}
