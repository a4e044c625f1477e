//! The epochs at which this node knows others: told to them in hellos, for one that lost its disk.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::id::NodeId;
use crate::view::View;

/// The epochs of others, as the view has them; none until the view is given.
#[derive(Debug, Default)]
pub(super) struct KnownEpochs(OnceLock<watch::Receiver<Arc<View>>>);

impl KnownEpochs {
    /// Takes the view; only the first one counts, for a node has one view.
    pub(super) fn set(&self, view: watch::Receiver<Arc<View>>) {
        let first = self.0.set(view).is_ok();
        debug_assert!(first, "a node has one view");
    }

    pub(super) fn of(&self, peer: &NodeId) -> u64 {
        let member = self.0.get().and_then(|view| view.borrow().member(peer).cloned());
        member.map_or(0, |member| member.version.epoch)
    }
}
