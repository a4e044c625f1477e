//! What happens to the memory of an instance when the view changes.

use super::fixture::*;
use crate::id::Version;
use crate::manifest::Health;
use crate::router::{Ask, ExitLoad, Outcome, Router};
use crate::view::{MemberView, Status};

fn rebooted(n: u8) -> MemberView {
    MemberView { version: Version { epoch: 2, incarnation: 0 }, ..worker(n) }
}

#[test]
fn a_report_on_an_instance_that_is_gone_changes_nothing() {
    let mut router = router([worker(1)]);
    let pick = pick(&mut router, at(0.0));
    router.begin(&pick, at(0.0));
    router.apply(&view([]), at(1.0));
    assert_eq!(router.answered(&pick, 500, ms(1), None, at(1.0)), None);
    assert_eq!(router.finish(&pick, Outcome::Broken, at(1.0)), None);
    router.report_load(&pick.endpoint, ExitLoad { in_flight: 3 }, at(1.0));
    router.begin(&pick, at(1.0));
    assert!(!router.may_retry("rag", at(1.0)));
    assert!(router.services().services.is_empty());
}

/// Worker 1 has no place left.
fn is_full(router: &mut Router, seconds: f64) -> bool {
    let (ask, now) = (Ask::of("rag"), at(seconds));
    let pick = pick(router, now);
    router.explain(&ask, &[], &pick, now).contains(&format!("{}:saturated", id(1)))
}

#[test]
fn a_new_boot_begins_with_a_clean_record() {
    let mut router = router([worker_with(1, |rag| rag.max_in_flight = 1), worker(2)]);
    let old = pick_of(&mut router, 1, at(0.0)).unwrap();
    router.begin(&old, at(0.0));
    assert!(is_full(&mut router, 0.0));
    router
        .apply(&view([with_manifest(rebooted(1), |m| m.services[0].max_in_flight = 1), worker(2)]), at(1.0));
    let new = pick_of(&mut router, 1, at(1.0)).unwrap();
    assert!(!is_full(&mut router, 20.0));
    router.begin(&new, at(20.0));
    // What the old boot left open must not make room in the new one.
    router.finish(&old, Outcome::Broken, at(20.0));
    assert!(is_full(&mut router, 20.0));
    router.finish(&new, ok(), at(20.0));
    assert!(!is_full(&mut router, 20.0));
}

#[test]
fn an_attempt_that_ends_twice_counts_once() {
    let mut router = router([worker_with(1, |rag| rag.max_in_flight = 2), worker(2)]);
    let picks: Vec<_> = (0..2).map(|_| pick_of(&mut router, 1, at(0.0)).unwrap()).collect();
    picks.iter().for_each(|pick| router.begin(pick, at(0.0)));
    assert!(is_full(&mut router, 0.0));
    for _ in 0..5 {
        assert_eq!(router.finish(&picks[0], Outcome::Cancelled, at(0.0)), None);
    }
    assert!(!is_full(&mut router, 20.0));
    let third = pick_of(&mut router, 1, at(20.0)).unwrap();
    router.begin(&third, at(20.0));
    assert!(is_full(&mut router, 20.0));
}

#[test]
fn a_service_that_its_node_no_longer_names_is_gone_and_can_come_back() {
    let both = vec![service("rag", "1.0.0"), service("upload", "1.0.0")];
    let mut router = router([member(1, both.clone())]);
    router.apply(&view([worker(1)]), at(1.0));
    assert!(router.pick(&Ask::of("upload"), &[], at(1.0)).unwrap_err().instances.is_empty());
    assert_eq!(pick(&mut router, at(1.0)).worker, id(1));
    router.apply(&view([member(1, both)]), at(2.0));
    assert!(router.pick(&Ask::of("upload"), &[], at(2.0)).is_ok());
}

#[test]
fn a_worker_that_comes_back_from_the_dead_serves_again() {
    let mut router = router([worker(1)]);
    router.apply(&view([MemberView { status: Status::Dead, ..worker(1) }]), at(1.0));
    assert!(router.pick(&Ask::of("rag"), &[], at(1.0)).is_err());
    router.apply(&view([worker(1)]), at(2.0));
    assert_eq!(pick(&mut router, at(2.0)).worker, id(1));
    router.apply(&view([]), at(3.0));
    assert!(router.pick(&Ask::of("rag"), &[], at(3.0)).unwrap_err().instances.is_empty());
}

#[test]
fn the_services_are_counted_as_front_ends_expect() {
    let router = router([
        member(1, vec![service("rag", "1.0.0"), service("upload", "")]),
        worker_with(2, |rag| (rag.health, rag.version) = (Health::Unhealthy, "1.1.0".to_owned())),
        with_manifest(worker(3), |manifest| manifest.draining = true),
        MemberView { status: Status::Dead, ..member(4, vec![service("gone", "1.0.0")]) },
    ]);
    assert_eq!(
        serde_json::to_value(router.services()).unwrap(),
        serde_json::json!({ "services": [
            { "name": "rag", "healthy": 1, "total": 3, "versions": { "1.0.0": 2, "1.1.0": 1 } },
            { "name": "upload", "healthy": 1, "total": 1, "versions": { "": 1 } },
        ] })
    );
}

#[test]
fn a_new_version_of_an_instance_is_seen_without_a_new_boot() {
    let mut router = router([worker(1)]);
    let ask = Ask { version: "^2".parse().ok(), ..Ask::of("rag") };
    assert!(router.pick(&ask, &[], at(0.0)).is_err());
    router.apply(&view([worker_with(1, |rag| rag.version = "v2.0.1".to_owned())]), at(1.0));
    assert_eq!(router.pick(&ask, &[], at(1.0)).unwrap().service.version, "v2.0.1");
}
