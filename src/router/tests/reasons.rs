//! Why an instance is refused, and what the caller of an unavailable service is told.

use std::sync::Arc;

use super::fixture::*;
use crate::manifest::{Health, Protocol};
use crate::router::{Ask, Need, Outcome, Reason, Refusal, Router, Tried, Unavailable};
use crate::view::{Load, MemberView, Status};

fn refused(router: &mut Router, ask: &Ask<'_>) -> Unavailable {
    *router.pick(ask, &[], at(1.0)).expect_err("an instance was picked")
}

/// The only instance is on worker 1; it is refused for `reason`.
fn check(member: MemberView, reason: Reason) {
    let unavailable = refused(&mut router([member]), &Ask::of("rag"));
    assert_eq!(unavailable.instances.len(), 1, "{unavailable:?}");
    assert_eq!(unavailable.instances[0].worker_id, id(1));
    assert_eq!(unavailable.instances[0].version, "1.0.0");
    assert_eq!(unavailable.instances[0].reason, reason);
    assert_eq!(unavailable.reason(), reason);
}

fn with_health(health: Health) -> MemberView {
    worker_with(1, |rag| rag.health = health)
}

#[test]
fn an_instance_that_can_never_serve_is_refused_for_its_reason() {
    check(with_health(Health::Unhealthy), Reason::Unhealthy);
    check(with_health(Health::Unknown), Reason::Unknown);
    check(MemberView { status: Status::Dead, ..worker(1) }, Reason::Dead);
    check(MemberView { status: Status::Left, ..worker(1) }, Reason::Left);
    check(MemberView { addr: None, ..worker(1) }, Reason::NoRoute);
    check(with_manifest(worker(1), |manifest| manifest.draining = true), Reason::Draining);
}

#[test]
fn a_worse_instance_is_used_only_when_there_is_no_better_one() {
    let cases: [(&str, MemberView); 4] = [
        ("suspect", MemberView { status: Status::Suspect, ..worker(1) }),
        ("unroutable", MemberView { unroutable: true, ..worker(1) }),
        ("degraded", with_health(Health::Degraded)),
        ("busy", {
            let load = Load { busy: 0.99, available_memory: 0, in_flight: 9 };
            MemberView { load: Some(load), ..worker_with(1, |rag| rag.max_in_flight = 8) }
        }),
    ];
    for (name, worse) in cases {
        let mut both = router([worse.clone(), worker(2)]);
        assert_eq!(shares(&mut both, &Ask::of("rag"), 50, at(1.0))[2], 50, "{name}");
        let mut alone = router([worse]);
        assert_eq!(pick(&mut alone, at(1.0)).worker, id(1), "{name}");
    }
}

#[test]
fn a_healthy_suspect_is_preferred_to_a_degraded_one() {
    let suspect = MemberView { status: Status::Suspect, ..worker(1) };
    let mut router = router([suspect, worker_with(2, |rag| rag.health = Health::Degraded)]);
    assert_eq!(pick(&mut router, at(1.0)).worker, id(1));
}

#[test]
fn load_in_gossip_does_not_choose_between_two_that_are_not_saturated() {
    let busy = Load { busy: 0.9, available_memory: 0, in_flight: 100 };
    let mut router = router([MemberView { load: Some(busy), ..worker(1) }, worker(2)]);
    let shares = shares(&mut router, &Ask::of("rag"), 1000, at(20.0));
    assert!((400..600).contains(&shares[1]), "{}", shares[1]);
}

#[test]
fn grpc_needs_an_instance_that_speaks_http2() {
    let ask = Ask { need: Need::Http2, ..Ask::of("rag") };
    let unavailable = refused(&mut router([worker(1)]), &ask);
    assert_eq!(unavailable.reason(), Reason::ProtocolMismatch);
    assert!(unavailable.speaks_no_http2());
    let dead = MemberView { status: Status::Dead, ..worker(2) };
    assert!(refused(&mut router([worker(1), dead.clone()]), &ask).speaks_no_http2());
    assert!(!refused(&mut router([dead]), &ask).speaks_no_http2(), "nobody knows what would speak");
    assert_eq!(unavailable.available_services[0].as_str(), "rag", "it is there for others");
    let mut router = router([worker(1), worker_with(2, |rag| rag.protocol = Protocol::H2c)]);
    assert_eq!(router.pick(&ask, &[], at(1.0)).unwrap().worker, id(2));
}

