//! Measuring: how fast, how calm and how cheap the mesh is in virtual time, and the simulator in real time.
//!
//! Each measure is played under every setting that was asked for (nodes, loss, detector), once for each seed; runs
//! share nothing, so they use all cores. What comes out is a [`Finding`] per measure and setting.

mod bench;
mod bootstrap;
mod calm;
mod command;
mod crash;
mod degraded;
mod figure;
mod finding;
mod idle;
pub(crate) mod jobs;
mod news;
mod pause;
mod setting;
mod speed;
mod spread;
mod starved;
mod table;
mod targets;

pub(crate) use table::aligned;

pub use bench::BenchArgs;
pub use command::MeasureArgs;
pub use finding::{Finding, Unit};
pub use setting::{Mode, Setting};

use clap::ValueEnum;

use crate::checkers::Violation;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Machines vanish: until somebody suspects, somebody knows, all know.
    Host,
    /// Processes die on machines that live.
    Process,
    /// News: until all have heard.
    News,
    /// Many start at once, through one seed: until all know all.
    Bootstrap,
    /// What an idle node sends.
    Idle,
    /// Deaths of nodes that live, while datagrams are lost.
    Calm,
    /// The same, while a tenth of the nodes gets no CPU.
    Starved,
    /// One of a hundred nodes hears nothing.
    Deaf,
    /// One of a hundred nodes is not heard.
    Mute,
    /// One of a hundred nodes loses four of five datagrams, each way.
    Lossy,
    /// A process is stopped: until all route around it, until all hold it dead.
    Pause,
    /// The simulator: real time and memory of a large run.
    Speed,
}

impl Measure {
    /// Plays it once.
    pub fn run(self, setting: &Setting) -> Result<Vec<Finding>, Violation> {
        match self {
            Self::Host => crash::measure(crash::Fault::Host, setting),
            Self::Process => crash::measure(crash::Fault::Process, setting),
            Self::News => news::measure(setting),
            Self::Bootstrap => bootstrap::measure(setting),
            Self::Idle => idle::measure(setting),
            Self::Calm => calm::measure(setting),
            Self::Starved => starved::measure(setting),
            Self::Deaf => degraded::measure(degraded::Ill::Deaf, setting),
            Self::Mute => degraded::measure(degraded::Ill::Mute, setting),
            Self::Lossy => degraded::measure(degraded::Ill::Lossy, setting),
            Self::Pause => pause::measure(setting),
            Self::Speed => speed::measure(setting),
        }
    }
}

/// One run that is to be played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// What.
    pub measure: Measure,
    /// Under which setting.
    pub setting: Setting,
}

/// Plays all of them on so many threads, and merges the findings of the seeds.
pub fn play(jobs: &[Job], threads: usize) -> Result<Vec<Finding>, Violation> {
    let mut merged: Vec<Finding> = Vec::new();
    for findings in jobs::run(jobs, threads, |job| job.measure.run(&job.setting)) {
        for finding in findings? {
            match merged.iter_mut().find(|one| one.is_like(&finding)) {
                Some(one) => one.merge(finding),
                None => merged.push(finding),
            }
        }
    }
    Ok(merged)
}
