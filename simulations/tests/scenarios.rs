//! What the mesh promises, as stories that are played in virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; what it measured is worth a look"
)]

use meshnode::time::Duration;
use meshnode::view::Status;
use meshsim::checkers::Violation;
use meshsim::cluster::{Cluster, Restart};
use meshsim::options::Options;
use meshsim::scenario::Scenario;
use meshsim::trace::Trace;

type Story = Result<(), Violation>;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A mesh of so many nodes that has settled on a leader.
fn settled(nodes: usize, seed: u64) -> Result<Cluster, Violation> {
    settled_with(Options { hold: secs(3), ..Options::draw(nodes, seed) })
}

fn settled_with(options: Options) -> Result<Cluster, Violation> {
    println!("{options}");
    let mut mesh = Cluster::boot(options, Trace::default());
    mesh.run(mesh.options().stagger * 100)?;
    mesh.settle(secs(60))?;
    Ok(mesh)
}

/// Some node, other than the leader.
fn follower(mesh: &Cluster) -> usize {
    let leader = mesh.leader_of(0).unwrap();
    (1..).find(|&node| node != leader).unwrap()
}

#[test]
fn views_converge_after_five_crashes_at_ten_percent_loss() -> Story {
    let mut options = Options { hold: secs(3), ..Options::draw(20, 1) };
    options.network.loss = 0.1;
    let mut mesh = settled_with(options)?;
    for node in [2, 5, 7, 11, 13] {
        mesh.crash(node);
    }
    let took = mesh.settle(secs(60))?;
    println!("settled after {took:?}");
    mesh.run(secs(30))?;
    mesh.settle(secs(0)).map(|_| ())
}

#[test]
fn nobody_dies_who_is_only_hard_to_hear() -> Story {
    let mut options = Options { hold: secs(3), ..Options::draw(10, 2) };
    options.network.loss = 0.1;
    let mut mesh = settled_with(options)?;
    let epochs: Vec<u64> = mesh.model().nodes().iter().map(|node| node.epoch).collect();
    for _ in 0..120 {
        mesh.run(secs(1))?;
        for (observer, subject) in (0..10).flat_map(|o| (0..10).map(move |s| (o, s))) {
            let status = mesh.status(observer, subject);
            assert!(status.is_some_and(Status::is_live), "n{observer} holds n{subject} {status:?}");
        }
    }
    let after: Vec<u64> = mesh.model().nodes().iter().map(|node| node.epoch).collect();
    assert_eq!(epochs, after);
    Ok(())
}

