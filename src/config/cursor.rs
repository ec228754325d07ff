//! Reads a tree of which nothing is known: what is missing or has the wrong type reads as nothing,
//! since `check.rs` has named it already. Every place knows its path.

use serde_json::Value;

use super::path::Path;

/// A value, or nothing, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    value: Option<&'a Value>,
    /// Where.
    pub path: Path,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tree: &'a Value) -> Self {
        Self {
            value: Some(tree),
            path: Path::root(),
        }
    }

    pub(super) fn key(&self, key: &str) -> Self {
        Self {
            value: self.value.and_then(|value| value.get(key)),
            path: self.path.key(key),
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'a> {
        let items = self
            .value
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let path = self.path.clone();
        items.iter().enumerate().map(move |(index, item)| Self {
            value: Some(item),
            path: path.index(index),
        })
    }

    /// Keys and values of an object.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let path = self.path.clone();
        self.value
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(move |(key, value)| {
                (
                    key.as_str(),
                    Self {
                        value: Some(value),
                        path: path.key(key),
                    },
                )
            })
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.and_then(Value::as_str)
    }

    pub(super) fn integer(&self) -> Option<u64> {
        self.value.and_then(Value::as_u64)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.and_then(Value::as_bool)
    }

    pub(super) fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it is an object whose `type` is that.
    pub(super) fn is_of_type(&self, name: &str) -> bool {
        self.key("type").text() == Some(name)
    }
}
