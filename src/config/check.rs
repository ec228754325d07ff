//! Compares a configuration with the table of keys: unknown keys, wrong types, values out of
//! range, missing keys, parts that are not built. Finds all of them in one walk. What no single
//! key shows (duplicates, references) is for `rules.rs`.

use serde_json::{Map, Value};

use super::age;
use super::allowed::{allowed, words};
use super::finding::{Findings, describe, describe_type, suggest};
use super::keys::{Key, Kind, MapKeys, Section, Support, Tagged, Text, WHOLE};
use super::path::Path;
use super::tree::{MASK, environment_name};

/// All findings of a whole configuration.
pub fn check(tree: &Value) -> Findings {
    let mut findings = Findings::default();
    check_value(&WHOLE, tree, &Path::root(), &mut findings);
    findings
}

/// Adds what is wrong with one value.
pub fn check_value(kind: &'static Kind, value: &Value, path: &Path, findings: &mut Findings) {
    match (kind, value) {
        (Kind::OrNull(_), Value::Null) => {}
        (Kind::OrNull(kind), _) => check_value(kind, value, path, findings),
        (Kind::Secrets, _) => check_secrets(value, path, findings),
        (Kind::Object(section), Value::Object(map)) => check_keys(section, map, path, findings),
        (Kind::Tagged(tagged), Value::Object(map)) => check_tagged(tagged, map, path, findings),
        (Kind::List(kind), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check_value(kind, item, &path.index(index), findings);
            }
        }
        (Kind::Map(keys, kind), Value::Object(map)) => {
            for (key, item) in map {
                check_map_key(*keys, key, path, findings);
                check_value(kind, item, &path.key(key), findings);
            }
        }
        (Kind::Choice(words), Value::String(written)) if !words.contains(&written.as_str()) => {
            findings.refuse(
                path,
                describe(value),
                one_of(words.iter().copied(), written),
            );
        }
        _ if fits(kind, value) => {}
        _ => findings.refuse(path, describe(value), allowed(kind)),
    }
}

/// Whether a value without parts is one that the kind allows.
fn fits(kind: &Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Opaque, _) | (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Integer { min, max, .. }, Value::Number(number)) => number
            .as_u64()
            .is_some_and(|number| (*min..=*max).contains(&number)),
        (Kind::Age, value) => age::read(value).is_some(),
        (Kind::Numbers(numbers), Value::Number(number)) => number
            .as_u64()
            .is_some_and(|number| numbers.contains(&number)),
        (Kind::Text(text), Value::String(written)) => text_fits(*text, written),
        (Kind::Choice(words), Value::String(written)) => words.contains(&written.as_str()),
        (Kind::Port, Value::Number(number)) => number
            .as_u64()
            .is_some_and(|port| (1..=65_535).contains(&port)),
        (Kind::Port, Value::String(text)) => port_variable(text).is_some(),
        _ => false,
    }
}

/// An object whose keys are known: each of them, those missing, and those that nobody knows.
fn check_keys(
    section: &'static Section,
    map: &Map<String, Value>,
    path: &Path,
    findings: &mut Findings,
) {
    for (name, value) in map {
        match section.key(name) {
            Some(key) => check_key(key, value, &path.key(name), findings),
            None => unknown(section, name, path, findings),
        }
    }
    for key in section.keys {
        let spellings = std::iter::once(&key.name).chain(key.aliases);
        let written: Vec<&str> = spellings
            .copied()
            .filter(|name| map.contains_key(*name))
            .collect();
        match written.as_slice() {
            [] if key.required => {
                findings.fault(
                    &path.key(key.name),
                    format!("missing; allowed: {}", allowed(&key.kind)),
                );
            }
            [first, second, ..] => {
                let text = format!("`{first}` and `{second}` are the same key; leave one");
                findings.fault(&path.key(second), text);
            }
            _ => {}
        }
    }
}

/// One known key. What is of the wrong type is not also named as not built.
fn check_key(key: &'static Key, value: &Value, path: &Path, findings: &mut Findings) {
    let before = findings.iter().len();
    check_value(&key.kind, value, path, findings);
    if findings.iter().len() > before {
        return;
    }
    let asks_for_nothing = |unless: &[&str]| {
        unless
            .iter()
            .any(|json| serde_json::from_str::<Value>(json).is_ok_and(|nothing| &nothing == value))
    };
    match key.support {
        Support::Inert { unless, why } if !asks_for_nothing(unless) => {
            findings.warn(path, format!("has no effect: {why}"));
        }
        Support::Unbuilt { stops, unless, why } if !asks_for_nothing(unless) => {
            unbuilt(stops, why, path, findings);
        }
        _ => {}
    }
}

