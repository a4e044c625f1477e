//! How a scenario is played: a safety phase with faults, then heal and liveness.

use std::fmt;

use meshnode::time::Duration;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::checkers::Violation;
use crate::cluster::Cluster;
use crate::model::State;
use crate::options::{Options, Stream, generator};
use crate::scenario::{Action, Pick, SURPRISES, Scenario};
use crate::trace::Trace;

/// How long the healed mesh must stay as it is, once it is settled.
const CALM: Duration = Duration::from_secs(10);

/// A leader that was suspected for a moment, because datagrams are lost, is followed again after at most this long.
const RELAPSE: Duration = Duration::from_secs(30);

impl Scenario {
    /// Plays it.
    pub fn play(&self, options: Options, trace: Trace) -> Outcome {
        let mut script = generator(options.seed, Stream::Script);
        let mut cluster = Cluster::boot(options, trace);
        let settled = self.phases(&mut cluster, &mut script);
        Outcome { settled, cluster }
    }

    fn phases(&self, cluster: &mut Cluster, script: &mut ChaCha8Rng) -> Result<Duration, Violation> {
        let duration = cluster.options().duration;
        for step in self.steps {
            let at = Duration::from_secs(step.at).min(duration);
            cluster.run(at.saturating_sub(elapsed(cluster)))?;
            if Duration::from_secs(step.at) < duration {
                act(cluster, script, step.action);
            }
        }
        cluster.run(duration.saturating_sub(elapsed(cluster)))?;
        make_whole(cluster);
        let settled = cluster.settle(cluster.options().settle)?;
        cluster.run(CALM)?;
        cluster.settle(RELAPSE)?;
        Ok(settled)
    }
}

fn elapsed(cluster: &Cluster) -> Duration {
    Duration::from_nanos(cluster.now().as_nanos())
}

/// Ends every fault but death and loss, so that the truth can be found.
fn make_whole(cluster: &mut Cluster) {
    cluster.heal();
    cluster.set_store_out(false);
    let paused: Vec<usize> = cluster.model().in_state(State::Paused).collect();
    for node in paused {
        cluster.resume(node);
    }
}

fn act(cluster: &mut Cluster, script: &mut ChaCha8Rng, action: Action) {
    match action {
        Action::Surprise => {
            let action = SURPRISES[script.random_range(0..SURPRISES.len())];
            act(cluster, script, action);
        }
        Action::Join(count) => {
            for _ in 0..count {
                let node = cluster.add();
                cluster.set_priority(node, script.random_range(0..3));
                cluster.start(node);
            }
        }
        Action::Crash(which) => pick(cluster, script, which).into_iter().for_each(|node| cluster.crash(node)),
        Action::Restart(which, how) => {
            pick(cluster, script, which).into_iter().for_each(|node| cluster.restart(node, how));
        }
        Action::Leave(which) => pick(cluster, script, which).into_iter().for_each(|node| cluster.leave(node)),
        Action::Pause(which, seconds) => {
            for node in pick(cluster, script, which) {
                cluster.pause(node, Duration::from_secs(seconds));
            }
        }
        Action::Split(parts) => {
            let count = cluster.model().nodes().len();
            cluster.partition(&split(count, parts, script));
        }
        Action::Heal => cluster.heal(),
        Action::Mute(which) => {
            for node in pick(cluster, script, which) {
                (0..cluster.model().nodes().len()).for_each(|other| cluster.cut(node, other));
            }
        }
        Action::StartAll => {
            let crashed = cluster.model().in_state(State::Crashed);
            let off: Vec<usize> = crashed.chain(cluster.model().in_state(State::Left)).collect();
            off.into_iter().for_each(|node| cluster.start(node));
        }
        Action::Service(which, answers) => {
            for node in pick(cluster, script, which) {
                let names: Vec<_> = cluster.model().nodes()[node].services.keys().cloned().collect();
                let service = &names[script.random_range(0..names.len())];
                cluster.set_service(node, service, answers);
            }
        }
        Action::StoreOut(out) => cluster.set_store_out(out),
    }
}

fn pick(cluster: &Cluster, script: &mut ChaCha8Rng, which: Pick) -> Vec<usize> {
    let mut up: Vec<usize> = cluster.model().in_state(State::Up).collect();
    match which {
        Pick::Leader => up.first().and_then(|&node| cluster.leader_of(node)).into_iter().collect(),
        Pick::Some(count) => {
            up.shuffle(script);
            up.truncate(count);
            up
        }
    }
}

/// Cuts the nodes, in an order drawn from the seed, into parts of about the same size.
fn split(nodes: usize, parts: usize, script: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(script);
    let mut split: Vec<Vec<usize>> =
        order.chunks(nodes.div_ceil(parts.max(1)).max(1)).map(<[_]>::to_vec).collect();
    split.iter_mut().for_each(|part| part.sort_unstable());
    split
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
        writeln!(f, "virtual time: {:?}", cluster.now())?;
        writeln!(f, "summary writes: {}", cluster.store().puts().len())?;
        writeln!(f, "most datagrams of a node in a second: {}", cluster.most_datagrams())?;
        writeln!(f, "trace: {} lines, hash {}", cluster.trace().lines(), cluster.trace().hash())
    }
}
