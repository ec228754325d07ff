//! One change to a configuration that is free of findings, and the one finding that it causes.

use serde_json::Value;

use super::super::finding::Severity;
use super::{complete, findings};

/// Sets the value at a JSON pointer below the worker (`/…`) or the top level (`^/…`).
pub(super) fn changed(pointer: &str, value: Value) -> Value {
    let mut tree = complete();
    let pointer = match pointer.strip_prefix('^') {
        Some(top) => top.to_owned(),
        None => format!("/workers/0{pointer}"),
    };
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = tree
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{pointer}"));
    match parent {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(items) => match items.get_mut(key.parse::<usize>().unwrap()) {
            Some(item) => *item = value,
            None => items.push(value),
        },
        _ => panic!("{pointer}"),
    }
    tree
}

/// After the change there is exactly this one finding.
fn check(pointer: &str, value: Value, severity: Severity, path: &str, text: &str) {
    let found = findings(&changed(pointer, value));
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    let [one] = all.as_slice() else {
        panic!("{pointer}: {all:#?}")
    };
    let finding = found.iter().next().unwrap();
    assert_eq!(finding.severity, severity, "{one}");
    assert_eq!(
        finding.path.as_str().replace("workers[0].", ""),
        path,
        "{one}"
    );
    assert!(finding.text.contains(text), "{one}");
}

pub(super) fn fault(pointer: &str, value: Value, path: &str, text: &str) {
    check(pointer, value, Severity::Fault, path, text);
}

pub(super) fn warning(pointer: &str, value: Value, path: &str, text: &str) {
    check(pointer, value, Severity::Warning, path, text);
}

pub(super) const STORE: &str = "/realms/0/store";
pub(super) const WS: &str = "/transports/0/paths/ws";
