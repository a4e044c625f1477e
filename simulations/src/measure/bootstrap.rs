//! Bootstrap: many nodes start within a second and find each other through one seed.

use meshnode::time::Duration;
use rand::RngExt as _;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use crate::checkers::Violation;
use crate::options::{Stream, generator};

/// The seed has a moment's start; then all others come within a second.
const WITHIN: Duration = Duration::from_secs(1);

/// Between two looks at the sizes of the views.
const STEP: Duration = Duration::from_millis(100);

/// Who does not know everybody by then never will.
const PATIENCE: Duration = Duration::from_secs(180);

/// The sizes of all views at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sizes {
    /// Seconds since the start.
    at: f64,
    /// The smallest view of a node that runs.
    least: usize,
    /// The one in the middle.
    median: usize,
    /// The largest view.
    most: usize,
}

/// When everybody knows everybody, counted from the first start.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    let sizes = sizes(setting)?;
    let whole = sizes.last().filter(|last| last.least == setting.nodes).map_or(f64::INFINITY, |last| last.at);
    let curve =
        |size: fn(&Sizes) -> usize| sizes.iter().map(|one| (one.at, count_as_f64(size(one)))).collect();
    let finding = Finding::new("bootstrap: all know all", setting, Unit::Seconds).with([whole]);
    let curves = vec![
        ("smallest", curve(|one| one.least)),
        ("middle", curve(|one| one.median)),
        ("largest", curve(|one| one.most)),
    ];
    Ok(vec![Finding { curves, ..finding }])
}

/// The sizes of the views until everybody knows everybody.
fn sizes(setting: &Setting) -> Result<Vec<Sizes>, Violation> {
    let mut cluster = setting.off();
    let mut script = generator(setting.seed, Stream::Script);
    let mut starts: Vec<(Duration, usize)> =
        (1..setting.nodes).map(|node| (WITHIN.mul_f64(script.random_range(0.0..1.0)), node)).collect();
    starts.sort_unstable();
    starts.reverse();
    cluster.start(0);
    let mut sizes = Vec::new();
    loop {
        let elapsed = STEP * u32::try_from(sizes.len() + 1).unwrap_or(u32::MAX);
        while let Some((start, node)) = starts.pop_if(|(start, _)| *start < elapsed) {
            cluster.run(start.saturating_sub(cluster.elapsed()))?;
            cluster.start(node);
        }
        cluster.run(elapsed.saturating_sub(cluster.elapsed()))?;
        let mut views: Vec<usize> = (0..setting.nodes).filter_map(|node| cluster.live_count(node)).collect();
        views.sort_unstable();
        let at = |place: usize| views.get(place).copied().unwrap_or(0);
        let last = views.len().saturating_sub(1);
        let now = Sizes { at: elapsed.as_secs_f64(), least: at(0), median: at(last / 2), most: at(last) };
        sizes.push(now);
        if now.least >= setting.nodes && views.len() == setting.nodes || elapsed >= PATIENCE {
            return Ok(sizes);
        }
    }
}
