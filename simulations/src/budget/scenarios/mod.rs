//! What goes wrong: each scenario boots nodes and plans faults until the last day but one is over.

mod healthy;
mod network;
mod nodes;
mod store;

use meshnode::time::Duration;
use rand::RngExt as _;

use super::checkers::Limits;
use super::figures::Figures;
use super::node::Disk;
use super::setting::Setting;
use super::world::{self, Odds, World};
use crate::trace::Trace;

/// What a scenario does to the mesh, and so what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or next to nothing.
    Quiet,
    /// Nodes and the store fail; the network is whole.
    Faults,
    /// The network falls into parts.
    Partitions,
}

/// A scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens.
    pub about: &'static str,
    /// What it may cost.
    pub kind: Kind,
    /// In the end all nodes are one mesh again.
    pub heals: bool,
    pub(super) begin: fn(&mut World),
}

impl Scenario {
    /// Plays it, and holds what happened to what it may cost.
    pub fn play(&self, setting: &Setting) -> Figures {
        let mut figures = world::play(self, setting, Trace::default());
        figures.check(self.limits(setting.staleness));
        figures
    }

    const fn limits(&self, staleness: Duration) -> Limits {
        let (applied, sent) = match self.kind {
            Kind::Quiet => (8, 8),
            // What is lost or refused is counted by members that may all be gone with their disks.
            Kind::Faults => (30, 40),
            Kind::Partitions => (40, 40),
        };
        Limits { applied, sent, staleness, heals: self.heals }
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    [healthy::ALL, nodes::ALL, store::ALL, network::ALL].concat()
}

const fn scenario(name: &'static str, about: &'static str, kind: Kind, begin: fn(&mut World)) -> Scenario {
    Scenario { name, about, kind, heals: true, begin }
}

/// Faults end now.
fn is_over(world: &World) -> bool {
    world.seconds() >= world.setting.faults_end()
}

/// Does something again and again, so many milliseconds apart, until the faults end.
fn again(world: &mut World, every: (u64, u64), deed: fn(&mut World)) {
    world.after(every, move |world| {
        if !is_over(world) {
            deed(world);
            again(world, every, deed);
        }
    });
}

/// Ends what fails by chance when the faults end.
fn end_odds(world: &mut World) {
    let end = world.setting.faults_end() * 1_000;
    world.after((end, end), |world| world.odds = Odds::default());
}

/// A mesh of so many nodes, whose services change every minute or so.
fn churny(world: &mut World, count: usize, disk: Disk) {
    world.boot(count, disk, 3_000);
    again(world, (0, 120_000), World::change_services);
}

/// One of these, by chance.
fn one_of<T: Copy, const N: usize>(world: &mut World, among: [T; N]) -> T {
    among[world.rng.random_range(0..N)]
}
