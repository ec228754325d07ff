//! What comes back from a server, as far as a driver has to understand it: WAMP or NATS.

use super::fault::Fault;
use super::session::{MASK, message_type};
use super::template::FIRST_REQUEST;
use crate::stamp::{self, PAYLOAD};
use crate::wire::{self, Cursor, Format, Kind, Wire};

/// One thing that a server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival<'a> {
    /// An event's payload.
    Event(&'a [u8]),
    /// The publication with this number is accepted (and stored, where that is meant).
    Acknowledged(u64),
    /// A call to be answered.
    Invocation {
        /// The server's number for it.
        request: u64,
        /// The end of the message from its arguments on, JSON's closing bracket included.
        arguments: &'a [u8],
    },
    /// The call with this number is answered with this payload.
    Result {
        /// Number of the call.
        counter: u64,
        /// What the callee sent back.
        payload: &'a [u8],
    },
    /// To be answered with the same content.
    Ping(&'a [u8]),
    /// Nothing that matters here.
    Other,
}

/// A protocol as the drivers need it.
pub(crate) trait Dialect: Copy + Send + 'static {
    /// What lies at the start of `bytes` and how many bytes it takes; `None` while incomplete.
    fn next<'a>(&self, bytes: &'a [u8]) -> Result<Option<(usize, Arrival<'a>)>, Fault>;

    /// Appends the answer to a ping.
    fn pong(&self, content: &[u8], out: &mut Vec<u8>);
}

impl Dialect for Wire {
    #[inline]
    fn next<'a>(&self, bytes: &'a [u8]) -> Result<Option<(usize, Arrival<'a>)>, Fault> {
        let frame = match wire::peek(self.framing, bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(_) => return Err(Fault::malformed("frame", bytes)),
        };
        let Some(content) = bytes.get(frame.head..frame.total()) else {
            return Ok(None);
        };
        let arrival = match frame.kind {
            Kind::Message => wamp_arrival(*self, content)?,
            Kind::Ping => Arrival::Ping(content),
            Kind::Pong => Arrival::Other,
            Kind::Close => {
                let asked = "the run".to_owned();
                return Err(Fault::Answer {
                    asked,
                    answer: "a WebSocket close".to_owned(),
                });
            }
        };
        Ok(Some((frame.total(), arrival)))
    }

    fn pong(&self, content: &[u8], out: &mut Vec<u8>) {
        wire::finish_frame(*self, Kind::Pong, content, MASK, out);
    }
}

#[inline]
fn wamp_arrival(wire: Wire, content: &[u8]) -> Result<Arrival<'_>, Fault> {
    understood(wire, content).ok_or_else(|| {
        let answer = match wire.format.decode(content) {
            Some(message) if message_type(wire, content).is_some() => message.to_string(),
            _ => return Fault::malformed("WAMP message", content),
        };
        Fault::Answer {
            asked: "the run".to_owned(),
            answer,
        }
    })
}

/// `None` for what no run expects: ERROR, ABORT, GOODBYE, garbage.
#[inline]
fn understood(wire: Wire, content: &[u8]) -> Option<Arrival<'_>> {
    let mut cursor = Cursor::open(wire.format, content)?;
    Some(match cursor.uint()? {
        36 => Arrival::Event(payload_at_end(wire.format, content)?),
        17 => Arrival::Acknowledged(cursor.uint()?.checked_sub(FIRST_REQUEST)?),
        68 => {
            let request = cursor.uint()?;
            cursor.uint()?;
            cursor.skip()?;
            Arrival::Invocation {
                request,
                arguments: cursor.tail(),
            }
        }
        50 => {
            let counter = cursor.uint()?.checked_sub(FIRST_REQUEST)?;
            Arrival::Result {
                counter,
                payload: payload_at_end(wire.format, content)?,
            }
        }
        _ => return None,
    })
}

/// The payload is the last thing in a message unless the server added kwargs.
#[inline]
fn payload_at_end(format: Format, content: &[u8]) -> Option<&[u8]> {
    let body = match format {
        Format::Json => content.strip_suffix(b"\"]]"),
        Format::Msgpack => Some(content),
    };
    if let Some(body) = body
        && let Some(payload) = body.last_chunk::<PAYLOAD>()
        && payload
            .get(2 * stamp::LETTERS..)?
            .starts_with(stamp::MARKER)
    {
        return Some(payload);
    }
    let marker = memchr::memmem::find(content, stamp::MARKER)?;
    content
        .get(marker.checked_sub(2 * stamp::LETTERS)?..)?
        .get(..PAYLOAD)
}

