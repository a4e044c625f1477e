//! All instances of one service, with what belongs to the service as a whole.

use std::collections::BTreeMap;

use super::averages::Averages;
use super::endpoint::Endpoint;
use super::hedge::HedgeBudget;
use super::reason::Reason;
use super::request::Pick;
use super::retry::RetryBudget;
use super::split::RouteChoice;
use crate::id::NodeId;
use crate::manifest::Health;
use crate::time::Instant;

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
    /// The positions of the near instances; empty when nearness makes no difference.
    pub(super) near: Vec<usize>,
    /// Some instance may be ejected.
    pub(super) ejects: bool,
    averages: Averages,
    changed: bool,
}

/// An instance whose worker is no more.
#[derive(Debug)]
pub(super) struct Gone {
    /// The version last known.
    pub(super) version: String,
    /// Dead or left.
    pub(super) reason: Reason,
}

impl Fleet {
    pub(super) fn new(choice: RouteChoice, now: Instant) -> Self {
        let route = &choice.route;
        Self {
            endpoints: Vec::new(),
            gone: BTreeMap::new(),
            retries: RetryBudget::new(route.retry_percent, route.retry_min_per_second, now),
            hedges: HedgeBudget::new(now),
            choice,
            near: Vec::new(),
            ejects: false,
            averages: Averages::of(&mut [], &mut Vec::new(), now),
            changed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty() && self.gone.is_empty()
    }

    pub(super) fn position(&self, worker: &NodeId) -> Option<usize> {
        self.endpoints.binary_search_by(|endpoint| endpoint.worker.cmp(worker)).ok()
    }

    pub(super) fn endpoint(&self, worker: &NodeId) -> Option<&Endpoint> {
        self.position(worker).map(|i| &self.endpoints[i])
    }

    pub(super) fn endpoint_mut(&mut self, worker: &NodeId) -> Option<&mut Endpoint> {
        self.position(worker).map(|i| &mut self.endpoints[i])
    }

    /// The position of the instance that was picked; `None` when it is gone, or was replaced by a new boot.
    pub(super) fn picked(&self, pick: &Pick) -> Option<usize> {
        let ticket = &pick.ticket;
        let is_it = |i: usize| self.endpoints.get(i).is_some_and(|e| e.generation == ticket.generation);
        if is_it(ticket.position) {
            return Some(ticket.position);
        }
        self.position(&pick.worker).filter(|i| is_it(*i))
    }

    /// Adds an instance, in the place of an earlier one of the same worker.
    pub(super) fn insert(&mut self, mut endpoint: Endpoint) {
        endpoint.group = self.choice.split.group(&endpoint.version);
        self.changed = true;
        match self.endpoints.binary_search_by(|other| other.worker.cmp(&endpoint.worker)) {
            Ok(i) => self.endpoints[i] = endpoint,
            Err(i) => self.endpoints.insert(i, endpoint),
        }
    }

    /// Changes an instance that is there.
    pub(super) fn change(&mut self, position: usize, change: impl FnOnce(&mut Endpoint)) {
        self.changed = true;
        let endpoint = &mut self.endpoints[position];
        change(endpoint);
        endpoint.group = self.choice.split.group(&endpoint.version);
    }

    pub(super) fn remove(&mut self, worker: &NodeId) -> Option<Endpoint> {
        self.changed = true;
        self.position(worker).map(|i| self.endpoints.remove(i))
    }

    pub(super) fn set_route(&mut self, choice: RouteChoice) {
        self.retries.configure(choice.route.retry_percent, choice.route.retry_min_per_second);
        self.choice = choice;
        for endpoint in &mut self.endpoints {
            endpoint.group = self.choice.split.group(&endpoint.version);
        }
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
        let (usable, ejected) = self.usable_and_ejected(now);
        ejected * 2 > usable
    }

    /// One more may be ejected: at most half of the usable instances are then out, and never the only one.
    pub(super) fn can_spare_one(&self, now: Instant) -> bool {
        let (usable, ejected) = self.usable_and_ejected(now);
        (ejected + 1) * 2 <= usable
    }

    /// The share of attempts that succeed lately, the mean of the instances that are in use; 1 when nothing is known.
    pub(super) fn success(&self, now: Instant) -> f64 {
        let used = self.endpoints.iter().filter(|e| e.is_usable() && e.ejected(now).is_none());
        let (count, sum) = used.fold((0_u32, 0.0), |(count, sum), e| (count + 1, sum + e.success.recent()));
        if count == 0 { 1.0 } else { sum / f64::from(count) }
    }

    /// Brings the averages up to date when they are older than 100 ms.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.changed || !self.averages.are_fresh(now) {
            self.averages = Averages::of(&mut self.endpoints, &mut self.near, now);
            self.ejects = self.endpoints.iter().any(|endpoint| endpoint.outlier.is_out());
            self.changed = false;
        }
    }

    /// What the fleet does as a whole, as of the last refresh.
    pub(super) const fn averages(&self) -> &Averages {
        &self.averages
    }

    fn usable_and_ejected(&self, now: Instant) -> (usize, usize) {
        if !self.ejects {
            return (self.endpoints.iter().filter(|endpoint| endpoint.is_usable()).count(), 0);
        }
        let usable = self.endpoints.iter().filter(|endpoint| endpoint.is_usable());
        usable.fold((0, 0), |(usable, ejected), endpoint| {
            (usable + 1, ejected + usize::from(endpoint.ejected(now).is_some()))
        })
    }
}
