//! Membership: who is in the mesh and who lives, by SWIM with Lifeguard.
//!
//! SWIM (Das, Gupta, Motivala, DSN 2002): each period one member is pinged, in shuffled round-robin order; when it
//! does not answer, others are asked to ping it; when that fails too it is suspected, and dead when it does not
//! refute in time. Lifeguard (Dadgar, Phillips, Currey, 2017): local health awareness, dynamic suspicion timeouts,
//! and a suspected member is told first. Facts ride on every datagram, and new ones are told at once.
//!
//! On top of that, members have eight watchers each, whom they ping by turns; a suspicion is private until witnesses
//! agree (see `turns`, `accusing`, `witness`, `hard`).
//!
//! This machine does not know manifests, digests or links: it is told of verified identities (`introduce`), and says
//! which ones it wants (`Output::Wanted`).

mod accusation;
mod accusing;
mod acquaint;
mod awareness;
mod boots;
mod budget;
mod challenges;
mod claims;
mod clones;
mod damping;
mod detector;
mod dissemination;
mod hard;
mod inquiry;
mod isolation;
mod join;
mod look;
mod manifests;
mod output;
mod pauses;
mod refutation;
mod relays;
mod rounds;
mod routes;
mod rtt;
mod spreading;
mod suspicion;
mod timer;
mod tombstones;
mod turns;
mod watchers;
mod witness;

#[cfg(test)]
mod tests;

pub use crate::members::{Claim, Member, Members};
pub use damping::Flapping;
pub use detector::Detector;
pub use inquiry::{Inquiry, Waiting};
pub use output::{ConnectOutcome, Destination, LinkAnswer, Output};

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant, earliest};
use crate::view::Status;
use crate::wire::{Body, Fact, FactKind};
use accusation::Accusation;
use awareness::Awareness;
use budget::Budget;
use challenges::Challenges;
use clones::Clones;
use damping::Damping;
use dissemination::Dissemination;
use hard::Endings;
use isolation::Isolation;
use join::Joining;
use look::Look;
use relays::{Relay, Relays};
use rounds::Round;
use routes::Routes;
use rtt::RoundTrips;
use suspicion::Suspicion;
use timer::{Timer, Timers};
use turns::{Turns, Watching};

/// The protocol period (SWIM's T').
pub const PERIOD: Duration = Duration::from_secs(1);

/// Tombstones leave the digest at this age, and are refused in sync beyond it.
pub const TOMBSTONE_FADES: Duration = Duration::from_secs(12 * 3600);

/// Tombstones are deleted at this age.
pub const TOMBSTONE_ENDS: Duration = Duration::from_secs(24 * 3600);

/// An incarnation may rise by at most this much at once, so that a forged one cannot pin a member for ever.
pub const MAX_INCARNATION_JUMP: u64 = 1000;

/// The most members, tombstones included, that a node keeps.
pub const MAX_MEMBERS: usize = 65_536;

/// Notices of death that are sent per second, so that two histories that meet cannot flood each other.
const MAX_NOTICES_PER_SECOND: u32 = 20;

/// What a node's membership begins with.
#[derive(Debug)]
pub struct Start {
    /// The name of the cluster.
    pub cluster: String,
    /// The node.
    pub id: NodeId,
    /// Its version.
    pub version: Version,
    /// Random; drawn at each boot.
    pub boot_nonce: u64,
    /// Where others reach it, if that is known.
    pub addr: Option<SocketAddr>,
    /// How many seeds are configured.
    pub seeds: usize,
    /// Addresses of members of earlier boots.
    pub peers: Vec<SocketAddr>,
    /// How deaths are found.
    pub detector: Detector,
    /// Seeds the generator.
    pub seed: [u8; 32],
}

