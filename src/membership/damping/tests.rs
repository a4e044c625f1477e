//! When a node is damped, for how long, and when it is not.

use super::{Damping, Flapping};
use crate::id::{IdHash, Version};
use crate::time::{Duration, Instant};

const OTHERS: usize = 31;
const MINUTE: Duration = Duration::from_secs(60);

/// A node that dies whenever it is alive for `survives`, with Lifeguard's multiplier at `stretch`.
struct Flapper {
    damping: Damping,
    now: Instant,
    incarnation: u64,
    changes: u32,
}

impl Flapper {
    fn new() -> Self {
        let now = Instant::ORIGIN;
        Self { damping: Damping::new(now), now, incarnation: 0, changes: 0 }
    }

    fn version(&self) -> Version {
        Version { epoch: 1, incarnation: self.incarnation }
    }

    /// It is told that it is dead. True when it came back at once.
    fn die(&mut self) -> bool {
        self.changes += 1;
        let is_back = self.damping.handle_death(self.version(), self.now);
        if is_back {
            self.come_back();
        }
        is_back
    }

    fn come_back(&mut self) {
        self.changes += 1;
        self.incarnation += 1;
    }

    /// Waits until it may come back; returns how long that took.
    fn wait(&mut self, stretch: u32) -> Duration {
        let from = self.now;
        loop {
            self.now = self.damping.poll_timeout().expect("it comes back some time");
            if let Some(version) = self.damping.handle_timeout(stretch, self.now) {
                assert!(version >= self.version());
                self.come_back();
                return self.now.since(from);
            }
            assert!(self.now.since(from) < MINUTE * 600, "it never comes back");
        }
    }

    fn churn(&mut self, others: std::ops::Range<u64>) {
        for other in others {
            self.damping.handle_churn(IdHash(other), OTHERS, self.now);
        }
    }
}

#[test]
fn one_death_has_no_effect_and_is_forgotten() {
    let mut node = Flapper::new();
    assert!(node.die());
    assert_eq!(node.damping.shown(), Flapping { penalty: 10, is_damped: false });
    let mut shown = Vec::new();
    while let Some(at) = node.damping.poll_timeout() {
        assert_eq!(node.damping.handle_timeout(1, at), None);
        shown.push(node.damping.shown().penalty);
        assert!(at.since(Instant::ORIGIN) < MINUTE * 60);
    }
    assert_eq!(shown, [5, 2, 1, 0], "it is published anew each time that it halved, and then no more");
}

#[test]
fn the_third_death_within_a_few_minutes_is_damped_and_its_refutation_comes_later() {
    let mut node = Flapper::new();
    assert!(node.die());
    node.now += MINUTE / 2;
    assert!(node.die());
    node.now += MINUTE / 2;
    assert!(!node.die());
    assert!(node.damping.shown().is_damped);
    assert!(!node.die(), "told again, it is silent still");
    assert_eq!(node.damping.shown().penalty, 28, "and that is no further death");
    node.incarnation += 4;
    assert!(node.damping.hold_back(node.version()), "a suspicion waits too");
    let out = node.wait(1);
    assert!(out > MINUTE * 4 && out < MINUTE * 6, "{out:?}");
    assert_eq!(node.damping.shown(), Flapping { penalty: 15, is_damped: false });
}

#[test]
fn a_node_that_stays_sick_changes_its_state_once_in_ten_minutes() {
    let mut node = Flapper::new();
    // Three first deaths count as they come; what matters is how it goes on.
    while node.die() {
        node.now += MINUTE / 4;
    }
    let (from, before) = (node.now, node.changes);
    while node.now.since(from) < MINUTE * 600 {
        node.wait(5);
        node.now += MINUTE / 4;
        assert!(!node.die(), "the first death after its return is enough");
    }
    let per_ten_minutes = f64::from(node.changes - before) / 60.0;
    assert!(per_ten_minutes <= 1.2, "{per_ten_minutes}");
}

#[test]
fn a_node_that_recovered_is_out_for_minutes_and_one_that_feels_sick_for_longer() {
    let out = |stretch| {
        let mut node = Flapper::new();
        while node.die() {}
        // The multiplier of the time before counts until it is told otherwise.
        assert_eq!(node.damping.handle_timeout(stretch, node.now), None);
        node.wait(stretch)
    };
    assert!(out(1) <= MINUTE * 5 + MINUTE / 10, "{:?}", out(1));
    assert!(out(9) > MINUTE * 40 && out(9) < MINUTE * 50, "{:?}", out(9));
}

#[test]
fn deaths_of_many_together_are_a_partition_and_not_damped() {
    let mut node = Flapper::new();
    for _ in 0..20 {
        node.churn(1..8);
        assert!(node.die());
        node.now += MINUTE * 2;
    }
    assert_eq!(node.damping.shown(), Flapping::default());
}

#[test]
fn a_death_that_proves_to_be_part_of_a_partition_is_pardoned() {
    let mut node = Flapper::new();
    assert!(node.die());
    node.now += MINUTE * 2;
    assert!(node.die());
    let before = node.damping.shown();
    node.now += MINUTE * 2;
    while node.die() {}
    assert!(node.damping.shown().is_damped);
    node.churn(1..8);
    assert!(!node.damping.shown().is_damped);
    assert!(node.damping.shown().penalty <= before.penalty);
    assert!(node.wait(1).is_zero(), "it comes back at once");
}

#[test]
fn a_single_other_that_flaps_is_no_partition() {
    let mut node = Flapper::new();
    for _ in 0..40 {
        node.churn(1..3);
    }
    while node.die() {
        node.churn(1..3);
    }
    assert!(node.damping.shown().is_damped);
    node.churn(1..3);
    assert!(node.damping.shown().is_damped);
}

#[test]
fn a_penalty_does_not_grow_for_ever() {
    let mut node = Flapper::new();
    for _ in 0..1_000 {
        node.damping.shown.is_damped = false;
        node.die();
    }
    assert!(node.wait(1) <= MINUTE * 16);
}
