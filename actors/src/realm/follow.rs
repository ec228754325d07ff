//! Sessions that get events from the history: subscriptions that begin with their past, and
//! sessions that could not keep up. The realm begins their tracks, has them join the live events
//! without gap or duplicate, and tells them so.
//!
//! A track reads on until it has sent what was accepted a moment ago. Then the realm names the
//! newest event there is: up to it the track sends, and what comes after is live for the session,
//! but waits in its outbox until the track is done.

use std::rc::Rc;
use std::sync::Arc;

use bytestring::ByteString;
use foldhash::HashSet;
use log::{debug, info};
use rewamp_history::{Query, QueryError, Scope, Sequence};
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RequestId, SubscriptionId};
use rewamp_wamp::message::{Event, EventDetails, Message as WampMessage, MessageType, Subscribe};
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::Value;

use super::Realm;
use super::following::{CatchingUp, Replaying, take_over};
use super::member::Member;
use crate::broker::{Fallen, Subscription};
use crate::dealer::Refusal;
use crate::history::{
    Begin, Followed, NewTrack, News, Replay, Resolve, Resolved, Track, TrackKind, What,
    no_such_publication,
};
use crate::meta::events;
use crate::session::encoding;
use crate::session::outbox::Ticket;

/// Events that a track may be behind when it joins: what is published meanwhile waits in the
/// session's outbox, so that this bounds how much. Further behind it reads on first.
const JOIN_WITHIN: u64 = 8_192;

impl Realm {
    /// Has it found out where the replay begins that a SUBSCRIBE asked for; the answer to it comes
    /// with that.
    pub(super) fn ask_replay(
        &mut self,
        member: &Rc<Member>,
        subscribe: &Subscribe,
        scope: Scope,
        replay: Replay,
        sequenced: bool,
    ) {
        let resolve = Resolve {
            session: member.id(),
            viewer: member.viewer(),
            scope,
            replay,
            subscribe: Box::new(subscribe.clone()),
            sequenced,
            ticket: Ticket::new(&member.outbox),
        };
        if let Some(history) = &mut self.history {
            history.resolve(resolve);
        }
    }

    /// It is known where a replay begins, or why it does not.
    pub(super) fn resolved(&mut self, resolved: Resolved) {
        let Resolved { asked, begin } = resolved;
        let Some(member) = self.members.get(&asked.session).cloned() else {
            return;
        };
        let request = asked.request();
        let begin = match begin {
            Ok(begin) => begin,
            Err(error) => return self.refuse_replay(&member, &asked, &error),
        };
        let held = self
            .broker
            .lookup(&asked.scope.uri, asked.scope.match_policy);
        if held.is_some_and(|held| held.receivers.borrow().contains(&member)) {
            let refusal = already_subscribed(&asked.scope.uri);
            return self.refuse(&member, MessageType::Subscribe, request, &refusal);
        }
        let Resolve {
            subscribe,
            scope,
            sequenced,
            ..
        } = asked;
        let (marked, request) = (true, subscribe.request);
        self.begin_replay(&member, request, scope, begin, Form { marked, sequenced });
    }

    fn refuse_replay(&mut self, member: &Rc<Member>, asked: &Resolve, error: &QueryError) {
        let request = asked.request();
        match error {
            QueryError::NoSuchPublication { oldest, newest } => {
                let error = no_such_publication(
                    member.wire,
                    MessageType::Subscribe,
                    request,
                    *oldest,
                    *newest,
                );
                self.answer(member, &WampMessage::Error(error));
            }
            QueryError::Store(fault) => {
                let refusal = Refusal {
                    uri: error_uri::STORE_UNAVAILABLE,
                    text: fault.to_string(),
                };
                self.refuse(member, MessageType::Subscribe, request, &refusal);
            }
        }
    }

