//! What a node says of itself: capabilities, services and their health, standing in the election.
//!
//! These are the parsed values; `wire::manifest` turns them into signed bytes and back.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ManifestVersion, NodeId, ServiceName};

/// Everything a node publishes about itself. Signed by its owner, forwarded as the received bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The cluster's name; a manifest of another cluster is refused.
    pub cluster: String,
    /// The owner.
    pub id: NodeId,
    /// The order among this owner's manifests.
    pub version: ManifestVersion,
    /// How long it may be used after acceptance, aged by the receiver's monotonic clock.
    pub ttl: Duration,
    /// Where the node is reached, UDP and TCP; `None` until it has learned its address.
    pub addr: Option<SocketAddr>,
    /// A human's name for the node.
    pub name: String,
    /// Placement, empty when not set.
    pub zone: String,
    /// 1 with a GPU, 2 with at least 4 cores and 8 GiB, else 3.
    pub tier: u8,
    /// What the machine has.
    pub capabilities: Capabilities,
    /// The services on this node, ordered by name.
    pub services: Vec<Service>,
    /// Routes that this node's operator configured, ordered by service.
    pub routes: Vec<Route>,
    /// The node finishes what it has and takes nothing new.
    pub draining: bool,
    /// URL under which edges reach this node's edge listener, empty when none.
    pub public_url: String,
    /// This member's cap on the cluster's daily summary writes; `None` when its store has no budget.
    pub max_writes_per_day: Option<u32>,
    /// Standing in the election.
    pub standing: Standing,
    /// The release that the node runs.
    pub meshnode_version: String,
}

/// A node's standing in the election of the heartbeat leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Configured; higher leads first.
    pub priority: i32,
    /// Offers to lead: runs a service, or was told to.
    pub offers: bool,
    /// Hash of the store's type and location (and of the machine, for a file).
    pub store_id: u64,
    /// The store is not a file, so every member that names it reaches the same one.
    pub store_remote: bool,
    /// The store is not known to fail.
    pub store_ok: bool,
    /// The term in which this node leads, 0 when it does not.
    pub leading_term: u64,
    /// Its penalty for dying often, in tenths.
    pub penalty: u32,
    /// It died too often, and lets itself be held dead until its penalty has decayed.
    pub damped: bool,
}

/// What the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Logical processors.
    pub cpu_cores: u32,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
    /// `linux`, `macos`, …
    pub os: String,
    /// `x86_64`, `aarch64`, …
    pub arch: String,
    /// GPUs that the driver's library reports.
    pub gpus: Vec<Gpu>,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gpu {
    /// The vendor's name of the model.
    pub name: String,
    /// Its memory in bytes.
    pub memory_bytes: u64,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// The service that this is an instance of.
    pub name: ServiceName,
    /// The port of the URL its operator configured; for display, nobody else connects to it.
    pub port: u16,
    /// From the health answer or the configuration; empty when neither says.
    pub version: String,
    /// As its own node sees it.
    pub health: Health,
    /// Share of traffic relative to the other instances, at least 1.
    pub weight: u32,
    /// The operator's labels.
    pub tags: Vec<String>,
    /// What the instance speaks.
    pub protocol: Protocol,
    /// Limits on the time that one request may take.
    pub timeouts: Timeouts,
    /// Requests at the same time, from all entries together; 0 is none.
    pub max_in_flight: u32,
    /// What the instance gets as `Host`.
    pub host: HostPolicy,
}

/// The health of a service instance, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not checked yet. Never picked.
    #[default]
    Unknown,
    /// Fails its checks. Never picked.
    Unhealthy,
    /// Answers, but says that something is wrong. Picked when no healthy instance exists.
    Degraded,
    /// Passes its checks.
    Healthy,
}

impl Health {
    /// The name used in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unhealthy => "unhealthy",
            Self::Degraded => "degraded",
            Self::Healthy => "healthy",
        }
    }
}

/// What a service instance speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 (or what ALPN chooses, for https).
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge, without TLS.
    H2c,
}

/// What a service instance gets as `Host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostPolicy {
    /// The host that the client named.
    #[default]
    Preserve,
    /// The host of the configured URL.
    Backend,
}

/// Limits on the time that one request may take; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the instance is connected.
    pub connect: Duration,
    /// From the request's head to the response's.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// From the request's head to the response's end.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: Duration::ZERO,
        }
    }
}

/// What belongs to a service as a whole; of several, the highest (rev, PeerId) wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The service that it rules.
    pub service: ServiceName,
    /// The operator's revision.
    pub rev: u64,
    /// Weighted versions; the rest goes to instances that match no entry.
    pub split: Vec<Split>,
    /// Retries allowed, in percent of requests.
    pub retry_percent: u32,
    /// Retries allowed whatever the percentage says.
    pub retry_min_per_second: u32,
    /// Try a second instance after this long; zero is never.
    pub hedge_after: Duration,
    /// Requests with the same value of this header go to the same instance; empty is none.
    pub affinity_header: String,
}

impl Route {
    /// The route of a service for which nobody configured one.
    pub const fn default_of(service: ServiceName) -> Self {
        Self {
            service,
            rev: 0,
            split: Vec::new(),
            retry_percent: 20,
            retry_min_per_second: 3,
            hedge_after: Duration::ZERO,
            affinity_header: String::new(),
        }
    }
}

/// One entry of a canary split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// A version selector.
    pub version: String,
    /// Its share of the requests, 0 to 100.
    pub percent: u8,
}
