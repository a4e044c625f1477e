//! The truth against which views are checked: who is up, what runs where, and who can hear whom.

use std::collections::BTreeMap;

use meshnode::id::{IdHash, NodeId, ServiceName};
use meshnode::time::Instant;

/// What is really so.
#[derive(Debug, Default)]
pub struct Model {
    nodes: Vec<Truth>,
    index: BTreeMap<NodeId, usize>,
    by_hash: BTreeMap<IdHash, usize>,
    parts: Vec<usize>,
    /// Some pairs are cut one way only; who should see whom is then left open.
    pub one_way: bool,
    /// When a node, a service, the store or the network last changed.
    pub changed: Instant,
    /// The same, the start of nodes apart: nothing that happened since is a reason for a leader to step down.
    pub disturbed: Instant,
}

/// One node, as it really is.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Its identity.
    pub id: NodeId,
    /// Whether it runs.
    pub state: State,
    /// The epoch of its last boot.
    pub epoch: u64,
    /// Its services, and whether they answer.
    pub services: BTreeMap<ServiceName, bool>,
}

/// Whether a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It never ran.
    NotStarted,
    /// It runs.
    Up,
    /// It is stopped and will go on; what others hold of it is open until then.
    Paused,
    /// It says goodbye.
    Leaving,
    /// It died without a word.
    Crashed,
    /// It is gone of its own will.
    Left,
}

impl State {
    /// It has a process, so it may come to speak again without a boot.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Up | Self::Paused | Self::Leaving)
    }
}

impl Model {
    /// Adds a node that was not started yet.
    pub fn add(&mut self, id: NodeId, services: BTreeMap<ServiceName, bool>) {
        self.index.insert(id, self.nodes.len());
        self.by_hash.insert(id.hash(), self.nodes.len());
        self.nodes.push(Truth { id, state: State::NotStarted, epoch: 0, services });
    }

    /// The nodes, by index.
    pub fn nodes(&self) -> &[Truth] {
        &self.nodes
    }

    /// The index of a node.
    pub fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The index of the node with this short name.
    pub fn index_of_hash(&self, hash: IdHash) -> Option<usize> {
        self.by_hash.get(&hash).copied()
    }

    /// `n7` for the node with index 7; its id when it is a stranger.
    pub fn name(&self, id: &NodeId) -> String {
        self.index_of(id).map_or_else(|| id.to_string(), |index| format!("n{index}"))
    }

    /// The node changed its state.
    pub fn set_state(&mut self, node: usize, state: State, now: Instant) {
        self.nodes[node].state = state;
        self.changed = now;
        if state != State::Up {
            self.disturbed = now;
        }
    }

    /// The node booted with this epoch.
    pub fn set_epoch(&mut self, node: usize, epoch: u64) {
        self.nodes[node].epoch = epoch;
    }

    /// A service of the node went down, or came back.
    pub fn set_service(&mut self, node: usize, service: &ServiceName, answers: bool, now: Instant) {
        self.nodes[node].services.insert(service.clone(), answers);
        self.disturb(now);
    }

    /// The network was split or healed: the part of each node, by index.
    pub fn set_parts(&mut self, parts: Vec<usize>, one_way: bool, now: Instant) {
        self.parts = parts;
        self.one_way = one_way;
        self.disturb(now);
    }

    /// Something happened to the world that nodes share.
    pub fn disturb(&mut self, now: Instant) {
        self.changed = now;
        self.disturbed = now;
    }

    /// The part of the network that a node is in.
    pub fn part_of(&self, node: usize) -> usize {
        self.parts.get(node).copied().unwrap_or(0)
    }

    /// The nodes in this state, by index.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(move |(_, node)| node.state == state).map(|(index, _)| index)
    }

    /// The nodes that are up, by part of the network.
    pub fn up_by_part(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for node in self.in_state(State::Up) {
            parts.entry(self.part_of(node)).or_default().push(node);
        }
        parts
    }
}
