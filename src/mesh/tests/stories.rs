//! What users see: meeting, dying, leaving, returning, electing, writing.

use super::cluster::Cluster;
use super::settings::{config, echo, id};
use crate::manifest::Health;
use crate::mesh::{Event, Input};
use crate::time::Duration;
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn three_nodes_meet_and_agree_on_one_leader() {
    let mut cluster = Cluster::of(3);
    assert!(cluster.all_hold(&[0, 1, 2], &[0, 1, 2], Status::Alive));
    for node in 0..3 {
        assert!(cluster.view(node).ready, "n{node} is not ready");
        assert_eq!(cluster.leader(node), Some(id(0)), "as n{node} sees it");
        let member = cluster.sees(node, 2).unwrap();
        let service = &member.manifest.as_ref().unwrap().services[0];
        assert_eq!((service.health, service.version.as_str()), (Health::Healthy, "1.0.0"));
    }
}

#[test]
fn a_node_alone_leads_and_writes() {
    let mut cluster = Cluster::of(1);
    assert_eq!(cluster.leader(0), Some(id(0)));
    let value = String::from_utf8(cluster.store.clone().unwrap()).unwrap();
    assert!(value.contains(&id(0).to_string()), "{value}");
}

#[test]
fn a_killed_process_is_dead_everywhere_as_soon_as_two_watchers_are_refused() {
    for nodes in [5, 12] {
        let mut cluster = Cluster::of(nodes);
        cluster.run(SECOND * 15);
        cluster.kill(4);
        let others: Vec<usize> = (0..nodes).filter(|n| *n != 4).collect();
        let took = cluster.run_until(SECOND, "n4 is dead", |c| c.all_hold(&others, &[4], Status::Dead));
        assert!(took > Duration::from_millis(100), "two refusals are 100 ms apart: {took:?}");
    }
}

#[test]
fn a_killed_process_of_three_is_dead_after_it_was_refused_twice() {
    let mut cluster = Cluster::of(3);
    cluster.run(SECOND * 15);
    cluster.kill(2);
    let took = cluster.run_until(SECOND * 2, "n2 is dead", |c| c.all_hold(&[0, 1], &[2], Status::Dead));
    assert!(took > Duration::from_millis(500), "two looks are 500 ms apart: {took:?}");
}

#[test]
fn a_silent_host_is_dead_everywhere_by_its_witnesses_and_not_sooner_than_they_may_say_so() {
    for nodes in [5, 12] {
        let mut cluster = Cluster::of(nodes);
        cluster.run(SECOND * 15);
        let others: Vec<usize> = (0..nodes).filter(|n| *n != 4).collect();
        cluster.partition(&[4], &others, true);
        let took = cluster.run_until(SECOND * 5, "n4 is dead", |c| c.all_hold(&others, &[4], Status::Dead));
        assert!(took > Duration::from_millis(1500), "{took:?}");
    }
}

#[test]
fn a_node_that_is_cut_off_from_all_doubts_itself_and_accuses_nobody() {
    let mut cluster = Cluster::of(12);
    cluster.run(SECOND * 15);
    let others: Vec<usize> = (0..11).collect();
    cluster.partition(&[11], &others, true);
    cluster.run(SECOND * 10);
    assert!(!cluster.view(11).ready, "it does not serve as if all were well");
    assert!(cluster.all_hold(&[11], &others, Status::Alive), "it knows that it knows nothing");
    cluster.run(SECOND * 110);
    assert!(cluster.all_hold(&[11], &others, Status::Dead), "but not for ever");
}

#[test]
fn a_leave_is_known_everywhere_at_once() {
    let mut cluster = Cluster::of(5);
    cluster.handle(3, Input::Leave);
    let took = cluster.run_until(SECOND, "n3 has left", |c| c.all_hold(&[0, 1, 2, 4], &[3], Status::Left));
    assert!(took <= Duration::from_millis(300), "{took:?}");
    cluster.run(SECOND);
    assert!(cluster.nodes[&3].left, "the node may go");
}

#[test]
fn a_restarted_node_is_the_same_member_with_a_higher_epoch() {
    let mut cluster = Cluster::of(3);
    let before = cluster.sees(0, 2).unwrap().version.epoch;
    cluster.kill(2);
    cluster.run(SECOND * 2);
    cluster.start(2);
    cluster.run_until(SECOND * 5, "n2 is back", |c| {
        c.sees(0, 2).is_some_and(|m| m.status == Status::Alive && m.version.epoch > before)
    });
    assert_eq!(cluster.view(0).members.len(), 3);
}

