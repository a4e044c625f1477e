//! Retries: what may be sent elsewhere, and within which budget.

use super::fixture::*;
use crate::router::{Phase, Retry};

#[test]
fn only_what_surely_did_not_start_or_does_no_harm_twice_is_repeated() {
    let table = [
        (Phase::Unsent, true, Retry::Free, Retry::Free),
        (Phase::Refused, true, Retry::Free, Retry::Free),
        (Phase::Sent, true, Retry::Budgeted, Retry::No),
        (Phase::Begun, true, Retry::No, Retry::No),
        (Phase::Unsent, false, Retry::No, Retry::No),
        (Phase::Refused, false, Retry::No, Retry::No),
        (Phase::Sent, false, Retry::No, Retry::No),
        (Phase::Begun, false, Retry::No, Retry::No),
    ];
    for (phase, replayable, idempotent, other) in table {
        assert_eq!(Retry::after(phase, true, replayable), idempotent, "{phase:?}, replayable: {replayable}");
        assert_eq!(Retry::after(phase, false, replayable), other, "{phase:?}, replayable: {replayable}");
    }
}

/// How many of `failures` failed requests, spread evenly over `seconds`, get a retry.
fn granted(percent: u32, min_per_second: u32, failures: u32, seconds: f64) -> u32 {
    let route = |route: &mut crate::manifest::Route| {
        (route.retry_percent, route.retry_min_per_second) = (percent, min_per_second);
    };
    let mut router = router([with_route(worker(1), route)]);
    let mut granted = 0;
    for i in 0..failures {
        let now = at(seconds * f64::from(i) / f64::from(failures));
        let pick = pick(&mut router, now);
        router.begin(&pick, now);
        router.finish(&pick, failure(), now);
        granted += u32::from(router.may_retry("rag", now));
    }
    granted
}

#[test]
fn retries_are_a_share_of_the_requests() {
    let granted = granted(20, 0, 1000, 10.0);
    assert!((190..=200).contains(&granted), "{granted}");
}

#[test]
fn a_service_with_few_requests_has_its_minimum_a_second() {
    let granted = granted(0, 3, 1000, 10.0);
    assert!((30..=34).contains(&granted), "{granted}");
}

#[test]
fn quiet_times_save_up_no_storm() {
    let mut router = router([with_route(worker(1), |route| route.retry_min_per_second = 3)]);
    assert_eq!((0..100).filter(|_| router.may_retry("rag", at(100.0))).count(), 3);
}

#[test]
fn no_budget_is_no_retry() {
    assert_eq!(granted(0, 0, 100, 10.0), 0);
}

#[test]
fn what_was_saved_is_forgotten() {
    let mut router = router([with_route(worker(1), |route| route.retry_min_per_second = 0)]);
    for _ in 0..100 {
        let pick = pick(&mut router, at(0.0));
        router.begin(&pick, at(0.0));
        router.finish(&pick, ok(), at(0.0));
    }
    assert!(router.may_retry("rag", at(0.0)));
    assert!(!router.may_retry("rag", at(60.0)));
}

#[test]
fn a_second_attempt_earns_no_further_one() {
    let route = |route: &mut crate::manifest::Route| {
        (route.retry_percent, route.retry_min_per_second) = (100, 0);
    };
    let mut router = router([with_route(worker(1), route), worker(2)]);
    let retried = [tried(1, crate::router::Reason::Timeout)];
    let pick = router.pick(&crate::router::Ask::of("rag"), &retried, at(0.0)).unwrap();
    router.begin(&pick, at(0.0));
    assert!(!router.may_retry("rag", at(0.0)));
    assert!(!router.may_retry("nobody-offers-this", at(0.0)));
}
