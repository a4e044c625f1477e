//! Balancing: how even the load is.

use super::fixture::*;
use crate::router::{Ask, ExitLoad, Outcome, Router};
use crate::time::{Duration, Instant};
use crate::view::{MemberView, Status};

/// `parallel` requests at any time, each of 100 ms, for `seconds`. Returns who got how many in that time.
fn steady(router: &mut Router, parallel: usize, from: Instant, seconds: u64) -> [u32; 256] {
    let mut shares = [0; 256];
    let mut open = std::collections::VecDeque::new();
    let step = ms(100) / u32::try_from(parallel).unwrap();
    let mut now = from;
    while now.since(from) < Duration::from_secs(seconds) {
        now += step;
        if open.len() == parallel
            && let Some(pick) = open.pop_front()
        {
            router.finish(&pick, Outcome::Answered { status: 200, first_byte: ms(100) }, now);
        }
        let pick = pick(router, now);
        router.begin(&pick, now);
        shares[usize::from(pick.worker.public_key()[0])] += 1;
        open.push_back(pick);
    }
    for pick in open {
        router.finish(&pick, Outcome::Cancelled, now);
    }
    shares
}

#[test]
fn weights_divide_the_traffic_at_any_load() {
    for parallel in [1, 8, 40] {
        let mut router = router([worker_with(1, |rag| rag.weight = 3), worker(2)]);
        let shares = steady(&mut router, parallel, at(20.0), 60);
        let ratio = f64::from(shares[1]) / f64::from(shares[2]);
        assert!((2.4..3.6).contains(&ratio), "{parallel} parallel: {ratio:.2}");
    }
}

#[test]
fn weights_hold_when_one_instance_happens_to_be_a_little_faster() {
    for faster in 1..=2 {
        let mut router = router([worker_with(1, |rag| rag.weight = 3), worker(2)]);
        for n in 1..=2 {
            let first_byte = ms(if n == faster { 100 } else { 105 });
            request(&mut router, n, Outcome::Answered { status: 200, first_byte }, at(20.0));
        }
        let shares = shares(&mut router, &Ask::of("rag"), 1000, at(20.0));
        assert!(shares[1] > 500 && shares[2] > 50, "{faster} is faster: {:?}", &shares[1..=2]);
    }
}

#[test]
fn one_slow_answer_is_remembered_for_a_while() {
    let answered_in = |millis| Outcome::Answered { status: 200, first_byte: ms(millis) };
    let mut router = router([worker(1), worker(2)]);
    request(&mut router, 2, answered_in(300), at(20.0));
    request(&mut router, 1, answered_in(10), at(20.0));
    request(&mut router, 1, answered_in(1000), at(20.0));
    request(&mut router, 1, answered_in(10), at(20.1));
    assert_eq!(
        shares(&mut router, &Ask::of("rag"), 100, at(20.1))[2],
        100,
        "one good answer does not make up for it"
    );
    for step in 0..300 {
        request(&mut router, 1, answered_in(10), at(20.1 + f64::from(step) / 10.0));
    }
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(50.0))[1], 100);
}

#[test]
fn a_new_instance_gets_no_stampede_and_in_the_end_its_share() {
    let mut router = router((1..=9).map(worker));
    steady(&mut router, 50, at(20.0), 10);
    router.apply(&view((1..=10).map(worker)), at(30.0));
    let first = steady(&mut router, 50, at(30.0), 1);
    assert!((1..=30).contains(&first[10]), "of 500 in its first second: {}", first[10]);
    let later = steady(&mut router, 50, at(45.0), 10);
    assert!((400..600).contains(&later[10]), "of 5000 when it is warm: {}", later[10]);
}

#[test]
fn an_instance_that_fails_fast_is_no_sink() {
    let mut router = router((1..=3).map(worker));
    for n in 1..=3 {
        request(&mut router, n, ok(), at(20.0));
    }
    request(&mut router, 1, failure(), at(20.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(20.1))[1], 0);
}

#[test]
fn an_instance_that_asks_for_fewer_requests_gets_fewer_and_is_not_ejected() {
    let mut router = router((1..=3).map(worker));
    for _ in 0..10 {
        let pick = pick_of(&mut router, 1, at(20.0)).unwrap();
        router.begin(&pick, at(20.0));
        assert_eq!(router.answered(&pick, 429, ms(1), Some(Duration::from_secs(8)), at(20.0)), None);
        router.finish(&pick, ok(), at(20.0));
    }
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(21.0))[1], 0);
}

#[test]
fn a_client_that_gave_up_tells_how_slow_the_instance_is() {
    let mut router = router([worker(1), worker(2)]);
    for n in 1..=2 {
        request(&mut router, n, ok(), at(20.0));
    }
    let pick = pick_of(&mut router, 1, at(20.0)).unwrap();
    router.begin(&pick, at(20.0));
    router.finish(&pick, Outcome::Cancelled, at(23.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(23.0))[2], 100);
}

