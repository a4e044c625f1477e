//! The network between the nodes: delay, loss, duplication, reordering, partitions and one-way cuts.

use std::collections::BTreeSet;

use meshnode::time::Duration;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// How long TCP waits before it sends a lost segment again.
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
    /// The least delay one way.
    pub delay: Duration,
    /// What is added to the delay on average, uniform from 0 to twice that.
    pub jitter: Duration,
}

/// The network; nodes are named by their index.
#[derive(Debug)]
pub struct Network {
    /// How it treats what is sent.
    pub conditions: Conditions,
    parts: Vec<usize>,
    cuts: BTreeSet<(usize, usize)>,
    rng: ChaCha8Rng,
}

impl Network {
    /// A whole network.
    pub const fn new(conditions: Conditions, rng: ChaCha8Rng) -> Self {
        Self { conditions, parts: Vec::new(), cuts: BTreeSet::new(), rng }
    }

    /// Whether anything that `from` sends can arrive at `to`.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        self.part_of(from) == self.part_of(to) && !self.cuts.contains(&(from, to))
    }

    /// The part of the network that a node is in; nodes that no partition named are in part 0.
    pub fn part_of(&self, node: usize) -> usize {
        self.parts.get(node).copied().unwrap_or(0)
    }

    /// Some pairs are cut one way only, so "the same part" does not tell who hears whom.
    pub fn has_cuts(&self) -> bool {
        !self.cuts.is_empty()
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

    /// Ends all partitions and cuts.
    pub fn heal(&mut self) {
        self.parts.clear();
        self.cuts.clear();
    }

    /// When the copies of a datagram arrive: none when it is lost, two when it is duplicated.
    pub fn datagram(&mut self, from: usize, to: usize) -> Vec<Duration> {
        if !self.reaches(from, to) || self.rng.random_bool(self.conditions.loss) {
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
        for _ in 0..MAX_RETRANSMISSIONS {
            if !self.rng.random_bool(self.conditions.loss) {
                break;
            }
            delay += RETRANSMISSION;
        }
        Some(delay)
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
        let jitter = u64::try_from(self.conditions.jitter.as_nanos()).unwrap_or(u64::MAX / 2);
        self.conditions.delay + Duration::from_nanos(self.rng.random_range(0..=2 * jitter))
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
            delay: Duration::from_millis(1),
            jitter: Duration::from_millis(1),
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
        assert!(delays.iter().all(|d| *d >= Duration::from_millis(1) && *d <= Duration::from_millis(30)));
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
