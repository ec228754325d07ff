//! Newest pages of a stored topic's history, a few queries under way on one session.
//!
//! The history does not change meanwhile, so every answer has to be the bytes of the first one,
//! whose events are checked one by one.

use super::fault::Fault;
use super::session::{MASK, Session, message_type};
use super::stopwatch::{Outcome, Phase, Stopwatch, Timing};
use super::target::Target;
use super::template::FIRST_REQUEST;
use crate::stamp::{self, Stamp};
use crate::wire::{self, Cursor, Wire};
use serde_json::json;

/// Queries under way: enough to keep a server busy, few enough for any bound.
const WINDOW: u64 = 4;
/// Prefix under which the servers of a run keep a history.
pub(crate) const STORED: &str = "com.stored.";
/// The meta procedure asked.
pub(crate) const GET_EVENTS: &str = "wamp.subscription.get_events";

/// Fills the history with twice `limit` events of the stored topic and pages through the newest.
pub(crate) fn run(
    target: &Target,
    limit: u64,
    timing: Timing,
    server: Option<u32>,
) -> Result<Outcome, Fault> {
    let mut session = Session::join(target)?;
    let subscription = session.subscribe(STORED, "prefix")?;
    fill(target, 2 * limit)?;
    check_newest(&mut session, subscription, limit, 2 * limit)?;

    let query = |request: u64| {
        let query = json!([48, request, {}, GET_EVENTS, [subscription, limit]]);
        let mut frame = Vec::new();
        wire::push_frame(
            target.wire,
            &target.wire.format.encode(&query),
            MASK,
            &mut frame,
        );
        frame
    };
    let mut stopwatch = Stopwatch::start(timing, server);
    let (mut asked, mut answered, mut reference) = (0, 0, None);
    loop {
        let phase = stopwatch.tick(answered);
        while phase == Phase::Running && asked < answered + WINDOW {
            session.send_framed(&query(FIRST_REQUEST + asked))?;
            asked += 1;
        }
        if asked == answered {
            return Ok(stopwatch.outcome());
        }
        let message = session.message()?;
        // What the publisher sent before still arrives as events.
        if message_type(target.wire, message) != Some(36) {
            compare(target.wire, message, &mut reference)?;
            answered += 1;
        }
    }
}

/// Publishes `count` events one by one.
fn fill(target: &Target, count: u64) -> Result<(), Fault> {
    let mut session = Session::join(target)?;
    for counter in 0..count {
        let payload = stamp::payload(
            Stamp {
                publisher: 0,
                counter,
            }
            .word(),
        );
        session.publish(&format!("{STORED}page"), &String::from_utf8_lossy(&payload))?;
    }
    session.leave()
}

/// The newest `limit` events are the last of `published`, newest first.
pub(crate) fn check_newest(
    session: &mut Session,
    subscription: u64,
    limit: u64,
    published: u64,
) -> Result<(), Fault> {
    let page = session.call(GET_EVENTS, json!([subscription, limit]))?;
    let found: Vec<u64> = stamp::stamps_in(&page)
        .iter()
        .map(|stamp| stamp.counter)
        .collect();
    let expected: Vec<u64> = (published.saturating_sub(limit)..published).rev().collect();
    if found == expected {
        return Ok(());
    }
    let ends = |list: &[u64]| match (list.first(), list.last()) {
        (Some(first), Some(last)) => format!("{} events, {first} to {last}", list.len()),
        _ => "no events".to_owned(),
    };
    Err(Fault::Page(format!(
        "{} instead of {}",
        ends(&found),
        ends(&expected)
    )))
}

/// Everything behind the request ID is as it was the first time.
fn compare(wire: Wire, message: &[u8], reference: &mut Option<Vec<u8>>) -> Result<(), Fault> {
    let body = Cursor::open(wire.format, message).and_then(|mut cursor| {
        (cursor.uint()? == 50).then_some(())?;
        cursor.uint()?;
        Some(cursor.tail())
    });
    let Some(body) = body else {
        let answer = wire.format.decode(message).unwrap_or_default().to_string();
        return Err(Fault::Answer {
            asked: GET_EVENTS.to_owned(),
            answer,
        });
    };
    match reference {
        Some(reference) if reference == body => Ok(()),
        Some(_) => Err(Fault::Page(
            "another answer than before, with nothing published".into(),
        )),
        None => {
            *reference = Some(body.to_vec());
            Ok(())
        }
    }
}
