//! Filters that keep nothing or the same twice, stores that would share a folder.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use rewamp_wamp::uri::{MatchPolicy, UriCheck, check_uri, is_restricted};

use super::super::cursor::Cursor;
use super::super::finding::Findings;
use super::super::path::Path;
use super::uri_check;

pub(super) fn check(routers: &[Cursor], findings: &mut Findings) {
    let mut folders: HashMap<PathBuf, Path> = HashMap::new();
    for realm in routers
        .iter()
        .flat_map(|router| router.key("realms").items())
    {
        let store = realm.key("store");
        let on_disk = store.is_of_type("sled") || store.is_of_type("cfxdb");
        if !on_disk && !store.is_of_type("memory") {
            continue;
        }
        check_filters(&store.key("event-history"), uri_check(&realm), findings);
        if store.is_of_type("memory") && store.key("readonly").boolean() == Some(true) {
            findings.fault(
                &store.key("readonly").path,
                "a store in memory begins empty: there would never be anything to read",
            );
        }
        if let Some(path) = store.key("path").text().filter(|_| on_disk) {
            match folders.get(&normalize(path)) {
                Some(first) => {
                    let text =
                        format!("{path:?} is also the folder of {first}; a folder holds one store");
                    findings.fault(&store.key("path").path, text);
                }
                None => {
                    folders.insert(normalize(path), store.path.clone());
                }
            }
        }
    }
}

fn check_filters(filters: &Cursor, check: UriCheck, findings: &mut Findings) {
    if filters.items().next().is_none() {
        findings.warn(&filters.path, "no filter: the store keeps nothing");
    }
    let mut seen: HashMap<(&str, MatchPolicy), Path> = HashMap::new();
    for filter in filters.items() {
        let at = filter.key("uri");
        let Some(uri) = at.text() else { continue };
        let policy = match filter.key("match").text() {
            Some(name) => match MatchPolicy::from_name(name) {
                Some(policy) => policy,
                None => continue,
            },
            None => MatchPolicy::Exact,
        };
        if let Err(error) = check_uri(uri, policy, check) {
            findings.fault(&at.path, format!("{error} (match `{policy}`)"));
        } else if is_restricted(uri) {
            findings.warn(
                &at.path,
                "keeps nothing: events of the router itself are never stored",
            );
        }
        if let Some(first) = seen.get(&(uri, policy)) {
            let text = format!("{uri:?} with match `{policy}` is also at {first}; leave one");
            findings.fault(&filter.path, text);
        }
        seen.entry((uri, policy))
            .or_insert_with(|| filter.path.clone());
    }
}

/// The path without `.` and `..`, as far as its text tells.
fn normalize(path: &str) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in PathBuf::from(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
