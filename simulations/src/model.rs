//! The truth against which views are checked: who is up, what runs where, and who can hear whom.

use std::collections::{BTreeMap, BTreeSet};

use meshnode::id::{IdHash, NodeId, ServiceName};
use meshnode::time::{Duration, Instant};

/// What is really so.
#[derive(Debug, Default)]
pub struct Model {
    nodes: Vec<Truth>,
    index: BTreeMap<NodeId, usize>,
    by_hash: BTreeMap<IdHash, usize>,
    parts: Vec<usize>,
    cuts: BTreeSet<(usize, usize)>,
    /// Machines that have the key of another one.
    copies: BTreeSet<usize>,
    /// When the network was last split, cut or healed.
    rewired: Instant,
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
    /// What is wrong with it although it runs.
    pub marks: BTreeSet<Mark>,
    /// Since when nothing was wrong with it: when it last went on, or lost its last mark.
    pub well_since: Instant,
}

/// What is wrong with a machine that runs: it may rightly be taken for dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Its process gets too little time.
    Starved,
    /// Its processor is slow.
    Slow,
    /// It loses more than the network does.
    Lossy,
    /// It died so often that it lets itself be held dead for a while.
    Damped,
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
    /// It runs, and keeps silent, because another machine has its key.
    Silenced,
}

impl State {
    /// It has a process, so it may come to speak again without a boot.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Up | Self::Paused | Self::Leaving | Self::Silenced)
    }
}

impl Model {
    /// Adds a node that was not started yet.
    pub fn add(&mut self, id: NodeId, services: BTreeMap<ServiceName, bool>) {
        if let Some(original) = self.index.insert(id, self.nodes.len()) {
            self.copies.extend([original, self.nodes.len()]);
        }
        self.by_hash.insert(id.hash(), self.nodes.len());
        let (state, well_since) = (State::NotStarted, Instant::ORIGIN);
        self.nodes.push(Truth { id, state, epoch: 0, services, marks: BTreeSet::new(), well_since });
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
        if self.nodes[node].state == State::Paused {
            self.nodes[node].well_since = now;
        }
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

    /// Something is wrong with a machine that runs, or is not any more.
    pub fn set_mark(&mut self, node: usize, mark: Mark, is_so: bool, now: Instant) {
        let truth = &mut self.nodes[node];
        let changed = if is_so { truth.marks.insert(mark) } else { truth.marks.remove(&mark) };
        if changed {
            truth.well_since = now;
            self.disturb(now);
        }
    }

    /// This is wrong with no machine any more.
    pub fn clear_mark(&mut self, mark: Mark, now: Instant) {
        for node in 0..self.nodes.len() {
            self.set_mark(node, mark, false, now);
        }
    }

    /// The network was split or healed: the part of each node, by index, and the ordered pairs that are cut.
    pub fn set_parts(&mut self, parts: Vec<usize>, cuts: BTreeSet<(usize, usize)>, now: Instant) {
        self.parts = parts;
        self.cuts = cuts;
        self.rewired = now;
        self.disturb(now);
    }

    /// Some pairs are cut one way only; who should see whom is then left open.
    pub fn one_way(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Nothing has been wrong with the machine or the network for so long that nobody has a reason to hold it dead.
    pub fn is_beyond_doubt(&self, node: usize, now: Instant, grace: Duration) -> bool {
        let truth = &self.nodes[node];
        let cut = self.cuts.iter().filter(|(from, to)| *from == node || *to == node).count();
        truth.state == State::Up
            && truth.marks.is_empty()
            && !self.copies.contains(&node)
            && now.since(truth.well_since.max(self.rewired)) >= grace
            && cut * 4 <= self.nodes.len()
    }

    /// More than a quarter of those who could tell whether a node lives have trouble of their own.
    pub fn is_among_the_sick(&self, node: usize, now: Instant, grace: Duration) -> bool {
        let part = self.up_and_stopped().filter(|&other| self.part_of(other) == self.part_of(node));
        let (well, sick): (Vec<usize>, Vec<usize>) =
            part.partition(|&other| self.is_beyond_doubt(other, now, grace));
        sick.len() * 4 > well.len() + sick.len()
    }

    fn up_and_stopped(&self) -> impl Iterator<Item = usize> {
        self.in_state(State::Up).chain(self.in_state(State::Paused))
    }

    /// Both are in one part of the network, and neither way between them is cut.
    pub fn hear_each_other(&self, one: usize, other: usize) -> bool {
        let is_cut = self.cuts.contains(&(one, other)) || self.cuts.contains(&(other, one));
        self.part_of(one) == self.part_of(other) && !is_cut
    }

    /// Another machine with the same key runs.
    pub fn has_double(&self, node: usize) -> bool {
        self.copies.contains(&node)
            && self.copies.iter().any(|&other| {
                let other_truth = &self.nodes[other];
                other != node && other_truth.id == self.nodes[node].id && other_truth.state.is_running()
            })
    }

    /// Into how many parts the network is split.
    pub fn part_count(&self) -> usize {
        self.parts.iter().collect::<BTreeSet<_>>().len().max(1)
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

    /// The nodes that are up and well, by part of the network.
    pub fn up_by_part(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for node in self.in_state(State::Up).filter(|&node| self.nodes[node].marks.is_empty()) {
            parts.entry(self.part_of(node)).or_default().push(node);
        }
        parts
    }
}
