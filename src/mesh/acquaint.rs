//! A mesh that has been whole for long: how a simulation begins after the bootstrap.

use super::Mesh;
use crate::time::Instant;
use crate::wire::manifest::SignedManifest;

impl Mesh {
    /// The manifest that this node has published last.
    pub fn own_manifest(&self) -> Option<&SignedManifest> {
        self.membership.members().held(self.hash).map(|held| held.signed)
    }

    /// Knows the owners of these manifests, as if it had met all of them and nothing was left to tell.
    pub fn acquaint(&mut self, manifests: &[SignedManifest], now: Instant) {
        self.membership.acquaint(manifests, now);
        self.snapshot.forget();
        self.note_change();
        self.gossip.note_news(now);
        self.pump(now);
    }
}
