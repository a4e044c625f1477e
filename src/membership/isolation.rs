//! Self-suspicion: when more than half of all that this node looks at is silent at once, it is probably this node.

use std::collections::VecDeque;

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// Outcomes older than this say nothing about now.
const WINDOW: Duration = Duration::from_secs(10);

/// Outcomes that are kept, one for each target.
const MAX_OUTCOMES: usize = 16;

/// With fewer targets there is no telling who is to blame.
const MIN_TARGETS: usize = 5;

/// A node that heard nothing wrong for this long begins anew.
const PAUSE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Outcome {
    target: IdHash,
    answered: bool,
    at: Instant,
}

/// The latest outcome of pinging each of the latest targets.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    outcomes: VecDeque<Outcome>,
    /// Since when, and when last, most targets were silent.
    silence: Option<(Instant, Instant)>,
}

impl Isolation {
    /// A target answered, or did not.
    pub(super) fn note(&mut self, target: IdHash, answered: bool, now: Instant) {
        self.outcomes.retain(|outcome| outcome.target != target && now.since(outcome.at) < WINDOW);
        if self.outcomes.len() == MAX_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(Outcome { target, answered, at: now });
    }

    /// A target that is gone for good says nothing about this node.
    pub(super) fn forget(&mut self, target: IdHash) {
        self.outcomes.retain(|outcome| outcome.target != target);
    }

    /// Outcomes from before a pause of this node say nothing.
    pub(super) fn clear(&mut self) {
        self.outcomes.clear();
    }

    /// Whether this node should doubt itself, for `longest` at most: then a surviving minority goes on without the rest.
    pub(super) fn is_suspected(&mut self, longest: Duration, now: Instant) -> bool {
        if !self.is_silent(now) {
            return false;
        }
        let began = match self.silence {
            Some((began, last)) if now.since(last) < PAUSE => began,
            _ => now,
        };
        self.silence = Some((began, now));
        now.since(began) < longest
    }

    fn is_silent(&self, now: Instant) -> bool {
        let recent = self.outcomes.iter().filter(|outcome| now.since(outcome.at) < WINDOW);
        let (mut targets, mut silent) = (0, 0);
        for outcome in recent {
            targets += 1;
            silent += usize::from(!outcome.answered);
        }
        targets >= MIN_TARGETS && silent * 2 > targets
    }
}
