//! Which rule decides: Crossbar's precedence, at a cost that grows with the URI and not with the
//! number of rules. Used by `role.rs`.
//!
//! 1. A rule with the URI and match of the action itself.
//! 2. Else the *stem*: of all exact and prefix rules whose URI the action's begins with, the
//!    longest. If there is no prefix rule with that URI, the default: it does not fall back to a
//!    shorter prefix, so an exact rule for `com.a` also cuts `com.a.b` off from prefix `com.`.
//! 3. Over the stem and over the default goes a wildcard rule: of all wildcard rules whose *head*
//!    (the literal components before the first empty one) the action's URI begins with, only those
//!    with the longest head are asked; the last configured of them that fits decides.
//!
//! A rule fits a pattern if it speaks of every URI that the pattern stands for.
//!
//! Where this differs from Crossbar, it is so that each rule means what it says. There, of several
//! rules with one URI or one head only the last one is known; a wildcard whose first or last
//! component is empty, or that has a capital letter, never applies; and to a pattern subscription
//! an exact rule with the same text applies, which lets a prefix subscription out of it.

use rewamp_wamp::uri::{MatchPolicy, covers};
use rewamp_wamp::uri_map::UriMap;

use super::{Allow, Disclose, Permission};

/// What one rule grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) allow: Allow,
    pub(super) disclose: Disclose,
    pub(super) cache: bool,
}

impl Grant {
    /// The default of a role with permissions.
    pub(super) const NOTHING: Self = Self {
        allow: Allow {
            call: false,
            register: false,
            publish: false,
            subscribe: false,
        },
        disclose: Disclose {
            caller: false,
            publisher: false,
        },
        cache: true,
    };

    /// The default of a role that allows everything.
    pub(super) const EVERYTHING: Self = Self {
        allow: Allow::ALL,
        ..Self::NOTHING
    };
}

/// The rules of a role, ready to be asked.
#[derive(Debug)]
pub(super) struct Rules {
    default: Grant,
    /// Exact and prefix rules by URI. Both lie under match `prefix`: an exact rule, too, is met by
    /// every URI that begins with its own.
    stems: UriMap<Stem>,
    wildcards: UriMap<Wildcard>,
    /// The heads of the wildcards, under match `prefix`.
    heads: UriMap<()>,
}

#[derive(Debug, Default)]
struct Stem {
    exact: Option<Grant>,
    prefix: Option<Grant>,
}

#[derive(Debug, Clone, Copy)]
struct Wildcard {
    grant: Grant,
    head: usize,
    place: usize,
}

impl Rules {
    pub(super) fn compile(permissions: &[Permission], default: Grant) -> Self {
        let (stems, wildcards, heads) = (UriMap::new(), UriMap::new(), UriMap::new());
        let mut rules = Self {
            default,
            stems,
            wildcards,
            heads,
        };
        for (place, permission) in permissions.iter().enumerate() {
            let Permission {
                uri,
                allow,
                disclose,
                cache,
                ..
            } = permission;
            let grant = Grant {
                allow: *allow,
                disclose: *disclose,
                cache: *cache,
            };
            match plain(uri, permission.policy) {
                MatchPolicy::Exact => rules.fill_stem(uri, |stem| stem.exact = Some(grant)),
                MatchPolicy::Prefix => rules.fill_stem(uri, |stem| stem.prefix = Some(grant)),
                MatchPolicy::Wildcard => {
                    let head = head(uri);
                    rules.heads.insert(head, MatchPolicy::Prefix, ());
                    let wildcard = Wildcard {
                        grant,
                        head: head.len(),
                        place,
                    };
                    rules.wildcards.insert(uri, MatchPolicy::Wildcard, wildcard);
                }
            }
        }
        rules
    }

    /// What is granted for `uri` under `policy`.
    pub(super) fn decide(&self, uri: &str, policy: MatchPolicy) -> Grant {
        let policy = plain(uri, policy);
        self.own(uri, policy)
            .or_else(|| self.wildcard(uri, policy))
            .or_else(|| self.longest_stem(uri).and_then(|stem| stem.prefix))
            .unwrap_or(self.default)
    }

    /// The rule that says exactly this.
    fn own(&self, uri: &str, policy: MatchPolicy) -> Option<Grant> {
        match policy {
            MatchPolicy::Exact => self.stems.get(uri, MatchPolicy::Prefix)?.exact,
            MatchPolicy::Prefix => self.stems.get(uri, MatchPolicy::Prefix)?.prefix,
            MatchPolicy::Wildcard => Some(self.wildcards.get(uri, MatchPolicy::Wildcard)?.grant),
        }
    }

    fn longest_stem(&self, uri: &str) -> Option<&Stem> {
        let mut longest = None;
        // The shortest comes first.
        self.stems
            .for_each_match(uri, |_, _, stem| longest = Some(stem));
        longest
    }

    fn wildcard(&self, uri: &str, policy: MatchPolicy) -> Option<Grant> {
        if self.wildcards.is_empty() {
            return None;
        }
        let mut longest_head = None;
        self.heads
            .for_each_match(uri, |_, head, ()| longest_head = Some(head.len()));
        let head = longest_head?;
        let mut last: Option<Wildcard> = None;
        let mut consider = |pattern: &str, wildcard: &Wildcard| {
            let fits =
                wildcard.head == head && covers((pattern, MatchPolicy::Wildcard), (uri, policy));
            if fits && last.is_none_or(|last| last.place < wildcard.place) {
                last = Some(*wildcard);
            }
        };
        match policy {
            MatchPolicy::Exact => self.wildcards.for_each_match(uri, |_, p, w| consider(p, w)),
            MatchPolicy::Wildcard => {
                self.wildcards
                    .for_each_match(&filled(uri), |_, p, w| consider(p, w));
            }
            // No wildcard speaks of everything that begins with something.
            MatchPolicy::Prefix => {}
        }
        last.map(|wildcard| wildcard.grant)
    }

    fn fill_stem(&mut self, uri: &str, fill: impl FnOnce(&mut Stem)) {
        let mut stem = self
            .stems
            .remove(uri, MatchPolicy::Prefix)
            .unwrap_or_default();
        fill(&mut stem);
        self.stems.insert(uri, MatchPolicy::Prefix, stem);
    }
}

/// A wildcard without an empty component is a plain URI.
fn plain(uri: &str, policy: MatchPolicy) -> MatchPolicy {
    match policy {
        MatchPolicy::Wildcard if uri.split('.').all(|component| !component.is_empty()) => {
            MatchPolicy::Exact
        }
        policy => policy,
    }
}

/// The literal components before the first empty one: `com.app` of `com.app..created`.
fn head(pattern: &str) -> &str {
    let literal = pattern
        .split('.')
        .take_while(|component| !component.is_empty());
    let length = literal.map(|component| component.len() + 1).sum::<usize>();
    pattern.get(..length.saturating_sub(1)).unwrap_or(pattern)
}

/// The pattern as a URI, so that the wildcards that cover it are found as those of a URI are. What
/// fills the empty components is in no rule, since no URI may contain it.
fn filled(pattern: &str) -> String {
    let filled = pattern.split('.').map(|component| match component {
        "" => "#",
        literal => literal,
    });
    filled.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests;
