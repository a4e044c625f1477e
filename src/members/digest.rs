//! The digest of the table: 256 bucket sums, and the 8-byte root that sums them up.
//!
//! Two nodes with the same root hold the same. A leaf is a hash of what is held of a member; it is added mod 2^64 into
//! its bucket. Leaves are not stored: the old one is computed from what was held before a change.

use super::{Claim, Exception, Member, Members, Slot, Ticks, version_of};
use crate::id::IdHash;
use crate::wire::link::{BUCKETS, EntryState};
use crate::wire::manifest::SignedManifest;

/// The sums, and the root.
#[derive(Debug)]
pub(super) struct Sums {
    buckets: Vec<u64>,
    root: u64,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], root: 0 }
    }

    /// Puts the leaf `new` in the place of `old`; nothing is 0.
    pub(super) fn replace(&mut self, bucket: u8, old: u64, new: u64) {
        let change = new.wrapping_sub(old);
        let bucket = &mut self.buckets[usize::from(bucket)];
        *bucket = bucket.wrapping_add(change);
        self.root = self.root.wrapping_add(change);
    }
}

impl Members {
    /// The sum of all buckets.
    pub const fn root(&self) -> u64 {
        self.sums.root
    }

    /// The bucket sums.
    pub fn buckets(&self) -> &[u64] {
        &self.sums.buckets
    }

    /// What the digest covers of a member or of the node itself, or covered before it faded.
    pub fn covered(&self, hash: IdHash) -> Option<Member> {
        self.slot(hash).map(|slot| self.member(slot))
    }

    /// The same for all of certain buckets, with the buckets.
    pub fn covered_in(&self, wanted: impl Fn(u8) -> bool) -> impl Iterator<Item = (u8, Member)> {
        let slots = self.own.iter().chain(self.others.iter());
        slots.filter(move |slot| wanted(slot.bucket)).map(|slot| (slot.bucket, self.member(slot)))
    }

    /// Whether a member is a tombstone that has left the sums.
    pub fn is_faded(&self, hash: IdHash) -> bool {
        self.others.get(hash).is_some_and(|slot| slot.is_faded)
    }

    /// Takes the tombstone of a member out of the sums, or a member back into them.
    pub fn set_faded(&mut self, hash: IdHash, is_faded: bool) {
        let Some(slot) = self.others.get(hash).filter(|slot| slot.is_faded != is_faded) else { return };
        let before = self.leaf(slot);
        if let Some(slot) = self.others.get_mut(hash) {
            slot.is_faded = is_faded;
        }
        self.refresh(hash, before);
    }

    pub(super) fn replace_own(&mut self, claim: Claim, signed: &SignedManifest, accepted: Ticks) {
        let Claim { version, status } = claim;
        let before = self.own.as_ref().map_or(0, |own| self.leaf(own));
        let hash = signed.owner();
        let is_exception =
            version.epoch != signed.manifest().version.epoch || u32::try_from(version.incarnation).is_err();
        let (id, addr) = (signed.manifest().id, signed.manifest().addr);
        self.exceptions.remove(&hash);
        if is_exception {
            self.exceptions.insert(hash, Exception { id, version, addr });
        }
        let own = Slot {
            hash,
            manifest: Some(signed.clone()),
            incarnation: u32::try_from(version.incarnation).unwrap_or(u32::MAX),
            accepted,
            since: accepted,
            bucket: signed.bucket(),
            status,
            is_exception,
            is_faded: false,
        };
        let after = self.leaf(&own);
        self.sums.replace(own.bucket, before, after);
        self.own = Some(own);
    }

    /// Brings the sums in line with what is held of a member whose leaf was `before`.
    pub(super) fn refresh(&mut self, hash: IdHash, before: u64) {
        let Some(slot) = self.others.get(hash) else { return };
        let (bucket, after) = (slot.bucket, self.leaf(slot));
        self.sums.replace(bucket, before, after);
    }

    /// The leaf of what is held; 0 when it is in no sum.
    pub(super) fn leaf(&self, slot: &Slot) -> u64 {
        if slot.is_faded {
            return 0;
        }
        // What most members are is hashed once, with the manifest.
        if let Some(signed) = &slot.manifest
            && !slot.is_exception
            && slot.incarnation == 0
            && slot.status.is_live()
        {
            return signed.leaf();
        }
        let member = self.member(slot);
        let version = member.claim.version;
        // The seq of an earlier boot's manifest may be the same by chance, and would hide that the new one is missing.
        let seq = version_of(slot).filter(|held| held.epoch == version.epoch).map_or(0, |held| held.seq);
        let seq = if member.state() == EntryState::Alive { seq } else { 0 };
        self.key.leaf(&member.id, version, member.state(), seq)
    }
}
