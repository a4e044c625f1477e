//! What can be done to nodes, to the network and to the store.

use std::collections::BTreeMap;

use meshnode::election::Election;
use meshnode::summary::{Policy, PolicyConfig};
use meshnode::time::{Duration, Instant};
use meshnode::wire::link::WriteRecord;
use rand::RngExt as _;

use super::membership::CRASH_IS_KNOWN;
use super::node::{Disk, Node, Process};
use super::setting::Rule;
use super::world::{Event, Planned, World};

/// The hold-down of the election.
const HOLD: Duration = Duration::from_secs(15);

/// A process that stood still for longer than this finds out.
const PAUSE: Duration = Duration::from_secs(1);

/// Events of the queue until a node has looked around, in milliseconds.
const GATE: (u64, u64) = (1_000, 3_000);

/// After a heal the digests differ, so all compare notes, in milliseconds.
const HEALED: (u64, u64) = (1_000, 12_000);

impl World {
    /// Another node, not yet booted.
    pub(super) fn add(&mut self, disk: Disk) -> usize {
        let index = self.nodes.len();
        let node = Node::new(index, disk);
        self.by_hash.insert(node.hash, index);
        self.by_id.insert(node.id, index);
        self.nodes.push(node);
        index
    }

    /// So many nodes that boot within `millis`.
    pub(super) fn boot(&mut self, count: usize, disk: Disk, millis: u64) {
        self.is_single = count == 1;
        for _ in 0..count {
            let node = self.add(disk);
            let at = self.now + self.between((0, millis));
            self.queue.push(at, Planned::Start(node));
        }
    }

    /// One more node, which boots after so many milliseconds.
    pub(super) fn boot_one(&mut self, millis: (u64, u64)) {
        let node = self.add(Disk::Kept);
        let at = self.now + self.between(millis);
        self.queue.push(at, Planned::Start(node));
    }

