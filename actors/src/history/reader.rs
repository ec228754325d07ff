//! Readers: answer questions off the arbiter, a session's questions one after another and never
//! faster than it reads the answers, so that nobody's pages fill the memory or take the disk from
//! others. Sessions take turns. Only what is small and in memory is answered on the arbiter, a few
//! at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;
use foldhash::HashMap;
use rewamp_wamp::id::SessionId;
use tokio::task::spawn_blocking;

use super::turn::{Asked, TURN, Turn};
use super::{About, History, Question, page};
use crate::metrics::{Gauge, Id, RealmMetrics};
use crate::turns::questions_at_once;

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
    /// The turn that it has.
    turn: Option<Arc<Turn>>,
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

    /// Whether nothing of a session is being answered or waits for it.
    fn is_idle(&self, session: SessionId) -> bool {
        !self.sessions.contains_key(&session)
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

    /// The turn that a session's next question may join: one that is under way, with no question
    /// waiting behind it.
    fn turn(&self, session: SessionId) -> Option<Arc<Turn>> {
        let asker = self.sessions.get(&session)?;
        let turn = asker.turn.as_ref()?;
        (asker.questions.is_empty() && turn.is_open()).then(|| Arc::clone(turn))
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

    fn turn_begins(&mut self, session: SessionId, turn: &Arc<Turn>) {
        if let Some(asker) = self.sessions.get_mut(&session) {
            asker.turn = Some(Arc::clone(turn));
        }
    }

    /// A question has joined the turn of its session.
    fn joined(&self) {
        self.waiting.inc();
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
        asker.turn = None;
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
            let turns = self.turns.clone();
            let permit = async move { turns.read().await };
            let answered = permit.into_actor(self).then(move |permit, history, _| {
                let turn = history.begin_turn(session, questions);
                let (store, running) = (Arc::clone(&history.store), Arc::clone(&turn));
                let clock = history.clock.clone();
                let answer = move || {
                    let _permit = permit;
                    running.answer_all(&*store, &clock)
                };
                let answering = spawn_blocking(answer).into_actor(history);
                answering.map(move |left, _, _| (turn, left))
            });
            let done = answered.map(move |(turn, left), history, ctx| {
                // A panic takes the questions of this turn with it, and nothing else.
                let left = left.unwrap_or_default();
                let answered = turn.end().1 - left.len();
                history.readers.turn_done(session, answered, left);
                history.run_turns(ctx);
            });
            ctx.spawn(done);
        }
    }
}

/// Questions that are answered at once before others get their turn on the event loop, at most. 8:
/// as many as clients mostly have under way, and some 200 us if their pages are large.
const AT_ONCE: usize = 8;

impl History {
    /// Answers a question on the spot: to wake a thread for a small page takes several times as
    /// long as the page. True if it did.
    fn answer_at_once(&mut self, question: &Question, ctx: &mut Context<Self>) -> bool {
        let outbox = &question.outbox;
        if self.at_once >= AT_ONCE
            || !self.readers.is_idle(question.session)
            || outbox.is_backed_up()
        {
            return false;
        }
        let (pending, now) = (self.pending(), self.time());
        let store = &*self.store;
        let size = &mut self.page_size;
        let Some(frame) = page::answer_at_once(store, &pending, now, question, size) else {
            return false;
        };
        outbox.answer_shared(frame, 1);
        outbox.wake();
        self.metrics.count(Id::HistoryQueries, 1);
        self.at_once += 1;
        if self.at_once == 1 {
            // Once all messages that are there have been handled.
            ctx.spawn(actix::fut::ready(()).map(|(), history: &mut Self, _| history.at_once = 0));
        }
        true
    }
}

impl History {
    /// The questions see what has been accepted by now.
    fn begin_turn(&mut self, session: SessionId, questions: Vec<Question>) -> Arc<Turn> {
        let (pending, now) = (self.pending(), self.time());
        let asked = |question| Asked {
            question,
            pending: pending.clone(),
            now,
        };
        let turn = Arc::new(Turn::new(questions.into_iter().map(asked).collect()));
        self.readers.turn_begins(session, &turn);
        turn
    }
}

impl Handler<Question> for History {
    type Result = ();

    fn handle(&mut self, question: Question, ctx: &mut Context<Self>) {
        if matches!(question.about, About::Purge(_)) {
            return self.purge(question, ctx);
        }
        if self.answer_at_once(&question, ctx) {
            return;
        }
        let question = match self.readers.turn(question.session) {
            Some(turn) => {
                let (pending, now) = (self.pending(), self.time());
                let asked = Asked {
                    question,
                    pending,
                    now,
                };
                match turn.join(asked) {
                    None => return self.readers.joined(),
                    Some(question) => question,
                }
            }
            None => question,
        };
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
