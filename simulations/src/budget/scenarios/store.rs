//! The store fails: outages, nodes that do not reach it, answers that are lost, refusals, a value that is deleted.

use super::{Kind, Scenario, again, churny, end_odds, is_over, scenario};
use crate::budget::node::Disk;
use crate::budget::world::World;

const HOUR: u64 = 3_600_000;

pub(super) const ALL: &[Scenario] = &[
    scenario(
        "outages",
        "the store is out for a minute to 3 h, again and again; 30 % of the writes or answers are lost",
        Kind::Faults,
        |w| {
            churny(w, 10, Disk::Kept);
            w.odds.loss = 0.3;
            end_odds(w);
            outage(w);
        },
    ),
    scenario("asymmetric", "at each time only 40 % of the nodes reach the store", Kind::Faults, |w| {
        churny(w, 10, Disk::Kept);
        w.odds.loss = 0.2;
        end_odds(w);
        asymmetry(w);
    }),
    scenario("lost-answers", "half of the writes or their answers are lost", Kind::Faults, |w| {
        churny(w, 10, Disk::Kept);
        w.odds.loss = 0.5;
        end_odds(w);
    }),
    scenario("limited", "a fifth of all calls is answered by 429", Kind::Faults, |w| {
        churny(w, 10, Disk::Kept);
        w.odds.limited = 0.2;
        end_odds(w);
    }),
    scenario("deleted", "somebody deletes the value about twice an hour", Kind::Faults, |w| {
        churny(w, 10, Disk::Kept);
        again(w, (HOUR / 4, HOUR * 3 / 4), |w| w.kv.delete(w.now));
    }),
];

fn outage(world: &mut World) {
    world.after((60_000, 4 * HOUR), |world| {
        if is_over(world) {
            return;
        }
        world.kv.is_out = true;
        world.after((60_000, 3 * HOUR), |world| {
            world.kv.is_out = false;
            outage(world);
        });
    });
}

fn asymmetry(world: &mut World) {
    let over = is_over(world);
    for node in 0..world.nodes.len() {
        world.nodes[node].reaches_store = over || world.chance(0.4);
    }
    if !over {
        world.after((60_000, HOUR), asymmetry);
    }
}
