//! Every metric, in one list, with its name and labels.

mod connections;
mod instances;
mod labels;
mod requests;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dashmap::DashMap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::id::{NodeId, ServiceName};
use crate::mesh::{Event, Refused, Vitals};
use crate::view::{Status, View};

pub use connections::{ListenerLabels, OpenConnection};
pub use instances::{HealthLabels, Occupancy};
pub use labels::{DirectionLabels, InstanceLabels, KindLabels, RequestLabels, ServiceLabels, StatusLabels};
pub use requests::RequestMetrics;
pub use summary::{ErrorLabels, SummaryMetrics};

/// Buckets of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// All metrics of a node. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    instances: Arc<DashMap<(ServiceName, NodeId), RequestMetrics>>,
    /// Answers to requests that entered here, by service, instance and status code.
    pub requests: Family<RequestLabels, Counter>,
    /// Answers of 500 and above, and attempts that failed (no connection, no proper answer, too slow), by service and
    /// instance.
    pub errors: Family<InstanceLabels, Counter>,
    /// Time from a request's head to its answer's head, by service and instance.
    pub latency: Family<InstanceLabels, Histogram>,
    /// Requests that an instance works on for this entry.
    pub in_flight: Family<InstanceLabels, Gauge>,
    /// Bytes of requests' bodies, by service and the instance that answered.
    pub request_bytes: Family<InstanceLabels, Counter>,
    /// Bytes of answers' bodies, by service and instance.
    pub response_bytes: Family<InstanceLabels, Counter>,
    /// Connections of clients that are open, by listener.
    pub connections: Family<ListenerLabels, Gauge>,
    /// Connections of clients that were accepted, by listener.
    pub connections_opened: Family<ListenerLabels, Counter>,
    /// Further attempts after a failed one, by service.
    pub retries: Family<ServiceLabels, Counter>,
    /// Requests that were given to a second instance because the first one was slow, by service.
    pub hedges: Family<ServiceLabels, Counter>,
    /// Instances that the outlier detection took out, by service and instance.
    pub ejections: Family<InstanceLabels, Counter>,
    /// Services of which members have different routes of the same highest revision.
    pub route_conflicts: Gauge,
    /// Instances by service and health.
    pub instances_by_health: Family<HealthLabels, Gauge>,
    /// 1 while the outlier detection keeps an instance out, by service and instance.
    pub ejected: Family<InstanceLabels, Gauge>,
    /// Requests that a service of this node works on, whichever node they entered.
    pub service_in_flight: Family<ServiceLabels, Gauge>,
    /// Requests that wait for a place at a service of this node.
    pub service_waiting: Family<ServiceLabels, Gauge>,
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
    /// Watch links that stand, by who dialled them (`dialled` by this node, `accepted` by it).
    pub watch_links: Family<DirectionLabels, Gauge>,
    /// Watch links of this node that ended, by how (`lost`: the peer's process was gone; `closed` in order; `silent`).
    pub watch_links_ended: Family<KindLabels, Counter>,
    /// Pings over watch links by outcome (`ok`, `stalled`, `timed_out`, `unreachable`).
    pub link_pings: Family<KindLabels, Counter>,
    /// Bytes over links by direction.
    pub link_bytes: Family<DirectionLabels, Counter>,
    /// Health checks of services of this node, by result.
    pub checks: Family<KindLabels, Counter>,
    /// Batches of spans that the collector took (`ok`) or did not (`failed`).
    pub span_exports: Family<KindLabels, Counter>,
    /// Calls of the summary's store, by kind and outcome (`get_ok`, `put_failed`, …).
    pub store_calls: Family<KindLabels, Counter>,
    /// The summary's writes and budget.
    pub summary: SummaryMetrics,
    /// 1 while this node leads.
    pub leader: Gauge,
    /// The highest term that this node has seen.
    pub term: Gauge<u64, AtomicU64>,
    /// Lifeguard's local health score, 0 (well) to 8.
    pub health_score: Gauge,
    /// Facts that wait for datagrams.
    pub facts_waiting: Gauge,
    /// Questions over links that have no answer yet.
    pub questions_waiting: Gauge,
    /// This node's penalty for dying often.
    pub flap_penalty: Gauge<f64, AtomicU64>,
    /// 1 while this node lets itself be held dead, because it died too often.
    pub damped: Gauge,
    /// 1 while this node is part of its mesh and may be used.
    pub ready: Gauge,
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
            instances: Arc::default(),
            requests: Family::default(),
            errors: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_flight: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            connections: Family::default(),
            connections_opened: Family::default(),
            retries: Family::default(),
            hedges: Family::default(),
            ejections: Family::default(),
            route_conflicts: Gauge::default(),
            instances_by_health: Family::default(),
            ejected: Family::default(),
            service_in_flight: Family::default(),
            service_waiting: Family::default(),
            members: Family::default(),
            datagrams: Family::default(),
            datagram_bytes: Family::default(),
            refused: Family::default(),
            events: Family::default(),
            link_requests: Family::default(),
            watch_links: Family::default(),
            watch_links_ended: Family::default(),
            link_pings: Family::default(),
            link_bytes: Family::default(),
            checks: Family::default(),
            span_exports: Family::default(),
            store_calls: Family::default(),
            summary: SummaryMetrics::default(),
            leader: Gauge::default(),
            term: Gauge::default(),
            health_score: Gauge::default(),
            facts_waiting: Gauge::default(),
            questions_waiting: Gauge::default(),
            flap_penalty: Gauge::default(),
            damped: Gauge::default(),
            ready: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics
    }

    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("meshnode");
        let r = &mut registry;
        r.register("requests", "Answers to requests that entered here", self.requests.clone());
        r.register("request_errors", "Answers of 500 and above, and failed attempts", self.errors.clone());
        r.register("request_duration_seconds", "From request head to answer head", self.latency.clone());
        r.register(
            "requests_in_flight",
            "Requests an instance works on for this entry",
            self.in_flight.clone(),
        );
        r.register("request_bytes", "Bytes of requests' bodies", self.request_bytes.clone());
        r.register("response_bytes", "Bytes of answers' bodies", self.response_bytes.clone());
        r.register("connections", "Open connections of clients", self.connections.clone());
        r.register("connections_opened", "Accepted connections of clients", self.connections_opened.clone());
        r.register("retries", "Attempts after a failed one", self.retries.clone());
        r.register("hedges", "Second attempts beside a slow one", self.hedges.clone());
        r.register("ejections", "Instances taken out by outlier detection", self.ejections.clone());
        r.register("route_conflicts", "Services with contradicting routes", self.route_conflicts.clone());
        r.register("instances", "Instances by service and health", self.instances_by_health.clone());
        r.register("instance_ejected", "1 while kept out for its failures", self.ejected.clone());
        r.register("service_in_flight", "Requests an own service works on", self.service_in_flight.clone());
        r.register(
            "service_waiting",
            "Requests that wait for a place at an own service",
            self.service_waiting.clone(),
        );
        r.register("build", "The version that runs", build());
        r.register("members", "Members by status", self.members.clone());
        r.register("datagrams", "Datagrams by direction", self.datagrams.clone());
        r.register("datagram_bytes", "Bytes of datagrams by direction", self.datagram_bytes.clone());
        r.register("refused", "Received and refused, by kind", self.refused.clone());
        r.register("events", "Events by kind", self.events.clone());
        r.register("link_requests", "Requests to members over links, by outcome", self.link_requests.clone());
        r.register("watch_links", "Watch links that stand, by who dialled them", self.watch_links.clone());
        r.register("watch_links_ended", "Own watch links that ended, by how", self.watch_links_ended.clone());
        r.register("link_pings", "Pings over watch links, by outcome", self.link_pings.clone());
        r.register("link_bytes", "Bytes over links by direction", self.link_bytes.clone());
        r.register("checks", "Health checks of own services, by result", self.checks.clone());
        r.register("span_exports", "Batches of spans sent to the collector", self.span_exports.clone());
        r.register("store_calls", "Calls of the summary's store, by outcome", self.store_calls.clone());
        r.register("leader", "1 while this node leads", self.leader.clone());
        r.register("term", "The highest term seen", self.term.clone());
        r.register("health_score", "Local health score, 0 to 8", self.health_score.clone());
        r.register("facts_waiting", "Facts that wait for datagrams", self.facts_waiting.clone());
        r.register("questions_waiting", "Link questions without an answer", self.questions_waiting.clone());
        r.register("flap_penalty", "This node's penalty for dying often", self.flap_penalty.clone());
        r.register("damped", "1 while this node is damped", self.damped.clone());
        r.register("ready", "1 while this node may be used", self.ready.clone());
        self.summary.register(r);
        registry
    }

    /// The text for `GET /metrics`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Sets the gauges that only repeat what the view says, and forgets instances that it does not know.
    pub fn observe_view(&self, view: &View) {
        self.forget_others(view);
        for status in [Status::Alive, Status::Suspect, Status::Dead, Status::Left] {
            let members = view.members.iter().filter(|member| member.status == status).count();
            let labels = StatusLabels { status: status.as_str() };
            self.members.get_or_create(&labels).set(i64::try_from(members).unwrap_or(i64::MAX));
        }
        let own = view.member(&view.local).and_then(|own| own.manifest.as_ref());
        let standing = own.map(|manifest| manifest.standing).unwrap_or_default();
        self.flap_penalty.set(f64::from(standing.penalty) / 10.0);
        self.damped.set(standing.damped.into());
        self.leader.set((view.leader.leader == Some(view.local)).into());
        self.term.set(view.leader.term);
        self.ready.set((view.ready && !view.draining).into());
        self.summary.observe(&view.leader.summary);
    }

    /// Sets the gauges that the mesh's own condition is shown in.
    pub fn observe_vitals(&self, vitals: Vitals) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.health_score.set(vitals.health_score.into());
        self.facts_waiting.set(gauge(vitals.facts_waiting));
        self.questions_waiting.set(gauge(vitals.questions_waiting));
    }

    /// Counts one event of the mesh.
    pub fn observe_event(&self, event: &Event) {
        if let Event::Refused { what, .. } = event {
            self.refused.get_or_create(&KindLabels { kind: refused_kind(*what) }).inc();
        } else {
            self.events.get_or_create(&KindLabels { kind: event_kind(event) }).inc();
        }
    }

    /// The metrics of the requests that `worker` answers for `service`; allocates only the first time.
    pub fn instance(&self, service: &ServiceName, worker: NodeId) -> RequestMetrics {
        let key = (service.clone(), worker);
        if let Some(known) = self.instances.get(&key) {
            return known.clone();
        }
        let fresh = || RequestMetrics::new(self, service.as_str(), &worker.to_string());
        self.instances.entry(key).or_insert_with(fresh).clone()
    }

    /// Drops the series of instances on workers that `view` does not know any more, or that do not offer the service
    /// any more.
    fn forget_others(&self, view: &View) {
        self.instances.retain(|(service, worker), instance| {
            let known = view.member(worker).is_some_and(|member| {
                let manifest = member.manifest.as_ref();
                manifest.is_none_or(|it| it.services.iter().any(|offered| offered.name == *service))
            });
            if !known {
                instance.remove_from(self);
            }
            known
        });
    }
}

