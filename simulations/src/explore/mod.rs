//! Looks for trouble: plays schedules drawn from many seeds, and shrinks those that fail.

mod command;
pub mod draw;
pub mod shrink;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use meshnode::mesh::Detector;
use meshnode::time::Duration;

pub use command::ExploreArgs;
use draw::schedule;
use shrink::{Shrunk, shrink};

use crate::checkers::Violation;
use crate::measure::jobs;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// The fewest and the most nodes.
    pub nodes: (usize, usize),
    /// The failure detector.
    pub mode: Detector,
    /// How many runs at a time.
    pub threads: usize,
}

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// Seeds whose schedules fail, in order, and how.
    pub failures: Vec<(u64, Violation)>,
    /// Virtual time that nodes ran in all plays, in hours.
    pub node_hours: f64,
}

impl Search {
    /// Plays all schedules.
    pub fn run(&self) -> Findings {
        let seeds: Vec<u64> = (self.first..self.first.saturating_add(self.seeds)).collect();
        let played = jobs::run(&seeds, self.threads, |&seed| {
            let scenario = schedule(seed, self.nodes, self.mode);
            let (violation, lasted) = play(&scenario, seed);
            let nodes = u32::try_from(scenario.nodes()).unwrap_or(u32::MAX);
            (seed, violation, lasted.as_secs_f64() * f64::from(nodes) / 3_600.0)
        });
        let node_hours = played.iter().map(|(_, _, hours)| hours).sum();
        let failures =
            played.into_iter().filter_map(|(seed, violation, _)| Some((seed, violation?))).collect();
        Findings { failures, node_hours }
    }

    /// Shrinks the schedules of failures, each on its own, and writes them into a folder.
    pub fn shrink(
        &self,
        failures: &[(u64, Violation)],
        folder: &Path,
    ) -> io::Result<Vec<(u64, PathBuf, Shrunk)>> {
        let shrunk = jobs::run(failures, self.threads, |(seed, violation)| {
            let scenario = schedule(*seed, self.nodes, self.mode);
            shrink(scenario, violation.clone(), |smaller| play(smaller, *seed).0)
        });
        let mut written = Vec::new();
        for ((seed, _), mut shrunk) in failures.iter().zip(shrunk) {
            let path = folder.join(format!("explore-{seed}.toml"));
            shrunk.scenario.about = format!("seed {seed}: {}", shrunk.violation);
            let text = shrunk.scenario.to_toml().map_err(io::Error::other)?;
            fs::write(&path, text).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
            })?;
            written.push((*seed, path, shrunk));
        }
        Ok(written)
    }
}

fn play(scenario: &Scenario, seed: u64) -> (Option<Violation>, Duration) {
    let options = scenario.options(scenario.nodes(), seed);
    let outcome = scenario.play(options, Trace::silent());
    (outcome.settled.err(), Duration::from_nanos(outcome.cluster.now().as_nanos()))
}
