//! Each checker can fail: it is shown a wrong view, or told of an excess, and names it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "checkers/false_deaths.rs"]
mod false_deaths;
#[path = "checkers/limits.rs"]
mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meshnode::id::{Identity, ManifestVersion, NodeId, Version};
use meshnode::manifest::{Capabilities, Health, HostPolicy, Manifest, Protocol, Service, Standing, Timeouts};
use meshnode::mesh::Detector;
use meshnode::time::{Duration, Instant};
use meshnode::view::{LeaderView, MemberView, Status, View};
use meshsim::checkers::{Checkers, Kind, Violation};
use meshsim::model::{Model, State};

const HOLD: Duration = Duration::from_secs(15);
const EPOCH: u64 = 100;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn id(node: usize) -> NodeId {
    Identity::from_secret(&[u8::try_from(node).unwrap() + 1; 32]).id()
}

/// Three nodes that are up, each with the service `echo`, and have seen only themselves yet.
fn three() -> (Model, Checkers) {
    three_with(Detector::Witness)
}

fn three_with(mode: Detector) -> (Model, Checkers) {
    let (mut model, mut checkers) = (Model::default(), Checkers::new(HOLD, mode, true));
    for node in 0..3 {
        model.add(id(node), BTreeMap::from([("echo".parse().unwrap(), true)]));
        model.set_state(node, State::Up, at(0));
        model.set_epoch(node, EPOCH);
        checkers.forget(node);
    }
    for node in 0..3 {
        see(&mut checkers, 0, node, view(node, None, [member(node, Status::Alive, 0)]), &model).unwrap();
    }
    (model, checkers)
}

fn member(node: usize, status: Status, incarnation: u64) -> MemberView {
    let service = Service {
        name: "echo".parse().unwrap(),
        port: 8000,
        version: String::new(),
        health: Health::Healthy,
        weight: 1,
        tags: Vec::new(),
        protocol: Protocol::Http1,
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        host: HostPolicy::Preserve,
    };
    let manifest = Manifest {
        cluster: "simulated".to_owned(),
        id: id(node),
        version: ManifestVersion { epoch: EPOCH, seq: 2 },
        ttl: Duration::from_secs(7200),
        addr: None,
        name: String::new(),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services: vec![service],
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: String::new(),
    };
    MemberView {
        id: id(node),
        hash: id(node).hash(),
        status,
        unroutable: false,
        version: Version { epoch: EPOCH, incarnation },
        manifest: Some(Arc::new(manifest)),
        addr: None,
        rtt: None,
        load: None,
        first_seen: at(0),
        last_heard: at(0),
    }
}

fn view(local: usize, leader: Option<usize>, members: impl IntoIterator<Item = MemberView>) -> Arc<View> {
    let mut members: Vec<Arc<MemberView>> = members.into_iter().map(Arc::new).collect();
    members.sort_by_key(|member| member.id);
    Arc::new(View {
        version: 1,
        local: id(local),
        members,
        leader: LeaderView { leader: leader.map(id), ..LeaderView::default() },
        ready: true,
        draining: false,
    })
}

/// What `local` should see: all three alive, led by node 0.
fn true_view(local: usize) -> Arc<View> {
    view(local, Some(0), (0..3).map(|node| member(node, Status::Alive, 0)))
}

/// At second `second` the view of one node changed.
fn see(
    checkers: &mut Checkers,
    second: u64,
    observer: usize,
    view: Arc<View>,
    model: &Model,
) -> Result<(), Violation> {
    checkers.observe(at(second), vec![(observer, view)], model)
}

/// All nodes see the truth, then node 1 sees `wrong`.
fn then_sees(model: &Model, checkers: &mut Checkers, wrong: Arc<View>) -> Result<(), Violation> {
    for node in 0..3 {
        see(checkers, 1, node, true_view(node), model)?;
    }
    assert_eq!(checkers.unsettled(model), None, "the true views are in order");
    see(checkers, 2, 1, wrong, model)
}

#[track_caller]
fn assert_violates(kind: Kind, text: &str, result: Result<(), Violation>) {
    let violation = result.expect_err("nothing was found wrong");
    assert!(violation.kind == kind && violation.text.contains(text), "found: {violation}");
}

