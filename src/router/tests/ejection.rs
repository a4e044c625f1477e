//! Outlier ejection: who is taken out, for how long, and that never too many are.

use super::fixture::*;
use crate::router::{Ask, Outcome, Reason, Router};
use crate::time::{Duration, Instant};

const HALF_MINUTE: Duration = Duration::from_secs(30);

fn fail_times(router: &mut Router, n: u8, times: u32, now: Instant) -> Option<Duration> {
    (0..times).filter_map(|_| request(router, n, failure(), now)).last()
}

fn reason_of(router: &mut Router, n: u8, now: Instant) -> Option<Reason> {
    pick_of(router, n, now).err().map(|unavailable| unavailable.reason())
}

#[test]
fn five_failures_in_a_row_eject_and_four_do_not() {
    let mut router = router([worker(1), worker(2)]);
    assert_eq!(fail_times(&mut router, 1, 4, at(1.0)), None);
    request(&mut router, 1, ok(), at(1.0));
    assert_eq!(fail_times(&mut router, 1, 4, at(1.0)), None);
    assert_eq!(request(&mut router, 1, failure(), at(1.0)), Some(HALF_MINUTE));
    assert_eq!(reason_of(&mut router, 1, at(30.9)), Some(Reason::Ejected));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(30.9))[1], 0);
    assert_eq!(reason_of(&mut router, 1, at(31.0)), None);
}

#[test]
fn timeouts_and_broken_connections_count_as_failures() {
    for outcome in [Outcome::Timeout, Outcome::Broken] {
        let mut router = router([worker(1), worker(2)]);
        let last = (0..5).filter_map(|_| request(&mut router, 1, outcome, at(1.0))).last();
        assert_eq!(last, Some(HALF_MINUTE), "{outcome:?}");
    }
}

#[test]
fn an_instance_whose_answers_break_off_is_ejected_although_they_begin_well() {
    let mut router = router([worker(1), worker(2)]);
    let mut ejections = Vec::new();
    for _ in 0..5 {
        let pick = pick_of(&mut router, 1, at(1.0)).unwrap();
        router.begin(&pick, at(1.0));
        router.answered(&pick, 200, ms(5), None, at(1.0));
        ejections.push(router.finish(&pick, Outcome::Broken, at(1.0)));
    }
    assert_eq!(ejections, [None, None, None, None, Some(HALF_MINUTE)]);
}

#[test]
fn each_further_ejection_lasts_longer_and_good_service_makes_up_for_it() {
    let mut router = router([worker(1), worker(2)]);
    let mut now = at(0.0);
    for n in 1..=3 {
        let ejection = fail_times(&mut router, 1, if n == 1 { 5 } else { 1 }, now);
        assert_eq!(ejection, Some(HALF_MINUTE * n), "a failed trial ejects at once");
        now += HALF_MINUTE * n;
    }
    request(&mut router, 1, ok(), now);
    now += Duration::from_secs(3 * 60);
    assert_eq!(fail_times(&mut router, 1, 5, now), Some(HALF_MINUTE));
}

#[test]
fn after_its_ejection_one_request_at_a_time_tries_it() {
    let mut router = router([worker(1), worker(2)]);
    fail_times(&mut router, 1, 5, at(0.0));
    let trial = pick_of(&mut router, 1, at(30.0)).unwrap();
    router.begin(&trial, at(30.0));
    assert_eq!(reason_of(&mut router, 1, at(30.1)), Some(Reason::Ejected));
    // A client that goes away says nothing of the instance: the next one tries.
    router.finish(&trial, Outcome::Cancelled, at(30.2));
    let trial = pick_of(&mut router, 1, at(30.2)).unwrap();
    router.begin(&trial, at(30.2));
    assert_eq!(reason_of(&mut router, 1, at(30.3)), Some(Reason::Ejected));
    // The head of a good answer readmits, however long the body is.
    router.answered(&trial, 200, ms(5), None, at(30.4));
    assert_eq!(reason_of(&mut router, 1, at(30.4)), None);
    assert_eq!(request(&mut router, 1, failure(), at(30.5)), None, "it is in again");
}

