//! How long to wait for an answer: the smoothed round trip and its deviation, as in TCP (RFC 6298); and how often to ask,
//! by the share of pings that are answered at all.

use crate::time::Duration;

/// No answer is given up sooner.
const MIN_TIMEOUT: Duration = Duration::from_millis(150);

/// No answer is waited for longer, before local health stretches that.
const MAX_TIMEOUT: Duration = Duration::from_millis(500);

/// What a busy machine takes beyond the network.
const SCHEDULING: Duration = Duration::from_millis(50);

/// The weight of the newest ping in the share that is answered.
const WEIGHT: f64 = 1.0 / 16.0;

/// All attempts may be lost with this chance, before silence is evidence.
const LOST_ALL: f64 = 0.03;

/// Attempts, however few or many are answered.
const MIN_ATTEMPTS: u32 = 3;
const MAX_ATTEMPTS: u32 = 9;

/// The round trips of this node to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoundTrips {
    smoothed: Option<Duration>,
    deviation: Duration,
    /// The share of first pings that are answered, 0 to 1.
    answered: f64,
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self { smoothed: None, deviation: Duration::ZERO, answered: 1.0 }
    }
}

impl RoundTrips {
    /// A ping was answered after `sample`.
    pub(super) fn measure(&mut self, sample: Duration) {
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(sample);
            self.deviation = sample / 2;
            return;
        };
        self.deviation = (self.deviation * 3 + smoothed.abs_diff(sample)) / 4;
        self.smoothed = Some((smoothed * 7 + sample) / 8);
    }

    /// The first ping of a round was answered in time, or was not.
    pub(super) fn note_first(&mut self, is_answered: bool) {
        let sample = if is_answered { 1.0 } else { 0.0 };
        self.answered += (sample - self.answered) * WEIGHT;
    }

    /// How often to ask before silence means something.
    pub(super) fn attempts(self) -> u32 {
        let lost = (1.0 - self.answered).clamp(0.001, 0.999);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 4,000")]
        let attempts = (LOST_ALL.ln() / lost.ln()).ceil() as u32;
        attempts.clamp(MIN_ATTEMPTS, MAX_ATTEMPTS)
    }

    /// How long to wait for an answer.
    pub(super) fn timeout(self) -> Duration {
        let smoothed = self.smoothed.unwrap_or_default();
        (smoothed + self.deviation * 4 + SCHEDULING).clamp(MIN_TIMEOUT, MAX_TIMEOUT)
    }
}
