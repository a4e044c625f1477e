//! Nothing fails; what the mesh serves changes once a day, or all the time.

use super::{Kind, Scenario, again, churny, scenario};
use crate::budget::node::Disk;
use crate::budget::world::World;

const DAY: u64 = 86_400_000;

pub(super) const ALL: &[Scenario] = &[
    scenario("quiet1", "one node, a change about once a day", Kind::Quiet, |world| quiet(world, 1)),
    scenario("quiet3", "3 nodes, a change about once a day", Kind::Quiet, |world| quiet(world, 3)),
    scenario("quiet10", "10 nodes, a change about once a day", Kind::Quiet, |world| quiet(world, 10)),
    scenario("quiet100", "100 nodes, a change about once a day", Kind::Quiet, |world| quiet(world, 100)),
    scenario("quiet1000", "1,000 nodes, a change about once a day", Kind::Quiet, |world| quiet(world, 1_000)),
    scenario("churny3", "3 nodes, changes all the time", Kind::Faults, |world| changes(world, 3)),
    scenario("churny10", "10 nodes, changes all the time", Kind::Faults, |world| changes(world, 10)),
    scenario("churny100", "100 nodes, changes all the time", Kind::Faults, |world| changes(world, 100)),
    scenario("start100", "100 nodes start within 2 s", Kind::Faults, |world| {
        world.boot(100, Disk::Kept, 2_000);
        again(world, (0, 7_200_000), World::change_services);
    }),
];

fn quiet(world: &mut World, count: usize) {
    world.boot(count, Disk::Kept, 3_000);
    again(world, (DAY / 2, DAY * 3 / 2), World::change_services);
}

fn changes(world: &mut World, count: usize) {
    churny(world, count, Disk::Kept);
    again(world, (0, 600_000), World::change_url);
}
