//! Messages in MessagePack as programs write them: the list and an empty map of options in a byte
//! each. Compared byte by byte; whatever differs is read by the reader of all MessagePack.

use bytes::Bytes;

use super::{Arguments, Head, Place, PlainKind, USUAL_OPTIONS, arguments, read};
use crate::id::RequestId;
use crate::serializer::{Limits, MsgPackReader, Open, is_ascii};

/// The options of a PUBLISH that is to be acknowledged: `{"acknowledge": true}`.
const ACKNOWLEDGED: &[u8; 14] = b"\x81\xabacknowledge\xc3";

/// In any form.
#[inline(never)]
pub(super) fn any(block: &Bytes, frame: &[u8], limits: &Limits) -> Option<(Head, Arguments)> {
    read(MsgPackReader::within(block, frame, 0), limits)
}

/// In the usual form.
#[inline(always)]
pub(super) fn usual(block: &Bytes, frame: &[u8], limits: &Limits) -> Option<(Head, Arguments)> {
    let (head, elements, at) = head(frame)?;
    if elements == 1
        && limits.max_nesting() > 0
        && MsgPackReader::flat_list_end(frame, at) == Some(frame.len())
    {
        let args = Place {
            begin: at as u32,
            end: frame.len() as u32,
        };
        return Some((head, Arguments::of_list(args)));
    }
    let mut reader = MsgPackReader::within(block, frame, at);
    let arguments = arguments(&mut reader, &mut Open::of(elements.into()), limits)?;
    Some((head, arguments))
}

/// Everything before the arguments, how many elements those are, and where they begin.
#[inline(always)]
fn head(frame: &[u8]) -> Option<(Head, u8, usize)> {
    let &[list, code, ..] = frame else {
        return None;
    };
    let (kind, before) = match code {
        16 => (PlainKind::Publish, 0x94),
        48 => (PlainKind::Call, 0x94),
        70 => (PlainKind::Yield, 0x93),
        _ => return None,
    };
    let elements = list.checked_sub(before).filter(|elements| *elements <= 2)?;
    let (request, at) = MsgPackReader::plain_number(frame, 2)?;
    let request = RequestId::new(request)?;
    let mut options = USUAL_OPTIONS;
    let mut at = match frame.get(at)? {
        0x80 => at + 1,
        0x81 if kind == PlainKind::Publish && frame.get(at..)?.starts_with(ACKNOWLEDGED) => {
            options.0 = true;
            at + ACKNOWLEDGED.len()
        }
        _ => return None,
    };
    let mut name = Place::default();
    if kind != PlainKind::Yield {
        let (begin, length) = match frame.get(at)? {
            short @ 0xa0..=0xbf => (at + 1, usize::from(short & 0x1f)),
            0xd9 => (at + 2, usize::from(*frame.get(at + 1)?)),
            _ => return None,
        };
        at = begin + length;
        if !is_ascii(frame.get(begin..at)?) {
            return None;
        }
        name = Place {
            begin: begin as u32,
            end: at as u32,
        };
    }
    let head = Head {
        kind,
        request,
        options,
        name,
    };
    Some((head, elements, at))
}
