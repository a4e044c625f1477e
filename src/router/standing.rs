//! What the router holds of each instance, to be shown to people.

use serde::Serialize;

use super::endpoint::Endpoint;
use super::request::Need;
use super::table::Table;
use crate::id::{NodeId, ServiceName};
use crate::manifest::Health;
use crate::router::Reason;
use crate::time::{Duration, Instant};

/// One instance as this node's router sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The service.
    pub service: ServiceName,
    /// The worker on which it runs.
    pub worker: NodeId,
    /// As its own node sees it.
    pub health: Health,
    /// Requests that it works on for this node.
    pub in_flight: u32,
    /// The time to first byte that requests of this node lately had; `None` before the first one.
    pub latency: Option<Duration>,
    /// How much longer it gets no requests, because too many failed.
    pub ejected: Option<Duration>,
    /// Why it would get no request now, or only when there is no better one.
    pub reason: Option<Reason>,
}

impl Standing {
    /// All instances, ordered by service and worker.
    pub(super) fn of_all(table: &Table, now: Instant) -> Vec<Self> {
        let mut all: Vec<Self> = table
            .fleets
            .iter()
            .flat_map(|(service, fleet)| fleet.endpoints.iter().map(|it| Self::of(service, it, now)))
            .collect();
        all.sort_by(|a, b| (&a.service, a.worker).cmp(&(&b.service, b.worker)));
        all
    }

    fn of(service: &ServiceName, endpoint: &Endpoint, now: Instant) -> Self {
        let ejected = endpoint.ejected(now).map(|until| until.since(now));
        let rank = endpoint.rank(now);
        let reason = endpoint
            .refuses(Need::Any, now)
            .or_else(|| ejected.map(|_| Reason::Ejected))
            .or_else(|| (!rank.is_best()).then(|| rank.reason()));
        Self {
            service: service.clone(),
            worker: endpoint.worker,
            health: endpoint.service.health,
            in_flight: endpoint.own(),
            latency: endpoint.latency.measured().map(Duration::from_secs_f64),
            ejected,
            reason,
        }
    }
}
