//! News: how long something new takes from the one who says it to everybody.

use meshnode::time::{Duration, Instant};
use rand::RngExt as _;

use super::finding::{Finding, Unit};
use super::setting::Setting;
use super::spread::Spread;
use crate::checkers::Violation;
use crate::cluster::{Cluster, SERVERS};
use crate::meter::Sight;
use crate::options::{Stream, generator};

/// The measure that has a number for each node that heard.
pub(super) const OF_EACH: &str = "news: each knows";

/// Services that go down in one run, each on a node of its own.
const NEWS: usize = 8;

/// Within this time all of them do.
const WITHIN: Duration = Duration::from_secs(10);

/// The election is over by then.
const WARM_UP: Duration = Duration::from_secs(30);

/// A service is checked every five seconds; then everybody should hear of it soon.
const THEN: Duration = Duration::from_secs(20);

/// How long others take to hear that a service is down, from the moment when its own node has found out.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    let tellers: Vec<usize> = (0..NEWS.min(SERVERS).min(setting.nodes)).collect();
    cluster.run(WARM_UP)?;
    if let Some(meter) = cluster.meter_mut() {
        meter.watch(&tellers);
    }
    go_down(&mut cluster, &tellers, setting)?;
    let sightings = cluster.meter().map_or(&[][..], |meter| meter.sightings());
    let mut spreads = Vec::new();
    for teller in tellers {
        let of = |since, counts: &dyn Fn(usize) -> bool| {
            Spread::of(sightings, teller, &[Sight::Changed], since, counts)
        };
        let own = of(Instant::ORIGIN, &|observer| observer == teller).first();
        if own.is_finite() {
            let told = Instant::ORIGIN + Duration::from_secs_f64(own);
            spreads.push(of(told, &|observer| observer != teller));
        }
    }
    let others = setting.nodes - 1;
    let finding = |measure| Finding::new(measure, setting, Unit::Seconds);
    Ok(vec![
        finding(OF_EACH).with(spreads.iter().flat_map(|spread| spread.each(others))),
        finding("news: 99.9 % know").with(spreads.iter().map(|spread| spread.reached(0.999, others))),
        finding("news: all know").with(spreads.iter().map(|spread| spread.reached(1.0, others))),
    ])
}

fn go_down(cluster: &mut Cluster, tellers: &[usize], setting: &Setting) -> Result<(), Violation> {
    let mut script = generator(setting.seed, Stream::Script);
    let began = cluster.now();
    for (index, teller) in tellers.iter().enumerate() {
        let at = WITHIN.mul_f64((index as f64 + script.random_range(0.0..1.0)) / tellers.len() as f64);
        cluster.run(at.saturating_sub(cluster.now().since(began)))?;
        let service = cluster.model().nodes()[*teller].services.keys().next().cloned();
        if let Some(service) = service {
            cluster.set_service(*teller, &service, false);
        }
    }
    cluster.run(THEN)
}
