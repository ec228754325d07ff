//! The INVOCATIONs that a callee has not answered, by their number. Numbers count up and most are
//! answered soon and in order, so the newest lie in a row, found by counting; only what is left
//! behind is looked up.

use std::collections::VecDeque;

use foldhash::HashMap;
use rewamp_wamp::id::{MAX_ID, RequestId};

/// Invocations that lie in a row, at most. 4,096: with more, the row would mostly be holes that
/// one slow answer keeps open.
const IN_A_ROW: usize = 4_096;

/// See the head of this file. `P` is what is remembered of each.
pub(crate) struct Invocations<P> {
    /// The newest; those that are answered are holes, the first is none.
    row: VecDeque<Option<P>>,
    /// The number of the first of the row.
    first: u64,
    /// Those that are older.
    behind: HashMap<RequestId, P>,
    waiting: usize,
}

impl<P> Default for Invocations<P> {
    fn default() -> Self {
        Self {
            row: VecDeque::new(),
            first: RequestId::FIRST.get(),
            behind: HashMap::default(),
            waiting: 0,
        }
    }
}

impl<P> Invocations<P> {
    /// The number of the next INVOCATION: session scope, counting up from 1. [`Self::push`] takes
    /// it.
    pub(crate) fn next(&self) -> RequestId {
        // After the last one numbers begin anew.
        RequestId::new(self.first + self.row.len() as u64).unwrap_or(RequestId::FIRST)
    }

    /// Remembers the INVOCATION with the number [`Self::next`].
    #[inline(always)]
    pub(crate) fn push(&mut self, pending: P) {
        if self.row.len() >= IN_A_ROW {
            self.leave_behind();
        }
        if self.first + self.row.len() as u64 > MAX_ID {
            self.begin_anew();
        }
        self.row.push_back(Some(pending));
        self.waiting += 1;
    }

    /// Lets the next number be the first one again.
    #[cold]
    fn begin_anew(&mut self) {
        while !self.row.is_empty() {
            self.leave_behind();
        }
        self.first = RequestId::FIRST.get();
    }

    /// Moves the oldest of the row to those that are looked up.
    #[cold]
    fn leave_behind(&mut self) {
        let number = RequestId::new(self.first);
        if let (Some(Some(pending)), Some(number)) = (self.row.pop_front(), number) {
            self.behind.insert(number, pending);
        }
        self.first += 1;
        self.drop_holes();
    }

    #[inline]
    fn drop_holes(&mut self) {
        while matches!(self.row.front(), Some(None)) {
            self.row.pop_front();
            self.first += 1;
        }
    }

    /// Where in the row it would be.
    #[inline]
    fn place(&self, number: RequestId) -> Option<usize> {
        let place = usize::try_from(number.get().checked_sub(self.first)?).ok()?;
        (place < self.row.len()).then_some(place)
    }

    /// What is remembered of an INVOCATION that has not been answered.
    #[cfg(test)]
    fn get(&self, number: RequestId) -> Option<&P> {
        match self.place(number) {
            Some(place) => self.row.get(place)?.as_ref(),
            None => self.behind.get(&number),
        }
    }

    /// Forgets an INVOCATION.
    pub(crate) fn take(&mut self, number: RequestId) -> Option<P> {
        self.take_if(number, |_| true)
    }

    /// Forgets an INVOCATION if it is one that is `wanted`.
    #[inline]
    pub(crate) fn take_if(
        &mut self,
        number: RequestId,
        wanted: impl FnOnce(&P) -> bool,
    ) -> Option<P> {
        let taken = match self.place(number) {
            Some(place) => self.row.get_mut(place)?.take_if(|it| wanted(it))?,
            None if self.behind.get(&number).is_some_and(wanted) => self.behind.remove(&number)?,
            None => return None,
        };
        self.waiting -= 1;
        self.drop_holes();
        Some(taken)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Forgets those that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&P) -> bool) {
        for place in &mut self.row {
            place.take_if(|pending| !keep(pending));
        }
        self.behind.retain(|_, pending| keep(pending));
        self.waiting = self.row.iter().flatten().count() + self.behind.len();
        self.drop_holes();
    }

    /// All of them, and from now on none; numbers go on.
    pub(crate) fn take_all(&mut self) -> Vec<P> {
        let first = self.next().get();
        let all = std::mem::take(self);
        self.first = first;
        let row = all.row.into_iter().flatten();
        row.chain(all.behind.into_values()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap as Model;

    fn number(number: u64) -> RequestId {
        RequestId::new(number).unwrap()
    }

    #[test]
    fn numbers_count_up_from_1_and_begin_anew_after_the_last() {
        let mut invocations = Invocations::default();
        assert_eq!(invocations.next(), number(1));
        invocations.push('a');
        assert_eq!(invocations.next(), number(2));
        assert_eq!(invocations.take(number(1)), Some('a'));
        assert_eq!(invocations.next(), number(2));

        invocations.first = MAX_ID;
        invocations.push('b');
        assert_eq!(invocations.next(), number(1));
        invocations.push('c');
        assert_eq!(invocations.get(number(MAX_ID)), Some(&'b'));
        assert_eq!(invocations.take(number(1)), Some('c'));
        assert_eq!(invocations.take(number(MAX_ID)), Some('b'));
        assert_eq!((invocations.len(), invocations.next()), (0, number(2)));
    }

    #[test]
    fn each_is_found_once_whatever_the_order_of_the_answers() {
        let mut invocations = Invocations::default();
        let mut model = Model::new();
        // Every hundredth is never answered, every third late, all others at once.
        for value in 1..=20_000u64 {
            let next = invocations.next();
            assert_eq!(next, number(value));
            invocations.push(value);
            model.insert(value, value);
            if value % 100 != 0 && value % 3 != 0 {
                assert_eq!(invocations.take(next), model.remove(&value));
            }
            if let Some(late) = value
                .checked_sub(5_000)
                .filter(|late| late % 3 == 0 && late % 100 != 0)
            {
                assert_eq!(invocations.take(number(late)), model.remove(&late));
            }
            assert_eq!(invocations.len(), model.len());
        }
        assert!(invocations.row.len() <= IN_A_ROW);
        for value in 0..=20_001u64 {
            let found = RequestId::new(value).and_then(|number| invocations.get(number));
            assert_eq!(found, model.get(&value));
        }
        invocations.retain(|value| value % 200 == 0);
        model.retain(|value, _| value % 200 == 0);
        assert_eq!(invocations.len(), model.len());
        let mut left = invocations.take_all();
        left.sort_unstable();
        let mut expected: Vec<_> = model.into_values().collect();
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert_eq!((invocations.len(), invocations.next()), (0, number(20_001)));
    }
}
