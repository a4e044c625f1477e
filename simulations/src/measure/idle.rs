//! Idling: what a node sends while nothing happens.

use meshnode::time::Duration;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use crate::checkers::Violation;

/// The election is over by then, and what it had to tell is told.
const WARM_UP: Duration = Duration::from_secs(45);

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// Bytes and datagrams that the average node sends in a second.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    cluster.run(WARM_UP)?;
    if let Some(meter) = cluster.meter_mut() {
        meter.reset();
    }
    cluster.run(WATCHED)?;
    let sent = cluster.meter().map_or(&[][..], |meter| meter.sent());
    let node_seconds = count_as_f64(setting.nodes) * WATCHED.as_secs_f64();
    let rate = |total: u64| total as f64 / node_seconds;
    Ok(vec![
        Finding::new("idle: bytes sent", setting, Unit::Mean("B/s"))
            .with([rate(sent.iter().map(|sent| sent.bytes()).sum())]),
        Finding::new("idle: datagrams sent", setting, Unit::Mean("/s"))
            .with([rate(sent.iter().map(|sent| sent.datagrams).sum())]),
    ])
}
