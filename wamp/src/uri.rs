//! URIs of topics and procedures, and the patterns that stand for many of them.
//! Spec: "URIs", "Pattern-based Subscription". Every other match in the router is made of these
//! four functions or of `uri_map.rs`, which is tested against them.

use std::fmt;

/// The longest URI or pattern, in bytes; longer ones are [`UriError::TooLong`].
///
/// 1,024: four times the longest DNS name. Topics are kept in subscriptions, caches and topic
/// dictionaries, so their size is a client's to choose and must have an end.
pub const MAX_URI_BYTES: usize = 1_024;

/// How a subscription's or registration's URI is compared, `Options.match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MatchPolicy {
    /// `"exact"`: the same text.
    #[default]
    Exact,
    /// `"prefix"`: begins with the text, also within a component; `""` stands for every URI.
    Prefix,
    /// `"wildcard"`: an empty component stands for exactly one component.
    Wildcard,
}

impl MatchPolicy {
    /// All policies, in the order in which meta procedures list them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Prefix, Self::Wildcard];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Wildcard => "wildcard",
        }
    }

    /// The policy of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

impl fmt::Display for MatchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which characters a URI component may have. Spec: "URIs", relaxed and strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UriCheck {
    /// Anything but whitespace, `#` and the separating dot.
    #[default]
    Loose,
    /// Lower-case letters, digits and `_`.
    Strict,
}

/// What is wrong with a URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Longer than [`MAX_URI_BYTES`]; the URI itself is not repeated.
    #[error("a URI of {bytes} bytes is too long, {MAX_URI_BYTES} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Nothing at all, which only match `prefix` and `wildcard` allow.
    #[error("the URI is empty, which only match `prefix` and `wildcard` allow")]
    Empty,
    /// An empty component where the policy has no meaning for it.
    #[error("`{uri}`: component {index} is empty, which only match `wildcard` allows")]
    EmptyComponent {
        /// The URI.
        uri: String,
        /// Which component, from 0.
        index: usize,
    },
    /// A character that the check does not allow.
    #[error("`{uri}`: {character:?} at byte {position} is not allowed in a {check} URI")]
    Character {
        /// The URI.
        uri: String,
        /// The character.
        character: char,
        /// Where it begins, in bytes from 0.
        position: usize,
        /// The check that failed.
        check: UriCheck,
    },
}

impl fmt::Display for UriCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loose => "loose",
            Self::Strict => "strict",
        })
    }
}

/// Whether `text` is a well-formed URI (for [`MatchPolicy::Exact`]) or pattern.
///
/// No component may be empty, except the last one of a prefix and any of a wildcard.
pub fn check_uri(text: &str, policy: MatchPolicy, check: UriCheck) -> Result<(), UriError> {
    if text.len() > MAX_URI_BYTES {
        return Err(UriError::TooLong { bytes: text.len() });
    }
    if text.is_empty() {
        return match policy {
            MatchPolicy::Exact => Err(UriError::Empty),
            MatchPolicy::Prefix | MatchPolicy::Wildcard => Ok(()),
        };
    }
    let (mut index, mut component_begins) = (0, 0);
    for (position, character) in text.char_indices() {
        if character == '.' {
            if position == component_begins && policy != MatchPolicy::Wildcard {
                return Err(UriError::EmptyComponent {
                    uri: text.to_owned(),
                    index,
                });
            }
            index += 1;
            component_begins = position + 1;
        } else if !is_allowed(character, check) {
            let uri = text.to_owned();
            return Err(UriError::Character {
                uri,
                character,
                position,
                check,
            });
        }
    }
    if component_begins == text.len() && policy == MatchPolicy::Exact {
        return Err(UriError::EmptyComponent {
            uri: text.to_owned(),
            index,
        });
    }
    Ok(())
}

