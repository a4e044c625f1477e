//! Membership: who is in the mesh and who lives, by SWIM with Lifeguard.
//!
//! SWIM (Das, Gupta, Motivala, DSN 2002): each period one member is pinged, in shuffled round-robin order; when it
//! does not answer, others are asked to ping it; when that fails too it is suspected, and dead when it does not
//! refute in time. Lifeguard (Dadgar, Phillips, Currey, 2017): local health awareness, dynamic suspicion timeouts,
//! and a suspected member is told first. Facts ride on every datagram, and new ones are told at once.
//!
//! This machine does not know manifests, digests or links: it is told of verified identities (`introduce`), and says
//! which ones it wants (`Output::Wanted`).

mod awareness;
mod claims;
mod dissemination;
mod join;
mod member;
mod output;
mod rounds;
mod suspicion;
mod timer;

#[cfg(test)]
mod tests;

pub use member::{Claim, MAX_INCARNATION_JUMP, Member};
pub use output::{Destination, Output};

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant, earliest};
use crate::view::Status;
use crate::wire::{Body, Fact, FactKind};
use awareness::Awareness;
use dissemination::Dissemination;
use join::Joining;
use rounds::{Relay, Round};
use suspicion::Suspicion;
use timer::{Timer, Timers};

/// The protocol period (SWIM's T').
pub const PERIOD: Duration = Duration::from_secs(1);

/// Tombstones leave the digest at this age, and are refused in sync beyond it.
pub const TOMBSTONE_FADES: Duration = Duration::from_secs(12 * 3600);

/// Tombstones are deleted at this age.
pub const TOMBSTONE_ENDS: Duration = Duration::from_secs(24 * 3600);

/// The most members, tombstones included, that a node keeps.
pub const MAX_MEMBERS: usize = 65_536;

/// A newly learned fact waits at most this long for its datagram; then facts go out at this rate.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(200);

/// Members that each gossip datagram goes to.
const GOSSIP_FANOUT: usize = 3;

/// Between two looks through the tombstones.
const REAP_INTERVAL: Duration = Duration::from_secs(60);

/// Notices of death that are sent per second, so that two histories that meet cannot flood each other.
const MAX_NOTICES_PER_SECOND: u32 = 20;

/// The membership machine of one node.
#[derive(Debug)]
pub struct Membership {
    id: NodeId,
    hash: IdHash,
    version: Version,
    boot_nonce: u64,
    rng: ChaCha8Rng,
    members: BTreeMap<IdHash, Member>,
    /// The live members except this node, shuffled; `next` is the one to be pinged.
    order: Vec<IdHash>,
    next: usize,
    /// The largest mesh that anybody told of lately: a fresh joiner must not tell its facts too rarely.
    advertised: u32,
    may_accuse: bool,
    round: Option<Round>,
    relays: BTreeMap<u64, Relay>,
    suspicions: BTreeMap<IdHash, Suspicion>,
    awareness: Awareness,
    dissemination: Dissemination,
    last_gossip: Instant,
    notices: (Instant, u32),
    joining: Joining,
    /// Datagrams of a leave that are still to come; `None` while the node stays.
    leaving: Option<u32>,
    timers: Timers,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// A mesh of one, which starts to join through its seeds and former peers.
    pub fn new(
        id: NodeId,
        version: Version,
        boot_nonce: u64,
        seeds: usize,
        peers: Vec<SocketAddr>,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut membership = Self {
            id,
            hash: id.hash(),
            version,
            boot_nonce,
            rng: ChaCha8Rng::from_seed(seed),
            members: BTreeMap::new(),
            order: Vec::new(),
            next: 0,
            advertised: 1,
            may_accuse: false,
            round: None,
            relays: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            awareness: Awareness::default(),
            dissemination: Dissemination::default(),
            last_gossip: now,
            notices: (now, 0),
            joining: Joining::new(seeds, peers, now),
            leaving: None,
            timers: Timers::default(),
            outputs: VecDeque::new(),
        };
        membership.timers.set(Timer::Period, now);
        membership.timers.set(Timer::Reap, now + REAP_INTERVAL);
        membership.start_joining(now);
        membership
    }

    /// This node's version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The other members that are known, tombstones included.
    pub fn members(&self) -> impl Iterator<Item = (&IdHash, &Member)> {
        self.members.iter()
    }

    /// One other member.
    pub fn member(&self, hash: IdHash) -> Option<&Member> {
        self.members.get(&hash)
    }

    /// Members that are alive or suspect, this node included.
    pub fn live_count(&self) -> usize {
        self.order.len() + 1
    }

    /// The live members except this node, in no particular order.
    pub fn live(&self) -> &[IdHash] {
        &self.order
    }

    /// Whether anybody was ever met in this boot.
    pub const fn met_anybody(&self) -> bool {
        self.joining.met
    }

    /// Facts that wait to be told, for bounds and metrics.
    pub fn facts_waiting(&self) -> usize {
        self.dissemination.len()
    }

    /// The local health score: 0 is well, 8 is worst.
    pub const fn health_score(&self) -> u32 {
        self.awareness.score()
    }

    /// Past its startup gate the node may accuse; before, it only looks around, faster.
    pub fn allow_accusations(&mut self) {
        self.may_accuse = true;
    }

    /// The node took a higher epoch, because the mesh knew one.
    pub fn raise_epoch(&mut self, epoch: u64, now: Instant) {
        self.version = Version { epoch, incarnation: 0 };
        self.disseminate(Fact::about(self.hash, self.version, FactKind::Alive), now);
    }

