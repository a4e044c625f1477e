//! The metrics of one instance's requests, looked up once and then counted without allocation.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{InstanceLabels, Metrics, RequestLabels};

/// Status codes whose counters are kept at hand; others are looked up each time.
const USUAL_CODES: [u16; 20] =
    [101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504];

/// The metrics of the requests that one worker answers for one service. Cloning shares them.
#[derive(Debug, Clone)]
pub struct RequestMetrics(Arc<Handles>);

#[derive(Debug)]
struct Handles {
    service: String,
    worker: String,
    requests: Family<RequestLabels, Counter>,
    usual: [OnceLock<Counter>; USUAL_CODES.len()],
    errors: Counter,
    latency: Histogram,
    in_flight: Gauge,
}

impl RequestMetrics {
    pub(super) fn new(metrics: &Metrics, service: &str, worker: &str) -> Self {
        let labels = InstanceLabels { service: service.to_owned(), worker: worker.to_owned() };
        let errors = metrics.errors.get_or_create_owned(&labels);
        let latency = metrics.latency.get_or_create_owned(&labels);
        let in_flight = metrics.in_flight.get_or_create_owned(&labels);
        let InstanceLabels { service, worker } = labels;
        let requests = metrics.requests.clone();
        let usual = [const { OnceLock::new() }; USUAL_CODES.len()];
        Self(Arc::new(Handles { service, worker, requests, usual, errors, latency, in_flight }))
    }

    /// Counts one answer with this status code, `latency` after the request.
    pub fn observe(&self, code: u16, latency: Duration) {
        match USUAL_CODES.iter().position(|usual| *usual == code) {
            Some(at) => self.0.usual[at].get_or_init(|| self.0.counter(code)).inc(),
            None => self.0.counter(code).inc(),
        };
        if code >= 500 {
            self.0.errors.inc();
        }
        self.0.latency.observe(latency.as_secs_f64());
    }

    /// Counts an attempt that failed without an answer for the caller, because another instance was tried.
    pub fn observe_failed_attempt(&self) {
        self.0.errors.inc();
    }

    /// Requests that the instance works on for this entry.
    pub fn in_flight(&self) -> &Gauge {
        &self.0.in_flight
    }
}

impl Handles {
    fn counter(&self, code: u16) -> Counter {
        let labels = RequestLabels { service: self.service.clone(), worker: self.worker.clone(), code };
        self.requests.get_or_create_owned(&labels)
    }
}