#[test]
fn a_failure_of_a_request_from_before_the_ejection_does_not_decide_the_trial() {
    let mut router = router([worker(1), worker(2)]);
    let old = pick_of(&mut router, 1, at(0.0)).unwrap();
    router.begin(&old, at(0.0));
    fail_times(&mut router, 1, 5, at(0.0));
    assert_eq!(router.finish(&old, Outcome::Timeout, at(30.5)), None);
    assert_eq!(request(&mut router, 1, ok(), at(30.6)), None);
    assert_eq!(reason_of(&mut router, 1, at(30.7)), None);
}

#[test]
fn an_instance_that_comes_back_is_tried_in_spite_of_its_past() {
    let mut router = router([worker(1), worker(2)]);
    (0..20).for_each(|_| assert_eq!(request(&mut router, 2, ok(), at(0.0)), None));
    fail_times(&mut router, 1, 5, at(0.0));
    assert!(shares(&mut router, &Ask::of("rag"), 100, at(30.0))[1] > 10);
}

#[test]
fn the_only_instance_is_never_ejected() {
    let mut router = router([worker(1)]);
    assert_eq!(fail_times(&mut router, 1, 50, at(1.0)), None);
    assert_eq!(pick(&mut router, at(1.0)).worker, id(1));
}

#[test]
fn at_most_half_of_the_instances_are_ejected() {
    for (count, most) in [(2, 1), (3, 1), (4, 2), (5, 2), (10, 5)] {
        let mut router = router((1..=count).map(worker));
        let ejected = (1..=count).filter(|n| fail_times(&mut router, *n, 5, at(1.0)).is_some()).count();
        assert_eq!(ejected, most, "of {count}");
    }
}

#[test]
fn when_more_than_half_are_ejected_ejection_is_ignored() {
    let mut router = router((1..=4).map(worker));
    fail_times(&mut router, 1, 5, at(1.0));
    fail_times(&mut router, 2, 5, at(1.0));
    assert_eq!(reason_of(&mut router, 1, at(2.0)), Some(Reason::Ejected));
    router.apply(&view([worker(1), worker(2), worker(3)]), at(2.0));
    let shares = shares(&mut router, &Ask::of("rag"), 300, at(2.0));
    assert!(shares[1] > 30 && shares[2] > 30, "{:?}", &shares[1..=3]);
}

#[test]
fn a_refused_connection_puts_an_instance_last_at_once_and_briefly() {
    let mut router = router([worker(1), worker(2)]);
    assert_eq!(request(&mut router, 1, Outcome::ConnectFailed, at(1.0)), Some(Duration::from_secs(1)));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(1.9))[1], 0);
    // When the other one was tried in vain too, it is better than nothing.
    let vain = [tried(2, Reason::ConnectFailed)];
    assert_eq!(router.pick(&Ask::of("rag"), &vain, at(1.9)).unwrap().worker, id(1));
    assert!(shares(&mut router, &Ask::of("rag"), 50, at(2.0))[1] > 0);
    assert_eq!(request(&mut router, 1, Outcome::ConnectFailed, at(2.0)), Some(Duration::from_secs(2)));
    request(&mut router, 1, ok(), at(2.5));
    assert!(shares(&mut router, &Ask::of("rag"), 50, at(2.5))[1] > 0, "it took a connection");
}

#[test]
fn a_refused_instance_is_back_as_soon_as_its_node_says_so() {
    let mut router = router([worker(1), worker(2)]);
    for seconds in 0..6 {
        request(&mut router, 1, Outcome::ConnectFailed, at(40.0 * f64::from(seconds)));
    }
    let down = worker_with(1, |rag| rag.health = crate::manifest::Health::Unhealthy);
    router.apply(&view([down, worker(2)]), at(201.0));
    router.apply(&view([worker(1), worker(2)]), at(202.0));
    assert!(shares(&mut router, &Ask::of("rag"), 200, at(202.0))[1] > 0);
}

