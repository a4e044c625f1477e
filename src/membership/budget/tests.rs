//! The bucket by itself, and whether it is large enough for what really happens.

use std::collections::BTreeSet;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{Budget, CAPACITY, REFILL};
use crate::time::{Duration, Instant};

const RINGS: usize = 8;

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn taken(budget: &mut Budget, now: Instant) -> u32 {
    u32::try_from((0..1_000).take_while(|_| budget.take(now)).count()).unwrap()
}

#[test]
fn a_sick_accuser_runs_out_of_accusations_and_gets_them_back_one_by_one() {
    let mut budget = Budget::new(at(0));
    assert_eq!(taken(&mut budget, at(0)), CAPACITY);
    assert_eq!(taken(&mut budget, at(1_999)), 0);
    assert_eq!(taken(&mut budget, at(2_000)), 1);
    let minute: u32 = (2_000..62_000).step_by(10).map(|millis| taken(&mut budget, at(millis))).sum();
    assert_eq!(minute, 29, "about 30 in a minute, however often it tries");
}

#[test]
fn a_long_calm_saves_up_no_more_than_the_bucket_holds() {
    let mut budget = Budget::new(at(0));
    assert_eq!(taken(&mut budget, at(86_400_000)), CAPACITY);
    assert_eq!(taken(&mut budget, at(86_400_000) + REFILL * 3), 3);
}

/// Whom each of `members` watches: its distinct predecessors on the rings.
fn watched(members: usize, rng: &mut ChaCha8Rng) -> Vec<BTreeSet<usize>> {
    let mut by_watcher = vec![BTreeSet::new(); members];
    let mut watchers = vec![BTreeSet::new(); members];
    for _ in 0..RINGS {
        let mut ring: Vec<usize> = (0..members).collect();
        for i in (1..members).rev() {
            ring.swap(i, rng.random_range(0..=i));
        }
        for (place, subject) in ring.iter().enumerate() {
            let next = (1..members).map(|step| ring[(place + step) % members]);
            if let Some(watcher) = next.into_iter().find(|w| !watchers[*subject].contains(w)) {
                watchers[*subject].insert(watcher);
                by_watcher[watcher].insert(*subject);
            }
        }
    }
    by_watcher
}

#[test]
fn ten_crashes_at_once_and_a_partition_leave_no_watcher_without_an_accusation() {
    let mut rng = ChaCha8Rng::from_seed([3; 32]);
    for _ in 0..200 {
        for (members, dead) in [(32, 10), (32, 16), (32, 21), (1_000, 10), (200, 100)] {
            for subjects in &watched(members, &mut rng)[dead..] {
                let mut budget = Budget::new(at(0));
                let silent = subjects.iter().filter(|subject| **subject < dead);
                assert!(silent.clone().all(|_| budget.take(at(0))), "{} of {members}", silent.count());
            }
        }
    }
}

#[test]
fn nobody_watches_more_than_the_bucket_holds() {
    let mut rng = ChaCha8Rng::from_seed([4; 32]);
    for members in [10, 32, 100, 1_000] {
        let most = watched(members, &mut rng).iter().map(BTreeSet::len).max().unwrap();
        assert!(most <= CAPACITY as usize, "{most} in {members}");
    }
}
