//! Finds the configuration file and reads it as a tree: JSON or YAML, told apart by the name.
//! Knows nothing of what is in it.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use config::{FileFormat, Format};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Names of the file in a node directory, in the order of Crossbar.
const NAMES: [&str; 2] = ["config.yaml", "config.json"];

/// Crossbar's node directory below the working folder.
pub const NODE_DIRECTORY: &str = ".crossbar";

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The named file is not there, or not readable.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A node directory was named, or is there, and has no file.
    #[error(
        "{}: no `config.yaml` or `config.json` in this node directory; `rewamp init` writes one",
        directory.display()
    )]
    NoFile {
        /// The directory.
        directory: PathBuf,
    },
    /// It is no JSON or YAML.
    #[error("{}:{line}:{column}: {what}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was wrong there.
        what: String,
    },
    /// It is YAML of which the place of the error is in the text.
    #[error("{}: {what}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What was wrong, and where.
        what: String,
    },
    /// The layers do not fit together.
    #[error("layers of the configuration: {0}")]
    Layers(#[from] config::ConfigError),
}

/// Where a configuration is looked for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--config`: relative to the working folder, or to the node directory.
    pub config: Option<PathBuf>,
    /// `--cbdir` or `CROSSBAR_DIR`.
    pub cbdir: Option<PathBuf>,
    /// The working folder.
    pub working_folder: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file; none: the built-in configuration holds.
    pub file: Option<PathBuf>,
    /// What relative paths in the configuration are relative to.
    pub folder: PathBuf,
    /// A second file in the node directory, which is not read.
    pub unread: Option<PathBuf>,
}

impl Search {
    /// The file to read, by the order of the documentation.
    pub fn find(&self) -> Result<Found, ReadError> {
        let cbdir = self
            .cbdir
            .as_ref()
            .map(|cbdir| self.working_folder.join(cbdir));
        if let Some(config) = &self.config {
            return Ok(self.named(config, cbdir));
        }
        let directory = match cbdir {
            // As Crossbar: a file given as node directory stands for its folder.
            Some(file) if file.is_file() => return Ok(self.named(&file, None)),
            Some(directory) => directory,
            None => {
                let usual = self.working_folder.join(NODE_DIRECTORY);
                if !usual.is_dir() {
                    let folder = self.working_folder.clone();
                    return Ok(Found {
                        file: None,
                        folder,
                        unread: None,
                    });
                }
                usual
            }
        };
        let mut files = NAMES
            .iter()
            .map(|name| directory.join(name))
            .filter(|file| file.is_file());
        match (files.next(), files.next()) {
            (None, _) => Err(ReadError::NoFile { directory }),
            (file, unread) => Ok(Found {
                file,
                folder: directory,
                unread,
            }),
        }
    }

    fn named(&self, config: &FilePath, cbdir: Option<PathBuf>) -> Found {
        let mut file = self.working_folder.join(config);
        if let Some(cbdir) = &cbdir
            && !file.is_file()
            && cbdir.join(config).is_file()
        {
            file = cbdir.join(config);
        }
        let parent = file
            .parent()
            .map_or_else(|| self.working_folder.clone(), FilePath::to_owned);
        Found {
            file: Some(file),
            folder: cbdir.unwrap_or(parent),
            unread: None,
        }
    }
}

/// The file's tree. Keys and their case stay as they are; a key twice in an object is an error.
pub fn read(path: &FilePath) -> Result<Value, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReadError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_yaml = path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
    });
    if is_yaml {
        read_yaml(path, text)
    } else {
        read_json(path, text)
    }
}

fn read_json(path: &FilePath, text: &str) -> Result<Value, ReadError> {
    serde_json::from_str::<Once>(text)
        .map(|once| once.0)
        .map_err(|error| {
            let what = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            ReadError::Syntax {
                path: path.to_owned(),
                line: error.line().max(1),
                column: error.column().max(1),
                what: what.strip_suffix(&place).unwrap_or(&what).to_owned(),
            }
        })
}

fn read_yaml(path: &FilePath, text: &str) -> Result<Value, ReadError> {
    let map = FileFormat::Yaml
        .parse(None, text)
        .map_err(|error| ReadError::Yaml {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
    let tree = config::Value::new(None, config::ValueKind::Table(map));
    Ok(tree.try_deserialize()?)
}

/// A tree in which no object has a key twice; `serde_json::Value` would keep the last and say
/// nothing, and a principal's old secret would silently win or lose.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key `{key}` is there twice")));
            }
            let Once(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
