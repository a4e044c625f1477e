//! Starvation: a tenth of the nodes gets almost no CPU for a while, and the others must not die of it.

use meshnode::time::Duration;
use rand::seq::SliceRandom as _;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use crate::checkers::Violation;
use crate::options::{Stream, generator};

/// One of so many nodes is starved.
const ONE_OF: usize = 10;

/// They stand still for five of every six seconds, ten times.
const FROZEN: Duration = Duration::from_secs(5);
const CYCLE: Duration = Duration::from_secs(6);
const STARVED: Duration = Duration::from_secs(60);

/// Before and after.
const WARM_UP: Duration = Duration::from_secs(5);
const THEN: Duration = Duration::from_secs(30);

/// Counts the deaths of the healthy and of the starved.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    let mut nodes: Vec<usize> = (0..setting.nodes).collect();
    nodes.shuffle(&mut generator(setting.seed, Stream::Script));
    nodes.truncate((setting.nodes / ONE_OF).max(1));
    cluster.run(WARM_UP)?;
    nodes.iter().for_each(|node| cluster.starve(*node, FROZEN, CYCLE, STARVED));
    cluster.run(STARVED + THEN)?;
    let deaths = cluster.meter().map_or(&[][..], |meter| meter.deaths());
    let of_starved = deaths.iter().filter(|death| nodes.contains(&death.subject)).count();
    let hours = |nodes: usize| count_as_f64(nodes) * (WARM_UP + STARVED + THEN).as_secs_f64() / 3_600.0;
    let finding = |measure| Finding::new(measure, setting, Unit::Count);
    Ok(vec![
        finding("10 % starved: deaths of the healthy")
            .counted(deaths.len() - of_starved, hours(setting.nodes - nodes.len())),
        finding("10 % starved: deaths of the starved").counted(of_starved, hours(nodes.len())),
    ])
}
