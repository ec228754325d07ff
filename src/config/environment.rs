//! The layer of environment variables: `REWAMP__REALMS__0__STORE__MAXSIZE=1073741824`. Names are
//! folded (upper case, `-` as `_`), so they are looked up along the table and in the tree below:
//! the key `event-history` is `EVENT_HISTORY`, an item of a list is its index or its folded name.

use serde_json::{Map, Value};

use super::checked::Place;
use super::finding::Findings;
use super::keys::{Kind, NODE, REWAMP_NODE, ROUTER, Section, Support, Tagged};
use super::path::{Path, is_word};

/// What the names begin with.
const PREFIX: &str = "REWAMP__";

/// Values to set, and what is wrong with variables that name nothing.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// In the order of the names.
    pub values: Vec<(Path, Value)>,
    /// Paths and the variables that set them.
    pub variables: Vec<(Path, String)>,
    pub findings: Findings,
}

/// Reads all variables that begin with [`PREFIX`] against the tree that they change.
pub(super) fn overrides<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    tree: &Value,
) -> Overrides {
    let mut overrides = Overrides::default();
    let mut variables: Vec<_> = variables
        .filter_map(|(name, text)| Some((name, name.strip_prefix(PREFIX)?, text)))
        .collect();
    variables.sort_unstable();
    for (name, rest, text) in variables {
        match target(rest, tree) {
            Ok((path, kind)) => {
                overrides.values.push((path.clone(), parse(kind, text)));
                overrides.variables.push((path, name.to_owned()));
            }
            Err(what) => {
                let text = format!("environment variable: {what}");
                overrides.findings.fault(&Path::root().key(name), text);
            }
        }
    }
    overrides
}

/// A place and the name of the variable that sets it.
pub(super) fn place(path: &Path) -> Place {
    let key = path.to_string();
    let short = key
        .strip_prefix("workers[0].")
        .or_else(|| key.strip_prefix("rewamp."))
        .unwrap_or(&key);
    let words: Vec<String> = short
        .split(['.', '[', ']', '"'])
        .filter(|word| !word.is_empty())
        .map(fold)
        .collect();
    Place {
        variable: format!("{PREFIX}{}", words.join("__")),
        key,
    }
}

/// A key as it is written in the environment.
fn fold(key: &str) -> String {
    key.to_uppercase().replace(['-', '.'], "_")
}

/// Where `A__B__C` points to. It begins at the top level, in the first router worker, or in
/// `rewamp`.
fn target(name: &str, tree: &Value) -> Result<(Path, &'static Kind), String> {
    let words: Vec<&str> = name.split("__").collect();
    let (first, rest) = words
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let root = Path::root();
    let workers = tree.get("workers").and_then(Value::as_array);
    let is_router = |worker: &Value| worker.get("type").is_some_and(|kind| kind == "router");
    let router = workers
        .and_then(|workers| workers.iter().position(is_router))
        .unwrap_or_default();
    let starts = [
        At {
            path: root.clone(),
            value: Some(tree),
        }
        .key(&NODE, first),
        At {
            path: root.key("workers").index(router),
            value: workers.and_then(|workers| workers.get(router)),
        }
        .key(&ROUTER, first),
        At {
            path: root.key("rewamp"),
            value: tree.get("rewamp"),
        }
        .key(&REWAMP_NODE, first),
    ];
    match starts.into_iter().flatten().next() {
        Some((kind, at)) => at.descend(kind, rest),
        None => Err(format!("nothing in a configuration is called `{first}`")),
    }
}

/// A place in the tree, with what is there now.
struct At<'a> {
    path: Path,
    value: Option<&'a Value>,
}