fn check_tagged(
    tagged: &'static Tagged,
    map: &Map<String, Value>,
    path: &Path,
    findings: &mut Findings,
) {
    let at = path.key("type");
    let names = || tagged.tags.iter().map(|tag| tag.name);
    let written = match map.get("type") {
        Some(Value::String(written)) => written,
        Some(other) => return findings.refuse(&at, describe(other), words(names())),
        None => return findings.fault(&at, format!("missing; allowed: {}", words(names()))),
    };
    let Some(tag) = tagged.tag(written) else {
        let found = format!("{} {written:?}", tagged.what);
        return findings.refuse(&at, found, one_of(names(), written));
    };
    if let Support::Unbuilt { stops, why, .. } = tag.support {
        let what = format!("{} `{}`: {why}", tagged.what, tag.name);
        return unbuilt(stops, &what, path, findings);
    }
    let mut keys = map.clone();
    keys.remove("type");
    check_keys(tag.section, &keys, path, findings);
}

fn unbuilt(stops: bool, why: &str, path: &Path, findings: &mut Findings) {
    if stops {
        findings.fault(
            path,
            format!("not built yet, and not to be left out: {why}"),
        );
    } else {
        findings.warn(path, format!("not built: {why}"));
    }
}

fn unknown(section: &'static Section, name: &str, path: &Path, findings: &mut Findings) {
    let known = || section.keys.iter().map(|key| key.name);
    let text = match suggest(name, known()) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; allowed: {}", words(known())),
    };
    findings.fault(&path.key(name), text);
}

/// What is allowed, and which of it may have been meant.
fn one_of<'a>(allowed: impl Iterator<Item = &'a str> + Clone, written: &str) -> String {
    match suggest(written, allowed.clone()) {
        Some(near) => format!("{}; did you mean `{near}`?", words(allowed)),
        None => words(allowed),
    }
}

/// A secret in one of its forms; the text itself never becomes part of a finding.
fn check_secrets(value: &Value, path: &Path, findings: &mut Findings) {
    match value {
        Value::Array(items) if items.is_empty() || items.len() > 2 => {
            findings.refuse(path, describe(value), "one secret or a list of two");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_secret(item, &path.index(index), findings);
            }
        }
        _ => check_secret(value, path, findings),
    }
}

fn check_secret(value: &Value, path: &Path, findings: &mut Findings) {
    match value {
        Value::String(text) if text == MASK => {
            let allowed = "the secret itself; this is how a printed configuration hides it";
            findings.refuse(path, format!("{MASK:?}"), allowed);
        }
        Value::String(text) if text.is_empty() => {
            findings.refuse(path, "empty text", "at least one character");
        }
        Value::String(_) => {}
        Value::Object(map) if is_file_reference(map) => {}
        _ => findings.refuse(path, describe_type(value), allowed(&Kind::Secrets)),
    }
}

/// `{"file": "…"}` and nothing else.
fn is_file_reference(map: &Map<String, Value>) -> bool {
    map.len() == 1 && matches!(map.get("file"), Some(Value::String(file)) if !file.is_empty())
}

fn check_map_key(keys: MapKeys, key: &str, path: &Path, findings: &mut Findings) {
    let fits = match keys {
        MapKeys::Some => !key.is_empty(),
        MapKeys::WebPath => key == "/" || super::path::is_word(key),
    };
    if !fits {
        let allowed = match keys {
            MapKeys::Some => "at least one character",
            MapKeys::WebPath => {
                "one component of the path, of letters, digits, `_` and `-`, without slashes, or \
                 `/`"
            }
        };
        findings.refuse(&path.key(key), format!("key {key:?}"), allowed);
    }
}

fn text_fits(text: Text, written: &str) -> bool {
    match text {
        Text::Any => true,
        Text::Some => !written.is_empty(),
        Text::Id => {
            let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            (3..=64).contains(&written.len())
                && written.starts_with(|c: char| c.is_ascii_lowercase())
                && written.bytes().all(rest)
        }
    }
}