/// Whether `pattern` under `policy` stands for `uri`.
pub fn matches(pattern: &str, policy: MatchPolicy, uri: &str) -> bool {
    match policy {
        MatchPolicy::Exact => pattern == uri,
        MatchPolicy::Prefix => uri.starts_with(pattern),
        MatchPolicy::Wildcard => zip_components(pattern, uri, |wide, one| {
            !one.is_empty() && (wide.is_empty() || wide == one)
        }),
    }
}

/// Whether everything that `narrow` stands for, `wide` stands for as well.
pub fn covers(wide: (&str, MatchPolicy), narrow: (&str, MatchPolicy)) -> bool {
    let (wide, narrow) = (plainly(wide), plainly(narrow));
    match (wide.1, narrow.1) {
        (policy, MatchPolicy::Exact) => matches(wide.0, policy, narrow.0),
        (MatchPolicy::Exact, _) => false,
        (MatchPolicy::Prefix, MatchPolicy::Prefix) => narrow.0.starts_with(wide.0),
        // What precedes the first wildcard is all that its URIs surely begin with.
        (MatchPolicy::Prefix, MatchPolicy::Wildcard) => literal_head(narrow.0).starts_with(wide.0),
        // A prefix stands for URIs of any number of components.
        (MatchPolicy::Wildcard, MatchPolicy::Prefix) => false,
        (MatchPolicy::Wildcard, MatchPolicy::Wildcard) => {
            zip_components(wide.0, narrow.0, |wide, narrow| {
                wide.is_empty() || wide == narrow
            })
        }
    }
}

/// Whether a client may not publish or register there: `wamp.*` is the protocol's, `rewamp.*`
/// this router's.
pub fn is_restricted(uri: &str) -> bool {
    let first = uri.split('.').next().unwrap_or(uri);
    matches!(first, "wamp" | "rewamp")
}

/// A wildcard without an empty component is an exact URI, and is treated as one.
fn plainly((pattern, policy): (&str, MatchPolicy)) -> (&str, MatchPolicy) {
    match policy {
        MatchPolicy::Wildcard if pattern.split('.').all(|component| !component.is_empty()) => {
            (pattern, MatchPolicy::Exact)
        }
        _ => (pattern, policy),
    }
}

/// The text before the first empty component: `com.` of `com..created`.
fn literal_head(pattern: &str) -> &str {
    let mut begins = 0;
    for component in pattern.split('.') {
        if component.is_empty() {
            break;
        }
        begins += component.len() + 1;
    }
    pattern.get(..begins).unwrap_or(pattern)
}

