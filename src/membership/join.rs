//! Coming and going: finding the mesh through seeds and former peers, healing partitions, and leaving.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rand::{Rng as _, RngExt as _};

use super::timer::Timer;
use super::{Destination, Membership, Output};
use crate::id::{IdHash, NodeId};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::packet::{Join, JoinAck};
use crate::wire::{Body, Fact, FactKind};

/// Between two tries to join, at first and at most.
const JOIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_JOIN_INTERVAL: Duration = Duration::from_secs(15);

/// After this long without an answer somebody should know.
const UNANSWERED_AFTER: Duration = Duration::from_secs(10);

/// Former peers that each try asks besides the seeds.
const PEERS_PER_TRY: usize = 4;

/// Contacts of dead and seed addresses per second, of all members together.
const HEAL_RATE: f64 = 3.0;
const HEAL_INTERVAL: Duration = Duration::from_secs(1);

/// While nobody is dead or lost, seeds alone are asked, at this share of the rate.
const SEEDS_ALONE: f64 = 0.1;

/// Joins whose answers are still accepted.
const MAX_TOKENS: usize = 64;

/// How often, how far apart, and to how many members a leave is told directly; the rest hear it from them.
const LEAVE_ROUNDS: u32 = 3;
const LEAVE_INTERVAL: Duration = Duration::from_millis(100);
const LEAVE_FANOUT: usize = 32;

/// Addresses without a living member are asked for this long: from their death on, or from this boot on.
const FORMER_FOR: Duration = Duration::from_secs(72 * 3600);

/// Addresses without a living member that are kept.
const MAX_FORMER: usize = 1024;

/// An address where a member was, and until when it is worth asking there.
#[derive(Debug, Clone, Copy)]
struct Former {
    addr: SocketAddr,
    until: Instant,
}

/// The way into the mesh.
#[derive(Debug)]
pub(super) struct Joining {
    seeds: usize,
    former: Vec<Former>,
    tokens: Vec<u64>,
    interval: Duration,
    pub(super) met: bool,
}

impl Joining {
    pub(super) fn new(seeds: usize, peers: Vec<SocketAddr>, now: Instant) -> Self {
        let former = |addr| Former { addr, until: now + FORMER_FOR };
        let former = peers.into_iter().take(MAX_FORMER).map(former).collect();
        Self { seeds, former, tokens: Vec::new(), interval: JOIN_INTERVAL, met: false }
    }

    /// The tombstone of a member is deleted, `age` after its death; its address is asked for some time still.
    pub(super) fn remember(&mut self, addr: SocketAddr, age: Duration, now: Instant) {
        self.former.retain(|former| former.addr != addr && former.until > now);
        if self.former.len() < MAX_FORMER {
            self.former.push(Former { addr, until: now + FORMER_FOR.saturating_sub(age) });
        }
    }
}

impl Membership {
    /// Whether this node was told of others: without seeds and former peers it is the first of its mesh.
    pub const fn has_contacts(&self) -> bool {
        self.joining.seeds > 0 || !self.joining.former.is_empty()
    }

    /// Addresses where members were that nobody living has now.
    pub fn former_addresses(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        let mut live = BTreeSet::new();
        if !self.joining.former.is_empty() {
            live.extend(self.members.values().filter_map(|member| member.addr));
        }
        let former = self.joining.former.iter().filter(move |former| former.until > now);
        former.map(|former| former.addr).filter(move |addr| !live.contains(addr))
    }

    /// Tells everyone that this node leaves; `Output::Left` says when that is done.
    pub fn leave(&mut self, now: Instant) {
        if self.leaving.is_none() {
            self.leaving = Some(LEAVE_ROUNDS);
            self.timers.stop(Timer::Join);
            self.timers.stop(Timer::Heal);
            self.outputs.push_back(Output::Changed(self.hash));
            self.dissemination.add(Fact::about(self.hash, self.version, FactKind::Left));
            self.continue_leave(now);
        }
    }

    pub(super) fn start_joining(&mut self, now: Instant) {
        if self.has_contacts() {
            self.timers.set(Timer::Join, now);
            self.timers.set(Timer::Unanswered, now + UNANSWERED_AFTER);
        }
        self.timers.set(Timer::Heal, now + HEAL_INTERVAL);
    }

