//! The manifests that are held: one per owner, the highest version, as the owner's bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{IdHash, ManifestVersion};
use crate::manifest::Manifest;
use crate::time::{Duration, Instant};
use crate::wire::manifest::SignedManifest;

/// A manifest and its age.
#[derive(Debug, Clone)]
pub struct Held {
    /// The manifest.
    pub signed: SignedManifest,
    accepted: Instant,
    /// How old it was already when it was accepted here.
    age_when_accepted: Duration,
}

impl Held {
    /// The time since it was first accepted anywhere, as far as its way here told.
    pub fn age(&self, now: Instant) -> Duration {
        self.age_when_accepted.saturating_add(now.since(self.accepted))
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.age(now) >= self.signed.manifest().ttl
    }
}

/// What became of a manifest that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is held now.
    Accepted,
    /// The same or a newer one is held already.
    Known,
    /// Its time is over.
    Expired,
}

/// All manifests of other members.
#[derive(Debug, Default)]
pub struct Store {
    held: BTreeMap<IdHash, Held>,
}

impl Store {
    /// Takes a manifest if it is newer than what is held. The same version never gets younger.
    pub fn offer(&mut self, owner: IdHash, signed: SignedManifest, age: Duration, now: Instant) -> Offer {
        if age >= signed.manifest().ttl {
            return Offer::Expired;
        }
        if self.version(owner).is_some_and(|held| held >= signed.manifest().version) {
            return Offer::Known;
        }
        self.held.insert(owner, Held { signed, accepted: now, age_when_accepted: age });
        Offer::Accepted
    }

    /// The manifest of a member, expired or not.
    pub fn held(&self, owner: IdHash) -> Option<&Held> {
        self.held.get(&owner)
    }

    /// The manifest of a member, unless its time is over.
    pub fn fresh(&self, owner: IdHash, now: Instant) -> Option<&Arc<Manifest>> {
        self.held.get(&owner).filter(|held| !held.is_expired(now)).map(|held| held.signed.manifest())
    }

    /// The version that is held.
    pub fn version(&self, owner: IdHash) -> Option<ManifestVersion> {
        self.held.get(&owner).map(|held| held.signed.manifest().version)
    }

    /// Forgets a member.
    pub fn forget(&mut self, owner: IdHash) {
        self.held.remove(&owner);
    }
}
