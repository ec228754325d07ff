//! What is wrong with a configuration, or not as its writer may think. Every check adds to one
//! [`Findings`], so that one run shows all of them. Knows no table; secrets never get in here.

use std::fmt;

use serde_json::Value;

use super::path::Path;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The node starts; something has no effect, or not the effect one may expect.
    Warning,
    /// The node does not start.
    Fault,
}

/// One thing to say about one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it stops the start.
    pub severity: Severity,
    /// Where.
    pub path: Path,
    /// What was found and what is allowed, or what follows; lower case, no full stop.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        };
        write!(f, "{severity}: {}: {}", self.path, self.text)
    }
}

/// All that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// The value at `path` is not among the allowed ones.
    pub fn refuse(&mut self, path: &Path, found: impl fmt::Display, allowed: impl fmt::Display) {
        self.fault(path, format!("found {found}; allowed: {allowed}"));
    }

    /// Something that stops the start.
    pub fn fault(&mut self, path: &Path, text: impl Into<String>) {
        self.0.push(Finding {
            severity: Severity::Fault,
            path: path.clone(),
            text: text.into(),
        });
    }

    /// Something that does not.
    pub fn warn(&mut self, path: &Path, text: impl Into<String>) {
        self.0.push(Finding {
            severity: Severity::Warning,
            path: path.clone(),
            text: text.into(),
        });
    }

    /// Whether the node must not start.
    pub fn stop(&self) -> bool {
        self.0
            .iter()
            .any(|finding| finding.severity == Severity::Fault)
    }

    /// How many are of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// Takes over what another check found.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// All of them, to be reworded.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Finding> {
        self.0.iter_mut()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A value in a few words, for the `found` of a finding. Not for secrets.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => String::from("null"),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("text {:?}", shorten(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => String::from("an object"),
    }
}

/// The type of a value, where the value itself must not be shown.
pub fn describe_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The nearest of `known` to what was written, when it is near enough to be meant.
pub fn suggest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let written = plain(written);
    known
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&written, &plain(name)),
                name,
            )
        })
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Two letters wrong in five, or better: `maxsise` is `maxsize`, `foo` is nothing.
const NEAR: f64 = 0.6;

/// The first 60 characters.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_near_a_known_one_is_suggested() {
        let known = ["maxsize", "maxbuffer", "event-history", "uri"];
        let check = |written, expected| {
            assert_eq!(suggest(written, known.into_iter()), expected, "{written}");
        };
        check("maxsise", Some("maxsize"));
        check("max_buffer", Some("maxbuffer"));
        check("event_history", Some("event-history"));
        check("EventHistory", Some("event-history"));
        check("url", Some("uri"));
        check("foo", None);
    }

    #[test]
    fn a_long_text_is_shortened_at_a_character() {
        assert_eq!(
            describe(&Value::from("é".repeat(70))),
            format!("text {:?}", "é".repeat(60) + "…")
        );
    }
}
