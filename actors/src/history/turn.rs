//! A turn: the questions of one session that are answered one after another on a reader's thread.
//! What the session asks meanwhile joins the turn, so that no thread is woken for every question of
//! a client that always has some under way.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rewamp_history::{Event, EventStore, Timestamp};

use super::{Question, page};
use crate::clock::Clock;

/// Questions that one turn answers at most, so that a turn is short however small the pages.
pub(super) const TURN: usize = 64;

/// How long a turn goes on taking further questions, ns: those that are not about a page may each
/// take longer than all pages of a turn, and others wait.
///
/// 50 ms: some hundred small pages, and less than a client would notice.
const TURN_TIME: u64 = 50_000_000;

/// What had been accepted when a question came, and may not have been committed.
pub(super) type Pending = [Arc<[Arc<Event>]>; 2];

/// A question with the moment that its answer has to show.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) pending: Pending,
    pub(super) now: Timestamp,
}

/// See the head of this file. Shared by the actor and the reader's thread.
pub(super) struct Turn(Mutex<Joining>);

struct Joining {
    /// `None` once the turn takes no more.
    questions: Option<VecDeque<Asked>>,
    /// All questions of the turn so far.
    count: usize,
}

impl Turn {
    /// Begins with these.
    pub(super) fn new(questions: VecDeque<Asked>) -> Self {
        Self(Mutex::new(Joining {
            count: questions.len(),
            questions: Some(questions),
        }))
    }

    /// Whether a question can join.
    pub(super) fn is_open(&self) -> bool {
        let joining = self.0.lock();
        joining.questions.is_some() && joining.count < TURN
    }

    /// Joins the turn; if that has ended meanwhile, the question comes back.
    #[must_use = "it may come back"]
    pub(super) fn join(&self, asked: Asked) -> Option<Question> {
        let mut joining = self.0.lock();
        let Some(questions) = &mut joining.questions else {
            return Some(asked.question);
        };
        questions.push_back(asked);
        joining.count += 1;
        None
    }

    /// Ends it; what has not been begun, and how many questions it has had in all.
    pub(super) fn end(&self) -> (VecDeque<Asked>, usize) {
        let mut joining = self.0.lock();
        (joining.questions.take().unwrap_or_default(), joining.count)
    }

    /// The questions to answer next; if there are none, the turn has ended.
    fn next(&self) -> Option<VecDeque<Asked>> {
        let mut joining = self.0.lock();
        if joining.questions.as_ref().is_some_and(VecDeque::is_empty) {
            joining.questions = None;
        }
        joining.questions.as_mut().map(std::mem::take)
    }

    /// Answers questions until there are none, or the session's outbox or the turn has had enough;
    /// returns those that are left then.
    pub(super) fn answer_all(&self, store: &dyn EventStore, clock: &Clock) -> Vec<Question> {
        let end = clock.now().saturating_add(TURN_TIME);
        let mut first = true;
        let mut size = 0;
        while let Some(mut questions) = self.next() {
            let mut answered = None;
            while let Some(asked) = questions.pop_front() {
                let outbox = Arc::clone(&asked.question.outbox);
                let is_late = !std::mem::take(&mut first) && clock.now() > end;
                if outbox.is_backed_up() || is_late {
                    outbox.wake();
                    questions.push_front(asked);
                    questions.extend(self.end().0);
                    return questions.into_iter().map(|asked| asked.question).collect();
                }
                store.at(asked.now);
                let frame = page::answer(store, &asked.pending, &asked.question, &mut size);
                outbox.answer_shared(frame, 1);
                answered = Some(outbox);
            }
            if let Some(outbox) = answered {
                outbox.wake();
            }
        }
        Vec::new()
    }
}
