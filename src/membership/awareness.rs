//! Local health awareness (Lifeguard, section 4.1): a node that misses answers trusts itself less, and waits longer.

use crate::time::Duration;

/// The largest score; the period is stretched to at most nine times its length.
const MAX_SCORE: u32 = 8;

/// The local health multiplier.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Awareness {
    score: u32,
}

impl Awareness {
    /// After a pause of this node nothing that it concludes can be trusted.
    pub(super) const fn distrust(&mut self) {
        self.score = MAX_SCORE;
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
        self.score = (self.score + penalty).min(MAX_SCORE);
    }

    /// Somebody suspected this node: it was probably slow to answer.
    pub(super) fn handle_refutation(&mut self) {
        self.score = (self.score + 1).min(MAX_SCORE);
    }

    /// `duration`, stretched by the multiplier.
    pub(super) fn stretch(self, duration: Duration) -> Duration {
        duration * (self.score + 1)
    }

    pub(super) const fn score(self) -> u32 {
        self.score
    }
}
