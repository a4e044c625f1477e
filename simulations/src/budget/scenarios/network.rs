//! The network falls into parts, each with its own leader and its own record.

use super::nodes::{kill_leaders, ruin};
use super::{Kind, Scenario, again, churny, is_over, one_of, scenario};
use crate::budget::node::Disk;
use crate::budget::world::World;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const fn parts(name: &'static str, about: &'static str, begin: fn(&mut World)) -> Scenario {
    scenario(name, about, Kind::Partitions, begin)
}

pub(super) const ALL: &[Scenario] = &[
    parts("two-parts", "10 nodes in two parts, for minutes, hours or a day, again and again", |w| {
        split(w, 10, 2);
    }),
    parts("two-parts-of-3", "the same with 3 nodes", |w| split(w, 3, 2)),
    parts("three-parts", "10 nodes in three parts", |w| split(w, 10, 3)),
    parts(
        "part-dies",
        "10 nodes in two parts; the part that wrote last dies for an hour, again and again",
        |w| {
            churny(w, 10, Disk::Kept);
            part_dies(w);
        },
    ),
    parts("chaos-parts", "all that chaos has, in two or three parts", |w| {
        let count = one_of(w, [3, 10]);
        churny(w, count, Disk::Kept);
        ruin(w);
        let every = one_of(w, [120, 300, 900, 3_600]);
        kill_leaders(w, every, (5_000, 600_000));
        let parts = one_of(w, [2, 3]);
        cut(w, parts, (2 * MINUTE, 4 * HOUR), (MINUTE, 2 * HOUR));
    }),
    parts(
        "lone100",
        "100 nodes that expect company start alone and meet after minutes, hours or a day",
        |w| {
            let heals = one_of(w, [2 * MINUTE, 10 * MINUTE, 2 * HOUR, DAY]);
            lone(w, heals);
        },
    ),
    parts("lone-days", "the same, and they meet only when the faults end", |w| {
        let heals = w.setting.faults_end() * 1_000;
        lone(w, heals);
    }),
    parts("islands", "10 nodes that know each other are isolated from each other for a day", |w| {
        churny(w, 10, Disk::Kept);
        w.after((HOUR, 12 * HOUR), |w| {
            w.isolate();
            w.after((DAY, DAY), |w| w.split(1));
        });
    }),
    Scenario {
        heals: false,
        ..parts("two-keys", "two meshes with one name and different keys share the store", |w| {
            w.has_two_keys = true;
            churny(w, 10, Disk::Kept);
            for node in 0..10 {
                w.nodes[node].part = node % 2;
            }
            again(w, (HOUR, 6 * HOUR), |w| w.kv.delete(w.now));
        })
    },
];

fn split(world: &mut World, count: usize, parts: usize) {
    churny(world, count, Disk::Kept);
    let (lasts, gap) = one_of(
        world,
        [
            ((2 * MINUTE, 15 * MINUTE), (MINUTE, 20 * MINUTE)),
            ((HOUR, 4 * HOUR), (MINUTE, 20 * MINUTE)),
            ((DAY, DAY), (10 * MINUTE, HOUR)),
        ],
    );
    cut(world, parts, lasts, gap);
}

fn cut(world: &mut World, parts: usize, lasts: (u64, u64), gap: (u64, u64)) {
    world.after(gap, move |world| {
        if is_over(world) {
            return;
        }
        world.split(parts);
        world.after(lasts, move |world| {
            world.split(1);
            cut(world, parts, lasts, gap);
        });
    });
    let end = world.setting.faults_end() * 1_000;
    if world.seconds() == 0 {
        world.after((end, end), |world| world.split(1));
    }
}

/// Nodes fall into two parts, of which one dies as soon as it has written, and comes back when all is one again.
fn part_dies(world: &mut World) {
    world.after((HOUR, 2 * HOUR), |world| {
        if is_over(world) {
            return;
        }
        world.split(2);
        world.after((2 * HOUR, 4 * HOUR), |world| {
            let writer =
                world.kv.current(world.now).and_then(|stored| world.by_id.get(&stored.value.by).copied());
            let Some(part) = writer.map(|writer| world.nodes[writer].part) else { return };
            let dying: Vec<usize> =
                world.up.iter().copied().filter(|&node| world.nodes[node].part == part).collect();
            for node in dying {
                world.bounce(node, (HOUR, HOUR));
            }
            world.after((HOUR, HOUR), |world| {
                world.split(1);
                part_dies(world);
            });
        });
    });
}

fn lone(world: &mut World, heals: u64) {
    world.boot(100, Disk::Kept, 5_000);
    world.isolate();
    again(world, (0, 2 * HOUR), World::change_services);
    world.after((heals, heals), |world| world.split(1));
}
