//! Bad machines: one of a hundred hears nothing, is not heard, or loses most of what it sends and gets.

use meshnode::time::Duration;
use rand::seq::SliceRandom as _;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use super::spread::Spread;
use crate::checkers::Violation;
use crate::network::Losses;
use crate::options::{Stream, generator};

/// One of so many nodes is bad.
const ONE_OF: usize = 100;

/// Rounds are under way before.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long it lasts.
const SPAN: Duration = Duration::from_secs(120);

/// What is wrong with the bad machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ill {
    /// Nothing reaches them.
    Deaf,
    /// Nothing that they send arrives.
    Mute,
    /// Four of five datagrams are lost, each way.
    Lossy,
}

impl Ill {
    const fn losses(self) -> Losses {
        match self {
            Self::Deaf => Losses { sent: 0.0, received: 1.0 },
            Self::Mute => Losses { sent: 1.0, received: 0.0 },
            Self::Lossy => Losses { sent: 0.8, received: 0.8 },
        }
    }

    const fn names(self) -> [&'static str; 4] {
        match self {
            Self::Deaf => [
                "1 % deaf: routed around",
                "1 % deaf: share of the time routed around",
                "1 % deaf: deaths of the others",
                "1 % deaf: their own deaths",
            ],
            Self::Mute => [
                "1 % mute: routed around",
                "1 % mute: share of the time routed around",
                "1 % mute: deaths of the others",
                "1 % mute: their own deaths",
            ],
            Self::Lossy => [
                "1 % lossy: routed around",
                "1 % lossy: share of the time routed around",
                "1 % lossy: deaths of the others",
                "1 % lossy: their own deaths",
            ],
        }
    }
}

/// When all healthy nodes first avoided a bad one, for how much of the time the average one did, and who died.
pub(super) fn measure(ill: Ill, setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    let mut bad: Vec<usize> = (0..setting.nodes).collect();
    bad.shuffle(&mut generator(setting.seed, Stream::Script));
    bad.truncate((setting.nodes / ONE_OF).max(1));
    cluster.run(WARM_UP)?;
    if let Some(meter) = cluster.meter_mut() {
        meter.watch(&bad);
        // Who hears nobody comes to hold everybody dead, and is right to.
        meter.ignore(&bad);
    }
    let since = cluster.now();
    bad.iter().for_each(|node| cluster.lose_at(*node, ill.losses()));
    cluster.run(SPAN)?;
    let Some(meter) = cluster.meter() else { return Ok(Vec::new()) };
    let healthy = setting.nodes - bad.len();
    let of = |node: &usize| {
        Spread::avoided(meter.sightings(), *node, since, since + SPAN, |observer| !bad.contains(&observer))
    };
    let avoided: Vec<_> = bad.iter().map(of).collect();
    let own = meter.deaths().iter().filter(|death| bad.contains(&death.subject)).count();
    let [around, share, others, theirs] = ill.names();
    let hours = |nodes: usize| count_as_f64(nodes) * SPAN.as_secs_f64() / 3_600.0;
    let finding = |measure, unit| Finding::new(measure, setting, unit);
    Ok(vec![
        finding(around, Unit::Seconds).with(avoided.iter().map(|(spread, _)| spread.reached(1.0, healthy))),
        finding(share, Unit::Mean("")).with(avoided.iter().map(|(_, held)| held / count_as_f64(healthy))),
        finding(others, Unit::Count).counted(meter.deaths().len() - own, hours(healthy)),
        finding(theirs, Unit::Count).counted(own, hours(bad.len())),
    ])
}
