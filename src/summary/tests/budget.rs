//! The arithmetic of the budget, and what a late value may use of it. How it holds over days is simulated: `meshsim budget`.

use super::super::budget::{allowed, in_tail};
use super::*;
use crate::wire::link::Attempts;

const DAY: u64 = MIDNIGHT / (24 * HOUR);

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

/// When a leader writes that hears, an hour after its first write, of so many attempts of others on this day.
fn writes_with(attempts: u32) -> Vec<u64> {
    let mut bench = Bench::leading(paced(), census(3));
    bench.run_to(HOUR);
    let told = Attempts { day: DAY, writer: 77, count: attempts };
    let record = WriteRecord { day: DAY, attempts: vec![told], ..WriteRecord::default() };
    bench.policy.handle_record(&record, true, bench.now);
    bench.drain();
    bench.set_census(census(2));
    bench.run_to(24 * HOUR - 1);
    bench.write_times()
}

#[test]
fn a_value_of_seven_hours_may_use_up_the_budget_whatever_its_pace() {
    let times = writes_with(27);
    let (first, late) = (times[0], times[1]);
    assert!((7..8).contains(&((late - first) / HOUR)), "{times:?}");
    assert_eq!(times.len(), 3, "28 of 30 were used up, and the pace ends there: {times:?}");
    assert_eq!(writes_with(29).len(), 1, "the budget itself is never exceeded");
}
