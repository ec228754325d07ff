//! How EVENTs reach the client of an Outbox: live, or from the history because its session could
//! not keep up, or the last ones from there before it is live again. The realm changes it; the
//! transport does not see it.

use bytes::Bytes;
use rewamp_history::Sequence;
use rewamp_wamp::id::SubscriptionId;

use super::{Outbox, OutboxLimits, Place, Push, Queue, SHARE_FROM, Staging, State};

/// See the head of this file.
pub(super) enum Pace {
    /// As they are published.
    Live,
    /// From the history; those that it does not have wait for their place.
    CatchingUp(Staging),
    /// The last ones up to a mark from the history; all others wait behind them.
    Joining {
        staging: Staging,
        /// Up to where everything was sent or is being sent when the first that joins began to.
        mark: Sequence,
        /// How many of the session's subscriptions join, or 1 if all of them do.
        joining: u32,
    },
}

impl OutboxLimits {
    /// What may wait for its place in the order: as much again as a half of what may wait to be
    /// written.
    pub(crate) fn staging(&self) -> (usize, usize) {
        (self.bytes / 2, self.messages / 2)
    }
}

impl Outbox {
    /// Bytes and messages that one step of the history hands over.
    #[must_use]
    pub fn step_limit(&self) -> (usize, usize) {
        let limits = self.queue.lock().limits;
        (limits.bytes / 8, limits.messages / 8)
    }

    /// Bytes and messages that may wait for their place.
    #[must_use]
    pub fn staging_limit(&self) -> (usize, usize) {
        self.queue.lock().limits.staging()
    }

    /// The session could not keep up: from here on what the history has comes from there, and what
    /// it does not have waits. If the session was joining, what was kept for it of the history is
    /// dropped, and the mark comes back up to which it has everything.
    pub fn catch_up(&self) -> Option<Sequence> {
        let mut queue = self.queue.lock();
        match std::mem::replace(&mut queue.pace, Pace::Live) {
            Pace::Live => {
                queue.pace = Pace::CatchingUp(Staging::default());
                None
            }
            Pace::CatchingUp(staging) => {
                queue.pace = Pace::CatchingUp(staging);
                None
            }
            Pace::Joining {
                mut staging, mark, ..
            } => {
                staging.retain(|place| !place.in_history);
                queue.pace = Pace::CatchingUp(staging);
                Some(mark)
            }
        }
    }

    /// True while [`Outbox::catch_up`] holds.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        matches!(self.queue.lock().pace, Pace::CatchingUp(_))
    }

    /// True from [`Outbox::join_at`] to [`Outbox::joined_live`].
    #[must_use]
    pub fn is_joining(&self) -> bool {
        matches!(self.queue.lock().pace, Pace::Joining { .. })
    }

    /// The history has been sent up to near `mark`: what is published from here on waits until
    /// [`Outbox::joined_live`] has been called as often as this.
    pub fn join_at(&self, at: Sequence) {
        let mut queue = self.queue.lock();
        queue.pace = match std::mem::replace(&mut queue.pace, Pace::Live) {
            Pace::Live => Pace::Joining {
                staging: Staging::default(),
                mark: at,
                joining: 1,
            },
            Pace::CatchingUp(staging) => Pace::Joining {
                staging,
                mark: at,
                joining: 1,
            },
            Pace::Joining {
                staging,
                mark,
                joining,
            } => Pace::Joining {
                staging,
                mark,
                joining: joining + 1,
            },
        };
    }

    /// One of those that joined has got all that comes before the live events. With the last one
    /// everything that waited is queued and the session is live.
    pub fn joined_live(&self) {
        let mut queue = self.queue.lock();
        match std::mem::replace(&mut queue.pace, Pace::Live) {
            Pace::Joining {
                staging,
                mark,
                joining: joining @ 2..,
            } => {
                queue.pace = Pace::Joining {
                    staging,
                    mark,
                    joining: joining - 1,
                };
            }
            Pace::Joining { mut staging, .. } => {
                queue.flush(&mut staging, Sequence::MAX);
            }
            other => queue.pace = other,
        }
    }

    /// The event of the history behind which something waits for its place.
    #[must_use]
    pub fn first_staged(&self) -> Option<Sequence> {
        match &self.queue.lock().pace {
            Pace::CatchingUp(staging) | Pace::Joining { staging, .. } => staging.first(),
            Pace::Live => None,
        }
    }

    /// Queues what waited behind events up to `passed`, which have been queued.
    pub fn pass(&self, passed: Sequence) {
        let mut queue = self.queue.lock();
        match std::mem::replace(&mut queue.pace, Pace::Live) {
            Pace::CatchingUp(mut staging) => {
                queue.flush(&mut staging, passed);
                queue.pace = Pace::CatchingUp(staging);
            }
            other => queue.pace = other,
        }
    }

    /// Drops what waits of a subscription that the session has given up.
    pub fn forget(&self, subscription: SubscriptionId) {
        match &mut self.queue.lock().pace {
            Pace::CatchingUp(staging) | Pace::Joining { staging, .. } => {
                staging.retain(|place| place.subscription != subscription);
            }
            Pace::Live => {}
        }
    }

    /// Drops everything that waits for its place: the session has left the realm.
    pub fn live(&self) {
        self.queue.lock().pace = Pace::Live;
    }
}

impl Queue {
    /// Has frames wait for their place, or be got from the history.
    pub(super) fn stage(
        &mut self,
        frames: impl FnOnce() -> Bytes,
        events: u32,
        place: &Place,
    ) -> Push {
        if self.state != State::Open {
            return Push::Closed;
        }
        let limit = self.limits.staging();
        let staging = match &mut self.pace {
            Pace::CatchingUp(_) if place.in_history => return Push::Later,
            Pace::CatchingUp(staging) | Pace::Joining { staging, .. } => staging,
            Pace::Live => return Push::Later,
        };
        match staging.push(frames(), events, *place, limit) {
            true => Push::Queued,
            false => Push::Full,
        }
    }

    fn flush(&mut self, staging: &mut Staging, passed: Sequence) {
        while let Some((frames, messages)) = staging.take(passed) {
            if frames.len() >= SHARE_FROM {
                self.share(frames, messages);
            } else {
                self.append(&frames, messages);
            }
        }
    }
}
