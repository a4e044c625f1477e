//! What counts as sleep.

use super::Sleep;
use crate::clock::Clock;
use crate::time::Duration;

#[test]
fn only_the_time_that_one_clock_counts_and_the_other_does_not_is_sleep() {
    let at = Duration::from_secs_f64;
    let mut sleep = Sleep { ahead: at(1000.0) };
    assert_eq!(sleep.compare(at(1060.0), at(60.0)), None, "awake for a minute");
    assert_eq!(sleep.compare(at(1120.1), at(120.0)), None, "the readings were apart");
    assert_eq!(sleep.compare(at(1180.0), at(180.2)), None, "the other way round");
    assert_eq!(sleep.compare(at(1270.0), at(240.0)), Some(at(30.0)));
    assert_eq!(sleep.compare(at(1330.0), at(300.0)), None, "it is told once");
    assert_eq!(sleep.compare(at(4960.0), at(330.0)), Some(at(3600.0)), "and again");
}

#[test]
fn a_machine_that_runs_is_awake() {
    let clock = Clock::start();
    let mut sleep = Sleep::watch(&clock);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(sleep.slept(&clock), None);
}
