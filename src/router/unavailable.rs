//! The answer when no instance can take a request: what there is, why each was refused, and what to do.

use serde::Serialize;

use super::reason::Reason;
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
    pub instances: Vec<Refused>,
    /// What the caller can do, as a sentence.
    pub suggestion: String,
    /// Seconds after which another try makes sense; also the value of `Retry-After`.
    pub retry_after: u64,
}

/// An instance that did not get the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
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

    pub(super) fn new(
        service: &str,
        available_services: Vec<ServiceName>,
        mut instances: Vec<Refused>,
        pinned: Option<NodeId>,
        readmission: Option<Duration>,
    ) -> Self {
        instances.sort_by_key(|instance| (std::cmp::Reverse(instance.reason), instance.worker_id));
        instances.truncate(MAX_INSTANCES);
        let mut unavailable = Self {
            error: String::new(),
            service: service.chars().take(80).collect(),
            available_services,
            instances,
            suggestion: String::new(),
            retry_after: 0,
        };
        unavailable.error = unavailable.sentence(pinned);
        unavailable.suggestion = unavailable.advice(pinned);
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

    fn advice(&self, pinned: Option<NodeId>) -> String {
        if pinned.is_some() {
            return "Leave out x-mesh-worker to let the mesh choose another worker.".to_owned();
        }
        match self.reason() {
            Reason::NoRoute if self.instances.is_empty() && !self.available_services.is_empty() => {
                format!("Check the name; these services are available: {}.", self.names())
            }
            Reason::NoRoute | Reason::Dead | Reason::Left => {
                format!("Start a node that offers '{}', then try again.", self.service)
            }
            Reason::VersionMismatch => {
                let versions = self.versions().join(", ");
                format!("Ask for a version that is there ({versions}), or leave out x-mesh-version.")
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

    fn versions(&self) -> Vec<&str> {
        let named = self.instances.iter().map(|instance| instance.version.as_str());
        let mut versions: Vec<&str> = named.filter(|version| !version.is_empty()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
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
