//! Manifests that were refused, by who offered them: the same teller is not asked for the same one again for a while.
//!
//! By the teller too, as anybody can offer rubbish under another one's name, and others may have the true one.

use std::collections::BTreeMap;

use crate::id::{IdHash, ManifestVersion};
use crate::time::{Duration, Instant};

/// A refusal counts for this long: a peer's manifest may have expired here and be renewed there.
const COUNTS_FOR: Duration = Duration::from_secs(600);

/// Refusals that are remembered.
const MAX_REFUSALS: usize = 1024;

/// What was refused of whom.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    refused: BTreeMap<(IdHash, IdHash), (ManifestVersion, Instant)>,
}

impl Refusals {
    pub(super) fn add(&mut self, teller: IdHash, subject: IdHash, version: ManifestVersion, now: Instant) {
        if self.refused.len() >= MAX_REFUSALS {
            self.refused.retain(|_, (_, at)| now.since(*at) < COUNTS_FOR);
        }
        if self.refused.len() < MAX_REFUSALS || self.refused.contains_key(&(teller, subject)) {
            self.refused.insert((teller, subject), (version, now));
        }
    }

    /// Whether `teller` has offered this manifest, or a later one, in vain.
    pub(super) fn has(
        &self,
        teller: IdHash,
        subject: IdHash,
        version: ManifestVersion,
        now: Instant,
    ) -> bool {
        self.refused
            .get(&(teller, subject))
            .is_some_and(|(refused, at)| version <= *refused && now.since(*at) < COUNTS_FOR)
    }
}
