//! The bound on watch links: those that this node dials and those that others dial to it have their places in common.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::http2::CLOSING_TIMEOUT;
use crate::id::NodeId;
use crate::metrics::{DirectionLabels, Metrics};
use crate::time::Duration;

/// Watch links at a time, in both directions, those that are being replaced included: eight watchers, about as many
/// watched, and a change of all watchers.
pub(in super::super) const MAX_WATCH_LINKS: usize = 24;

/// A link that makes room needs a moment to be closed in order.
const ROOM_TIMEOUT: Duration = CLOSING_TIMEOUT.saturating_mul(2);

/// The places of watch links.
#[derive(Debug)]
pub(in super::super) struct Places {
    free: Arc<Semaphore>,
    /// The links that others dialled, the oldest first.
    accepted: Mutex<VecDeque<Accepted>>,
}

/// The right of one watch link to stand; dropping it gives the place back.
#[derive(Debug)]
pub(in super::super) struct Place {
    _permit: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[derive(Debug)]
struct Accepted {
    peer: NodeId,
    stop: CancellationToken,
}

impl Default for Places {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_WATCH_LINKS)), accepted: Mutex::default() }
    }
}

impl Places {
    /// A place for a link that this node dials. The oldest link that was accepted makes room.
    pub(in super::super) async fn dialled(&self, metrics: &Metrics) -> Option<Place> {
        self.take("dialled", metrics).await
    }

    /// A place for a link from `peer` that `stop` closes. An older one of the same peer is replaced, and the oldest of all
    /// makes room.
    pub(in super::super) async fn accepted(
        &self,
        peer: NodeId,
        stop: CancellationToken,
        metrics: &Metrics,
    ) -> Option<Place> {
        self.close(|accepted| accepted.peer == peer);
        let place = self.take("accepted", metrics).await?;
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push_back(Accepted { peer, stop });
        Some(place)
    }

    async fn take(&self, direction: &'static str, metrics: &Metrics) -> Option<Place> {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                if !self.close(|_| true) {
                    return None;
                }
                timeout(ROOM_TIMEOUT, self.free.clone().acquire_owned()).await.ok()?.ok()?
            }
        };
        let gauge = metrics.watch_links.get_or_create(&DirectionLabels { direction }).clone();
        gauge.inc();
        Some(Place { _permit: permit, gauge })
    }

    /// Closes the oldest accepted link that fits, and says whether there was one.
    fn close(&self, fits: impl Fn(&Accepted) -> bool) -> bool {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.retain(|link| !link.stop.is_cancelled());
        let Some(oldest) = accepted.iter().position(fits).and_then(|at| accepted.remove(at)) else {
            return false;
        };
        oldest.stop.cancel();
        true
    }
}
