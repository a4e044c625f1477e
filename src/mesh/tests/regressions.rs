//! What once went wrong, or would have: remote input that must not hurt, and states that must be left again.

use super::cluster::Cluster;
use super::settings::{config, echo, id};
use crate::id::{IdHash, Version};
use crate::membership::{Claim, TOMBSTONE_FADES};
use crate::mesh::{Event, Input, LocalChange};
use crate::probe::Target;
use crate::time::Duration;
use crate::view::Status;
use crate::wire::packet::{Ack, Election};
use crate::wire::{Body, Fact, FactKind, Packet, encode};

const SECOND: Duration = Duration::from_secs(1);

/// A packet as member `from` would send it.
fn packet(
    cluster: &mut Cluster,
    observer: usize,
    from: usize,
    body: Option<Body>,
    facts: Vec<Fact>,
) -> Input {
    let version = cluster.sees(observer, from).unwrap().version;
    let packet = Packet {
        from: id(from).hash().0,
        epoch: version.epoch,
        incarnation: version.incarnation,
        members: 2,
        facts,
        body,
        manifests: Vec::new(),
    };
    let source = cluster.sees(observer, from).unwrap().addr.unwrap();
    Input::Datagram { source, bytes: encode(&packet) }
}

#[test]
fn the_highest_term_of_all_does_not_end_all_elections() {
    let mut cluster = Cluster::of(3);
    let body = Body::Election(Election { term: u64::MAX, leader: 0 });
    for node in [0, 1] {
        let input = packet(&mut cluster, node, 2, Some(body.clone()), Vec::new());
        cluster.handle(node, input);
    }
    cluster.kill(0);
    cluster.run_until(SECOND * 40, "n1 leads", |c| c.leader(2) == Some(id(1)));
}

#[test]
fn the_load_of_a_stranger_is_not_kept() {
    let mut cluster = Cluster::of(2);
    let stranger = IdHash(99);
    let ack = Ack { target: stranger.0, load: 5, ..Ack::default() };
    let packet = Packet { from: stranger.0, body: Some(Body::Ack(ack)), ..Packet::default() };
    let source = "127.0.0.1:9".parse().unwrap();
    cluster.handle(0, Input::Datagram { source, bytes: encode(&packet) });
    let now = cluster.now;
    assert_eq!(cluster.nodes[&0].mesh.gossip.loads.of(stranger, now), None);
}

#[test]
fn a_member_that_refuted_often_is_known_to_a_newcomer() {
    let mut cluster = Cluster::of(2);
    for _ in 0..1100 {
        let version = cluster.sees(0, 1).unwrap().version;
        let fact = Fact::about(id(1).hash(), version, FactKind::Suspect);
        let input = packet(&mut cluster, 1, 0, None, vec![fact]);
        cluster.handle(1, input);
        cluster.run(SECOND / 100);
    }
    assert_eq!(cluster.status(0, 1), Some(Status::Alive));
    cluster.start(2);
    cluster.run(SECOND * 30);
    let (known, newcomer) = (cluster.sees(0, 1).unwrap().version, cluster.sees(2, 1).unwrap());
    assert_eq!((newcomer.status, newcomer.version), (Status::Alive, known));
    assert!(cluster.view(2).ready);
}

#[test]
fn a_member_without_an_address_is_not_suspected_for_it() {
    let mut cluster = Cluster::of(2);
    let mut hidden = config(2, 1);
    hidden.addr = None;
    cluster.start_with(2, hidden);
    cluster.run(SECOND * 20);
    assert!(cluster.all_hold(&[0, 1], &[2], Status::Alive));
    let suspected =
        cluster.events.iter().any(|(_, e)| matches!(e, Event::Suspect { subject, .. } if *subject == id(2)));
    assert!(!suspected);
}

#[test]
fn former_peers_that_are_out_of_reach_stay_on_disk() {
    let mut cluster = Cluster::of(4);
    cluster.run(SECOND * 15);
    cluster.partition(&[0, 1], &[2, 3], true);
    cluster.run(SECOND * 60);
    for node in [1, 1] {
        cluster.kill(node);
        let mut seedless = config(node, 0);
        seedless.leader_eligible = Some(false);
        cluster.run(SECOND);
        cluster.start_with(node, seedless);
        cluster.run(SECOND * 60);
    }
    cluster.kill(0);
    cluster.partition(&[0, 1], &[2, 3], false);
    // n2 and n3 would find n1 too; they forget it here, so that n1 must find them.
    for node in [2, 3] {
        cluster.kill(node);
        cluster.forget_peers(node);
        cluster.start_with(node, config(node, 0));
    }
    cluster.run_until(SECOND * 60, "n1 finds its former peers", |c| {
        c.status(1, 2) == Some(Status::Alive) && c.status(1, 3) == Some(Status::Alive)
    });
}

