//! The mesh: composes membership, gossip, election, summary and probe policy into one state machine.
//!
//! `handle` takes what happened, `poll_output` gives what to do (drain it to `None` after every `handle`), and
//! `poll_timeout` says when to `handle` a [`Input::Tick`] at the latest. The machines below never see each other: what
//! one of them says is carried to the others here.

mod acquaint;
mod config;
mod gate;
mod inquiry;
mod io;
mod links;
mod own;
mod packets;
mod pump;
mod snapshot;
mod standing;
mod suspend;

#[cfg(test)]
mod tests;

pub use crate::membership::{ConnectOutcome, Destination, Detector, Inquiry, Waiting};
pub use config::{Boot, Config, StoreConfig};
pub use io::{
    Event, Input, LINK_REQUEST_TIMEOUT, LinkFailure, LocalChange, Output, Persist, Refused, RequestId,
};

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::election::Election;
use crate::gossip::Gossip;
use crate::id::{IdHash, Identity, ManifestVersion, NodeId, Version};
use crate::membership::{self, Membership};
use crate::probe::{Prober, Target};
use crate::summary::{Policy, PolicyConfig, Rules};
use crate::time::{Duration, Instant, earliest};
use crate::wire::WireError;
use gate::Gate;
use links::Pending;
use own::OwnManifest;
use snapshot::Snapshot;
use standing::Roster;
use suspend::Refresh;

/// Addresses of members are written down this often, when they changed.
const PERSIST_PEERS_INTERVAL: Duration = Duration::from_secs(10);

/// How the machine itself is doing. All of it is bounded, whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Lifeguard's local health score: 0 is well, 8 is worst.
    pub health_score: u32,
    /// Facts that wait for datagrams.
    pub facts_waiting: usize,
    /// Questions over links that have no answer yet.
    pub questions_waiting: usize,
}

/// A store that failed makes its node ineligible for this long.
const STORE_FAILURE_COUNTS_FOR: Duration = Duration::from_secs(600);

/// After this long in the mesh, a higher epoch of this node is not a memory of its own last boot.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// One node's protocol, whole.
#[derive(Debug)]
pub struct Mesh {
    config: Config,
    identity: Identity,
    id: NodeId,
    hash: IdHash,
    membership: Membership,
    gossip: Gossip,
    election: Election,
    summary: Policy,
    prober: Prober,
    own: OwnManifest,
    gate: Gate,
    /// Until then this node's store counts as failing.
    store_failed_until: Option<Instant>,
    /// Members that died while they led, with the manifest that said so: it says nothing about who leads now.
    ended: BTreeMap<NodeId, ManifestVersion>,
    /// The members use different shared stores; said once.
    stores_differ: bool,
    /// The highest epoch of which it was reported that this node needs a higher one.
    epoch_reported: u64,
    draining: bool,
    booted: Instant,
    /// Another process has this node's key: it is left alone with it.
    quarantined: bool,
    requests: BTreeMap<RequestId, Pending>,
    next_request: u64,
    persist_peers_at: Option<Instant>,
    roster: Roster,
    /// When something was last handled, to notice that the node stood still.
    last_handled: Instant,
    refresh: Option<Refresh>,
    snapshot: Snapshot,
    view_version: u64,
    outputs: VecDeque<Output>,
}

impl Mesh {
    /// A node that boots at `now`. Fails when its manifest would be too large to publish.
    pub fn new(config: Config, identity: Identity, boot: Boot, now: Instant) -> Result<Self, WireError> {
        let id = identity.id();
        let hash = id.hash();
        let mut rng = ChaCha8Rng::from_seed(boot.seed);
        let version = Version { epoch: boot.epoch, incarnation: 0 };
        let peers = config.peers.clone();
        let start = membership::Start {
            cluster: config.cluster.clone(),
            id,
            version,
            boot_nonce: boot.nonce,
            addr: config.addr,
            seeds: config.seeds,
            peers,
            detector: config.detector,
            seed: fork(&mut rng),
        };
        let membership = Membership::new(start, now);
        let summary = Policy::new(
            PolicyConfig {
                id,
                cluster: config.cluster.clone(),
                cluster_id: config.cluster_id,
                staleness: config.store.staleness,
                paced: config.store.max_writes_per_day.is_some(),
                alone_ok: !membership.has_contacts(),
                record: config.write_record.as_deref().and_then(links::decode_record),
                seed: fork(&mut rng),
                rules: Rules::default(),
            },
            now,
        );
        let mut prober = Prober::new(ChaCha8Rng::from_seed(fork(&mut rng)));
        prober.set_targets(config.services.clone(), now);
        let mut mesh = Self {
            id,
            hash,
            gossip: Gossip::new(hash, &config.cluster, now),
            election: Election::new(hash, config.election_hold),
            gate: Gate::new(membership.has_contacts(), now),
            membership,
            summary,
            prober,
            own: OwnManifest::new(boot.epoch, now),
            store_failed_until: None,
            ended: BTreeMap::new(),
            stores_differ: false,
            epoch_reported: boot.epoch.saturating_sub(1),
            draining: false,
            booted: now,
            quarantined: false,
            requests: BTreeMap::new(),
            next_request: 0,
            persist_peers_at: None,
            roster: Roster::new(now),
            last_handled: now,
            refresh: None,
            snapshot: Snapshot::new(now),
            view_version: 0,
            outputs: VecDeque::new(),
            config,
            identity,
        };
        mesh.gossip.loads.count_from(boot.epoch);
        mesh.publish(now)?;
        mesh.pump(now);
        Ok(mesh)
    }