#[test]
fn a_node_that_lost_its_disk_takes_a_higher_epoch_than_the_mesh_knows() {
    let mut cluster = Cluster::of(3);
    let before = cluster.sees(0, 2).unwrap().version.epoch;
    cluster.kill(2);
    cluster.run(SECOND);
    cluster.lose_disk(2);
    cluster.start(2);
    cluster.run_until(SECOND * 10, "n2 is back at a higher epoch", |c| {
        [0, 1]
            .iter()
            .all(|o| c.sees(*o, 2).is_some_and(|m| m.status == Status::Alive && m.version.epoch > before))
    });
}

#[test]
fn a_partition_heals_without_an_operator() {
    let mut cluster = Cluster::of(5);
    cluster.partition(&[0, 1], &[2, 3, 4], true);
    cluster.run_until(SECOND * 40, "both parts hold the other dead", |c| {
        c.all_hold(&[0, 1], &[2, 3, 4], Status::Dead) && c.all_hold(&[2, 3, 4], &[0, 1], Status::Dead)
    });
    cluster.run(SECOND * 10);
    assert_eq!(cluster.leader(1), Some(id(0)));
    assert_eq!(cluster.leader(4), Some(id(2)), "each part has a leader");
    cluster.partition(&[0, 1], &[2, 3, 4], false);
    let all = [0, 1, 2, 3, 4];
    cluster.run_until(SECOND * 20, "all are alive again", |c| c.all_hold(&all, &all, Status::Alive));
    cluster.run(SECOND * 5);
    for node in all {
        assert_eq!(cluster.leader(node), Some(id(0)), "of two incumbents the better-ranked one stays");
    }
}

#[test]
fn the_next_oldest_takes_over_from_a_killed_leader() {
    let mut cluster = Cluster::of(4);
    cluster.kill(0);
    cluster.run_until(SECOND * 30, "n1 leads", |c| [1, 2, 3].iter().all(|o| c.leader(*o) == Some(id(1))));
    let term = cluster.view(1).leader.term;
    assert!(term >= 2, "a new term: {term}");
}

#[test]
fn a_joiner_never_preempts_the_leader() {
    let mut cluster = Cluster::of(3);
    let mut better = config(9, 1);
    better.leader_priority = 100;
    cluster.start_with(9, better);
    cluster.run(SECOND * 20);
    for node in [0, 1, 2, 9] {
        assert_eq!(cluster.leader(node), Some(id(0)), "as n{node} sees it");
    }
}

#[test]
fn five_nodes_that_start_together_elect_one_leader() {
    let mut cluster = Cluster::new();
    for node in 0..5 {
        cluster.start(node);
    }
    let all = [0, 1, 2, 3, 4];
    cluster.run_until(SECOND * 20, "one leader", |c| {
        let leader = c.leader(0);
        leader.is_some() && all.iter().all(|node| c.leader(*node) == leader)
    });
    let leaders: Vec<_> =
        cluster.events.iter().filter(|(_, e)| matches!(e, Event::Leader { leader: Some(_), .. })).collect();
    assert!(leaders.len() <= 5, "the leader changed on the way: {leaders:?}");
}

#[test]
fn a_change_of_health_is_known_everywhere() {
    let mut cluster = Cluster::of(4);
    cluster.nodes.get_mut(&2).unwrap().health = Health::Unhealthy;
    cluster.run_until(SECOND * 25, "n2's echo is unhealthy everywhere", |c| {
        (0..4)
            .all(|o| c.sees(o, 2).unwrap().manifest.as_ref().unwrap().services[0].health == Health::Unhealthy)
    });
}

#[test]
fn a_manifest_larger_than_a_datagram_reaches_everyone() {
    let mut cluster = Cluster::of(4);
    let many = (0..100).map(|i| crate::probe::Target {
        name: format!("service-{i}").parse().unwrap(),
        checked: false,
        ..echo()
    });
    cluster.set_services(1, many.collect());
    cluster.run_until(SECOND * 5, "100 services of n1", |c| {
        (0..4).all(|o| c.sees(o, 1).unwrap().manifest.as_ref().unwrap().services.len() == 100)
    });
}

