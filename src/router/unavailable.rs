//! The answer when no instance can take a request: what there is, why each was refused, and what to do.

use std::collections::BTreeSet;

use serde::Serialize;

use super::reason::Reason;
use super::request::Ask;
use crate::id::{NodeId, ServiceName};
use crate::time::Duration;

/// The most instances that one answer lists.
pub(super) const MAX_INSTANCES: usize = 64;

/// No instance can take the request. Serializes to the JSON body of the 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unavailable {
    /// A sentence for a human.
    pub error: String,
    /// The service that was asked for.
    pub service: String,
    /// Services that could be served now.
    pub available_services: Vec<ServiceName>,
    /// The instances that are known, and why none of them got the request.
    pub instances: Vec<RefusedInstance>,
    /// What the caller can do, as a sentence.
    pub suggestion: String,
    /// Seconds after which another try makes sense; also the value of `Retry-After`.
    pub retry_after: u64,
}

/// An instance that did not get the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedInstance {
    /// Its worker.
    pub worker_id: NodeId,
    /// Its version, empty when not known.
    pub version: String,
    /// Why it did not get the request.
    pub reason: Reason,
}

impl Unavailable {
    /// The reason that speaks for all: that of the instance that came nearest to being used.
    pub fn reason(&self) -> Reason {
        self.instances.iter().map(|instance| instance.reason).max().unwrap_or(Reason::NoRoute)
    }

    /// The service is there, but no live instance of it speaks the HTTP/2 that the request needs.
    pub fn speaks_no_http2(&self) -> bool {
        let reasons = self.instances.iter().map(|instance| instance.reason);
        let mut live = reasons.filter(|reason| !matches!(reason, Reason::Dead | Reason::Left)).peekable();
        live.peek().is_some() && live.all(|reason| reason == Reason::ProtocolMismatch)
    }

    pub(super) fn new(
        ask: &Ask<'_>,
        available_services: Vec<ServiceName>,
        mut instances: Vec<RefusedInstance>,
        readmission: Option<Duration>,
    ) -> Self {
        instances.sort_by_key(|instance| (std::cmp::Reverse(instance.reason), instance.worker_id));
        instances.truncate(MAX_INSTANCES);
        let mut unavailable = Self {
            error: String::new(),
            service: ask.service.chars().take(80).collect(),
            available_services,
            instances,
            suggestion: String::new(),
            retry_after: 0,
        };
        unavailable.error = unavailable.sentence(ask.worker);
        unavailable.suggestion = unavailable.advice(ask);
        unavailable.retry_after = unavailable.seconds(readmission);
        unavailable
    }

    fn sentence(&self, pinned: Option<NodeId>) -> String {
        let service = &self.service;
        match (pinned, self.instances.is_empty()) {
            (None, true) => format!("no worker offers the service '{service}'"),
            (Some(worker), true) => format!("worker {worker} does not offer the service '{service}'"),
            (None, false) => {
                format!("no instance of the service '{service}' can take the request: {}", self.reason())
            }
            (Some(worker), false) => {
                format!(
                    "the service '{service}' on worker {worker} cannot take the request: {}",
                    self.reason()
                )
            }
        }
    }

    fn advice(&self, ask: &Ask<'_>) -> String {
        let servable = self.available_services.iter().any(|name| name.as_str() == ask.service);
        if servable && ask.worker.is_some() {
            return "Leave out x-mesh-worker to let the mesh choose another worker.".to_owned();
        }
        if servable && ask.version.is_some() {
            return match self.versions() {
                none if none.is_empty() => {
                    "Leave out x-mesh-version; the instances name no version.".to_owned()
                }
                some => format!("Ask for a version that is there ({some}), or leave out x-mesh-version."),
            };
        }
        match self.reason() {
            Reason::NoRoute if self.instances.is_empty() && !self.available_services.is_empty() => {
                format!("Check the name; these services are available: {}.", self.names())
            }
            Reason::NoRoute | Reason::Dead | Reason::Left => {
                format!("Start a node that offers '{}', then try again.", self.service)
            }
            Reason::VersionMismatch => {
                format!("The versions {} get no share of the traffic; change the route.", self.versions())
            }
            Reason::ProtocolMismatch => {
                "Configure an instance with protocol = \"h2c\"; those that are there speak no HTTP/2."
                    .to_owned()
            }
            Reason::Unhealthy => {
                "Look at the health checks of the instances listed; the mesh uses them again once they pass."
                    .to_owned()
            }
            Reason::Unknown => "Try again when the first health check has run.".to_owned(),
            Reason::Draining => "Try again when the node has restarted, or start another one.".to_owned(),
            Reason::Saturated => {
                "Try again shortly; add instances or raise max_in_flight if this persists.".to_owned()
            }
            Reason::Ejected
            | Reason::Unroutable
            | Reason::Suspect
            | Reason::Degraded
            | Reason::ConnectFailed
            | Reason::Timeout => {
                "Try again after retry_after seconds; the instances listed failed lately.".to_owned()
            }
        }
    }

    fn names(&self) -> String {
        self.available_services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
    }

    fn versions(&self) -> String {
        let others = self.instances.iter().filter(|instance| instance.reason == Reason::VersionMismatch);
        let named = others.map(|instance| instance.version.as_str());
        let versions: BTreeSet<&str> = named.filter(|version| !version.is_empty()).collect();
        versions.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn seconds(&self, readmission: Option<Duration>) -> u64 {
        match self.reason() {
            Reason::Saturated => 1,
            Reason::Ejected => readmission.map_or(5, |wait| wait.as_secs() + 1).clamp(1, 300),
            Reason::VersionMismatch | Reason::ProtocolMismatch | Reason::NoRoute | Reason::Left => 30,
            Reason::Dead
            | Reason::Unhealthy
            | Reason::Unknown
            | Reason::Draining
            | Reason::Unroutable
            | Reason::Suspect
            | Reason::Degraded
            | Reason::ConnectFailed
            | Reason::Timeout => 5,
        }
    }
}
