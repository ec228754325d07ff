//! Who has got what: the proof that a run lost, doubled and reordered nothing.

use super::fault::Fault;
use crate::stamp::Stamp;
use std::collections::VecDeque;

/// Answers that may come in any order, each exactly once.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Everything below has been answered.
    low: u64,
    /// Whether `low + index` has been answered.
    later: VecDeque<bool>,
    answered: u64,
}

impl Ledger {
    /// Enters the answer to `counter`, of which `asked` have been asked so far.
    #[inline]
    pub(crate) fn answer(&mut self, counter: u64, asked: u64) -> Result<(), Fault> {
        if counter >= asked || counter < self.low {
            return Err(Fault::Unasked { counter });
        }
        self.answered += 1;
        if counter == self.low && self.later.is_empty() {
            self.low += 1;
            return Ok(());
        }
        let place = (counter - self.low) as usize;
        if place >= self.later.len() {
            self.later.resize(place + 1, false);
        }
        match self.later.get_mut(place) {
            Some(answered) if !*answered => *answered = true,
            _ => return Err(Fault::Unasked { counter }),
        }
        while self.later.front() == Some(&true) {
            self.later.pop_front();
            self.low += 1;
        }
        Ok(())
    }

    /// Number of answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }
}

/// What one receiver of one topic expects next of each publisher.
#[derive(Debug)]
pub(crate) struct Expectation {
    receiver: usize,
    next: Vec<u64>,
    step: u64,
    received: u64,
}

impl Expectation {
    /// Publishers go through `topics` in turn; this receiver has topic number `topic` of them.
    pub(crate) fn new(receiver: usize, publishers: usize, topic: usize, topics: usize) -> Self {
        Self {
            receiver,
            next: vec![topic as u64; publishers],
            step: topics as u64,
            received: 0,
        }
    }

    /// Enters one event.
    #[inline]
    pub(crate) fn receive(&mut self, stamp: Stamp) -> Result<(), Fault> {
        let Stamp { publisher, counter } = stamp;
        match self.next.get_mut(usize::from(publisher)) {
            Some(next) if *next == counter => {
                *next += self.step;
                self.received += 1;
                Ok(())
            }
            next => {
                let next = next.copied().unwrap_or_default();
                Err(Fault::Sequence {
                    receiver: self.receiver,
                    publisher,
                    got: counter,
                    next,
                })
            }
        }
    }

    /// Everything of `publisher` below this number has come, as far as it was for this receiver.
    pub(crate) fn next(&self, publisher: usize) -> u64 {
        self.next.get(publisher).copied().unwrap_or_default()
    }

    /// Number of events so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_takes_each_answer_once_in_any_order() {
        let mut ledger = Ledger::default();
        for counter in [0, 2, 1, 5, 3, 4] {
            ledger.answer(counter, 6).unwrap();
        }
        assert_eq!(ledger.answered(), 6);
        for counter in [0, 5, 6] {
            assert!(ledger.answer(counter, 6).is_err(), "{counter}");
        }
        ledger.answer(8, 9).unwrap();
        assert!(ledger.answer(8, 9).is_err());
    }

    #[test]
    fn an_expectation_sees_loss_doubling_and_reordering() {
        let stamp = |publisher, counter| Stamp { publisher, counter };
        let mut expectation = Expectation::new(3, 2, 1, 10);
        for (publisher, counter) in [(0, 1), (1, 1), (0, 11), (0, 21), (1, 11)] {
            expectation.receive(stamp(publisher, counter)).unwrap();
        }
        assert_eq!((expectation.received(), expectation.next(0)), (5, 31));
        for wrong in [stamp(0, 21), stamp(0, 41), stamp(1, 1), stamp(2, 1)] {
            assert!(expectation.receive(wrong).is_err());
        }
    }
}
