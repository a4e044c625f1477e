//! The requests that an instance works on for this entry.

use crate::time::Instant;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) started: Instant,
    /// The head of its answer came.
    pub(super) answered: bool,
    /// It decides whether an instance that was ejected is used again.
    pub(super) trial: bool,
}

/// All that have not ended. The memory is kept, so that a request costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// In the order of their numbers; `None` has ended, and stays until it pays to sweep.
    list: Vec<(u64, Option<Attempt>)>,
    open: usize,
    trials: usize,
}

impl Attempts {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.open).unwrap_or(u32::MAX)
    }

    /// One of them is a trial, and was not answered yet.
    pub(super) const fn on_trial(&self) -> bool {
        self.trials > 0
    }

    /// Begins one; numbers grow, and none is used twice.
    pub(super) fn begin(&mut self, number: u64, attempt: Attempt) {
        let place = match self.list.last() {
            Some((last, _)) if *last >= number => self.list.binary_search_by_key(&number, |(n, _)| *n),
            Some(_) | None => Err(self.list.len()),
        };
        let Err(place) = place else { return };
        self.list.insert(place, (number, Some(attempt)));
        self.open += 1;
        self.trials += usize::from(attempt.trial);
    }

    /// Notes the head of its answer, which ends a trial. Returns it as it was; `None` when the answer was noted before,
    /// or it has ended.
    pub(super) fn note_answer(&mut self, number: u64) -> Option<Attempt> {
        let place = self.list.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        let attempt = self.list[place].1.as_mut().filter(|attempt| !attempt.answered)?;
        let before = *attempt;
        (attempt.answered, attempt.trial) = (true, false);
        self.trials -= usize::from(before.trial);
        Some(before)
    }

    /// Ends it; `None` when it has ended before.
    pub(super) fn end(&mut self, number: u64) -> Option<Attempt> {
        let place = self.list.binary_search_by_key(&number, |(n, _)| *n).ok()?;
        let ended = self.list[place].1.take()?;
        self.open -= 1;
        self.trials -= usize::from(ended.trial);
        if self.list.len() > 2 * self.open + 8 {
            self.list.retain(|(_, attempt)| attempt.is_some());
        }
        Some(ended)
    }
}