#[test]
fn a_slow_body_says_nothing_of_the_time_to_first_byte() {
    let mut router = router([worker(1), worker(2)]);
    let stream = pick_of(&mut router, 1, at(20.0)).unwrap();
    router.begin(&stream, at(20.0));
    router.answered(&stream, 200, ms(10), None, at(20.01));
    request(&mut router, 2, Outcome::Answered { status: 200, first_byte: ms(10) }, at(20.01));
    router.finish(&stream, Outcome::Cancelled, at(80.0));
    let shares = shares(&mut router, &Ask::of("rag"), 400, at(80.0));
    assert!((140..260).contains(&shares[1]), "{}", shares[1]);
}

#[test]
fn of_two_equal_ones_the_nearer_is_preferred() {
    let mut router = router([worker(LOCAL), worker(1)]);
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(20.0))[usize::from(LOCAL)], 100);
    let near = MemberView { rtt: Some(ms(2)), ..worker(1) };
    let far = MemberView { rtt: Some(ms(90)), ..worker(2) };
    let mut router = seeded_router(1, [near, far]);
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(20.0))[1], 100);
}

#[test]
fn the_local_instance_spills_over_when_it_is_loaded() {
    let mut router = router([worker(LOCAL), worker(1)]);
    let shares = steady(&mut router, 20, at(20.0), 10);
    let local = shares[usize::from(LOCAL)];
    assert!((800..1200).contains(&local), "of 2000: {local}");
}

#[test]
fn what_other_entries_sent_moves_traffic_away() {
    let mut router = router([worker(1), worker(2)]);
    let instance = pick_of(&mut router, 1, at(20.0)).unwrap().endpoint;
    router.report_load(&instance, ExitLoad { in_flight: 10 }, at(20.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(20.0))[2], 100);
    // Old information is worth as much as none.
    let later = shares(&mut router, &Ask::of("rag"), 1000, at(40.0));
    assert!((400..600).contains(&later[1]), "{}", later[1]);
}

#[test]
fn the_same_seed_picks_the_same() {
    let run = |seed| {
        let mut router = seeded_router(seed, (1..=8).map(worker));
        (0..50).map(|_| pick(&mut router, at(20.0)).worker).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn in_a_great_fleet_only_the_best_are_picked_however_few() {
    for best in 1..=4 {
        let suspect = |n| MemberView { status: Status::Suspect, ..worker(n) };
        let mut router = router((1..=40).map(|n| if n <= best { worker(n) } else { suspect(n) }));
        let shares = shares(&mut router, &Ask::of("rag"), 1000, at(20.0));
        let of_best: Vec<_> = shares[1..=usize::from(best)].to_vec();
        assert_eq!(of_best.iter().sum::<u32>(), 1000);
        assert!(of_best.iter().all(|share| (800..1200).contains(&(share * u32::from(best)))), "{of_best:?}");
    }
}

#[test]
fn in_a_great_fleet_weights_and_slow_start_hold() {
    let heavy = |n| worker_with(n, |rag| rag.weight = 3);
    let members = || (1..=20).map(worker).chain((21..=40).map(heavy));
    let mut router = router(members());
    let shares = steady(&mut router, 40, at(20.0), 60);
    let of = |from: usize, to: usize| f64::from(shares[from..=to].iter().sum::<u32>());
    let ratio = of(21, 40) / of(1, 20);
    assert!((2.4..3.6).contains(&ratio), "{ratio:.2}");
    router.apply(&view(members().chain([heavy(41)])), at(100.0));
    let first = steady(&mut router, 40, at(100.0), 1)[41];
    assert!((1..=10).contains(&first), "of 400 in its first second: {first}");
}

#[test]
fn what_a_far_instance_takes_is_expected_before_it_was_tried() {
    let far = MemberView { rtt: Some(ms(90)), ..worker(3) };
    let near = |n| MemberView { rtt: Some(ms(1)), ..worker(n) };
    let mut router = router([near(1), near(2), far]);
    for n in 1..=2 {
        request(&mut router, n, ok(), at(20.0));
    }
    assert_eq!(shares(&mut router, &Ask::of("rag"), 200, at(20.1))[3], 0);
    // They are full: the way there is the lesser evil.
    for _ in 0..40 {
        for n in 1..=2 {
            request(&mut router, n, Outcome::Answered { status: 200, first_byte: ms(500) }, at(20.2));
        }
    }
    let mut far = 0;
    for _ in 0..60 {
        let pick = pick(&mut router, at(20.3));
        router.begin(&pick, at(20.3));
        far += u32::from(pick.worker == id(3));
    }
    assert!((8..20).contains(&far), "of 60: {far}");
}
