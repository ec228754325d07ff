//! Filters: what is stored, and which histories there are. A store has one [`FilterTable`];
//! both engines ask it which filters cover a topic or a pattern.
//! Knows no events.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytestring::ByteString;
use hashbrown::HashMap;
use parking_lot::RwLock;
use rewamp_wamp::id::SubscriptionId;
use rewamp_wamp::uri::{MatchPolicy, covers};
use rewamp_wamp::uri_map::UriMap;
use smallvec::SmallVec;

use crate::event::Timestamp;
use crate::subscription::StoreKey;

/// A history that is kept, as configured: `event-history[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Topic or pattern.
    pub uri: ByteString,
    /// How `uri` is compared.
    pub match_policy: MatchPolicy,
    /// The newest events that are kept, in events; the oldest go first. 0 keeps none, `None`
    /// leaves it to the store's `limit`, unless there is a `limit_per_topic`.
    pub limit: Option<u64>,
    /// The newest events that are kept of each topic, in events. With a `limit` too, that counts
    /// what is left by this.
    pub limit_per_topic: Option<u64>,
    /// How long events are kept, from 1 ns, by the time at which they were accepted.
    pub max_age: Option<Duration>,
}

impl Filter {
    /// A filter without any bound of its own.
    pub fn new(uri: impl Into<ByteString>, match_policy: MatchPolicy) -> Self {
        Self {
            uri: uri.into(),
            match_policy,
            limit: None,
            limit_per_topic: None,
            max_age: None,
        }
    }

    /// With the store's `limit` where it says nothing itself of how many events it keeps.
    pub(crate) fn or_limit(self, limit: Option<u64>) -> Self {
        let limit = match self.limit_per_topic {
            Some(_) => self.limit,
            None => self.limit.or(limit),
        };
        Self { limit, ..self }
    }

    /// Before this time, events are too old at the time `now`; [`Timestamp::ZERO`] without
    /// `max_age`.
    pub(crate) fn oldest_at(&self, now: Timestamp) -> Timestamp {
        let Some(age) = self.max_age else {
            return Timestamp::ZERO;
        };
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_nanos(now.nanos().saturating_sub(age))
    }

    /// The same topics under the same name, whatever is kept of them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.match_policy == other.match_policy && self.uri == other.uri
    }
}

/// A filter within its store; the same as long as the store lives, also over configurations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(u32);

impl FilterId {
    /// The ID of that number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number; small, counted up from 0.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for FilterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}", self.0)
    }
}

/// A topic that is stored, and the filters that cover it. Shared by all its events.
#[derive(Debug)]
pub struct StoredTopic {
    name: ByteString,
    filters: SmallVec<[FilterId; 4]>,
    place: AtomicU64,
    subscription: OnceLock<SubscriptionId>,
}

impl StoredTopic {
    pub(crate) fn new(name: ByteString, filters: SmallVec<[FilterId; 4]>) -> Self {
        Self {
            name,
            filters,
            place: AtomicU64::new(0),
            subscription: OnceLock::new(),
        }
    }

    /// The topic's URI.
    pub fn name(&self) -> &ByteString {
        &self.name
    }

    /// The filters that cover it, in configured order; at least one.
    pub fn filters(&self) -> &[FilterId] {
        &self.filters
    }

    /// Where an engine left a note about this topic (0: nowhere yet), so that storing its next
    /// event needs no look-up by name. The engine says what it means and must be able to tell
    /// its own note from that of another store.
    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    /// The ID of its exact subscription, computed once.
    pub(crate) fn subscription(&self, key: &StoreKey) -> SubscriptionId {
        *self
            .subscription
            .get_or_init(|| key.subscription(&self.name, MatchPolicy::Exact))
    }

    /// See [`Self::place`].
    pub(crate) fn set_place(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }
}

/// A configured filter under its ID, with the limit that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredFilter {
    /// The same over all starts of this store.
    pub id: FilterId,
    /// The filter; its `limit` is the store's where it had none itself.
    pub filter: Filter,
}

/// Topic names remembered with their filters, in each of two generations.
///
/// 32,768: with names of 100 bytes some 10 MB, for more topics than most realms have. When the
/// young generation is full, the old one goes: cost, not history, so there is no metric.
const REMEMBERED_TOPICS: usize = 32_768;

type Topics = HashMap<ByteString, Option<Arc<StoredTopic>>, foldhash::quality::RandomState>;

