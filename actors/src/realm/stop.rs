//! A clean stop: nothing more is read, what was read is handled and committed, those who wait for
//! PUBLISHED get it, everybody gets GOODBYE, and the store is closed.

use actix::prelude::*;
use bytestring::ByteString;
use log::{error, info};
use rewamp_wamp::error_uri;
use rewamp_wamp::message::{Goodbye, Message as WampMessage};
use rewamp_wamp::value::Dict;

use super::Realm;
use crate::router::RealmHandle;

/// The first half: no session is read any more, and everything accepted is committed. The answer
/// comes when those who waited for it have been told.
#[derive(Message)]
#[rtype(result = "()")]
struct StopReading;

/// The second half: everybody gets GOODBYE behind what still waits, and the store is closed.
#[derive(Message)]
#[rtype(result = "()")]
struct SayGoodbye;

/// Stops a realm cleanly. Bounded by nobody but the caller.
pub async fn stop(realm: &RealmHandle) {
    // An error means that the actor is gone, and with it everything that could be stopped.
    let stopped = realm.address.send(StopReading).await;
    // What sessions had passed on before they heard of it stands in the mailbox before this.
    let flushed = realm.address.send(StopReading).await;
    let closed = realm.address.send(SayGoodbye).await;
    if stopped.and(flushed).and(closed).is_err() {
        error!(realm = &*realm.name; "the realm ended before it was stopped");
    }
}

impl Handler<StopReading> for Realm {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopReading, _: &mut Context<Self>) -> Self::Result {
        self.members
            .values()
            .for_each(|member| member.outbox.stop_reading());
        self.end_patience(u64::MAX);
        match &mut self.history {
            Some(history) => Box::pin(history.flush()),
            None => Box::pin(std::future::ready(())),
        }
    }
}

impl Handler<SayGoodbye> for Realm {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SayGoodbye, _: &mut Context<Self>) -> Self::Result {
        let goodbye = WampMessage::Goodbye(Goodbye {
            details: Dict::from([("message", "the router is shutting down")]),
            reason: ByteString::from_static(error_uri::CLOSE_SYSTEM_SHUTDOWN),
        });
        let now = self.clock.now();
        let members: Vec<_> = self.members.values().cloned().collect();
        info!(realm = &*self.name; "realm stops, {} sessions", members.len());
        for member in members {
            self.answer(&member, &goodbye);
            member.outbox.finish();
            if let Some(history) = &self.history {
                history.left(member.id(), now);
            }
        }
        self.hand_over();
        let name = self.name();
        match &mut self.history {
            None => Box::pin(std::future::ready(())),
            Some(history) => {
                let closed = history.close();
                Box::pin(async move {
                    if let Err(fault) = closed.await {
                        error!(realm = &*name; "the event store was not closed cleanly: {fault}");
                    }
                })
            }
        }
    }
}
