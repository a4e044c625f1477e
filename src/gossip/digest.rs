//! The digest: 256 bucket sums over what is held of every member, updated in O(1), summed into an 8-byte root.
//!
//! Two nodes with the same root hold the same. A leaf is the keyed BLAKE3 (key from the cluster's name) of id,
//! epoch, incarnation, {alive, dead, left} and the manifest's seq, added mod 2^64 into the bucket that the keyed hash
//! of the id alone names. Suspicions are not in it, and of the dead only the tombstone is: their seq counts as 0.

use std::collections::BTreeMap;

use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant};
use crate::wire::link::{BUCKETS, EntryState};

/// What the digest covers of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The member.
    pub id: NodeId,
    /// The version of its liveness.
    pub version: Version,
    /// Alive (or suspect), dead, left.
    pub state: EntryState,
    /// The seq of its manifest.
    pub seq: u64,
    /// For tombstones: when it would have been made, had it been made here. Not hashed.
    pub since: Since,
}

/// A moment that may lie before this node's origin of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// When this was noted.
    pub noted: Instant,
    /// How long it had been so by then.
    pub age: Duration,
}

impl Since {
    /// The time since the moment.
    pub fn elapsed(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.since(self.noted))
    }
}

/// The digest of one node's view.
#[derive(Debug)]
pub struct Digest {
    key: [u8; 32],
    buckets: Vec<u64>,
    root: u64,
    leaves: BTreeMap<IdHash, Covered>,
}

/// A leaf in its place.
#[derive(Debug)]
struct Covered {
    leaf: Leaf,
    bucket: u8,
    sum: u64,
    /// An old tombstone: known here, and told to those who still compare it, but in no sum.
    is_faded: bool,
}

impl Digest {
    /// An empty digest of the cluster with this name.
    pub fn new(cluster: &str) -> Self {
        let key = blake3::derive_key("meshnode/1 digest", cluster.as_bytes());
        Self { key, buckets: vec![0; BUCKETS], root: 0, leaves: BTreeMap::new() }
    }

    /// Holds `leaf` for a member in place of what it had; `None` takes the member out.
    pub fn set(&mut self, hash: IdHash, leaf: Option<&Leaf>) {
        if let Some(covered) = self.leaves.remove(&hash) {
            self.add(covered.bucket, covered.sum.wrapping_neg());
        }
        if let Some(leaf) = leaf {
            let (bucket, sum) = (self.bucket(&leaf.id), self.hash(leaf));
            self.add(bucket, sum);
            self.leaves.insert(hash, Covered { leaf: *leaf, bucket, sum, is_faded: false });
        }
    }

    /// As `set`, for a tombstone that has left the sums.
    pub fn fade(&mut self, hash: IdHash, leaf: &Leaf) {
        self.set(hash, None);
        let covered = Covered { leaf: *leaf, bucket: self.bucket(&leaf.id), sum: 0, is_faded: true };
        self.leaves.insert(hash, covered);
    }

    /// Whether what is known of a member is a tombstone that has left the sums.
    pub fn is_faded(&self, hash: IdHash) -> bool {
        self.leaves.get(&hash).is_some_and(|covered| covered.is_faded)
    }

    /// What the digest covers of a member, or covered before it faded.
    pub fn leaf(&self, hash: IdHash) -> Option<&Leaf> {
        self.leaves.get(&hash).map(|covered| &covered.leaf)
    }

    /// All leaves with their buckets, the faded ones included.
    pub fn leaves(&self) -> impl Iterator<Item = (u8, IdHash, &Leaf)> {
        self.leaves.iter().map(|(hash, covered)| (covered.bucket, *hash, &covered.leaf))
    }

    /// The sum of all buckets.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// The bucket sums.
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// The bucket of a member.
    pub fn bucket(&self, id: &NodeId) -> u8 {
        blake3::keyed_hash(&self.key, &id.peer_id_bytes()).as_bytes()[0]
    }

    fn add(&mut self, bucket: u8, sum: u64) {
        let bucket = &mut self.buckets[usize::from(bucket)];
        *bucket = bucket.wrapping_add(sum);
        self.root = self.root.wrapping_add(sum);
    }

    fn hash(&self, leaf: &Leaf) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&leaf.id.peer_id_bytes());
        hasher.update(&leaf.version.epoch.to_be_bytes());
        hasher.update(&leaf.version.incarnation.to_be_bytes());
        hasher.update(&[leaf.state as u8]);
        let seq = if leaf.state == EntryState::Alive { leaf.seq } else { 0 };
        hasher.update(&seq.to_be_bytes());
        let mut eight = [0; 8];
        hasher.finalize_xof().fill(&mut eight);
        u64::from_be_bytes(eight)
    }
}
