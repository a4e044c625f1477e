//! Asks for the checks of all services of this node, and turns their results into healths and versions.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;

use super::health::HealthState;
use super::schedule::{Due, Schedule};
use super::{Outcome, Target};
use crate::id::ServiceName;
use crate::manifest::{Health, Service};
use crate::time::{Instant, earliest};

/// The health checks of this node's services, as a state machine.
///
/// After every `handle_*` and `set_targets`, [`poll_output`](Self::poll_output) is drained to `None`.
#[derive(Debug)]
pub struct Prober {
    rng: ChaCha8Rng,
    services: BTreeMap<ServiceName, Probed>,
    outputs: VecDeque<Output>,
}

/// What the world shall do, or know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Check this service, and feed back its [`Outcome`].
    Check(ServiceName),
    /// What is published about a service changed.
    Changed {
        /// The service.
        service: ServiceName,
        /// Its health now.
        health: Health,
        /// Its version now; empty when nobody says.
        version: String,
    },
}

#[derive(Debug)]
struct Probed {
    target: Target,
    state: HealthState,
    /// The version that the last answer named.
    version: Option<String>,
    /// `None` when its health is not checked.
    schedule: Option<Schedule>,
}

impl Prober {
    /// A prober without services, which draws its jitter from `rng`.
    pub const fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, services: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// The services to check, all of them. Those that are still reached in the same way keep their health.
    pub fn set_targets(&mut self, targets: Vec<Target>, now: Instant) {
        let mut earlier = std::mem::take(&mut self.services);
        for target in targets {
            let mut probed = match earlier.remove(&target.name) {
                Some(probed) => probed.retarget(target, now, &mut self.rng),
                None => Probed::new(target, now, &mut self.rng),
            };
            self.outputs.extend(probed.changed_by(Probed::settle));
            self.services.insert(probed.target.name.clone(), probed);
        }
        let services = &self.services;
        self.outputs.retain(|output| services.contains_key(output.service()));
    }

    /// A check ended.
    pub fn handle_checked(&mut self, service: &ServiceName, outcome: Outcome) {
        let Some(probed) = self.services.get_mut(service) else { return };
        if probed.schedule.as_mut().is_some_and(Schedule::finish) {
            self.outputs.extend(probed.changed_by(|probed| probed.apply(outcome)));
        }
    }

    /// A request was refused its connection by the service. Without checks there is no way back, so that a
    /// service without them stays as it is.
    pub fn handle_refused(&mut self, service: &ServiceName) {
        let Some(probed) = self.services.get_mut(service) else { return };
        if probed.schedule.is_some() {
            self.outputs.extend(probed.changed_by(|probed| probed.state.refuse()));
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (name, probed) in &mut self.services {
            let Some(schedule) = &mut probed.schedule else { continue };
            match schedule.take_due(probed.target.interval, now, &mut self.rng) {
                Some(Due::Check) => self.outputs.push_back(Output::Check(name.clone())),
                Some(Due::Lost) => self.outputs.extend(probed.changed_by(|probed| probed.apply(lost()))),
                None => {}
            }
        }
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.services.values().map(|probed| probed.schedule.as_ref().map(Schedule::deadline));
        deadlines.fold(None, earliest)
    }

    /// What the manifest says of the services, ordered by name.
    pub fn services(&self) -> Vec<Service> {
        self.services.values().map(Probed::service).collect()
    }
}

/// The outcome of a check whose result never came.
fn lost() -> Outcome {
    let detail = "the check did not end".to_owned();
    Outcome { health: Health::Unhealthy, refused: false, version: None, detail }
}

impl Output {
    const fn service(&self) -> &ServiceName {
        match self {
            Self::Check(service) | Self::Changed { service, .. } => service,
        }
    }
}

impl Probed {
    fn new(target: Target, now: Instant, rng: &mut ChaCha8Rng) -> Self {
        let schedule = target.checked.then(|| Schedule::start(now, rng));
        Self { target, state: HealthState::default(), version: None, schedule }
    }

    /// The same service with another configuration.
    fn retarget(mut self, target: Target, now: Instant, rng: &mut ChaCha8Rng) -> Self {
        let same_place = self.target.port == target.port && self.target.protocol == target.protocol;
        match (&mut self.schedule, target.checked) {
            (Some(schedule), true) if same_place => schedule.shorten(target.interval, now),
            (Some(schedule), true) => {
                schedule.restart(now, rng);
                self.state = HealthState::default();
                self.version = None;
            }
            _ => return Self::new(target, now, rng),
        }
        self.target = target;
        self
    }

    /// A service whose health is not checked counts as healthy.
    fn settle(&mut self) {
        if self.schedule.is_none() {
            self.state.apply(Health::Healthy, 1, 1);
        }
    }

    fn apply(&mut self, outcome: Outcome) {
        if outcome.refused {
            self.state.refuse();
        } else {
            self.state.apply(outcome.health, self.target.rise, self.target.fall);
        }
        // A failure tells nothing about the version; an answer without one does.
        if outcome.version.is_some() || outcome.health > Health::Unhealthy {
            self.version = outcome.version;
        }
    }

    /// Does `change`, and says what it changed.
    fn changed_by(&mut self, change: impl FnOnce(&mut Self)) -> Option<Output> {
        let before = (self.state.health(), self.published_version().to_owned());
        change(self);
        let (health, version) = (self.state.health(), self.published_version());
        (before.0 != health || before.1 != version).then(|| Output::Changed {
            service: self.target.name.clone(),
            health,
            version: version.to_owned(),
        })
    }

    fn published_version(&self) -> &str {
        self.version.as_deref().unwrap_or(&self.target.version)
    }

    fn service(&self) -> Service {
        let target = &self.target;
        Service {
            name: target.name.clone(),
            port: target.port,
            version: self.published_version().to_owned(),
            health: self.state.health(),
            weight: target.weight,
            tags: target.tags.clone(),
            protocol: target.protocol,
            timeouts: target.timeouts,
            max_in_flight: target.max_in_flight,
            host: target.host,
        }
    }
}
