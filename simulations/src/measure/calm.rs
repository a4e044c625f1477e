//! Calm: how often a node that lives is held dead, while datagrams are lost.

use meshnode::time::Duration;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use crate::checkers::Violation;

/// How long one run lasts.
const SPAN: Duration = Duration::from_secs(900);

/// The node-hours of one run.
fn hours(nodes: usize) -> f64 {
    count_as_f64(nodes) * SPAN.as_secs_f64() / 3_600.0
}

/// How many runs give so many node-hours.
pub(super) fn runs(nodes: usize, wanted: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of runs")]
    let runs = (wanted / hours(nodes)).ceil() as u64;
    runs.max(1)
}

/// Counts deaths; everybody lives.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let mut cluster = setting.converged()?;
    cluster.run(SPAN)?;
    let deaths = cluster.meter().map_or(0, |meter| meter.deaths().len());
    Ok(vec![Finding::new("false deaths", setting, Unit::Count).counted(deaths, hours(setting.nodes))])
}