#[test]
fn three_parts_heal_and_follow_one_leader() {
    let mut cluster = Cluster::of(6);
    let parts = [[0, 1], [2, 3], [4, 5]];
    let cut = |cluster: &mut Cluster, is_cut| {
        cluster.partition(&parts[0], &parts[1], is_cut);
        cluster.partition(&parts[0], &parts[2], is_cut);
        cluster.partition(&parts[1], &parts[2], is_cut);
    };
    cut(&mut cluster, true);
    cluster.run(SECOND * 90);
    for [a, b] in parts {
        // Whoever led all doubted itself, with most of the mesh silent, so that the other one may lead the part.
        let leader = cluster.leader(a);
        assert_eq!(cluster.leader(b), leader);
        assert!([Some(id(a)), Some(id(b))].contains(&leader), "{leader:?}");
    }
    cut(&mut cluster, false);
    let all = [0, 1, 2, 3, 4, 5];
    cluster.run_until(SECOND * 30, "all are alive again", |c| c.all_hold(&all, &all, Status::Alive));
    cluster.run(SECOND * 5);
    let leader = cluster.leader(0);
    assert!(leader.is_some() && all.iter().all(|node| cluster.leader(*node) == leader));
    cluster.run(SECOND * 30);
    assert!(cluster.all_hold(&all, &all, Status::Alive));
}

#[test]
fn all_restart_together_with_peers_files_and_dead_entries() {
    let mut cluster = Cluster::of(7);
    cluster.kill(5);
    cluster.kill(6);
    cluster.run(SECOND * 40);
    for node in 0..5 {
        cluster.kill(node);
    }
    for node in 0..5 {
        cluster.start_with(node, config(node, 0));
    }
    let all = [0, 1, 2, 3, 4];
    cluster.run_until(SECOND * 20, "all are ready and alive", |c| {
        c.all_hold(&all, &all, Status::Alive) && all.iter().all(|node| c.view(*node).ready)
    });
    cluster.run_until(SECOND * 20, "one leader", |c| {
        let leader = c.leader(0);
        leader.is_some() && all.iter().all(|node| c.leader(*node) == leader)
    });
}

#[test]
fn a_first_node_that_lost_its_epoch_is_no_clone() {
    let mut cluster = Cluster::of(3);
    cluster.kill(0);
    cluster.lose_disk(0);
    cluster.start(0);
    cluster.run_until(SECOND * 30, "n0 is back", |c| {
        c.view(0).ready && c.all_hold(&[0, 1, 2], &[0, 1, 2], Status::Alive)
    });
    assert!(!cluster.events.iter().any(|(_, e)| matches!(e, Event::Cloned { .. })));
}

#[test]
fn a_manifest_rides_once_on_a_packet() {
    let mut cluster = Cluster::of(2);
    cluster.start(2);
    cluster.run(SECOND / 10);
    let now = cluster.now;
    let mesh = &mut cluster.nodes.get_mut(&0).unwrap().mesh;
    let subject = id(2).hash();
    let (hash, version) = {
        let held = mesh.membership.members().held(subject).unwrap();
        (held.signed.hash(), held.signed.manifest().version)
    };
    let fact = |kind: FactKind| Fact {
        subject: subject.0,
        epoch: version.epoch,
        incarnation: version.seq,
        kind: kind.into(),
        by: hash,
        value: 0,
    };
    let manifests = mesh.manifests_for(&[fact(FactKind::Joined), fact(FactKind::Manifest)], 4096, now);
    assert_eq!(manifests.len(), 1);
}

#[test]
fn tombstones_of_different_ages_fade_together() {
    let mut cluster = Cluster::of(3);
    let claim = Claim { version: Version { epoch: 5, incarnation: 0 }, status: Status::Dead };
    let now = cluster.now;
    let almost = TOMBSTONE_FADES - SECOND * 30;
    for (node, age) in [(0, almost), (1, almost), (2, TOMBSTONE_FADES / 2)] {
        let mesh = &mut cluster.nodes.get_mut(&node).unwrap().mesh;
        mesh.membership.handle_tombstone(id(50), claim, age, id(1).hash(), now);
        mesh.handle(Input::Tick, now);
    }
    cluster.run(SECOND * 180);
    cluster.questions = 0;
    cluster.run(SECOND * 60);
    assert_eq!(cluster.questions, 0, "the roots agree again");
    assert_eq!(cluster.status(2, 50), Some(Status::Dead));
}

#[test]
fn receipts_of_an_earlier_attempt_are_not_waited_for() {
    let mut cluster = Cluster::of(3);
    let now = cluster.now;
    let mesh = &mut cluster.nodes.get_mut(&0).unwrap().mesh;
    let record = mesh.summary.record();
    mesh.replicate(&record, 2, now);
    let first: Vec<_> = mesh.requests.keys().copied().collect();
    assert_eq!(first.len(), 2);
    mesh.replicate(&record, 2, now);
    assert!(first.iter().all(|id| !mesh.requests.contains_key(id)));
}

