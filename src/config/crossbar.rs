//! The way back: a configuration that Crossbar starts with, and what it does not do of ours.
//! Works on the tree as written, so that nothing gets in that nobody asked for.

use serde_json::{Map, Value, json};

use super::keys::{Kind, WHOLE};
use super::path::Path;
use super::resolve::{Surroundings, resolve_secret};
use super::tree::{self, Met, visit};

/// A configuration for Crossbar.
#[derive(Debug)]
pub struct Export {
    /// Crossbar's node configuration, version 2.
    pub tree: Value,
    /// What is lost, or has to be done by hand.
    pub lost: Vec<String>,
}

/// The configuration without what Crossbar does not have. Literal secrets are masked unless wanted;
/// with them, files that secrets refer to are read.
pub(super) fn export(mut tree: Value, around: &Surroundings, with_secrets: bool) -> Export {
    let mut lost = Vec::new();
    one_secret_each(&mut tree, around, with_secrets, &mut lost);
    if !with_secrets {
        tree::mask_secrets(&mut tree);
    }
    drop_own_keys(&mut tree, &mut lost);
    let workers = tree.get_mut("workers").and_then(Value::as_array_mut);
    for (index, worker) in workers.into_iter().flatten().enumerate() {
        let path = Path::root().key("workers").index(index);
        export_realms(worker, &path, &mut lost);
        let transports = worker.get_mut("transports").and_then(Value::as_array_mut);
        for (index, transport) in transports.into_iter().flatten().enumerate() {
            close_origins(transport, &path.key("transports").index(index), &mut lost);
        }
    }
    if let Value::Object(map) = &mut tree {
        map.entry("version").or_insert_with(|| json!(2));
    }
    Export { tree, lost }
}

/// Crossbar has one secret a principal and no files, and spells a port's variable without braces.
fn one_secret_each(
    tree: &mut Value,
    around: &Surroundings,
    with_secrets: bool,
    lost: &mut Vec<String>,
) {
    visit(
        &WHOLE,
        tree,
        &Path::root(),
        &mut |met, value, path| match met {
            Met::Value(Kind::Port) => {
                if let Some(name) = value.as_str().and_then(super::check::port_variable) {
                    *value = Value::from(format!("${name}"));
                }
            }
            Met::Value(Kind::Secrets) => {
                if let Value::Array(secrets) = value {
                    *value = secrets.first().cloned().unwrap_or_default();
                    lost.push(format!("{path}: only the first secret is kept"));
                }
                if value.is_object() && !with_secrets {
                    *value = Value::from(tree::MASK);
                    lost.push(format!(
                        "{path}: Crossbar reads no files; --with-secrets writes the secret"
                    ));
                }
            }
            _ => {}
        },
    );
    if with_secrets {
        read_files(tree, around, lost);
    }
}

/// Writes what files hold in place of their names; environment variables stay.
fn read_files(tree: &mut Value, around: &Surroundings, lost: &mut Vec<String>) {
    visit(&WHOLE, tree, &Path::root(), &mut |met, value, path| {
        if matches!(met, Met::Value(Kind::Secrets))
            && value.is_object()
            && let Err(error) = resolve_secret(value, around)
        {
            lost.push(format!("{path}: {error}"));
        }
    });
}

fn drop_own_keys(tree: &mut Value, lost: &mut Vec<String>) {
    let Value::Object(map) = tree else { return };
    drop_own(map, &Path::root(), lost);
}

fn drop_own(map: &mut Map<String, Value>, path: &Path, lost: &mut Vec<String>) {
    if let Some(Value::Object(own)) = map.shift_remove("rewamp") {
        for key in own.keys() {
            lost.push(format!(
                "{}: Crossbar does not have it",
                path.key("rewamp").key(key)
            ));
        }
    }
}

fn export_realms(worker: &mut Value, path: &Path, lost: &mut Vec<String>) {
    let realms = worker.get_mut("realms").and_then(Value::as_array_mut);
    for (index, realm) in realms.into_iter().flatten().enumerate() {
        let path = path.key("realms").index(index);
        let Value::Object(map) = realm else { continue };
        drop_own(map, &path, lost);
        if let Some(store) = map.get_mut("store") {
            *store = memory_store(store, &path.key("store"), lost);
        }
    }
}

/// The only store that plain `crossbar start` has.
fn memory_store(store: &Value, path: &Path, lost: &mut Vec<String>) -> Value {
    const KEPT: [&str; 3] = ["limit", "event-history", "call-queue"];
    const FILTER_KEPT: [&str; 3] = ["uri", "match", "limit"];
    let mut memory = Map::new();
    memory.insert(String::from("type"), json!("memory"));
    let Value::Object(map) = store else {
        return Value::Object(memory);
    };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind != "memory" {
        lost.push(format!(
            "{path}: `{kind}` becomes `memory`: the history ends with the process"
        ));
        if !map.contains_key("limit") {
            lost.push(format!(
                "{path}.limit: a filter without a limit of its own keeps 100 events for each \
                 subscription"
            ));
        }
    }
    for (key, value) in map {
        if KEPT.contains(&key.as_str()) {
            memory.insert(key.clone(), value.clone());
        } else if key != "type" {
            lost.push(format!(
                "{}: a memory store of Crossbar does not have it",
                path.key(key)
            ));
        }
    }
    if let Some(Value::Array(filters)) = memory.get_mut("event-history") {
        let path = path.key("event-history");
        let filters = filters.iter_mut().map(Value::as_object_mut).enumerate();
        for (index, filter) in filters {
            let Some(filter) = filter else { continue };
            filter.retain(|key, _| {
                let kept = FILTER_KEPT.contains(&key.as_str());
                if !kept {
                    let path = path.index(index).key(key);
                    lost.push(format!("{path}: Crossbar does not have it"));
                }
                kept
            });
        }
    }
    Value::Object(memory)
}

/// Where nothing is configured, Crossbar lets every web page in; this node does not.
fn close_origins(value: &mut Value, path: &Path, lost: &mut Vec<String>) {
    if value.get("type").and_then(Value::as_str) == Some("websocket") {
        close_origins_of(value, path, lost);
    }
    for key in ["paths", "websocket", "web"] {
        let Some(Value::Object(below)) = value.get_mut(key) else {
            continue;
        };
        let path = path.key(key);
        if key == "web" {
            if let Some(Value::Object(paths)) = below.get_mut("paths") {
                for (name, service) in paths.iter_mut() {
                    close_origins(service, &path.key("paths").key(name), lost);
                }
            }
            continue;
        }
        for (name, service) in below.iter_mut() {
            close_origins(service, &path.key(name), lost);
        }
    }
}

fn close_origins_of(websocket: &mut Value, path: &Path, lost: &mut Vec<String>) {
    let Value::Object(map) = websocket else {
        return;
    };
    let options = map.entry("options").or_insert_with(|| json!({}));
    let Value::Object(options) = options else {
        return;
    };
    if options.contains_key("allowed_origins") {
        return;
    }
    let origins: Vec<String> = ["http", "https"]
        .iter()
        .flat_map(|scheme| {
            ["localhost", "127.0.0.1", "::1"].map(|host| format!("{scheme}://{host}:*"))
        })
        .collect();
    options.insert(String::from("allowed_origins"), json!(origins));
    options
        .entry("allow_null_origin")
        .or_insert_with(|| json!(false));
    lost.push(format!(
        "{}: written out, since Crossbar would let every web page in",
        path.key("options").key("allowed_origins")
    ));
}
