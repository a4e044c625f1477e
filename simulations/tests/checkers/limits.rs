//! What is limited: rates, queues, writes to the store; and that each kind of failure has its exit code.

use std::collections::BTreeSet;

use meshnode::mesh::Vitals;
use meshsim::checkers::bounds::{MAX_DATAGRAMS_PER_SECOND, MAX_REQUESTS, MAX_WAKES};
use meshsim::checkers::budget::{MAX_WRITES_OF_PARTS, MAX_WRITES_PER_DAY};
use meshsim::checkers::{Checkers, Kind};

use super::{assert_violates, at, three};

#[test]
fn budget_sees_one_write_too_many_in_a_day() {
    let (model, mut checkers) = three();
    let day = |day: u64, second: u64| at(day * 86_400 + second);
    let write = |checkers: &mut Checkers, at| checkers.budget.write(at, 0);
    (0..MAX_WRITES_PER_DAY).try_for_each(|n| write(&mut checkers, day(0, u64::from(n)))).unwrap();
    assert_violates(Kind::Budget, "attempt 31 of the day", write(&mut checkers, day(0, 99)));
    write(&mut checkers, day(1, 0)).expect("another day");
    // Three parts may have two more between them.
    let mut split = three().1;
    let mut model = model;
    model.set_parts(vec![0, 1, 2], BTreeSet::new(), at(5));
    split.tick(at(6), &model).unwrap();
    (0..MAX_WRITES_OF_PARTS).try_for_each(|n| write(&mut split, day(0, u64::from(n)))).unwrap();
    assert_violates(Kind::Budget, "attempt 33", write(&mut split, day(0, 99)));
}

#[test]
fn each_kind_of_failure_has_an_exit_code_of_its_own() {
    let kinds = [
        Kind::Convergence,
        Kind::Leadership,
        Kind::Resurrection,
        Kind::Incarnation,
        Kind::Bounds,
        Kind::FalseDeath,
        Kind::Preemption,
        Kind::Budget,
    ];
    let codes: BTreeSet<u8> = kinds.iter().map(|kind| kind.exit_code()).collect();
    assert_eq!(codes, (10..18).collect());
}

#[test]
fn bounds_sees_every_excess() {
    let (_, mut checkers) = three();
    let echo = "echo".parse().unwrap();
    let bounds = &mut checkers.bounds;
    assert_violates(Kind::Bounds, "bytes in a datagram", bounds.datagram(at(1), 0, 1_201));
    assert_violates(Kind::Bounds, "bytes in a message", bounds.request(at(1), 0, 2 << 20));
    let flood = (0..=MAX_DATAGRAMS_PER_SECOND).try_for_each(|_| bounds.datagram(at(1), 1, 100));
    assert_violates(Kind::Bounds, "datagrams a second", flood);
    let requests = (0..=MAX_REQUESTS).try_for_each(|_| bounds.request(at(1), 1, 100));
    assert_violates(Kind::Bounds, "requests in flight", requests);
    let checks = (0..2).try_for_each(|_| bounds.check(at(1), 1, &echo));
    assert_violates(Kind::Bounds, "checks of one service", checks);
    assert_violates(Kind::Bounds, "calls of the store", (0..2).try_for_each(|_| bounds.store_call(at(1), 1)));
    let vitals =
        |facts_waiting, questions_waiting| Vitals { health_score: 0, facts_waiting, questions_waiting };
    assert_violates(Kind::Bounds, "facts that wait", bounds.vitals(at(1), 1, vitals(600, 0), 3));
    assert_violates(Kind::Bounds, "questions that wait", bounds.vitals(at(1), 1, vitals(0, 400), 3));
    bounds.vitals(at(1), 1, vitals(400, 64), 3).unwrap();
    assert_violates(Kind::Bounds, "wake-ups", (0..=MAX_WAKES).try_for_each(|_| bounds.woke(at(1), 1)));
}

#[test]
fn bounds_forgives_what_has_ended() {
    let (_, mut checkers) = three();
    let bounds = &mut checkers.bounds;
    for second in 1..5 {
        for _ in 0..MAX_DATAGRAMS_PER_SECOND {
            bounds.datagram(at(second), 0, 100).unwrap();
        }
        bounds.tick();
    }
    for _ in 0..2 * MAX_REQUESTS {
        bounds.request(at(1), 0, 100).unwrap();
        bounds.request_ended(0);
        bounds.store_call(at(1), 0).unwrap();
        bounds.store_call_ended(0);
    }
}
