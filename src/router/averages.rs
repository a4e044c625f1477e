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

/// What a fleet does as a whole, at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Averages {
    /// The median of the times to first byte without the way there, in seconds.
    pub(super) service_time: f64,
    /// The median of the ways to the instances and back, in seconds.
    pub(super) distance: f64,
    /// The mean of what an instance works on for other entries.
    pub(super) others: f64,
    /// The mean weight.
    pub(super) weight: f64,
    /// The greatest weight.
    pub(super) top_weight: f64,
    /// All are configured with the same weight.
    pub(super) uniform: bool,
    at: Instant,
}

impl Averages {
    pub(super) fn of(endpoints: &[Endpoint], now: Instant) -> Self {
        let distance = lower_median(endpoints.iter().filter_map(Endpoint::distance)).unwrap_or(0.0);
        let service_time = |endpoint: &Endpoint| {
            let measured = endpoint.latency.measured()?;
            Some(f64::max(measured - endpoint.distance().unwrap_or(distance), 0.0))
        };
        let oldest = now.before(REPORT_LIFETIME);
        let weights = || endpoints.iter().map(|endpoint| endpoint.weight(now));
        Self {
            service_time: lower_median(endpoints.iter().filter_map(service_time)).unwrap_or(FIRST_GUESS),
            distance,
            others: mean(endpoints.iter().filter_map(|endpoint| endpoint.others_since(oldest)))
                .unwrap_or(0.0),
            weight: mean(weights()).unwrap_or(1.0),
            top_weight: weights().fold(0.0, f64::max),
            uniform: endpoints.windows(2).all(|pair| pair[0].service.weight == pair[1].service.weight),
            at: now,
        }
    }

    pub(super) fn are_fresh(&self, now: Instant) -> bool {
        now.since(self.at) < LIFETIME
    }

    /// Collects the positions of the near instances; none, when all are, or when weights divide the traffic.
    pub(super) fn near(&self, endpoints: &[Endpoint], near: &mut Vec<usize>) {
        near.clear();
        let distances = || endpoints.iter().map(Endpoint::distance);
        if !self.uniform || distances().all(|distance| distance.is_none()) {
            return;
        }
        let nearest = distances().flatten().fold(f64::INFINITY, f64::min);
        let limit = nearest + f64::max(NEAR_SHARE * self.service_time, NEAR_SECONDS);
        let is_near = |distance: Option<f64>| distance.is_some_and(|distance| distance <= limit);
        near.extend(distances().enumerate().filter(|(_, distance)| is_near(*distance)).map(|(i, _)| i));
        if near.len() == endpoints.len() {
            near.clear();
        }
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
