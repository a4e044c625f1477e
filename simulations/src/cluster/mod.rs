//! The cluster: many `Mesh` on simulated machines, one virtual clock, and verbs that read like a script.

mod explain;
mod faults;
mod links;
mod measured;
mod node;
mod pauses;
mod release;
mod tcp;
#[cfg(test)]
mod tests;
mod traffic;
mod world;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use meshnode::id::{IdHash, ServiceName};
use meshnode::mesh::{Input, LinkFailure};
use meshnode::summary::StoreReply;
use meshnode::time::{Duration, Instant};
use meshnode::view::{Status, View};
use meshnode::wire::manifest::{Verified, Verifier};
use rand_chacha::ChaCha8Rng;

pub use faults::Restart;
pub use measured::SERVERS;
pub use pauses::Rhythm;
pub use release::Release;

use self::links::Links;
use self::node::Node;
use self::tcp::{Tcp, WatchLinks};
use crate::checkers::false_death::FalseDeaths;
use crate::checkers::{Checkers, Kind, Violation};
use crate::meter::Meter;
use crate::model::{Model, State};
use crate::network::Network;
use crate::options::{Options, Stream, generator};
use crate::queue::Queue;
use crate::store::Store;
use crate::trace::{Trace, Who};

/// How often the checkers look at the clock.
const TICK: Duration = Duration::from_secs(1);

/// Manifests that are decoded once and for all nodes.
const MANIFESTS: usize = 1 << 16;

/// How finely `until` measures.
const STEP: Duration = world::LOOK;

/// Many nodes in virtual time.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    now: Instant,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    addresses: HashMap<SocketAddr, usize>,
    network: Network,
    links: Links,
    watches: WatchLinks,
    store: Store,
    model: Model,
    checkers: Checkers,
    trace: Trace,
    boots: ChaCha8Rng,
    /// Decodes and verifies each manifest once, for all nodes.
    verifier: Verifier,
    booted: u64,
    failed: Option<Violation>,
    /// Nodes whose views the checkers may not have seen yet.
    unseen: BTreeSet<usize>,
    /// Counts in place of the checkers, in a cluster that is measured.
    meter: Option<Meter>,
}

/// A memory of what was verified, which all nodes share: each has the same answer, only sooner.
fn shared_verifier() -> Verifier {
    let verified = Mutex::new(Verified::new(MANIFESTS));
    Verifier::new(move |bytes| verified.lock().unwrap_or_else(PoisonError::into_inner).verify(bytes))
}

/// What the queue holds.
#[derive(Debug)]
enum Happening {
    /// The checkers look at the clock.
    Tick,
    /// The checkers look at the views of a large mesh.
    Look,
    /// The node's own deadline.
    Wake { node: usize, boot: u64 },
    /// A datagram arrives at an address, sealed for one member or for whoever is there.
    Datagram { to: SocketAddr, sealed_for: Option<IdHash>, source: SocketAddr, bytes: Vec<u8> },
    /// A request arrives over a link.
    Asked { link: u64, body: Vec<u8> },
    /// An answer arrives.
    Answered { link: u64, body: Vec<u8> },
    /// There will be no answer.
    Failed { link: u64, failure: LinkFailure },
    /// A health check ends.
    Checked { node: usize, boot: u64, service: ServiceName },
    /// The store's answer arrives.
    Stored { node: usize, boot: u64, reply: StoreReply },
    /// The machine is as busy as it just happens to be.
    Load { node: usize, boot: u64 },
    /// The process was told a higher epoch of its own, and takes one above it.
    Raised { node: usize, boot: u64, known: u64 },
    /// A machine is switched on.
    Start { node: usize },
    /// A connection is made, or breaks.
    Tcp(Tcp),
    /// A stopped process goes on.
    Resume { node: usize, boot: u64 },
    /// A slow processor is done with an input.
    Serve { node: usize, boot: u64 },
    /// A starved process gets no time again.
    Freeze { node: usize, boot: u64, rhythm: Rhythm },
}

impl Cluster {
    /// Machines that are all off.
    pub fn new(options: Options, trace: Trace) -> Self {
        let mut cluster = Self::empty(options, trace, None);
        for _ in 0..cluster.options.nodes {
            cluster.add();
        }
        cluster.queue.push(Instant::ORIGIN + TICK, Happening::Tick);
        cluster.queue.push(Instant::ORIGIN + world::LOOK, Happening::Look);
        cluster
    }

