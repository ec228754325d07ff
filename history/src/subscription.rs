//! Subscription IDs that a store gives the same way in every life: a keyed hash of pattern and
//! match, and the bounded memory of the patterns that were asked for, so that an ID alone can be
//! answered too. Knows no filters and no events.

use std::collections::BTreeMap;
use std::fmt;

use bytestring::ByteString;
use hashbrown::HashMap;
use hmac::{Hmac, Mac};
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::MatchPolicy;
use sha2::Sha256;

/// The secret of a store: what its subscription IDs are made with. Clients never see it, so they
/// cannot work out the IDs of subscriptions that they may not have.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreKey([u8; 32]);

/// Never its bytes: logs are not secret.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(…)")
    }
}

impl StoreKey {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The ID of a subscription: the first 53 bits of HMAC-SHA-256 over match and URI, plus 1.
    pub(crate) fn subscription(&self, uri: &str, match_policy: MatchPolicy) -> SubscriptionId {
        let word = self.word(match_policy.name(), uri);
        SubscriptionId::new((word >> 11) + 1).unwrap_or(SubscriptionId::FIRST)
    }

    /// 64 bits that only who knows the key can tell: HMAC-SHA-256 over `purpose`, a zero byte
    /// and `text`.
    pub(crate) fn word(&self, purpose: &str, text: &str) -> u64 {
        // HMAC takes keys of any length: `new_from_slice` cannot fail, and if it did, IDs that
        // collide would be the smaller evil than a node that does not start.
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return 0;
        };
        hmac.update(purpose.as_bytes());
        hmac.update(&[0]);
        hmac.update(text.as_bytes());
        let digest = hmac.finalize().into_bytes();
        digest
            .first_chunk::<8>()
            .map_or(0, |first| u64::from_be_bytes(*first))
    }
}

/// Patterns remembered by a store; when there are more, the least recently subscribed goes, and
/// asking by its ID alone is `no_such_subscription` until somebody subscribes again.
///
/// 4,096: at 100 bytes each some 400 kB in memory and as much on disk.
pub(crate) const REMEMBERED_PATTERNS: usize = 4_096;

/// Subscriptions by ID, least recently subscribed first out. Bound: [`REMEMBERED_PATTERNS`].
#[derive(Debug, Default)]
pub(crate) struct PatternTable {
    by_id: HashMap<SubscriptionId, Remembered>,
    by_age: BTreeMap<u64, SubscriptionId>,
    now: u64,
}

#[derive(Debug)]
struct Remembered {
    uri: ByteString,
    match_policy: MatchPolicy,
    age: u64,
}

/// What remembering a pattern changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remember {
    /// It was not known.
    New,
    /// It was known, but not among the younger half.
    Renewed,
    /// It is among the younger half anyway: not worth a write.
    Known,
}

impl PatternTable {
    /// Makes a subscription the most recent one.
    pub(crate) fn remember(
        &mut self,
        id: SubscriptionId,
        uri: &str,
        match_policy: MatchPolicy,
    ) -> Remember {
        self.now += 1;
        let outcome = match self.by_id.get_mut(&id) {
            Some(known) => {
                let elderly = self.now - known.age > REMEMBERED_PATTERNS as u64 / 2;
                self.by_age.remove(&known.age);
                known.age = self.now;
                if elderly {
                    Remember::Renewed
                } else {
                    Remember::Known
                }
            }
            None => {
                let remembered = Remembered {
                    uri: uri.into(),
                    match_policy,
                    age: self.now,
                };
                self.by_id.insert(id, remembered);
                Remember::New
            }
        };
        self.by_age.insert(self.now, id);
        if self.by_id.len() > REMEMBERED_PATTERNS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        outcome
    }

    pub(crate) fn find(&self, id: SubscriptionId) -> Option<(ByteString, MatchPolicy)> {
        self.by_id
            .get(&id)
            .map(|found| (found.uri.clone(), found.match_policy))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All of them, least recently subscribed first.
    pub(crate) fn by_age(&self) -> impl Iterator<Item = (&ByteString, MatchPolicy)> {
        self.by_age
            .values()
            .filter_map(|id| self.by_id.get(id))
            .map(|found| (&found.uri, found.match_policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    #[test]
    fn an_id_depends_on_key_uri_and_match_alone() {
        let key = StoreKey::from_bytes([7; 32]);
        let id = key.subscription("com.a", Exact);
        assert_eq!(key.subscription("com.a", Exact), id);
        assert_ne!(key.subscription("com.a", Prefix), id);
        assert_ne!(key.subscription("com.b", Exact), id);
        assert_ne!(
            StoreKey::from_bytes([8; 32]).subscription("com.a", Exact),
            id
        );
    }

    #[test]
    fn an_id_is_what_earlier_versions_of_the_store_gave() {
        let key = StoreKey::from_bytes([7; 32]);
        assert_eq!(key.subscription("com..created", Wildcard).get(), PINNED);
    }

    // Computed outside: HMAC-SHA-256(07 × 32, "wildcard\0com..created"), first 8 bytes >> 11, + 1.
    const PINNED: u64 = 7227287373999735;

    #[test]
    fn the_least_recently_subscribed_pattern_is_forgotten_first() {
        let mut table = PatternTable::default();
        let id = |number: u64| SubscriptionId::new(number).unwrap();
        for number in 1..=REMEMBERED_PATTERNS as u64 {
            assert_eq!(table.remember(id(number), "com.", Prefix), Remember::New);
        }
        assert_eq!(table.remember(id(1), "com.", Prefix), Remember::Renewed);
        assert_eq!(table.remember(id(1), "com.", Prefix), Remember::Known);
        table.remember(id(9_999), "net.", Prefix);
        assert_eq!(table.find(id(2)), None);
        assert_eq!(table.find(id(1)), Some(("com.".into(), Prefix)));
        assert_eq!(table.find(id(9_999)), Some(("net.".into(), Prefix)));
        assert_eq!(table.len(), REMEMBERED_PATTERNS);
        assert_eq!(table.by_age().count(), REMEMBERED_PATTERNS);
    }
}
