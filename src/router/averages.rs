//! What the instances of a service do as a whole, and which of them are near.

use super::endpoint::Endpoint;
use crate::time::{Duration, Instant};

/// What to expect of a service of which nothing was measured yet, in seconds.
const FIRST_GUESS: f64 = 0.1;

/// A report older than this says nothing of the fleet.
const REPORT_LIFETIME: Duration = Duration::from_secs(10);

/// How long averages are used before they are computed again.
const LIFETIME: Duration = Duration::from_millis(100);

/// An instance is near when the way to it is longer than that to the nearest by at most this share of the time that
/// the service takes,
const NEAR_SHARE: f64 = 0.1;

/// or by at most so many seconds.
const NEAR_SECONDS: f64 = 0.001;

/// The most times better that an instance must be to get a request when it is not near.
const MAX_HANDICAP: f64 = 10.0;

/// What a fleet does as a whole, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Averages {
    /// The median of the times to first byte without the way there, in seconds.
    pub(super) service_time: f64,
    /// The median of the ways to the instances and back, in seconds.
    pub(super) distance: f64,
    /// The mean of what a near instance works on for other entries; all are near, when that makes no difference.
    pub(super) others: f64,
    /// The same of those that are far.
    pub(super) others_far: f64,
    /// The mean weight.
    pub(super) weight: f64,
    /// The greatest weight.
    pub(super) top_weight: f64,
    /// All are configured with the same weight.
    pub(super) uniform: bool,
    /// How many times better than a near instance one that is not near must be to get a request. What is known of one
    /// instance is a guess, and the longer way is certain; so as long as the near ones answer faster on the whole, they
    /// are used. When they are full, they no longer do, and the difference is gone.
    pub(super) far_handicap: f64,
    at: Instant,
}

impl Averages {
    /// Looks at all of them, and notes which are near, unless all are or weights divide the traffic: collects their
    /// positions, and marks the others as far.
    pub(super) fn of(endpoints: &mut [Endpoint], near: &mut Vec<usize>, now: Instant) -> Self {
        let distance = lower_median(endpoints.iter().filter_map(Endpoint::distance)).unwrap_or(0.0);
        let service_time = |endpoint: &Endpoint| {
            let measured = endpoint.latency.measured()?;
            Some(f64::max(measured - endpoint.distance().unwrap_or(distance), 0.0))
        };
        let service_time = lower_median(endpoints.iter().filter_map(service_time)).unwrap_or(FIRST_GUESS);
        let uniform = endpoints.windows(2).all(|pair| pair[0].service.weight == pair[1].service.weight);
        divide(endpoints, near, uniform.then_some(service_time));
        let oldest = now.before(REPORT_LIFETIME);
        let others = |far: bool| {
            let reports = endpoints.iter().filter(|endpoint| endpoint.far == far);
            mean(reports.filter_map(|endpoint| endpoint.others_since(oldest))).unwrap_or(0.0)
        };
        let weights = || endpoints.iter().map(|endpoint| endpoint.weight(now));
        let mut averages = Self {
            service_time,
            distance,
            others: others(false),
            others_far: others(true),
            weight: mean(weights()).unwrap_or(1.0),
            top_weight: weights().fold(0.0, f64::max),
            uniform,
            far_handicap: 1.0,
            at: now,
        };
        let latency = |far: bool| {
            let those = endpoints.iter().filter(|endpoint| endpoint.far == far);
            lower_median(those.map(|endpoint| endpoint.expected_latency(&averages, now)))
        };
        if let (Some(of_near), Some(of_far)) = (latency(false), latency(true)) {
            averages.far_handicap = (of_far / of_near).powi(3).clamp(1.0, MAX_HANDICAP);
        }
        averages
    }

    pub(super) fn are_fresh(&self, now: Instant) -> bool {
        now.since(self.at) < LIFETIME
    }
}

/// Tells the near instances from the far ones, when the service takes so long; all are near when that is not known.
fn divide(endpoints: &mut [Endpoint], near: &mut Vec<usize>, service_time: Option<f64>) {
    near.clear();
    let distances = || endpoints.iter().map(Endpoint::distance);
    let limit = service_time.map_or(f64::INFINITY, |service_time| {
        let nearest = distances().flatten().fold(f64::INFINITY, f64::min);
        nearest + f64::max(NEAR_SHARE * service_time, NEAR_SECONDS)
    });
    near.extend((0..endpoints.len()).filter(|i| endpoints[*i].distance().unwrap_or(0.0) <= limit));
    let divided = near.len() < endpoints.len();
    for (i, endpoint) in endpoints.iter_mut().enumerate() {
        endpoint.far = divided && near.binary_search(&i).is_err();
    }
    if !divided {
        near.clear();
    }
}

/// The lower of two, so that one instance that fails does not make a bad time the norm.
fn lower_median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}
