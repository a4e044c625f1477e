//! The world of the budget: its clock, its events, and the loop that lets them happen in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use meshnode::id::{IdHash, NodeId};
use meshnode::summary::StoreReply;
use meshnode::time::{Duration, Instant};
use meshnode::wire::link::WriteRecord;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::checkers::Checkers;
use super::figures::Figures;
use super::kv::Kv;
use super::node::{Node, Process};
use super::scenarios::Scenario;
use super::setting::Setting;
use crate::queue::Queue;
use crate::trace::{Trace, Who};

/// Something that a scenario does.
pub(super) type Deed = Box<dyn FnOnce(&mut World)>;

/// Something that happens to one process.
#[derive(Debug)]
pub(super) enum Event {
    /// It looks for members, until it is past its gate.
    Gate,
    /// It hears who lives and who leads.
    Look,
    /// It compares notes with a random member.
    Session,
    /// It compares notes once more.
    Compare,
    /// It goes on after it stood still.
    Thaw,
    /// Its read reaches the store.
    Get,
    /// Its write leaves for the store, unless it is too late for that.
    Send(Vec<u8>),
    /// The store's answer is here.
    Reply(StoreReply),
    /// It is asked to keep a record; the node that asks, its boot, and which receipt it waits for.
    Keep(WriteRecord, Option<(usize, u32, u64)>),
    /// A member kept the record, or did not.
    Kept(u64, bool),
    /// A worse-ranked node asks whether it will lead.
    Ask(IdHash, u64),
    /// A better-ranked node answers.
    Answer(IdHash, u64, Option<IdHash>),
    /// The process ends.
    Crash,
}

/// What the queue holds.
pub(super) enum Planned {
    /// To this process of this node.
    To(usize, u32, Event),
    /// A value reaches the store; who sent it.
    Put(usize, u32, Vec<u8>),
    /// A node boots.
    Start(usize),
    /// Cold edges look at the store.
    Probe,
    Deed(Deed),
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned").finish_non_exhaustive()
    }
}

/// How often things go wrong, as shares of 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Odds {
    /// A node stands still between the answer of its read and its write.
    pub(super) freeze: f64,
    /// Of those, after it looked at the clock for the last time.
    pub(super) freeze_late: f64,
    /// A node crashes within seconds of sending a value.
    pub(super) crash: f64,
    /// A write is lost, or its answer is.
    pub(super) loss: f64,
    /// A call is answered by 429.
    pub(super) limited: f64,
}

/// Nodes, the store, and the events to come.
#[derive(Debug)]
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) odds: Odds,
    pub(super) rng: ChaCha8Rng,
    pub(super) now: Instant,
    pub(super) queue: Queue<Planned>,
    pub(super) deadlines: BTreeSet<(Instant, usize)>,
    pub(super) nodes: Vec<Node>,
    /// Those that are up, in order.
    pub(super) up: Vec<usize>,
    pub(super) by_hash: BTreeMap<IdHash, usize>,
    pub(super) by_id: BTreeMap<NodeId, usize>,
    pub(super) kv: Kv,
    /// The mesh has one node, which was told of nobody.
    pub(super) is_single: bool,
    /// The nodes have one of two cluster keys, so they would begin two histories.
    pub(super) has_two_keys: bool,
    /// Who crashed within the last moments.
    pub(super) crashed: Vec<usize>,
    /// Who said goodbye.
    pub(super) left: Vec<usize>,
    /// Counts the changes of the services.
    pub(super) services: u64,
    /// How long a crashed node stays away.
    pub(super) downtime: (u64, u64),
    pub(super) checkers: Checkers,
    pub(super) figures: Figures,
    pub(super) trace: Trace,
}

/// Plays a scenario to its end.
pub(super) fn play(scenario: &Scenario, setting: &Setting, trace: Trace) -> Figures {
    let end = Instant::ORIGIN + Duration::from_secs(setting.days * 86_400);
    let mut world = World::new(scenario, setting.clone(), trace);
    (scenario.begin)(&mut world);
    world.queue.push(Instant::ORIGIN + super::edge::BETWEEN_PROBES, Planned::Probe);
    while world.step(end) {}
    world.finish()
}

impl World {
    fn new(scenario: &Scenario, setting: Setting, trace: Trace) -> Self {
        let mut seed = [0; 32];
        let mut hasher = blake3::Hasher::new();
        hasher.update(scenario.name.as_bytes()).update(&setting.seed.to_be_bytes());
        seed.copy_from_slice(hasher.finalize().as_bytes());
        let kv = Kv::new(setting.staleness, setting.seed);
        let checkers = Checkers::new(Duration::from_secs(setting.faults_end()));
        Self {
            setting,
            odds: Odds::default(),
            rng: ChaCha8Rng::from_seed(seed),
            now: Instant::ORIGIN,
            queue: Queue::default(),
            deadlines: BTreeSet::new(),
            nodes: Vec::new(),
            up: Vec::new(),
            by_hash: BTreeMap::new(),
            by_id: BTreeMap::new(),
            kv,
            is_single: false,
            has_two_keys: false,
            crashed: Vec::new(),
            left: Vec::new(),
            services: 0,
            downtime: (20_000, 60_000),
            checkers,
            figures: Figures::default(),
            trace,
        }
    }

