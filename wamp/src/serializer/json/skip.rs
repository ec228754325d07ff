//! Going past a value without recursion, seeing that it is well-formed.

use super::number::number_end;
use super::string::{ascii_end, string_end};
use super::{End, Fault, Malformed, blank_end, fault};

/// Where the value ends that begins at `at` or after whitespace there.
pub(super) fn value_end(bytes: &[u8], mut at: usize, depth: u8) -> Result<usize, Malformed> {
    // Bit n tells whether the n-th open container is a map; `Limits` keeps within 128.
    let (mut open, mut maps) = (0_u8, 0_u128);
    loop {
        let begins = blank_end(bytes, at);
        let (end, container) = simple_end(bytes, begins)?;
        at = end;
        if let Some(container) = container {
            if open >= depth {
                return Err(Malformed::new(begins, Fault::TooDeep));
            }
            maps = match container {
                End::Map => maps | 1 << open,
                End::List => maps & !(1 << open),
            };
            open += 1;
            if container == End::Map {
                at = key_end(bytes, at)?;
            }
            continue;
        }
        // A value has ended, and with it perhaps what it was the last item of.
        loop {
            if open == 0 {
                return Ok(at);
            }
            let in_map = maps >> (open - 1) & 1 == 1;
            at = blank_end(bytes, at);
            match bytes.get(at) {
                Some(b',') if in_map => {
                    at = key_end(bytes, at + 1)?;
                    break;
                }
                Some(b',') => {
                    at += 1;
                    break;
                }
                Some(b']') if !in_map => {}
                Some(b'}') if in_map => {}
                _ => return Err(fault(bytes, at, Fault::NoComma)),
            }
            at += 1;
            open -= 1;
        }
    }
}

/// Where the list at `at` ends, if it is all ASCII without whitespace, and has nothing in it but
/// strings without escapes and numbers. What it does not tell, [`value_end`] does.
#[inline]
pub(crate) fn flat_list_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let mut at = at + 1;
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        let end = match bytes.get(at)? {
            b'"' => match ascii_end(bytes, at + 1) {
                end if bytes.get(end) == Some(&b'"') => end + 1,
                _ => return None,
            },
            _ => number_end(bytes, at).ok()?.0,
        };
        match bytes.get(end)? {
            b',' => at = end + 1,
            b']' => return Some(end + 1),
            _ => return None,
        }
    }
}

/// Where the value ends; of a container with something in it only its opening, and which it is.
#[inline]
fn simple_end(bytes: &[u8], at: usize) -> Result<(usize, Option<End>), Malformed> {
    let end = match bytes.get(at) {
        Some(b'"') => string_end(bytes, at + 1)?,
        Some(b'0'..=b'9' | b'-') => number_end(bytes, at)?.0,
        Some(b'{') => return Ok(opening_end(bytes, at, b'}', End::Map)),
        Some(b'[') => return Ok(opening_end(bytes, at, b']', End::List)),
        Some(b't') => literal_end(bytes, at, b"true")?,
        Some(b'f') => literal_end(bytes, at, b"false")?,
        Some(b'n') => literal_end(bytes, at, b"null")?,
        _ => return Err(fault(bytes, at, Fault::NoValue)),
    };
    Ok((end, None))
}

#[inline]
pub(super) fn literal_end(bytes: &[u8], at: usize, literal: &[u8]) -> Result<usize, Malformed> {
    let end = at + literal.len();
    match bytes.get(at..end) == Some(literal) {
        true => Ok(end),
        false => Err(fault(bytes, at, Fault::NoValue)),
    }
}

/// After the opening bracket, or after the closing one if that is all.
#[inline]
fn opening_end(bytes: &[u8], at: usize, closing: u8, container: End) -> (usize, Option<End>) {
    let inside = blank_end(bytes, at + 1);
    match bytes.get(inside) == Some(&closing) {
        true => (inside + 1, None),
        false => (inside, Some(container)),
    }
}

/// After the colon.
#[inline]
fn key_end(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = after(bytes, at, b'"', Fault::NoKey)?;
    after(bytes, string_end(bytes, at)?, b':', Fault::NoColon)
}

/// After `byte`, which comes next but for whitespace.
#[inline]
pub(super) fn after(bytes: &[u8], at: usize, byte: u8, else_: Fault) -> Result<usize, Malformed> {
    let at = blank_end(bytes, at);
    match bytes.get(at) == Some(&byte) {
        true => Ok(at + 1),
        false => Err(fault(bytes, at, else_)),
    }
}