/// The configured filters, ready to be asked.
#[derive(Debug)]
pub(crate) struct FilterTable {
    configured: Vec<ConfiguredFilter>,
    /// Filters that were configured once and may have events left.
    gone: Vec<ConfiguredFilter>,
    /// Filter to its rank in `configured`.
    ranks: UriMap<usize>,
    topics: RwLock<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: Topics,
    old: Topics,
}

impl FilterTable {
    /// A table of filters in configured order. Of two with the same URI and match the first
    /// counts.
    pub(crate) fn new(filters: Vec<ConfiguredFilter>) -> Self {
        let mut configured: Vec<ConfiguredFilter> = Vec::with_capacity(filters.len());
        let mut ranks = UriMap::new();
        for filter in filters {
            let Filter {
                uri, match_policy, ..
            } = &filter.filter;
            if ranks.get(uri, *match_policy).is_none() {
                ranks.insert(uri, *match_policy, configured.len());
                configured.push(filter);
            }
        }
        Self {
            configured,
            gone: Vec::new(),
            ranks,
            topics: RwLock::default(),
        }
    }

    /// The filters in configured order.
    pub(crate) fn configured(&self) -> &[ConfiguredFilter] {
        &self.configured
    }

    /// The filters that cover `topic`, or `None` if it is not stored.
    pub(crate) fn topic(&self, topic: &str) -> Option<Arc<StoredTopic>> {
        if let Some(known) = self.topics.read().young.get(topic) {
            return known.clone();
        }
        let mut topics = self.topics.write();
        let (name, found) = match topics.old.remove_entry(topic) {
            Some(known) => known,
            None => {
                let name = ByteString::from(topic);
                let filters = self.covering_topic(topic);
                let found = (!filters.is_empty())
                    .then(|| Arc::new(StoredTopic::new(name.clone(), filters)));
                (name, found)
            }
        };
        if topics.young.len() >= REMEMBERED_TOPICS {
            topics.old = std::mem::take(&mut topics.young);
        }
        topics.young.insert(name, found.clone());
        found
    }

    /// Forgets which topics were asked for: cost, not history.
    pub(crate) fn forget_topics(&self) {
        *self.topics.write() = Generations::default();
    }

    /// The same for a topic that is stored already: where what it was stored under is lost with
    /// a damaged file, it is found by its name still.
    pub(crate) fn topic_or_bare(&self, topic: &str) -> Arc<StoredTopic> {
        self.topic(topic)
            .unwrap_or_else(|| Arc::new(StoredTopic::new(ByteString::from(topic), SmallVec::new())))
    }

    /// With filters that are not configured any more, and stay readable.
    pub(crate) fn with_gone(self, gone: Vec<ConfiguredFilter>) -> Self {
        Self { gone, ..self }
    }