impl At<'_> {
    fn descend(self, kind: &'static Kind, words: &[&str]) -> Result<(Path, &'static Kind), String> {
        let Some((word, rest)) = words.split_first() else {
            return Ok((self.path, kind));
        };
        let (kind, below) = self.below(kind, word)?;
        below.descend(kind, rest)
    }

    /// What `word` is called here.
    fn below(&self, kind: &'static Kind, word: &str) -> Result<(&'static Kind, Self), String> {
        let found = match kind {
            Kind::OrNull(kind) => return self.below(kind, word),
            Kind::Object(section) => self.key(section, word),
            Kind::Tagged(_) if word == "TYPE" => Some((&TYPE, self.at("type"))),
            Kind::Tagged(tagged) => {
                section_of(tagged, self.value).and_then(|section| self.key(section, word))
            }
            Kind::List(kind) => self.item(word).map(|item| (*kind, item)),
            Kind::Map(_, kind) => return self.entry(word).map(|entry| (*kind, entry)),
            _ => return Err(format!("`{}` has nothing below it", self.path)),
        };
        found.ok_or_else(|| self.nothing(word))
    }

    fn key(&self, section: &'static Section, word: &str) -> Option<(&'static Kind, Self)> {
        let key = section.keys.iter().find(|key| fold(key.name) == word)?;
        Some((&key.kind, self.at(key.name)))
    }

    /// The item of that index or name; the index after the last is a new item.
    fn item(&self, word: &str) -> Option<Self> {
        let items = self
            .value
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let is_called = |item: &Value, key| {
            item.get(key)
                .and_then(Value::as_str)
                .is_some_and(|name| fold(name) == word)
        };
        let index = match word.parse::<usize>() {
            Ok(index) => Some(index).filter(|index| *index <= items.len()),
            Err(_) => items
                .iter()
                .position(|item| is_called(item, "name") || is_called(item, "id")),
        }?;
        Some(Self {
            path: self.path.index(index),
            value: items.get(index),
        })
    }

    /// The entry whose key folds to that word, when there is exactly one.
    fn entry(&self, word: &str) -> Result<Self, String> {
        let map = self.value.and_then(Value::as_object);
        let mut keys = map
            .into_iter()
            .flat_map(Map::keys)
            .filter(|key| fold(key) == word);
        match (keys.next(), keys.next()) {
            (Some(key), None) if is_word(key) => Ok(self.at(key)),
            (None, _) => Err(self.nothing(word)),
            _ => Err(format!(
                "`{}`: a variable's name cannot say which key `{word}` is; change it in the file",
                self.path
            )),
        }
    }

    fn at(&self, key: &str) -> Self {
        Self {
            path: self.path.key(key),
            value: self.value.and_then(|value| value.get(key)),
        }
    }

    fn nothing(&self, word: &str) -> String {
        format!("`{}` has no `{word}`", self.path)
    }
}

/// The tag of a tagged object.
static TYPE: Kind = Kind::Text(super::keys::Text::Some);