fn zip_components(left: &str, right: &str, mut fits: impl FnMut(&str, &str) -> bool) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(left), Some(right)) if fits(left, right) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// `character` is not a dot.
fn is_allowed(character: char, check: UriCheck) -> bool {
    match check {
        UriCheck::Strict => matches!(character, 'a'..='z' | '0'..='9' | '_'),
        // The four separators U+001C to U+001F are whitespace to the spec's regular expression
        // (Python's `\s`), though not to Unicode.
        UriCheck::Loose if character.is_ascii() => {
            !matches!(character, ' ' | '\t'..='\r' | '\x1c'..='\x1f' | '#')
        }
        UriCheck::Loose => !character.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::MatchPolicy::{Exact, Prefix, Wildcard};
    use super::UriCheck::{Loose, Strict};
    use super::*;

    fn check(text: &str, policy: MatchPolicy, uri_check: UriCheck, expected: &str) {
        let answer = match check_uri(text, policy, uri_check) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(answer, expected, "{text:?} {policy} {uri_check}");
    }

    #[test]
    fn an_exact_uri_has_no_empty_component() {
        check("com.myapp.topic1", Exact, Strict, "ok");
        check(
            "",
            Exact,
            Loose,
            "the URI is empty, which only match `prefix` and `wildcard` allow",
        );
        let empty = |uri, index| {
            format!("`{uri}`: component {index} is empty, which only match `wildcard` allows")
        };
        check("com..b", Exact, Loose, &empty("com..b", 1));
        check(".com", Exact, Loose, &empty(".com", 0));
        check("com.", Exact, Loose, &empty("com.", 1));
    }

    #[test]
    fn a_prefix_may_end_within_or_before_a_component() {
        check("", Prefix, Strict, "ok");
        check("com.", Prefix, Strict, "ok");
        check("com.my", Prefix, Strict, "ok");
        check(
            "com..my",
            Prefix,
            Strict,
            "`com..my`: component 1 is empty, which only match `wildcard` allows",
        );
    }

    #[test]
    fn a_wildcard_may_have_empty_components_anywhere() {
        for pattern in ["", ".", "..", ".com", "com.", "com..created"] {
            check(pattern, Wildcard, Strict, "ok");
        }
    }

    #[test]
    fn strict_allows_lower_case_digits_and_underscore_only() {
        check("com.my_app.t1", Exact, Strict, "ok");
        check(
            "com.App",
            Exact,
            Strict,
            "`com.App`: 'A' at byte 4 is not allowed in a strict URI",
        );
        check("com.App-é", Exact, Loose, "ok");
    }

    #[test]
    fn loose_forbids_whitespace_and_the_number_sign() {
        for bad in [
            ' ', '\t', '\n', '\u{b}', '\u{1f}', '\u{a0}', '\u{2003}', '#',
        ] {
            let expected = format!("`com.a{bad}`: {bad:?} at byte 5 is not allowed in a loose URI");
            check(&format!("com.a{bad}"), Exact, Loose, &expected);
        }
    }

    #[test]
    fn a_uri_has_a_longest_length() {
        check(&"a".repeat(1_024), Exact, Loose, "ok");
        check(
            &"a".repeat(1_025),
            Exact,
            Loose,
            "a URI of 1025 bytes is too long, 1024 are allowed",
        );
    }

    #[test]
    fn a_prefix_is_a_prefix_of_the_text() {
        for (pattern, uri, expected) in [
            ("com.prefix", "com.prefixfoo", true),
            ("com.prefix", "com.prefix", true),
            ("com.prefix", "com.prefi", false),
            ("", "com", true),
        ] {
            assert_eq!(matches(pattern, Prefix, uri), expected, "{pattern} {uri}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_component() {
        for (pattern, uri, expected) in [
            ("com..created", "com.order.created", true),
            ("com..created", "com.order.item.created", false),
            ("com..created", "com..created", false),
            ("com..created", "com.created", false),
            ("com.", "com.order", true),
            ("com.", "com", false),
            ("", "com", true),
            ("", "com.order", false),
            ("..", "a.b.c", true),
        ] {
            assert_eq!(matches(pattern, Wildcard, uri), expected, "{pattern} {uri}");
        }
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow, expected) in [
            (("com.a", Exact), ("com.a", Exact), true),
            (("com.a", Exact), ("com.a", Wildcard), true),
            (("com.a", Wildcard), ("com.a", Exact), true),
            (("com.a", Exact), ("com.a", Prefix), false),
            (("com.", Prefix), ("com.a", Exact), true),
            (("com.", Prefix), ("com.a.", Prefix), true),
            (("com.a", Prefix), ("com.", Prefix), false),
            (("com.", Prefix), ("com..b", Wildcard), true),
            (("com.a", Prefix), ("com..b", Wildcard), false),
            (("com.a", Prefix), ("com.a.b", Wildcard), true),
            (("", Prefix), ("", Wildcard), true),
            (("com.", Wildcard), ("com.", Prefix), false),
            (("com..", Wildcard), ("com.a.", Wildcard), true),
            (("com.a.", Wildcard), ("com..", Wildcard), false),
            (("com.", Wildcard), ("com.a", Exact), true),
        ] {
            assert_eq!(covers(wide, narrow), expected, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn the_protocols_and_our_names_are_restricted() {
        for uri in ["wamp", "wamp.session.on_join", "rewamp.x"] {
            assert!(is_restricted(uri), "{uri}");
        }
        for uri in ["wampy.x", "com.wamp", "rewampx", ""] {
            assert!(!is_restricted(uri), "{uri}");
        }
    }
}
