//! Purges: one after another and off the arbiter, each behind the commit of what was accepted
//! before it came. Questions do not wait for them.

use std::collections::VecDeque;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use log::info;
use rewamp_history::{EventStore, Purge};
use rewamp_wamp::message::{CallResult, Message, ResultDetails};
use rewamp_wamp::value::{Dict, Value};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::{About, History, Question, page};
use crate::session::encoding;

/// Those that wait. As many as the tickets of sessions allow: each holds one.
#[derive(Default)]
pub(super) struct Purges {
    waiting: VecDeque<Question>,
    running: bool,
    /// Commits that the one under way waits for, and who is told.
    behind: Option<(u32, oneshot::Sender<()>)>,
}

impl Purges {
    /// Whether a commit is waited for.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// A commit is through, well or not.
    pub(super) fn committed(&mut self) {
        if let Some((commits, _)) = &mut self.behind {
            *commits = commits.saturating_sub(1);
        }
        if let Some((_, told)) = self.behind.take_if(|(commits, _)| *commits == 0) {
            // Whoever asked may have gone.
            let _ = told.send(());
        }
    }
}

impl History {
    pub(super) fn purge(&mut self, question: Question, ctx: &mut Context<Self>) {
        self.purges.waiting.push_back(question);
        self.next_purge(ctx);
    }

    fn next_purge(&mut self, ctx: &mut Context<Self>) {
        if self.purges.running {
            return;
        }
        let Some(question) = self.purges.waiting.pop_front() else {
            return;
        };
        self.purges.running = true;
        let commits = u32::from(self.committing.is_some()) + u32::from(self.is_filling());
        let (told, committed) = oneshot::channel();
        self.purges.behind = (commits > 0).then_some((commits, told));
        self.commit_when_due(ctx);
        let (store, now) = (std::sync::Arc::clone(&self.store), self.time());
        let realm = std::sync::Arc::clone(&self.realm_name);
        let purged = async move {
            // An error: there is nothing to wait for.
            let _ = committed.await;
            let answered = spawn_blocking(move || {
                store.at(now);
                let frame = answer(&*store, &question, &realm);
                question.outbox.answer_shared(frame, 1);
                question.outbox.wake();
            });
            // A panic in there takes its answer with it, and nothing else.
            answered.await.unwrap_or_default();
        };
        let done = purged.into_actor(self).map(|(), history, ctx| {
            history.purges.running = false;
            history.report_usage();
            history.next_purge(ctx);
        });
        ctx.spawn(done);
    }
}

/// Purges, and says in one framed message how many events that were, or why not.
fn answer(store: &dyn EventStore, question: &Question, realm: &str) -> Bytes {
    let what = match &question.about {
        About::Purge(what) => what,
        About::Events(_) | About::Info(_) => &Purge::All,
    };
    let query = &question.query;
    let events = match store.purge(&query.scope, &query.viewer, what) {
        Ok(events) => events,
        Err(error) => return page::failure(question, &error),
    };
    info!(realm, session = question.session.get(), subscription = &*query.scope.uri; "{events} events were purged");
    let purged = Value::Map(Dict::from([("events", Value::from(events))]));
    let message = Message::Result(CallResult {
        request: question.request,
        details: ResultDetails::default(),
        payload: encoding::arguments(question.wire.serializer, &[purged], None),
    });
    let mut frame = BytesMut::new();
    encoding::append(question.wire, &message, &mut frame);
    frame.freeze()
}
