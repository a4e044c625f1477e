//! The network between the nodes: delay, loss, duplication, reordering, partitions, one-way cuts and bad machines.

use std::collections::{BTreeMap, BTreeSet};

use meshnode::time::Duration;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::latency::Latency;

/// How long TCP waits before it sends a lost segment again; twice as long each further time.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// After so many losses in a row TCP is through, in this model.
const MAX_RETRANSMISSIONS: u32 = 8;

/// A datagram that is overtaken is held back by up to so many times the usual delay.
const MAX_HOLD_BACK: u32 = 10;

/// How the network treats what is sent, the same between all nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Share of the datagrams that are lost, each way.
    pub loss: f64,
    /// Share of the datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of the datagrams that later ones overtake.
    pub reorder: f64,
    /// How long each is on its way.
    pub latency: Latency,
}

/// What one machine loses beside what the network does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    /// Share of what it sends.
    pub sent: f64,
    /// Share of what is sent to it.
    pub received: f64,
}

/// The network; nodes are named by their index.
#[derive(Debug)]
pub struct Network {
    /// How it treats what is sent.
    pub conditions: Conditions,
    parts: Vec<usize>,
    cuts: BTreeSet<(usize, usize)>,
    losses: BTreeMap<usize, Losses>,
    rng: ChaCha8Rng,
}

impl Network {
    /// A whole network.
    pub const fn new(conditions: Conditions, rng: ChaCha8Rng) -> Self {
        Self { conditions, parts: Vec::new(), cuts: BTreeSet::new(), losses: BTreeMap::new(), rng }
    }

    /// Whether anything that `from` sends can arrive at `to`.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        self.part_of(from) == self.part_of(to) && !self.cuts.contains(&(from, to))
    }

    /// The part of the network that a node is in; nodes that no partition named are in part 0.
    pub fn part_of(&self, node: usize) -> usize {
        self.parts.get(node).copied().unwrap_or(0)
    }

    /// The ordered pairs that are cut one way.
    pub const fn cuts(&self) -> &BTreeSet<(usize, usize)> {
        &self.cuts
    }

    /// One machine loses more, or no more, than the network.
    pub fn set_losses(&mut self, node: usize, losses: Losses) {
        self.losses.insert(node, losses);
    }

    /// Splits the network: only nodes of the same part hear each other.
    pub fn partition(&mut self, parts: &[Vec<usize>]) {
        self.parts.clear();
        for (part, nodes) in parts.iter().enumerate() {
            for &node in nodes {
                if self.parts.len() <= node {
                    self.parts.resize(node + 1, 0);
                }
                self.parts[node] = part;
            }
        }
    }

    /// Nothing that `from` sends arrives at `to` any more; the other way is untouched.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Ends all partitions, cuts and losses of single machines.
    pub fn heal(&mut self) {
        self.parts.clear();
        self.cuts.clear();
        self.losses.clear();
    }

    /// When the copies of a datagram arrive: none when it is lost, two when it is duplicated.
    pub fn datagram(&mut self, from: usize, to: usize) -> Vec<Duration> {
        if !self.reaches(from, to) || self.is_lost(from, to) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.random_bool(self.conditions.duplicate));
        (0..copies).map(|_| self.datagram_delay()).collect()
    }

    /// How long a message over a link takes; `None` when the way is cut.
    pub fn link(&mut self, from: usize, to: usize) -> Option<Duration> {
        if !self.reaches(from, to) {
            return None;
        }
        let mut delay = self.one_way();
        let mut timeout = RETRANSMISSION;
        for _ in 0..MAX_RETRANSMISSIONS {
            if !self.is_lost(from, to) {
                break;
            }
            delay += timeout;
            timeout *= 2;
        }
        Some(delay)
    }

    /// How long a single packet takes that nobody sends again in time, such as the first one of a connection.
    pub fn packet(&mut self, from: usize, to: usize) -> Option<Duration> {
        (self.reaches(from, to) && !self.is_lost(from, to)).then(|| self.one_way())
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        let lost_by = |node: usize| self.losses.get(&node).copied().unwrap_or_default();
        let arrives =
            (1.0 - self.conditions.loss) * (1.0 - lost_by(from).sent) * (1.0 - lost_by(to).received);
        self.rng.random_bool((1.0 - arrives).clamp(0.0, 1.0))
    }

    fn datagram_delay(&mut self) -> Duration {
        let delay = self.one_way();
        if self.rng.random_bool(self.conditions.reorder) {
            delay * self.rng.random_range(2..=MAX_HOLD_BACK)
        } else {
            delay
        }
    }

    fn one_way(&mut self) -> Duration {
        self.conditions.latency.draw(&mut self.rng)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn network(loss: f64, duplicate: f64) -> Network {
        let conditions = Conditions {
            loss,
            duplicate,
            reorder: 0.5,
            latency: Latency::Constant(Duration::from_millis(3)),
        };
        Network::new(conditions, ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn loss_and_duplication_are_as_configured() {
        let mut network = network(0.25, 0.1);
        let copies: Vec<usize> = (0..10_000).map(|_| network.datagram(0, 1).len()).collect();
        let share = |n| copies.iter().filter(|&&c| c == n).count();
        assert!((2_300..2_700).contains(&share(0)), "lost: {}", share(0));
        assert!((650..850).contains(&share(2)), "twice: {}", share(2));
    }

    #[test]
    fn reordered_datagrams_are_overtaken() {
        let mut network = network(0.0, 0.0);
        let delays: Vec<Duration> = (0..100).flat_map(|_| network.datagram(0, 1)).collect();
        assert!(delays.iter().any(|d| *d > Duration::from_millis(3)));
        assert!(delays.iter().all(|d| *d >= Duration::from_millis(3) && *d <= Duration::from_millis(30)));
    }

    #[test]
    fn one_machine_may_lose_what_the_others_do_not() {
        let mut network = network(0.0, 0.0);
        network.set_losses(1, Losses { sent: 0.8, received: 0.0 });
        let mut arrived = |from, to| (0..10_000).filter(|_| !network.datagram(from, to).is_empty()).count();
        assert_eq!((arrived(0, 2), arrived(0, 1)), (10_000, 10_000));
        assert!((1_800..2_200).contains(&arrived(1, 0)));
    }

    #[test]
    fn a_lost_segment_is_sent_again_ever_later() {
        let mut network = network(0.5, 0.0);
        let delays: BTreeSet<Duration> = (0..1_000).filter_map(|_| network.link(0, 1)).collect();
        let expected = [3, 203, 603, 1_403].map(Duration::from_millis);
        assert!(delays.iter().zip(expected).all(|(delay, expected)| *delay == expected), "{delays:?}");
    }

    #[test]
    fn a_partition_is_symmetric_and_a_cut_is_not() {
        let mut network = network(0.0, 0.0);
        network.partition(&[vec![0, 1], vec![2]]);
        assert!(network.reaches(0, 1) && !network.reaches(1, 2) && !network.reaches(2, 1));
        network.heal();
        network.cut(0, 1);
        assert!(!network.reaches(0, 1) && network.reaches(1, 0));
        assert!(network.link(0, 1).is_none() && network.datagram(0, 1).is_empty());
    }
}