/// `NAME` of `$NAME` or `${NAME}`.
pub fn port_variable(text: &str) -> Option<&str> {
    environment_name(text)
        .or_else(|| text.strip_prefix('$'))
        .filter(|name| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::reference::sections;
    use super::*;

    /// The least that a section takes.
    fn least(section: &'static Section) -> Map<String, Value> {
        let required = section.keys.iter().filter(|key| key.required);
        required
            .map(|key| (key.name.to_owned(), good(&key.kind)))
            .collect()
    }

    /// Something that fits.
    fn good(kind: &'static Kind) -> Value {
        match kind {
            Kind::Bool | Kind::Opaque => json!(true),
            Kind::Integer { max, .. } => json!(max),
            Kind::Age => json!("36500d"),
            Kind::Numbers(numbers) => json!(numbers.last()),
            Kind::Text(_) | Kind::Secrets => json!("abc"),
            Kind::Choice(words) => json!(words.last()),
            Kind::Port => json!(65_535),
            Kind::Object(section) => Value::Object(least(section)),
            Kind::Tagged(tagged) => {
                let tag = &tagged.tags[0];
                let mut map = least(tag.section);
                map.insert(String::from("type"), json!(tag.name));
                Value::Object(map)
            }
            Kind::List(kind) => json!([good(kind)]),
            Kind::Map(_, kind) => json!({"abc": good(kind)}),
            Kind::OrNull(_) => Value::Null,
        }
    }

    /// Something that does not; none where everything does.
    fn bad(kind: &'static Kind) -> Option<Value> {
        Some(match kind {
            Kind::Bool => json!("yes"),
            Kind::Integer { max, .. } if *max < u64::MAX => json!(max + 1),
            Kind::Integer { .. } => json!(-1),
            Kind::Age => json!("36501d"),
            Kind::Numbers(_) => json!(5),
            Kind::Text(_) | Kind::Secrets => json!(5),
            Kind::Choice(_) => json!("nonsense"),
            Kind::Port => json!(0),
            Kind::Object(_) | Kind::Map(..) => json!([]),
            Kind::Tagged(_) => json!({"type": "nonsense"}),
            Kind::List(_) => json!({}),
            Kind::OrNull(kind) => bad(kind)?,
            Kind::Opaque => return None,
        })
    }

    fn findings_of(section: &'static Section, key: &Key, value: Value) -> Findings {
        let mut map = least(section);
        map.insert(key.name.to_owned(), value);
        let mut findings = Findings::default();
        check_keys(section, &map, &Path::root(), &mut findings);
        findings
    }

    fn every_key() -> impl Iterator<Item = (&'static Section, &'static Key)> {
        sections()
            .into_iter()
            .flat_map(|section| section.keys.iter().map(move |key| (section, key)))
    }

    #[test]
    fn every_key_takes_a_value_that_fits() {
        for (section, key) in every_key() {
            let harmless = match key.support {
                Support::Inert { unless, .. } | Support::Unbuilt { unless, .. } => unless.first(),
                Support::Built => None,
            };
            let value = match harmless {
                Some(json) => serde_json::from_str(json).unwrap(),
                None => good(&key.kind),
            };
            let findings = findings_of(section, key, value);
            let unbuilt = matches!(
                key.support,
                Support::Inert { unless: [], .. } | Support::Unbuilt { unless: [], .. }
            );
            let texts: Vec<&str> = findings
                .iter()
                .map(|finding| finding.text.as_str())
                .collect();
            let name = format!("{}.{}", section.title, key.name);
            assert_eq!(texts.len(), usize::from(unbuilt), "{name}: {texts:?}");
            let named =
                |text: &&str| text.starts_with("not built") || text.starts_with("has no effect");
            assert!(texts.iter().all(named), "{name}: {texts:?}");
        }
    }

    #[test]
    fn every_key_refuses_a_value_that_does_not() {
        for (section, key) in every_key() {
            let Some(value) = bad(&key.kind) else {
                continue;
            };
            let findings = findings_of(section, key, value);
            let name = format!("{}.{}", section.title, key.name);
            assert_eq!(findings.iter().count(), 1, "{name}: {findings:?}");
            assert!(findings.stop(), "{name}");
            let finding = findings.iter().next().unwrap();
            assert!(
                finding.path.as_str().contains(key.name),
                "{name}: {finding}"
            );
            assert!(finding.text.contains("; allowed: "), "{name}: {finding}");
        }
    }

    #[test]
    fn every_default_is_a_value_that_the_key_takes() {
        for (section, key) in every_key() {
            let Some(json) = key.default else { continue };
            let findings = findings_of(section, key, serde_json::from_str(json).unwrap());
            assert_eq!(
                findings,
                Findings::default(),
                "{}.{}",
                section.title,
                key.name
            );
        }
    }

    #[test]
    fn every_required_key_is_missed() {
        for section in sections() {
            for key in section.keys.iter().filter(|key| key.required) {
                let mut map = least(section);
                map.remove(key.name);
                let mut findings = Findings::default();
                check_keys(section, &map, &Path::root(), &mut findings);
                assert_eq!(findings.count(super::super::finding::Severity::Fault), 1);
            }
        }
    }
}
