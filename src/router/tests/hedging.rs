//! Hedging: when a second instance is asked, how often, and who is avoided because its link is silent.

use super::fixture::*;
use crate::id::Version;
use crate::router::{Ask, Reason, Router};
use crate::view::MemberView;

fn hedging() -> Router {
    router([with_route(worker(1), |route| route.hedge_after = ms(250)), worker(2), worker(3)])
}

/// How many of `requests`, of which one comes every millisecond, may be hedged.
fn granted(router: &mut Router, requests: u32, from: f64) -> u32 {
    let mut granted = 0;
    for i in 0..requests {
        let now = at(from + f64::from(i) / 1000.0);
        let pick = pick(router, now);
        router.begin(&pick, now);
        router.finish(&pick, ok(), now);
        granted += u32::from(router.may_hedge("rag", now));
    }
    granted
}

#[test]
fn a_request_is_hedged_when_its_route_says_so() {
    assert_eq!(hedging().hedge_after("rag"), Some(ms(250)));
    assert_eq!(router([worker(1)]).hedge_after("rag"), None, "it is off by default");
    assert_eq!(hedging().hedge_after("nobody-offers-this"), None);
}

#[test]
fn one_request_in_twenty_is_hedged() {
    let granted = granted(&mut hedging(), 10_000, 0.0);
    assert!((495..=501).contains(&granted), "{granted}");
}

#[test]
fn a_quiet_service_has_one_hedge_at_hand_and_no_more() {
    let mut router = hedging();
    for _ in 0..1000 {
        let pick = pick(&mut router, at(0.0));
        router.begin(&pick, at(0.0));
        router.finish(&pick, ok(), at(0.0));
    }
    assert!(router.may_hedge("rag", at(300.0)));
    assert!(!router.may_hedge("rag", at(300.0)), "what was saved is forgotten");
    assert!(!router.may_hedge("rag", at(900.0)), "only requests earn hedges");
}

#[test]
fn a_hedge_earns_no_further_one() {
    let mut router = hedging();
    assert!(router.may_hedge("rag", at(0.0)));
    for _ in 0..100 {
        let silent = [tried(1, Reason::Timeout)];
        let pick = router.pick(&Ask::of("rag"), &silent, at(0.0)).unwrap();
        assert_ne!(pick.worker, id(1));
        router.begin(&pick, at(0.0));
    }
    assert!(!router.may_hedge("rag", at(0.0)));
}

#[test]
fn a_worker_whose_link_is_silent_is_avoided_until_it_answers_or_the_time_is_over() {
    let both = || member(1, vec![service("rag", "1.0.0"), service("upload", "1.0.0")]);
    let mut router = router([both(), worker(2), member(3, vec![service("upload", "1.0.0")])]);
    router.stalled(&id(1), at(5.0));
    for name in ["rag", "upload"] {
        assert_eq!(shares(&mut router, &Ask::of(name), 50, at(4.9))[1], 0, "{name}");
    }
    let ask = Ask::of("rag");
    let pick = router.pick(&ask, &[], at(4.9)).unwrap();
    let explained = router.explain(&ask, &[], &pick, at(4.9));
    assert!(explained.contains(&format!("{}:unroutable", id(1))), "{explained}");
    assert!(shares(&mut router, &ask, 50, at(5.0))[1] > 0, "its time is over");
    router.stalled(&id(1), at(10.0));
    router.answers(&id(1));
    assert!(shares(&mut router, &ask, 50, at(6.0))[1] > 0, "it answered");
}

#[test]
fn a_silent_worker_is_still_better_than_none() {
    let mut router = router([worker(1)]);
    router.stalled(&id(1), at(5.0));
    assert_eq!(pick(&mut router, at(1.0)).worker, id(1));
}

#[test]
fn silence_outlasts_a_change_of_the_manifest_and_not_a_new_boot() {
    let mut router = router([worker(1), worker(2)]);
    router.stalled(&id(1), at(60.0));
    router.stalled(&id(9), at(60.0));
    router.apply(&view([member(1, vec![service("rag", "2"), service("new", "1")]), worker(2)]), at(1.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(1.0))[1], 0);
    router.apply(&view([member(1, vec![service("new", "1")]), worker(2)]), at(1.0));
    router.apply(&view([worker(1), worker(2)]), at(2.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(2.0))[1], 0);
    let rebooted = MemberView { version: Version { epoch: 2, incarnation: 0 }, ..worker(1) };
    router.apply(&view([rebooted, worker(2)]), at(3.0));
    assert!(shares(&mut router, &Ask::of("rag"), 50, at(20.0))[1] > 0);
}