fn build() -> Info<[(&'static str, &'static str); 1]> {
    Info::new([("version", env!("CARGO_PKG_VERSION"))])
}

const fn refused_kind(what: Refused) -> &'static str {
    match what {
        Refused::Packet => "packet",
        Refused::Link => "link",
        Refused::Manifest => "manifest",
        Refused::Claim => "claim",
    }
}

const fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Joined(_) => "joined",
        Event::Suspect { .. } => "suspect",
        Event::Dead(_) => "dead",
        Event::Left(_) => "left",
        Event::Refuted(_) => "refuted",
        Event::Isolated(_) => "isolated",
        Event::Unroutable(_) => "unroutable",
        Event::Routable(_) => "routable",
        Event::Health { .. } => "health",
        Event::Leader { .. } => "leader",
        Event::Write { .. } => "write",
        Event::Ready => "ready",
        Event::JoinUnanswered => "join_unanswered",
        Event::Refused { .. } => "refused",
        Event::ManifestTooLarge(_) => "manifest_too_large",
        Event::StoresDiffer => "stores_differ",
        Event::EpochBehind { .. } => "epoch_behind",
        Event::Cloned { .. } => "cloned",
        Event::Damped(_) => "damped",
        Event::Paused(_) => "paused",
        Event::Evidence { .. } => "evidence",
    }
}
