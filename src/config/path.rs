//! A place in the configuration, written as findings show it: `workers[0].realms[1].store.maxsize`.
//! Made by whoever walks a tree; knows no table and no file.

use std::fmt;

/// A JSON path. The root is empty; keys that are not plain words stand in `["…"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Path(String);

impl Path {
    /// The whole configuration.
    pub fn root() -> Self {
        Self::default()
    }

    /// The value under `key` of the object that stands here.
    pub fn key(&self, key: &str) -> Self {
        if !is_word(key) {
            return Self(format!("{}[{key:?}]", self.0));
        }
        if self.0.is_empty() {
            return Self(key.to_owned());
        }
        Self(format!("{}.{key}", self.0))
    }

    /// Item `index` of the list that stands here.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The text, empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same place seen from `base`; itself when it does not lie below.
    pub fn below(&self, base: &Self) -> Self {
        match self.0.strip_prefix(&base.0) {
            Some(rest) if base.0.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']) => {
                Self(rest.trim_start_matches('.').to_owned())
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(top level)");
        }
        f.write_str(&self.0)
    }
}

/// True for keys that need no quotes, here and in the path language of the `config` crate.
pub fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_one_would_write_it() {
        let store = Path::root().key("realms").index(0).key("store");
        assert_eq!(store.as_str(), "realms[0].store");
        assert_eq!(
            store.key("joe@example").as_str(),
            "realms[0].store[\"joe@example\"]"
        );
        assert_eq!(Path::root().to_string(), "(top level)");
    }

    #[test]
    fn a_path_can_be_seen_from_a_place_above_it() {
        let worker = Path::root().key("workers").index(0);
        assert_eq!(
            worker.key("realms").index(1).below(&worker).as_str(),
            "realms[1]"
        );
        assert_eq!(worker.below(&worker).as_str(), "");
        assert_eq!(Path::root().key("rewamp").below(&worker).as_str(), "rewamp");
        let eleventh = Path::root().key("workers").index(0);
        assert_eq!(
            Path(String::from("workers[0]x")).below(&eleventh).as_str(),
            "workers[0]x"
        );
    }
}
