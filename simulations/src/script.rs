//! Who plays a scenario: turns its actions into the verbs of the cluster, and draws what is left open.

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::cluster::Cluster;
use crate::model::State;
use crate::network::Losses;
use crate::options::{Stream, generator};
use crate::scenario::action::SURPRISES;
use crate::scenario::{Action, Way, Who};

/// Plays the actions of one run.
#[derive(Debug)]
pub struct Script {
    rng: ChaCha8Rng,
    /// Whom the last action that named somebody meant.
    last: Vec<usize>,
    /// Whose turn it is, for actions that take one after the other.
    turn: usize,
}

impl Script {
    /// The script of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { rng: generator(seed, Stream::Script), last: Vec::new(), turn: 0 }
    }

    /// Something happens.
    pub fn act(&mut self, cluster: &mut Cluster, action: &Action) {
        match action {
            Action::Surprise => {
                let surprise = &SURPRISES[self.rng.random_range(0..SURPRISES.len())];
                self.act(cluster, surprise);
            }
            Action::Join(count) => (0..*count).for_each(|_| self.join(cluster)),
            Action::Start(who) => self.each(cluster, who, Cluster::start),
            Action::Crash(who) => self.each(cluster, who, Cluster::crash),
            Action::LoseHost(who) => self.each(cluster, who, Cluster::lose_host),
            Action::Restart(who, how) => self.each(cluster, who, |cluster, node| cluster.restart(node, *how)),
            Action::Leave(who) => self.each(cluster, who, Cluster::leave),
            Action::Pause(who, span) => self.each(cluster, who, |cluster, node| cluster.pause(node, *span)),
            Action::Suspend(who, span) => {
                self.each(cluster, who, |cluster, node| cluster.suspend(node, *span))
            }
            Action::Starve { who, frozen, period, span } => {
                self.each(cluster, who, |cluster, node| cluster.starve(node, *frozen, *period, *span));
            }
            Action::Slow(who, each) => {
                self.each(cluster, who, |cluster, node| cluster.slow_down(node, *each))
            }
            Action::Skew(who, by) => self.each(cluster, who, |cluster, node| cluster.skew(node, *by)),
            Action::Clone(who) => self.each(cluster, who, |cluster, node| {
                cluster.clone_machine(node);
            }),
            Action::Release(who, release) => {
                self.each(cluster, who, |cluster, node| cluster.set_release(node, *release));
            }
            Action::Split(parts) => {
                let count = cluster.model().nodes().len();
                cluster.partition(&self.split(count, *parts));
            }
            Action::Part(groups) => cluster.partition(groups),
            Action::Heal => cluster.heal(),
            Action::Mute(who) => self.each(cluster, who, |cluster, node| {
                (0..cluster.model().nodes().len()).for_each(|other| cluster.cut(node, other));
            }),
            Action::Deafen(who) => self.each(cluster, who, |cluster, node| {
                (0..cluster.model().nodes().len()).for_each(|other| cluster.cut(other, node));
            }),
            Action::Cut(nodes) => {
                if let Some((&from, others)) = nodes.split_first() {
                    others.iter().for_each(|&to| cluster.cut(from, to));
                }
            }
            Action::Lose(None, _, share) => cluster.lose(*share),
            Action::Lose(Some(who), way, share) => {
                let losses = match way {
                    Way::In => Losses { received: *share, sent: 0.0 },
                    Way::Out => Losses { received: 0.0, sent: *share },
                    Way::Both => Losses { received: *share, sent: *share },
                };
                self.each(cluster, who, |cluster, node| cluster.lose_at(node, losses));
            }
            Action::Latency(latency) => cluster.set_latency(*latency),
            Action::ResetLinks(who) => self.each(cluster, who, Cluster::break_links),
            Action::Service(who, answers) => {
                let drawn: u64 = self.rng.random();
                self.each(cluster, who, |cluster, node| {
                    let names: Vec<_> = cluster.model().nodes()[node].services.keys().cloned().collect();
                    let service = usize::try_from(drawn).unwrap_or(0) % names.len().max(1);
                    if let Some(service) = names.get(service) {
                        cluster.set_service(node, service, *answers);
                    }
                });
            }
            Action::Store(works) => cluster.set_store_out(!works),
        }
    }

    fn join(&mut self, cluster: &mut Cluster) {
        let node = cluster.add();
        cluster.set_priority(node, self.rng.random_range(0..3));
        cluster.start(node);
    }

    fn each(&mut self, cluster: &mut Cluster, who: &Who, mut verb: impl FnMut(&mut Cluster, usize)) {
        let picked = self.pick(cluster, who);
        picked.iter().for_each(|&node| verb(cluster, node));
        self.last = picked;
    }

    fn pick(&mut self, cluster: &Cluster, who: &Who) -> Vec<usize> {
        let count = cluster.model().nodes().len();
        let mut up: Vec<usize> = cluster.model().in_state(State::Up).collect();
        match who {
            Who::Leader => up.first().and_then(|&node| cluster.leader_of(node)).into_iter().collect(),
            Who::Some(number) => {
                up.shuffle(&mut self.rng);
                up.truncate(*number);
                up
            }
            Who::Percent(percent) => {
                up.shuffle(&mut self.rng);
                up.truncate(share_of(up.len(), *percent));
                up
            }
            Who::These(nodes) => nodes.iter().copied().filter(|&node| node < count).collect(),
            Who::Same => self.last.clone(),
            Who::Next => {
                let next = self.turn % count.max(1);
                self.turn += 1;
                vec![next]
            }
            Who::All => up,
            Who::Off => {
                let left = cluster.model().in_state(State::Left);
                cluster.model().in_state(State::Crashed).chain(left).collect()
            }
        }
    }

    /// Cuts the nodes, in an order drawn from the seed, into parts of about the same size.
    fn split(&mut self, nodes: usize, parts: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..nodes).collect();
        order.shuffle(&mut self.rng);
        let mut split: Vec<Vec<usize>> =
            order.chunks(nodes.div_ceil(parts.max(1)).max(1)).map(<[_]>::to_vec).collect();
        split.iter_mut().for_each(|part| part.sort_unstable());
        split
    }
}

/// So many percent of a number, but at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a small number"
)]
fn share_of(count: usize, percent: f64) -> usize {
    ((count as f64 * percent / 100.0).round() as usize).max(1)
}