#[test]
fn a_manifest_that_is_too_large_is_refused_at_its_source_and_the_old_one_stays() {
    let mut cluster = Cluster::of(2);
    let many = (0..512).map(|i| crate::probe::Target {
        name: format!("service-{i}").parse().unwrap(),
        tags: vec!["x".repeat(200)],
        checked: false,
        ..echo()
    });
    cluster.set_services(1, many.collect());
    cluster.run(SECOND * 2);
    assert!(cluster.events.iter().any(|(node, e)| *node == 1 && matches!(e, Event::ManifestTooLarge(_))));
    assert_eq!(cluster.sees(0, 1).unwrap().manifest.as_ref().unwrap().services.len(), 1);
}

#[test]
fn steady_state_costs_two_small_datagrams_per_node_and_second_and_no_questions() {
    let mut cluster = Cluster::of(8);
    cluster.run(SECOND * 30);
    (cluster.datagrams, cluster.bytes, cluster.questions) = (0, 0, 0);
    cluster.run(SECOND * 60);
    let per_node_second = cluster.datagrams as f64 / (8.0 * 60.0);
    assert!(per_node_second < 2.3, "{per_node_second} datagrams");
    let bytes = cluster.bytes as f64 / (8.0 * 60.0);
    assert!(bytes < 180.0, "{bytes} bytes");
    assert_eq!(cluster.questions, 0, "the roots agree, so nobody asks");
}

#[test]
fn without_a_working_store_there_is_no_leader_and_the_mesh_serves_on() {
    let mut cluster = Cluster::new();
    cluster.store_fails = true;
    for node in 0..3 {
        cluster.start(node);
        cluster.run(Duration::from_millis(50));
    }
    cluster.run(SECOND * 30);
    assert!(cluster.all_hold(&[0, 1, 2], &[0, 1, 2], Status::Alive));
    assert!((0..3).all(|node| cluster.leader(node).is_none() && cluster.view(node).ready));
    cluster.store_fails = false;
    cluster.run(SECOND * 640);
    assert!(cluster.leader(0).is_some(), "after ten minutes it is tried again");
}

#[test]
fn garbage_is_an_event_and_nothing_else() {
    let mut cluster = Cluster::of(2);
    let source = "127.0.0.1:9".parse().unwrap();
    for bytes in [vec![], vec![0xff; 40], vec![0x2a, 0x7f], vec![0; 5000]] {
        cluster.handle(0, Input::Datagram { source, bytes });
    }
    cluster.handle(0, Input::Request { from: id(1), id: crate::mesh::RequestId(9), body: vec![0xff; 9] });
    let refused = cluster.events.iter().filter(|(_, e)| matches!(e, Event::Refused { .. })).count();
    assert!(refused >= 3, "{refused}");
    cluster.run(SECOND * 3);
    assert!(cluster.all_hold(&[0, 1], &[0, 1], Status::Alive));
}

#[test]
fn of_two_processes_with_one_key_the_older_boot_goes_silent() {
    let mut cluster = Cluster::of(3);
    cluster.run(SECOND * 60);
    cluster.clones.insert(7, 2);
    cluster.start(7);
    cluster.run(SECOND * 30);
    let cloned = |c: &Cluster, node| {
        let silent = |e: &Event| matches!(e, Event::Cloned { gives_way: true, .. });
        c.events.iter().any(|(n, e)| *n == node && silent(e))
    };
    assert!(cloned(&cluster, 2) && !cloned(&cluster, 7));
    assert!(!cluster.view(2).ready && cluster.view(7).ready);
    let member = cluster.sees(0, 2).unwrap();
    assert_eq!((member.status, member.addr), (Status::Alive, cluster.view(7).member(&id(2)).unwrap().addr));
    let version = member.version;
    cluster.run(SECOND * 30);
    assert_eq!(cluster.sees(0, 2).unwrap().version, version, "and there is no war of refutations");
}

#[test]
fn those_who_would_lead_next_know_what_was_last_stored() {
    let mut cluster = Cluster::of(3);
    cluster.run_until(SECOND * 5, "a write", |c| c.store.is_some());
    cluster.run(SECOND * 3);
    let leader = cluster.view(0).leader.summary.clone();
    for node in [1, 2] {
        let seen = cluster.view(node).leader.summary.clone();
        assert_eq!((seen.stored, seen.last_write), (leader.stored, leader.last_write), "at n{node}");
    }
}
