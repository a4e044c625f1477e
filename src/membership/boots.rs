//! Looking for clones: whom this node challenges to learn its boot, and how two processes with one key hear of each other.

use std::net::SocketAddr;

use rand::Rng as _;

use super::clones::{Answer, Boot, Finding};
use super::{Destination, Membership, Output};
use crate::id::{IdHash, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::packet::{Ack, Ping};
use crate::wire::{Body, Fact, FactKind, Packet};

/// The peer of a link was alive at most this long before the link is said to be admitted.
const LINK_LAG: Duration = Duration::from_secs(1);

impl Membership {
    /// A link with a member was admitted, whichever side dialled it: its hello told the nonce of its boot.
    pub fn handle_admitted(&mut self, peer: NodeId, boot_nonce: u64, now: Instant) {
        let Some(member) = self.members.get(&peer.hash()) else { return };
        let boot = Boot { epoch: member.claim.version.epoch, nonce: boot_nonce };
        let answer = Answer { boot, addr: None, asked: now.before(LINK_LAG), answered: now };
        self.note_boot(peer.hash(), answer, now);
    }

    /// Somebody saw two boots of this node run at the same time.
    pub fn handle_cloned(&mut self, fact: &Fact) {
        let lower = Boot { epoch: fact.epoch, nonce: fact.by };
        let higher = Boot { epoch: fact.incarnation, nonce: fact.value };
        let own = Boot { epoch: self.version.epoch, nonce: self.boot_nonce };
        let other = match own.nonce {
            nonce if nonce == lower.nonce => higher,
            nonce if nonce == higher.nonce => lower,
            _ => return,
        };
        // Epochs only rise, so of two that compare what they are with what the other was, at most one gives way.
        let gives_way = own < other;
        if fact.subject != self.hash.0 || self.rival == Some(other.nonce) && !gives_way {
            return;
        }
        self.rival = Some(other.nonce);
        self.outputs.push_back(Output::Cloned { epoch: other.epoch, gives_way });
        if !gives_way {
            // What the other one published under the same versions must not stand in the way.
            let epoch = own.epoch.max(other.epoch);
            self.outputs.push_back(Output::EpochBehind { epoch, is_alive: false });
        }
    }

    /// Another process was seen to run with this node's key.
    pub const fn has_rival(&self) -> bool {
        self.rival.is_some()
    }

    /// A packet of a member came: it may answer a challenge, or come from where nobody expects that member.
    pub(super) fn look_for_clones(
        &mut self,
        packet: &Packet,
        from: IdHash,
        source: SocketAddr,
        now: Instant,
    ) {
        if let Some(Body::Ack(ack)) = &packet.body
            && ack.target == from.0
        {
            let boot = Boot { epoch: ack.target_epoch, nonce: ack.boot_nonce };
            if let Some(answer) = self.clones.take_challenge(ack.token, from, boot, now) {
                self.note_boot(from, answer, now);
                return;
            }
        }
        let published = self.members.get(&from).and_then(|member| member.addr);
        if published.is_some_and(|addr| addr != source) && self.clones.is_strange(from, source, now) {
            self.challenge_boot(from, source, now);
        }
    }

    /// A member answered a ping that was sent at `asked`.
    pub(super) fn note_ack(&mut self, from: IdHash, ack: Ack, asked: Instant, now: Instant) {
        let addr = self.members.get(&from).and_then(|member| member.addr);
        let boot = Boot { epoch: ack.target_epoch, nonce: ack.boot_nonce };
        self.note_boot(from, Answer { boot, addr, asked, answered: now }, now);
    }

    fn note_boot(&mut self, member: IdHash, answer: Answer, now: Instant) {
        match self.clones.handle_answer(member, answer) {
            None => {}
            Some(Finding::AskAgain(addr)) => self.challenge_boot(member, addr, now),
            Some(Finding::Clone { lower: (lower, at), higher: (higher, elsewhere) }) => {
                let fact = Fact {
                    subject: member.0,
                    epoch: lower.epoch,
                    incarnation: higher.epoch,
                    kind: FactKind::Cloned.into(),
                    by: lower.nonce,
                    value: higher.nonce,
                };
                for addr in [at, elsewhere].into_iter().flatten() {
                    self.outputs.push_back(Output::Tell {
                        to: Destination::Member { id: member, addr },
                        fact: fact.clone(),
                    });
                }
                if let Some(id) = self.members.get(&member).map(|member| member.id) {
                    let text = "two processes with its key answered, at the boots";
                    let text = format!("{text} {} and {}", lower.epoch, higher.epoch);
                    self.evidence(id, text, None);
                }
            }
        }
    }

    /// Pings an address that a member may have, whatever its epoch there.
    fn challenge_boot(&mut self, member: IdHash, addr: SocketAddr, now: Instant) {
        let token = self.rng.next_u64();
        if self.clones.handle_challenge(token, member, addr, now) {
            let next_turn_ms = self.promise(member, now);
            let ping = Ping { token, target: member.0, next_turn_ms, ..Ping::default() };
            self.send(Destination::Member { id: member, addr }, Some(Body::Ping(ping)));
        }
    }
}
