//! Scenarios: schedules of faults, read from TOML files; the usual ones are part of the program.

pub mod action;
mod file;
mod raw;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::path::Path;

use meshnode::mesh::Detector;
use meshnode::time::Duration;

pub use action::{Action, Way, Who};
pub use file::ScenarioError;

use crate::latency::Latency;
use crate::options::Options;

/// A schedule of faults, and what is usual for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name on the command line: of a built-in one, or the path of its file.
    pub name: String,
    /// What happens, in one line.
    pub about: String,
    /// The usual options; what is not given is drawn from the seed, or usual for all scenarios.
    pub usual: Usual,
    /// What happens when.
    pub steps: Vec<Step>,
}

/// Options that a scenario may bring along.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usual {
    /// Nodes that start at the beginning.
    pub nodes: Option<usize>,
    /// The safety phase.
    pub duration: Option<Duration>,
    /// The longest liveness phase.
    pub settle: Option<Duration>,
    /// The first so many nodes are the `--join` of all.
    pub seeds: Option<usize>,
    /// Between the starts of two nodes.
    pub stagger: Option<Duration>,
    /// The mesh's `--election-hold`.
    pub hold: Option<Duration>,
    /// How old an answer of the store may be.
    pub staleness: Option<Duration>,
    /// Share of the datagrams that are lost.
    pub loss: Option<f64>,
    /// Share of the datagrams that arrive twice.
    pub duplicate: Option<f64>,
    /// Share of the datagrams that are overtaken.
    pub reorder: Option<f64>,
    /// How long things are on their way.
    pub latency: Option<Latency>,
    /// Which failure detector the nodes have.
    pub mode: Option<Detector>,
}

/// Something that happens in a scenario, once or repeatedly.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// How often.
    pub times: u32,
    /// Between two times.
    pub every: Duration,
}

/// Nodes of a scenario that does not say how many.
const NODES: usize = 12;

/// The built-in scenarios: name and file.
const FILES: &[(&str, &str)] = &[
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("bootstrap", include_str!("../../scenarios/bootstrap.toml")),
    ("join", include_str!("../../scenarios/join.toml")),
    ("crash", include_str!("../../scenarios/crash.toml")),
    ("host-loss", include_str!("../../scenarios/host-loss.toml")),
    ("ten-crashes", include_str!("../../scenarios/ten-crashes.toml")),
    ("leave", include_str!("../../scenarios/leave.toml")),
    ("restart", include_str!("../../scenarios/restart.toml")),
    ("rolling-restart", include_str!("../../scenarios/rolling-restart.toml")),
    ("restart-storm", include_str!("../../scenarios/restart-storm.toml")),
    ("flapping", include_str!("../../scenarios/flapping.toml")),
    ("leader-flapping", include_str!("../../scenarios/leader-flapping.toml")),
    ("partition", include_str!("../../scenarios/partition.toml")),
    ("threeway", include_str!("../../scenarios/threeway.toml")),
    ("loss", include_str!("../../scenarios/loss.toml")),
    ("loss-5", include_str!("../../scenarios/loss-5.toml")),
    ("loss-10", include_str!("../../scenarios/loss-10.toml")),
    ("loss-25", include_str!("../../scenarios/loss-25.toml")),
    ("wan", include_str!("../../scenarios/wan.toml")),
    ("mute", include_str!("../../scenarios/mute.toml")),
    ("deaf", include_str!("../../scenarios/deaf.toml")),
    ("lossy-nodes", include_str!("../../scenarios/lossy-nodes.toml")),
    ("reset-links", include_str!("../../scenarios/reset-links.toml")),
    ("pause", include_str!("../../scenarios/pause.toml")),
    ("suspend", include_str!("../../scenarios/suspend.toml")),
    ("cpu-starved", include_str!("../../scenarios/cpu-starved.toml")),
    ("slow-cpu", include_str!("../../scenarios/slow-cpu.toml")),
    ("clock-skew", include_str!("../../scenarios/clock-skew.toml")),
    ("cloned-disk", include_str!("../../scenarios/cloned-disk.toml")),
    ("mixed-versions", include_str!("../../scenarios/mixed-versions.toml")),
    ("service", include_str!("../../scenarios/service.toml")),
    ("store-outage", include_str!("../../scenarios/store-outage.toml")),
    ("write-budget", include_str!("../../scenarios/write-budget.toml")),
    ("chaos", include_str!("../../scenarios/chaos.toml")),
];

impl Scenario {
    /// The names of the built-in scenarios.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The built-in scenario of this name, or else the file at this path.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some((name, text)) = FILES.iter().find(|(built_in, _)| *built_in == name) {
            return Self::parse(name, text);
        }
        let path = Path::new(name);
        if path.extension().is_none() && !path.exists() {
            let names = Self::names().collect::<Vec<_>>().join(", ");
            return Err(ScenarioError::Unknown { name: name.to_owned(), names });
        }
        let unreadable = |error: std::io::Error| ScenarioError::Unreadable {
            path: name.to_owned(),
            error: error.to_string(),
        };
        Self::parse(name, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// The usual number of nodes.
    pub fn nodes(&self) -> usize {
        self.usual.nodes.unwrap_or(NODES)
    }

    /// The usual options, those drawn from the seed, and the scenario's own.
    pub fn options(&self, nodes: usize, seed: u64) -> Options {
        let mut options = Options::draw(nodes, seed);
        self.usual.apply(&mut options);
        options
    }

    /// Everything that happens, one by one, in order.
    pub fn schedule(&self) -> Vec<(Duration, &Action)> {
        let repeated =
            |step: &'_ Step| (0..step.times).map(|time| step.at + step.every * time).collect::<Vec<_>>();
        let mut schedule: Vec<(Duration, &Action)> = self
            .steps
            .iter()
            .flat_map(|step| repeated(step).into_iter().map(|at| (at, &step.action)))
            .collect();
        schedule.sort_by_key(|(at, _)| *at);
        schedule
    }
}

impl Step {
    /// Something that happens once.
    pub const fn once(at: Duration, action: Action) -> Self {
        Self { at, action, times: 1, every: Duration::ZERO }
    }
}

impl Usual {
    /// Sets what is given, but the number of nodes.
    pub fn apply(&self, options: &mut Options) {
        let Self { nodes: _, duration, settle, seeds, stagger, hold, staleness, .. } = *self;
        let Self { loss, duplicate, reorder, latency, mode, .. } = *self;
        set(&mut options.duration, duration);
        set(&mut options.settle, settle);
        set(&mut options.seeds, seeds.map(|seeds| seeds.min(options.nodes)));
        set(&mut options.stagger, stagger);
        set(&mut options.hold, hold);
        set(&mut options.staleness, staleness);
        set(&mut options.network.loss, loss);
        set(&mut options.network.duplicate, duplicate);
        set(&mut options.network.reorder, reorder);
        set(&mut options.network.latency, latency);
        set(&mut options.mode, mode);
    }
}

fn set<T>(option: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *option = given;
    }
}
