//! A node that keeps dying and coming back, and a mesh that keeps breaking.

use super::cluster::Cluster;
use super::settings::id;
use crate::mesh::{Event, Input};
use crate::time::Duration;
use crate::view::Status;
use crate::wire::{Fact, FactKind};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// All others take `victim` for dead.
fn kill_by_word(cluster: &mut Cluster, victim: usize) {
    let version = cluster.view(victim).member(&id(victim)).unwrap().version;
    let dead = Fact::about(id(victim).hash(), version, FactKind::Dead);
    let now = cluster.now;
    let others: Vec<usize> = cluster.nodes.keys().copied().filter(|node| *node != victim).collect();
    for node in others {
        let mesh = &mut cluster.nodes.get_mut(&node).unwrap().mesh;
        mesh.membership.handle_fact(&dead, id(0).hash(), now);
        cluster.handle(node, Input::Tick);
    }
}

fn damped(cluster: &Cluster) -> Vec<(usize, bool)> {
    let damped = |(node, event): &(usize, Event)| {
        if let Event::Damped(is_damped) = event { Some((*node, *is_damped)) } else { None }
    };
    cluster.events.iter().filter_map(damped).collect()
}

#[test]
fn a_node_that_dies_too_often_stays_away_until_its_penalty_has_decayed() {
    let mut cluster = Cluster::of(6);
    let others = [1, 2, 3, 4, 5];
    assert_eq!(cluster.leader(1), Some(id(0)));
    for death in 1..=2 {
        kill_by_word(&mut cluster, 0);
        cluster.run_until(SECOND * 5, "n0 is back", |c| c.all_hold(&others, &[0], Status::Alive));
        cluster.run(SECOND * 10);
        let standing = cluster.sees(1, 0).unwrap().manifest.as_ref().unwrap().standing;
        assert_eq!(((standing.penalty + 5) / 10, standing.damped), (death, false), "{standing:?}");
    }
    kill_by_word(&mut cluster, 0);
    cluster.run(SECOND * 40);
    assert_eq!(damped(&cluster), [(0, true)]);
    assert!(cluster.all_hold(&others, &[0], Status::Dead));
    let standing = cluster.sees(1, 0).unwrap().manifest.as_ref().unwrap().standing;
    assert!(standing.damped && standing.penalty >= 25, "published although it is held dead: {standing:?}");
    for node in 0..6 {
        assert_eq!(cluster.leader(node), Some(id(1)), "n0 may not lead, as n{node} sees it");
    }
    cluster.questions = 0;
    cluster.run(MINUTE);
    assert_eq!(cluster.questions, 0, "it holds of itself what the others hold, so nobody compares");
    let took = cluster.run_until(MINUTE * 6, "n0 is back", |c| c.all_hold(&others, &[0], Status::Alive));
    assert!(took > MINUTE * 2, "{took:?}");
    assert_eq!(damped(&cluster), [(0, true), (0, false)]);
    cluster.run(SECOND * 10);
    assert_eq!(cluster.leader(0), Some(id(1)), "and it does not preempt");
    assert!(cluster.view(1).leader.candidates.contains(&id(0)), "but may lead again");
}

#[test]
fn partitions_that_come_and_go_damp_nobody() {
    let mut cluster = Cluster::of(6);
    let all = [0, 1, 2, 3, 4, 5];
    for _ in 0..5 {
        cluster.partition(&[0, 1], &[2, 3, 4, 5], true);
        cluster.run_until(MINUTE, "each part holds the other dead", |c| {
            c.all_hold(&[0, 1], &[2, 3, 4, 5], Status::Dead)
                && c.all_hold(&[2, 3, 4, 5], &[0, 1], Status::Dead)
        });
        cluster.partition(&[0, 1], &[2, 3, 4, 5], false);
        cluster.run_until(MINUTE, "all are alive again", |c| c.all_hold(&all, &all, Status::Alive));
    }
    assert_eq!(damped(&cluster), []);
    cluster.run(SECOND * 5);
    let penalties: Vec<u32> = all
        .iter()
        .map(|node| cluster.sees(0, *node).unwrap().manifest.as_ref().unwrap().standing.penalty)
        .collect();
    assert_eq!(penalties, [0; 6]);
}

#[test]
fn a_node_that_is_killed_and_restarted_once_has_no_penalty() {
    let mut cluster = Cluster::of(5);
    cluster.kill(4);
    cluster.run_until(MINUTE, "n4 is dead", |c| c.all_hold(&[0, 1, 2, 3], &[4], Status::Dead));
    cluster.start(4);
    cluster.run_until(SECOND * 5, "n4 is back", |c| c.all_hold(&[0, 1, 2, 3], &[4], Status::Alive));
    assert_eq!(cluster.sees(0, 4).unwrap().manifest.as_ref().unwrap().standing.penalty, 0);
}