    /// The next event or deadline, whichever comes first; false at the end.
    fn step(&mut self, end: Instant) -> bool {
        let timer = self.deadlines.first().copied().filter(|(at, _)| *at <= end);
        let until = timer.map_or(end, |(at, _)| at);
        if let Some((at, planned)) = self.queue.take_due(until) {
            self.now = at.max(self.now);
            self.happen(planned);
        } else if let Some((at, node)) = timer {
            self.now = at.max(self.now);
            self.with(node, |process, now| {
                process.policy.handle_timeout(now);
                process.election.handle_timeout(now);
            });
        } else {
            return false;
        }
        true
    }

    fn happen(&mut self, planned: Planned) {
        match planned {
            Planned::To(node, boot, event) => {
                if self.nodes[node].boot != boot {
                    return;
                }
                match self.nodes[node].frozen {
                    // It finds what came meanwhile when it goes on.
                    Some((_, thaws)) if !matches!(event, Event::Thaw | Event::Crash) => {
                        self.queue.push(thaws, Planned::To(node, boot, event));
                    }
                    _ => self.happen_to(node, event),
                }
            }
            Planned::Put(node, boot, value) => self.arrive(node, boot, value),
            Planned::Start(node) => self.start(node),
            Planned::Probe => self.probe(),
            Planned::Deed(deed) => deed(self),
        }
    }

    fn happen_to(&mut self, node: usize, event: Event) {
        match event {
            Event::Gate => self.gate(node),
            Event::Look => self.look(node),
            Event::Session => self.session(node),
            Event::Compare => self.compare(node),
            Event::Thaw => self.thaw(node),
            Event::Crash => {
                let downtime = self.downtime;
                self.bounce(node, downtime);
            }
            Event::Get => self.get(node),
            Event::Send(value) => self.send(node, value),
            Event::Reply(reply) => {
                self.written(node);
                self.with(node, |process, now| process.policy.handle_store(reply, now));
            }
            Event::Keep(record, receipt) => self.keep(node, &record, receipt),
            Event::Kept(round, ok) => {
                if self.nodes[node].round == round {
                    self.with(node, |process, now| process.policy.handle_kept(ok, now));
                }
            }
            Event::Ask(from, term) => {
                self.with(node, |process, now| process.election.handle_election(from, term, now));
            }
            Event::Answer(from, term, leader) => {
                self.with(node, |process, now| process.election.handle_answer(from, term, leader, now));
            }
        }
    }

    /// Does something with a process, and then what it asks for.
    pub(super) fn with(&mut self, node: usize, act: impl FnOnce(&mut Process, Instant)) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else { return };
        act(process, now);
        self.pump(node);
    }

    /// Plans an event of a node's present process, after some milliseconds.
    pub(super) fn tell(&mut self, node: usize, millis: (u64, u64), event: Event) {
        let at = self.now + self.between(millis);
        let boot = self.nodes[node].boot;
        self.queue.push(at, Planned::To(node, boot, event));
    }

    /// Plans a deed, after some milliseconds.
    pub(super) fn after(&mut self, millis: (u64, u64), deed: impl FnOnce(&mut Self) + 'static) {
        let at = self.now + self.between(millis);
        self.queue.push(at, Planned::Deed(Box::new(deed)));
    }

    /// A random time of so many milliseconds.
    pub(super) fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_micros(self.rng.random_range(least * 1_000..=most * 1_000))
    }

    pub(super) fn chance(&mut self, odds: f64) -> bool {
        odds > 0.0 && self.rng.random_bool(odds)
    }

    /// One of these at random.
    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        if among.is_empty() {
            return None;
        }
        let at = self.rng.random_range(0..among.len());
        among.get(at).copied()
    }

    /// One of the nodes that are up.
    pub(super) fn pick_up(&mut self) -> Option<usize> {
        let at = (!self.up.is_empty()).then(|| self.rng.random_range(0..self.up.len()))?;
        self.up.get(at).copied()
    }

    /// Seconds since the start.
    pub(super) const fn seconds(&self) -> u64 {
        self.now.as_nanos() / 1_000_000_000
    }

    pub(super) fn log(&mut self, node: usize, what: fmt::Arguments<'_>) {
        self.trace.record(self.now, Who::Node(node), what);
    }

    fn finish(mut self) -> Figures {
        self.checkers.finish(&mut self.figures);
        self.figures.trace = self.trace.hash();
        self.figures
    }
}
