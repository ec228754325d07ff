//! Numbers of JSON: what is written as an integer is one, everything else is a double.

use std::fmt::Write;

use bytes::BytesMut;

use super::{JsonReader, Malformed, Token};
use crate::value::Integer;

impl<'a> JsonReader<'a> {
    pub(super) fn number(&mut self) -> Result<Token<'a>, Malformed> {
        let begins = self.at;
        let fractional = self.skip_number()?;
        let text = self.text.get(begins..self.at).unwrap_or_default();
        if !fractional {
            return Ok(integer(text));
        }
        Ok(match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Token::Float(number),
            _ => Token::Foreign("a number beyond a double"),
        })
    }

    /// Whether it has a fraction or an exponent.
    pub(super) fn skip_number(&mut self) -> Result<bool, Malformed> {
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => {
                self.at += 1;
                if matches!(self.byte(), Some(b'0'..=b'9')) {
                    return Err(self.malformed("a number must not begin with zero"));
                }
            }
            _ => self.digits()?,
        }
        let mut fractional = false;
        if self.byte() == Some(b'.') {
            fractional = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            fractional = true;
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(fractional)
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), Malformed> {
        let begins = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > begins {
            true => Ok(()),
            false => Err(self.malformed("expected a digit")),
        }
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
