//! A rule of a role as it is configured, and what a URI with stars means. Used by `role.rs`.
//! Spec: "Authorization"; the form is Crossbar's.

use bytestring::ByteString;
use rewamp_wamp::uri::MatchPolicy;

/// One item of a role's `permissions`: what is allowed, and disclosed, at the URIs it speaks of.
/// What it does not allow it denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// A URI, or a pattern under `policy`.
    pub uri: ByteString,
    /// `match`: which URIs the rule speaks of.
    pub policy: MatchPolicy,
    /// What sessions may do there.
    pub allow: Allow,
    /// What is said of them.
    pub disclose: Disclose,
    /// Whether a decision by this rule may be kept beside its topic. A rule never changes, so a
    /// kept decision is never stale.
    pub cache: bool,
}

/// What a rule allows. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allow {
    /// CALL
    pub call: bool,
    /// REGISTER
    pub register: bool,
    /// PUBLISH
    pub publish: bool,
    /// SUBSCRIBE
    pub subscribe: bool,
}

impl Allow {
    /// All four actions.
    pub const ALL: Self = Self {
        call: true,
        register: true,
        publish: true,
        subscribe: true,
    };
}

/// Whose identity a rule discloses, whatever the session itself asks for. The default is nobody's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disclose {
    /// The caller's, to callees.
    pub caller: bool,
    /// The publisher's, to subscribers and in the history.
    pub publisher: bool,
}

impl Permission {
    /// A rule for `uri` as configured, that so far allows and discloses nothing.
    ///
    /// Without `policy` the stars of the URI tell: one star at its end makes a prefix
    /// (`com.app.*` and `com.ap*`), other stars make wildcards (`com.*.created`), none an exact
    /// URI. An empty component within is a wildcard under any policy, as no URI has one.
    pub fn new(uri: &str, policy: Option<MatchPolicy>) -> Self {
        let (uri, policy) = match policy {
            Some(policy) => (uri.into(), policy),
            None => starred(uri),
        };
        let policy = if uri.contains("..") {
            MatchPolicy::Wildcard
        } else {
            policy
        };
        let (allow, disclose) = (Allow::default(), Disclose::default());
        Self {
            uri,
            policy,
            allow,
            disclose,
            cache: false,
        }
    }

    /// This rule, allowing `allow`.
    #[must_use]
    pub fn allowing(self, allow: Allow) -> Self {
        Self { allow, ..self }
    }

    /// This rule, disclosing `disclose`.
    #[must_use]
    pub fn disclosing(self, disclose: Disclose) -> Self {
        Self { disclose, ..self }
    }
}

fn starred(uri: &str) -> (ByteString, MatchPolicy) {
    match (uri.matches('*').count(), uri.strip_suffix('*')) {
        (0, _) => (uri.into(), MatchPolicy::Exact),
        (1, Some(prefix)) => (prefix.into(), MatchPolicy::Prefix),
        _ => (uri.replace('*', "").into(), MatchPolicy::Wildcard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, policy: Option<MatchPolicy>, means: (&str, MatchPolicy)) {
        let permission = Permission::new(uri, policy);
        assert_eq!(
            (&*permission.uri, permission.policy),
            means,
            "{uri:?} with match {policy:?}"
        );
    }

    #[test]
    fn without_match_the_stars_tell() {
        check("com.app.order", None, ("com.app.order", MatchPolicy::Exact));
        check("com.app.*", None, ("com.app.", MatchPolicy::Prefix));
        check("com.ap*", None, ("com.ap", MatchPolicy::Prefix));
        check("*", None, ("", MatchPolicy::Prefix));
        check(
            "com.*.created",
            None,
            ("com..created", MatchPolicy::Wildcard),
        );
        check(
            "com.*.order.*",
            None,
            ("com..order.", MatchPolicy::Wildcard),
        );
        check("*.created", None, (".created", MatchPolicy::Wildcard));
        check(
            "com.app..created",
            None,
            ("com.app..created", MatchPolicy::Wildcard),
        );
        check("", None, ("", MatchPolicy::Exact));
    }

    #[test]
    fn with_match_a_star_is_a_character() {
        check(
            "com.app.*",
            Some(MatchPolicy::Exact),
            ("com.app.*", MatchPolicy::Exact),
        );
        check(
            "com.*.a",
            Some(MatchPolicy::Prefix),
            ("com.*.a", MatchPolicy::Prefix),
        );
        check(
            "com.*.a",
            Some(MatchPolicy::Wildcard),
            ("com.*.a", MatchPolicy::Wildcard),
        );
    }

    #[test]
    fn an_empty_component_within_makes_a_wildcard() {
        check(
            "com..a",
            Some(MatchPolicy::Exact),
            ("com..a", MatchPolicy::Wildcard),
        );
        check(
            "com..a",
            Some(MatchPolicy::Prefix),
            ("com..a", MatchPolicy::Wildcard),
        );
    }
}
