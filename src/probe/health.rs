//! The health of one service: when a run of results changes it.

use crate::manifest::Health;

/// The levels that a result may have, from worst to best.
const LEVELS: [Health; 3] = [Health::Unhealthy, Health::Degraded, Health::Healthy];

/// A health that changes only after enough results in a row, but for the first one and for refused connections.
#[derive(Debug, Clone, Default)]
pub(super) struct HealthState {
    health: Health,
    /// For each of [`LEVELS`]: how many results in a row were at it or worse.
    at_most: [u32; 3],
    /// For each of [`LEVELS`]: how many results in a row were at it or better.
    at_least: [u32; 3],
}

impl HealthState {
    pub(super) const fn health(&self) -> Health {
        self.health
    }

    /// One result. A change needs `fall` (worse) or `rise` (better) results in a row at or beyond the new level.
    pub(super) fn apply(&mut self, result: Health, rise: u32, fall: u32) {
        // A check that saw nothing is a check that failed.
        let result = result.max(Health::Unhealthy);
        for (i, level) in LEVELS.into_iter().enumerate() {
            self.at_most[i] = if result <= level { self.at_most[i].saturating_add(1) } else { 0 };
            self.at_least[i] = if result >= level { self.at_least[i].saturating_add(1) } else { 0 };
        }
        self.health = if self.health == Health::Unknown { result } else { self.level(rise, fall) };
    }

    /// A refused connection: the process is gone, and no second result is needed.
    pub(super) fn refuse(&mut self) {
        self.apply(Health::Unhealthy, 1, 1);
        self.health = Health::Unhealthy;
    }

    /// The worst level below the present one, or the best above it, that enough results support.
    fn level(&self, rise: u32, fall: u32) -> Health {
        let worse = (0..3).find(|i| LEVELS[*i] < self.health && self.at_most[*i] >= fall);
        let better = (0..3).rev().find(|i| LEVELS[*i] > self.health && self.at_least[*i] >= rise);
        worse.or(better).map_or(self.health, |i| LEVELS[i])
    }
}