#[test]
fn a_partition_heals_without_an_operator() -> Story {
    let mut mesh = settled(8, 3)?;
    mesh.partition(&[vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
    mesh.settle(secs(60))?;
    for (observer, subject) in [(0, 7), (7, 0)] {
        assert_eq!(mesh.status(observer, subject), Some(Status::Dead), "each part sees only itself");
    }
    mesh.run(secs(60))?;
    mesh.heal();
    mesh.settle(secs(60)).map(|_| ())
}

#[test]
fn each_part_elects_one_leader_and_the_healed_mesh_keeps_one() -> Story {
    let mut mesh = settled(9, 4)?;
    let leader = mesh.leader_of(0);
    mesh.partition(&[vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8]]);
    mesh.settle(secs(90))?;
    let parts = (mesh.leader_of(1).unwrap(), mesh.leader_of(6).unwrap());
    assert!(parts.0 < 5 && parts.1 >= 5, "each part follows one of its own: {parts:?}");
    mesh.heal();
    mesh.settle(secs(90))?;
    let healed = mesh.leader_of(0).unwrap();
    assert!(healed == parts.0 || healed == parts.1, "{healed} led neither part: {parts:?}");
    println!("led by {leader:?}, then {parts:?}, then {healed}");
    Ok(())
}

#[test]
fn a_joiner_never_preempts_the_leader() -> Story {
    for seed in 0..4 {
        let mut mesh = settled(5, seed)?;
        let leader = mesh.leader_of(0);
        for _ in 0..3 {
            let joiner = mesh.add();
            // Of two that meet as candidates it would be the better one.
            mesh.set_priority(joiner, 10);
            mesh.start(joiner);
            mesh.run(secs(8))?;
            mesh.settle(secs(30))?;
            assert_eq!(mesh.leader_of(joiner), leader, "seed {seed}");
            assert_eq!(mesh.leader_of(0), leader, "seed {seed}");
        }
    }
    Ok(())
}

#[test]
fn the_best_of_the_others_leads_when_the_leader_dies() -> Story {
    let mut mesh = settled(6, 5)?;
    let dead = mesh.leader_of(0).unwrap();
    let better = mesh.add();
    mesh.set_priority(better, 10);
    mesh.start(better);
    mesh.settle(secs(60))?;
    mesh.crash(dead);
    mesh.settle(secs(60))?;
    assert_eq!(mesh.leader_of(better), Some(better));
    Ok(())
}

#[test]
fn a_restarted_node_is_the_same_member() -> Story {
    let mut mesh = settled(6, 6)?;
    for how in [Restart::DiskKept, Restart::DiskLost] {
        let node = follower(&mesh);
        let (before, id) = (mesh.view(0).unwrap().members.len(), mesh.model().nodes()[node].id);
        let epoch = mesh.view(0).unwrap().member(&id).unwrap().version.epoch;
        mesh.restart(node, how);
        mesh.settle(secs(60))?;
        let view = mesh.view(0).unwrap();
        assert_eq!(view.members.len(), before, "{how:?}: no new member");
        assert!(view.member(&id).unwrap().version.epoch > epoch, "{how:?}: a new boot of the old member");
    }
    Ok(())
}

#[test]
fn a_node_that_was_held_dead_for_long_comes_back_as_itself() -> Story {
    let mut mesh = settled(5, 7)?;
    let node = follower(&mesh);
    mesh.crash(node);
    mesh.run(secs(120))?;
    assert!(mesh.all_hold_gone(node));
    mesh.start(node);
    mesh.settle(secs(30)).map(|_| ())
}

#[test]
fn a_first_node_that_lost_its_disk_is_not_taken_for_a_clone_of_itself() -> Story {
    // It starts again before anybody holds it dead, and is ready at once, as it joins through nobody.
    let mut mesh = settled(4, 18)?;
    mesh.restart(0, Restart::DiskLost);
    mesh.settle(secs(60)).map(|_| ())
}

#[test]
fn a_seed_that_lost_its_disk_is_told_its_epoch_by_those_who_hold_it_gone() -> Story {
    for leaves in [false, true] {
        let mut mesh = settled(4, 16)?;
        if leaves {
            mesh.leave(0)
        } else {
            mesh.crash(0)
        }
        mesh.run(secs(40))?;
        // It knows nobody, is a mesh of one, and boots at an epoch that is lower than the one it is remembered by.
        mesh.restart(0, Restart::DiskLost);
        mesh.run(secs(5))?;
        let joiner = mesh.add();
        mesh.start(joiner);
        mesh.settle(secs(60))?;
    }
    Ok(())
}

#[test]
fn the_dead_do_not_come_back_through_anti_entropy() -> Story {
    let mut mesh = settled(8, 8)?;
    let dead = follower(&mesh);
    // One part learns of the death; the other holds the dead node alive as long as it can, and is then merged.
    let others: Vec<usize> = (0..8).filter(|&node| node != dead).collect();
    mesh.partition(&[others[..4].to_vec(), others[4..].iter().copied().chain([dead]).collect()]);
    mesh.run(secs(2))?;
    mesh.crash(dead);
    mesh.run(secs(90))?;
    mesh.heal();
    mesh.settle(secs(90))?;
    let joiner = mesh.add();
    mesh.start(joiner);
    mesh.run(secs(60))?;
    assert!(mesh.all_hold_gone(dead));
    mesh.settle(secs(0)).map(|_| ())
}

#[test]
fn who_leaves_is_gone_at_once_and_known_to_have_left() -> Story {
    let mut mesh = settled(10, 9)?;
    let node = follower(&mesh);
    mesh.leave(node);
    let took = mesh.until(secs(1), "gone everywhere", |mesh| mesh.all_hold_gone(node))?;
    println!("gone everywhere after {took:?}");
    mesh.run(secs(5))?;
    for observer in (0..10).filter(|&observer| observer != node) {
        assert_eq!(mesh.status(observer, node), Some(Status::Left), "n{observer}");
    }
    mesh.start(node);
    mesh.settle(secs(30)).map(|_| ())
}

#[test]
fn a_short_pause_kills_nobody() -> Story {
    let mut mesh = settled(8, 10)?;
    let node = follower(&mesh);
    mesh.pause(node, Duration::from_millis(1_500));
    for _ in 0..60 {
        mesh.run(Duration::from_millis(500))?;
        assert!(mesh.status(0, node).is_some_and(Status::is_live));
    }
    mesh.settle(secs(0)).map(|_| ())
}

#[test]
fn a_long_pause_ends_in_the_old_membership_and_one_leader() -> Story {
    let mut mesh = settled(8, 11)?;
    let leader = mesh.leader_of(0).unwrap();
    mesh.pause(leader, secs(60));
    mesh.run(secs(61))?;
    mesh.settle(secs(60)).map(|_| ())
}

#[test]
fn a_node_that_nobody_hears_comes_back_when_it_is_heard() -> Story {
    let mut mesh = settled(8, 12)?;
    let node = follower(&mesh);
    (0..8).for_each(|other| mesh.cut(node, other));
    mesh.run(secs(60))?;
    mesh.heal();
    mesh.settle(secs(60)).map(|_| ())
}

#[test]
fn another_node_at_an_old_address_is_not_taken_for_the_dead() -> Story {
    let mut mesh = settled(6, 13)?;
    let dead = follower(&mesh);
    let heir = mesh.add();
    mesh.crash(dead);
    mesh.move_to_address_of(heir, dead);
    mesh.start(heir);
    mesh.settle(secs(60))?;
    assert!(mesh.all_hold_gone(dead) && !mesh.all_hold_gone(heir));
    Ok(())
}

#[test]
fn forty_nodes_that_start_at_once_become_one_mesh() -> Story {
    let options = Options { hold: secs(3), stagger: Duration::ZERO, ..Options::draw(40, 14) };
    let mut mesh = Cluster::boot(options, Trace::default());
    let took = mesh.until(secs(30), "one mesh", |mesh| {
        (0..40).all(|node| mesh.view(node).is_some_and(|view| view.ready && view.live().count() == 40))
    })?;
    println!("one mesh after {took:?}");
    mesh.settle(secs(60)).map(|_| ())
}

#[test]
fn a_node_alone_is_a_mesh_of_one_that_leads_and_writes() -> Story {
    let mut mesh = settled(1, 15)?;
    mesh.run(secs(30))?;
    assert_eq!(mesh.leader_of(0), Some(0));
    assert!(!mesh.store().puts().is_empty(), "the summary is stored");
    Ok(())
}

/// What takes too long, or has no sense, with six nodes.
const NOT_SMALL: [&str; 2] = ["write-budget", "store-outage"];

#[test]
fn every_scenario_ends_well_in_small() {
    for name in Scenario::names().filter(|name| !NOT_SMALL.contains(name)) {
        let scenario = Scenario::load(name).unwrap();
        let options = Options { hold: secs(5), ..scenario.options(6, 1) };
        let replay = format!("meshsim run {name} {options} --trace -");
        let outcome = scenario.play(options, Trace::default());
        assert!(outcome.settled.is_ok(), "{outcome}\nreplay: {replay}");
        println!("{name}: {:?}", outcome.settled);
    }
}
