//! A cluster that is measured: a meter in place of the checkers, and nodes that may know each other from the start.

use meshnode::mesh::{Event, Input, LocalChange};
use meshnode::time::{Duration, Instant};
use meshnode::view::Load;
use meshnode::wire::manifest::SignedManifest;
use rand::RngExt as _;

use super::{Cluster, Happening, TICK};
use crate::checkers::Violation;
use crate::meter::{Meter, Sight, Sighting};
use crate::options::Options;
use crate::trace::Trace;

/// A node that is alone has checked its services and published what it found after this long.
const ALONE: Duration = Duration::from_secs(1);

/// Machines whose services are known to all, and which may lead; the others offer none.
pub const SERVERS: usize = 16;

impl Cluster {
    /// Machines that are all off; nobody checks them.
    pub fn measured(options: Options) -> Self {
        let mut cluster = Self::empty(options, Trace::silent(), Some(Meter::default()));
        for node in 0..cluster.options.nodes {
            cluster.add();
            if node >= SERVERS {
                cluster.nodes[node].services.clear();
            }
        }
        cluster.queue.push(Instant::ORIGIN + TICK, Happening::Tick);
        cluster
    }

    /// Nodes that all know each other: what a bootstrap comes to, without its time.
    pub fn converged(options: Options) -> Result<Self, Violation> {
        let mut cluster = Self::measured(Options { seeds: 0, ..options });
        // Each turns its round at a moment of its own, as if it had been started whenever.
        let mut starts: Vec<(Duration, usize)> = Vec::new();
        for node in 0..cluster.nodes.len() {
            starts.push((ALONE.mul_f64(cluster.boots.random_range(0.0..1.0)), node));
        }
        starts.sort_unstable();
        for (start, node) in starts {
            cluster.run(start.saturating_sub(cluster.elapsed()))?;
            cluster.start(node);
        }
        cluster.run((ALONE * 2).saturating_sub(cluster.elapsed()))?;
        cluster.acquaint();
        Ok(cluster)
    }

    /// The virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now.since(Instant::ORIGIN)
    }

    /// How many of those that run hold a node dead, in a cluster that is measured.
    pub fn holders(&self, subject: usize) -> usize {
        let runs = |observer: &usize| self.nodes[*observer].process.is_some();
        self.meter.as_ref().map_or(0, |meter| meter.holders(subject).filter(runs).count())
    }

    /// What was counted and noted, in a cluster that is measured.
    pub const fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }

    /// The same, to watch nodes or begin anew.
    pub const fn meter_mut(&mut self) -> Option<&mut Meter> {
        self.meter.as_mut()
    }

    /// How many members a node that runs holds alive or suspect, itself included.
    pub fn live_count(&self, node: usize) -> Option<usize> {
        self.nodes[node].process.as_ref().map(|process| process.mesh.live_count())
    }

    fn acquaint(&mut self) {
        let own = |node: &super::Node| node.process.as_ref()?.mesh.own_manifest().cloned();
        let mut manifests: Vec<SignedManifest> = self.nodes.iter().filter_map(own).collect();
        // In the order in which each node keeps them, so that none has to make room.
        manifests.sort_by_key(SignedManifest::owner);
        for node in 0..self.nodes.len() {
            if let Some(process) = &mut self.nodes[node].process {
                let now = process.local(self.now);
                process.mesh.acquaint(&manifests, now);
                self.drain(node);
            }
        }
    }

    /// A machine that has little to do, ever: others hear of that once.
    pub(super) fn load_once(&mut self, node: usize) {
        let load = Load { busy: 0.0, available_memory: 1 << 30, in_flight: 0 };
        self.feed(node, Input::Local(LocalChange::Load(load)));
    }

    pub(super) fn sight(&mut self, observer: usize, event: &Event) {
        let (subject, what) = match event {
            Event::Evidence { subject, .. } => (subject, Sight::Doubted),
            Event::Dead(subject) => (subject, Sight::Dead),
            Event::Left(subject) => (subject, Sight::Left),
            Event::Refuted(subject) => (subject, Sight::Refuted),
            Event::Unroutable(subject) => (subject, Sight::Unroutable),
            Event::Routable(subject) => (subject, Sight::Routable),
            Event::Health { worker, .. } => (worker, Sight::Changed),
            Event::Joined(_)
            | Event::Leader { .. }
            | Event::Write { .. }
            | Event::Ready
            | Event::JoinUnanswered
            | Event::Refused { .. }
            | Event::ManifestTooLarge(_)
            | Event::StoresDiffer
            | Event::EpochBehind { .. }
            | Event::Isolated(_)
            | Event::Paused(_)
            | Event::Damped(_)
            | Event::Cloned { .. }
            | Event::Suspect { .. } => return,
        };
        let at = self.now;
        if let (Some(meter), Some(subject)) = (&mut self.meter, self.model.index_of(subject)) {
            meter.sight(Sighting { at, observer, subject, what });
        }
    }
}
