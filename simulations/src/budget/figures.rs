//! What is counted in a run, and over runs.

use std::collections::BTreeMap;

use meshnode::summary::Value;
use meshnode::time::{Duration, Instant};

use super::checkers::Breach;
use crate::store::unix;

const DAY: u64 = 86_400;

/// What happened in a run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Writes that were stored, by day.
    pub applied: BTreeMap<u64, u32>,
    /// Writes that reached the store, by day.
    pub sent: BTreeMap<u64, u32>,
    /// Reads, by day.
    pub gets: BTreeMap<u64, u32>,
    /// Writes that were refused with 429.
    pub limited: u32,
    /// Values that took the place of one whose counters they did not know.
    pub lost_updates: u32,
    /// Bytes of the largest value.
    pub largest: usize,
    /// How old the value became while somebody could have written.
    pub oldest: Duration,
    /// How long a cold edge found nobody although a listed node lived.
    pub blind_by_staleness: Duration,
    /// How long nobody who was listed lived, although somebody did, until the next write.
    pub blind: Duration,
    /// How long after the last fault the value told the truth; `None` when it never did.
    pub converged: Option<Duration>,
    /// Promises that were broken.
    pub breaches: Vec<Breach>,
    /// The hash of the trace.
    pub trace: String,
}

impl Figures {
    /// The day with the most writes that were stored.
    pub fn worst_applied(&self) -> u32 {
        self.applied.values().copied().max().unwrap_or(0)
    }

    /// The day with the most writes that reached the store.
    pub fn worst_sent(&self) -> u32 {
        self.sent.values().copied().max().unwrap_or(0)
    }

    /// Stored writes a day, over `days`.
    pub fn mean(&self, days: u64) -> f64 {
        let all: u32 = self.applied.values().sum();
        f64::from(all) / f64::from(u32::try_from(days.max(1)).unwrap_or(u32::MAX))
    }

    /// The day with the most reads.
    pub fn most_gets(&self) -> u32 {
        self.gets.values().copied().max().unwrap_or(0)
    }

    pub(super) fn count_get(&mut self, at: Instant) {
        *self.gets.entry(unix(at) / DAY).or_default() += 1;
    }

    pub(super) fn count_sent(&mut self, at: Instant) {
        *self.sent.entry(unix(at) / DAY).or_default() += 1;
    }

    pub(super) fn count_applied(&mut self, at: Instant, bytes: usize) {
        *self.applied.entry(unix(at) / DAY).or_default() += 1;
        self.largest = self.largest.max(bytes);
    }

    pub(super) fn applied_on(&self, at: Instant) -> u32 {
        self.applied.get(&(unix(at) / DAY)).copied().unwrap_or(0)
    }

    /// Counts a lost update: `after` takes the place of `before` and knows less of today.
    pub(super) fn count_lost(&mut self, before: &Value, after: &Value, at: Instant) {
        let today = meshnode::summary::UnixTime(unix(at)).to_string();
        let Some(day) = today.get(..10) else { return };
        let Some(known) = before.writes.get(day) else { return };
        let told = after.writes.get(day);
        let is_less = |(writer, count): (&String, &u32)| {
            told.and_then(|told| told.get(writer)).copied().unwrap_or(0) < *count
        };
        self.lost_updates += u32::from(known.iter().any(is_less));
    }
}
