//! When a member was first heard of and last heard, and how far away it is: kept for those of whom there is something
//! to keep.

use std::collections::BTreeMap;

use super::Members;
use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// What this node itself has seen of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When this node first heard of it.
    pub first: Instant,
    /// When this node last heard from it directly.
    pub last: Instant,
    /// The round trip last measured.
    pub rtt: Option<Duration>,
}

/// What was seen of those members of whom anything was.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    seen: BTreeMap<IdHash, Seen>,
}

impl Sightings {
    /// A member has been known since then, unless that is known already.
    pub(super) fn first(&mut self, hash: IdHash, at: Instant) {
        self.seen.entry(hash).or_insert(Seen { first: at, last: at, rtt: None });
    }

    pub(super) fn forget(&mut self, hash: IdHash) {
        self.seen.remove(&hash);
    }
}

impl Members {
    /// What was seen of a member.
    pub fn seen(&self, hash: IdHash) -> Option<Seen> {
        let known_since = self.others.get(hash)?.since.instant();
        let nothing = Seen { first: known_since, last: known_since, rtt: None };
        Some(self.seen.seen.get(&hash).copied().unwrap_or(nothing))
    }

    /// A member was heard.
    pub fn note_heard(&mut self, hash: IdHash, now: Instant) {
        let Some(slot) = self.others.get(hash) else { return };
        self.seen.first(hash, slot.since.instant());
        if let Some(seen) = self.seen.seen.get_mut(&hash) {
            seen.last = now;
        }
    }

    /// The round trip to a member was measured.
    pub fn note_rtt(&mut self, hash: IdHash, rtt: Duration, now: Instant) {
        self.note_heard(hash, now);
        if let Some(seen) = self.seen.seen.get_mut(&hash) {
            seen.rtt = Some(rtt);
        }
    }
}
