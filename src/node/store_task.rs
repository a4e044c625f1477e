//! The task that calls the summary's store, one call at a time.

use tokio::sync::mpsc;

use crate::mesh::Input;
use crate::metrics::{KindLabels, Metrics};
use crate::summary::stores::Store;
use crate::summary::{StoreCall, StoreReply};

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
        if results.send(Input::Store(reply)).await.is_err() {
            return;
        }
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