#[test]
fn a_full_instance_gets_more_only_when_all_are_full() {
    let capped = |n| worker_with(n, |rag| rag.max_in_flight = 1);
    let mut router = router([capped(1), capped(2)]);
    let first = pick(&mut router, at(1.0));
    router.begin(&first, at(1.0));
    let second = pick(&mut router, at(1.0));
    assert_ne!(second.worker, first.worker);
    router.begin(&second, at(1.0));
    pick(&mut router, at(1.0));
    let tried = [first, second].map(|pick| Tried { worker: pick.worker, reason: Reason::Saturated });
    let unavailable = router.pick(&Ask::of("rag"), &tried, at(1.0)).unwrap_err();
    assert_eq!((unavailable.reason(), unavailable.retry_after), (Reason::Saturated, 1));
}

#[test]
fn what_an_exit_says_of_other_entries_counts_only_while_it_is_fresh() {
    let capped = |n| worker_with(n, |rag| rag.max_in_flight = 8);
    let mut router = router([capped(1), capped(2)]);
    let instance = pick_of(&mut router, 1, at(20.0)).unwrap().endpoint;
    router.report_load(&instance, crate::router::ExitLoad { in_flight: 8 }, at(20.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(20.0))[1], 0);
    assert!(shares(&mut router, &Ask::of("rag"), 50, at(40.0))[1] > 0);
}

#[test]
fn a_refusal_by_the_exit_is_heeded_for_a_second_and_no_failure() {
    for (refusal, reason) in [(Refusal::Draining, Reason::Draining), (Refusal::NoRoute, Reason::NoRoute)] {
        let mut router = router([worker(1)]);
        request(&mut router, 1, Outcome::Refused(refusal), at(0.5));
        assert_eq!(refused(&mut router, &Ask::of("rag")).reason(), reason);
        assert_eq!(pick(&mut router, at(1.6)).worker, id(1));
    }
    let mut router = router([worker(1), worker(2)]);
    request(&mut router, 1, Outcome::Refused(Refusal::Saturated), at(0.5));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 50, at(1.0))[2], 50);
}

#[test]
fn a_node_that_drains_gets_nothing_even_from_itself() {
    let mut router = Router::new(id(LOCAL), [7; 32]);
    let mut draining = view([worker(LOCAL), worker(1)]);
    draining.draining = true;
    router.apply(&draining, at(0.0));
    assert_eq!(shares(&mut router, &Ask::of("rag"), 100, at(1.0))[1], 100);
    assert!(pick_of(&mut router, LOCAL, at(1.0)).is_err());
    assert_eq!(router.services().services[0].healthy, 1);
}

#[test]
fn only_the_worker_that_was_named_is_asked() {
    let mut router = router([worker(1), worker(2)]);
    for _ in 0..20 {
        assert_eq!(pick_of(&mut router, 2, at(1.0)).unwrap().worker, id(2));
    }
    let unavailable = pick_of(&mut router, 3, at(1.0)).unwrap_err();
    assert!(unavailable.instances.is_empty());
    assert_eq!(unavailable.reason(), Reason::NoRoute);
    assert!(unavailable.error.contains(&id(3).to_string()), "{}", unavailable.error);
}

#[test]
fn the_nearest_reason_speaks_for_all_instances() {
    let mut router = router([
        MemberView { status: Status::Dead, ..worker(1) },
        worker_with(2, |rag| rag.health = Health::Unhealthy),
        worker(3),
    ]);
    let tried = [tried(3, Reason::Timeout)];
    let unavailable = router.pick(&Ask::of("rag"), &tried, at(1.0)).unwrap_err();
    assert_eq!(unavailable.reason(), Reason::Timeout);
    let reasons: Vec<_> = unavailable.instances.iter().map(|i| (i.worker_id, i.reason)).collect();
    assert_eq!(reasons, [(id(3), Reason::Timeout), (id(2), Reason::Unhealthy), (id(1), Reason::Dead)]);
    assert!(unavailable.available_services.is_empty(), "rag was tried in vain");
}