#[track_caller]
fn assert_unsettled(kind: Kind, text: &str, wrong: Arc<View>) {
    let (model, mut checkers) = three();
    then_sees(&model, &mut checkers, wrong).unwrap();
    let (found, what) = checkers.unsettled(&model).expect("nothing was found wrong");
    assert!(found == kind && what.contains(text), "found: {found:?}, {what}");
}

#[test]
fn convergence_misses_a_member_that_is_up() {
    let wrong = view(1, Some(0), [member(0, Status::Alive, 0), member(1, Status::Alive, 0)]);
    assert_unsettled(Kind::Convergence, "n1 holds n2 unknown", wrong);
}

#[test]
fn convergence_sees_that_the_living_are_held_dead() {
    let members = [member(0, Status::Alive, 0), member(1, Status::Alive, 0), member(2, Status::Dead, 0)];
    assert_unsettled(Kind::Convergence, "n1 holds n2 dead", view(1, Some(0), members));
}

#[test]
fn convergence_sees_a_wrong_health() {
    let mut sick = member(2, Status::Alive, 0);
    let manifest = Arc::make_mut(sick.manifest.as_mut().unwrap());
    manifest.services[0].health = Health::Unhealthy;
    let wrong = view(1, Some(0), [member(0, Status::Alive, 0), member(1, Status::Alive, 0), sick]);
    assert_unsettled(Kind::Convergence, "n1 holds n2 with the services", wrong);
}

#[test]
fn convergence_sees_that_a_node_is_not_ready() {
    let mut wrong = View::clone(&true_view(1));
    wrong.ready = false;
    assert_unsettled(Kind::Convergence, "n1 is not ready", Arc::new(wrong));
}

#[test]
fn convergence_sees_that_the_dead_are_held_alive() {
    let (mut model, mut checkers) = three();
    then_sees(&model, &mut checkers, true_view(1)).unwrap();
    model.set_state(2, State::Crashed, at(3));
    let (kind, what) = checkers.unsettled(&model).unwrap();
    assert!(kind == Kind::Convergence && what.contains("holds n2 alive"), "{what}");
}

#[test]
fn convergence_goes_by_the_part_of_the_network() {
    let (mut model, mut checkers) = three();
    then_sees(&model, &mut checkers, true_view(1)).unwrap();
    model.set_parts(vec![0, 0, 1], BTreeSet::new(), at(3));
    let (kind, what) = checkers.unsettled(&model).unwrap();
    assert!(kind == Kind::Convergence && what.contains("cut off"), "{what}");
}

#[test]
fn leadership_sees_two_who_are_followed() {
    let wrong = view(1, Some(2), (0..3).map(|node| member(node, Status::Alive, 0)));
    assert_unsettled(Kind::Leadership, "n0 follows n0, n1 n2", wrong);
}

#[test]
fn leadership_sees_that_nobody_leads() {
    let (model, mut checkers) = three();
    for node in 0..3 {
        let headless = view(node, None, (0..3).map(|node| member(node, Status::Alive, 0)));
        see(&mut checkers, 1, node, headless, &model).unwrap();
    }
    let (kind, what) = checkers.unsettled(&model).unwrap();
    assert!(kind == Kind::Leadership && what.contains("nobody leads"), "{what}");
}

#[test]
fn leadership_sees_two_claims_that_last() {
    let (model, mut checkers) = three();
    let usurper = view(1, Some(1), [member(1, Status::Alive, 0)]);
    see(&mut checkers, 1, 0, true_view(0), &model).unwrap();
    see(&mut checkers, 1, 1, usurper, &model).unwrap();
    checkers.tick(at(60), &model).expect("both may still find out");
    assert_violates(Kind::Leadership, "[0, 1] all claim", checkers.tick(at(100), &model));
}

#[test]
fn preemption_sees_a_joiner_that_leads() {
    let (model, mut checkers) = three();
    for node in 0..2 {
        see(&mut checkers, 1, node, true_view(node), &model).unwrap();
    }
    let usurper = view(1, Some(1), (0..3).map(|node| member(node, Status::Alive, 0)));
    let result = see(&mut checkers, 20, 1, usurper, &model);
    assert_violates(Kind::Preemption, "n1 claims to lead, although it sees n0", result);
}

