//! `UriMap`: values under patterns, and which of them a URI matches. Subscriptions,
//! registrations, permissions and history filters are kept in one each.
//! Equal in outcome to asking [`crate::uri::matches`] of every pattern, at a cost that grows with
//! the URI and not with the number of patterns.

mod prefix;
mod wildcard;

use std::collections::HashMap;

use self::prefix::PrefixTrie;
use self::wildcard::WildcardTrie;
use crate::uri::MatchPolicy;

/// Values by (pattern, match policy): a hash table, a radix trie and a component trie.
#[derive(Debug, Clone)]
pub struct UriMap<T> {
    exact: HashMap<Box<str>, T, foldhash::quality::RandomState>,
    prefix: PrefixTrie<T>,
    wildcard: WildcardTrie<T>,
}

impl<T> Default for UriMap<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::default(),
            prefix: PrefixTrie::default(),
            wildcard: WildcardTrie::default(),
        }
    }
}

impl<T> UriMap<T> {
    /// A map without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `value` there and returns what was there before.
    pub fn insert(&mut self, pattern: &str, policy: MatchPolicy, value: T) -> Option<T> {
        match policy {
            MatchPolicy::Exact => self.exact.insert(pattern.into(), value),
            MatchPolicy::Prefix => self.prefix.insert(pattern, value),
            MatchPolicy::Wildcard => self.wildcard.insert(pattern, value),
        }
    }

    /// The value under exactly this pattern and policy.
    pub fn get(&self, pattern: &str, policy: MatchPolicy) -> Option<&T> {
        match policy {
            MatchPolicy::Exact => self.exact.get(pattern),
            MatchPolicy::Prefix => self.prefix.get(pattern),
            MatchPolicy::Wildcard => self.wildcard.get(pattern),
        }
    }

    /// The value under exactly this pattern and policy, to change.
    pub fn get_mut(&mut self, pattern: &str, policy: MatchPolicy) -> Option<&mut T> {
        match policy {
            MatchPolicy::Exact => self.exact.get_mut(pattern),
            MatchPolicy::Prefix => self.prefix.get_mut(pattern),
            MatchPolicy::Wildcard => self.wildcard.get_mut(pattern),
        }
    }

    /// Takes the value out.
    pub fn remove(&mut self, pattern: &str, policy: MatchPolicy) -> Option<T> {
        match policy {
            MatchPolicy::Exact => self.exact.remove(pattern),
            MatchPolicy::Prefix => self.prefix.remove(pattern),
            MatchPolicy::Wildcard => self.wildcard.remove(pattern),
        }
    }

    /// Visits every entry that stands for `uri`: the exact one, then prefixes from the shortest
    /// to the longest, then wildcards (a literal component before a wildcard one).
    ///
    /// For wildcards the cost is at most two branches a component and never more than the
    /// patterns that agree with the URI so far.
    pub fn for_each_match<'a>(
        &'a self,
        uri: &str,
        mut visit: impl FnMut(MatchPolicy, &'a str, &'a T),
    ) {
        if let Some((pattern, value)) = self.exact.get_key_value(uri) {
            visit(MatchPolicy::Exact, pattern, value);
        }
        self.prefix.for_each_match(uri, &mut |pattern, value| {
            visit(MatchPolicy::Prefix, pattern, value);
        });
        self.wildcard.for_each_match(uri, &mut |pattern, value| {
            visit(MatchPolicy::Wildcard, pattern, value);
        });
    }

    /// Visits every entry; in no particular order.
    pub fn for_each<'a>(&'a self, mut visit: impl FnMut(MatchPolicy, &'a str, &'a T)) {
        for (pattern, value) in &self.exact {
            visit(MatchPolicy::Exact, pattern, value);
        }
        self.prefix
            .for_each(&mut |pattern, value| visit(MatchPolicy::Prefix, pattern, value));
        self.wildcard
            .for_each(&mut |pattern, value| visit(MatchPolicy::Wildcard, pattern, value));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.prefix.len() + self.wildcard.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
