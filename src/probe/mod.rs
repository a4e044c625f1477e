//! Health checks of the services on this node: when they run, and what their results mean.
//!
//! The policy here is pure; `checker`, behind the feature `net`, makes the calls.

#[cfg(feature = "net")]
pub mod checker;
mod health;
mod prober;
mod schedule;
#[cfg(test)]
mod tests;

pub use prober::{Output, Prober};

use crate::id::ServiceName;
use crate::manifest::{Health, HostPolicy, Protocol, Timeouts};
use crate::time::Duration;

/// A service of this node, as its operator configured it; the part of it that the core needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: ServiceName,
    /// The port of its URL.
    pub port: u16,
    /// The version to publish when the health answer has none; empty when not configured.
    pub version: String,
    /// Share of traffic.
    pub weight: u32,
    /// The operator's labels.
    pub tags: Vec<String>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Limits on the time of one request.
    pub timeouts: Timeouts,
    /// Limit on requests at the same time; 0 is none.
    pub max_in_flight: u32,
    /// What it gets as `Host`.
    pub host: HostPolicy,
    /// Between two checks.
    pub interval: Duration,
    /// Consecutive better results before the health rises.
    pub rise: u32,
    /// Consecutive worse results before it falls.
    pub fall: u32,
    /// False when its health is not checked (`check = "none"`) and it counts as healthy.
    pub checked: bool,
}

/// What one health check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The level that the answer speaks for.
    pub health: Health,
    /// The connection was refused: the process is gone, no second result is needed.
    pub refused: bool,
    /// The version that the answer's JSON named.
    pub version: Option<String>,
    /// What was seen, for the log.
    pub detail: String,
}
