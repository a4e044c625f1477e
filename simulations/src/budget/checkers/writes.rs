//! The budget: so many writes are stored in a day of the store's clock, whoever writes and whatever fails.

use meshnode::time::Duration;

use super::Breach;
use crate::budget::figures::Figures;

/// What every node has configured.
pub(in crate::budget) const BUDGET: u32 = 30;

/// What a run may use up.
#[derive(Debug, Clone, Copy)]
pub(in crate::budget) struct Limits {
    /// Writes a day that are stored.
    pub(in crate::budget) applied: u32,
    /// Writes a day that reach the store.
    pub(in crate::budget) sent: u32,
    /// How old the store's answers may be.
    pub(in crate::budget) staleness: Duration,
    /// In the end all nodes are one mesh again.
    pub(in crate::budget) heals: bool,
}

/// Whether a day had too many.
pub(super) fn check(figures: &Figures, limits: Limits) -> Option<Breach> {
    let (applied, sent) = (figures.worst_applied(), figures.worst_sent());
    (applied > limits.applied || sent > limits.sent).then(|| Breach {
        promise: "budget",
        text: format!(
            "{applied} writes of a day were stored and {sent} sent; {} and {} are the most",
            limits.applied, limits.sent
        ),
    })
}
