//! The task that calls the summary's store, one call at a time.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::unix_now;
use crate::mesh::Input;
use crate::metrics::{KindLabels, Metrics};
use crate::summary::stores::Store;
use crate::summary::{StoreCall, StoreFailure, StoreReply};

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
    let mut trouble = Trouble::default();
    while let Some(call) = calls.recv().await {
        let reply = store.call(call).await;
        metrics.store_calls.get_or_create(&KindLabels { kind: kind(&reply) }).inc();
        trouble.log(&reply);
        warn_of_skew(&reply);
        if results.send(Input::Store(reply)).await.is_err() {
            return;
        }
    }
}

/// The failure that was last logged: a store that stays broken is worth one line, not one every ten minutes.
#[derive(Debug, Default)]
struct Trouble(Option<StoreFailure>);

impl Trouble {
    fn log(&mut self, reply: &StoreReply) {
        match reply {
            StoreReply::GetFailed(failure) | StoreReply::PutFailed(failure) if self.is_known(failure) => {
                tracing::debug!(error = %failure, "the summary's store fails still");
            }
            StoreReply::GetFailed(failure) | StoreReply::PutFailed(failure) => {
                if matches!(failure, StoreFailure::Failed(_)) {
                    tracing::error!(error = %failure, "the summary's store fails, so this node will not lead; the mesh serves on");
                } else {
                    tracing::warn!(error = %failure, "a call of the summary's store failed");
                }
                self.0 = Some(failure.clone());
            }
            StoreReply::Found { .. } | StoreReply::NotFound { .. } | StoreReply::Stored => {
                if self.0.take().is_some_and(|failure| matches!(failure, StoreFailure::Failed(_))) {
                    tracing::info!("the summary's store works again");
                }
            }
        }
    }

    fn is_known(&self, failure: &StoreFailure) -> bool {
        self.0.as_ref() == Some(failure)
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
