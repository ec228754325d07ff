//! Readers: answer questions off the arbiter, a session's questions one after another and never
//! faster than it reads the answers, so that nobody's pages fill the memory or take the disk from
//! others. Sessions take turns.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;
use foldhash::HashMap;
use rewamp_history::{Event, EventStore};
use rewamp_wamp::id::SessionId;
use tokio::task::spawn_blocking;

use super::{History, Question, page};
use crate::clock::Clock;
use crate::metrics::{Gauge, Id, RealmMetrics};
use crate::turns::questions_at_once;

/// Questions that one turn answers at most, so that a turn is short however small the pages.
const TURN: usize = 64;

/// How long a turn goes on taking further questions, ns: those that are not about a page may each
/// take longer than all pages of a turn, and others wait.
///
/// 50 ms: some hundred small pages, and less than a client would notice.
const TURN_TIME: u64 = 50_000_000;

pub(super) type Pending = [Arc<[Arc<Event>]>; 2];

/// See the head of this file.
pub(super) struct Readers {
    sessions: HashMap<SessionId, Asker>,
    turns: VecDeque<SessionId>,
    running: usize,
    /// Turns of a realm at the same time: as many as the whole node has. Others wait; metric
    /// `rewamp_history_waiting_queries`.
    at_once: usize,
    address: Option<Addr<History>>,
    waiting: Gauge,
    metrics: RealmMetrics,
}

#[derive(Default)]
struct Asker {
    questions: VecDeque<Question>,
    /// It has a turn, waits for one, or waits until it has read what it was sent.
    busy: bool,
}

/// A session has read enough of its answers to be given more.
#[derive(Message)]
#[rtype(result = "()")]
struct Drained(SessionId);

impl Readers {
    pub(super) fn new(metrics: RealmMetrics) -> Self {
        Self {
            sessions: HashMap::default(),
            turns: VecDeque::new(),
            running: 0,
            at_once: questions_at_once(),
            address: None,
            waiting: metrics.gauge(Id::HistoryWaitingQueries),
            metrics,
        }
    }

    pub(super) fn started(&mut self, address: Addr<History>) {
        self.address = Some(address);
    }

    fn ask(&mut self, question: Question) {
        self.waiting.inc();
        let session = question.session;
        let asker = self.sessions.entry(session).or_default();
        asker.questions.push_back(question);
        if !std::mem::replace(&mut asker.busy, true) {
            self.turns.push_back(session);
        }
    }

    /// The questions of the next turn, if one may begin.
    fn next_turn(&mut self) -> Option<(SessionId, Vec<Question>)> {
        if self.running >= self.at_once {
            return None;
        }
        let session = self.turns.pop_front()?;
        let asker = self.sessions.get_mut(&session)?;
        let count = asker.questions.len().min(TURN);
        let questions = asker.questions.drain(..count).collect();
        self.running += 1;
        Some((session, questions))
    }

    /// The end of a turn: `left` are the questions for which there was no room in the outbox, or
    /// no time.
    fn turn_done(&mut self, session: SessionId, answered: usize, left: Vec<Question>) {
        self.running -= 1;
        self.waiting.dec_by(answered as i64);
        self.metrics.count(Id::HistoryQueries, answered as u64);
        let Some(asker) = self.sessions.get_mut(&session) else {
            return;
        };
        for question in left.into_iter().rev() {
            asker.questions.push_front(question);
        }
        let Some(next) = asker.questions.front() else {
            self.sessions.remove(&session);
            return;
        };
        if next.outbox.is_closed() {
            self.forget(session);
        } else if let Some(address) = self.address.clone() {
            next.outbox
                .when_drained(move || tell_drained(&address, session));
        }
    }

    fn forget(&mut self, session: SessionId) {
        if let Some(asker) = self.sessions.remove(&session) {
            self.waiting.dec_by(asker.questions.len() as i64);
        }
    }

    fn drained(&mut self, session: SessionId) {
        let closed = self.sessions.get(&session).is_some_and(|asker| {
            asker
                .questions
                .front()
                .is_some_and(|question| question.outbox.is_closed())
        });
        if closed {
            self.forget(session);
        } else {
            self.turns.push_back(session);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "at most one a session is under way"
)]
fn tell_drained(address: &Addr<History>, session: SessionId) {
    address.do_send(Drained(session));
}

impl History {
    fn run_turns(&mut self, ctx: &mut Context<Self>) {
        while let Some((session, questions)) = self.readers.next_turn() {
            let (turns, asked) = (self.turns.clone(), questions.len());
            let turn = async move { turns.read().await };
            let answered = turn.into_actor(self).then(move |turn, history, _| {
                let (store, now) = (Arc::clone(&history.store), history.time());
                let pending = history.pending();
                let clock = history.clock.clone();
                let answer = move || {
                    let _turn = turn;
                    store.at(now);
                    answer_all(&*store, &pending, &clock, questions)
                };
                spawn_blocking(answer).into_actor(history)
            });
            let done = answered.map(move |left, history, ctx| {
                // A panic takes the questions of this turn with it, and nothing else.
                let left = left.unwrap_or_default();
                history.readers.turn_done(session, asked - left.len(), left);
                history.run_turns(ctx);
            });
            ctx.spawn(done);
        }
    }
}

/// Answers questions of one session until its outbox or the turn has had enough; returns the rest.
fn answer_all(
    store: &dyn EventStore,
    pending: &Pending,
    clock: &Clock,
    questions: Vec<Question>,
) -> Vec<Question> {
    let end = clock.now().saturating_add(TURN_TIME);
    let mut questions = questions.into_iter();
    let mut size = 0;
    let mut last = None;
    while let Some(question) = questions.next() {
        if question.outbox.is_backed_up() || last.is_some() && clock.now() > end {
            last = Some(Arc::clone(&question.outbox));
            let left = std::iter::once(question).chain(questions).collect();
            wake(last);
            return left;
        }
        let frame = page::answer(store, pending, &question, &mut size);
        question.outbox.answer_shared(frame, 1);
        last = Some(Arc::clone(&question.outbox));
    }
    wake(last);
    Vec::new()
}

fn wake(outbox: Option<Arc<crate::session::outbox::Outbox>>) {
    if let Some(outbox) = outbox {
        outbox.wake();
    }
}

impl Handler<Question> for History {
    type Result = ();

    fn handle(&mut self, question: Question, ctx: &mut Context<Self>) {
        self.readers.ask(question);
        self.run_turns(ctx);
    }
}

impl Handler<Drained> for History {
    type Result = ();

    fn handle(&mut self, drained: Drained, ctx: &mut Context<Self>) {
        self.readers.drained(drained.0);
        self.run_turns(ctx);
    }
}