/// The keys of the object that is there, or of the first kind where there is none.
fn section_of(tagged: &'static Tagged, value: Option<&Value>) -> Option<&'static Section> {
    let written = value
        .and_then(|value| value.get("type"))
        .and_then(Value::as_str);
    let tag = match written {
        Some(name) => tagged.tag(name),
        None => tagged.tags.first(),
    };
    tag.filter(|tag| matches!(tag.support, Support::Built))
        .map(|tag| tag.section)
}

/// The text as the kind wants it; as text where it is nothing of the kind, for `check.rs` to name.
fn parse(kind: &Kind, text: &str) -> Value {
    let json = || serde_json::from_str::<Value>(text).ok();
    let parsed = match kind {
        Kind::Text(_) | Kind::Choice(_) => None,
        Kind::Secrets => json().filter(|value| value.is_object() || value.is_array()),
        Kind::Bool => json().filter(Value::is_boolean),
        Kind::Integer { .. } | Kind::Numbers(_) | Kind::Port => json().filter(Value::is_number),
        _ => json(),
    };
    parsed.unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> Value {
        json!({
            "version": 2,
            "workers": [
                {"type": "container"},
                {"type": "router",
                 "realms": [
                     {"name": "realm1", "store": {"type": "sled", "event-history": [{"uri": ""}]}},
                     {"name": "my-realm"}],
                 "transports": [
                     {"type": "web", "id": "main", "endpoint": {"type": "tcp", "port": 1},
                      "paths": {"ws": {"type": "websocket", "auth": {"ticket": {"type": "static",
                        "principals": {"joe": {}, "Ann": {}, "ann": {}}}}}}}]}],
        })
    }

    fn check(name: &str, text: &str, expected: Result<(&str, Value), &str>) {
        let found = overrides([(name, text)].into_iter(), &tree());
        match expected {
            Ok((path, value)) => {
                assert_eq!(found.findings, Findings::default(), "{name}");
                let (found_path, found_value) = &found.values[0];
                assert_eq!((found_path.as_str(), found_value), (path, &value), "{name}");
            }
            Err(text) => {
                assert!(found.values.is_empty(), "{name}");
                let finding = found.findings.iter().next().unwrap().to_string();
                assert!(finding.contains(text), "{finding}");
            }
        }
    }

    #[test]
    fn a_variable_finds_its_key_whatever_the_case_and_the_dashes() {
        let store = "workers[1].realms[0].store";
        check(
            "REWAMP__REALMS__0__STORE__MAXSIZE",
            "77",
            Ok((&format!("{store}.maxsize"), json!(77))),
        );
        check(
            "REWAMP__REALMS__REALM1__STORE__SYNC",
            "false",
            Ok((&format!("{store}.sync"), json!(false))),
        );
        check(
            "REWAMP__WORKERS__1__REALMS__REALM1__STORE__EVENT_HISTORY__0__URI",
            "5",
            Ok((&format!("{store}.event-history[0].uri"), json!("5"))),
        );
        check(
            "REWAMP__REALMS__MY_REALM__REWAMP__OUTBOX_BYTES",
            "x",
            Ok(("workers[1].realms[1].rewamp.outbox_bytes", json!("x"))),
        );
        check(
            "REWAMP__REALMS__1__ROLES",
            r#"[{"name":"a"}]"#,
            Ok(("workers[1].realms[1].roles", json!([{"name": "a"}]))),
        );
        check(
            "REWAMP__TRANSPORTS__MAIN__PATHS__WS__AUTH__TICKET__PRINCIPALS__JOE__TICKET",
            "12345",
            Ok((
                "workers[1].transports[0].paths.ws.auth.ticket.principals.joe.ticket",
                json!("12345"),
            )),
        );
        check(
            "REWAMP__TRANSPORTS__0__ENDPOINT__PORT",
            "$PORT",
            Ok(("workers[1].transports[0].endpoint.port", json!("$PORT"))),
        );
        check(
            "REWAMP__ADMIN__PORT",
            "9",
            Ok(("rewamp.admin.port", json!(9))),
        );
        check(
            "REWAMP__REWAMP__ADMIN__TYPE",
            "unix",
            Ok(("rewamp.admin.type", json!("unix"))),
        );
        check(
            "REWAMP__LOGLEVEL",
            "debug",
            Ok(("rewamp.loglevel", json!("debug"))),
        );
        check(
            "REWAMP__REALMS__2__NAME",
            "new",
            Ok(("workers[1].realms[2].name", json!("new"))),
        );
    }

    #[test]
    fn a_variable_that_names_nothing_is_a_fault() {
        check(
            "REWAMP__FOO",
            "1",
            Err("nothing in a configuration is called `FOO`"),
        );
        check("REWAMP__REALMS__7__NAME", "1", Err("has no `7`"));
        check(
            "REWAMP__REALMS__0__STORE__MAXSIZ",
            "1",
            Err("has no `MAXSIZ`"),
        );
        check("REWAMP__LOGLEVEL__X", "1", Err("nothing below it"));
        check(
            "REWAMP__TRANSPORTS__0__PATHS__WS__AUTH__TICKET__PRINCIPALS__ANN__ROLE",
            "1",
            Err("cannot say which key"),
        );
    }

    #[test]
    fn a_place_names_the_variable_that_sets_it() {
        let check = |path: Path, variable: &str| assert_eq!(place(&path).variable, variable);
        let router = Path::root().key("workers").index(0);
        check(
            router
                .key("transports")
                .index(1)
                .key("endpoint")
                .key("port"),
            "REWAMP__TRANSPORTS__1__ENDPOINT__PORT",
        );
        check(
            Path::root().key("rewamp").key("admin").key("port"),
            "REWAMP__ADMIN__PORT",
        );
        check(
            Path::root().key("workers").index(1).key("realms").index(0),
            "REWAMP__WORKERS__1__REALMS__0",
        );
    }
}
