//! The verbs of a script: switching machines on and off, and what else goes wrong in the world.

use std::net::SocketAddr;

use meshnode::id::ServiceName;
use meshnode::mesh::{Boot, Config, Input, LinkFailure, Mesh};
use meshnode::time::Duration;
use rand::{Rng as _, RngExt as _};

use super::node::{Disk, Node, Process};
use super::{Cluster, Happening};
use crate::checkers::{Kind, Violation};
use crate::model::State;
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

impl Cluster {
    /// Adds a machine, which is off, and says its index.
    pub fn add(&mut self) -> usize {
        let index = self.nodes.len();
        let mut secret = [0; 32];
        self.boots.fill_bytes(&mut secret);
        let node = Node::new(index, secret);
        self.model.add(node.id(), node.services.iter().map(|service| (service.clone(), true)).collect());
        self.addresses.insert(node.addr, index);
        self.checkers.forget(index);
        self.nodes.push(node);
        index
    }

    /// Configures the node's standing in the election, from its next boot on.
    pub fn set_priority(&mut self, node: usize, priority: i32) {
        self.nodes[node].priority = priority;
    }

    /// Switches a machine on, with what its disk holds.
    pub fn start(&mut self, node: usize) {
        let wall_clock = store::unix(self.now);
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
                self.boot_with(node, store::unix(self.now) - SLOW_CLOCK_SECONDS);
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
            self.stop(node, State::Crashed);
        }
    }

    /// Asks the node to say goodbye and go.
    pub fn leave(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.note(Who::World, format_args!("n{node} is told to leave"));
            self.model.set_state(node, State::Leaving, self.now);
            self.feed(node, Input::Leave);
        }
    }

    /// Stops the process for a while; what comes in waits.
    pub fn pause(&mut self, node: usize, span: Duration) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        process.backlog.get_or_insert_default();
        process.wake = None;
        let boot = process.boot;
        self.queue.push(self.now + span, Happening::Resume { node, boot });
        self.note(Who::World, format_args!("n{node} stops for {span:?}"));
        self.model.set_state(node, State::Paused, self.now);
    }

    /// Lets a stopped process go on: it sees everything that waited, and that time has passed.
    pub fn resume(&mut self, node: usize) {
        let Some(backlog) = self.nodes[node].process.as_mut().and_then(|process| process.backlog.take())
        else {
            return;
        };
        self.note(Who::World, format_args!("n{node} goes on, {} inputs waited", backlog.len()));
        self.model.disturb(self.now);
        self.model.set_state(node, State::Up, self.now);
        self.feed(node, Input::Tick);
        for input in backlog {
            self.feed(node, input);
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
        self.network_changed();
    }

    /// Sets the share of the datagrams that are lost.
    pub fn lose(&mut self, share: f64) {
        self.note(Who::World, format_args!("the network loses {share}"));
        self.network.conditions.loss = share;
        self.model.disturb(self.now);
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

    pub(super) fn raise_epoch(&mut self, node: usize, epoch: u64) {
        self.crash(node);
        self.boot_with(node, epoch);
    }

    pub(super) fn stop(&mut self, node: usize, state: State) {
        self.look();
        self.nodes[node].process = None;
        self.checkers.forget(node);
        self.model.set_state(node, state, self.now);
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
        let given = Boot { epoch, nonce: self.boots.random(), seed };
        let machine = &mut self.nodes[node];
        let config = Config { detector: self.detector, ..machine.config(node, &self.options) };
        match Mesh::new(config, machine.identity.clone(), given, meshnode::time::Instant::ORIGIN) {
            Ok(mesh) => {
                machine.process =
                    Some(Process { mesh, boot, started, wake: None, view_version: None, backlog: None });
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
        self.model.set_parts(parts, self.network.has_cuts(), self.now);
    }
}
