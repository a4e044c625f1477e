//! What can happen in a scenario, and to whom.

use meshnode::time::Duration;

use crate::cluster::{Release, Restart};
use crate::latency::Latency;

/// What can happen in a scenario.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// So many new machines are switched on.
    Join(usize),
    /// Machines that are off are switched on.
    Start(Who),
    /// Processes are killed; their kernels live.
    Crash(Who),
    /// Machines are gone, kernels and all.
    LoseHost(Who),
    /// Processes are killed and started again.
    Restart(Who, Restart),
    /// Nodes say goodbye and go.
    Leave(Who),
    /// Processes stop for a while.
    Pause(Who, Duration),
    /// Machines sleep for a while, and do not count the time.
    Suspend(Who, Duration),
    /// Processes get too little time.
    Starve {
        /// Which.
        who: Who,
        /// They stand still for so long,
        frozen: Duration,
        /// of every so long,
        period: Duration,
        /// for so long.
        span: Duration,
    },
    /// Processors need so long for each input; zero makes them fast again.
    Slow(Who, Duration),
    /// Wall clocks are fast by so many seconds (slow when negative), from the next boot on.
    Skew(Who, i64),
    /// Machines are copied, keys and disks and all.
    Clone(Who),
    /// Machines run another version, from their next boot on.
    Release(Who, Release),
    /// The network splits into so many parts, drawn from the seed.
    Split(usize),
    /// The network splits into these parts; nodes that no part names are with the first.
    Part(Vec<Vec<usize>>),
    /// Ends splits, cuts and what single machines lose.
    Heal,
    /// Nodes are not heard any more by any other, but hear them.
    Mute(Who),
    /// Nodes hear nobody any more, but are heard.
    Deafen(Who),
    /// Nothing that the first of these sends reaches the others.
    Cut(Vec<usize>),
    /// So much is lost: everywhere, or only at these machines, in these directions.
    Lose(Option<Who>, Way, f64),
    /// Things are so long on their way.
    Latency(Latency),
    /// All watch links of these nodes are reset, while both ends live.
    ResetLinks(Who),
    /// A service of each goes down, or comes back.
    Service(Who, bool),
    /// The store works, or fails.
    Store(bool),
    /// One of [`SURPRISES`], drawn from the seed.
    Surprise,
}

/// Which nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Who {
    /// The one that the first node that is up follows.
    Leader,
    /// So many of those that are up, drawn from the seed.
    Some(usize),
    /// So many percent of those that are up, at least one, drawn from the seed.
    Percent(f64),
    /// Those with these indexes; an index without a machine is nobody.
    These(Vec<usize>),
    /// Those of the step before that named somebody.
    Same,
    /// One after the other, beginning with the first machine.
    Next,
    /// All that are up.
    All,
    /// All that are off.
    Off,
}

/// Which way datagrams go that a machine loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What it is sent.
    In,
    /// What it sends.
    Out,
    /// Both.
    Both,
}

/// What a surprise is drawn from.
pub const SURPRISES: &[Action] = &[
    Action::Join(1),
    Action::Crash(Who::Some(1)),
    Action::Crash(Who::Leader),
    Action::LoseHost(Who::Some(1)),
    Action::Restart(Who::Some(2), Restart::DiskKept),
    Action::Restart(Who::Some(1), Restart::DiskLost),
    Action::Leave(Who::Some(1)),
    Action::Pause(Who::Some(1), Duration::from_secs(4)),
    Action::Pause(Who::Leader, Duration::from_secs(30)),
    Action::Suspend(Who::Some(1), Duration::from_secs(20)),
    Action::Starve {
        who: Who::Some(1),
        frozen: Duration::from_millis(2_500),
        period: Duration::from_secs(3),
        span: Duration::from_secs(15),
    },
    Action::Split(2),
    Action::Split(3),
    Action::Mute(Who::Some(1)),
    Action::Deafen(Who::Some(1)),
    Action::Lose(Some(Who::Some(1)), Way::Both, 0.8),
    Action::ResetLinks(Who::Some(2)),
    Action::Heal,
    Action::Heal,
    Action::Start(Who::Off),
    Action::Service(Who::Some(1), false),
    Action::Service(Who::Some(1), true),
];