#[test]
fn one_bad_answer_after_a_restart_ejects_nobody() {
    let mut router = router([worker(1), worker(2)]);
    request(&mut router, 1, Outcome::ConnectFailed, at(1.0));
    assert_eq!(request(&mut router, 1, failure(), at(2.5)), None);
    assert_eq!(reason_of(&mut router, 1, at(2.5)), None);
}

/// One request to each of the workers every 50 ms for so long; `good` says which of a worker's succeed. Returns who was
/// ejected, and when first.
fn watched(
    router: &mut Router,
    workers: u8,
    length: Duration,
    good: impl Fn(u8, u32) -> bool,
) -> Vec<(u8, Instant)> {
    let mut ejected = Vec::new();
    let mut now = at(0.0);
    for round in 0.. {
        now += ms(50);
        if now.since(at(0.0)) >= length {
            break;
        }
        for n in 1..=workers {
            let Ok(pick) = pick_of(router, n, now) else { continue };
            router.begin(&pick, now);
            let outcome = if good(n, round) { ok() } else { failure() };
            if router.finish(&pick, outcome, now).is_some() {
                ejected.push((n, now));
            }
        }
    }
    ejected
}

/// The first `bad` of every ten requests fail, in twos at most.
fn fails(bad: u32, round: u32) -> bool {
    (round * 3) % 10 < bad
}

#[test]
fn an_instance_that_fails_more_often_than_the_others_is_ejected_although_never_five_times_in_a_row() {
    for count in [3, 4, 5, 10] {
        let mut router = router((1..=count).map(worker));
        let ejected =
            watched(&mut router, count, Duration::from_secs(20), |n, round| n != 1 || !fails(4, round));
        let [(1, when)] = ejected[..] else { panic!("of {count}: {ejected:?}") };
        assert!((at(2.0)..at(5.0)).contains(&when), "of {count}: after {when:?}");
    }
}

#[test]
fn where_all_fail_alike_or_nearly_so_nobody_is_ejected() {
    for bad in [[4, 4, 4, 4, 4], [0, 1, 0, 1, 1], [2, 4, 0, 4, 2]] {
        let mut router = router((1..=5).map(worker));
        let rate = |n: u8| bad[usize::from(n) - 1];
        let ejected = watched(&mut router, 5, Duration::from_secs(60), |n, round| !fails(rate(n), round));
        assert_eq!(ejected, [], "{bad:?} of ten fail");
    }
}

#[test]
fn without_two_others_to_compare_it_to_or_with_few_requests_nobody_is_an_outlier() {
    let mut two = router((1..=2).map(worker));
    let half = |n: u8, round| n != 1 || !fails(5, round);
    assert_eq!(watched(&mut two, 2, Duration::from_secs(60), half), []);
    let mut few = router((1..=3).map(worker));
    // Four requests a second are 40 in the window.
    for round in 0..400 {
        for n in 1..=3 {
            let outcome = if half(n, round) { ok() } else { failure() };
            assert_eq!(request(&mut few, n, outcome, at(f64::from(round) / 4.0)), None);
        }
    }
}

#[test]
fn what_is_older_than_ten_seconds_ejects_nobody() {
    let mut router = router((1..=3).map(worker));
    for i in 0..48 {
        request(&mut router, 1, if i % 4 == 0 { failure() } else { ok() }, at(1.0));
    }
    for n in 1..=3 {
        (0..60).for_each(|_| assert_eq!(request(&mut router, n, ok(), at(12.0)), None));
    }
    for _ in 0..4 {
        assert_eq!(request(&mut router, 1, failure(), at(12.5)), None);
    }
}
