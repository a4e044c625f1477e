//! Every metric, in one list, with its name and labels.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Buckets of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// All metrics of a node. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Answers to requests that entered here, by service, instance and status code.
    pub requests: Family<RequestLabels, Counter>,
    /// Time from a request's head to its answer's head, by service and instance.
    pub latency: Family<InstanceLabels, Histogram>,
    /// Requests that an instance works on for this entry.
    pub in_flight: Family<InstanceLabels, Gauge>,
    /// Further attempts after a failed one, by service.
    pub retries: Family<ServiceLabels, Counter>,
    /// Instances that the outlier detection took out, by service and instance.
    pub ejections: Family<InstanceLabels, Counter>,
    /// Members by status.
    pub members: Family<StatusLabels, Gauge>,
    /// Datagrams by direction (`sent`, `received`; `dropped` ones should have been sent, and were not).
    pub datagrams: Family<DirectionLabels, Counter>,
    /// Bytes of datagrams by direction, without IP and UDP headers.
    pub datagram_bytes: Family<DirectionLabels, Counter>,
    /// Things that were received and refused, by kind.
    pub refused: Family<KindLabels, Counter>,
    /// Events by kind (joined, suspect, dead, …).
    pub events: Family<KindLabels, Counter>,
    /// Requests to other members over links by outcome (`ok`, `failed`).
    pub link_requests: Family<KindLabels, Counter>,
    /// Bytes over links by direction.
    pub link_bytes: Family<DirectionLabels, Counter>,
    /// Health checks of services of this node, by result.
    pub checks: Family<KindLabels, Counter>,
    /// Calls of the summary's store, by kind and outcome (`get_ok`, `put_failed`, …).
    pub store_calls: Family<KindLabels, Counter>,
    /// 1 while this node leads.
    pub leader: Gauge,
    /// The highest term that this node has seen.
    pub term: Gauge<u64, AtomicU64>,
}

/// Labels of a counter of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The service.
    pub service: String,
    /// The worker that answered; empty when the mesh itself did.
    pub worker: String,
    /// The status code.
    pub code: u16,
}

/// Labels of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InstanceLabels {
    /// The service.
    pub service: String,
    /// The worker.
    pub worker: String,
}

/// The label of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceLabels {
    /// The service.
    pub service: String,
}

/// The label of a member's status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabels {
    /// `alive`, `suspect`, `dead` or `left`.
    pub status: &'static str,
}

/// The label of a direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabels {
    /// `sent` or `received`.
    pub direction: &'static str,
}

/// The label of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// The kind.
    pub kind: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A fresh set, all zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_flight: Family::default(),
            retries: Family::default(),
            ejections: Family::default(),
            members: Family::default(),
            datagrams: Family::default(),
            datagram_bytes: Family::default(),
            refused: Family::default(),
            events: Family::default(),
            link_requests: Family::default(),
            link_bytes: Family::default(),
            checks: Family::default(),
            store_calls: Family::default(),
            leader: Gauge::default(),
            term: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }

    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("meshnode");
        let r = &mut registry;
        r.register("requests", "Answers to requests that entered here", self.requests.clone());
        r.register("request_duration_seconds", "From request head to answer head", self.latency.clone());
        r.register(
            "requests_in_flight",
            "Requests an instance works on for this entry",
            self.in_flight.clone(),
        );
        r.register("retries", "Attempts after a failed one", self.retries.clone());
        r.register("ejections", "Instances taken out by outlier detection", self.ejections.clone());
        r.register("members", "Members by status", self.members.clone());
        r.register("datagrams", "Datagrams by direction", self.datagrams.clone());
        r.register("datagram_bytes", "Bytes of datagrams by direction", self.datagram_bytes.clone());
        r.register("refused", "Received and refused, by kind", self.refused.clone());
        r.register("events", "Events by kind", self.events.clone());
        r.register("link_requests", "Requests to members over links, by outcome", self.link_requests.clone());
        r.register("link_bytes", "Bytes over links by direction", self.link_bytes.clone());
        r.register("checks", "Health checks of own services, by result", self.checks.clone());
        r.register("store_calls", "Calls of the summary's store, by outcome", self.store_calls.clone());
        r.register("leader", "1 while this node leads", self.leader.clone());
        r.register("term", "The highest term seen", self.term.clone());
        registry
    }

    /// The text for `GET /metrics`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts one answer to a request that entered here.
    pub fn observe_request(&self, service: &str, worker: &str, code: u16, latency: Duration) {
        let (service, worker) = (service.to_owned(), worker.to_owned());
        self.requests
            .get_or_create(&RequestLabels { service: service.clone(), worker: worker.clone(), code })
            .inc();
        self.latency.get_or_create(&InstanceLabels { service, worker }).observe(latency.as_secs_f64());
    }
}
