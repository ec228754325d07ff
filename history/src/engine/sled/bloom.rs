//! A Bloom filter over publication IDs: which segments a publication is certainly not in.

use crate::engine::fields::{put_u32, put_u64, take_u32, take_u64};

/// 10 bits an entry and 5 probes: about one in a hundred of the absent is taken for present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bloom(Vec<u64>);

const BITS_PER_ENTRY: usize = 10;
const PROBES: u64 = 5;

impl Bloom {
    /// A filter that holds `keys`.
    pub(super) fn of(keys: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut bloom = Self(vec![0; (keys.len() * BITS_PER_ENTRY).div_ceil(64).max(1)]);
        for key in keys {
            for probe in bloom.probes(key) {
                if let Some(word) = bloom.0.get_mut(probe / 64) {
                    *word |= 1 << (probe % 64);
                }
            }
        }
        bloom
    }

    /// Whether `key` may be among the keys; if not, it certainly is not.
    pub(super) fn may_hold(&self, key: u64) -> bool {
        let set = |probe: usize| {
            self.0
                .get(probe / 64)
                .is_some_and(|w| w >> (probe % 64) & 1 == 1)
        };
        self.probes(key).into_iter().all(set)
    }

    fn probes(&self, key: u64) -> [usize; PROBES as usize] {
        // The two words that double hashing needs come from one multiplication by an odd
        // number without pattern; IDs are random, but not to be relied upon.
        let mixed = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        let (one, other) = (
            mixed as u64 ^ (mixed >> 64) as u64,
            (mixed >> 32) as u64 | 1,
        );
        let bits = self.0.len() as u64 * 64;
        let mut probe = 0;
        [(); PROBES as usize].map(|()| {
            let bit = one.wrapping_add(other.wrapping_mul(probe)) % bits;
            probe += 1;
            bit as usize
        })
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        put_u32(bytes, self.0.len() as u32);
        self.0.iter().for_each(|word| put_u64(bytes, *word));
    }

    pub(super) fn take(rest: &mut &[u8]) -> Option<Self> {
        let words = (0..take_u32(rest)?)
            .map(|_| take_u64(rest))
            .collect::<Option<Vec<_>>>()?;
        (!words.is_empty()).then_some(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_never_denied_and_little_else_is_taken_for_it() {
        for spread in [1, 7, 1 << 40] {
            let bloom = Bloom::of((0..10_000_usize).map(|key| key as u64 * spread));
            assert!((0..10_000).all(|key| bloom.may_hold(key * spread)));
            let wrong = (10_000..110_000)
                .filter(|key| bloom.may_hold(key * spread))
                .count();
            assert!(wrong < 3_000, "{wrong} of 100000 at spread {spread}");
        }
    }

    #[test]
    fn without_keys_nothing_is_in() {
        assert!(!Bloom::of(std::iter::empty::<u64>().collect::<Vec<_>>().into_iter()).may_hold(7));
    }
}
