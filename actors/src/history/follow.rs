//! Sessions that get events from the history: replays, and those that could not keep up. Each is a
//! [`Track`]; tracks take turns on threads of their own, never faster than the session reads, and
//! tell the realm when they have reached the end.

mod track; // what is sent to whom, and how far it is
mod start; // where a replay begins
mod step; // a turn: read on and hand over
mod source; // where it reads
mod frames; // events, as the client gets them

pub(crate) use start::Begin;
pub use start::{Replay, Resolve, Resolved};
pub use track::Track;
pub(crate) use track::{Followed, NewTrack, TrackKind};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::error;
use rewamp_history::{Event, Sequence};
use rewamp_wamp::id::SubscriptionId;
use tokio::task::spawn_blocking;

use super::History;
use crate::metrics::RealmMetrics;
use crate::session::outbox::Outbox;
use step::{Reading, Turn};

/// How long a track waits before it asks again a store that could not be read.
const AGAIN: Duration = Duration::from_millis(500);

/// Runs of failed events that are remembered. Beyond that, neighbours become one: those who are
/// behind are told of a larger gap than there is.
const FAILED: usize = 256;

/// The turns of a realm's tracks.
pub(super) struct Tracks {
    waiting: VecDeque<Arc<Track>>,
    running: usize,
    at_once: usize,
    /// The store could not be read when that was last tried.
    is_unreadable: bool,
    /// Runs of events that could not be stored, although they were delivered live.
    failed: VecDeque<(Sequence, Sequence)>,
    metrics: RealmMetrics,
}

/// A track has its next turn. A message to the History actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Follow(pub(crate) Arc<Track>);

/// How far a track is. A message to the realm.
#[derive(Message)]
#[rtype(result = "()")]
pub struct News {
    /// Which.
    pub(crate) track: Arc<Track>,
    /// What happened.
    pub(crate) news: What,
}

/// What happened to a track.
#[derive(Debug)]
pub(crate) enum What {
    /// It has sent what was accepted a moment ago.
    AtTheEnd,
    /// It has sent everything up to its end.
    Done,
    /// The history does not have these events any more, by these subscriptions.
    Gap {
        subscriptions: Vec<SubscriptionId>,
        from: Sequence,
        to: Sequence,
    },
}

impl Tracks {
    pub(super) fn new(at_once: usize, metrics: RealmMetrics) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: 0,
            at_once,
            is_unreadable: false,
            failed: VecDeque::new(),
            metrics,
        }
    }

    /// These events were accepted and could not be stored.
    pub(super) fn failed(&mut self, events: &[Arc<Event>]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        if self.failed.len() >= FAILED
            && let Some((from, _)) = self.failed.pop_front()
            && let Some(next) = self.failed.front_mut()
        {
            next.0 = from;
        }
        self.failed.push_back((first.sequence, last.sequence));
    }
}

impl History {
    fn run_tracks(&mut self, ctx: &mut Context<Self>) {
        while self.tracks.running < self.tracks.at_once {
            let Some(track) = self.tracks.waiting.pop_front() else {
                return;
            };
            self.tracks.running += 1;
            let (turns, of) = (self.turns.clone(), Arc::clone(&track));
            let turn = async move { turns.read().await };
            let stepped = turn.into_actor(self).then(move |turn, history, _| {
                let reading = history.reading();
                let step = move || {
                    let _turn = turn;
                    step::turn(&reading, &of)
                };
                spawn_blocking(step).into_actor(history)
            });
            let done = stepped.map(move |turn, history, ctx| {
                history.tracks.running -= 1;
                history.turned(track, turn, ctx);
                history.run_tracks(ctx);
            });
            ctx.spawn(done);
        }
    }

    fn reading(&mut self) -> Reading {
        Reading {
            store: Arc::clone(&self.store),
            pending: self.pending(),
            newest: self.newest,
            failed: self.tracks.failed.iter().copied().collect(),
            metrics: self.tracks.metrics.clone(),
        }
    }

    fn turned(
        &mut self,
        track: Arc<Track>,
        turn: Result<Turn, tokio::task::JoinError>,
        ctx: &mut Context<Self>,
    ) {
        if !matches!(turn, Ok(Turn::Failed(_))) {
            self.tracks.is_unreadable = false;
        }
        match turn {
            Ok(Turn::Filled) => {
                let (outbox, address) = (Arc::clone(&track.outbox), ctx.address());
                when_refillable(&outbox, &address, track);
            }
            Ok(Turn::Yielded) => self.tracks.waiting.push_back(track),
            Ok(Turn::AtTheEnd) => self.tell(track, What::AtTheEnd),
            Ok(Turn::Done) => self.tell(track, What::Done),
            Ok(Turn::Gap {
                subscriptions,
                from,
                to,
            }) => self.tell(
                track,
                What::Gap {
                    subscriptions,
                    from,
                    to,
                },
            ),
            Ok(Turn::Failed(fault)) => {
                if !std::mem::replace(&mut self.tracks.is_unreadable, true) {
                    error!(realm = &*self.realm_name;
                        "the event store cannot be read, sessions that get events from it wait: \
                         {fault}");
                }
                ctx.run_later(AGAIN, |history, ctx| {
                    history.tracks.waiting.push_back(track);
                    history.run_tracks(ctx);
                });
            }
            Ok(Turn::Over) => {}
            Err(panic) => {
                error!(realm = &*self.realm_name, session = track.session.get();
                    "reading for the session ended in a panic, it is cut: {panic}");
                track.end();
                track.outbox.cut();
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "at most one a track is under way"
    )]
    fn tell(&self, track: Arc<Track>, news: What) {
        self.news.do_send(News { track, news });
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at most one a track is under way"
)]
fn when_refillable(outbox: &Outbox, address: &Addr<History>, track: Arc<Track>) {
    let address = address.clone();
    outbox.when_refillable(move || address.do_send(Follow(track)));
}

impl Handler<Follow> for History {
    type Result = ();

    fn handle(&mut self, follow: Follow, ctx: &mut Context<Self>) {
        self.tracks.waiting.push_back(follow.0);
        self.run_tracks(ctx);
    }
}

impl Handler<Resolve> for History {
    type Result = ();

    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by the tickets of the sessions that ask"
    )]
    fn handle(&mut self, resolve: Resolve, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let (pending, newest) = (self.pending(), self.newest);
        let found = self.at_work(move || {
            let begin = resolve.begin(&*store, &pending, newest);
            Resolved {
                asked: resolve,
                begin,
            }
        });
        let done = found.into_actor(self).map(|found, history, _| match found {
            Ok(resolved) => history.resolved.do_send(resolved),
            Err(panic) => {
                error!(realm = &*history.realm_name; "a replay did not begin: {panic}");
            }
        });
        ctx.spawn(done);
    }
}
