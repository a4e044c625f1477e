//! The startup gate: a node accuses nobody, does not lead and is not ready before it knows its mesh.
//!
//! Otherwise an island of one would take itself for the cluster. A first node, which was told of nobody, passes at once.

use std::collections::BTreeSet;

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// Peers whose digest must match, unless there are fewer.
const MATCHES: usize = 3;

/// Matches count until the mesh turns out to be larger than it was then by one part in this many.
const GROWTH: usize = 8;

/// A node that nobody answers passes after this long.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// Between two looks at a closed gate; matches are looked at as they come.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the node knows its mesh.
#[derive(Debug)]
pub(super) struct Gate {
    matched: BTreeSet<IdHash>,
    /// The other members that were known when the first of these matches was seen.
    others_then: usize,
    began: Instant,
    /// When to look again; `None` once it has passed.
    look_at: Option<Instant>,
    has_contacts: bool,
}

impl Gate {
    pub(super) fn new(has_contacts: bool, now: Instant) -> Self {
        Self { matched: BTreeSet::new(), others_then: 0, began: now, look_at: Some(now), has_contacts }
    }

    pub(super) const fn is_passed(&self) -> bool {
        self.look_at.is_none()
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    /// A peer holds the same as this node.
    pub(super) fn note_match(&mut self, peer: IdHash) {
        if !self.is_passed() {
            self.matched.insert(peer);
        }
    }

    /// Opens the gate when its condition holds, `others` live members being known. True when it opens now.
    pub(super) fn try_pass(&mut self, others: usize, now: Instant) -> bool {
        if self.is_passed() {
            return false;
        }
        // When all start at once, those who match early know only the few who were there by then.
        if self.matched.is_empty() || others > self.others_then + self.others_then / GROWTH {
            self.others_then = others;
            self.matched.clear();
        }
        let waited = now.since(self.began);
        let is_known = others > 0 && self.matched.len() >= others.min(MATCHES);
        let is_alone = others == 0 && (!self.has_contacts || waited >= ALONE_AFTER);
        // A mesh in turmoil, whose digests never settle, must not keep a node out for ever.
        let is_late = waited >= ALONE_AFTER * 2;
        let passes = is_known || is_alone || is_late;
        self.look_at = (!passes).then(|| now + LOOK_INTERVAL);
        passes
    }
}
