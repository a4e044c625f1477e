//! Nodes fail: leaders are killed, disks are lost, processes stand still, everybody who is listed goes.

use std::collections::BTreeSet;

use rand::RngExt as _;

use super::{Kind, Scenario, again, churny, end_odds, is_over, one_of, scenario};
use crate::budget::node::Disk;
use crate::budget::world::World;

const HOUR: u64 = 3_600_000;

const fn faults(name: &'static str, about: &'static str, begin: fn(&mut World)) -> Scenario {
    scenario(name, about, Kind::Faults, begin)
}

pub(super) const ALL: &[Scenario] = &[
    faults("kill-disk", "the leader is killed every 30 to 300 s; disks are kept", |w| kill(w, Disk::Kept)),
    faults("kill-wiped", "the same; only the identity is kept", |w| kill(w, Disk::Wiped)),
    faults("kill-new", "the same; another node takes its place", |w| kill(w, Disk::Replaced)),
    faults("crash-disk", "10 nodes; the writer crashes within 3 s of each write", |w| {
        crash(w, 10, Disk::Kept);
    }),
    faults("crash-wiped", "3 nodes; the same, only identities are kept", |w| crash(w, 3, Disk::Wiped)),
    faults("crash-new", "3 nodes; the same, another node takes its place", |w| crash(w, 3, Disk::Replaced)),
    faults("solo-disk", "one node in a crash loop; its disk is kept", |w| solo(w, Disk::Kept)),
    faults("solo-wiped", "the same; only the identity is kept", |w| solo(w, Disk::Wiped)),
    faults("solo-new", "the same; another node takes its place", |w| solo(w, Disk::Replaced)),
    faults("solo-lost", "one node in a crash loop; half of its writes or their answers are lost", |w| {
        solo(w, Disk::Kept);
        w.odds.loss = 0.5;
    }),
    faults("solo-deleted", "one node in a crash loop; somebody deletes the value about twice an hour", |w| {
        solo(w, Disk::Kept);
        again(w, (HOUR / 4, HOUR * 3 / 4), |w| w.kv.delete(w.now));
    }),
    faults("rolling", "6 nodes; one after the other crashes and is replaced", |w| {
        churny(w, 6, Disk::Replaced);
        again(w, (600_000, 5_400_000), replace);
    }),
    faults("rolling-leave", "6 nodes; one after the other says goodbye and is replaced", |w| {
        churny(w, 6, Disk::Kept);
        again(w, (600_000, 5_400_000), retire);
    }),
    faults("freeze", "a third of the writers stand still between read and write, up to 4 h", |w| {
        freeze(w, 0.1);
    }),
    faults("freeze-late", "the same, after their last look at the clock", |w| freeze(w, 1.0)),
    faults("survivor", "all of 30 nodes but one that is not listed vanish", |w| {
        churny(w, 30, Disk::Kept);
        w.after((4 * HOUR, 8 * HOUR), |w| spare(w, 1));
    }),
    faults("listed-gone", "all nodes that are listed vanish, others stay", |w| {
        churny(w, 40, Disk::Kept);
        w.after((4 * HOUR, 8 * HOUR), |w| spare(w, usize::MAX));
    }),
    faults("next-gone", "the 8 nodes that would lead next vanish", |w| {
        churny(w, 30, Disk::Kept);
        w.after((4 * HOUR, 8 * HOUR), |w| {
            for _ in 0..8 {
                let first = w.up.iter().copied().min_by_key(|&node| (w.nodes[node].epoch, w.nodes[node].id));
                first.into_iter().for_each(|node| w.crash(node));
            }
        });
    }),
    faults("chaos", "kills, freezes, lost disks, lost answers", chaos),
];

/// The leader is killed again and again.
pub(super) fn kill(world: &mut World, disk: Disk) {
    churny(world, 10, disk);
    let every = one_of(world, [30, 60, 120, 300]);
    kill_leaders(world, every, (20_000, 60_000));
}

pub(super) fn kill_leaders(world: &mut World, every: u64, downtime: (u64, u64)) {
    world.after((every * 700, every * 1_300), move |world| {
        if !is_over(world) {
            if let Some(leader) = world.a_leader() {
                world.bounce(leader, downtime);
            }
            kill_leaders(world, every, downtime);
        }
    });
}

fn crash(world: &mut World, count: usize, disk: Disk) {
    churny(world, count, disk);
    world.odds.crash = 1.0;
    end_odds(world);
}

fn solo(world: &mut World, disk: Disk) {
    crash(world, 1, disk);
    world.downtime = (2_000, 10_000);
}

fn replace(world: &mut World) {
    if let Some(node) = world.pick_up() {
        world.bounce(node, (20_000, 90_000));
    }
}

fn retire(world: &mut World) {
    let oldest = world.up.iter().copied().min_by_key(|&node| (world.nodes[node].epoch, world.nodes[node].id));
    if let Some(node) = oldest {
        world.leave(node);
        world.boot_one((20_000, 90_000));
    }
}

fn freeze(world: &mut World, late: f64) {
    churny(world, 10, Disk::Kept);
    world.odds.freeze = 0.3;
    world.odds.freeze_late = late;
    end_odds(world);
}

/// All who are listed vanish, and all others but so many.
fn spare(world: &mut World, most: usize) {
    let Some(stored) = world.kv.current(world.now) else { return };
    let listed: BTreeSet<usize> =
        stored.value.nodes.iter().filter_map(|node| world.by_id.get(&node.id).copied()).collect();
    let mut others: Vec<usize> = world.up.iter().copied().filter(|node| !listed.contains(node)).collect();
    while others.len() > most {
        let at = world.rng.random_range(0..others.len());
        let node = others.swap_remove(at);
        world.crash(node);
    }
    for node in listed {
        world.crash(node);
    }
}

fn chaos(world: &mut World) {
    let count = one_of(world, [3, 10]);
    churny(world, count, Disk::Kept);
    ruin(world);
    let every = one_of(world, [120, 300, 900, 3_600]);
    kill_leaders(world, every, (5_000, 600_000));
}

/// Some disks are lost, some writers stand still or crash, some answers are lost.
pub(super) fn ruin(world: &mut World) {
    let lossy = one_of(world, [Disk::Wiped, Disk::Replaced]);
    for node in 0..world.nodes.len() {
        if world.chance(0.4) {
            world.nodes[node].disk = lossy;
        }
    }
    world.odds.freeze = 0.05;
    world.odds.freeze_late = 0.1;
    world.odds.crash = 0.2;
    world.odds.loss = 0.1;
    world.odds.limited = 0.05;
    again(world, (0, HOUR), |world| {
        if let Some(node) = world.pick_up() {
            world.freeze(node, (1_000, 1_200_000));
        }
    });
    end_odds(world);
}