    /// Tells everyone a fact. A node that does not know its mesh yet does not tell it of its members.
    pub fn disseminate(&mut self, fact: Fact, now: Instant) {
        let is_introduction = matches!(fact.kind(), FactKind::Joined | FactKind::Manifest);
        if is_introduction && !self.may_accuse && fact.subject != self.hash.0 {
            return;
        }
        self.dissemination.add(fact);
        self.schedule_gossip(now);
    }

    /// The facts for a datagram to `to`, of at most `budget` packed bytes: first what it must know about itself.
    pub fn facts_for(&mut self, to: Option<IdHash>, budget: usize) -> Vec<Fact> {
        let mut facts: Vec<Fact> = to.and_then(|to| self.accusation(to)).into_iter().collect();
        if self.leaving.is_some() {
            facts.push(Fact::about(self.hash, self.version, FactKind::Left));
        }
        let used: usize = facts.iter().map(Fact::packed_len).sum();
        let members = self.live_count().max(self.advertised as usize);
        let limit = dissemination::retransmit_limit(members);
        facts.extend(self.dissemination.fill(budget.saturating_sub(used), limit));
        facts
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_expired(now) {
            match timer {
                Timer::Period => self.begin_period(now),
                Timer::Direct => self.ask_others(),
                Timer::Round => self.end_round(now),
                Timer::Gossip => self.gossip(now),
                Timer::Join => self.join(now),
                Timer::Unanswered if self.joining.met => {}
                Timer::Unanswered => self.outputs.push_back(Output::Unanswered),
                Timer::Heal => self.heal(now),
                Timer::Leave => self.continue_leave(now),
                Timer::Reap => self.reap(now),
            }
        }
        self.expire_relays(now);
        self.expire_suspicions(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let relays = self.relays.values().map(Relay::deadline).min();
        let suspicions = self.suspicions.values().map(Suspicion::deadline).min();
        earliest(self.timers.earliest(), earliest(relays, suspicions))
    }

    fn schedule_gossip(&mut self, now: Instant) {
        if self.dissemination.is_urgent() && !self.order.is_empty() && self.timers.at(Timer::Gossip).is_none()
        {
            let spread = Duration::from_micros(self.rng.random_range(0..10_000));
            self.timers.set(Timer::Gossip, (self.last_gossip + GOSSIP_INTERVAL).max(now + spread));
        }
    }

    fn gossip(&mut self, now: Instant) {
        self.last_gossip = now;
        // Each copy of a fact counts, so those who may be gone get theirs only when nobody else is there.
        let mut chosen = self.sample(GOSSIP_FANOUT, |member| member.claim.status == Status::Alive);
        if chosen.is_empty() {
            chosen = self.sample(GOSSIP_FANOUT, |_| true);
        }
        for id in chosen {
            self.send_to_member(id, None);
        }
        self.schedule_gossip(now);
    }

    /// At most `count` distinct live members that are wanted, drawn at random.
    fn sample(&mut self, count: usize, wanted: impl Fn(&Member) -> bool) -> Vec<IdHash> {
        let mut drawn = Vec::with_capacity(count);
        if self.order.len() <= count * 4 {
            let mut all = self.order.clone();
            shuffle(&mut all, &mut self.rng);
            drawn.extend(all.into_iter().filter(|id| self.members.get(id).is_some_and(&wanted)).take(count));
            return drawn;
        }
        for _ in 0..count * 8 {
            let id = self.order[self.rng.random_range(0..self.order.len())];
            if !drawn.contains(&id) && self.members.get(&id).is_some_and(&wanted) {
                drawn.push(id);
                if drawn.len() == count {
                    break;
                }
            }
        }
        drawn
    }

    fn send_to_member(&mut self, id: IdHash, body: Option<Body>) {
        if let Some(addr) = self.members.get(&id).and_then(|member| member.addr) {
            self.send(Destination::Member { id, addr }, body);
        }
    }

    fn send(&mut self, to: Destination, body: Option<Body>) {
        self.outputs.push_back(Output::Send { to, body });
    }

    fn evidence(&mut self, subject: NodeId, text: String, by: Option<IdHash>) {
        self.outputs.push_back(Output::Evidence { subject, text: text.into(), by });
    }

    fn reap(&mut self, now: Instant) {
        self.timers.set(Timer::Reap, now + REAP_INTERVAL);
        let old: Vec<(IdHash, Duration)> = self
            .members
            .iter()
            .filter(|(_, member)| !member.is_live())
            .map(|(hash, member)| (*hash, member.age(now)))
            .filter(|(_, age)| *age >= TOMBSTONE_FADES)
            .collect();
        for (hash, age) in old {
            if age >= TOMBSTONE_ENDS {
                self.bury(hash, age, now);
            }
            self.outputs.push_back(Output::Changed(hash));
        }
    }

    /// Deletes a tombstone. Where a dead member was, somebody may come back; one that left is not waited for.
    fn bury(&mut self, hash: IdHash, age: Duration, now: Instant) {
        let Some(member) = self.members.remove(&hash) else { return };
        if let Some(addr) = member.addr.filter(|_| member.claim.status == Status::Dead) {
            self.joining.remember(addr, age, now);
        }
    }
}

/// Fisher and Yates, here because the core draws from its own generator only.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

/// What a status is called in a fact.
const fn kind_of(status: Status) -> FactKind {
    match status {
        Status::Alive => FactKind::Alive,
        Status::Suspect => FactKind::Suspect,
        Status::Dead => FactKind::Dead,
        Status::Left => FactKind::Left,
    }
}
