//! The budget of accusations: however sick a node is, it can trouble only so many others.
//!
//! Lifeguard's local health slows a node down that misses answers, but one that is half deaf may miss only those of some
//! members, and feel well. Hundreds of suspicions by one such node are the known way to melt a SWIM mesh.

#[cfg(test)]
mod tests;

use crate::time::{Duration, Instant};

/// Accusations that may come at once.
///
/// A node watches its predecessors on eight rings, 4 to 12 members at N = 32 and about 8 in any larger mesh. All of
/// them may die in the same moment (their host, or the other side of a partition), and up to four more may be found
/// by the random pings until the next one is refilled. A mesh as a whole has this many for each survivor: more than
/// the dead, unless fewer than one in sixteen survive.
const CAPACITY: u32 = 16;

/// Between two further accusations: a sick node starts at most 30 a minute, each of which still needs its witnesses,
/// while one that is left almost alone works its way through the dead of a whole mesh of 32 in half a minute.
const REFILL: Duration = Duration::from_secs(2);

/// A token bucket, kept as the moment at which it is full again.
#[derive(Debug)]
pub(super) struct Budget {
    full_at: Instant,
}

impl Budget {
    /// A full one.
    pub(super) const fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one accusation out. False when none is left; then nothing was taken.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + REFILL;
        let is_left = full_at.since(now) <= REFILL * CAPACITY;
        if is_left {
            self.full_at = full_at;
        }
        is_left
    }
}
