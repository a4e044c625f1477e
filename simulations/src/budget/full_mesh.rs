//! The same quiet days in the full mesh: whether what its leader writes agrees with the oracle's world.

use std::collections::BTreeMap;

use meshnode::time::Duration;

use super::checkers::Breach;
use super::scenarios::{Scenario, all};
use super::setting::Setting;
use crate::scenario::Scenario as Play;
use crate::store::unix;
use crate::trace::Trace;

/// The names of the columns.
pub(super) const HEADER: [&str; 4] = ["nodes", "S", "full mesh, writes on each day", "oracle"];

/// Writes of a quiet day may differ by so many: the mesh boots at another second.
const TOLERANCE: u32 = 2;

/// What was written on each day, in both worlds.
#[derive(Debug)]
pub(super) struct Comparison {
    nodes: usize,
    staleness: Duration,
    full: Vec<u32>,
    oracle: Vec<u32>,
}

/// Plays so many days with so many nodes in both.
pub(super) fn compare(nodes: usize, setting: &Setting) -> Option<Comparison> {
    let steady = Play::load("steady").ok()?;
    let mut options = steady.options(nodes, setting.seed);
    options.duration = Duration::from_secs(setting.days * 86_400 - 60);
    options.staleness = setting.staleness;
    let outcome = steady.play(options, Trace::silent());
    let mut full: BTreeMap<u64, u32> = BTreeMap::new();
    for put in outcome.cluster.store().puts() {
        *full.entry(unix(put.at) / 86_400).or_default() += 1;
    }
    let quiet = |scenario: &Scenario| scenario.name == format!("quiet{nodes}");
    let oracle = all().into_iter().find(quiet)?.play(setting).applied;
    let staleness = setting.staleness;
    Some(Comparison {
        nodes,
        staleness,
        full: full.into_values().collect(),
        oracle: oracle.into_values().collect(),
    })
}

impl Comparison {
    pub(super) fn row(&self) -> Vec<String> {
        let days = |writes: &[u32]| writes.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        vec![
            self.nodes.to_string(),
            self.staleness.as_secs().to_string(),
            days(&self.full),
            days(&self.oracle),
        ]
    }

    pub(super) fn check(&self) -> Option<Breach> {
        let agree = self.full.len() == self.oracle.len()
            && self.full.iter().zip(&self.oracle).all(|(full, oracle)| full.abs_diff(*oracle) <= TOLERANCE);
        (!agree).then(|| Breach {
            promise: "agreement",
            text: format!("{:?} writes in the full mesh, {:?} in the oracle's", self.full, self.oracle),
        })
    }
}
