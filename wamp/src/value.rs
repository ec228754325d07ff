//! Data of any serializer as a tree: options, details, meta API answers. Events and calls on
//! their way do not become one, see `payload.rs`.

mod dict;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

pub use self::dict::{Dict, DictError};

/// What JSON, MessagePack and CBOR have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Null; MessagePack extension 0 and CBOR `undefined` read as it too.
    #[default]
    Null,
    /// A bool.
    Bool(bool),
    /// A number that was written as an integer.
    Integer(Integer),
    /// A number that was written as a float, also when it has no fraction. Not finite ones
    /// cannot be written as JSON.
    Float(f64),
    /// Text.
    String(ByteString),
    /// Bytes; in JSON a string of NUL and base64, spec "Binary conversion of JSON Strings".
    Binary(Bytes),
    /// A list.
    List(Vec<Value>),
    /// A map with string keys.
    Map(Dict),
}

/// An integer from `i64::MIN` to `u64::MAX`: what each serializer has at least.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer(Sign);

/// One representation a number, so that equality can be derived.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sign {
    /// Below zero.
    Negative(i64),
    /// Zero and above.
    Positive(u64),
}

impl Integer {
    /// As a `u64`, if it is not negative.
    pub const fn as_u64(self) -> Option<u64> {
        match self.0 {
            Sign::Positive(number) => Some(number),
            Sign::Negative(_) => None,
        }
    }

    /// As an `i64`, if it is not above `i64::MAX`.
    pub const fn as_i64(self) -> Option<i64> {
        match self.0 {
            Sign::Positive(number) if number > i64::MAX as u64 => None,
            Sign::Positive(number) => Some(number as i64),
            Sign::Negative(number) => Some(number),
        }
    }

    /// As the wider type that holds all of them.
    pub const fn get(self) -> i128 {
        match self.0 {
            Sign::Positive(number) => number as i128,
            Sign::Negative(number) => number as i128,
        }
    }
}

impl From<u64> for Integer {
    fn from(number: u64) -> Self {
        Self(Sign::Positive(number))
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Self(u64::try_from(number).map_or(Sign::Negative(number), Sign::Positive))
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl Value {
    /// What it is, for messages: `a string`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Binary(_) => "binary data",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The bool, if it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub const fn as_map(&self) -> Option<&Dict> {
        match self {
            Self::Map(dict) => Some(dict),
            _ => None,
        }
    }

    /// The number as a signed integer: an integer that fits, or a float without a fraction up to
    /// 2^53 (some clients send every number as a float).
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => number.as_i64(),
            Self::Float(number) => whole(*number),
            _ => None,
        }
    }

    /// The number as an unsigned integer, by the same rule as [`Self::as_i64`].
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => number.as_u64(),
            Self::Float(number) => whole(*number).and_then(|number| u64::try_from(number).ok()),
            _ => None,
        }
    }
}

/// The integer that a float without a fraction is, within ±2^53, where that is exact.
pub(crate) fn whole(number: f64) -> Option<i64> {
    const MAX: f64 = crate::id::MAX_ID as f64;
    (number.fract() == 0.0 && number.abs() <= MAX).then_some(number as i64)
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<ByteString> for Value {
    fn from(text: ByteString) -> Self {
        Self::String(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Map(dict)
    }
}

impl<K> From<crate::id::Id<K>> for Value
where
    K: crate::id::Kind,
{
    fn from(id: crate::id::Id<K>) -> Self {
        Self::from(id.get())
    }
}

/// `None` is null.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_integers_are_equal_whatever_type_they_came_from() {
        assert_eq!(Integer::from(5_i64), Integer::from(5_u64));
        assert_eq!(Integer::from(-5_i64).as_u64(), None);
        assert_eq!(Integer::from(u64::MAX).as_i64(), None);
        assert_eq!(Integer::from(i64::MIN).as_i64(), Some(i64::MIN));
    }

    #[test]
    fn a_float_without_a_fraction_up_to_2_to_the_53_counts_as_an_integer() {
        for (float, expected) in [
            (7.0, Some(7)),
            (-7.0, Some(-7)),
            (9_007_199_254_740_992.0, Some(1 << 53)),
            (9_007_199_254_740_994.0, None),
            (7.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Value::Float(float).as_i64(), expected, "{float}");
        }
        assert_eq!(Value::Float(-1.0).as_u64(), None);
    }
}
