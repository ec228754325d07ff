//! Where a step reads: the history of one subscription, or that of a filter for many subscriptions
//! that it covers, which is read once for all of them.

use rewamp_history::{EventRef, EventStore, Scope, Sequence};
use rewamp_wamp::uri_map::UriMap;
use smallvec::SmallVec;

use super::track::{Followed, Step};

/// Subscriptions that are read one by one; if there are more, those of a filter are read together.
/// 16: what one of them skips costs less than looking at every event of the filter.
const ONE_BY_ONE: usize = 16;

/// See the head of this file.
pub(super) struct Source {
    /// The history that is read.
    pub(super) scope: Scope,
    subscriptions: Subscriptions,
}

/// Places in [`Step::followed`].
enum Subscriptions {
    One(usize),
    Many(UriMap<usize>),
}

/// The sources of a step.
pub(super) fn sources(store: &dyn EventStore, step: &Step) -> Vec<Source> {
    let together = step.followed.len() > ONE_BY_ONE;
    let mut sources = Vec::new();
    let mut shared: Vec<(Scope, UriMap<usize>)> = Vec::new();
    for (at, followed) in step.followed.iter().enumerate() {
        // What comes before an event is known only where nothing else is read.
        let filter = store
            .filters()
            .iter()
            .find(|filter| filter.id == followed.scope.filter);
        let Some(filter) = filter.filter(|_| together && !followed.sequenced) else {
            sources.push(Source {
                scope: followed.scope.clone(),
                subscriptions: Subscriptions::One(at),
            });
            continue;
        };
        let known = shared
            .iter()
            .position(|(scope, _)| scope.filter == filter.id);
        let known = known.unwrap_or_else(|| {
            let scope = Scope {
                uri: filter.filter.uri.clone(),
                match_policy: filter.filter.match_policy,
                filter: filter.id,
            };
            shared.push((scope, UriMap::new()));
            shared.len() - 1
        });
        if let Some((_, map)) = shared.get_mut(known) {
            map.insert(&followed.scope.uri, followed.scope.match_policy, at);
        }
    }
    let shared = shared.into_iter().map(|(scope, map)| Source {
        scope,
        subscriptions: Subscriptions::Many(map),
    });
    sources.extend(shared);
    sources
}

impl Source {
    /// The one subscription whose history it is, if it is no filter's.
    pub(super) fn alone(&self) -> Option<usize> {
        match &self.subscriptions {
            Subscriptions::One(at) => Some(*at),
            Subscriptions::Many(_) => None,
        }
    }

    /// Its subscriptions in [`Step::followed`].
    pub(super) fn places<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = usize> + 'a {
        (0..step.followed.len()).filter(move |at| match &self.subscriptions {
            Subscriptions::One(one) => at == one,
            Subscriptions::Many(_) => step.followed.get(*at).is_some_and(|followed| {
                !followed.sequenced && followed.scope.filter == self.scope.filter
            }),
        })
    }

    /// Everything up to here has been sent to all its subscriptions.
    pub(super) fn after(&self, step: &Step) -> Sequence {
        let after = self
            .places(step)
            .filter_map(|at| step.followed.get(at))
            .map(|followed| followed.after);
        after.min().unwrap_or(Sequence::MAX)
    }

    /// The subscriptions that get an event of its history.
    pub(super) fn followed<'a>(
        &self,
        step: &'a Step,
        event: &EventRef<'_>,
    ) -> SmallVec<[&'a Followed; 2]> {
        let mut followed = SmallVec::new();
        let mut add = |at: usize| {
            let waiting = step.followed.get(at);
            followed.extend(waiting.filter(|followed| followed.after < event.sequence));
        };
        match &self.subscriptions {
            Subscriptions::One(at) => add(*at),
            Subscriptions::Many(map) => map.for_each_match(event.topic, |_, _, at| add(*at)),
        }
        followed
    }
}
