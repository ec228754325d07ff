//! Messages in JSON as programs write them: no whitespace before the arguments, no options but an
//! acknowledgement. Compared byte by byte; whatever differs is read by the reader of all JSON.

use bytes::Bytes;

use super::{Arguments, Head, Place, PlainKind, USUAL_OPTIONS, arguments, read};
use crate::id::RequestId;
use crate::serializer::{JsonReader, Limits, Open, flat_list_end, is_ascii, plain_name, utf8};

/// What stands before the topic of a PUBLISH that is to be acknowledged.
const ACKNOWLEDGED: &[u8] = br#",{"acknowledge":true}"#;

/// In any form.
pub(super) fn any(block: &Bytes, frame: &[u8], limits: &Limits) -> Option<(Head, Arguments)> {
    is_text(frame)
        .then(|| read(JsonReader::within(block, frame, 0), limits))
        .flatten()
}

/// In the usual form.
#[inline(always)]
pub(super) fn usual(block: &Bytes, frame: &[u8], limits: &Limits) -> Option<(Head, Arguments)> {
    let (head, at) = head(frame)?;
    match frame.get(at..)? {
        b"]" => return Some((head, Arguments::default())),
        [b',', ..] => {}
        _ => return None,
    }
    let begin = at + 1;
    if limits.max_nesting() > 0
        && let Some(end) = flat_list_end(frame, begin)
        && frame.get(end..) == Some(b"]")
    {
        let args = Place {
            begin: begin as u32,
            end: end as u32,
        };
        return Some((head, Arguments::of_list(args)));
    }
    // What stands before is ASCII.
    if !is_text(frame.get(at..)?) {
        return None;
    }
    let mut reader = JsonReader::within(block, frame, at);
    let arguments = arguments(&mut reader, &mut Open::begun(), limits)?;
    Some((head, arguments))
}

/// Everything before the arguments, and where it ends.
#[inline(always)]
fn head(frame: &[u8]) -> Option<(Head, usize)> {
    let kind = match frame.first_chunk()? {
        b"[16," => PlainKind::Publish,
        b"[48," => PlainKind::Call,
        b"[70," => PlainKind::Yield,
        _ => return None,
    };
    let (request, at) = JsonReader::plain_number(frame, 4)?;
    let request = RequestId::new(request)?;
    let mut options = USUAL_OPTIONS;
    let rest = frame.get(at..)?;
    let mut at = if rest.starts_with(b",{}") {
        at + 3
    } else if kind == PlainKind::Publish && rest.starts_with(ACKNOWLEDGED) {
        options.0 = true;
        at + ACKNOWLEDGED.len()
    } else {
        return None;
    };
    let mut name = Place::default();
    if kind != PlainKind::Yield {
        if frame.get(at) != Some(&b',') {
            return None;
        }
        let (text, end) = plain_name(frame, at + 1)?;
        name = Place::behind(text, end - 1);
        at = end;
    }
    let head = Head {
        kind,
        request,
        options,
        name,
    };
    Some((head, at))
}

/// Most of what comes is ASCII, which is told faster.
fn is_text(bytes: &[u8]) -> bool {
    is_ascii(bytes) || utf8(bytes).is_ok()
}
