//! The task that calls the summary's store, one call at a time.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::unix_now;
use crate::mesh::Input;
use crate::metrics::{KindLabels, Metrics};
use crate::summary::stores::Store;
use crate::summary::{StoreCall, StoreReply};

/// More than this between this machine's clock and the store's is worth a warning.
const MAX_SKEW: Duration = Duration::from_secs(600);

/// Calls that may wait; the policy has one under way at most.
pub(super) const CALLS: usize = 4;

/// Makes the calls that come, until nobody can send any.
pub(super) async fn run(
    mut store: Store,
    mut calls: mpsc::Receiver<StoreCall>,
    results: mpsc::Sender<Input>,
    metrics: Metrics,
) {
    while let Some(call) = calls.recv().await {
        let reply = store.call(call).await;
        metrics.store_calls.get_or_create(&KindLabels { kind: kind(&reply) }).inc();
        if let StoreReply::GetFailed(error) | StoreReply::PutFailed(error) = &reply {
            tracing::warn!(%error, "the summary's store failed; the mesh serves on");
        }
        warn_of_skew(&reply);
        if results.send(Input::Store(reply)).await.is_err() {
            return;
        }
    }
}

/// Epochs are made from this machine's clock: one that is far off would make restarts look older than they are.
fn warn_of_skew(reply: &StoreReply) {
    let (StoreReply::Found { now, .. } | StoreReply::NotFound { now }) = reply else { return };
    let skew = now.abs_diff(unix_now().as_secs());
    if skew > MAX_SKEW.as_secs() {
        tracing::warn!(skew_s = skew, "this machine's clock and the store's differ by more than ten minutes");
    }
}

const fn kind(reply: &StoreReply) -> &'static str {
    match reply {
        StoreReply::Found { .. } => "get_ok",
        StoreReply::NotFound { .. } => "get_not_found",
        StoreReply::GetFailed(_) => "get_failed",
        StoreReply::Stored => "put_ok",
        StoreReply::PutFailed(_) => "put_failed",
    }
}
