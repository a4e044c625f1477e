//! How long a suspicion lasts before it is a death (Lifeguard, section 4.2: dynamic suspicion timeouts).

use super::{Detector, PERIOD};
use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// The minimum, in periods, per decade of members.
const MULTIPLIER: f64 = 4.0;

/// The maximum, as a multiple of the minimum.
const MAX_MULTIPLIER: u32 = 6;

/// Independent accusers besides the first one after which the minimum holds.
const CONFIRMATIONS: u32 = 2;

/// In a mesh this small witnesses cannot agree, and the timer alone decides.
const SMALL: usize = 3;
const SMALL_BOUNDS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15));

/// The bounds of the timeout for `members` live members.
pub(super) fn bounds(members: usize, period: Duration) -> (Duration, Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a count of members is far below 2^52")]
    let decades = (members.max(1) as f64).log10().max(1.0);
    let min = period.mul_f64(MULTIPLIER * decades);
    (min, min * MAX_MULTIPLIER)
}

/// The timeout after `confirmations` of `expected` distinct accusers have joined the first one.
pub(super) fn timeout(min: Duration, max: Duration, confirmations: u32, expected: u32) -> Duration {
    if expected == 0 {
        return min;
    }
    let share = f64::from(confirmations + 1).ln() / f64::from(expected + 1).ln();
    max.saturating_sub((max - min).mul_f64(share.min(1.0))).max(min)
}

/// One member under suspicion.
#[derive(Debug)]
pub(super) struct Suspicion {
    began: Instant,
    min: Duration,
    max: Duration,
    expected: u32,
    /// Confirmations that the first accuser's witnesses count for.
    credit: u32,
    /// The first one and those that confirmed it; distinct.
    accusers: Vec<IdHash>,
    deadline: Instant,
}

impl Suspicion {
    /// `witnesses` agree with the accuser.
    pub(super) fn new(
        accuser: IdHash,
        members: usize,
        witnesses: usize,
        detector: Detector,
        now: Instant,
    ) -> Self {
        let is_small = detector.has_witnesses() && members <= SMALL;
        let (min, max) = if is_small { SMALL_BOUNDS } else { bounds(members, PERIOD) };
        // In a mesh too small for independent confirmations nobody could ever shorten the timeout.
        let possible = u32::try_from(members.saturating_sub(2)).unwrap_or(u32::MAX);
        let is_fixed = possible < CONFIRMATIONS || !detector.has_local_health();
        let expected = if is_fixed { 0 } else { CONFIRMATIONS };
        let credit = match witnesses {
            0 | 1 => 0,
            2 | 3 => 1,
            _ => 2,
        };
        let mut suspicion =
            Self { began: now, min, max, expected, credit, accusers: vec![accuser], deadline: now };
        suspicion.restart(now);
        suspicion
    }

    /// The whole timeout begins now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.began = now;
        self.update();
    }

    /// Not before this.
    pub(super) fn postpone(&mut self, until: Instant) {
        self.deadline = self.deadline.max(until);
    }

    fn update(&mut self) {
        self.deadline = self.began + timeout(self.min, self.max, self.confirmations(), self.expected);
    }

    /// Counts a further accuser. True when it is new and still shortens the timeout, so that others should hear of it.
    pub(super) fn confirm(&mut self, accuser: IdHash) -> bool {
        if self.confirmations() >= self.expected || self.accusers.contains(&accuser) {
            return false;
        }
        self.accusers.push(accuser);
        self.update();
        true
    }

    /// The first one and those that confirmed it.
    pub(super) fn accusers(&self) -> &[IdHash] {
        &self.accusers
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    fn confirmations(&self) -> u32 {
        let accusers = u32::try_from(self.accusers.len().saturating_sub(1)).unwrap_or(u32::MAX);
        accusers.saturating_add(self.credit).min(self.expected)
    }
}
