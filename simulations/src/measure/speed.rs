//! The simulator itself: how long one large run takes, and how much memory.

use std::fs;
use std::time::Instant;

use meshnode::time::Duration;

use super::finding::{Finding, Unit, count_as_f64};
use super::setting::Setting;
use crate::checkers::Violation;
use crate::cluster::Cluster;

/// Virtual time that is simulated.
const SPAN: Duration = Duration::from_secs(60);

/// Nodes that crash, one a second, from the tenth second on.
const CRASHES: usize = 10;
const FIRST_CRASH: Duration = Duration::from_secs(10);
const NEXT_CRASH: Duration = Duration::from_secs(1);

/// In which Linux counts processor time for programs, on all machines.
const TICKS_PER_SECOND: f64 = 100.0;

const MIB: f64 = 1024.0 * 1024.0;

/// Seconds and MiB that a run with ten crashes takes, its start included, and what happened in it.
pub(super) fn measure(setting: &Setting) -> Result<Vec<Finding>, Violation> {
    #[expect(clippy::disallowed_methods, reason = "what is measured is the machine, not the mesh")]
    let began = Instant::now();
    let mut cluster = setting.converged()?;
    let start = began.elapsed().as_secs_f64();
    let mesh_began = cluster.now();
    cluster.run(FIRST_CRASH)?;
    for victim in 0..CRASHES.min(setting.nodes / 4) {
        // Not those that offer services: their death would measure the election too.
        cluster.crash(setting.nodes - 1 - victim);
        cluster.run(NEXT_CRASH)?;
    }
    cluster.run(SPAN.saturating_sub(cluster.now().since(mesh_began)))?;
    let seconds = began.elapsed().as_secs_f64();
    let finding = |measure, unit, value| Finding::new(measure, setting, Unit::Mean(unit)).with([value]);
    let events = cluster.meter().map_or(0, |meter| meter.events());
    Ok(vec![
        finding("simulator: 60 s with 10 crashes", "s", seconds),
        finding("simulator: of which the start", "s", start),
        finding("simulator: processor time", "s", processor_time()),
        finding("simulator: peak memory", "MiB", peak_memory() / MIB),
        finding(
            "simulator: memory per member of a view",
            "B",
            peak_memory() / count_as_f64(setting.nodes).powi(2),
        ),
        finding("simulator: events a second", "/s", events as f64 / (seconds - start)),
        finding("simulator: crashes known to all", "", known(&cluster, setting)),
    ])
}

fn known(cluster: &Cluster, setting: &Setting) -> f64 {
    let crashes = CRASHES.min(setting.nodes / 4);
    let is_known = |victim: &usize| cluster.holders(setting.nodes - 1 - victim) == setting.nodes - crashes;
    (0..crashes).filter(is_known).count() as f64
}

/// The processor time of this process so far, in seconds: what a run takes on a machine that does nothing else.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which ends with the last parenthesis, the 12th and 13th fields count user and system time.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// The most memory that this process had at any time, in bytes; 0 where the system does not say.
fn peak_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 =
        line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    kib * 1024.0
}
