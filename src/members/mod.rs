//! The members: what a node holds of each, in one table that is small however many there are, and its digest.
//!
//! Most members are alive, as their manifest says, and have refuted nothing. Of such a one 32 bytes are stored; the rest
//! is read from its manifest. What only some have (a boot without a manifest, a round trip) is in tables beside it. The
//! digest is a function of what is held, and kept up with every change.

mod digest;
mod member;
mod seen;
mod shards;
mod slot;
mod ticks;

#[cfg(test)]
mod tests;

pub use member::{Claim, Member};
pub use seen::Seen;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::id::{IdHash, ManifestVersion, NodeId, Version};
use crate::manifest::Manifest;
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::digest::DigestKey;
use crate::wire::manifest::SignedManifest;
use digest::Sums;
use seen::Sightings;
use shards::Shards;
use slot::Slot;
use ticks::Ticks;

/// All other members that a node knows, tombstones included, and the node itself.
#[derive(Debug)]
pub struct Members {
    key: DigestKey,
    /// The node itself, once it has published; it is in the digest, and not among the members.
    own: Option<Slot>,
    others: Shards,
    exceptions: BTreeMap<IdHash, Exception>,
    seen: Sightings,
    sums: Sums,
}

/// What is held of a member that its manifest does not say: it has none, or it is of another boot.
#[derive(Debug, Clone, Copy)]
struct Exception {
    id: NodeId,
    version: Version,
    addr: Option<SocketAddr>,
}

/// A manifest, and its age.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The manifest.
    pub signed: &'a SignedManifest,
    accepted: Ticks,
}

impl Held<'_> {
    /// The time since it was first accepted anywhere, as far as its way here told.
    pub fn age(&self, now: Instant) -> Duration {
        self.accepted.age(now)
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
    /// Its owner is no member.
    Stranger,
}

impl Members {
    /// Nobody, in the cluster with this name.
    pub fn new(cluster: &str) -> Self {
        Self {
            key: DigestKey::new(cluster),
            own: None,
            others: Shards::new(),
            exceptions: BTreeMap::new(),
            seen: Sightings::default(),
            sums: Sums::new(),
        }
    }

    /// The other members, tombstones included.
    pub const fn len(&self) -> usize {
        self.others.len()
    }

    /// Nobody else is known.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a member is known, if only by its tombstone.
    pub fn contains_key(&self, hash: &IdHash) -> bool {
        self.others.get(*hash).is_some()
    }

    /// Another member.
    pub fn get(&self, hash: &IdHash) -> Option<Member> {
        self.others.get(*hash).map(|slot| self.member(slot))
    }

    /// All other members, in the order of their hashes.
    pub fn iter(&self) -> impl Iterator<Item = (IdHash, Member)> {
        self.others.iter().map(|slot| (slot.hash, self.member(slot)))
    }

    /// The same, without the hashes.
    pub fn values(&self) -> impl Iterator<Item = Member> {
        self.iter().map(|(_, member)| member)
    }

    /// The members that are dead or left.
    pub fn tombstones(&self) -> impl Iterator<Item = Member> {
        self.others.iter().filter(|slot| !slot.status.is_live()).map(|slot| self.member(slot))
    }

    /// Takes a member that was not known, or in place of what was known of it.
    pub fn insert(&mut self, member: Member, now: Instant) {
        self.remove(&member.hash);
        let slot = Slot {
            hash: member.hash,
            manifest: None,
            incarnation: 0,
            accepted: member.since,
            since: member.since,
            bucket: self.key.bucket(&member.id),
            status: member.claim.status,
            is_exception: false,
            is_faded: false,
        };
        self.others.insert(slot);
        if !member.is_live() {
            self.seen.first(member.hash, now);
        }
        self.write(&member, 0);
    }

    /// Takes the owner of a manifest as a member that is alive, at once with it.
    pub fn insert_known(&mut self, signed: SignedManifest, now: Instant) {
        let accepted = Ticks::at(now, Duration::ZERO);
        let (hash, bucket, leaf) = (signed.owner(), signed.bucket(), signed.leaf());
        self.remove(&hash);
        self.others.insert(Slot {
            hash,
            manifest: Some(signed),
            incarnation: 0,
            accepted,
            since: accepted,
            bucket,
            status: Status::Alive,
            is_exception: false,
            is_faded: false,
        });
        self.sums.replace(bucket, 0, leaf);
    }

    /// Changes what is held of a member.
    pub fn update<R>(&mut self, hash: &IdHash, change: impl FnOnce(&mut Member) -> R) -> Option<R> {
        let slot = self.others.get(*hash)?;
        let (mut member, before) = (self.member(slot), self.leaf(slot));
        let since = member.since;
        let result = change(&mut member);
        if member.since != since {
            self.seen.first(*hash, since.instant());
        }
        self.write(&member, before);
        Some(result)
    }

