//! Local health awareness (Lifeguard, section 4.1): a node that misses answers trusts itself less, and waits longer.

use crate::time::Duration;

/// The largest score; the period is stretched to at most nine times its length.
const MAX_SCORE: u32 = 8;

/// The local health multiplier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awareness {
    score: u32,
    max: u32,
}

impl Awareness {
    /// Well; for ever so when not `enabled`.
    pub(super) const fn new(enabled: bool) -> Self {
        Self { score: 0, max: if enabled { MAX_SCORE } else { 0 } }
    }

    /// After a pause of this node nothing that it concludes can be trusted.
    pub(super) const fn distrust(&mut self) {
        self.score = self.max;
    }

    /// A ping was answered.
    pub(super) fn handle_success(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A ping failed; `missed_nacks` of the relays that were asked did not even answer that they tried.
    ///
    /// A relay that answers with a nack shows that this node's own network and processor work.
    pub(super) fn handle_failure(&mut self, relays: u32, missed_nacks: u32) {
        let penalty = if relays == 0 { 1 } else { missed_nacks };
        self.score = (self.score + penalty).min(self.max);
    }

    /// Somebody suspected this node: it was probably slow to answer.
    pub(super) fn handle_refutation(&mut self) {
        self.score = (self.score + 1).min(self.max);
    }

    /// `duration`, stretched by the multiplier.
    pub(super) fn stretch(self, duration: Duration) -> Duration {
        duration * (self.score + 1)
    }

    pub(super) const fn score(self) -> u32 {
        self.score
    }
}
