//! The verbs of a script: switching machines on and off, and what else goes wrong in the world.

use std::net::SocketAddr;

use meshnode::id::ServiceName;
use meshnode::mesh::{Boot, Input, LinkFailure, LocalChange, Mesh};
use rand::{Rng as _, RngExt as _};

use super::node::{Disk, Host, Node, Process};
use super::release::Release;
use super::{Cluster, Happening};
use crate::checkers::{Kind, Violation};
use crate::latency::Latency;
use crate::model::{Mark, State};
use crate::network::Losses;
use crate::store;
use crate::trace::Who;

/// By how much the wall clock of a machine that lost its disk is slow: what makes a lost epoch dangerous.
const SLOW_CLOCK_SECONDS: u64 = 3_600;

/// What a machine finds when it is switched on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Its disk.
    DiskKept,
    /// Its key alone: epoch, peers and write record are gone, and the wall clock is an hour slow.
    DiskLost,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It closes its links in order.
    Goodbye,
    /// Its kernel closes them, if it can.
    Killed,
}

impl Cluster {
    /// Adds a machine, which is off, and says its index.
    pub fn add(&mut self) -> usize {
        let index = self.nodes.len();
        let mut secret = [0; 32];
        self.boots.fill_bytes(&mut secret);
        let mut node = Node::new(index, secret);
        node.detector = self.options.mode;
        self.insert(index, node);
        index
    }

    fn insert(&mut self, index: usize, node: Node) {
        self.model.add(node.id(), node.services.iter().map(|service| (service.clone(), true)).collect());
        self.addresses.insert(node.addr, index);
        self.checkers.forget(index);
        self.nodes.push(node);
    }

    /// What the machine takes for the unix time.
    fn wall_clock(&self, node: usize) -> u64 {
        store::unix(self.now).saturating_add_signed(self.nodes[node].skew)
    }

    /// Configures the node's standing in the election, from its next boot on.
    pub fn set_priority(&mut self, node: usize, priority: i32) {
        self.nodes[node].priority = priority;
    }

    /// Switches a machine on, with what its disk holds.
    pub fn start(&mut self, node: usize) {
        let wall_clock = self.wall_clock(node);
        let epoch = wall_clock.max(self.nodes[node].disk.epoch.saturating_add(1));
        self.boot_with(node, epoch);
    }

    /// Kills the process, if any, and starts it again.
    pub fn restart(&mut self, node: usize, how: Restart) {
        self.crash(node);
        match how {
            Restart::DiskKept => self.start(node),
            Restart::DiskLost => {
                self.nodes[node].disk = Disk::default();
                self.boot_with(node, self.wall_clock(node).saturating_sub(SLOW_CLOCK_SECONDS));
            }
        }
    }

    /// Moves a machine that is off to the address of another that is off.
    pub fn move_to_address_of(&mut self, node: usize, other: usize) {
        let addr = self.nodes[other].addr;
        self.note(Who::World, format_args!("n{node} moves to {addr}, where n{other} was"));
        let old: SocketAddr = std::mem::replace(&mut self.nodes[node].addr, addr);
        self.addresses.remove(&old);
        self.addresses.insert(addr, node);
    }