    /// Whether this process gave way to another one with the same key, and takes part in nothing any more.
    pub const fn is_quarantined(&self) -> bool {
        self.quarantined
    }

    /// Something happened. Bad input becomes an [`Event::Refused`].
    pub fn handle(&mut self, input: Input, now: Instant) {
        if self.quarantined {
            if matches!(input, Input::Leave) {
                self.outputs.push_back(Output::Left);
            }
            return;
        }
        self.look_for_a_pause(now);
        match input {
            Input::Tick => self.handle_tick(now),
            Input::Datagram { source, bytes } => self.handle_datagram(source, &bytes, now),
            Input::Request { from, id, body } => self.handle_request(from, id, &body, now),
            Input::Response { id, result } => self.handle_response(id, result, now),
            Input::Checked { service, outcome } => self.prober.handle_checked(&service, outcome),
            Input::ConnectRefused(service) => self.prober.handle_refused(&service),
            Input::Store(reply) => self.summary.handle_store(reply, now),
            Input::LinkLost { peer } => self.membership.handle_link_lost(peer.hash(), now),
            Input::Connected { id, outcome } => self.handle_connected(id, outcome, now),
            Input::Admitted { peer, boot_nonce } => self.membership.handle_admitted(peer, boot_nonce, now),
            Input::Slept => self.handle_pause(Duration::ZERO, now),
            Input::Local(change) => self.handle_local(change, now),
            Input::Leave => self.membership.leave(now),
        }
        self.pump(now);
    }

    /// The next thing to do; drained to `None` after every `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to `handle` a [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.quarantined {
            return None;
        }
        let machines = [
            self.membership.poll_timeout(),
            self.gossip.poll_timeout(),
            self.election.poll_timeout(),
            self.summary.poll_timeout(),
            self.prober.poll_timeout(),
            self.gate.poll_timeout(),
            self.own.poll_timeout(),
            self.roster.poll_timeout(),
            self.refresh.as_ref().map(|refresh| refresh.poll_timeout(self.last_handled)),
            self.store_failed_until,
            self.persist_peers_at,
        ];
        machines.into_iter().fold(None, earliest)
    }

    /// Raised whenever [`Mesh::view`] would show something else than before.
    pub const fn view_version(&self) -> u64 {
        self.view_version
    }

    /// How the machine itself is doing, for metrics.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            health_score: self.membership.health_score(),
            facts_waiting: self.membership.facts_waiting(),
            questions_waiting: self.requests.len(),
        }
    }

    /// The JSON for `GET /.mesh/summary`; `unix` is the wall clock in seconds.
    pub fn live_summary(&mut self, unix: u64, now: Instant) -> String {
        self.refresh_census(now);
        self.summary.live_summary(unix)
    }

    /// Whether a manifest with these services could be published.
    pub fn check_services(&self, services: &[Target]) -> Result<(), WireError> {
        own::check_services(self, services)
    }

    fn handle_tick(&mut self, now: Instant) {
        self.membership.handle_timeout(now);
        self.gossip.handle_timeout(self.membership.members(), now);
        self.election.handle_timeout(now);
        self.summary.handle_timeout(now);
        self.prober.handle_timeout(now);
        if self.store_failed_until.is_some_and(|until| until <= now) {
            self.store_failed_until = None;
            self.own.touch();
        }
        if self.persist_peers_at.is_some_and(|at| at <= now) {
            self.persist_peers(now);
        }
    }

    fn handle_local(&mut self, change: LocalChange, now: Instant) {
        match change {
            LocalChange::Address(addr) => {
                self.config.addr = Some(addr);
                self.membership.set_address(addr);
            }
            LocalChange::Services(targets) => self.prober.set_targets(targets, now),
            LocalChange::Routes(routes) => self.config.routes = routes,
            LocalChange::Capabilities { capabilities, tier } => {
                self.config.capabilities = capabilities;
                self.config.tier = tier;
            }
            LocalChange::Load(load) => {
                if let Some((quantised, telling)) = self.gossip.loads.measure(load, now) {
                    self.tell_load(quantised, telling, now);
                }
                self.snapshot.expire();
                return;
            }
            LocalChange::Draining => self.draining = true,
            LocalChange::Epoch(epoch) => {
                self.own.raise_epoch(epoch);
                self.epoch_reported = self.epoch_reported.max(epoch.saturating_sub(1));
                self.membership.raise_epoch(epoch, now);
            }
        }
        self.own.touch();
    }

    /// The mesh knows this node at a higher epoch than it has.
    ///
    /// A node that starts has lost its disk, and takes a higher one. One that was part of the mesh for a while cannot
    /// have been overtaken by itself: if that boot lives, another process runs with a copy of its key. Two that fight
    /// over an identity would refute each other for ever, so the older process gives way.
    fn handle_epoch_behind(&mut self, known: u64, is_alive: bool, now: Instant) {
        let is_settled = self.gate.is_passed() && now.since(self.booted) >= SETTLED_AFTER;
        let is_old = is_settled && self.membership.met_anybody() || self.membership.has_rival();
        if is_alive && is_old && known > self.membership.version().epoch {
            self.handle_cloned(known, true);
        } else if known > self.epoch_reported {
            self.epoch_reported = known;
            self.event(Event::EpochBehind { known });
        }
    }

    /// Another process, at this epoch, runs with a copy of this node's key.
    fn handle_cloned(&mut self, epoch: u64, gives_way: bool) {
        self.quarantined |= gives_way;
        self.note_change();
        self.event(Event::Cloned { epoch, gives_way });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// A seed for one machine's own generator.
fn fork(rng: &mut ChaCha8Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}
