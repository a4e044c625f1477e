//! The budget of the store: so many writes a day, whoever writes and however often leaders change.

use std::collections::BTreeMap;

use meshnode::time::Instant;

use super::{Kind, Violation};
use crate::store::unix;

/// Attempts to write within one day of the store's clock.
pub const MAX_WRITES_PER_DAY: u32 = 30;

/// The same on a day on which the network was split in three, or more: each part has its own record.
pub const MAX_WRITES_OF_PARTS: u32 = 32;

/// What was written on which day.
#[derive(Debug)]
pub struct Budget {
    is_limited: bool,
    days: BTreeMap<u64, Day>,
}

#[derive(Debug, Default)]
struct Day {
    writes: u32,
    parts: usize,
}

impl Budget {
    /// The budget of a store; one that is not limited may be written at will.
    pub const fn new(is_limited: bool) -> Self {
        Self { is_limited, days: BTreeMap::new() }
    }

    /// A second passed, in which the network had so many parts.
    pub fn tick(&mut self, at: Instant, parts: usize) {
        if self.is_limited {
            let day = self.days.entry(unix(at) / 86_400).or_default();
            day.parts = day.parts.max(parts);
        }
    }

    /// A node writes, or tries to.
    pub fn write(&mut self, at: Instant, node: usize) -> Result<(), Violation> {
        if !self.is_limited {
            return Ok(());
        }
        let day = self.days.entry(unix(at) / 86_400).or_default();
        day.writes += 1;
        let limit = if day.parts >= 3 { MAX_WRITES_OF_PARTS } else { MAX_WRITES_PER_DAY };
        if day.writes <= limit {
            return Ok(());
        }
        let text = format!("n{node} makes attempt {} of the day, and {limit} are the most", day.writes);
        Err(Violation { kind: Kind::Budget, at, text })
    }
}
