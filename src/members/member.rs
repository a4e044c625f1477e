//! A member as this node sees it, and the one rule that orders what is said about it.

use std::net::SocketAddr;

use super::ticks::Ticks;
use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::link::EntryState;

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

/// A member as this node sees it.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Its short name on the wire.
    pub hash: IdHash,
    /// What is held about it.
    pub claim: Claim,
    /// Where it is reached.
    pub addr: Option<SocketAddr>,
    /// Since when the status is held: here, or where it was learned, as a tombstone travels with its age.
    pub(super) since: Ticks,
}

impl Member {
    /// A member that has just become known.
    pub fn new(id: NodeId, claim: Claim, addr: Option<SocketAddr>, now: Instant) -> Self {
        Self { id, hash: id.hash(), claim, addr, since: Ticks::at(now, Duration::ZERO) }
    }

    /// Alive or suspect.
    pub const fn is_live(&self) -> bool {
        self.claim.status.is_live()
    }

    /// How long the status has been held, here and where it was learned.
    pub fn age(&self, now: Instant) -> Duration {
        self.since.age(now)
    }

    /// Its state, as digests and records say it.
    pub const fn state(&self) -> EntryState {
        match self.claim.status {
            Status::Alive | Status::Suspect => EntryState::Alive,
            Status::Dead => EntryState::Dead,
            Status::Left => EntryState::Left,
        }
    }

    /// Others have held the same status for longer, and so it is from now on here. True when that was news.
    pub fn grow_older(&mut self, age: Duration, now: Instant) -> bool {
        let is_older = !self.is_live() && age > self.age(now);
        if is_older {
            self.since = Ticks::at(now, age);
        }
        is_older
    }

    /// Holds another claim; a status that is new here is `age` old.
    pub fn hold(&mut self, claim: Claim, age: Duration, now: Instant) {
        if claim.status != self.claim.status {
            self.since = Ticks::at(now, age);
        }
        self.claim = claim;
    }
}
