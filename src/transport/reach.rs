//! Which peers are silent: their links stand, but nothing comes back on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::id::NodeId;

/// The peers that are silent at the moment.
#[derive(Debug)]
pub(super) struct Reach {
    silent: watch::Sender<Arc<BTreeSet<NodeId>>>,
}

impl Reach {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { silent: watch::Sender::new(Arc::default()) })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<BTreeSet<NodeId>>> {
        self.silent.subscribe()
    }

    pub(super) fn is_silent(&self, peer: NodeId) -> bool {
        self.silent.borrow().contains(&peer)
    }

    /// A peer did not answer a ping.
    pub(super) fn fell_silent(&self, peer: NodeId) {
        self.silent.send_if_modified(|silent| Arc::make_mut(silent).insert(peer));
    }

    /// Something came from a peer. Costs next to nothing unless it was silent.
    pub(super) fn answers(&self, peer: NodeId) {
        if self.is_silent(peer) {
            self.silent.send_if_modified(|silent| Arc::make_mut(silent).remove(&peer));
        }
    }
}
