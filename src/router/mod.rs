//! Routing: which instance gets a request, and what becomes of one that failed.
//!
//! The policy here is pure and is driven by `proxy`, which is behind the feature `net`: for each attempt `pick`
//! and `begin` (under one lock), `answered` when the head of the answer is there, `finish` when all is over.

mod attempts;
mod averages;
mod balance;
mod endpoint;
mod ewma;
mod explain;
mod fleet;
mod hedge;
mod outlier;
#[cfg(feature = "net")]
pub mod proxy;
mod reason;
mod request;
mod retry;
mod select;
mod selector;
mod split;
mod standing;
mod success;
mod summary;
mod table;
mod unavailable;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::id::NodeId;
use crate::manifest::Route;
use crate::time::{Duration, Instant};
use crate::view::View;
use fleet::Fleet;
use select::Terms;
use table::Table;

pub use reason::Reason;
pub use request::{Ask, EndpointKey, ExitLoad, Need, Outcome, Pick, Refusal, Ticket, Tried};
pub use retry::{MAX_ATTEMPTS, Phase, Retry};
pub use selector::{InstanceVersion, InvalidSelector, Selector};
pub use standing::Standing;
pub use summary::{ServiceSummary, ServicesSummary};
pub use unavailable::{RefusedInstance, Unavailable};

/// A failed attempt counts as at least this slow, since errors look fast.
const FAILURE_COST: Duration = Duration::from_secs(5);

/// The most that a failed attempt counts as, whatever its `Retry-After` said.
const MAX_FAILURE_COST: Duration = Duration::from_secs(60);

/// Chooses instances for requests, and learns from what becomes of them.
#[derive(Debug)]
pub struct Router {
    table: Table,
    rng: ChaCha8Rng,
    tickets: u64,
    scratch: Vec<usize>,
}

impl Router {
    /// A router that knows no member yet.
    pub fn new(local: NodeId, seed: [u8; 32]) -> Self {
        Self { table: Table::new(local), rng: ChaCha8Rng::from_seed(seed), tickets: 0, scratch: Vec::new() }
    }

    /// Follows the view of the members.
    pub fn apply(&mut self, view: &View, now: Instant) {
        self.table.apply(view, now);
    }

    /// The instance that should get the request; never one that was tried, and none that is not healthy as long
    /// as a healthy one can be had.
    pub fn pick(&mut self, ask: &Ask<'_>, tried: &[Tried], now: Instant) -> Result<Pick, Box<Unavailable>> {
        self.tickets += 1;
        let Some(fleet) = self.table.fleets.get_mut(ask.service) else {
            return Err(Box::new(explain::unavailable(&self.table, ask, tried, now)));
        };
        fleet.refresh(now);
        let terms = Terms::new(fleet, ask, tried, now);
        let Some(position) = terms.choose(fleet, &mut self.scratch, &mut self.rng) else {
            return Err(Box::new(explain::unavailable(&self.table, ask, tried, now)));
        };
        let endpoint = &fleet.endpoints[position];
        let (generation, first) = (endpoint.generation, tried.is_empty());
        Ok(endpoint.picked(Ticket { generation, position, number: self.tickets, first }))
    }

    /// The attempt starts, and counts until `finish`. Call it under the same lock as `pick`.
    pub fn begin(&mut self, pick: &Pick, now: Instant) {
        let Some(fleet) = self.table.fleets.get_mut(&pick.endpoint.service) else { return };
        if pick.ticket.first {
            fleet.retries.deposit(now);
            fleet.hedges.deposit(now);
        }
        if let Some(position) = fleet.picked(pick) {
            fleet.endpoints[position].begin(pick.ticket.number, now);
        }
    }

    /// The head of the answer came; a body may follow for as long as it likes. `retry_after` is what a failing
    /// instance asked for. Returns for how long the instance is taken out, when this takes it out.
    pub fn answered(
        &mut self,
        pick: &Pick,
        status: u16,
        first_byte: Duration,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let (fleet, position) = self.attempted(pick)?;
        let endpoint = &mut fleet.endpoints[position];
        let attempt = endpoint.attempts.note_answer(pick.ticket.number)?;
        let cost = retry_after.unwrap_or_default().clamp(FAILURE_COST, MAX_FAILURE_COST);
        if status >= 500 {
            return noted(pick, fleet.failed(position, attempt, cost, now));
        }
        // Too many requests: the instance works, but wants fewer.
        match status {
            429 => endpoint.latency.penalise(cost, now),
            _ => endpoint.latency.observe(first_byte, now),
        }
        endpoint.success.record(true, now);
        endpoint.outlier.answered(now);
        None
    }

