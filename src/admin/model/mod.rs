//! The JSON of the admin API, shared by the node that writes it and the commands that read it.

mod service;
mod worker;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::{EvidenceLine, WorkerRef};
use crate::id::NodeId;
use crate::view::Status;

pub use service::{Instance, RetryBudget, RouteEntry, ServiceEntry, Services, SplitEntry};
pub use worker::{Worker, WorkerService};

/// The answer of `GET /api/admin/leader`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The leader, null while there is none.
    pub worker_id: Option<NodeId>,
    /// Its name.
    pub name: Option<String>,
    /// Its term; the highest seen while there is none.
    pub term: u64,
    /// Since when this node knows it.
    pub since: Option<Timestamp>,
    /// The node that answers leads.
    pub is_self: bool,
    /// The node that answers may write the summary at once when it leads.
    pub warm: bool,
    /// Eligible members in rank order.
    pub candidates: Vec<NodeId>,
    /// The summary's store, as configured at the node that answers.
    pub store: String,
    /// That store is not known to fail.
    pub store_ok: bool,
    /// Attempts of all writers on the store's current day.
    pub writes_today: u32,
    /// What the pacing still allows today, null when the store has no budget.
    pub budget_left: Option<u32>,
    /// When the summary was last stored.
    pub last_write: Option<Timestamp>,
    /// When the next slot begins.
    pub next_slot: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<String>,
}

/// The answer of `GET /api/admin/why/{worker}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The worker that it is about.
    pub worker_id: NodeId,
    /// Its name, empty when not known.
    pub name: String,
    /// Whether it lives, as this observer sees it.
    pub status: Status,
    /// Alive, but not to be reached.
    pub unroutable: bool,
    /// The boot that the status is about.
    pub epoch: u64,
    /// The incarnation that the status is about.
    pub incarnation: u64,
    /// Where it is reached.
    pub address: Option<String>,
    /// The round trip last measured, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// When this observer first heard of it.
    pub first_seen: Timestamp,
    /// When this observer last heard from it directly.
    pub last_heartbeat: Timestamp,
    /// Seconds since then.
    pub silent_for_s: f64,
    /// The observer.
    pub observer: NodeId,
    /// Since when this observer holds the status, as far as it can tell.
    pub since: Option<Timestamp>,
    /// Its penalty for dying often, as it publishes it.
    pub penalty: f64,
    /// It died too often, and lets itself be held dead for a while.
    pub damped: bool,
    /// Who suspects it.
    pub accusers: Vec<WorkerRef>,
    /// Who watches it, as the observer sees it.
    pub watchers: Vec<WorkerRef>,
    /// Whom the observer asked about it in private, and what they saw so far.
    pub witnesses: Vec<Witness>,
    /// What the observer waits for, about this worker.
    pub timers: Vec<LiveTimer>,
    /// What led to the status, oldest first.
    pub evidence: Vec<EvidenceLine>,
}

/// Somebody who was asked about a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Who.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// `answers`, `silent`, `stalled` or `gone`; null while it says nothing.
    pub seen: Option<String>,
}

/// Something that a node waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveTimer {
    /// `suspicion`, `accusation`, `turn`, `unroutable`, `tombstone_fades`, `tombstone_ends` or `damping`.
    pub name: String,
    /// Seconds until then.
    pub in_s: f64,
}

/// The answer of `POST /api/admin/leave`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// True.
    pub leaving: bool,
    /// The node that leaves.
    pub worker_id: NodeId,
    /// Its name.
    pub name: String,
}

/// The body of an answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong, and what is accepted.
    pub error: String,
}
