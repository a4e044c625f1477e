//! After the last fault the value comes to say what is so.

use meshnode::time::{Duration, Instant};

use super::Breach;
use crate::budget::edge::Look;

/// The most, by the promise: a slot, and what faults have used up of the day's pace.
const MAX: Duration = Duration::from_secs(4 * 3_600);

/// When it did.
#[derive(Debug)]
pub(super) struct Convergence {
    from: Instant,
    converged: Option<Duration>,
}

impl Convergence {
    pub(super) const fn new(from: Instant) -> Self {
        Self { from, converged: None }
    }

    pub(super) fn look(&mut self, at: Instant, look: Look) {
        if at > self.from && look.is_true && self.converged.is_none() {
            self.converged = Some(at.since(self.from));
        }
    }

    pub(super) const fn converged(&self) -> Option<Duration> {
        self.converged
    }
}

/// Whether it took too long.
pub(super) fn check(converged: Option<Duration>) -> Option<Breach> {
    let text = match converged {
        Some(after) if after <= MAX => return None,
        Some(after) => format!("{:.1} h after the last fault", after.as_secs_f64() / 3_600.0),
        None => "never".to_owned(),
    };
    Some(Breach { promise: "convergence", text })
}
