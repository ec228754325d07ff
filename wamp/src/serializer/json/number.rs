//! Numbers of JSON: what is written as an integer is one, everything else is a double.

use std::fmt::Write;

use bytes::BytesMut;

use super::{Fault, JsonReader, Malformed, Token, fault};
use crate::value::Integer;

impl<'a> JsonReader<'a> {
    pub(super) fn number(&mut self) -> Result<Token<'a>, Malformed> {
        let (end, fractional) = number_end(self.bytes, self.at)?;
        let text = self.bytes.get(self.at..end).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        self.at = end;
        if !fractional {
            return Ok(integer(text));
        }
        Ok(match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Token::Float(number),
            _ => Token::Foreign("a number beyond a double"),
        })
    }
}

/// A number without sign, fraction or exponent, and short enough not to overflow; and its end.
#[inline]
pub(super) fn plain_unsigned(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    /// 10^19 fits a `u64`.
    const MAX_DIGITS: usize = 19;
    let mut end = at;
    let mut number = 0_u64;
    while let Some(eight) = bytes.get(end..).and_then(eight_digits) {
        number = number.wrapping_mul(100_000_000).wrapping_add(eight);
        end += 8;
    }
    while let Some(&digit @ b'0'..=b'9') = bytes.get(end) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit - b'0'));
        end += 1;
    }
    let usual = match bytes.get(at) {
        Some(b'0') => end - at == 1,
        _ => (1..=MAX_DIGITS).contains(&(end - at)),
    };
    let whole = !matches!(bytes.get(end), Some(b'.' | b'e' | b'E'));
    (usual && whole).then_some((number, end))
}

/// The value of the next eight bytes if all of them are digits: two, four and eight digits are put
/// together at once.
#[inline]
fn eight_digits(bytes: &[u8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let value = word ^ ZEROS;
    // The top bit of a byte is set where it is above 9.
    if (value.wrapping_add(0x7676_7676_7676_7676) | value) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (value.wrapping_mul(10) + (value >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

/// Where the number at `at` ends, and whether it has a fraction or an exponent.
#[inline]
pub(super) fn number_end(bytes: &[u8], at: usize) -> Result<(usize, bool), Malformed> {
    let begins = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut at = digits_end(bytes, begins)?;
    if bytes.get(begins) == Some(&b'0') && at > begins + 1 {
        return Err(Malformed::new(begins, Fault::LeadingZero));
    }
    let mut fractional = false;
    if bytes.get(at) == Some(&b'.') {
        fractional = true;
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        fractional = true;
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits_end(bytes, at + 1 + usize::from(signed))?;
    }
    Ok((at, fractional))
}

/// At least one digit.
#[inline]
fn digits_end(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut end = at;
    while matches!(bytes.get(end), Some(b'0'..=b'9')) {
        end += 1;
    }
    match end > at {
        true => Ok(end),
        false => Err(fault(bytes, at, Fault::NoDigit)),
    }
}

/// `text` is `-?[0-9]+`.
fn integer<'a>(text: &str) -> Token<'a> {
    if let Ok(number) = text.parse::<u64>() {
        return Token::Integer(Integer::from(number));
    }
    match text.parse::<i64>() {
        // Only a double tells minus zero from zero.
        Ok(0) => Token::Float(-0.0),
        Ok(number) => Token::Integer(Integer::from(number)),
        Err(_) => Token::Foreign("an integer of more than 64 bits"),
    }
}

/// The shortest text that reads as the same double, always with a fraction or an exponent.
pub(super) fn write_float(out: &mut BytesMut, number: f64) -> Result<(), &'static str> {
    if !number.is_finite() {
        return Err("a number that is not finite");
    }
    write!(out, "{number:?}").map_err(|_| "a number without room")
}
