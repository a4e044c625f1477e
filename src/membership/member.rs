//! A member as this node sees it, and the one rule that orders what is said about it.

use std::net::SocketAddr;

use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant};
use crate::view::Status;

/// Something said about a member's liveness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// At which version of the member.
    pub version: Version,
    /// What is said.
    pub status: Status,
}

impl Claim {
    /// The whole precedence rule: the higher version wins; at the same version
    /// alive < suspect < dead < left (SWIM, section 4.2, with `left` and with epochs).
    pub fn supersedes(self, held: Self) -> bool {
        (self.version, self.status) > (held.version, held.status)
    }
}

/// An incarnation may rise by at most this much at once, so that a forged one cannot pin a member for ever.
pub const MAX_INCARNATION_JUMP: u64 = 1000;

/// A member as this node sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// What is held about it.
    pub claim: Claim,
    /// Where it is reached.
    pub addr: Option<SocketAddr>,
    /// The round trip last measured.
    pub rtt: Option<Duration>,
    /// When this node first heard of it.
    pub first_seen: Instant,
    /// When this node last heard from it directly.
    pub last_heard: Instant,
    /// Since when the status is held.
    since: Instant,
    /// How old the status was already when it was learned: a tombstone travels with its age.
    age_when_learned: Duration,
}

impl Member {
    pub(super) const fn new(id: NodeId, claim: Claim, addr: Option<SocketAddr>, now: Instant) -> Self {
        Self {
            id,
            claim,
            addr,
            rtt: None,
            first_seen: now,
            last_heard: now,
            since: now,
            age_when_learned: Duration::ZERO,
        }
    }

    /// Its short name on the wire.
    pub fn hash(&self) -> IdHash {
        self.id.hash()
    }

    /// Alive or suspect.
    pub const fn is_live(&self) -> bool {
        self.claim.status.is_live()
    }

    /// How long the status has been held, here and where it was learned.
    pub fn age(&self, now: Instant) -> Duration {
        self.age_when_learned.saturating_add(now.since(self.since))
    }

    /// Others have held the same status for longer, and so it is from now on here. True when that was news.
    pub(super) fn grow_older(&mut self, age: Duration, now: Instant) -> bool {
        let is_older = !self.is_live() && age > self.age(now);
        if is_older {
            (self.since, self.age_when_learned) = (now, age);
        }
        is_older
    }

    pub(super) fn hold(&mut self, claim: Claim, age: Duration, now: Instant) {
        if claim.status != self.claim.status {
            self.since = now;
            self.age_when_learned = age;
        }
        self.claim = claim;
    }
}
