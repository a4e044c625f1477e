//! The built-in scenarios, as data.

use meshnode::time::Duration;

use crate::cluster::Restart;
use crate::options::Options;

/// A schedule of faults.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// The usual number of nodes.
    pub nodes: usize,
    /// The usual share of the datagrams that are lost.
    pub loss: f64,
    /// All nodes start at the same instant.
    pub at_once: bool,
    /// The usual length of the safety phase, in seconds.
    pub seconds: u64,
    /// What happens when.
    pub steps: &'static [Step],
}

/// Something that happens in a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Seconds since the start.
    pub at: u64,
    /// What.
    pub action: Action,
}

/// What can happen in a scenario.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// New machines are switched on.
    Join(usize),
    /// Processes die.
    Crash(Pick),
    /// Processes die and are started again.
    Restart(Pick, Restart),
    /// Nodes say goodbye and go.
    Leave(Pick),
    /// Processes stop for so many seconds.
    Pause(Pick, u64),
    /// The network splits into so many parts.
    Split(usize),
    /// Ends splits.
    Heal,
    /// Nodes are not heard any more by any other, but hear them.
    Mute(Pick),
    /// All nodes that are off are switched on.
    StartAll,
    /// A service goes down on nodes, or comes back.
    Service(Pick, bool),
    /// The store fails, or works again.
    StoreOut(bool),
    /// One of [`SURPRISES`], drawn from the seed.
    Surprise,
}

/// What chaos draws from.
pub const SURPRISES: &[Action] = &[
    Action::Join(1),
    Action::Crash(Pick::Some(1)),
    Action::Crash(Pick::Leader),
    Action::Restart(Pick::Some(2), Restart::DiskKept),
    Action::Restart(Pick::Some(1), Restart::DiskLost),
    Action::Leave(Pick::Some(1)),
    Action::Pause(Pick::Some(1), 4),
    Action::Pause(Pick::Leader, 30),
    Action::Split(2),
    Action::Split(3),
    Action::Mute(Pick::Some(1)),
    Action::Heal,
    Action::Heal,
    Action::StartAll,
    Action::Service(Pick::Some(1), false),
    Action::Service(Pick::Some(1), true),
];

/// Which nodes.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// The one that the first node that is up follows.
    Leader,
    /// So many of those that are up, drawn from the seed.
    Some(usize),
}

const fn step(at: u64, action: Action) -> Step {
    Step { at, action }
}

const fn scenario(name: &'static str, about: &'static str, seconds: u64, steps: &'static [Step]) -> Scenario {
    Scenario { name, about, nodes: 12, loss: 0.0, at_once: false, seconds, steps }
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    scenario("steady", "nothing happens", 60, &[]),
    Scenario { at_once: true, ..scenario("bootstrap", "all nodes start at the same instant", 30, &[]) },
    scenario("join", "three nodes join a mesh that has a leader", 60, &[step(40, Action::Join(3))]),
    scenario(
        "crash",
        "three nodes die, then the leader",
        100,
        &[step(30, Action::Crash(Pick::Some(3))), step(60, Action::Crash(Pick::Leader))],
    ),
    scenario(
        "leave",
        "two nodes leave, then the leader",
        90,
        &[step(30, Action::Leave(Pick::Some(2))), step(50, Action::Leave(Pick::Leader))],
    ),
    scenario(
        "restart",
        "nodes restart with and without their disks, the leader among them; others come back after a minute",
        150,
        &[
            step(30, Action::Restart(Pick::Some(2), Restart::DiskKept)),
            step(45, Action::Restart(Pick::Some(2), Restart::DiskLost)),
            step(60, Action::Restart(Pick::Leader, Restart::DiskKept)),
            step(70, Action::Crash(Pick::Some(3))),
            step(130, Action::StartAll),
        ],
    ),
    scenario(
        "partition",
        "the network splits in two for a minute and a half, and heals",
        150,
        &[step(30, Action::Split(2)), step(120, Action::Heal)],
    ),
    scenario(
        "threeway",
        "the network splits in three, a node of a part dies, and it heals",
        150,
        &[step(30, Action::Split(3)), step(60, Action::Crash(Pick::Some(1))), step(120, Action::Heal)],
    ),
    Scenario {
        loss: 0.1,
        ..scenario("loss", "datagrams are lost, and nodes die", 90, &[step(40, Action::Crash(Pick::Some(2)))])
    },
    scenario(
        "mute",
        "a node is not heard by the others for a minute, but hears them",
        120,
        &[step(30, Action::Mute(Pick::Some(1))), step(90, Action::Heal)],
    ),
    scenario(
        "pause",
        "a node stops for 3 s, then the leader for 40 s",
        120,
        &[step(30, Action::Pause(Pick::Some(1), 3)), step(45, Action::Pause(Pick::Leader, 40))],
    ),
    scenario(
        "service",
        "services die while their nodes live, and one comes back",
        60,
        &[step(25, Action::Service(Pick::Some(2), false)), step(40, Action::Service(Pick::Some(1), true))],
    ),
    scenario(
        "outage",
        "the store fails for a minute while the leader dies; who saw that offers to lead again after ten minutes",
        720,
        &[
            step(30, Action::StoreOut(true)),
            step(35, Action::Crash(Pick::Leader)),
            step(90, Action::StoreOut(false)),
        ],
    ),
    scenario(
        "chaos",
        "something drawn from the seed goes wrong, or gets better, every few seconds",
        150,
        &[
            step(20, Action::Surprise),
            step(25, Action::Surprise),
            step(27, Action::Surprise),
            step(40, Action::Surprise),
            step(41, Action::Surprise),
            step(55, Action::Surprise),
            step(63, Action::Surprise),
            step(80, Action::Surprise),
            step(84, Action::Surprise),
            step(100, Action::Surprise),
            step(117, Action::Surprise),
            step(130, Action::Surprise),
            step(140, Action::Surprise),
            // Without its seed a newcomer would stay alone, and rightly so.
            step(149, Action::StartAll),
        ],
    ),
];

impl Scenario {
    /// The scenario of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Its usual options, and those drawn from the seed.
    pub fn options(&self, nodes: usize, seed: u64) -> Options {
        let mut options = Options::draw(nodes, seed);
        options.duration = Duration::from_secs(self.seconds);
        options.network.loss = self.loss;
        if self.at_once {
            options.stagger = Duration::ZERO;
        }
        options
    }
}
