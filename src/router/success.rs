//! How many of an instance's attempts succeed: of the last few, and in the last ten seconds.

use crate::time::Instant;

/// The window, in slots of a second.
const SLOTS: usize = 10;

/// What one attempt counts in the share of the last few.
const WEIGHT: f64 = 1.0 / 8.0;

/// Attempts in the window below which it tells nothing.
const MIN_ATTEMPTS: u32 = 50;

/// Instances beside the one that is judged below which there is nothing to compare it to.
const MIN_OTHERS: usize = 2;

/// How many standard deviations below the others' mean an outlier is (Envoy's `success_rate_stdev_factor`).
const DEVIATIONS: f64 = 1.9;

/// How far below the others' mean an outlier is at least: when all others are alike, any difference is many deviations.
const MARGIN: f64 = 0.15;

/// The successes and failures of one instance.
#[derive(Debug, Clone)]
pub(super) struct SuccessRate {
    recent: f64,
    judged: u64,
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    second: u64,
    good: u32,
    bad: u32,
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { recent: 1.0, judged: 0, slots: [Slot::default(); SLOTS] }
    }
}

impl SuccessRate {
    pub(super) fn record(&mut self, success: bool, now: Instant) {
        self.recent += WEIGHT * (f64::from(u8::from(success)) - self.recent);
        let second = second(now);
        let slot = &mut self.slots[(second % SLOTS as u64) as usize];
        if slot.second != second {
            *slot = Slot { second, good: 0, bad: 0 };
        }
        slot.good += u32::from(success);
        slot.bad += u32::from(!success);
    }

    /// The share of successes among the last few attempts, however long ago; all, before the first.
    pub(super) const fn recent(&self) -> f64 {
        self.recent
    }

    /// The share of successes in the last ten seconds; `None` when there were too few attempts.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let oldest = second(now).saturating_sub(SLOTS as u64 - 1);
        let fresh = self.slots.iter().filter(|slot| slot.second >= oldest);
        let (good, all) =
            fresh.fold((0, 0), |(good, all), slot| (good + slot.good, all + slot.good + slot.bad));
        (all >= MIN_ATTEMPTS).then(|| f64::from(good) / f64::from(all))
    }

    /// The same, but only once in a second: a comparison with all others is costly.
    pub(super) fn rate_once_a_second(&mut self, now: Instant) -> Option<f64> {
        let second = second(now);
        if self.judged == second {
            return None;
        }
        let rate = self.rate(now)?;
        self.judged = second;
        Some(rate)
    }
}

/// Whether an instance with this success rate is an outlier among others with theirs.
///
/// Envoy takes the mean and the deviation of all instances, the judged one included, and so can eject none of fewer
/// than five: a single outlier of n is never more than the square root of n - 1 deviations away. Here it is left out.
pub(super) fn is_outlier(rate: f64, others: impl Iterator<Item = f64>) -> bool {
    let (mut count, mut sum, mut squares) = (0_usize, 0.0, 0.0);
    for other in others {
        count += 1;
        sum += other;
        squares += other * other;
    }
    if count < MIN_OTHERS {
        return false;
    }
    let mean = sum / count as f64;
    let deviation = (squares / count as f64 - mean * mean).max(0.0).sqrt();
    rate < mean - f64::max(DEVIATIONS * deviation, MARGIN)
}

const fn second(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000_000
}