    /// Kills the process without a word.
    pub fn crash(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.note(Who::World, format_args!("n{node} crashes"));
            self.stop(node, State::Crashed, Ending::Killed);
        }
    }

    /// The machine loses its power: nothing answers at its address any more.
    pub fn lose_host(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.note(Who::World, format_args!("n{node} loses its host"));
            self.nodes[node].host = Host::Lost;
            self.stop(node, State::Crashed, Ending::Killed);
        }
    }

    /// Switches on a new machine with the key and the disk of another one, and says its index.
    pub fn clone_machine(&mut self, of: usize) -> usize {
        let index = self.nodes.len();
        self.note(Who::World, format_args!("n{index} is a copy of n{of}"));
        let node = self.nodes[of].copy(index);
        self.insert(index, node);
        self.start(index);
        index
    }

    /// Sets the wall clock of a machine fast (or slow), from its next boot on.
    pub fn skew(&mut self, node: usize, seconds: i64) {
        self.note(Who::World, format_args!("the wall clock of n{node} is fast by {seconds} s"));
        self.nodes[node].skew = seconds;
    }

    /// Which version of the program a machine runs, from its next boot on.
    pub fn set_release(&mut self, node: usize, release: Release) {
        self.note(Who::World, format_args!("n{node} has the release {release:?}"));
        self.nodes[node].release = release;
    }

    /// Asks the node to say goodbye and go.
    pub fn leave(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.note(Who::World, format_args!("n{node} is told to leave"));
            self.model.set_state(node, State::Leaving, self.now);
            self.feed(node, Input::Leave);
        }
    }

    /// Splits the network; nodes that no part names are with the first.
    pub fn partition(&mut self, parts: &[Vec<usize>]) {
        self.note(Who::World, format_args!("the network splits into {parts:?}"));
        self.network.partition(parts);
        self.network_changed();
    }

    /// Nothing that `from` sends reaches `to` any more.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.note(Who::World, format_args!("n{to} does not hear n{from} any more"));
        self.network.cut(from, to);
        self.network_changed();
    }

    /// Ends partitions and cuts.
    pub fn heal(&mut self) {
        self.note(Who::World, format_args!("the network heals"));
        self.network.heal();
        self.model.clear_mark(Mark::Lossy, self.now);
        self.network_changed();
    }

    /// Sets the share of the datagrams that are lost.
    pub fn lose(&mut self, share: f64) {
        self.note(Who::World, format_args!("the network loses {share}"));
        self.network.conditions.loss = share;
        self.model.disturb(self.now);
    }

    /// Sets what one machine loses beside that.
    pub fn lose_at(&mut self, node: usize, losses: Losses) {
        self.note(Who::World, format_args!("n{node} loses {} of what it sends", losses.sent));
        self.note(Who::World, format_args!("n{node} loses {} of what it is sent", losses.received));
        self.network.set_losses(node, losses);
        self.model.set_mark(node, Mark::Lossy, losses != Losses::default(), self.now);
    }

    /// Sets how long things are on their way.
    pub fn set_latency(&mut self, latency: Latency) {
        self.note(Who::World, format_args!("the latency is {latency}"));
        self.network.conditions.latency = latency;
        self.model.disturb(self.now);
    }

    /// Something in the network breaks all watch links of a node, while both ends live.
    pub fn break_links(&mut self, node: usize) {
        self.note(Who::World, format_args!("the links of n{node} are reset"));
        self.reset_links(node);
    }

    /// A service of the node stops to answer, or answers again.
    pub fn set_service(&mut self, node: usize, service: &ServiceName, answers: bool) {
        self.note(Who::World, format_args!("{service} on n{node} answers: {answers}"));
        self.model.set_service(node, service, answers, self.now);
    }

    /// The store fails every call, or works again.
    pub fn set_store_out(&mut self, out: bool) {
        self.note(Who::World, format_args!("the store is out: {out}"));
        self.store.set_out(out);
        self.model.disturb(self.now);
    }

    /// The mesh knew a higher epoch of this node: it takes a higher one still, as the driver does.
    pub(super) fn raise_epoch(&mut self, node: usize, known: u64) {
        let disk = &mut self.nodes[node].disk;
        if known < disk.epoch {
            return;
        }
        disk.epoch = known.saturating_add(1);
        let epoch = disk.epoch;
        self.note(Who::Node(node), format_args!("raises its epoch to {epoch}"));
        self.model.set_epoch(node, epoch);
        self.model.disturb(self.now);
        self.feed(node, Input::Local(LocalChange::Epoch(epoch)));
    }

    pub(super) fn stop(&mut self, node: usize, state: State, ending: Ending) {
        self.look();
        self.nodes[node].process = None;
        self.checkers.forget(node);
        self.model.set_state(node, state, self.now);
        for mark in [Mark::Starved, Mark::Damped] {
            self.model.set_mark(node, mark, false, self.now);
        }
        self.close_links(node, ending == Ending::Goodbye);
        if self.nodes[node].host != Host::Up {
            return;
        }
        // The kernel of the dead process closes its links.
        for link in self.links.waiting_for(node) {
            let failure = LinkFailure::Unreachable;
            if let Some(from) = self.links.exchange(link).map(|exchange| exchange.from)
                && let Some(delay) = self.network.link(node, from)
            {
                self.queue.push(self.now + delay, Happening::Failed { link, failure });
            }
        }
    }

    fn boot_with(&mut self, node: usize, epoch: u64) {
        if self.nodes[node].process.is_some() {
            return;
        }
        self.note(Who::World, format_args!("n{node} boots at epoch {epoch}"));
        self.booted += 1;
        let (boot, started) = (self.booted, self.now);
        self.nodes[node].disk.epoch = epoch;
        self.model.set_epoch(node, epoch);
        self.model.set_state(node, State::Up, self.now);
        self.checkers.forget(node);
        let mut seed = [0; 32];
        self.boots.fill_bytes(&mut seed);
        let nonce = self.boots.random();
        let given = Boot { epoch, nonce, seed };
        let machine = &mut self.nodes[node];
        let config = machine.config(node, &self.options);
        match Mesh::new(config, machine.identity.clone(), given, meshnode::time::Instant::ORIGIN) {
            Ok(mesh) => {
                let mesh = mesh.with_verifier(self.verifier.clone());
                machine.process = Some(Process::new(mesh, boot, nonce, started));
                machine.host = Host::Up;
                self.doubt_links();
                self.drain(node);
                self.load(node, boot);
            }
            Err(error) => {
                let text = format!("n{node} does not start: {error}");
                self.fail(Err(Violation { kind: Kind::Bounds, at: self.now, text }));
            }
        }
    }

    fn network_changed(&mut self) {
        let parts = (0..self.nodes.len()).map(|node| self.network.part_of(node)).collect();
        self.model.set_parts(parts, self.network.cuts().clone(), self.now);
        self.doubt_links();
    }
}
