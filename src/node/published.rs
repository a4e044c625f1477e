//! What readers see of the loop: the view and the live summary, as snapshots.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::view::View;

/// Changes of the view that come faster are published together.
const COALESCE: Duration = Duration::from_millis(10);

/// The snapshots, and when the last view was published.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) views: watch::Sender<Arc<View>>,
    pub(super) summary: watch::Sender<Arc<str>>,
    /// The version of the view that is published.
    pub(super) version: u64,
    at: Instant,
}

impl Published {
    pub(super) fn new(view: Arc<View>, summary: String) -> Self {
        Self {
            version: view.version,
            views: watch::Sender::new(view),
            summary: watch::Sender::new(summary.into()),
            at: Instant::now(),
        }
    }

    /// The earliest moment for another view.
    pub(super) fn next_at(&self) -> Instant {
        self.at + COALESCE
    }

    pub(super) fn publish(&mut self, view: Arc<View>) {
        self.version = view.version;
        self.at = Instant::now();
        self.views.send_replace(view);
    }

    pub(super) fn publish_summary(&self, summary: String) {
        self.summary.send_if_modified(|held| {
            let differs = **held != *summary;
            if differs {
                *held = summary.into();
            }
            differs
        });
    }
}
