//! Routes: what the realm knows of a topic, so that a publication costs one look-up: who
//! subscribes, whether it is stored, and which roles may publish to it.

use std::rc::Rc;
use std::sync::Arc;

use bytestring::ByteString;
use foldhash::HashMap;
use rewamp_history::StoredTopic;
use smallvec::SmallVec;

use super::role::{NotAuthorized, PublishPermit, Role};
use crate::broker::{Broker, Matches};
use crate::metrics::{Id, RealmMetrics};

/// Topics remembered at most; at the next one all are forgotten and begun anew, which costs each
/// topic in use one matching. Metric `rewamp_topic_cache_resets_total`. 16,384: a few MB.
const TOPICS: usize = 16_384;

/// What is known of one topic.
#[derive(Clone)]
pub(super) struct Route {
    /// The topic, checked to be a URI that clients may publish to.
    pub(super) topic: ByteString,
    /// Who subscribes to it.
    pub(super) matches: Matches,
    /// The filters that store it.
    pub(super) stored: Option<Arc<StoredTopic>>,
    generation: u64,
    permits: SmallVec<[(ByteString, Option<PublishPermit>); 2]>,
}

impl Route {
    /// What `role` may do here; `None` if it has not been asked yet.
    fn known_permit(&self, role: &Role) -> Option<Option<PublishPermit>> {
        self.permits
            .iter()
            .find(|(name, _)| name == role.name())
            .map(|(_, permit)| *permit)
    }
}

/// See the head of this file.
pub(super) struct Routes {
    by_topic: HashMap<ByteString, Rc<Route>>,
    /// The one asked for last: publishers mostly publish where they published last.
    last: Option<(Rc<Route>, ByteString, PublishPermit)>,
    metrics: RealmMetrics,
}

impl Routes {
    pub(super) fn new(metrics: RealmMetrics) -> Self {
        Self {
            by_topic: HashMap::default(),
            last: None,
            metrics,
        }
    }

    /// The route of `topic` for a publisher in `role` who may publish there, if it is remembered
    /// and still true.
    pub(super) fn known(
        &mut self,
        topic: &str,
        role: &Role,
        generation: u64,
    ) -> Option<(Rc<Route>, PublishPermit)> {
        if let Some((route, of_role, permit)) = &self.last
            && route.topic == *topic
            && route.generation == generation
            && *of_role == *role.name()
        {
            return Some((Rc::clone(route), *permit));
        }
        let route = self
            .by_topic
            .get(topic)
            .filter(|route| route.generation == generation)?;
        let permit = route.known_permit(role)??;
        self.last = Some((Rc::clone(route), role.name().clone(), permit));
        Some((Rc::clone(route), permit))
    }

    /// Finds out all that a route says. `topic` has been checked.
    pub(super) fn learn<'a>(
        &mut self,
        topic: &'a ByteString,
        role: &Role,
        broker: &Broker,
        stored: impl FnOnce() -> Option<Arc<StoredTopic>>,
    ) -> (Rc<Route>, Result<PublishPermit, NotAuthorized<'a>>) {
        let permit = role.may_publish(topic);
        if self.by_topic.len() >= TOPICS && !self.by_topic.contains_key(topic) {
            self.by_topic.clear();
            self.metrics.count(Id::TopicCacheResets, 1);
        }
        let mut route = match self.by_topic.get(topic) {
            Some(known) => Route::clone(known),
            None => Route {
                // A copy: the topic as it came in is a slice of a whole read block.
                topic: ByteString::from(topic.to_string()),
                matches: Matches::new(),
                stored: stored(),
                generation: 0,
                permits: SmallVec::new(),
            },
        };
        if route.known_permit(role).is_none() {
            route.permits.push((role.name().clone(), permit.ok()));
        }
        route.matches = broker.matching(topic);
        route.generation = broker.generation();
        let route = Rc::new(route);
        self.by_topic.insert(route.topic.clone(), Rc::clone(&route));
        (route, permit)
    }
}