/// The membership machine of one node.
#[derive(Debug)]
pub struct Membership {
    id: NodeId,
    hash: IdHash,
    version: Version,
    boot_nonce: u64,
    rng: ChaCha8Rng,
    members: Members,
    /// The live members except this node, shuffled; `next` is the one to be pinged.
    order: Vec<IdHash>,
    next: usize,
    /// The largest mesh that anybody told of lately: a fresh joiner must not tell its facts too rarely.
    advertised: u32,
    detector: Detector,
    addr: Option<SocketAddr>,
    may_accuse: bool,
    /// After a pause of this node, until it knows the mesh again.
    holds_accusations: bool,
    rounds: BTreeMap<u64, Round>,
    relays: Relays,
    challenges: Challenges,
    round_trips: RoundTrips,
    turns: Turns,
    watching: Watching,
    looks: BTreeMap<IdHash, Look>,
    accusations: BTreeMap<IdHash, Accusation>,
    /// Witnesses that said nothing lately, until when they are not asked.
    mute: BTreeMap<IdHash, Instant>,
    endings: Endings,
    second_looks: Vec<(Instant, IdHash)>,
    isolation: Isolation,
    is_isolated: bool,
    routes: Routes,
    /// When anybody was heard last.
    last_received: Instant,
    suspicions: BTreeMap<IdHash, Suspicion>,
    awareness: Awareness,
    budget: Budget,
    clones: Clones,
    /// The boot nonce of another process that runs with this node's key.
    rival: Option<u64>,
    damping: Damping,
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
    pub fn new(start: Start, now: Instant) -> Self {
        let Start { cluster, id, version, boot_nonce, addr, seeds, peers, detector, seed } = start;
        let mut membership = Self {
            id,
            hash: id.hash(),
            version,
            boot_nonce,
            rng: ChaCha8Rng::from_seed(seed),
            members: Members::new(&cluster),
            order: Vec::new(),
            next: 0,
            advertised: 1,
            detector,
            addr,
            may_accuse: false,
            holds_accusations: false,
            rounds: BTreeMap::new(),
            relays: Relays::new(),
            challenges: Challenges::default(),
            round_trips: RoundTrips::default(),
            turns: Turns::default(),
            watching: Watching::new(),
            looks: BTreeMap::new(),
            accusations: BTreeMap::new(),
            mute: BTreeMap::new(),
            endings: Endings::new(),
            second_looks: Vec::new(),
            isolation: Isolation::default(),
            is_isolated: false,
            routes: Routes::default(),
            last_received: now,
            suspicions: BTreeMap::new(),
            awareness: Awareness::new(detector.has_local_health()),
            budget: Budget::new(now),
            clones: Clones::default(),
            rival: None,
            damping: Damping::new(now),
            dissemination: Dissemination::default(),
            last_gossip: now,
            notices: (now, 0),
            joining: Joining::new(seeds, peers, now),
            leaving: None,
            timers: Timers::default(),
            outputs: VecDeque::new(),
        };
        membership.timers.set(Timer::Period, now);
        membership.timers.set(Timer::Reap, now + tombstones::REAP_INTERVAL);
        membership.start_joining(now);
        membership
    }

    /// This node's version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What is held of everybody.
    pub const fn members(&self) -> &Members {
        &self.members
    }

    /// One other member.
    pub fn member(&self, hash: IdHash) -> Option<Member> {
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
    pub fn allow_accusations(&mut self, now: Instant) {
        self.may_accuse = true;
        self.rounds.clear();
        if self.detector.has_witnesses() {
            let first = now + self.drawn_within(turns::TURN);
            self.timers.set(Timer::Turn, first);
            self.begin_watching(now);
        }
    }

    /// Where others reach this node.
    pub const fn set_address(&mut self, addr: SocketAddr) {
        self.addr = Some(addr);
    }

    /// Whether the mesh holds a member unroutable.
    pub fn is_unroutable(&self, member: IdHash) -> bool {
        self.routes.is_unroutable(member)
    }

    /// Whether the node is on its way out.
    pub const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether this node doubts itself, because most of what it looks at is silent.
    pub const fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// Whether nobody is accused for now, as this node stood still and may be wrong about everybody.
    pub const fn hold_accusations(&mut self, holds: bool) {
        self.holds_accusations = holds;
    }

    /// The node took a higher epoch, because the mesh knew one.
    pub fn raise_epoch(&mut self, epoch: u64, now: Instant) {
        self.version = Version { epoch, incarnation: 0 };
        self.disseminate(Fact::about(self.hash, self.version, FactKind::Alive), now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_expired(now) {
            match timer {
                Timer::Period => self.begin_period(now),
                Timer::Turn => self.take_turn(now),
                Timer::Watch => self.watch_links(),
                Timer::Again => self.push_facts(spreading::EAGER_FANOUT),
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
        self.continue_rounds(now);
        self.check_turns(now);
        self.continue_looks(now);
        self.continue_inquests(now);
        self.take_second_looks(now);
        self.continue_accusations(now);
        self.expire_suspicions(now);
        self.fade_routes(now);
        self.expire_damping(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.timers.earliest(),
            self.relays.values().map(Relay::deadline).min(),
            self.suspicions.values().map(Suspicion::deadline).min(),
            self.rounds.values().map(Round::due).min(),
            self.next_turn_due(),
            self.looks.values().filter_map(Look::due).min(),
            self.next_inquest_due(),
            self.accusations.values().map(Accusation::due).min(),
            self.routes.poll_timeout(),
            self.damping.poll_timeout(),
        ];
        deadlines.into_iter().fold(None, earliest)
    }

    fn drawn_within(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.rng.random_range(0.0..1.0))
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
