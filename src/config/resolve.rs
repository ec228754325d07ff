//! Brings in what stands outside the configuration: environment variables and files that secrets
//! and ports refer to. Done at the start; `check` does it too, but what is missing on the machine
//! where one checks is a warning there.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;

use super::check::port_variable;
use super::cursor::Cursor;
use super::finding::{Findings, Severity};
use super::keys::{Kind, WHOLE};
use super::path::Path;
use super::tree::{Met, environment_name, visit};

/// What a configuration may refer to.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables by name; those that are not Unicode are not here.
    pub environment: HashMap<String, String>,
    /// What relative paths in the configuration are relative to.
    pub folder: PathBuf,
}

impl Surroundings {
    /// `path`, made absolute or at least relative to the working folder.
    pub fn locate(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// Replaces every reference by what it refers to. A reference to nothing stays and is named, as a
/// `severity`.
pub fn resolve(tree: &mut Value, around: &Surroundings, severity: Severity) -> Findings {
    let mut findings = Findings::default();
    visit(&WHOLE, tree, &Path::root(), &mut |met, value, path| {
        let result = match met {
            Met::Value(Kind::Port) => resolve_port(value, around),
            Met::Value(Kind::Secrets) => {
                return resolve_secrets(value, path, around, severity, &mut findings);
            }
            _ => return,
        };
        report(result, path, severity, &mut findings);
    });
    findings
}

/// Names stores that are only read and are not there. Always a fault: a folder that comes later
/// would come too late.
pub(super) fn missing_stores(tree: &Value, around: &Surroundings) -> Findings {
    let mut findings = Findings::default();
    let routers = Cursor::new(tree).key("workers");
    let realms = routers
        .items()
        .flat_map(|router| router.key("realms").items());
    for store in realms.map(|realm| realm.key("store")) {
        let path = store.key("path");
        let is_read = store.is_of_type("sled") && store.key("readonly").boolean() == Some(true);
        let Some(folder) = path.text().filter(|_| is_read) else {
            continue;
        };
        let folder = around.locate(folder);
        if !folder.is_dir() {
            let text = format!(
                "there is no folder {}; a `readonly` store is read and never begun",
                folder.display()
            );
            findings.fault(&path.path, text);
        }
    }
    findings
}

fn resolve_secrets(
    value: &mut Value,
    path: &Path,
    around: &Surroundings,
    severity: Severity,
    findings: &mut Findings,
) {
    if let Value::Array(items) = value {
        for (index, item) in items.iter_mut().enumerate() {
            report(
                resolve_secret(item, around),
                &path.index(index),
                severity,
                findings,
            );
        }
    } else {
        report(resolve_secret(value, around), path, severity, findings);
    }
}

fn report(result: Result<(), String>, path: &Path, severity: Severity, findings: &mut Findings) {
    match (result, severity) {
        (Ok(()), _) => {}
        (Err(text), Severity::Fault) => findings.fault(path, text),
        (Err(text), Severity::Warning) => {
            findings.warn(path, format!("{text}; the node does not start without it"));
        }
    }
}

fn resolve_port(value: &mut Value, around: &Surroundings) -> Result<(), String> {
    let Value::String(text) = value else {
        return Ok(());
    };
    let Some(name) = port_variable(text) else {
        return Ok(());
    };
    let found = variable(name, around)?;
    match found.parse::<u16>() {
        Ok(port) if port > 0 => *value = Value::from(port),
        _ => {
            return Err(format!(
                "environment variable `{name}`: found {found:?}; allowed: a port from 1 to 65535"
            ));
        }
    }
    Ok(())
}

/// Replaces one secret's reference by what it refers to; the error says why it cannot.
pub(super) fn resolve_secret(value: &mut Value, around: &Surroundings) -> Result<(), String> {
    let secret = match &*value {
        Value::String(text) => match environment_name(text) {
            Some(name) => variable(name, around)?.to_owned(),
            None => return Ok(()),
        },
        Value::Object(map) => match map.get("file").and_then(Value::as_str) {
            Some(file) => read_secret(&around.locate(file))?,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    if secret.is_empty() {
        return Err(String::from("the secret that it refers to is empty"));
    }
    *value = Value::from(secret);
    Ok(())
}

fn variable<'a>(name: &str, around: &'a Surroundings) -> Result<&'a str, String> {
    let found = around.environment.get(name);
    found
        .map(String::as_str)
        .ok_or_else(|| format!("environment variable `{name}` is not set"))
}

/// The file's text without the line end that editors and `echo` leave.
fn read_secret(file: &FilePath) -> Result<String, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(format!("file {}: {error}", file.display())),
    }
}
