//! How long to wait for an answer: the smoothed round trip and its deviation, as in TCP (RFC 6298).

use crate::time::Duration;

/// No answer is given up sooner.
const MIN_TIMEOUT: Duration = Duration::from_millis(150);

/// No answer is waited for longer, before local health stretches that.
const MAX_TIMEOUT: Duration = Duration::from_millis(500);

/// What a busy machine takes beyond the network.
const SCHEDULING: Duration = Duration::from_millis(50);

/// The round trips of this node to others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RoundTrips {
    smoothed: Option<Duration>,
    deviation: Duration,
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

    /// How long to wait for an answer.
    pub(super) fn timeout(self) -> Duration {
        let smoothed = self.smoothed.unwrap_or_default();
        (smoothed + self.deviation * 4 + SCHEDULING).clamp(MIN_TIMEOUT, MAX_TIMEOUT)
    }
}