/// The text protocol of NATS.
#[derive(Clone, Copy)]
pub(crate) struct Nats;

/// Reply subjects of acknowledged publications begin with this.
pub(crate) const NATS_INBOX: &str = "_INBOX.bench.";

impl Dialect for Nats {
    #[inline]
    fn next<'a>(&self, bytes: &'a [u8]) -> Result<Option<(usize, Arrival<'a>)>, Fault> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            return Ok(None);
        };
        let line = bytes.get(..end).unwrap_or_default();
        let Some(fields) = line.strip_prefix(b"MSG ") else {
            return match line {
                [b'P', b'I', b'N', b'G', ..] => Ok(Some((end + 1, Arrival::Ping(&[])))),
                [b'P', b'O', ..] | [b'+', ..] | [b'I', ..] => Ok(Some((end + 1, Arrival::Other))),
                _ => Err(nats_answer(line)),
            };
        };
        let fields = fields.trim_ascii_end();
        let length = fields.rsplit(|byte| *byte == b' ').next().and_then(decimal);
        let length = length.ok_or_else(|| Fault::malformed("MSG line", line))?;
        let total = end + 1 + length + 2;
        if bytes.len() < total {
            return Ok(None);
        }
        let content = bytes.get(end + 1..end + 1 + length).unwrap_or_default();
        if !fields.starts_with(NATS_INBOX.as_bytes()) {
            return Ok(Some((total, Arrival::Event(content))));
        }
        let counter = fields
            .get(NATS_INBOX.len()..)
            .and_then(|tail| stamp::read_letters(tail.first_chunk()?))
            .ok_or_else(|| Fault::malformed("reply subject", line))?;
        let stored = memchr::memmem::find(content, b"\"seq\"").is_some();
        if !stored || memchr::memmem::find(content, b"\"error\"").is_some() {
            return Err(nats_answer(content));
        }
        Ok(Some((total, Arrival::Acknowledged(counter))))
    }

    fn pong(&self, _: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"PONG\r\n");
    }
}

fn nats_answer(answer: &[u8]) -> Fault {
    let answer = String::from_utf8_lossy(answer).trim().to_owned();
    Fault::Answer {
        asked: "the run".to_owned(),
        answer,
    }
}

#[inline]
fn decimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            None
        } else {
            Some(number * 10 + usize::from(digit))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;
    use serde_json::json;

    #[test]
    fn an_event_is_understood_with_and_without_kwargs() {
        let payload = stamp::payload(77);
        let text = String::from_utf8_lossy(&payload);
        for format in [Format::Json, Format::Msgpack] {
            let wire = Wire {
                framing: Framing::Raw,
                format,
            };
            for event in [
                json!([36, 1, 2, {}, [text]]),
                json!([36, 1, 2, {}, [text], {"k": 1}]),
            ] {
                let content = format.encode(&event);
                assert_eq!(understood(wire, &content), Some(Arrival::Event(&payload)));
            }
            let error = format.encode(&json!([8, 16, 3, {}, "wamp.error.not_authorized"]));
            assert!(
                wamp_arrival(wire, &error)
                    .unwrap_err()
                    .to_string()
                    .contains("authorized")
            );
        }
    }

    #[test]
    fn nats_lines_are_understood_once_complete() {
        let message = b"MSG _INBOX.bench.aaaaaaaaaaaaaaac 1 11\r\n{\"seq\": 12}\r\nPING\r\n";
        let (used, arrival) = Nats.next(message).unwrap().unwrap();
        assert_eq!(arrival, Arrival::Acknowledged(2));
        let rest = message.get(used..).unwrap();
        assert_eq!(Nats.next(rest).unwrap(), Some((6, Arrival::Ping(&[]))));
        for len in 0..used {
            assert_eq!(Nats.next(message.get(..len).unwrap()).unwrap(), None);
        }
        assert_eq!(
            Nats.next(b"MSG a.b 1 2\r\nxy\r\n").unwrap(),
            Some((17, Arrival::Event(b"xy")))
        );
        assert!(Nats.next(b"-ERR 'no'\r\n").is_err());
    }
}
