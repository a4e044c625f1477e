//! Crashes: when the first one has evidence, when the first one is sure, and when all survivors know.

use meshnode::time::{Duration, Instant};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::finding::{Finding, Unit};
use super::setting::Setting;
use super::spread::Spread;
use crate::checkers::Violation;
use crate::cluster::Cluster;
use crate::meter::Sight;
use crate::options::{Stream, generator};

/// Nodes that crash in one run: one of a hundred, and at most so many.
const MOST_VICTIMS: usize = 10;

/// Within this time all victims crash.
const WITHIN: Duration = Duration::from_secs(10);

/// Rounds are under way before the first crash.
const WARM_UP: Duration = Duration::from_secs(3);

/// Who does not know by then never will.
const PATIENCE: Duration = Duration::from_secs(150);

/// Between two looks at whether all know.
const STEP: Duration = Duration::from_millis(250);

/// What goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The whole machine, without a word.
    Host,
    /// The process: its machine closes its links and refuses new ones.
    Process,
}

impl Fault {
    const fn names(self) -> [&'static str; 5] {
        match self {
            Self::Host => [
                "silent host: first evidence",
                "silent host: first to know",
                "silent host: each knows",
                "silent host: 99.9 % know",
                "silent host: all know",
            ],
            Self::Process => [
                "killed process: first evidence",
                "killed process: first to know",
                "killed process: each knows",
                "killed process: 99.9 % know",
                "killed process: all know",
            ],
        }
    }

    /// The measure that has a number for each survivor.
    pub(super) const fn measure_of_each(self) -> &'static str {
        self.names()[2]
    }
}

/// When somebody who is down came to be known as such.
pub(super) fn measure(fault: Fault, setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    let crashes = play(&mut cluster, fault, setting)?;
    let is_survivor = |observer: usize| crashes.iter().all(|(victim, _)| *victim != observer);
    let survivors = setting.nodes - crashes.len();
    let sightings = cluster.meter().map_or(&[][..], |meter| meter.sightings());
    let spreads = |what| {
        let of =
            move |(victim, at): &(usize, Instant)| Spread::of(sightings, *victim, &[what], *at, is_survivor);
        crashes.iter().map(of).collect::<Vec<_>>()
    };
    let (doubted, dead) = (spreads(Sight::Doubted), spreads(Sight::Dead));
    let [evidence, death, each, most, all] = fault.names();
    let finding = |measure| Finding::new(measure, setting, Unit::Seconds);
    Ok(vec![
        finding(evidence).with(doubted.iter().map(Spread::first)),
        finding(death).with(dead.iter().map(Spread::first)),
        finding(each).with(dead.iter().flat_map(|dead| dead.each(survivors))),
        finding(most).with(dead.iter().map(|dead| dead.reached(0.999, survivors))),
        finding(all).with(dead.iter().map(|dead| dead.reached(1.0, survivors))),
    ])
}

/// Lets the victims crash, each at a moment of its own, and runs until all survivors know.
fn play(cluster: &mut Cluster, fault: Fault, setting: &Setting) -> Result<Vec<(usize, Instant)>, Violation> {
    let mut script = generator(setting.seed, Stream::Script);
    let mut victims: Vec<usize> = (0..setting.nodes).collect();
    victims.shuffle(&mut script);
    victims.truncate((setting.nodes / 100).clamp(1, MOST_VICTIMS));
    if let Some(meter) = cluster.meter_mut() {
        meter.watch(&victims);
    }
    cluster.run(WARM_UP)?;
    let mut delays: Vec<Duration> =
        victims.iter().map(|_| WITHIN.mul_f64(script.random_range(0.0..1.0))).collect();
    delays.sort_unstable();
    let began = cluster.now();
    let mut crashes = Vec::new();
    for (victim, delay) in victims.into_iter().zip(delays) {
        cluster.run(delay.saturating_sub(cluster.now().since(began)))?;
        match fault {
            Fault::Host => cluster.lose_host(victim),
            Fault::Process => cluster.crash(victim),
        }
        crashes.push((victim, cluster.now()));
    }
    let survivors = setting.nodes - crashes.len();
    let last = cluster.now();
    while cluster.now().since(last) < PATIENCE
        && !crashes.iter().all(|(victim, _)| cluster.holders(*victim) >= survivors)
    {
        cluster.run(STEP)?;
    }
    Ok(crashes)
}
