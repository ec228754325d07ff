//! WAMP IDs as types that cannot be mixed up, and the generator of random ones.
//! Spec: "Identifiers", "IDs": integers from 1 to 2^53, which every double holds exactly.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;

/// The largest ID, 2^53.
pub const MAX_ID: u64 = 1 << 53;

/// What an [`Id`] identifies; only its type matters.
pub trait Kind: Copy + Ord + std::hash::Hash + 'static {
    /// The name shown by `Debug`, such as `SessionId`.
    const NAME: &'static str;
}

/// An ID of one kind, 1 to [`MAX_ID`]. `Option` of it takes no extra space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K>(NonZeroU64, PhantomData<K>);

/// A session: global scope, random. `WELCOME.Session`.
pub type SessionId = Id<kind::Session>;
/// A publication: global scope, random. `PUBLISHED.Publication`, `EVENT.Publication`.
pub type PublicationId = Id<kind::Publication>;
/// A subscription: router scope. `SUBSCRIBED.Subscription`, `EVENT.Subscription`.
pub type SubscriptionId = Id<kind::Subscription>;
/// A registration: router scope. `REGISTERED.Registration`, `INVOCATION.Registration`.
pub type RegistrationId = Id<kind::Registration>;
/// A request: session scope, chosen by the peer that asks.
pub type RequestId = Id<kind::Request>;

/// The kinds of [`Id`].
pub mod kind {
    use super::Kind;

    /// See [`super::SessionId`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Session {}
    /// See [`super::PublicationId`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Publication {}
    /// See [`super::SubscriptionId`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Subscription {}
    /// See [`super::RegistrationId`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Registration {}
    /// See [`super::RequestId`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Request {}

    impl Kind for Session {
        const NAME: &'static str = "SessionId";
    }
    impl Kind for Publication {
        const NAME: &'static str = "PublicationId";
    }
    impl Kind for Subscription {
        const NAME: &'static str = "SubscriptionId";
    }
    impl Kind for Registration {
        const NAME: &'static str = "RegistrationId";
    }
    impl Kind for Request {
        const NAME: &'static str = "RequestId";
    }
}

impl<K: Kind> Id<K> {
    /// The first ID, 1: where session-scope counters begin.
    pub const FIRST: Self = Self(NonZeroU64::MIN, PhantomData);

    /// The last ID, [`MAX_ID`].
    pub const MAX: Self = match NonZeroU64::new(MAX_ID) {
        Some(number) => Self(number, PhantomData),
        None => Self::FIRST,
    };

    /// The ID `number`, or `None` outside 1 to [`MAX_ID`].
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= MAX_ID => Some(Self(number, PhantomData)),
            _ => None,
        }
    }

    /// The number, 1 to [`MAX_ID`].
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The ID after this one; after [`MAX_ID`] comes 1. Spec: "IDs", session scope.
    pub const fn next(self) -> Self {
        match Self::new(self.0.get() + 1) {
            Some(next) => next,
            None => Self::FIRST,
        }
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", K::NAME, self.0)
    }
}

/// Draws global-scope IDs uniformly from the whole range.
///
/// IDs are names, not secrets: the generator (xoshiro256++) is fast and seeded from the
/// operating system, and not meant to withstand prediction.
#[derive(Debug, Clone)]
pub struct RandomIds {
    state: [u64; 4],
}

impl RandomIds {
    /// A generator seeded from the operating system; fails where that has no randomness to give.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        Ok(Self::seeded(getrandom::u64()?))
    }

    /// A generator that gives the same IDs for the same seed.
    pub fn seeded(seed: u64) -> Self {
        // SplitMix64 spreads one word over the state, as the authors of xoshiro advise:
        // the state must not be all zero.
        let mut word = seed;
        let state = std::array::from_fn(|_| {
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = word;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// The next ID, uniform over 1 to 2^53. Whether it is free is for the caller to check.
    pub fn draw<K: Kind>(&mut self) -> Id<K> {
        let number = (self.word() >> 11) + 1;
        Id::new(number).unwrap_or(Id::FIRST)
    }

    fn word(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let word = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_from_1_to_2_to_the_53() {
        assert_eq!(SessionId::new(0), None);
        assert_eq!(SessionId::new(1).unwrap().get(), 1);
        assert_eq!(SessionId::new(MAX_ID).unwrap().get(), MAX_ID);
        assert_eq!(SessionId::new(MAX_ID + 1), None);
    }

    #[test]
    fn after_the_last_id_comes_the_first() {
        assert_eq!(RequestId::FIRST.next(), RequestId::new(2).unwrap());
        assert_eq!(RequestId::new(MAX_ID).unwrap().next(), RequestId::FIRST);
    }

    #[test]
    fn an_id_shows_its_kind_in_debug_and_its_number_alone_in_display() {
        let id = PublicationId::new(7).unwrap();
        assert_eq!(format!("{id:?} {id}"), "PublicationId(7) 7");
    }

    #[test]
    fn random_ids_spread_over_the_whole_range() {
        let mut ids = RandomIds::seeded(1);
        let mut eighths = [0_u32; 8];
        for _ in 0..8_000 {
            let id: SessionId = ids.draw();
            eighths[((id.get() - 1) >> 50) as usize] += 1;
        }
        assert!(
            eighths.iter().all(|n| (800..1_200).contains(n)),
            "{eighths:?}"
        );
    }

    #[test]
    fn two_generators_seeded_by_the_system_differ() {
        let mut one = RandomIds::from_os().unwrap();
        let mut other = RandomIds::from_os().unwrap();
        assert_ne!(one.draw::<kind::Session>(), other.draw::<kind::Session>());
    }
}
