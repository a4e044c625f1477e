//! The metrics of one instance's requests, looked up once and then counted without allocation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{InstanceLabels, Metrics, RequestLabels};

/// Status codes whose counters are reached without a lock.
const USUAL_CODES: [u16; 12] = [200, 201, 204, 206, 302, 304, 400, 404, 429, 500, 502, 503];

/// The metrics of the requests that one worker answers for one service. Cloning shares them.
#[derive(Debug, Clone)]
pub struct RequestMetrics(Arc<Handles>);

#[derive(Debug)]
struct Handles {
    labels: InstanceLabels,
    requests: Family<RequestLabels, Counter>,
    usual: [OnceLock<Counter>; USUAL_CODES.len()],
    others: Mutex<BTreeMap<u16, Counter>>,
    errors: Counter,
    latency: Histogram,
    in_flight: Gauge,
    received: Counter,
    sent: Counter,
}

impl RequestMetrics {
    pub(super) fn new(metrics: &Metrics, service: &str, worker: &str) -> Self {
        let labels = InstanceLabels { service: service.to_owned(), worker: worker.to_owned() };
        Self(Arc::new(Handles {
            requests: metrics.requests.clone(),
            usual: [const { OnceLock::new() }; USUAL_CODES.len()],
            others: Mutex::default(),
            errors: metrics.errors.get_or_create_owned(&labels),
            latency: metrics.latency.get_or_create_owned(&labels),
            in_flight: metrics.in_flight.get_or_create_owned(&labels),
            received: metrics.request_bytes.get_or_create_owned(&labels),
            sent: metrics.response_bytes.get_or_create_owned(&labels),
            labels,
        }))
    }

    /// Counts one answer with this status code, `latency` after the request.
    pub fn observe(&self, code: u16, latency: Duration) {
        self.0.count(code);
        if code >= 500 {
            self.0.errors.inc();
        }
        self.0.latency.observe(latency.as_secs_f64());
    }

    /// Counts an attempt that failed: no connection came about, or no whole answer, or not in time.
    pub fn observe_failed_attempt(&self) {
        self.0.errors.inc();
    }

    /// Counts the bytes of a request's body and of its answer's.
    pub fn observe_bytes(&self, received: u64, sent: u64) {
        self.0.received.inc_by(received);
        self.0.sent.inc_by(sent);
    }

    /// Requests that the instance works on for this entry.
    pub fn in_flight(&self) -> &Gauge {
        &self.0.in_flight
    }

    /// The service and the worker.
    pub fn labels(&self) -> &InstanceLabels {
        &self.0.labels
    }

    /// Removes every series of this instance.
    pub(super) fn remove_from(&self, metrics: &Metrics) {
        let labels = &self.0.labels;
        metrics.errors.remove(labels);
        metrics.latency.remove(labels);
        metrics.in_flight.remove(labels);
        metrics.request_bytes.remove(labels);
        metrics.response_bytes.remove(labels);
        metrics.ejections.remove(labels);
        let others = self.0.others.lock().unwrap_or_else(PoisonError::into_inner);
        for code in USUAL_CODES.iter().chain(others.keys()) {
            metrics.requests.remove(&self.0.request_labels(*code));
        }
    }
}

impl Handles {
    fn count(&self, code: u16) {
        let create = || self.requests.get_or_create_owned(&self.request_labels(code));
        match USUAL_CODES.iter().position(|usual| *usual == code) {
            Some(at) => self.usual[at].get_or_init(create).inc(),
            None => {
                let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
                others.entry(code).or_insert_with(create).inc()
            }
        };
    }

    fn request_labels(&self, code: u16) -> RequestLabels {
        let InstanceLabels { service, worker } = self.labels.clone();
        RequestLabels { service, worker, code }
    }
}
