//! What must hold for any input whatever: one function a decoder. Called by the fuzz targets in
//! `fuzz/` without end, and by the tests below with a bounded number of inputs.

use bytes::{Bytes, BytesMut};

use crate::codec::{Plain, decode, encode};
use crate::framing::rawsocket::{self, Handshake};
use crate::message::Message;
use crate::payload::Payload;
use crate::serializer::{Limits, Serializer, TranscodeError, append_value, inspect, read_value};
use crate::uri::{self, MatchPolicy, UriCheck};
use crate::uri_map::UriMap;

/// A message is refused, or comes out again as it went in; its payload can be had in every
/// other serializer, or it is said what stands in the way.
pub fn message(serializer: Serializer, input: &[u8]) {
    let frame = Bytes::copy_from_slice(input);
    let decoded = decode(serializer, &frame, &Limits::default());
    plain(serializer, input, decoded.as_ref().ok());
    let Ok(message) = decoded else {
        return;
    };
    let mut written = BytesMut::new();
    let encoded = encode(serializer, &message, &mut written);
    assert_eq!(encoded, Ok(()), "what was read can be written: {message:?}");
    let written = written.freeze();
    let again = decode(serializer, &written, &Limits::default());
    let Ok(again) = again else {
        unreadable(&message, &again)
    };
    let mut rewritten = BytesMut::new();
    assert_eq!(encode(serializer, &again, &mut rewritten), Ok(()));
    assert_eq!(written, rewritten, "{message:?}");
    if let Some(message) = message.payload() {
        payload(message);
    }
}

/// What the short way reads, the general way reads too, and as the same message.
fn plain(serializer: Serializer, input: &[u8], decoded: Option<&Message>) {
    let block = Bytes::from([b"before", input, b"behind"].concat());
    let begin = b"before".len() as u32;
    let place = begin..begin + input.len() as u32;
    if let Some(plain) = Plain::read(serializer, &block, place, &Limits::default()) {
        let message = plain.message(serializer, &block);
        assert_eq!(decoded, Some(&message), "{plain:?}");
        let sent_on = plain.payload(serializer, &block);
        assert_eq!(message.payload().map(Payload::as_slice), Some(sent_on));
    }
}

fn unreadable(message: &Message, error: &impl std::fmt::Debug) -> ! {
    unreachable!("what was written can be read: {message:?}: {error:?}")
}

fn payload(payload: &Payload) {
    let serializer = payload.serializer();
    let parts = Payload::from_raw(
        serializer,
        payload.args(),
        payload.kwargs(),
        &Limits::default(),
    );
    assert!(
        parts.is_ok(),
        "the elements are well-formed by themselves: {parts:?}"
    );
    let restored = Payload::restore(serializer, payload.layout(), payload.tail().clone());
    assert_eq!(restored.as_ref(), Ok(payload));
    for to in Serializer::ALL {
        let Some(other) = expressible(payload.transcode(to)) else {
            continue;
        };
        let (tail, args, kwargs) = (other.tail(), other.args_value(), other.kwargs_value());
        assert!(expressible(args).is_some() || expressible(kwargs).is_some() || tail.is_empty());
        let back = other.transcode(serializer);
        assert!(
            expressible(back).is_some(),
            "what could be expressed still can: {payload:?}"
        );
    }
}

/// What was accepted as well-formed never turns out not to be.
fn expressible<T>(result: Result<T, TranscodeError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let malformed = matches!(error, TranscodeError::Malformed { .. });
            assert!(
                !malformed,
                "a payload was accepted that is not well-formed: {error}"
            );
            None
        }
    }
}

/// Going past a value and reading it agree on whether it is well-formed; what has been read is
/// written and read again without a change.
pub fn value(serializer: Serializer, input: &[u8]) {
    let limits = Limits::default();
    let bytes = Bytes::copy_from_slice(input);
    let skipped = inspect(serializer, &bytes, &limits);
    let read = read_value(serializer, &bytes, &limits);
    match &read {
        Ok(_) => assert!(skipped.is_ok(), "{skipped:?}"),
        Err(TranscodeError::Malformed { .. } | TranscodeError::TooDeep { .. }) => {
            assert!(skipped.is_err(), "{read:?}");
        }
        // Reading gave up before the end was seen.
        Err(_) => {}
    }
    let Ok(value) = read else { return };
    let mut written = BytesMut::new();
    assert_eq!(
        append_value(serializer, &value, &mut written),
        Ok(()),
        "{value:?}"
    );
    let written = written.freeze();
    let again = read_value(serializer, &written, &limits).unwrap_or_default();
    let mut rewritten = BytesMut::new();
    assert_eq!(append_value(serializer, &again, &mut rewritten), Ok(()));
    assert_eq!(written, rewritten, "{value:?}");
}

/// Frames lie one behind another in the buffer, each behind its header; a handshake that is
/// understood is what is said in return.
pub fn rawsocket(input: &[u8]) {
    const LIMIT: usize = 1 << 12;
    let mut expected = 0;
    let rest = rawsocket::split(input, LIMIT, |kind, range| {
        assert!(range.len() <= LIMIT && range.end <= input.len());
        let header = rawsocket::frame_header(kind, range.len()).unwrap_or_default();
        assert_eq!(input.get(expected..range.start), Some(header.as_slice()));
        expected = range.end;
    });
    if let Ok(rest) = rest {
        assert_eq!(rest.taken, expected);
        assert!(
            rest.wanted > input.len() - rest.taken,
            "there is no other whole frame"
        );
    }
    if let Some(&handshake) = input.first_chunk()
        && let Ok(parsed) = Handshake::parse_request(handshake)
    {
        assert_eq!(parsed.to_bytes(), handshake);
        let reply = Handshake::parse_reply(handshake, parsed.serializer);
        assert_eq!(reply, Ok(parsed));
    }
}

/// The first line is a URI, all others are patterns: the map finds what the matcher finds, what
/// covers matches no less, and what is well-formed strictly is so loosely.
pub fn uris(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let uri = lines.next().unwrap_or_default();
    let mut map = UriMap::new();
    for policy in MatchPolicy::ALL {
        for pattern in lines.clone() {
            map.insert(pattern, policy, ());
            uri_pair((pattern, policy), uri);
        }
    }
    let mut found = 0;
    map.for_each_match(uri, |policy, pattern, ()| {
        assert!(
            uri::matches(pattern, policy, uri),
            "{pattern} {policy} {uri}"
        );
        found += 1;
    });
    let mut all = 0;
    map.for_each(|policy, pattern, ()| all += usize::from(uri::matches(pattern, policy, uri)));
    assert_eq!(found, all, "{text:?}");
}

fn uri_pair((pattern, policy): (&str, MatchPolicy), uri: &str) {
    let valid = |text, policy, check| uri::check_uri(text, policy, check).is_ok();
    for text in [pattern, uri] {
        let strict = valid(text, policy, UriCheck::Strict);
        assert!(!strict || valid(text, policy, UriCheck::Loose), "{text}");
        let exact = valid(text, MatchPolicy::Exact, UriCheck::Loose);
        assert!(!exact || valid(text, policy, UriCheck::Loose), "{text}");
    }
    let narrow = (uri, MatchPolicy::Exact);
    assert_eq!(
        uri::covers((pattern, policy), narrow),
        uri::matches(pattern, policy, uri)
    );
}

#[cfg(test)]
mod tests;
