//! The budget holds: many policies over a day, with crashes, lost disks and a store that answers late.

use super::super::budget::{allowed, in_tail};
use super::world::{CALM, DAY, Disk, Faults, World};
use super::*;

#[test]
fn the_pacing_leaves_something_for_every_hour_and_ends_below_the_budget() {
    let row = |budget: u32| [0, 5, 11, 23].map(|hour| allowed(budget, hour));
    assert_eq!(row(30), [5, 10, 16, 28]);
    assert_eq!(row(6), [4, 4, 4, 4]);
    assert_eq!(row(2), [2, 2, 2, 2]);
    assert_eq!(row(0), [0, 0, 0, 0]);
    assert_eq!(allowed(u32::MAX, u64::MAX), u32::MAX - 2);
    assert_eq!([0, 3_539, 3_540, 3_599].map(in_tail), [false, false, true, true]);
}

/// At most `most` attempts a day, and the value is never older than 8 hours.
fn check(faults: Faults, most: u32) {
    for (seed, staleness) in [(0, 180), (1, 60)] {
        let world = World::run(faults, staleness, seed, 1);
        let worst = world.sent.values().copied().max().unwrap_or(0);
        assert!(worst <= most, "{worst} attempts a day: S = {staleness}, seed = {seed}, {faults:?}");
        assert!(worst >= 4, "only {worst} attempts a day: S = {staleness}, seed = {seed}, {faults:?}");
        assert!(world.oldest <= 8 * HOUR, "{} s old: S = {staleness}, {faults:?}", world.oldest);
    }
}

#[test]
fn a_quiet_mesh_writes_seldom() {
    check(Faults { churn: 100 * DAY, ..CALM }, 5);
}

#[test]
fn constant_change_takes_a_write_an_hour() {
    check(CALM, 25);
}

#[test]
fn crash_loops_stay_within_the_budget() {
    let loops = [(1, Disk::Kept), (1, Disk::Wiped), (1, Disk::Replaced), (3, Disk::Wiped), (10, Disk::Kept)];
    for (nodes, disk) in loops {
        check(Faults { nodes, disk, kill_after_write: true, ..CALM }, 30);
    }
}

#[test]
fn killing_the_leader_again_and_again_stays_within_the_budget() {
    for disk in [Disk::Kept, Disk::Wiped, Disk::Replaced] {
        check(Faults { disk, kill_every: Some(120), ..CALM }, 30);
    }
}

#[test]
fn lost_writes_and_answers_stay_within_the_budget() {
    check(Faults { loss: 0.4, ..CALM }, 30);
}

#[test]
fn a_hundred_lone_starters_stay_within_the_budget() {
    let faults = Faults { nodes: 100, churn: HOUR, apart: DAY, ..CALM };
    for seed in 0..2 {
        let world = World::run(faults, 180, seed, 1);
        let worst = world.sent.values().copied().max().unwrap_or(0);
        assert!((1..=30).contains(&worst), "{worst} attempts a day");
    }
}
