//! Facts: what members tell each other about members, a few bytes each, riding on every datagram.

use crate::id::{IdHash, Version};

/// What a fact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum FactKind {
    /// A later version's kind; skipped.
    Unknown = 0,
    /// The subject is alive at this version (a refutation).
    Alive = 1,
    /// `by` suspects the subject.
    Suspect = 2,
    /// The subject is dead.
    Dead = 3,
    /// The subject left of its own will.
    Left = 4,
    /// The subject is new; `by` is the hash of its manifest, which the teller holds.
    Joined = 5,
    /// The subject published a manifest: `incarnation` is its seq, `by` its hash.
    Manifest = 6,
    /// The subject's load: `value` is the bucket.
    Load = 7,
    /// The subject leads in term `value`.
    Coordinator = 8,
    /// Some reach the subject and many do not: `value` is twice a counter, plus one while it is so. It holds for 30 s.
    Unroutable = 9,
    /// Two processes run with the subject's key: `epoch` and `by` are the epoch and the boot nonce of the lower one,
    /// `incarnation` and `value` those of the other. Told to both, never passed on.
    Cloned = 10,
}

/// One thing known about one member.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fact {
    /// Hash of the member's id.
    #[prost(fixed64, tag = "1")]
    pub subject: u64,
    /// The subject's boot.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The subject's incarnation (for `Manifest` the seq).
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// What is said.
    #[prost(enumeration = "FactKind", tag = "4")]
    pub kind: i32,
    /// Who suspects, or the hash of the manifest.
    #[prost(fixed64, tag = "5")]
    pub by: u64,
    /// The load bucket, the term, or, of `Suspect` and `Dead`, the number of witnesses.
    #[prost(uint64, tag = "6")]
    pub value: u64,
}

impl Fact {
    /// A fact about the liveness of `subject`.
    pub fn about(subject: IdHash, version: Version, kind: FactKind) -> Self {
        Self {
            subject: subject.0,
            epoch: version.epoch,
            incarnation: version.incarnation,
            kind: kind.into(),
            by: 0,
            value: 0,
        }
    }

    /// The version that the fact carries.
    pub const fn version(&self) -> Version {
        Version { epoch: self.epoch, incarnation: self.incarnation }
    }

    /// The bytes that the fact takes inside a packet.
    pub fn packed_len(&self) -> usize {
        prost::encoding::message::encoded_len(super::packet::FACTS_TAG, self)
    }
}
