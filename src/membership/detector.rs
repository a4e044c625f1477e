//! Which failure detector runs: the whole one, or an earlier stage of it, to show what each addition brings.

use crate::time::Duration;

/// Which failure detector runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detector {
    /// SWIM as memberlist ships it, without Lifeguard: a fixed suspicion timeout.
    Swim,
    /// SWIM with Lifeguard's local health, dynamic suspicion and nacks.
    Lifeguard,
    /// Watchers and witnesses on top of it.
    #[default]
    Witness,
}

impl Detector {
    /// Watchers ping by turns, and a suspicion needs witnesses.
    pub(super) const fn has_witnesses(self) -> bool {
        matches!(self, Self::Witness)
    }

    /// A node that misses answers trusts itself less, and suspicions shorten as they are confirmed.
    pub(super) const fn has_local_health(self) -> bool {
        !matches!(self, Self::Swim)
    }

    /// How long a ping may take before it is tried another way.
    pub(super) const fn ping_timeout(self) -> Duration {
        match self {
            Self::Swim => Duration::from_millis(500),
            Self::Lifeguard => Duration::from_millis(400),
            Self::Witness => Duration::from_millis(150),
        }
    }
}
