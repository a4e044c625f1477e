//! What is measured under: how many nodes, which detector, which network, from which seed.

use std::fmt;

use clap::ValueEnum;
use meshnode::mesh::Detector;

use crate::checkers::Violation;
use crate::cluster::Cluster;
use crate::latency::Latency;
use crate::network::Conditions;
use crate::options::Options;

/// Which failure detector runs, as on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Mode {
    /// SWIM with memberlist's defaults, without Lifeguard.
    Swim,
    /// SWIM with Lifeguard.
    Lifeguard,
    /// All of it: watchers, turns and witnesses.
    Witness,
}

impl Mode {
    /// All modes, in the order of the table's columns.
    pub const ALL: [Self; 3] = [Self::Swim, Self::Lifeguard, Self::Witness];

    const fn detector(self) -> Detector {
        match self {
            Self::Swim => Detector::Swim,
            Self::Lifeguard => Detector::Lifeguard,
            Self::Witness => Detector::Witness,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Swim => "swim",
            Self::Lifeguard => "lifeguard",
            Self::Witness => "witness",
        })
    }
}

/// One run of a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Nodes.
    pub nodes: usize,
    /// Share of the datagrams that are lost, each way.
    pub loss: f64,
    /// The detector.
    pub mode: Mode,
    /// How long datagrams and messages are on their way.
    pub latency: Latency,
    /// From which everything follows.
    pub seed: u64,
}

impl Setting {
    /// Nodes that know each other already.
    pub fn converged(&self) -> Result<Cluster, Violation> {
        Cluster::converged(self.options())
    }

    /// Machines that are off.
    pub fn off(&self) -> Cluster {
        Cluster::measured(self.options())
    }

    fn options(&self) -> Options {
        let network = Conditions { loss: self.loss, duplicate: 0.0, reorder: 0.0, latency: self.latency };
        Options { network, mode: self.mode.detector(), ..Options::draw(self.nodes, self.seed) }
    }
}
