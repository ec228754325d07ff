//! Who a store is, and how a segment begins. Every segment carries a copy of the store's origin,
//! so that the store survives the loss of any one file.

use rewamp_wamp::uri::MatchPolicy;

use crate::engine::fields::{
    Unsound, open_envelope, put_text, put_u32, seal_envelope, take_array, take_text, take_u8,
    take_u32,
};
use crate::filter::{ConfiguredFilter, Filter, FilterId};
use crate::store::Incarnation;
use crate::subscription::StoreKey;

/// What is drawn when a store is begun and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) incarnation: Incarnation,
    pub(super) key: StoreKey,
    pub(super) realm: String,
}

impl Origin {
    /// A new store's.
    pub(super) fn draw(realm: &str) -> Result<Self, getrandom::Error> {
        let (mut incarnation, mut key) = ([0; 16], [0; 32]);
        getrandom::fill(&mut incarnation)?;
        getrandom::fill(&mut key)?;
        Ok(Self {
            incarnation: Incarnation(incarnation),
            key: StoreKey::from_bytes(key),
            realm: realm.to_owned(),
        })
    }

    /// What every block of this store begins with. Clients cannot know it: what they publish
    /// is never taken for a block, wherever it lies in a file.
    pub(super) fn block_mark(&self) -> [u8; 8] {
        self.key.word("block", "").to_le_bytes()
    }

    /// What every piece of a large block begins with.
    pub(super) fn piece_mark(&self) -> [u8; 8] {
        self.key.word("piece", "").to_le_bytes()
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.incarnation.bytes());
        bytes.extend_from_slice(self.key.bytes());
        put_text(bytes, &self.realm);
    }

    pub(super) fn take(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            incarnation: Incarnation(take_array(rest)?),
            key: StoreKey::from_bytes(take_array(rest)?),
            realm: take_text(rest)?.to_owned(),
        })
    }
}

/// How a segment begins: whose it is, and the filters that were configured while it grew. A
/// segment knows one configuration; another one begins another segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) origin: Origin,
    pub(super) filters: Vec<ConfiguredFilter>,
}

/// What segments know of filters: not how much is kept.
pub(super) fn bare(filters: &[ConfiguredFilter]) -> Vec<ConfiguredFilter> {
    let filters = filters.iter().map(|ConfiguredFilter { id, filter }| {
        let filter = Filter::new(filter.uri.clone(), filter.match_policy);
        ConfiguredFilter { id: *id, filter }
    });
    filters.collect()
}

impl Head {
    /// In an envelope with the magic of the file that it is in.
    pub(super) fn encode(&self, magic: [u8; 8]) -> Vec<u8> {
        let mut body = Vec::new();
        self.origin.put(&mut body);
        put_u32(&mut body, self.filters.len() as u32);
        for ConfiguredFilter { id, filter } in &self.filters {
            put_u32(&mut body, id.get());
            put_filter(&mut body, filter);
        }
        seal_envelope(magic, &body)
    }

    pub(super) fn decode(magic: [u8; 8], bytes: &[u8]) -> Result<Self, Unsound> {
        let mut rest = open_envelope(magic, bytes)?;
        Self::take(&mut rest).ok_or(Unsound::Damaged)
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let origin = Origin::take(rest)?;
        let count = take_u32(rest)?;
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = FilterId::new(take_u32(rest)?);
            filters.push(ConfiguredFilter {
                id,
                filter: take_filter(rest)?,
            });
        }
        Some(Self { origin, filters })
    }
}

/// `u8` match, `u32` length, URI. The limit is not part of what a segment knows.
pub(super) fn put_filter(bytes: &mut Vec<u8>, filter: &Filter) {
    bytes.push(policy_byte(filter.match_policy));
    put_text(bytes, &filter.uri);
}

/// What [`put_filter`] wrote, without limit.
pub(super) fn take_filter(rest: &mut &[u8]) -> Option<Filter> {
    let match_policy = policy_from_byte(take_u8(rest)?)?;
    Some(Filter::new(take_text(rest)?, match_policy))
}

pub(in crate::engine) fn policy_byte(match_policy: MatchPolicy) -> u8 {
    match match_policy {
        MatchPolicy::Exact => 0,
        MatchPolicy::Prefix => 1,
        MatchPolicy::Wildcard => 2,
    }
}

pub(in crate::engine) fn policy_from_byte(byte: u8) -> Option<MatchPolicy> {
    MatchPolicy::ALL
        .into_iter()
        .find(|policy| policy_byte(*policy) == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let filter = |uri: &str, match_policy| Filter::new(uri, match_policy);
        let filters = [
            filter("", MatchPolicy::Prefix),
            filter("com..created", MatchPolicy::Wildcard),
            filter("com.a", MatchPolicy::Exact),
        ];
        let filters = filters
            .into_iter()
            .zip(3..)
            .map(|(filter, number)| ConfiguredFilter {
                id: FilterId::new(number),
                filter,
            });
        let head = Head {
            origin: Origin::draw("realm1").unwrap(),
            filters: filters.collect(),
        };
        assert_eq!(
            Head::decode(*b"RWMPTEST", &head.encode(*b"RWMPTEST")),
            Ok(head)
        );
    }

    #[test]
    fn two_stores_have_nothing_in_common() {
        let [one, other] = ["realm1", "realm1"].map(|realm| Origin::draw(realm).unwrap());
        assert_ne!(one.incarnation, other.incarnation);
        assert_ne!(one.block_mark(), other.block_mark());
        assert_ne!(one.block_mark(), one.piece_mark());
    }
}