#[test]
fn a_node_whose_services_do_not_fit_still_says_that_it_drains() {
    let mut cluster = Cluster::of(2);
    let many = (0..512).map(|i| Target {
        name: format!("service-{i}").parse().unwrap(),
        tags: vec!["x".repeat(200)],
        checked: false,
        ..echo()
    });
    cluster.set_services(1, many.collect());
    cluster.run(SECOND * 2);
    cluster.handle(1, Input::Local(LocalChange::Draining));
    cluster.run(SECOND * 2);
    let manifest = cluster.sees(0, 1).unwrap().manifest.clone().unwrap();
    assert!(manifest.draining, "what fits is published");
    assert_eq!(manifest.services.len(), 1, "with the services of before");
    let complaints = cluster.events.iter().filter(|(_, e)| matches!(e, Event::ManifestTooLarge(_))).count();
    assert_eq!(complaints, 1);
}

#[test]
fn a_leader_that_drains_and_leaves_is_followed_by_the_next() {
    let mut cluster = Cluster::of(4);
    cluster.handle(0, Input::Local(LocalChange::Draining));
    cluster.run_until(SECOND, "n0 leads no more", |c| (0..4).all(|node| c.leader(node) != Some(id(0))));
    cluster.handle(0, Input::Leave);
    cluster.run(SECOND);
    cluster.kill(0);
    cluster.run_until(SECOND * 10, "n1 leads", |c| (1..4).all(|node| c.leader(node) == Some(id(1))));
}

#[test]
fn a_leader_that_restarts_at_once_does_not_lead_by_what_it_said_before() {
    let mut cluster = Cluster::of(4);
    cluster.run(SECOND * 15);
    cluster.kill(0);
    cluster.start_with(0, config(0, 0));
    cluster.run_until(SECOND, "it is back, and nobody leads", |c| {
        c.view(0).ready && (0..4).all(|node| c.leader(node).is_none())
    });
    cluster.run_until(SECOND * 8, "one leads after another hold-down", |c| {
        let leader = c.leader(0);
        leader.is_some() && (0..4).all(|node| c.leader(node) == leader && c.view(node).leader.term == 2)
    });
    assert!(cluster.all_hold(&[0, 1, 2, 3], &[0, 1, 2, 3], Status::Alive));
}

#[test]
fn a_seed_that_is_the_node_itself_is_nobody() {
    let mut cluster = Cluster::new();
    cluster.start_with(0, config(0, 1));
    cluster.run(SECOND * 29);
    assert!(!cluster.view(0).ready);
    cluster.run(SECOND * 10);
    assert!(cluster.view(0).ready);
    assert_eq!((cluster.view(0).members.len(), cluster.leader(0)), (1, Some(id(0))));
    cluster.start(1);
    cluster.run_until(SECOND * 5, "both know each other", |c| c.all_hold(&[0, 1], &[0, 1], Status::Alive));
}

#[test]
fn two_leaders_of_a_mesh_of_two_become_one() {
    let mut cluster = Cluster::of(2);
    cluster.partition(&[0], &[1], true);
    cluster.run_until(SECOND * 30, "each leads alone", |c| {
        c.leader(0) == Some(id(0)) && c.leader(1) == Some(id(1))
    });
    cluster.partition(&[0], &[1], false);
    cluster.run_until(SECOND * 10, "one leads", |c| c.leader(0) == Some(id(0)) && c.leader(1) == Some(id(0)));
}

#[test]
fn all_members_in_turn_restart_every_two_seconds_and_it_settles() {
    let mut cluster = Cluster::of(5);
    for round in 0..15 {
        let node = round % 5;
        cluster.kill(node);
        cluster.run(SECOND / 5);
        cluster.start(node);
        cluster.run(SECOND * 2);
    }
    let all = [0, 1, 2, 3, 4];
    cluster.run_until(SECOND * 30, "all are alive and follow one leader", |c| {
        let leader = c.leader(0);
        leader.is_some()
            && c.all_hold(&all, &all, Status::Alive)
            && all.iter().all(|node| c.leader(*node) == leader && c.view(*node).ready)
    });
    cluster.questions = 0;
    cluster.run(SECOND * 30);
    assert_eq!(cluster.questions, 0);
}

#[test]
fn a_disk_that_is_lost_after_the_leave_is_no_way_to_stay_out() {
    let mut cluster = Cluster::of(3);
    cluster.handle(2, Input::Leave);
    cluster.run(SECOND);
    cluster.kill(2);
    cluster.lose_disk(2);
    cluster.start(2);
    cluster.run_until(SECOND * 10, "n2 is back", |c| {
        c.status(0, 2) == Some(Status::Alive) && c.status(1, 2) == Some(Status::Alive) && c.view(2).ready
    });
}
