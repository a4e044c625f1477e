//! A service and its instances, as the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, ServiceName};
use crate::manifest::Health;

/// The answer of `GET /api/admin/services`.
pub type Services = BTreeMap<ServiceName, ServiceEntry>;

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// Its instances, ordered by worker id.
    pub workers: Vec<Instance>,
    /// How many instances run each version; an empty one is not known.
    pub versions: BTreeMap<String, usize>,
    /// More than one version is known to run.
    pub version_drift: bool,
    /// The route that rules it, null when nobody configured one.
    pub route: Option<RouteEntry>,
    /// Two members configured different routes with the same, highest revision.
    pub route_conflict: bool,
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Who runs it.
    pub worker_id: NodeId,
    /// The worker's name.
    pub name: String,
    /// Empty when not known.
    pub version: String,
    /// As its own node sees it.
    pub health: Health,
    /// Of the worker, 0 idle to 1 fully busy; null when not known.
    pub current_load: Option<f32>,
    /// Requests that it works on for the node that was asked; null when that does not know it yet.
    #[serde(default)]
    pub in_flight: Option<u32>,
    /// The time to first byte that requests of the node that was asked lately had; null before the first.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// The node that was asked gives it no requests for a while, because too many failed.
    #[serde(default)]
    pub ejected: bool,
    /// Why the node that was asked would give it no request, or only for want of a better one; else null.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A route, with the fields of the configuration's `[[route]]`, and who configured it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// The member whose operator configured it.
    pub worker_id: NodeId,
    /// The operator's revision.
    pub rev: u64,
    /// Weighted versions.
    pub split: Vec<SplitEntry>,
    /// How many retries are allowed.
    pub retry_budget: RetryBudget,
    /// When a second instance is tried, `0s` is never.
    pub hedge_after: String,
    /// Requests with the same value of this header go to the same instance; empty is none.
    pub affinity_header: String,
}

/// One entry of a canary split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitEntry {
    /// A version selector.
    pub version: String,
    /// Its share of the requests, 0 to 100.
    pub percent: u8,
}

/// How many retries are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryBudget {
    /// In percent of requests.
    pub percent: u32,
    /// Whatever the percentage says.
    pub min_per_second: u32,
}
