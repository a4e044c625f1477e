//! What this node holds of one member right now, and what it waits for: the live part of `why`.

use super::{Claim, Membership, TOMBSTONE_ENDS, TOMBSTONE_FADES, watchers};
use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::wire::packet::Seen;

/// What a node waits for, about one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// The next step of a private accusation.
    Accusation,
    /// The suspicion is a death unless it is refuted before.
    Suspicion,
    /// Its next turn to ping this node is missed from then on.
    Turn,
    /// That it is unroutable counts no more.
    Unroutable,
    /// Its tombstone leaves the digest.
    TombstoneFades,
    /// Its tombstone is deleted.
    TombstoneEnds,
    /// It is damped, and comes back: its penalty is looked at again.
    Damping,
}

impl Waiting {
    /// The name used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accusation => "accusation",
            Self::Suspicion => "suspicion",
            Self::Turn => "turn",
            Self::Unroutable => "unroutable",
            Self::TombstoneFades => "tombstone_fades",
            Self::TombstoneEnds => "tombstone_ends",
            Self::Damping => "damping",
        }
    }
}

/// What a node holds of one member, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry<Id> {
    /// What is held.
    pub claim: Claim,
    /// For how long, here and where it was learned.
    pub held_for: Duration,
    /// Who suspects it; empty unless it is suspect.
    pub accusers: Vec<Id>,
    /// Who watches it, as this node sees it; empty unless it lives.
    pub watchers: Vec<Id>,
    /// Whom this node asked about it in private, and what they saw; `None` while they say nothing.
    pub witnesses: Vec<(Id, Option<Seen>)>,
    /// What this node waits for, and until when.
    pub timers: Vec<(Waiting, Instant)>,
}

impl Membership {
    /// What is held of another member; `None` when nothing is.
    pub fn inquiry(&self, subject: IdHash, now: Instant) -> Option<Inquiry<IdHash>> {
        let member = self.members.get(&subject)?;
        let (suspicion, accusation) = (self.suspicions.get(&subject), self.accusations.get(&subject));
        let held_for = member.age(now);
        let ends = |at: Duration| (!member.is_live()).then(|| now + at.saturating_sub(held_for));
        let timers = [
            (Waiting::Accusation, accusation.map(super::Accusation::due)),
            (Waiting::Suspicion, suspicion.map(super::Suspicion::deadline)),
            (Waiting::Turn, self.watching.get(&subject).map(super::turns::Watched::due)),
            (Waiting::Unroutable, self.routes.until(subject)),
            (Waiting::TombstoneFades, ends(TOMBSTONE_FADES).filter(|at| *at > now)),
            (Waiting::TombstoneEnds, ends(TOMBSTONE_ENDS)),
        ];
        let has_watchers = member.is_live() && self.detector.has_witnesses();
        let watchers = if has_watchers { watchers::of(subject, &self.others_and_self()) } else { Vec::new() };
        Some(Inquiry {
            claim: member.claim,
            held_for,
            accusers: suspicion.map(|suspicion| suspicion.accusers().to_vec()).unwrap_or_default(),
            watchers,
            witnesses: accusation.map(|accusation| accusation.seen().collect()).unwrap_or_default(),
            timers: timers.into_iter().filter_map(|(waiting, at)| Some((waiting, at?))).collect(),
        })
    }

    /// What this node waits for, about itself.
    pub fn own_timers(&self) -> Vec<(Waiting, Instant)> {
        let comes_back = self.damping.poll_timeout().filter(|_| self.flapping().is_damped);
        comes_back.map(|at| (Waiting::Damping, at)).into_iter().collect()
    }

    /// Who watches this node.
    pub fn own_watchers(&self) -> Vec<IdHash> {
        if self.detector.has_witnesses() { watchers::of(self.hash, &self.order) } else { Vec::new() }
    }
}
