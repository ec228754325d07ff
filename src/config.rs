//! What the node shall be: found, layered, checked. `Draft::read` brings the layers together,
//! `check` names everything that is wrong, `Draft::config` gives the checked [`Config`].
//!
//! ```text
//! file or built-in ─┐
//! environment ──────┼─ layers ─ tree ─┬─ check (the table of keys) ─┐
//! command line ─────┘                 ├─ resolve (secrets, ports)   ├─ findings, or a Config
//!                                     └─ rules (across keys) ───────┘
//! ```

pub mod file; //        which file, and what is in it
pub mod builtin; //     without one
mod environment; //     REWAMP__… variables
mod layers; //          one over the other
pub mod keys; //        the table of keys
pub mod tree; //        walks along it
pub mod allowed; //     what it allows, in words
pub mod check; //       what a single key shows
mod rules; //           what only several show
pub mod resolve; //     what stands outside
pub(crate) mod age; //  spans of time
mod cursor; //          reads what may have any shape
mod written; //         the built keys as serde sees them
mod build; //           and as they are meant
pub mod checked; //     the result
pub mod origin; //      which web pages may connect
pub mod path; //        where something stands
pub mod finding; //     what is wrong there
pub mod crossbar; //    the way back
pub mod reference; //   the documentation

use std::path::PathBuf;

use serde_json::{Map, Value, json};

pub use checked::Config;
use file::{Found, ReadError, Search};
use finding::{Findings, Severity};
use layers::Layer;
use path::Path;
use resolve::Surroundings;

/// What a configuration is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Where the file is looked for.
    pub search: Search,
    /// Environment variables.
    pub environment: std::collections::HashMap<String, String>,
    /// `--loglevel`.
    pub loglevel: Option<String>,
}

/// A configuration that is read and not yet checked.
#[derive(Debug, Clone)]
pub struct Draft {
    found: Found,
    /// The layers as one, always in the form of a node configuration.
    tree: Value,
    form: Form,
    around: Surroundings,
    /// Which variables set what.
    variables: Vec<(Path, String)>,
    /// What was wrong with the layers themselves.
    findings: Findings,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Crossbar's node configuration, with `workers`.
    Node,
    /// What stands in one router worker.
    Router,
}

impl Draft {
    /// Reads the file and lays the other layers over it.
    pub fn read(sources: &Sources) -> Result<Self, ReadError> {
        let found = sources.search.find()?;
        let written = match &found.file {
            Some(file) => file::read(file)?,
            None => builtin::tree(),
        };
        Self::lay(written, found, sources)
    }

    fn lay(written: Value, found: Found, sources: &Sources) -> Result<Self, ReadError> {
        let mut findings = Findings::default();
        let (form, base) = node_form(written, &mut findings);
        let environment = sources
            .environment
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let overrides = environment::overrides(environment, &base);
        findings.append(overrides.findings);
        let mut layers = vec![Layer::Tree(base), Layer::Values(overrides.values)];
        if let Some(level) = &sources.loglevel {
            let path = Path::root().key("rewamp").key("loglevel");
            layers.push(Layer::Values(vec![(path, json!(level))]));
        }
        let mut tree = layers::merge(layers)?;
        let text = check::check(&tree); // before aliases are gone
        findings.append(text);
        tree::rename_aliases(&mut tree);
        if let Some(unread) = &found.unread {
            findings.warn(
                &Path::root(),
                format!("{} is there too and is not read", unread.display()),
            );
        }
        let around = Surroundings {
            environment: sources.environment.clone(),
            folder: found.folder.clone(),
        };
        Ok(Self {
            found,
            tree,
            form,
            around,
            variables: overrides.variables,
            findings,
        })
    }

    /// The file; none: the built-in configuration.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.found.file.as_deref()
    }

    /// Everything that is wrong, and everything that is not built. References to nothing weigh as
    /// `references` says.
    pub fn check(&self, references: Severity) -> Findings {
        self.resolved(references).1
    }

    /// The configuration and its warnings, or all faults (and warnings).
    pub fn config(&self) -> Result<(Config, Findings), Findings> {
        let (mut tree, mut findings) = self.resolved(Severity::Fault);
        if findings.stop() {
            return Err(findings);
        }
        tree::fill_defaults(&mut tree);
        match build::build(tree, &self.around) {
            Ok(mut config) => {
                config.file.clone_from(&self.found.file);
                Ok((config, findings))
            }
            Err(error) => {
                findings.fault(
                    &Path::root(),
                    format!("a checked configuration cannot be read: {error}"),
                );
                Err(findings)
            }
        }
    }

    /// The tree with defaults and without literal secrets, for people.
    pub fn effective(&self) -> Value {
        let mut tree = self.tree.clone();
        tree::fill_defaults(&mut tree);
        tree::mask_secrets(&mut tree);
        tree
    }

    /// What Crossbar starts with, and what it loses.
    pub fn for_crossbar(&self, with_secrets: bool) -> crossbar::Export {
        crossbar::export(self.tree.clone(), &self.around, with_secrets)
    }

    fn resolved(&self, references: Severity) -> (Value, Findings) {
        let mut tree = self.tree.clone();
        let mut findings = self.findings.clone();
        findings.append(resolve::resolve(&mut tree, &self.around, references));
        findings.append(resolve::missing_stores(&tree, &self.around));
        findings.append(rules::check(&tree));
        self.reword(&mut findings);
        (tree, findings)
    }

    /// Names variables that are to blame, and shows paths as they are in the file.
    fn reword(&self, findings: &mut Findings) {
        let router = Path::root().key("workers").index(0);
        for finding in findings.iter_mut() {
            if let Some((_, name)) = self
                .variables
                .iter()
                .find(|(path, _)| *path == finding.path)
            {
                finding.text = format!("{} (set by {name})", finding.text);
            }
            if self.form == Form::Router {
                finding.path = finding.path.below(&router);
                finding.text = finding.text.replace("workers[0].", "");
            }
        }
    }
}

/// A node configuration of what was written: a router section becomes its only worker.
fn node_form(written: Value, findings: &mut Findings) -> (Form, Value) {
    let Value::Object(mut map) = written else {
        let found = finding::describe(&written);
        findings.refuse(
            &Path::root(),
            found,
            "an object: a node configuration or a router section",
        );
        return (Form::Node, json!({"workers": []}));
    };
    let is_router = map.get("type").is_some_and(|kind| kind == "router")
        || (!map.contains_key("workers")
            && (map.contains_key("realms") || map.contains_key("transports")));
    if !is_router {
        return (Form::Node, Value::Object(map));
    }
    let mut node = Map::new();
    for key in ["$schema", "version", "controller", "rewamp"] {
        if let Some(value) = map.remove(key) {
            node.insert(key.to_owned(), value);
        }
    }
    map.entry("type").or_insert_with(|| json!("router"));
    node.insert(String::from("workers"), json!([map]));
    (Form::Router, Value::Object(node))
}

/// Sources of the running process.
pub fn sources(
    config: Option<PathBuf>,
    cbdir: Option<PathBuf>,
    loglevel: Option<String>,
) -> std::io::Result<Sources> {
    let working_folder = std::env::current_dir()?;
    let unicode = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    Ok(Sources {
        search: Search {
            config,
            cbdir,
            working_folder,
        },
        environment: unicode.collect(),
        loglevel,
    })
}

#[cfg(test)]
mod tests;
