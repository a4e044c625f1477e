//! How a scenario is played: a safety phase with faults, then heal and liveness.

use std::fmt;

use meshnode::time::Duration;

use crate::checkers::Violation;
use crate::cluster::Cluster;
use crate::options::Options;
use crate::scenario::Scenario;
use crate::script::Script;
use crate::trace::Trace;

/// How long the healed mesh must stay as it is, once it is settled.
const CALM: Duration = Duration::from_secs(10);

/// A leader that was suspected for a moment, because datagrams are lost, is followed again after at most this long.
const RELAPSE: Duration = Duration::from_secs(30);

/// Between two looks of whoever watches the run.
const GLANCE: Duration = Duration::from_secs(1);

impl Scenario {
    /// Plays it.
    pub fn play(&self, options: Options, trace: Trace) -> Outcome {
        self.play_before(options, trace, &mut |_| ())
    }

    /// Plays it, and shows the cluster to `audience` once per virtual second.
    pub fn play_before(&self, options: Options, trace: Trace, audience: &mut dyn FnMut(&Cluster)) -> Outcome {
        let mut cluster = Cluster::boot(options, trace);
        let settled = self.phases(&mut cluster, audience);
        Outcome { settled, cluster }
    }

    fn phases(
        &self,
        cluster: &mut Cluster,
        audience: &mut dyn FnMut(&Cluster),
    ) -> Result<Duration, Violation> {
        let mut script = Script::new(cluster.options().seed);
        let duration = cluster.options().duration;
        for (at, action) in self.schedule().into_iter().filter(|(at, _)| *at < duration) {
            run_until(cluster, at, audience)?;
            script.act(cluster, action);
        }
        run_until(cluster, duration, audience)?;
        cluster.make_whole();
        let settled = cluster.settle(cluster.options().settle)?;
        audience(cluster);
        let until = elapsed(cluster) + CALM;
        run_until(cluster, until, audience)?;
        cluster.settle(RELAPSE)?;
        Ok(settled)
    }
}

fn run_until(
    cluster: &mut Cluster,
    until: Duration,
    audience: &mut dyn FnMut(&Cluster),
) -> Result<(), Violation> {
    while elapsed(cluster) < until {
        cluster.run((until - elapsed(cluster)).min(GLANCE))?;
        audience(cluster);
    }
    Ok(())
}

fn elapsed(cluster: &Cluster) -> Duration {
    Duration::from_nanos(cluster.now().as_nanos())
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// How long the healed mesh took to find the truth; or what was violated.
    pub settled: Result<Duration, Violation>,
    /// The cluster as it was then.
    pub cluster: Cluster,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.cluster;
        match &self.settled {
            Ok(settled) => writeln!(f, "settled: {settled:?} after the heal")?,
            Err(violation) => writeln!(f, "violated: {violation}")?,
        }
        let deaths = cluster.false_deaths();
        writeln!(f, "virtual time: {:?}", cluster.now())?;
        writeln!(f, "held dead while alive: {} healthy, {} marked", deaths.healthy(), deaths.marked())?;
        writeln!(f, "summary writes: {}", cluster.store().puts().len())?;
        writeln!(f, "most datagrams of a node in a second: {}", cluster.most_datagrams())?;
        writeln!(f, "trace: {} lines, hash {}", cluster.trace().lines(), cluster.trace().hash())
    }
}