    /// The attempt is over. Counts only once, and not at all when the instance is gone since. Returns for how
    /// long the instance is taken out, when this takes it out.
    pub fn finish(&mut self, pick: &Pick, outcome: Outcome, now: Instant) -> Option<Duration> {
        let ejection = match outcome {
            Outcome::Answered { status, first_byte } => self.answered(pick, status, first_byte, None, now),
            Outcome::ConnectFailed
            | Outcome::Refused(_)
            | Outcome::Timeout
            | Outcome::Broken
            | Outcome::Cancelled
            | Outcome::Silent => None,
        };
        let (fleet, position) = self.attempted(pick)?;
        let endpoint = &mut fleet.endpoints[position];
        let attempt = endpoint.attempts.end(pick.ticket.number)?;
        match outcome {
            Outcome::Answered { .. } => {
                endpoint.outlier.completed();
                ejection
            }
            Outcome::ConnectFailed => noted(pick, fleet.refused(position, attempt, now)),
            Outcome::Refused(refusal) => {
                endpoint.refused_by_exit(refusal, now);
                None
            }
            Outcome::Timeout | Outcome::Broken if attempt.answered => {
                noted(pick, fleet.broke(position, attempt, now))
            }
            Outcome::Timeout | Outcome::Broken => {
                let cost = now.since(attempt.started).clamp(FAILURE_COST, MAX_FAILURE_COST);
                noted(pick, fleet.failed(position, attempt, cost, now))
            }
            Outcome::Silent => None,
            Outcome::Cancelled => {
                if !attempt.answered {
                    endpoint.latency.observe_at_least(now.since(attempt.started), now);
                }
                None
            }
        }
    }

    /// Takes in what an exit said of an instance with its answer.
    pub fn report_load(&mut self, instance: &EndpointKey, load: ExitLoad, now: Instant) {
        if let Some(fleet) = self.table.fleets.get_mut(&instance.service)
            && let Some(endpoint) = fleet.endpoint_mut(&instance.worker)
        {
            endpoint.report(load, now);
        }
    }

    /// Takes the permission for one retry that is not free from the service's budget, if there is one. When most of its
    /// instances fail there hardly is.
    pub fn may_retry(&mut self, service: &str, now: Instant) -> bool {
        let fleet = self.table.fleets.get_mut(service);
        fleet.is_some_and(|fleet| fleet.retries.withdraw(fleet.success(now), now))
    }

    /// For how long the first instance may be silent before a second one is asked as well; `None` is for ever.
    pub fn hedge_after(&self, service: &str) -> Option<Duration> {
        let fleet = self.table.fleets.get(service)?;
        Some(fleet.choice.route.hedge_after).filter(|after| !after.is_zero())
    }

    /// Takes the permission to hedge one request from the service's budget of 5 %, if there is one. The hedge is
    /// then picked with the silent instance among the `tried`.
    pub fn may_hedge(&mut self, service: &str, now: Instant) -> bool {
        self.table.fleets.get_mut(service).is_some_and(|fleet| fleet.hedges.withdraw(now))
    }

    /// This entry's link to the worker is silent: until then, or until it `answers`, its instances are avoided
    /// where others are to be had. A new boot of the worker begins with a clean record.
    pub fn stalled(&mut self, worker: &NodeId, until: Instant) {
        self.table.stalled(worker, until);
    }

    /// This entry's link to the worker moves. Costs next to nothing unless it was `stalled`.
    pub fn answers(&mut self, worker: &NodeId) {
        self.table.answers(worker);
    }

    /// The route that holds for a service that somebody offers.
    pub fn route(&self, service: &str) -> Option<Arc<Route>> {
        self.table.fleets.get(service).map(|fleet| fleet.choice.route.clone())
    }

    /// Whether two members have different routes of the same highest revision.
    pub fn route_conflict(&self, service: &str) -> bool {
        self.table.fleets.get(service).is_some_and(|fleet| fleet.choice.conflict)
    }

    /// Services of which members have different routes of the same highest revision.
    pub fn route_conflicts(&self) -> usize {
        self.table.fleets.values().filter(|fleet| fleet.choice.conflict).count()
    }

    /// What is offered, for front ends that adapt.
    pub fn services(&self) -> ServicesSummary {
        ServicesSummary::of(&self.table)
    }

    /// What is held of every instance.
    pub fn standings(&self, now: Instant) -> Vec<Standing> {
        Standing::of_all(&self.table, now)
    }

    /// One line that says why `pick` was made, for `x-mesh-explain`. Call it before `begin`.
    pub fn explain(&self, ask: &Ask<'_>, tried: &[Tried], pick: &Pick, now: Instant) -> String {
        let fleet = self.table.fleets.get(ask.service);
        fleet.map(|fleet| explain::explain(fleet, ask, tried, pick, now)).unwrap_or_default()
    }

    fn attempted(&mut self, pick: &Pick) -> Option<(&mut Fleet, usize)> {
        let fleet = self.table.fleets.get_mut(&pick.endpoint.service)?;
        let position = fleet.picked(pick)?;
        Some((fleet, position))
    }
}

fn noted(pick: &Pick, ejection: Option<Duration>) -> Option<Duration> {
    if let Some(ejection) = ejection {
        let EndpointKey { worker, service } = &pick.endpoint;
        tracing::info!(%service, %worker, seconds = ejection.as_secs(), "instance ejected");
    }
    ejection
}
