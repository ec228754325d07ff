//! Finding topics by pattern in sorted names, for both engines.

use rewamp_wamp::uri::MatchPolicy;

/// What every topic of a pattern begins with: where to start in sorted names.
pub(crate) fn literal_prefix(pattern: &str, match_policy: MatchPolicy) -> &str {
    match match_policy {
        MatchPolicy::Exact | MatchPolicy::Prefix => pattern,
        MatchPolicy::Wildcard if pattern.starts_with('.') || pattern.is_empty() => "",
        MatchPolicy::Wildcard => match pattern.split_once("..") {
            Some((literal, _)) => literal,
            None => pattern.trim_end_matches('.'),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    #[test]
    fn every_topic_of_a_pattern_begins_with_its_literal_prefix() {
        let check = |pattern, match_policy, expected| {
            assert_eq!(literal_prefix(pattern, match_policy), expected, "{pattern}");
        };
        check("com.a", Exact, "com.a");
        check("com.", Prefix, "com.");
        check("", Prefix, "");
        check("com..created", Wildcard, "com");
        check("com.order.", Wildcard, "com.order");
        check(".order.created", Wildcard, "");
        check("..", Wildcard, "");
        check("", Wildcard, "");
        check("com.a", Wildcard, "com.a");
    }
}