#[test]
fn the_503_has_the_fields_that_callers_rely_on() {
    let mut router = router([
        MemberView { status: Status::Dead, ..worker(1) },
        member(2, vec![service("upload", "2.0.0")]),
    ]);
    let body = serde_json::to_value(refused(&mut router, &Ask::of("rag"))).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "error": "no instance of the service 'rag' can take the request: dead",
            "service": "rag",
            "available_services": ["upload"],
            "instances": [{ "worker_id": id(1).to_string(), "version": "1.0.0", "reason": "dead" }],
            "suggestion": "Start a node that offers 'rag', then try again.",
            "retry_after": 5,
        })
    );
    let unknown = refused(&mut router, &Ask::of("rga"));
    assert_eq!(unknown.error, "no worker offers the service 'rga'");
    assert_eq!(unknown.suggestion, "Check the name; these services are available: upload.");
}

#[test]
fn every_reason_has_the_same_name_in_json_and_in_the_header() {
    let all = [
        Reason::Unhealthy,
        Reason::Degraded,
        Reason::Unknown,
        Reason::Dead,
        Reason::Left,
        Reason::Suspect,
        Reason::Unroutable,
        Reason::NoRoute,
        Reason::Ejected,
        Reason::Draining,
        Reason::Saturated,
        Reason::VersionMismatch,
        Reason::ProtocolMismatch,
        Reason::ConnectFailed,
        Reason::Timeout,
    ];
    let names = "unhealthy degraded unknown dead left suspect unroutable no_route ejected draining saturated \
                 version_mismatch protocol_mismatch connect_failed timeout";
    for (reason, name) in all.into_iter().zip(names.split_whitespace()) {
        assert_eq!(reason.as_str(), name);
        assert_eq!(serde_json::to_value(reason).unwrap(), name);
    }
}

#[test]
fn one_line_explains_a_pick() {
    let mut router = router([worker(1), worker(2), worker_with(3, |rag| rag.health = Health::Degraded)]);
    let ask = Ask::of("rag");
    let tried = [tried(2, Reason::ConnectFailed)];
    let pick = router.pick(&ask, &tried, at(1.0)).unwrap();
    let line = router.explain(&ask, &tried, &pick, at(1.0));
    assert!(line.starts_with(&format!("picked={} score=0.1", id(1))), "{line}");
    assert!(line.ends_with(&format!("rejected={}:connect_failed,{}:degraded", id(2), id(3))), "{line}");
}

#[test]
fn an_explanation_has_an_end_however_many_instances_there_are() {
    let degraded = |n| worker_with(n, |rag| rag.health = Health::Degraded);
    let mut router = router((1..=100).map(worker).chain((101..=200).map(degraded)));
    let pick = router.pick(&Ask::of("rag"), &[], at(20.0)).unwrap();
    let line = router.explain(&Ask::of("rag"), &[], &pick, at(20.0));
    assert!(line.contains(",+83 rejected=") && line.ends_with(":degraded,+84"), "{line}");
    assert!(line.len() < 4096, "{} bytes", line.len());
}

#[test]
fn a_dead_worker_is_remembered_although_its_manifest_is_gone() {
    let mut router = router([worker(1)]);
    let buried = MemberView { status: Status::Dead, manifest: None, ..worker(1) };
    router.apply(&view([buried.clone()]), at(1.0));
    assert_eq!(refused(&mut router, &Ask::of("rag")).instances[0].reason, Reason::Dead);
    // A changed view of the dead keeps it, and its removal from the view removes it.
    router.apply(&view([MemberView { status: Status::Left, ..buried }]), at(2.0));
    let unavailable = refused(&mut router, &Ask::of("rag"));
    assert_eq!(
        (unavailable.instances[0].reason, unavailable.instances[0].version.as_str()),
        (Reason::Left, "1.0.0")
    );
    router.apply(&view([]), at(3.0));
    assert!(refused(&mut router, &Ask::of("rag")).instances.is_empty());
}

#[test]
fn a_pick_carries_what_the_proxy_needs() {
    let mut router = router([worker(LOCAL), worker(1)]);
    let local = pick_of(&mut router, LOCAL, at(1.0)).unwrap();
    assert!(local.local && local.addr.is_none());
    let remote = pick_of(&mut router, 1, at(1.0)).unwrap();
    assert!(!remote.local);
    assert_eq!(remote.addr, "10.0.0.1:7946".parse().ok());
    assert_eq!(remote.endpoint.service.as_str(), "rag");
    assert!(
        Arc::ptr_eq(&remote.service, &pick_of(&mut router, 1, at(2.0)).unwrap().service),
        "shared, not copied"
    );
}
