//! A mesh that has been whole for long: how a simulation begins after the bootstrap.

use super::Mesh;
use crate::id::NodeId;
use crate::time::{Duration, Instant};
use crate::wire::manifest::SignedManifest;

impl Mesh {
    /// The manifest that this node has published last.
    pub fn own_manifest(&self) -> Option<&SignedManifest> {
        self.gossip.store.held(self.hash).map(|held| &held.signed)
    }

    /// Knows the owners of these manifests, as if it had met all of them and nothing was left to tell.
    pub fn acquaint(&mut self, manifests: &[SignedManifest], now: Instant) {
        let members = manifests.iter().map(|signed| {
            let manifest = signed.manifest();
            (manifest.id, manifest.version.epoch, manifest.addr)
        });
        self.membership.acquaint(members, now);
        for signed in manifests {
            let owner: NodeId = signed.manifest().id;
            if owner != self.id {
                self.gossip.store.offer(owner.hash(), signed.clone(), Duration::ZERO, now);
                self.cover(owner.hash(), now);
            }
        }
        self.pump(now);
    }
}
