//! A worker, as the API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{NodeId, ServiceName};
use crate::manifest::{Capabilities, Health};
use crate::view::Status;

/// One member of the mesh. What is null is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its identity.
    pub worker_id: NodeId,
    /// A human's name for it, empty when not known.
    pub name: String,
    /// 1 with a GPU, 2 with at least 4 cores and 8 GiB, else 3; 0 when not known.
    pub tier: u8,
    /// Whether it lives.
    pub status: Status,
    /// Alive, but not to be reached.
    pub unroutable: bool,
    /// Its penalty for dying often, as it publishes it: 0 for none.
    pub penalty: f64,
    /// It died too often, and lets itself be held dead for a while.
    pub damped: bool,
    /// It finishes what it has and takes nothing new.
    pub draining: bool,
    /// It is the heartbeat leader.
    pub is_heartbeat_leader: bool,
    /// Where it is reached, `ip:port`.
    pub address: Option<String>,
    /// How it is reached: `direct`.
    pub reach: String,
    /// The round trip last measured, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// URL under which edges reach it.
    pub tunnel_url: Option<String>,
    /// Placement.
    pub zone: Option<String>,
    /// Its boot.
    pub epoch: u64,
    /// How often it refuted within that boot.
    pub incarnation: u64,
    /// When this observer first heard of it.
    pub first_seen: Timestamp,
    /// When this observer last heard from it directly.
    pub last_heartbeat: Timestamp,
    /// 0 idle to 1 fully busy.
    pub current_load: Option<f32>,
    /// Memory that can still be had, in bytes.
    pub available_memory: Option<u64>,
    /// Requests that its services are working on.
    pub in_flight: Option<u32>,
    /// What the machine has.
    pub capabilities: Option<Capabilities>,
    /// What it runs.
    pub services: Vec<WorkerService>,
    /// The release that it runs.
    pub meshnode_version: Option<String>,
}

/// One service of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerService {
    /// Its name.
    pub name: ServiceName,
    /// The port of its URL.
    pub port: u16,
    /// Empty when not known.
    pub version: String,
    /// As its own node sees it; unknown once the worker is dead or left.
    pub health: Health,
    /// The operator's labels.
    pub tags: Vec<String>,
    /// Share of traffic.
    pub weight: u32,
}
