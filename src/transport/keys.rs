//! The keyring as it is now: it may be replaced while the node runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::keyring::{ClusterKey, KeyId, Keyring};
use crate::time::Duration;

/// A link under a key that was removed stands so long, for its other end may be about to replace it.
const GRACE: Duration = Duration::from_secs(5);

/// The keyring as it is now. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Keys(watch::Sender<Arc<Keyring>>);

impl Keys {
    pub(super) fn new(keyring: Keyring) -> Self {
        Self(watch::Sender::new(Arc::new(keyring)))
    }

    pub(super) fn current(&self) -> Arc<Keyring> {
        self.0.borrow().clone()
    }

    pub(super) fn sealing(&self) -> ClusterKey {
        self.0.borrow().sealing().clone()
    }

    /// The key with this id, if it is accepted.
    pub(super) fn key(&self, id: KeyId) -> Option<ClusterKey> {
        self.0.borrow().key(id).cloned()
    }

    pub(super) fn replace(&self, keyring: Keyring) {
        self.0.send_replace(Arc::new(keyring));
    }

    /// Ends a while after the key with this id was removed.
    pub(super) async fn removed(&self, id: KeyId) {
        // Both ends of the channel are held here, so it is not closed.
        let _ = self.0.subscribe().wait_for(|keyring| keyring.key(id).is_none()).await;
        sleep(GRACE).await;
    }
}