    /// Subscribes to events from `begin` on: they come from the history until the session has
    /// caught up.
    pub(super) fn begin_replay(
        &mut self,
        member: &Rc<Member>,
        request: RequestId,
        scope: Scope,
        begin: Begin,
        form: Form,
    ) {
        let Form { marked, sequenced } = form;
        let (uri, match_policy) = (scope.uri.clone(), scope.match_policy);
        let mut created = self.created(&uri, match_policy);
        // One that somebody has held since before its store was open keeps the ID it had.
        if let Some(held) = self.broker.lookup(&uri, match_policy) {
            created.id = held.id;
        }
        let followed = Followed {
            subscription: created.id,
            scope,
            sequenced,
            after: begin.after,
            newest: None,
        };
        let track = self.track(
            member,
            TrackKind::Replay { marked },
            vec![followed],
            begin.newest_per_topic,
        );
        let to = Some(&track);
        let subscribed = self
            .broker
            .subscribe(member, &uri, match_policy, sequenced, to, || created);
        let replaying = Replaying {
            track: Arc::clone(&track),
            joins: false,
        };
        member.replays.borrow_mut().insert(created.id, replaying);
        self.subscribed(member, request, &subscribed);
        self.follow(&track);
    }

    /// A subscription that the session holds has got a history: from here on its EVENTs come from
    /// there until the session is live again, and then name their place.
    pub(super) fn name_places(&mut self, member: &Rc<Member>, subscription: &Subscription) {
        let Some(scope) = subscription.scope() else {
            return;
        };
        let followed = Followed {
            subscription: subscription.id,
            scope,
            sequenced: true,
            after: self.newest(),
            newest: None,
        };
        let kind = TrackKind::Replay { marked: false };
        let track = self.track(member, kind, vec![followed], None);
        let mut receivers = subscription.receivers.borrow_mut();
        receivers.remove(member);
        receivers.follow(member, true, Arc::clone(&track));
        drop(receivers);
        let replaying = Replaying {
            track: Arc::clone(&track),
            joins: false,
        };
        member
            .replays
            .borrow_mut()
            .insert(subscription.id, replaying);
        self.follow(&track);
    }

    fn track(
        &mut self,
        member: &Member,
        kind: TrackKind,
        followed: Vec<Followed>,
        newest_per_topic: Option<Box<Query>>,
    ) -> Arc<Track> {
        Track::new(NewTrack {
            session: member.id(),
            viewer: member.viewer(),
            outbox: Arc::clone(&member.outbox),
            wire: member.wire,
            max_message: member.max_message,
            kind,
            followed,
            newest_per_topic,
            gauge: self.gauges.tracks.clone(),
        })
    }

    fn follow(&mut self, track: &Arc<Track>) {
        if let Some(history) = &mut self.history {
            history.follow(track);
        }
    }

    /// Those who could not keep up since this was done last get what follows from the history.
    pub(super) fn catch_up_fallen(&mut self) {
        for fallen in self.delivery.fallen() {
            self.catch_up(fallen);
        }
    }

    fn catch_up(&mut self, fallen: Fallen) {
        let Fallen {
            member,
            position,
            ahead,
        } = fallen;
        if member.has_left.get() {
            return;
        }
        let held: Vec<_> = member.subscriptions.borrow().values().cloned().collect();
        // It had nearly caught up, and what waited for it meanwhile was too much: once more, from
        // where that track stands.
        let before = member.catching_up.take();
        let mut announced = Vec::new();
        let mut followed = Vec::new();
        if let Some(before) = before {
            followed = take_over(&before.track);
            announced = before.announced;
        }
        let known: HashSet<_> = followed.iter().map(|it| it.subscription).collect();
        for subscription in &held {
            if known.contains(&subscription.id) {
                continue;
            }
            let Some(scope) = subscription.scope() else {
                continue;
            };
            let replaying = member.replays.borrow().get(&subscription.id).cloned();
            match replaying {
                // It goes on by itself, and joins the session when that is live.
                Some(replaying) if !replaying.joins => {}
                Some(replaying) => {
                    member.replays.borrow_mut().remove(&subscription.id);
                    followed.extend(take_over(&replaying.track));
                    announced.extend(replaying.announced(subscription.id));
                }
                None => {
                    let is_ahead = ahead.contains(&subscription.id);
                    followed.push(Followed {
                        subscription: subscription.id,
                        scope,
                        sequenced: subscription.is_sequenced_for(&member),
                        after: if is_ahead { position.next() } else { position },
                        newest: None,
                    });
                }
            }
        }
        let details = &member.details;
        info!(realm = &*self.name, session = details.id.get(), peer = &*details.peer.address;
            "session reads too slowly, it gets events from the history until it has caught up");
        let track = self.track(&member, TrackKind::CatchUp, followed, None);
        let catching_up = CatchingUp {
            track: Arc::clone(&track),
            announced,
        };
        member.catching_up.replace(Some(catching_up));
        self.follow(&track);
    }

