//! The memory of a failed dial: for a short while the same address fails at once.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::entropy;
use crate::mesh::LinkFailure;
use crate::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// A peer that restarts is found again within this time.
const LONGEST: Duration = Duration::from_secs(5);

/// The last failed dial of one peer.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failed: Option<Failed>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    addr: SocketAddr,
    failure: LinkFailure,
    times: u32,
    until: Instant,
}

impl Backoff {
    /// The failure that still holds for `addr`.
    pub(super) fn check(&self, addr: SocketAddr, now: Instant) -> Result<(), LinkFailure> {
        match self.failed {
            Some(failed) if failed.addr == addr && now < failed.until => Err(failed.failure),
            Some(_) | None => Ok(()),
        }
    }

    /// Remembers a failed dial; another address starts anew.
    pub(super) fn fail(&mut self, addr: SocketAddr, failure: LinkFailure, now: Instant) {
        let times = self.failed.filter(|failed| failed.addr == addr).map_or(0, |failed| failed.times + 1);
        let pause = (FIRST * 2_u32.saturating_pow(times.min(16))).min(LONGEST);
        self.failed = Some(Failed { addr, failure, times, until: now + pause.mul_f64(jitter()) });
    }

    /// The end of the pause after the last failure.
    pub(super) fn until(&self) -> Option<Instant> {
        self.failed.map(|failed| failed.until)
    }

    pub(super) fn clear(&mut self) {
        self.failed = None;
    }
}

/// Between a half and one, so that nodes that failed together do not dial together.
pub(super) fn jitter() -> f64 {
    0.5 + f64::from(u16::from_be_bytes(entropy::random())) / f64::from(u16::MAX) / 2.0
}
