//! Walks a configuration along the table of keys and changes it: aliases to names, defaults where
//! keys are missing, references to secrets and ports to their values, secrets to stars.
//! Expects nothing of the tree: what has the wrong shape is left for `check.rs` to name.

use serde_json::{Map, Value};

use super::keys::{Kind, Section, Support, WHOLE};
use super::path::Path;

/// What literal secrets are shown as.
pub const MASK: &str = "***";

/// Gives every alias its key's name, so that later readers know one spelling.
pub fn rename_aliases(tree: &mut Value) {
    visit(&WHOLE, tree, &Path::root(), &mut |met, value, _| {
        let (Met::Object(section), Value::Object(map)) = (met, value) else {
            return;
        };
        for key in section.keys {
            for alias in key.aliases {
                if let Some(value) = map.remove(*alias) {
                    map.entry(key.name).or_insert(value);
                }
            }
        }
    });
}

/// Adds the defaults of all keys that are missing.
pub fn fill_defaults(tree: &mut Value) {
    visit(&WHOLE, tree, &Path::root(), &mut |met, value, _| {
        let (Met::Object(section), Value::Object(map)) = (met, value) else {
            return;
        };
        for key in section
            .keys
            .iter()
            .filter(|key| !map.contains_key(key.name))
            .collect::<Vec<_>>()
        {
            let default = key.default.and_then(|json| serde_json::from_str(json).ok());
            if let Some(default) = default {
                map.insert(key.name.to_owned(), default);
            }
        }
    });
}

/// Replaces literal secrets by [`MASK`]; references (`"${NAME}"`, `{"file": …}`) stay.
pub fn mask_secrets(tree: &mut Value) {
    visit(
        &WHOLE,
        tree,
        &Path::root(),
        &mut |met, value, _| match met {
            Met::Value(Kind::Secrets) => mask_literals(value),
            Met::Unbuilt | Met::Value(Kind::Opaque) => mask_suspicious(value),
            _ => {}
        },
    );
}

/// What a visit has come to.
#[derive(Debug, Clone, Copy)]
pub enum Met {
    /// An object with these keys; they are visited after it.
    Object(&'static Section),
    /// An object of a kind that is not built.
    Unbuilt,
    /// Anything else.
    Value(&'static Kind),
}

/// Calls `change` with each value that the table knows, from the outside in.
pub fn visit(
    kind: &'static Kind,
    value: &mut Value,
    path: &Path,
    change: &mut dyn FnMut(Met, &mut Value, &Path),
) {
    match (kind, &mut *value) {
        (Kind::Tagged(tagged), Value::Object(map)) => {
            let tag = map
                .get("type")
                .and_then(Value::as_str)
                .and_then(|name| tagged.tag(name));
            match tag {
                Some(tag) if matches!(tag.support, Support::Built) => {
                    visit_object(tag.section, value, path, change);
                }
                _ => change(Met::Unbuilt, value, path),
            }
        }
        (Kind::Object(section), Value::Object(_)) => visit_object(section, value, path, change),
        (Kind::List(kind), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(kind, item, &path.index(index), change);
            }
        }
        (Kind::Map(_, kind), Value::Object(map)) => {
            for (key, item) in map.iter_mut() {
                visit(kind, item, &path.key(key), change);
            }
        }
        (Kind::OrNull(kind), _) => visit(kind, value, path, change),
        _ => change(Met::Value(kind), value, path),
    }
}

fn visit_object(
    section: &'static Section,
    value: &mut Value,
    path: &Path,
    change: &mut dyn FnMut(Met, &mut Value, &Path),
) {
    change(Met::Object(section), value, path);
    let Value::Object(map) = value else { return };
    visit_keys(section, map, path, change);
}

fn visit_keys(
    section: &'static Section,
    map: &mut Map<String, Value>,
    path: &Path,
    change: &mut dyn FnMut(Met, &mut Value, &Path),
) {
    for (name, value) in map.iter_mut() {
        if let Some(key) = section.key(name) {
            visit(&key.kind, value, &path.key(name), change);
        }
    }
}

/// Masks text unless it names an environment variable.
fn mask_literals(secret: &mut Value) {
    match secret {
        Value::String(text) if environment_name(text).is_none() => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(mask_literals),
        _ => {}
    }
}

/// Masks what looks like a secret in parts that are not built and so have no rows in the table.
fn mask_suspicious(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let key = key.to_lowercase();
                if SUSPICIOUS.iter().any(|word| key.contains(word)) {
                    mask_literals(value);
                }
                mask_suspicious(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_suspicious),
        _ => {}
    }
}

const SUSPICIOUS: [&str; 7] = [
    "secret",
    "password",
    "ticket",
    "token",
    "stored-key",
    "server-key",
    "private",
];

/// `NAME` of `${NAME}`.
pub fn environment_name(text: &str) -> Option<&str> {
    text.strip_prefix("${")?
        .strip_suffix('}')
        .filter(|name| !name.is_empty())
}
