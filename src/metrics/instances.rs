//! Gauges of instances, set when somebody reads the metrics: they only repeat what the router holds.

use prometheus_client::encoding::EncodeLabelSet;

use super::{InstanceLabels, Metrics, ServiceLabels};
use crate::id::ServiceName;
use crate::router::Standing;

/// Labels of a count of instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HealthLabels {
    /// The service.
    pub service: String,
    /// `healthy`, `degraded`, `unhealthy` or `unknown`.
    pub health: &'static str,
}

/// What a service of this node has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    /// The service.
    pub service: ServiceName,
    /// Requests that it works on, whoever sent them.
    pub in_flight: u32,
    /// Requests that wait for a place.
    pub waiting: u32,
}

impl Metrics {
    /// Sets the gauges of all instances; those of instances that are gone are forgotten.
    pub fn observe_instances(&self, standings: &[Standing]) {
        self.instances_by_health.clear();
        self.ejected.clear();
        for it in standings {
            let service = it.service.to_string();
            let labels = HealthLabels { service: service.clone(), health: it.health.as_str() };
            self.instances_by_health.get_or_create(&labels).inc();
            let labels = InstanceLabels { service, worker: it.worker.to_string() };
            self.ejected.get_or_create(&labels).set(it.ejected.is_some().into());
        }
    }

    /// Sets the gauges of this node's services; those of services that are gone are forgotten.
    pub fn observe_occupancy(&self, services: &[Occupancy]) {
        self.service_in_flight.clear();
        self.service_waiting.clear();
        for it in services {
            let labels = ServiceLabels { service: it.service.to_string() };
            self.service_in_flight.get_or_create(&labels).set(it.in_flight.into());
            self.service_waiting.get_or_create(&labels).set(it.waiting.into());
        }
    }
}
