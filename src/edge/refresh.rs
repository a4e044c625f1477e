//! Keeps the live list fresh while there are requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{MissedTickBehavior, interval};

use super::Edge;
use super::asking::Asked;
use crate::time::Duration;

/// Between two refreshes.
const EVERY: Duration = Duration::from_secs(5);

/// Nodes that are asked in one refresh.
const MAX_ASKED: usize = 3;

impl Edge {
    /// Asks a node for its summary again and again, for as long as there are requests in between.
    pub(super) async fn refresh(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.was_used.swap(false, Ordering::Relaxed) {
                self.refresh_once().await;
            }
        }
    }

    async fn refresh_once(&self) {
        let mut asked = Vec::new();
        while asked.len() < MAX_ASKED {
            let Some(node) = self.directory.pick(&asked) else { return };
            if self.ask(&node).await == Asked::Summary {
                return;
            }
            asked.push(node);
        }
    }
}
