//! Whole configurations: what is said of them, and what they become.

mod change; //   one change, one finding
mod cases; //    of a single key
mod rules; //    of several
mod unbuilt; //  of what is known and not there
mod accepted; // what is read as what
mod exported; // what Crossbar gets
mod layered; //  file, environment, command line
mod mutated; //  anything at all

use std::collections::HashMap;
use std::path::Path as FilePath;

use serde_json::Value;

use super::checked::Config;
use super::file::Found;
use super::finding::{Findings, Severity};
use super::{Draft, Sources};

/// A draft of a tree, as if read from `/etc/rewamp/config.json`.
fn draft(tree: &Value, environment: &[(&str, &str)]) -> Draft {
    let environment: HashMap<String, String> = environment
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let found = Found {
        file: Some("/etc/rewamp/config.json".into()),
        folder: FilePath::new("/etc/rewamp").to_owned(),
        unread: None,
    };
    Draft::lay(
        tree.clone(),
        found,
        &Sources {
            environment,
            ..Sources::default()
        },
    )
    .unwrap()
}

fn findings(tree: &Value) -> Findings {
    draft(tree, &[]).check(Severity::Fault)
}

/// The configuration of a tree without faults.
fn config(tree: &Value) -> Config {
    match draft(tree, &[]).config() {
        Ok((config, _)) => config,
        Err(findings) => panic!("{findings:#?}"),
    }
}

/// One realm with a store, one WebSocket with every login; free of findings.
fn complete() -> Value {
    serde_json::from_str(include_str!("fixtures/complete.json")).unwrap()
}