    fn empty(options: Options, trace: Trace, meter: Option<Meter>) -> Self {
        let network = Network::new(options.network, generator(options.seed, Stream::Network));
        Self {
            now: Instant::ORIGIN,
            queue: Queue::default(),
            nodes: Vec::new(),
            addresses: HashMap::new(),
            network,
            links: Links::default(),
            watches: WatchLinks::default(),
            store: Store::new(options.staleness),
            model: Model::default(),
            checkers: Checkers::new(options.hold, options.mode, !options.staleness.is_zero()),
            trace,
            boots: generator(options.seed, Stream::Boots),
            verifier: shared_verifier(),
            booted: 0,
            failed: None,
            unseen: BTreeSet::new(),
            meter,
            options,
        }
    }

    /// Machines that are switched on one after the other, as the options say.
    pub fn boot(options: Options, trace: Trace) -> Self {
        let mut cluster = Self::new(options, trace);
        for node in 0..cluster.nodes.len() {
            let delay = cluster.options.stagger * u32::try_from(node).unwrap_or(u32::MAX);
            cluster.queue.push(cluster.now + delay, Happening::Start { node });
        }
        cluster
    }

    /// Lets virtual time pass.
    pub fn run(&mut self, span: Duration) -> Result<(), Violation> {
        let until = self.now + span;
        while self.failed.is_none() {
            let Some((at, happening)) = self.queue.take_due(until) else {
                self.now = until;
                return Ok(());
            };
            self.now = at;
            if let Some(meter) = &mut self.meter {
                meter.tick(at, self.queue.len());
            }
            self.happen(happening);
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Lets time pass until `true_of` holds, at most `within`, and says how long that took.
    pub fn until(
        &mut self,
        within: Duration,
        what: &str,
        true_of: impl Fn(&Self) -> bool,
    ) -> Result<Duration, Violation> {
        let started = self.now;
        while !true_of(self) {
            if self.now.since(started) >= within {
                let text = format!("{what}: not within {within:?}");
                return Err(Violation { kind: Kind::Convergence, at: self.now, text });
            }
            self.run(STEP)?;
        }
        Ok(self.now.since(started))
    }

    /// Lets time pass until every part sees itself as it is and follows one leader, at most `within`.
    pub fn settle(&mut self, within: Duration) -> Result<Duration, Violation> {
        let started = self.now;
        loop {
            let Some((kind, text)) = self.checkers.unsettled(&self.model) else {
                return Ok(self.now.since(started));
            };
            if self.now.since(started) >= within {
                return Err(Violation { kind, at: self.now, text });
            }
            self.run(STEP)?;
        }
    }

    /// The options of the run.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The virtual time since the start.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The truth.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The trace.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The most datagrams that any node sent within one second so far.
    pub fn most_datagrams(&self) -> u32 {
        self.checkers.bounds.most_datagrams()
    }

    /// Who was held dead while it lived.
    pub const fn false_deaths(&self) -> &FalseDeaths {
        &self.checkers.false_deaths
    }

    /// What a node that runs holds.
    pub fn view(&self, node: usize) -> Option<&Arc<View>> {
        self.checkers.views().get(node)?.as_ref()
    }

    /// What one node holds of another.
    pub fn status(&self, observer: usize, subject: usize) -> Option<Status> {
        let id = self.nodes[subject].id();
        self.view(observer)?.member(&id).map(|member| member.status)
    }

    /// Whether every node that is up holds `subject` dead or left, or does not know it.
    pub fn all_hold_gone(&self, subject: usize) -> bool {
        let gone = |status: Status| !status.is_live();
        self.model.in_state(State::Up).all(|observer| self.status(observer, subject).is_none_or(gone))
    }

    /// Whom a node follows.
    pub fn leader_of(&self, node: usize) -> Option<usize> {
        self.model.index_of(&self.view(node)?.leader.leader?)
    }

    fn fail(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result
            && self.failed.is_none()
        {
            self.note(Who::World, format_args!("violation {violation}"));
            self.failed = Some(violation);
        }
    }

    fn note(&mut self, who: Who, what: fmt::Arguments<'_>) {
        self.trace.record(self.now, who, what);
    }

    /// The node's process, when it is the one of this boot.
    fn runs(&self, node: usize, boot: u64) -> bool {
        self.nodes[node].process.as_ref().is_some_and(|process| process.boot == boot)
    }

    /// Hands an input to the node's `Mesh`, does what it wants done, and looks at what it holds then.
    fn feed(&mut self, node: usize, input: Input) {
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        let Some(input) = process.take_in(input) else {
            return;
        };
        let now = process.local(self.now);
        process.mesh.handle(input, now);
        let slowness = self.nodes[node].slowness;
        if !slowness.is_zero() {
            self.keep_busy(node, slowness);
        }
        self.drain(node);
    }
}