    /// A track is at its end, or cannot go on as it did.
    pub(super) fn news(&mut self, news: News) {
        let News { track, news } = news;
        let Some(member) = self.members.get(&track.session).cloned() else {
            return;
        };
        if !member.is_followed_by(&track) {
            return;
        }
        match news {
            What::Gap {
                subscriptions,
                from,
                to,
            } => {
                for subscription in subscriptions {
                    info!(realm = &*self.name, session = member.id().get();
                        "events {from} to {to} are not in the history any more: the session \
                         misses what it had to get of them");
                    self.tell(&member, events::SUBSCRIPTION_ON_GAP, || {
                        [subscription.get(), from.get(), to.get()]
                            .map(Value::from)
                            .to_vec()
                    });
                }
                self.follow(&track);
            }
            What::AtTheEnd => self.join_live(&member, &track),
            What::Done => self.joined_live(&member, &track),
        }
    }

    fn join_live(&mut self, member: &Rc<Member>, track: &Arc<Track>) {
        let newest = match &self.history {
            Some(history) => history.newest(),
            None => return,
        };
        let followed = track.followed();
        let behind = followed
            .iter()
            .map(|followed| newest.get().saturating_sub(followed.after.get()))
            .max()
            .unwrap_or(0);
        if behind > JOIN_WITHIN {
            return self.follow(track);
        }
        // What the history knows of the newest event is true for events before this subscription
        // had a receiver; what was published since is known better here.
        for followed in &followed {
            if let Some(subscription) = self.broker.get(followed.subscription)
                && subscription.newest.get().is_none()
            {
                subscription.newest.set(followed.newest);
            }
        }
        if let TrackKind::Replay { .. } = track.kind {
            for followed in &followed {
                if let Some(subscription) = self.broker.get(followed.subscription) {
                    subscription.receivers.borrow_mut().join(member);
                }
            }
            if member.outbox.is_catching_up() {
                return self.join_catching_up(member, track);
            }
            for followed in &followed {
                let mut replays = member.replays.borrow_mut();
                if let Some(replaying) = replays.get_mut(&followed.subscription) {
                    replaying.joins = true;
                }
            }
        }
        member.outbox.join_at(newest);
        track.end_at(newest);
        if behind == 0 {
            self.joined_live(member, track);
        } else {
            self.follow(track);
        }
    }

    /// The session of a replay could not keep up with its other subscriptions meanwhile: from here
    /// on all of them are sent in one order.
    fn join_catching_up(&mut self, member: &Rc<Member>, track: &Arc<Track>) {
        let mut catching_up = member.catching_up.borrow_mut();
        let Some(catching_up) = catching_up.as_mut() else {
            return;
        };
        for followed in take_over(track) {
            let replaying = member.replays.borrow_mut().remove(&followed.subscription);
            let announced = replaying.and_then(|it| it.announced(followed.subscription));
            catching_up.announced.extend(announced);
            catching_up.track.add(followed);
        }
    }

