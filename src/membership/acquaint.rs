//! Members that have known each other for long: how a simulation begins after the bootstrap.

use std::net::SocketAddr;

use super::dissemination::Dissemination;
use super::{Claim, MAX_MEMBERS, Member, Membership, shuffle};
use crate::id::{NodeId, Version};
use crate::time::Instant;
use crate::view::Status;

impl Membership {
    /// Holds these members alive, each at this epoch and address. Nobody is told: all know it.
    pub fn acquaint(
        &mut self,
        members: impl Iterator<Item = (NodeId, u64, Option<SocketAddr>)>,
        now: Instant,
    ) {
        for (id, epoch, addr) in members {
            let hash = id.hash();
            if hash == self.hash || self.members.contains_key(&hash) || self.members.len() >= MAX_MEMBERS {
                continue;
            }
            let claim = Claim { version: Version { epoch, incarnation: 0 }, status: Status::Alive };
            self.members.insert(hash, Member::new(id, claim, addr, now));
            self.order.push(hash);
        }
        shuffle(&mut self.order, &mut self.rng);
        self.next = 0;
        self.turns.begin();
        self.joining.met = true;
        self.dissemination = Dissemination::default();
        self.turns.begin();
        if self.may_accuse {
            self.refresh_watchers(now);
        }
    }
}