    pub(super) fn join(&mut self, now: Instant) {
        if self.joining.met {
            return;
        }
        for seed in 0..self.joining.seeds {
            self.send_join(Destination::Seed(seed));
        }
        let former = &self.joining.former;
        let start = if former.is_empty() { 0 } else { self.rng.random_range(0..former.len()) };
        let asked = former.iter().cycle().skip(start).take(PEERS_PER_TRY.min(former.len()));
        let asked: Vec<SocketAddr> = asked.map(|former| former.addr).collect();
        for addr in asked {
            self.send_join(Destination::Address(addr));
        }
        let interval = self.joining.interval;
        self.joining.interval = (interval * 3 / 2).min(MAX_JOIN_INTERVAL);
        self.timers.set(Timer::Join, now + interval.mul_f64(self.rng.random_range(0.8..1.2)));
    }

    /// At a rate that does not grow with the mesh, somebody asks a dead or a seed address: so partitions heal.
    pub(super) fn heal(&mut self, now: Instant) {
        self.timers.set(Timer::Heal, now + HEAL_INTERVAL);
        #[expect(clippy::cast_precision_loss, reason = "a count of members is far below 2^52")]
        let chance = HEAL_RATE / self.live_count() as f64;
        if !self.joining.met || self.rng.random_range(0.0..1.0) >= chance {
            return;
        }
        let dead = self.members.tombstones().filter(|member| member.claim.status == Status::Dead);
        let dead: Vec<SocketAddr> = dead.filter_map(|member| member.addr).collect();
        let lost: Vec<SocketAddr> = self.former_addresses(now).collect();
        let candidates = dead.len() + lost.len() + self.joining.seeds;
        let is_whole = dead.is_empty() && lost.is_empty();
        if candidates == 0 || is_whole && self.rng.random_range(0.0..1.0) >= SEEDS_ALONE {
            return;
        }
        let drawn = self.rng.random_range(0..candidates);
        let to = match dead.iter().chain(&lost).nth(drawn) {
            Some(addr) => Destination::Address(*addr),
            None => Destination::Seed(drawn - dead.len() - lost.len()),
        };
        self.send_join(to);
    }

    pub(super) fn handle_join(&mut self, join: &Join, sender: Destination) {
        if self.leaving.is_some() {
            return;
        }
        let id = self.id.public_key().to_vec();
        self.send(sender, Some(Body::JoinAck(JoinAck { id, token: join.token, root: 0 })));
    }

    pub(super) fn handle_join_ack(&mut self, ack: &JoinAck, from: IdHash, source: SocketAddr, now: Instant) {
        let Ok(key) = <[u8; 32]>::try_from(ack.id.as_slice()) else { return };
        let id = NodeId::from_public_key(key);
        if id.hash() != from || !self.joining.tokens.contains(&ack.token) {
            return;
        }
        self.timers.stop(Timer::Unanswered);
        self.outputs.push_back(Output::Contact { id, addr: source, root: ack.root });
        if self.joining.met {
            return;
        }
        // Until a manifest was exchanged nobody was met; the next try comes if that fails.
        self.timers.set(Timer::Join, now + MAX_JOIN_INTERVAL / 3);
    }

    pub(super) fn continue_leave(&mut self, now: Instant) {
        match self.leaving {
            None => {}
            Some(0) => self.outputs.push_back(Output::Left),
            Some(rounds) => {
                self.leaving = Some(rounds - 1);
                for id in self.sample(LEAVE_FANOUT, |_| true) {
                    self.send_to_member(id, None);
                }
                self.timers.set(Timer::Leave, now + LEAVE_INTERVAL);
            }
        }
    }

    fn send_join(&mut self, to: Destination) {
        let token = self.rng.next_u64();
        if self.joining.tokens.len() == MAX_TOKENS {
            self.joining.tokens.remove(0);
        }
        self.joining.tokens.push(token);
        let id = self.id.public_key().to_vec();
        self.send(to, Some(Body::Join(Join { id, token, root: 0 })));
    }
}
