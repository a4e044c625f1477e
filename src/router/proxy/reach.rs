//! Tells the router which workers are silent, as the links find out.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::Proxy;
use super::backend::locked;
use crate::id::NodeId;
use crate::time::Duration;

/// Longer than the links care for a silent worker: they take back what they said.
const AVOIDED_FOR: Duration = Duration::from_secs(120);

impl Proxy {
    /// Follows what the links say, until they end.
    pub(super) async fn follow_reach(self, mut silent: watch::Receiver<Arc<BTreeSet<NodeId>>>) {
        let mut avoided = Arc::<BTreeSet<NodeId>>::default();
        while silent.changed().await.is_ok() {
            let now_silent = silent.borrow_and_update().clone();
            let until = self.shared.clock.now() + AVOIDED_FOR;
            let mut router = locked(&self.shared.router);
            for worker in now_silent.difference(&avoided) {
                tracing::info!(%worker, "a worker is silent and is avoided");
                router.stalled(worker, until);
            }
            for worker in avoided.difference(&now_silent) {
                tracing::info!(%worker, "a worker is not silent any more");
                router.answers(worker);
            }
            drop(router);
            avoided = now_silent;
        }
    }
}