    /// The node boots.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            return;
        }
        let (now, seconds) = (self.now, self.seconds());
        let config = self.config(node);
        let one = &mut self.nodes[node];
        one.boot += 1;
        one.started = now;
        one.epoch = seconds.max(one.epoch + 1);
        one.left = false;
        one.process =
            Some(Process { policy: Policy::new(config, now), election: Election::new(one.hash, HOLD) });
        if let Err(at) = self.up.binary_search(&node) {
            self.up.insert(at, node);
        }
        if !self.setting.holds(Rule::Warmth) {
            let nothing = WriteRecord::default();
            self.with(node, |process, now| process.policy.handle_record(&nothing, true, now));
        }
        self.log(node, format_args!("boots"));
        self.tell(node, GATE, Event::Gate);
        self.spread();
    }

    fn config(&mut self, node: usize) -> PolicyConfig {
        PolicyConfig {
            id: self.nodes[node].id,
            cluster: "prod".to_owned(),
            cluster_id: self.cluster_id(node),
            staleness: self.setting.declared,
            paced: true,
            alone_ok: self.is_single || !self.setting.holds(Rule::Lone),
            record: self.nodes[node].record.clone(),
            seed: self.rng.random(),
            rules: self.setting.rules(),
        }
    }

    /// The process ends.
    pub(super) fn crash(&mut self, node: usize) {
        if !self.nodes[node].is_up() {
            return;
        }
        self.log(node, format_args!("is down"));
        let now = self.now;
        let one = &mut self.nodes[node];
        one.process = None;
        one.boot += 1;
        one.is_ready = false;
        one.frozen = None;
        one.met_anybody = false;
        one.follows = false;
        one.is_told = false;
        one.store_failed_until = Instant::ORIGIN;
        one.read_at = None;
        one.unwritten = None;
        one.down_since = now;
        if one.disk != Disk::Kept {
            one.record = None;
        }
        self.up.retain(|&other| other != node);
        self.set_deadline(node);
        let nodes = &self.nodes;
        self.crashed.retain(|&one| now.since(nodes[one].down_since) < CRASH_IS_KNOWN);
        self.crashed.push(node);
        self.spread();
    }

    /// It crashes and comes back, or another one in its place.
    pub(super) fn bounce(&mut self, node: usize, millis: (u64, u64)) {
        self.crash(node);
        let back = match self.nodes[node].disk {
            Disk::Kept | Disk::Wiped => node,
            Disk::Replaced => {
                let other = self.add(Disk::Replaced);
                self.nodes[other].part = self.nodes[node].part;
                self.nodes[other].reaches_store = self.nodes[node].reaches_store;
                other
            }
        };
        let at = self.now + self.between(millis);
        self.queue.push(at, Planned::Start(back));
    }

    /// It says goodbye and is gone.
    pub(super) fn leave(&mut self, node: usize) {
        self.crash(node);
        self.nodes[node].left = true;
        self.left.push(node);
        let (now, nodes) = (self.now, &self.nodes);
        self.left.retain(|&one| now.since(nodes[one].down_since) < Duration::from_secs(86_400));
    }

    /// The process stands still for so many milliseconds.
    pub(super) fn freeze(&mut self, node: usize, millis: (u64, u64)) {
        if !self.nodes[node].is_up() || self.nodes[node].frozen.is_some() {
            return;
        }
        let thaws = self.now + self.between(millis);
        let boot = self.nodes[node].boot;
        self.nodes[node].frozen = Some((self.now, thaws));
        self.set_deadline(node);
        self.log(node, format_args!("stands still"));
        self.queue.push(thaws, Planned::To(node, boot, Event::Thaw));
        self.after((5_000, 5_000), Self::spread);
    }

    /// It goes on.
    pub(super) fn thaw(&mut self, node: usize) {
        let Some((since, _)) = self.nodes[node].frozen.take() else { return };
        self.log(node, format_args!("goes on"));
        let resumes = self.setting.holds(Rule::Resume);
        if self.now.since(since) > PAUSE {
            self.with(node, |process, now| {
                process.election.handle_pause(now);
                if resumes {
                    process.policy.handle_resume(now);
                }
            });
            for _ in 0..3 {
                let at = self.now + self.between((300, 3_000));
                let boot = self.nodes[node].boot;
                self.queue.push(at, Planned::To(node, boot, Event::Compare));
            }
        }
        self.set_deadline(node);
        self.spread();
    }

    /// The network falls into so many parts; 1 is whole.
    pub(super) fn split(&mut self, parts: usize) {
        let nodes = self.nodes.len();
        for node in 0..nodes {
            self.nodes[node].part = self.rng.random_range(0..parts);
        }
        self.regroup();
    }

    /// Every node is alone.
    pub(super) fn isolate(&mut self) {
        for (part, node) in self.nodes.iter_mut().enumerate() {
            node.part = part;
        }
        self.regroup();
    }

    fn regroup(&mut self) {
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for &node in &self.up {
            *sizes.entry(self.nodes[node].part).or_default() += 1;
        }
        let parts = sizes.len();
        self.trace.record(self.now, crate::trace::Who::World, format_args!("{parts} parts"));
        self.spread();
        for node in self.up.clone() {
            self.tell(node, HEALED, Event::Compare);
        }
    }

    /// One of the leaders, if there is any.
    pub(super) fn a_leader(&mut self) -> Option<usize> {
        let leaders: Vec<usize> =
            self.up.iter().copied().filter(|&node| self.nodes[node].leading_term() > 0).collect();
        self.pick(&leaders)
    }

    /// What the mesh serves changes.
    pub(super) fn change_services(&mut self) {
        self.services += 1;
        self.tell_leaders();
    }

    /// A node has another URL.
    pub(super) fn change_url(&mut self) {
        if let Some(node) = self.pick_up() {
            self.nodes[node].version += 1;
            self.tell_leaders();
        }
    }
}
