//! Retries: what may be sent elsewhere, and within which budget.

use super::fixture::*;
use crate::router::{Ask, MAX_ATTEMPTS, Outcome, Phase, Reason, Retry, Router};
use crate::time::{Duration, Instant};

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

/// How many of `requests`, spread evenly over `seconds`, may be repeated when each wants to be.
fn granted(percent: u32, min_per_second: u32, requests: u32, seconds: f64) -> u32 {
    let route = |route: &mut crate::manifest::Route| {
        (route.retry_percent, route.retry_min_per_second) = (percent, min_per_second);
    };
    let mut router = router([with_route(worker(1), route)]);
    let mut granted = 0;
    for i in 0..requests {
        let now = at(seconds * f64::from(i) / f64::from(requests));
        let pick = pick(&mut router, now);
        router.begin(&pick, now);
        router.finish(&pick, ok(), now);
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
    let retried = [tried(1, Reason::Timeout)];
    let pick = router.pick(&Ask::of("rag"), &retried, at(0.0)).unwrap();
    router.begin(&pick, at(0.0));
    assert!(!router.may_retry("rag", at(0.0)));
    assert!(!router.may_retry("nobody-offers-this", at(0.0)));
}

/// What became of the requests that can be repeated.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    requests: u32,
    attempts: u32,
    lost: u32,
}

/// So many requests a second that can be repeated; the attempts at some of the workers break.
fn serve(
    router: &mut Router,
    rate: u32,
    from: Instant,
    length: Duration,
    breaks: impl Fn(u8) -> bool,
) -> Tally {
    let mut tally = Tally::default();
    let mut now = from;
    while now.since(from) < length {
        now += Duration::from_secs(1) / rate;
        tally.requests += 1;
        let mut failed = Vec::new();
        while let Ok(pick) = router.pick(&Ask::of("rag"), &failed, now) {
            router.begin(&pick, now);
            tally.attempts += 1;
            let n = pick.worker.public_key()[0];
            if !breaks(n) {
                router.finish(&pick, ok(), now);
                failed.clear();
                break;
            }
            router.finish(&pick, Outcome::Broken, now);
            failed.push(tried(n, Reason::ConnectFailed));
            if failed.len() == MAX_ATTEMPTS || !router.may_retry("rag", now) {
                break;
            }
        }
        tally.lost += u32::from(!failed.is_empty());
    }
    tally
}

const WHILE: Duration = Duration::from_secs(30);

#[test]
fn when_all_replicas_fail_next_to_nothing_is_repeated() {
    for (replicas, rate, most) in
        [(3, 500, 1.05), (3, 50, 1.05), (3, 5, 1.12), (10, 500, 1.05), (100, 500, 1.1)]
    {
        let mut router = router((1..=replicas).map(worker));
        serve(&mut router, rate, at(0.0), WHILE, |_| false);
        let tally = serve(&mut router, rate, at(30.0), WHILE, |_| true);
        let per_request = f64::from(tally.attempts) / f64::from(tally.requests);
        println!("{replicas} replicas, {rate} requests/s: {per_request:.3} attempts per request");
        assert!(per_request <= most, "{replicas} replicas at {rate}/s: {per_request:.3}");
    }
}

#[test]
fn when_one_of_three_fails_nothing_is_lost() {
    for rate in [1, 5, 50, 500] {
        let mut router = router((1..=3).map(worker));
        serve(&mut router, rate, at(0.0), WHILE, |_| false);
        let tally = serve(&mut router, rate, at(30.0), WHILE * 10, |n| n == 2);
        assert!(tally.lost == 0 && tally.attempts > tally.requests, "at {rate}/s: {tally:?}");
    }
}

#[test]
fn when_two_of_three_fail_little_is_lost_and_nothing_after_that() {
    let mut router = router((1..=3).map(worker));
    serve(&mut router, 500, at(0.0), WHILE, |_| false);
    let tally = serve(&mut router, 500, at(30.0), WHILE, |n| n != 2);
    assert_eq!(tally.lost, 0, "{tally:?}");
}

#[test]
fn retries_are_back_as_soon_as_the_replicas_are() {
    let mut router = router((1..=3).map(worker));
    serve(&mut router, 100, at(0.0), WHILE, |_| true);
    serve(&mut router, 100, at(30.0), Duration::from_secs(15), |_| false);
    let tally = serve(&mut router, 100, at(45.0), WHILE, |n| n == 2);
    assert_eq!(tally.lost, 0, "{tally:?}");
}

#[test]
fn all_that_an_instance_takes_with_it_at_once_is_repeated() {
    let mut router = router((1..=3).map(worker));
    serve(&mut router, 500, at(0.0), WHILE, |_| false);
    let open: Vec<_> = (0..600).map(|_| (pick(&mut router, at(30.0)), at(30.0))).collect();
    open.iter().for_each(|(pick, now)| router.begin(pick, *now));
    let lost = open.iter().filter(|(pick, _)| pick.worker == id(1));
    let mut repeated = 0;
    for (pick, _) in lost.clone() {
        router.finish(pick, Outcome::Broken, at(31.0));
        repeated += usize::from(router.may_retry("rag", at(31.0)));
    }
    assert!(repeated > 150 && repeated == lost.count(), "{repeated}");
}
