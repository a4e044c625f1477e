//! Members that have known each other for long: how a simulation begins after the bootstrap.

use super::dissemination::Dissemination;
use super::{MAX_MEMBERS, Membership, shuffle};
use crate::time::Instant;
use crate::wire::manifest::SignedManifest;

impl Membership {
    /// Holds the owners of these manifests alive. Nobody is told: all know it.
    pub fn acquaint(&mut self, manifests: &[SignedManifest], now: Instant) {
        self.order.reserve_exact(manifests.len());
        for signed in manifests {
            let hash = signed.owner();
            if hash == self.hash || self.members.contains_key(&hash) || self.members.len() >= MAX_MEMBERS {
                continue;
            }
            self.members.insert_known(signed.clone(), now);
            self.order.push(hash);
        }
        shuffle(&mut self.order, &mut self.rng);
        self.next = 0;
        self.joining.met = true;
        self.dissemination = Dissemination::default();
        self.turns.begin();
        if self.may_accuse {
            self.refresh_watchers(now);
        }
    }
}