    /// Everything before the live events has been sent.
    fn joined_live(&mut self, member: &Rc<Member>, track: &Arc<Track>) {
        let mut announced = Vec::new();
        match track.kind {
            TrackKind::Replay { .. } => {
                track.pass_all();
                for followed in track.followed() {
                    let replaying = member.replays.borrow_mut().remove(&followed.subscription);
                    announced.extend(replaying.and_then(|it| it.announced(followed.subscription)));
                }
            }
            TrackKind::CatchUp => {
                let caught_up = member.catching_up.take();
                announced.extend(caught_up.into_iter().flat_map(|it| it.announced));
                debug!(realm = &*self.name, session = member.id().get(); "session has caught up");
            }
        }
        track.end();
        let until = track.ends_at().unwrap_or(Sequence::ZERO);
        for subscription in announced {
            self.tell(member, events::SUBSCRIPTION_ON_LIVE, || {
                vec![Value::from(subscription.get()), Value::from(until.get())]
            });
        }
        member.outbox.joined_live();
        self.delivery.dirty(&member.outbox);
    }

    /// The session has given up a subscription, or left.
    pub(super) fn unfollow(&mut self, member: &Member, subscription: SubscriptionId) {
        if let Some(replaying) = member.replays.borrow_mut().remove(&subscription) {
            replaying.track.end();
            if replaying.joins {
                member.outbox.joined_live();
                self.delivery.dirty(&member.outbox);
            }
        }
        if let Some(catching_up) = &mut *member.catching_up.borrow_mut() {
            catching_up.track.remove(subscription);
            catching_up.announced.retain(|other| *other != subscription);
        }
        member.outbox.forget(subscription);
    }

    /// A session that catches up has subscribed, or a subscription of it has got a history: what is
    /// published from here on comes with the rest.
    pub(super) fn follow_also(&self, member: &Member, subscription: &Subscription) {
        if !member.outbox.is_catching_up() {
            return;
        }
        if let (Some(catching_up), Some(scope)) =
            (&*member.catching_up.borrow(), subscription.scope())
        {
            catching_up.track.add(Followed {
                subscription: subscription.id,
                scope,
                sequenced: false,
                after: self.newest(),
                newest: subscription.newest.get(),
            });
        }
    }

    /// Tells one session alone something about its own subscriptions, if it subscribed to that.
    fn tell(
        &mut self,
        member: &Rc<Member>,
        topic: &'static str,
        args: impl FnOnce() -> Vec<Value>,
    ) {
        let matches = self.broker.matching(topic);
        let held = member.subscriptions.borrow();
        let mut own = matches
            .iter()
            .filter(|subscription| held.contains_key(&subscription.id))
            .peekable();
        if own.peek().is_none() {
            return;
        }
        let payload = encoding::arguments(member.wire.serializer, &args(), None);
        let publication = self.ids.draw();
        for subscription in own {
            let is_pattern = subscription.match_policy != MatchPolicy::Exact;
            let event = WampMessage::Event(Event {
                subscription: subscription.id,
                publication,
                details: Box::new(EventDetails {
                    topic: is_pattern.then(|| ByteString::from_static(topic)),
                    ..EventDetails::default()
                }),
                payload: payload.clone(),
            });
            self.scratch.clear();
            encoding::append(member.wire, &event, &mut self.scratch);
            self.delivery.answer(&member.outbox, &self.scratch);
        }
    }
}

/// How the EVENTs of a replay look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// They say that they are replayed, and the session is told of their end.
    pub(super) marked: bool,
    /// They name their place.
    pub(super) sequenced: bool,
}

/// The refusal of a replay on a subscription that the session holds.
pub(super) fn already_subscribed(uri: &str) -> Refusal {
    Refusal {
        uri: error_uri::ALREADY_SUBSCRIBED,
        text: format!(
            "option `_replay`: the session holds a subscription to '{uri}' already; unsubscribe first"
        ),
    }
}
