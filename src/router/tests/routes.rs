//! Routes: canary splits, affinity, and whose revision wins.

use super::fixture::*;
use crate::manifest::Split;
use crate::router::{Ask, Reason, Router};
use crate::view::MemberView;

fn split(entries: &[(&str, u8)]) -> Vec<Split> {
    entries
        .iter()
        .map(|(version, percent)| Split { version: (*version).to_owned(), percent: *percent })
        .collect()
}

/// Workers 1 and 2 have 1.0.0, worker 3 has 2.1.0; worker 1 has configured the split.
fn canary(entries: &[(&str, u8)]) -> Router {
    router([
        with_route(worker(1), |route| route.split = split(entries)),
        worker(2),
        worker_with(3, |rag| rag.version = "2.1.0".to_owned()),
    ])
}

#[test]
fn a_canary_gets_its_percentage_and_the_rest_goes_to_the_others() {
    let shares = shares(&mut canary(&[("^2", 10)]), &Ask::of("rag"), 10_000, at(20.0));
    assert!((900..1100).contains(&shares[3]), "{}", shares[3]);
    assert!((4200..4800).contains(&shares[1]), "{}", shares[1]);
}

#[test]
fn a_version_without_a_share_gets_only_what_asks_for_it() {
    let mut router = canary(&[("^2", 0)]);
    assert_eq!(shares(&mut router, &Ask::of("rag"), 200, at(20.0))[3], 0);
    let ask = Ask { version: "^2".parse().ok(), ..Ask::of("rag") };
    assert_eq!(shares(&mut router, &ask, 50, at(20.0))[3], 50);
    let vain = [tried(1, Reason::ConnectFailed), tried(2, Reason::ConnectFailed)];
    let unavailable = router.pick(&Ask::of("rag"), &vain, at(20.0)).unwrap_err();
    let canary = unavailable.instances.iter().find(|instance| instance.worker_id == id(3));
    assert_eq!(canary.map(|instance| instance.reason), Some(Reason::VersionMismatch));
}

#[test]
fn the_others_take_over_when_a_canary_is_down() {
    let mut router = canary(&[("^2", 90)]);
    let vain = [tried(3, Reason::ConnectFailed)];
    for _ in 0..50 {
        assert_ne!(router.pick(&Ask::of("rag"), &vain, at(20.0)).unwrap().worker, id(3));
    }
}

#[test]
fn a_split_entry_that_nobody_understands_changes_nothing() {
    let shares = shares(&mut canary(&[("^^2", 50)]), &Ask::of("rag"), 3000, at(20.0));
    assert!((800..1200).contains(&shares[3]), "{}", shares[3]);
}

#[test]
fn no_instance_of_the_version_is_a_mismatch() {
    let ask = Ask { version: "^3".parse().ok(), ..Ask::of("rag") };
    let unavailable = canary(&[]).pick(&ask, &[], at(1.0)).unwrap_err();
    assert_eq!(unavailable.reason(), Reason::VersionMismatch);
    assert_eq!(
        unavailable.suggestion,
        "Ask for a version that is there (1.0.0, 2.1.0), or leave out x-mesh-version."
    );
}

#[test]
fn a_dead_instance_of_another_version_is_no_news_and_one_of_this_version_is() {
    let dead = |n, version: &str| MemberView {
        status: crate::view::Status::Dead,
        ..worker_with(n, |rag| version.clone_into(&mut rag.version))
    };
    let mut router = router([worker(1), dead(2, "1.0.0"), dead(3, "3.0.0")]);
    let ask = Ask { version: "^3".parse().ok(), ..Ask::of("rag") };
    let unavailable = router.pick(&ask, &[], at(1.0)).unwrap_err();
    let reasons: Vec<_> = unavailable.instances.iter().map(|i| (i.worker_id, i.reason)).collect();
    assert_eq!(reasons, [(id(3), Reason::Dead), (id(1), Reason::VersionMismatch)]);
    assert!(unavailable.suggestion.contains("(1.0.0)"), "{}", unavailable.suggestion);
}

fn routed(n: u8, rev: u64, header: &str) -> MemberView {
    with_route(worker(n), |route| {
        route.rev = rev;
        header.clone_into(&mut route.affinity_header);
    })
}

fn check_route(members: Vec<MemberView>, header: &str, conflict: bool) {
    let router = router(members);
    assert_eq!(router.route("rag").unwrap().affinity_header, header);
    assert_eq!(router.route_conflict("rag"), conflict);
    assert_eq!(router.route_conflicts(), usize::from(conflict));
}

#[test]
fn the_highest_revision_and_then_the_highest_worker_rules() {
    check_route(vec![routed(1, 5, "a"), routed(2, 4, "b")], "a", false);
    check_route(vec![routed(1, 5, "a"), routed(2, 5, "b")], "b", true);
    check_route(vec![routed(1, 5, "same"), routed(2, 5, "same")], "same", false);
    check_route(vec![worker(1)], "", false);
}

#[test]
fn a_route_rules_as_long_as_its_owner_lives() {
    let mut router = router([routed(1, 5, "a"), worker(2)]);
    let dead = MemberView { status: crate::view::Status::Dead, ..routed(1, 5, "a") };
    router.apply(&view([dead, worker(2)]), at(1.0));
    assert_eq!(router.route("rag").unwrap().affinity_header, "");
    router.apply(&view([routed(1, 6, "c"), worker(2)]), at(2.0));
    assert_eq!(router.route("rag").unwrap().affinity_header, "c");
}

#[test]
fn the_same_affinity_value_goes_to_the_same_instance_and_few_move_when_one_leaves() {
    let mut all = router((1..=5).map(worker));
    let mut fewer = router((1..=4).map(worker));
    let mut used = [0; 256];
    for i in 0..200 {
        let session = format!("session-{i}");
        let ask = Ask { affinity: Some(&session), ..Ask::of("rag") };
        let first = all.pick(&ask, &[], at(1.0)).unwrap().worker;
        assert_eq!(all.pick(&ask, &[], at(1.0)).unwrap().worker, first);
        used[usize::from(first.public_key()[0])] += 1;
        if first != id(5) {
            assert_eq!(fewer.pick(&ask, &[], at(1.0)).unwrap().worker, first, "only those of 5 may move");
        }
    }
    assert!((1..=5).all(|n| used[n] > 15), "{:?}", &used[1..=5]);
}

#[test]
fn affinity_yields_when_its_instance_has_too_much() {
    let mut router = router((1..=4).map(worker));
    let ask = Ask { affinity: Some("heavy"), ..Ask::of("rag") };
    let mut in_flight = [0; 256];
    for _ in 0..40 {
        let pick = router.pick(&ask, &[], at(20.0)).unwrap();
        router.begin(&pick, at(20.0));
        in_flight[usize::from(pick.worker.public_key()[0])] += 1;
    }
    let most = in_flight.iter().max().unwrap();
    assert!((10..=14).contains(most), "{:?}", &in_flight[1..=4]);
}

#[test]
fn a_session_does_not_change_sides_of_a_canary_split() {
    let mut router = canary(&[("^2", 50)]);
    let mut on_canary = 0;
    for i in 0..100 {
        let session = format!("session-{i}");
        let ask = Ask { affinity: Some(&session), ..Ask::of("rag") };
        let first = router.pick(&ask, &[], at(1.0)).unwrap().worker;
        assert!((0..5).all(|_| router.pick(&ask, &[], at(1.0)).unwrap().worker == first));
        on_canary += usize::from(first == id(3));
    }
    assert!((30..70).contains(&on_canary), "{on_canary}");
}
