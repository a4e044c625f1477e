//! A node that stood still for a while.

use super::cluster::Cluster;
use super::settings::id;
use crate::mesh::{Event, Input};
use crate::time::{Duration, Instant};
use crate::view::Status;

const SECOND: Duration = Duration::from_secs(1);

/// What `node` told about others, since `from` of the events: those it suspected, and those it took for dead.
fn accused_by(cluster: &Cluster, node: usize, from: usize) -> Vec<String> {
    let suspects =
        |event: &Event| matches!(event, Event::Suspect { accuser, .. } if *accuser == Some(id(node)));
    let events = cluster.events[from..].iter();
    let events =
        events.filter(|(by, event)| suspects(event) || *by == node && matches!(event, Event::Dead(_)));
    events.map(|(by, event)| format!("n{by}: {event:?}")).collect()
}

fn paused(cluster: &Cluster, node: usize) -> usize {
    cluster.events.iter().filter(|(n, e)| *n == node && matches!(e, Event::Paused(_))).count()
}

#[test]
fn a_leader_that_slept_accuses_nobody_and_leads_no_more() {
    let mut cluster = Cluster::of(6);
    let all = [0, 1, 2, 3, 4, 5];
    assert_eq!(cluster.leader(3), Some(id(0)));
    cluster.pause(0);
    let others = &all[1..];
    cluster.run_until(SECOND * 40, "the others hold it dead and follow n1", |c| {
        c.all_hold(others, &[0], Status::Dead) && others.iter().all(|node| c.leader(*node) == Some(id(1)))
    });
    cluster.run(SECOND * 20);
    let from = cluster.events.len();
    cluster.resume(0);
    assert_eq!(paused(&cluster, 0), 1);
    assert_ne!(cluster.leader(0), Some(id(0)), "it does not lead by what it knew before");
    cluster.run_until(SECOND * 10, "it is back", |c| c.all_hold(&all, &all, Status::Alive));
    cluster.run(SECOND * 30);
    assert_eq!(accused_by(&cluster, 0, from), [""; 0]);
    assert!(all.iter().all(|node| cluster.leader(*node) == Some(id(1))), "n1 leads on");
    assert!(cluster.all_hold(&all, &all, Status::Alive));
}

#[test]
fn a_short_stop_at_any_moment_accuses_nobody() {
    let mut cluster = Cluster::of(5);
    for (n, pause) in [1_300, 1_900, 2_500, 3_100, 900, 2_050, 4_000].into_iter().enumerate() {
        cluster.run(Duration::from_millis(7_000 + 370 * n as u64));
        let from = cluster.events.len();
        cluster.pause(2);
        cluster.run(Duration::from_millis(pause));
        cluster.resume(2);
        cluster.run(SECOND * 5);
        assert_eq!(accused_by(&cluster, 2, from), [""; 0], "after {pause} ms");
    }
    assert!(paused(&cluster, 2) >= 5, "{}", paused(&cluster, 2));
    cluster.run(SECOND * 60);
    assert!(cluster.all_hold(&[0, 1, 3, 4], &[2], Status::Alive));
}

#[test]
fn before_it_accuses_again_it_compares_with_three_members() {
    let mut cluster = Cluster::of(6);
    cluster.run(SECOND * 10);
    cluster.pause(5);
    cluster.run(SECOND * 3);
    cluster.kill(4);
    // What it would ask first is as silent as the dead one.
    cluster.questions = 0;
    cluster.resume(5);
    let is_open = |c: &Cluster| c.nodes[&5].mesh.refresh.is_none();
    assert!(!is_open(&cluster));
    cluster.run_until(SECOND * 20, "it knows the mesh again", |c| is_open(c));
    assert!(cluster.questions >= 3, "{}", cluster.questions);
    cluster.run_until(SECOND * 30, "the dead one is noticed after all", |c| {
        c.all_hold(&[0, 1, 2, 3, 5], &[4], Status::Dead)
    });
    assert!(cluster.all_hold(&[0, 1, 2, 3], &[5], Status::Alive));
}

#[test]
fn a_machine_whose_clock_slept_too_starts_anew_as_well() {
    let mut cluster = Cluster::of(4);
    let from = cluster.events.len();
    cluster.handle(0, Input::Slept);
    assert_eq!((paused(&cluster, 0), cluster.leader(0)), (1, None));
    cluster.run_until(SECOND * 10, "there is one leader again", |c| {
        let leader = c.leader(0);
        leader.is_some() && (0..4).all(|node| c.leader(node) == leader)
    });
    assert_eq!(accused_by(&cluster, 0, from), [""; 0]);
}

#[test]
fn a_leader_that_stops_between_read_and_write_does_not_write() {
    // Whenever it stops: the harness refuses a write more than five seconds after its read.
    for stop in 0..12 {
        let mut cluster = Cluster::of(3);
        cluster.run(SECOND * 10);
        let read_at = |c: &Cluster| c.gets.get(&0).copied();
        let before = read_at(&cluster);
        cluster.kill(2);
        while read_at(&cluster) == before {
            cluster.run(Duration::from_micros(100));
            assert!(cluster.now < Instant::ORIGIN + SECOND * 90, "the leader does not read the store");
        }
        cluster.run(Duration::from_micros(stop * 300));
        cluster.pause(0);
        cluster.run(SECOND * 7);
        cluster.resume(0);
        cluster.run(SECOND * 40);
        assert!(read_at(&cluster) > Some(Instant::ORIGIN));
    }
}

#[test]
fn a_node_alone_that_slept_leads_again_after_its_hold_down() {
    let mut cluster = Cluster::of(1);
    assert_eq!(cluster.leader(0), Some(id(0)));
    cluster.pause(0);
    cluster.run(SECOND * 600);
    cluster.resume(0);
    assert_eq!(cluster.leader(0), None);
    cluster.run_until(SECOND * 5, "it leads again", |c| c.leader(0) == Some(id(0)));
}
