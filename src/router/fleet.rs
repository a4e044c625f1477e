//! All instances of one service, with what belongs to the service as a whole.

use std::collections::BTreeMap;

use super::endpoint::Endpoint;
use super::hedge::HedgeBudget;
use super::reason::Reason;
use super::retry::RetryBudget;
use super::split::RouteChoice;
use crate::id::NodeId;
use crate::manifest::Health;
use crate::time::{Duration, Instant};

/// What to expect of a service of which nothing was measured yet, in seconds.
const FIRST_GUESS: f64 = 0.1;

/// A report older than this says nothing of the fleet.
const REPORT_LIFETIME: Duration = Duration::from_secs(10);

/// How long the fleet's averages are used before they are computed again.
const AVERAGES_LIFETIME: Duration = Duration::from_millis(100);

/// All instances of one service.
#[derive(Debug)]
pub(super) struct Fleet {
    /// On live workers, ordered by worker.
    pub(super) endpoints: Vec<Endpoint>,
    /// On workers that died or left lately.
    pub(super) gone: BTreeMap<NodeId, Gone>,
    pub(super) choice: RouteChoice,
    pub(super) retries: RetryBudget,
    pub(super) hedges: HedgeBudget,
    averages: Averages,
}

/// An instance whose worker is no more.
#[derive(Debug)]
pub(super) struct Gone {
    /// The version last known.
    pub(super) version: String,
    /// Dead or left.
    pub(super) reason: Reason,
}

/// What the fleet does as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Averages {
    /// The median of the times to first byte, in seconds.
    pub(super) latency: f64,
    /// The mean of what an instance works on for other entries.
    pub(super) others: f64,
    /// The mean weight.
    pub(super) weight: f64,
    at: Option<Instant>,
}

impl Fleet {
    pub(super) fn new(choice: RouteChoice, now: Instant) -> Self {
        let route = &choice.route;
        let retries = RetryBudget::new(route.retry_percent, route.retry_min_per_second, now);
        let averages = Averages { latency: FIRST_GUESS, others: 0.0, weight: 1.0, at: None };
        let hedges = HedgeBudget::new(now);
        Self { endpoints: Vec::new(), gone: BTreeMap::new(), choice, retries, hedges, averages }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.gone.is_empty()
    }

    pub(super) fn endpoint(&self, worker: &NodeId) -> Option<&Endpoint> {
        self.position(worker).ok().map(|i| &self.endpoints[i])
    }

    pub(super) fn endpoint_mut(&mut self, worker: &NodeId) -> Option<&mut Endpoint> {
        self.position(worker).ok().map(|i| &mut self.endpoints[i])
    }

    /// Adds an instance, in the place of an earlier one of the same worker.
    pub(super) fn insert(&mut self, endpoint: Endpoint) {
        self.averages.at = None;
        match self.position(&endpoint.worker) {
            Ok(i) => self.endpoints[i] = endpoint,
            Err(i) => self.endpoints.insert(i, endpoint),
        }
    }

    pub(super) fn remove(&mut self, worker: &NodeId) -> Option<Endpoint> {
        self.averages.at = None;
        self.position(worker).ok().map(|i| self.endpoints.remove(i))
    }

    pub(super) fn set_route(&mut self, choice: RouteChoice) {
        self.retries.configure(choice.route.retry_percent, choice.route.retry_min_per_second);
        self.choice = choice;
    }

    /// Instances that pass their checks on live workers that take requests.
    pub(super) fn healthy(&self) -> usize {
        let healthy = |e: &&Endpoint| e.service.health == Health::Healthy && !e.is_draining();
        self.endpoints.iter().filter(healthy).count()
    }

    /// Whether a request could be served now, as far as health and reach tell.
    pub(super) fn is_available(&self) -> bool {
        self.endpoints.iter().any(Endpoint::is_usable)
    }

    /// More than half of the usable instances are ejected: something else is wrong, and ejection is ignored.
    pub(super) fn is_in_panic(&self, now: Instant) -> bool {
        self.ejected(now) * 2 > self.usable()
    }

    /// One more may be ejected: at most half of the usable instances are then out, and never the only one.
    pub(super) fn can_spare_one(&self, now: Instant) -> bool {
        (self.ejected(now) + 1) * 2 <= self.usable()
    }

    /// What the fleet does as a whole, at most 100 ms old.
    pub(super) fn averages(&mut self, now: Instant) -> Averages {
        let fresh = |at| now.since(at) < AVERAGES_LIFETIME;
        if !self.averages.at.is_some_and(fresh) {
            self.averages = self.measured(now);
        }
        self.averages
    }

    /// The averages last computed.
    pub(super) const fn last_averages(&self) -> Averages {
        self.averages
    }

    fn measured(&self, now: Instant) -> Averages {
        let mut latencies: Vec<f64> = self.endpoints.iter().filter_map(|e| e.latency.measured()).collect();
        latencies.sort_by(f64::total_cmp);
        let oldest = now.before(REPORT_LIFETIME);
        let reports: Vec<f64> = self.endpoints.iter().filter_map(|e| e.others_since(oldest)).collect();
        let weights: f64 = self.endpoints.iter().map(|e| e.weight(now)).sum();
        Averages {
            // The lower of two, so that one instance that fails does not make a bad time the norm.
            latency: latencies.get(latencies.len().saturating_sub(1) / 2).copied().unwrap_or(FIRST_GUESS),
            others: mean(&reports),
            weight: if self.endpoints.is_empty() { 1.0 } else { weights / self.endpoints.len() as f64 },
            at: Some(now),
        }
    }

    fn position(&self, worker: &NodeId) -> Result<usize, usize> {
        self.endpoints.binary_search_by(|endpoint| endpoint.worker.cmp(worker))
    }

    fn usable(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.is_usable()).count()
    }

    fn ejected(&self, now: Instant) -> usize {
        self.endpoints.iter().filter(|e| e.is_usable() && e.ejected(now).is_some()).count()
    }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}
