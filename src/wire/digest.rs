//! What the digest hashes of one member, and into which of its buckets that goes.

use super::link::EntryState;
use crate::id::{NodeId, Version};

/// The key of a cluster's digest, from the cluster's name.
#[derive(Debug, Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// The key of the cluster with this name.
    pub fn new(cluster: &str) -> Self {
        Self(blake3::derive_key("meshnode/1 digest", cluster.as_bytes()))
    }

    /// The bucket of a member.
    pub fn bucket(&self, id: &NodeId) -> u8 {
        blake3::keyed_hash(&self.0, &id.peer_id_bytes()).as_bytes()[0]
    }

    /// The hash of what is held about a member. Of those that are not alive the seq counts as 0.
    pub fn leaf(&self, id: &NodeId, version: Version, state: EntryState, seq: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&id.peer_id_bytes());
        hasher.update(&version.epoch.to_be_bytes());
        hasher.update(&version.incarnation.to_be_bytes());
        hasher.update(&[state as u8]);
        let seq = if state == EntryState::Alive { seq } else { 0 };
        hasher.update(&seq.to_be_bytes());
        let mut eight = [0; 8];
        hasher.finalize_xof().fill(&mut eight);
        u64::from_be_bytes(eight)
    }
}
