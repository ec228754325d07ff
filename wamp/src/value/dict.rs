//! `Dict`: a map that keeps its order, with getters whose errors name the element.

use bytestring::ByteString;

use super::Value;

/// A map with string keys in the order they came in.
///
/// Lookups go through all entries: it is for options and details, which have few. Where a key
/// came in twice, both entries are kept and the last one counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dict(Vec<(ByteString, Value)>);

/// An element that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: expected {expected}, found {found}")]
pub struct DictError {
    /// Its key.
    pub key: String,
    /// What would be right, such as `a bool`.
    pub expected: &'static str,
    /// What is there.
    pub found: &'static str,
}

impl Dict {
    /// A map without entries; allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&ByteString, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.iter()
            .rfind(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Whether there is an entry `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets `key` in its place, or at the end if it is new; returns what it was.
    pub fn insert(&mut self, key: impl Into<ByteString>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().rfind(|(name, _)| *name == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    /// Takes every entry `key` out; returns the one that counted.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let mut removed = None;
        while let Some(at) = self.0.iter().position(|(name, _)| *name == key) {
            removed = Some(self.0.remove(at).1);
        }
        removed
    }

    /// The bool `key`; `None` if it is absent or null.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, DictError> {
        self.typed(key, "a bool", |value| value.as_bool())
    }

    /// The non-negative integer `key` (also as a float without a fraction up to 2^53); `None` if
    /// it is absent or null.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, DictError> {
        self.typed(key, "a non-negative integer", Value::as_u64)
    }

    /// The integer `key` (also as a float without a fraction up to 2^53); `None` if it is absent
    /// or null.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, DictError> {
        self.typed(key, "an integer", Value::as_i64)
    }

    /// The text `key`; `None` if it is absent or null.
    pub fn text(&self, key: &str) -> Result<Option<&ByteString>, DictError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// The list `key`; `None` if it is absent or null.
    pub fn list(&self, key: &str) -> Result<Option<&[Value]>, DictError> {
        self.typed(key, "a list", Value::as_list)
    }

    /// The map `key`; `None` if it is absent or null.
    pub fn map(&self, key: &str) -> Result<Option<&Dict>, DictError> {
        self.typed(key, "a map", Value::as_map)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, DictError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                Some(right) => Ok(Some(right)),
                None => Err(DictError {
                    key: key.to_owned(),
                    expected,
                    found: value.kind(),
                }),
            },
        }
    }

    /// Adds an entry at the end without looking for another of its key.
    pub(crate) fn push(&mut self, key: ByteString, value: Value) {
        self.0.push((key, value));
    }
}

impl<K: Into<ByteString>, V: Into<Value>> FromIterator<(K, V)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self(
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl<K: Into<ByteString>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Dict {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl IntoIterator for Dict {
    type Item = (ByteString, Value);
    type IntoIter = std::vec::IntoIter<(ByteString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_getter_names_the_element_that_is_wrong() {
        let dict = Dict::from([("acknowledge", "yes")]);
        let error = dict.bool("acknowledge").unwrap_err();
        assert_eq!(
            error.to_string(),
            "acknowledge: expected a bool, found a string"
        );
        assert_eq!(dict.text("acknowledge").unwrap().unwrap(), "yes");
    }

    #[test]
    fn null_counts_as_absent() {
        let dict = Dict::from([("limit", Value::Null)]);
        assert_eq!(dict.unsigned("limit"), Ok(None));
        assert_eq!(dict.unsigned("other"), Ok(None));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        let mut dict = Dict::from([("a", 1_u64), ("b", 2), ("a", 3)]);
        assert_eq!(dict.unsigned("a"), Ok(Some(3)));
        assert_eq!(dict.insert("a", 4_u64), Some(Value::from(3_u64)));
        assert_eq!(dict.remove("a"), Some(Value::from(4_u64)));
        assert_eq!(dict.len(), 1);
    }
}