#[test]
fn preemption_sees_a_leader_that_steps_down_when_only_a_joiner_came() {
    let (mut model, mut checkers) = three();
    see(&mut checkers, 1, 0, true_view(0), &model).unwrap();
    let idle = |local| view(local, None, (0..3).map(|node| member(node, Status::Alive, 0)));
    model.set_state(2, State::Up, at(90));
    let result = see(&mut checkers, 100, 0, idle(0), &model);
    assert_violates(Kind::Preemption, "n0 steps down", result);
    see(&mut checkers, 101, 0, true_view(0), &model).unwrap();
    model.set_state(2, State::Crashed, at(101));
    see(&mut checkers, 102, 0, idle(0), &model).expect("a death may be a reason");
}

#[test]
fn resurrection_sees_a_life_at_the_version_of_the_death() {
    let (model, mut checkers) = three();
    let members = |status| (0..3).map(move |n| member(n, if n == 2 { status } else { Status::Alive }, 0));
    then_sees(&model, &mut checkers, view(1, Some(0), members(Status::Dead))).unwrap();
    let result = see(&mut checkers, 3, 1, view(1, Some(0), members(Status::Alive)), &model);
    assert_violates(Kind::Resurrection, "n1 held n2 gone", result);
}

#[test]
fn resurrection_remembers_the_dead_that_a_view_forgot() {
    let (model, mut checkers) = three();
    let two = || [member(0, Status::Alive, 0), member(1, Status::Alive, 0)];
    let dead = two().into_iter().chain([member(2, Status::Left, 0)]);
    then_sees(&model, &mut checkers, view(1, Some(0), dead)).unwrap();
    see(&mut checkers, 3, 1, view(1, Some(0), two()), &model).unwrap();
    assert_violates(Kind::Resurrection, "n1 held n2 gone", see(&mut checkers, 4, 1, true_view(1), &model));
}

#[test]
fn resurrection_sees_a_newcomer_that_believes_in_the_buried() {
    let (mut model, mut checkers) = three();
    let members = || [member(0, Status::Alive, 0), member(1, Status::Alive, 0), member(2, Status::Dead, 0)];
    see(&mut checkers, 1, 2, true_view(2), &model).unwrap();
    model.set_state(2, State::Crashed, at(2));
    checkers.forget(2);
    for node in 0..2 {
        see(&mut checkers, 3, node, view(node, Some(0), members()), &model).unwrap();
    }
    checkers.tick(at(4), &model).unwrap();
    checkers.forget(1);
    let result = see(&mut checkers, 30, 1, true_view(1), &model);
    assert_violates(Kind::Resurrection, "all have known", result);
}

#[test]
fn incarnation_sees_a_step_back() {
    let (model, mut checkers) = three();
    let raised = |n| member(n, Status::Alive, u64::from(n == 2));
    see(&mut checkers, 1, 2, view(2, Some(0), (0..3).map(raised)), &model).unwrap();
    see(&mut checkers, 2, 1, view(1, Some(0), [member(1, Status::Alive, 0), raised(2)]), &model).unwrap();
    let back = view(1, Some(0), [member(1, Status::Alive, 0), member(2, Status::Alive, 0)]);
    assert_violates(Kind::Incarnation, "n1 held n2 at", see(&mut checkers, 3, 1, back, &model));
}

#[test]
fn incarnation_sees_a_manifest_step_back() {
    let (model, mut checkers) = three();
    let mut old = member(2, Status::Alive, 0);
    Arc::make_mut(old.manifest.as_mut().unwrap()).version.seq = 1;
    let wrong = view(1, Some(0), [member(0, Status::Alive, 0), member(1, Status::Alive, 0), old]);
    assert_violates(Kind::Incarnation, "n1 held the manifest", then_sees(&model, &mut checkers, wrong));
}

#[test]
fn incarnation_sees_one_that_the_owner_never_claimed() {
    let (model, mut checkers) = three();
    let members = [member(0, Status::Alive, 0), member(1, Status::Alive, 0), member(2, Status::Suspect, 1)];
    let result = then_sees(&model, &mut checkers, view(1, Some(0), members));
    assert_violates(Kind::Incarnation, "which it never claimed", result);
}
