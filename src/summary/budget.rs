//! The arithmetic of the budget: slots of the store's day, pacing, and who waits how long within a slot.

use crate::id::IdHash;
use crate::time::Duration;

/// Seconds of a slot.
pub(super) const SLOT: u64 = 3_600;

/// Seconds of a day.
pub(super) const DAY: u64 = 86_400;

/// Nothing is written in the last seconds of a slot: the request could arrive in the next one.
const TAIL: u64 = 60;

/// The cluster's budget while no member has said one.
pub(super) const DEFAULT_BUDGET: u32 = 30;

/// How many attempts of a daily `budget` may be used up by the end of `hour` (0 to 23).
pub(super) fn allowed(budget: u32, hour: u64) -> u32 {
    let paced = u64::from(budget.saturating_sub(6)) * (hour.min(23) + 1) / 24 + 4;
    budget.min(u32::try_from(paced).unwrap_or(u32::MAX))
}

/// Whether `unix` is so late in its slot that a write could land in the next one.
pub(super) fn in_tail(unix: u64) -> bool {
    unix % SLOT >= SLOT - TAIL
}

/// Seconds into the slot from which `id` may write a change: writers that cannot see each other seldom collide.
pub(super) fn stagger(id: IdHash, slot: u64) -> u64 {
    spread(id, slot) % 8 * 300
}

/// The same for a node that has met nobody: many of those may start at once, so they are spread more finely.
pub(super) fn lone_stagger(id: IdHash, slot: u64) -> u64 {
    stagger(id, slot).max(spread(id, slot) / 8 % 3_300)
}

/// How long after its boot a node writes that expected company and has met nobody.
pub(super) fn lone_delay(id: IdHash) -> Duration {
    Duration::from_secs(900 + id.0 % 7_200)
}

fn spread(id: IdHash, slot: u64) -> u64 {
    let mut input = [0; 16];
    input[..8].copy_from_slice(&id.0.to_be_bytes());
    input[8..].copy_from_slice(&slot.to_be_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(&input).as_bytes()[..8]);
    u64::from_be_bytes(first)
}
