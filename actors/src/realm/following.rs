//! What a session has of the history just now: subscriptions that are sent their past, and the track
//! by which it catches up. Held by its member, changed by `follow.rs`.

use std::sync::Arc;

use rewamp_history::{Scope, Viewer};
use rewamp_wamp::id::SubscriptionId;

use super::member::Member;
use crate::broker::Subscription;
use crate::history::{Followed, Track, TrackKind};

/// A subscription of a session that is sent its past.
#[derive(Clone)]
pub(crate) struct Replaying {
    pub(super) track: Arc<Track>,
    /// Its end is known, and what comes after waits for it in the session's outbox.
    pub(super) joins: bool,
}

/// A session that could not keep up.
pub(crate) struct CatchingUp {
    pub(super) track: Arc<Track>,
    /// Replays that it took over, whose end is to be told.
    pub(super) announced: Vec<SubscriptionId>,
}

impl Replaying {
    /// The subscription, if its end is to be told.
    pub(super) fn announced(&self, subscription: SubscriptionId) -> Option<SubscriptionId> {
        (self.track.kind == TrackKind::Replay { marked: true }).then_some(subscription)
    }
}

impl Member {
    /// As the receiver lists of events see it.
    pub(crate) fn viewer(&self) -> Viewer {
        Viewer::Session {
            authid: self.details.authid.clone(),
            authrole: self.details.authrole.clone(),
        }
    }

    /// Whether a live subscription of it has a history from which it could catch up.
    pub(crate) fn has_history(&self) -> bool {
        let replays = self.replays.borrow();
        let is_live = |id| replays.get(id).is_none_or(|replaying| replaying.joins);
        let subscriptions = self.subscriptions.borrow();
        let mut covered = subscriptions
            .values()
            .filter(|subscription| subscription.filter.get().is_some());
        covered.any(|subscription| is_live(&subscription.id))
    }

    pub(super) fn is_followed_by(&self, track: &Arc<Track>) -> bool {
        let catching_up = self.catching_up.borrow();
        let is_own = |other: &Arc<Track>| Arc::ptr_eq(other, track);
        catching_up.as_ref().is_some_and(|it| is_own(&it.track))
            || track.followed().iter().any(|followed| {
                let replays = self.replays.borrow();
                replays
                    .get(&followed.subscription)
                    .is_some_and(|replaying| is_own(&replaying.track))
            })
    }

    /// It is out of the realm: nothing of the history is sent to it any more.
    pub(super) fn end_tracks(&self) {
        if let Some(catching_up) = self.catching_up.take() {
            catching_up.track.end();
        }
        for replaying in self.replays.take().into_values() {
            replaying.track.end();
        }
        self.outbox.live();
    }
}

impl Subscription {
    /// The history it has.
    pub(crate) fn scope(&self) -> Option<Scope> {
        Some(Scope {
            uri: self.uri.clone(),
            match_policy: self.match_policy,
            filter: self.filter.get()?,
        })
    }

    pub(super) fn is_sequenced_for(&self, member: &Member) -> bool {
        self.receivers.borrow().is_sequenced(member) == Some(true)
    }
}

/// Ends a track whose subscriptions another one goes on with. What waits in it goes to the outbox,
/// where it waits for the same place.
pub(super) fn take_over(track: &Track) -> Vec<Followed> {
    track.end();
    track.stage_all();
    track.followed()
}