    /// Forgets a member.
    pub fn remove(&mut self, hash: &IdHash) -> Option<Member> {
        let slot = self.others.remove(*hash)?;
        let member = self.member(&slot);
        self.sums.replace(slot.bucket, self.leaf(&slot), 0);
        self.exceptions.remove(hash);
        self.seen.forget(*hash);
        Some(member)
    }

    /// Takes the manifest of a member if it is newer than what is held. The same version never gets younger.
    pub fn offer(&mut self, signed: SignedManifest, age: Duration, now: Instant) -> Offer {
        if age >= signed.manifest().ttl {
            return Offer::Expired;
        }
        let hash = signed.owner();
        let Some(slot) = self.others.get(hash) else { return Offer::Stranger };
        if version_of(slot).is_some_and(|held| held >= signed.manifest().version) {
            return Offer::Known;
        }
        let (mut member, before) = (self.member(slot), self.leaf(slot));
        member.addr = signed.manifest().addr;
        if let Some(slot) = self.others.get_mut(hash) {
            slot.accepted = Ticks::at(now, age);
            slot.manifest = Some(signed);
        }
        self.write(&member, before);
        Offer::Accepted
    }

    /// Holds the node's own manifest, and what it says of its own liveness.
    pub fn set_own(&mut self, claim: Claim, signed: &SignedManifest, now: Instant) {
        let accepted = match &self.own {
            Some(own) if version_of(own) == Some(signed.manifest().version) => own.accepted,
            _ => Ticks::at(now, Duration::ZERO),
        };
        self.replace_own(claim, signed, accepted);
    }

    /// The manifest of a member or of the node itself, expired or not.
    pub fn held(&self, owner: IdHash) -> Option<Held<'_>> {
        let slot = self.slot(owner)?;
        slot.manifest.as_ref().map(|signed| Held { signed, accepted: slot.accepted })
    }

    /// The same, unless its time is over.
    pub fn fresh(&self, owner: IdHash, now: Instant) -> Option<&Arc<Manifest>> {
        fresh(self.slot(owner)?, now)
    }

    /// The version of the manifest that is held.
    pub fn version(&self, owner: IdHash) -> Option<ManifestVersion> {
        self.slot(owner).and_then(version_of)
    }

    /// The manifests of all live members whose time is not over, the node's own not among them.
    pub fn live_manifests(&self, now: Instant) -> impl Iterator<Item = (&Manifest, Status)> {
        let live = self.others.iter().filter(|slot| slot.status.is_live());
        live.filter_map(move |slot| Some((&**fresh(slot, now)?, slot.status)))
    }

    fn slot(&self, hash: IdHash) -> Option<&Slot> {
        self.others.get(hash).or_else(|| self.own.as_ref().filter(|own| own.hash == hash))
    }

    fn member(&self, slot: &Slot) -> Member {
        let exception = if slot.is_exception { self.exceptions.get(&slot.hash) } else { None };
        let (id, version, addr) = match (exception, &slot.manifest) {
            (Some(exception), _) => (exception.id, exception.version, exception.addr),
            (None, Some(signed)) => {
                let manifest = signed.manifest();
                let incarnation = u64::from(slot.incarnation);
                (manifest.id, Version { epoch: manifest.version.epoch, incarnation }, manifest.addr)
            }
            // `write` lets no such slot be.
            (None, None) => (NodeId::from_public_key([0; 32]), Version::default(), None),
        };
        let claim = Claim { version, status: slot.status };
        Member { id, hash: slot.hash, claim, addr, since: slot.since }
    }

    /// Stores `member`, whose leaf was `before`.
    fn write(&mut self, member: &Member, before: u64) {
        let Some(slot) = self.others.get_mut(member.hash) else { return };
        let version = member.claim.version;
        slot.status = member.claim.status;
        slot.since = member.since;
        let incarnation = u32::try_from(version.incarnation);
        let says_it = |signed: &SignedManifest| {
            let manifest = signed.manifest();
            manifest.version.epoch == version.epoch && manifest.addr == member.addr
        };
        let is_exception = incarnation.is_err() || !slot.manifest.as_ref().is_some_and(says_it);
        slot.incarnation = incarnation.unwrap_or(u32::MAX);
        if is_exception {
            let exception = Exception { id: member.id, version, addr: member.addr };
            self.exceptions.insert(member.hash, exception);
        } else if slot.is_exception {
            self.exceptions.remove(&member.hash);
        }
        slot.is_exception = is_exception;
        self.refresh(member.hash, before);
    }
}

fn version_of(slot: &Slot) -> Option<ManifestVersion> {
    slot.manifest.as_ref().map(|signed| signed.manifest().version)
}

fn fresh(slot: &Slot, now: Instant) -> Option<&Arc<Manifest>> {
    let manifest = slot.manifest.as_ref()?.manifest();
    (slot.accepted.age(now) < manifest.ttl).then_some(manifest)
}
