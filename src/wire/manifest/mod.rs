//! Signed manifests: the owner's Protobuf bytes, its signature over them, and their parsed value.

mod body;
mod verified;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use super::digest::DigestKey;
use super::link::EntryState;
use super::{WireError, at_most, decode};
use crate::id::{IdHash, Identity, Version};
use crate::manifest::Manifest;
use body::ManifestBody;

pub use verified::{Verified, Verifier};

/// The largest signed manifest; a larger one is refused at its source.
pub const MAX_MANIFEST_LEN: usize = 64 * 1024;

/// The longest time to live that a manifest may ask for.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// Signed along with the body, so that the signature means nothing elsewhere.
const SIGNING_CONTEXT: &[u8] = b"mesh/rec/1";

/// A manifest whose signature was verified: the received bytes, which are forwarded unchanged, and their value.
///
/// A pointer: copies are cheap and share everything.
#[derive(Debug, Clone)]
pub struct SignedManifest(Arc<Content>);

#[derive(Debug)]
struct Content {
    bytes: Box<[u8]>,
    hash: u64,
    owner: IdHash,
    bucket: u8,
    leaf: u64,
    manifest: Arc<Manifest>,
}

impl SignedManifest {
    /// Signs `manifest`. Fails when it is over [`MAX_MANIFEST_LEN`].
    pub fn sign(manifest: Manifest, identity: &Identity) -> Result<Self, WireError> {
        let body = ManifestBody::from(&manifest).encode_to_vec();
        let signature = identity.sign(&signed_text(&body)).to_vec();
        let bytes = Signed { body, signature }.encode_to_vec();
        at_most("manifest", bytes.len(), MAX_MANIFEST_LEN)?;
        Ok(Self::new(bytes.into(), manifest))
    }

    /// Decodes and verifies a manifest as it came over the wire.
    pub fn verify(bytes: &[u8]) -> Result<Self, WireError> {
        let signed: Signed = decode(bytes, "manifest", MAX_MANIFEST_LEN)?;
        let body: ManifestBody = decode(&signed.body, "manifest", MAX_MANIFEST_LEN)?;
        let manifest = body.parse()?;
        if !manifest.id.verifies(&signed_text(&signed.body), &signed.signature) {
            return Err(field("signature"));
        }
        Ok(Self::new(bytes.into(), manifest))
    }

    fn new(bytes: Box<[u8]>, manifest: Manifest) -> Self {
        let hash = first_eight(&blake3::hash(&bytes));
        let key = DigestKey::new(&manifest.cluster);
        let version = Version { epoch: manifest.version.epoch, incarnation: 0 };
        Self(Arc::new(Content {
            bytes,
            hash,
            owner: manifest.id.hash(),
            bucket: key.bucket(&manifest.id),
            leaf: key.leaf(&manifest.id, version, EntryState::Alive, manifest.version.seq),
            manifest: Arc::new(manifest),
        }))
    }

    /// The bytes as signed by the owner.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The first 8 bytes of BLAKE3 of the bytes: names this manifest in facts.
    pub fn hash(&self) -> u64 {
        self.0.hash
    }

    /// The short name of the owner.
    pub fn owner(&self) -> IdHash {
        self.0.owner
    }

    /// The bucket of the owner in the digest of its cluster.
    pub fn bucket(&self) -> u8 {
        self.0.bucket
    }

    /// The leaf of the owner in that digest while it is alive and has refuted nothing in this boot.
    pub fn leaf(&self) -> u64 {
        self.0.leaf
    }

    /// The parsed value.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.0.manifest
    }
}

fn signed_text(body: &[u8]) -> Vec<u8> {
    [SIGNING_CONTEXT, body].concat()
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(eight)
}

const fn field(field: &'static str) -> WireError {
    WireError::Field { what: "manifest", field }
}

/// The outer message: what a node holds, forwards and verifies.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Signed {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}
