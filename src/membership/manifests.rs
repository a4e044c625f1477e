//! The manifests that are kept with the members. What is in them is none of membership's business, but for whose they are.

use super::{Claim, Membership, TOMBSTONE_FADES};
use crate::id::IdHash;
use crate::members::Offer;
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::manifest::SignedManifest;

impl Membership {
    /// Keeps the manifest of a member, `age` after it was first accepted anywhere, if it is newer than what is held.
    pub fn keep(&mut self, signed: SignedManifest, age: Duration, now: Instant) -> Offer {
        self.members.offer(signed, age, now)
    }

    /// This node published.
    pub fn keep_own(&mut self, signed: &SignedManifest, now: Instant) {
        let own = match self.held_dead_at() {
            Some(version) => Claim { version, status: Status::Dead },
            None => Claim { version: self.version, status: Status::Alive },
        };
        self.members.set_own(own, signed, now);
    }

    /// Brings the digest in line with what time has made of a member, or with a version of this node that is new.
    pub fn cover(&mut self, hash: IdHash, now: Instant) {
        if hash == self.hash {
            let own = self.members.held(hash).map(|held| held.signed.clone());
            own.into_iter().for_each(|signed| self.keep_own(&signed, now));
            return;
        }
        let is_old = |tombstone: super::Member| !tombstone.is_live() && tombstone.age(now) >= TOMBSTONE_FADES;
        let is_faded = self.members.get(&hash).is_some_and(is_old);
        self.members.set_faded(hash, is_faded);
    }
}
