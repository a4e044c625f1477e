//! A bounded memory of what was verified: the same bytes need to be decoded and their signature checked only once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{SignedManifest, WireError};

/// What was found out about the bytes with this BLAKE3.
#[derive(Debug, Clone)]
struct Finding {
    hash: blake3::Hash,
    outcome: Result<SignedManifest, WireError>,
}

/// Manifests that were verified or refused lately, by the hash of their bytes.
///
/// Verification is a pure function of the bytes, so its results may be shared, even by many nodes in one process, and
/// forgotten at any time: that changes what it costs and nothing else.
#[derive(Debug)]
pub struct Verified {
    capacity: usize,
    accepted: Generations,
    /// Apart, so that a flood of forgeries does not drive out what is good.
    refused: Generations,
}

/// Who verifies manifests in place of a node itself, such as a memory that many nodes of one process share.
#[derive(Clone)]
pub struct Verifier(Arc<Verify>);

type Verify = dyn Fn(&[u8]) -> Result<SignedManifest, WireError> + Send + Sync;

impl Verifier {
    /// `verify` must give for the same bytes what [`SignedManifest::verify`] gives.
    pub fn new(verify: impl Fn(&[u8]) -> Result<SignedManifest, WireError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(verify))
    }

    /// As [`SignedManifest::verify`].
    pub fn verify(&self, bytes: &[u8]) -> Result<SignedManifest, WireError> {
        (self.0)(bytes)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// What was found lately, and what was found before that and not asked for since.
#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<u64, Finding>,
    old: BTreeMap<u64, Finding>,
}

impl Verified {
    /// A memory of at most twice `capacity` manifests, and of as many refusals.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, accepted: Generations::default(), refused: Generations::default() }
    }

    /// As [`SignedManifest::verify`], from memory where possible.
    pub fn verify(&mut self, bytes: &[u8]) -> Result<SignedManifest, WireError> {
        let hash = blake3::hash(bytes);
        for generations in [&mut self.accepted, &mut self.refused] {
            if let Some(outcome) = generations.recall(hash, self.capacity) {
                return outcome;
            }
        }
        let outcome = SignedManifest::verify(bytes);
        let generations = if outcome.is_ok() { &mut self.accepted } else { &mut self.refused };
        let finding = Finding { hash, outcome: outcome.clone() };
        generations.keep(finding, self.capacity);
        outcome
    }

    /// Remembers a manifest that was signed here.
    pub fn remember(&mut self, signed: &SignedManifest) {
        let finding = Finding { hash: blake3::hash(signed.bytes()), outcome: Ok(signed.clone()) };
        self.accepted.keep(finding, self.capacity);
    }
}

impl Generations {
    fn recall(&mut self, hash: blake3::Hash, capacity: usize) -> Option<Result<SignedManifest, WireError>> {
        let key = super::first_eight(&hash);
        if let Some(finding) = self.young.get(&key).filter(|finding| finding.hash == hash) {
            return Some(finding.outcome.clone());
        }
        let finding = self.old.remove(&key).filter(|finding| finding.hash == hash)?;
        let outcome = finding.outcome.clone();
        self.keep(finding, capacity);
        Some(outcome)
    }

    fn keep(&mut self, finding: Finding, capacity: usize) {
        if self.young.len() >= capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(super::first_eight(&finding.hash), finding);
    }
}
