//! Answers: calls of the recorder's procedures, answered from its store on a thread of their own, so
//! that whoever asks for much does not keep events from being taken.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::Builder;

use bytestring::ByteString;
use rewamp_actors::clock::Clock;
use rewamp_actors::meta::{Asking, Recorded, Refused};
use rewamp_history::Timestamp;
use rewamp_wamp::error_uri;
use rewamp_wamp::id::{RequestId, SubscriptionId};
use rewamp_wamp::payload::Payload;
use rewamp_wamp::serializer::Serializer;
use rewamp_wamp::uri::MatchPolicy;
use rewamp_wamp::value::Value;
use std::sync::Arc;

/// Calls that wait for their answer; further ones are refused.
const MOST_WAITING: usize = 64;

/// One call.
pub(super) struct Question {
    /// Of which connection: answers of earlier ones are owed to nobody.
    pub(super) connection: u64,
    pub(super) request: RequestId,
    pub(super) asking: Asking,
    /// The subscription, as it is called where the call comes from.
    pub(super) subscription: (SubscriptionId, ByteString, MatchPolicy),
    pub(super) serializer: Serializer,
}

/// Its answer.
pub(super) struct Answer {
    pub(super) connection: u64,
    pub(super) request: RequestId,
    pub(super) answer: Result<Payload, Refused>,
}

/// See the head of this file. Dropped, the thread ends.
pub(super) struct Answers {
    ask: SyncSender<Question>,
    answered: Receiver<Answer>,
    outstanding: usize,
}

impl Answers {
    /// Begins the thread.
    pub(super) fn begin(recorded: Arc<Recorded>) -> io::Result<Self> {
        let (ask, asked) = sync_channel::<Question>(MOST_WAITING);
        let (tell, answered) = channel();
        let clock = Clock::system();
        let work = move || {
            for question in asked {
                let now = Timestamp::from_nanos(clock.now());
                let Question {
                    connection,
                    request,
                    asking,
                    subscription,
                    serializer,
                } = question;
                let answer = recorded.answer(asking, subscription, serializer, now);
                let answer = Answer {
                    connection,
                    request,
                    answer,
                };
                if tell.send(answer).is_err() {
                    return;
                }
            }
        };
        Builder::new().name("answers".to_owned()).spawn(work)?;
        Ok(Self {
            ask,
            answered,
            outstanding: 0,
        })
    }

    /// Has a call answered.
    ///
    /// # Errors
    /// What the caller is to be told instead.
    pub(super) fn ask(&mut self, question: Question) -> Result<(), Refused> {
        let serializer = question.serializer;
        let why = match self.ask.try_send(question) {
            Ok(()) => {
                self.outstanding += 1;
                return Ok(());
            }
            Err(TrySendError::Full(_)) => format!("{MOST_WAITING} calls wait for their answer"),
            Err(TrySendError::Disconnected(_)) => "nobody answers any more".to_owned(),
        };
        let payload = Payload::from_values(serializer, Some(&[Value::from(why)]), None);
        let payload = payload.unwrap_or_else(|_| Payload::empty(serializer));
        let uri = ByteString::from_static(error_uri::TOO_MANY);
        Err((uri, payload))
    }

    /// Whether answers are still to come.
    pub(super) const fn are_awaited(&self) -> bool {
        self.outstanding > 0
    }

    /// An answer that is there.
    pub(super) fn next(&mut self) -> Option<Answer> {
        match self.answered.try_recv() {
            Ok(answer) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                Some(answer)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.outstanding = 0;
                None
            }
        }
    }
}