    /// All filters that can be read.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Filter> {
        let all = self.configured.iter().chain(&self.gone);
        all.map(|known| &known.filter)
    }

    /// As [`Self::covering`], else the filter that covered the subscription once: its own, else
    /// the first that there was.
    pub(crate) fn readable(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        let own = |gone: &&ConfiguredFilter| {
            gone.filter.match_policy == match_policy && gone.filter.uri == uri
        };
        let covers = |gone: &&ConfiguredFilter| {
            let wide = (&*gone.filter.uri, gone.filter.match_policy);
            covers(wide, (uri, match_policy))
        };
        self.covering(uri, match_policy).or_else(|| {
            let gone = self.gone.iter().find(own);
            let gone = gone.or_else(|| self.gone.iter().find(covers));
            gone.map(|gone| gone.id)
        })
    }

    /// Whether a subscription is that of the filter itself.
    pub(crate) fn is_own(&self, filter: FilterId, uri: &str, match_policy: MatchPolicy) -> bool {
        let gone = self.gone.iter().find(|gone| gone.id == filter);
        if let Some(Filter {
            uri: own,
            match_policy: policy,
            ..
        }) = gone.map(|gone| &gone.filter)
        {
            return *policy == match_policy && *own == uri;
        }
        let own = self
            .ranks
            .get(uri, match_policy)
            .and_then(|rank| self.configured.get(*rank));
        own.is_some_and(|own| own.id == filter)
    }

    // A filter that keeps nothing stores nothing.
    fn covering_topic(&self, topic: &str) -> SmallVec<[FilterId; 4]> {
        let mut ranks = SmallVec::<[usize; 4]>::new();
        self.ranks
            .for_each_match(topic, |_, _, rank| ranks.push(*rank));
        ranks.sort_unstable();
        let found = ranks.iter().filter_map(|rank| self.configured.get(*rank));
        found
            .filter(|found| found.filter.limit != Some(0))
            .map(|found| found.id)
            .collect()
    }

    /// The filter whose history a subscription has: its own, else the first configured one that
    /// covers every topic it can match.
    ///
    /// For a pattern the cost grows with the filters: asked once a subscription, not once an
    /// event.
    pub(crate) fn covering(&self, uri: &str, match_policy: MatchPolicy) -> Option<FilterId> {
        if let Some(own) = self.ranks.get(uri, match_policy) {
            return self.configured.get(*own).map(|found| found.id);
        }
        if match_policy == MatchPolicy::Exact {
            let mut first = None::<usize>;
            self.ranks.for_each_match(uri, |_, _, rank| {
                first = Some(first.map_or(*rank, |first| first.min(*rank)));
            });
            return first
                .and_then(|rank| self.configured.get(rank))
                .map(|found| found.id);
        }
        let covering = self.configured.iter().find(|configured| {
            let Filter {
                uri: wide,
                match_policy: policy,
                ..
            } = &configured.filter;
            covers((wide, *policy), (uri, match_policy))
        });
        covering.map(|found| found.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MatchPolicy::{Exact, Prefix, Wildcard};

    fn table(filters: &[(&str, MatchPolicy)]) -> FilterTable {
        let configured = filters
            .iter()
            .zip(10..)
            .map(|((uri, match_policy), number)| {
                let filter = Filter::new(*uri, *match_policy);
                ConfiguredFilter {
                    id: FilterId::new(number),
                    filter,
                }
            });
        FilterTable::new(configured.collect())
    }

    #[test]
    fn a_topic_belongs_to_every_filter_that_covers_it_in_configured_order() {
        let table = table(&[
            ("com.order", Prefix),
            ("com.order.created", Exact),
            ("com..created", Wildcard),
            ("net.", Prefix),
        ]);
        let check = |topic: &str, expected: &[u32]| {
            let found = table.topic(topic);
            let filters: Vec<u32> = found
                .iter()
                .flat_map(|found| found.filters())
                .map(|id| id.get())
                .collect();
            assert_eq!(filters, expected, "{topic}");
            assert_eq!(found.is_some(), !expected.is_empty());
        };
        check("com.order.created", &[10, 11, 12]);
        check("com.order.created", &[10, 11, 12]);
        check("com.invoice.created", &[12]);
        check("com.orders", &[10]);
        check("org.order", &[]);
        check("org.order", &[]);
    }

    #[test]
    fn a_subscription_has_its_own_filters_history_else_that_of_the_first_that_covers_it() {
        let table = table(&[
            ("com.", Prefix),
            ("com.a.", Prefix),
            ("..created", Wildcard),
        ]);
        let check = |uri: &str, match_policy, expected: Option<u32>| {
            assert_eq!(
                table.covering(uri, match_policy).map(FilterId::get),
                expected,
                "{uri}"
            );
        };
        check("com.a.", Prefix, Some(11));
        check("com.a.b", Prefix, Some(10));
        check("com.a.created", Exact, Some(10));
        check("net.a.created", Exact, Some(12));
        check("net..created", Wildcard, Some(12));
        check("com..created", Wildcard, Some(10));
        check("net.", Prefix, None);
        check("net.a.deleted", Exact, None);
        check("", Prefix, None);
    }

    #[test]
    fn of_two_equal_filters_the_first_counts() {
        let table = table(&[("com.", Prefix), ("com.", Prefix), ("com.", Exact)]);
        assert_eq!(table.configured().len(), 2);
        assert_eq!(table.topic("com.a").unwrap().filters(), [FilterId::new(10)]);
    }

    #[test]
    fn remembering_topics_stays_within_its_bound() {
        let table = table(&[("", Prefix)]);
        let first = table.topic("t.0").unwrap();
        for number in 0..3 * REMEMBERED_TOPICS {
            table.topic(&format!("t.{number}")).unwrap();
        }
        let topics = table.topics.read();
        assert!(topics.young.len() <= REMEMBERED_TOPICS);
        assert!(topics.old.len() <= REMEMBERED_TOPICS);
        drop(topics);
        assert_eq!(table.topic("t.0").unwrap().filters(), first.filters());
    }
}
