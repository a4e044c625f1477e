//! A stopped process: when others route around it, and when they hold it dead.

use meshnode::time::Duration;
use rand::RngExt as _;

use super::finding::{Finding, Unit};
use super::setting::Setting;
use super::spread::Spread;
use crate::checkers::Violation;
use crate::meter::Sight;
use crate::options::{Stream, generator};

/// Before the stop, up to a second more.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long it lasts.
const STOPPED: Duration = Duration::from_secs(60);

/// When all others hold a stopped process unroutable, and when dead.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    let mut script = generator(setting.seed, Stream::Script);
    let victim = script.random_range(0..setting.nodes);
    if let Some(meter) = cluster.meter_mut() {
        meter.watch(&[victim]);
    }
    cluster.run(WARM_UP + Duration::from_secs(1).mul_f64(script.random_range(0.0..1.0)))?;
    let since = cluster.now();
    cluster.pause(victim, STOPPED);
    cluster.run(STOPPED - Duration::from_secs(1))?;
    let sightings = cluster.meter().map_or(&[][..], |meter| meter.sightings());
    let counts = |observer: usize| observer != victim;
    let (avoided, _) = Spread::avoided(sightings, victim, since, cluster.now(), counts);
    let dead = Spread::of(sightings, victim, &[Sight::Dead], since, counts);
    let others = setting.nodes - 1;
    let finding = |measure| Finding::new(measure, setting, Unit::Seconds);
    Ok(vec![
        finding("stopped process: unroutable everywhere").with([avoided.reached(1.0, others)]),
        finding("stopped process: dead everywhere").with([dead.reached(1.0, others)]),
    ])
}
