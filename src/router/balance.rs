//! Balancing: power of two choices on expected latency times load, and rendezvous hashing for affinity.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::endpoint::Endpoint;
use super::fleet::Averages;
use crate::time::{Duration, Instant};

/// Two scores closer than this, relative to the greater, are a tie.
const TIE: f64 = 0.01;

/// With affinity, an instance may have this many times the mean load before the next best choice is made.
const AFFINITY_BOUND: f64 = 1.25;

/// What an attempt on this instance is expected to cost; smaller is better.
///
/// Reports of others age towards the mean of the fleet: old information used as if it were fresh makes all
/// entries run to the same instance (Mitzenmacher, "How Useful Is Old Information?").
pub(super) fn score(endpoint: &Endpoint, fleet: &Averages, now: Instant) -> f64 {
    let weight = endpoint.weight(now) / fleet.weight;
    endpoint.latency.get_at(now, fleet.latency) * (in_flight(endpoint, fleet, now) / weight + 1.0)
}

/// The better of two that are drawn by weight.
pub(super) fn power_of_two<'a>(
    candidates: &[&'a Endpoint],
    fleet: &Averages,
    now: Instant,
    rng: &mut ChaCha8Rng,
) -> Option<&'a Endpoint> {
    let uniform = candidates.windows(2).all(|pair| pair[0].service.weight == pair[1].service.weight);
    let first = draw(candidates, None, now, rng)?;
    // With unequal weights the same one may be drawn twice: else, of two instances, the weights would decide nothing.
    let Some(second) = draw(candidates, uniform.then_some(first), now, rng) else {
        return Some(candidates[first]);
    };
    Some(better(candidates[first], candidates[second], fleet, now))
}

/// The instance for this affinity value: the same one as long as it is there and not overloaded.
pub(super) fn rendezvous<'a>(
    candidates: &[&'a Endpoint],
    value: &str,
    fleet: &Averages,
    now: Instant,
) -> Option<&'a Endpoint> {
    let best =
        candidates.iter().max_by(|a, b| rendezvous_score(a, value).total_cmp(&rendezvous_score(b, value)))?;
    let loads: f64 = candidates.iter().map(|endpoint| in_flight(endpoint, fleet, now)).sum();
    let bound = (AFFINITY_BOUND * (loads + 1.0) / candidates.len() as f64).ceil();
    (in_flight(best, fleet, now) + 1.0 <= bound).then_some(*best)
}

/// A number in [0, 1) that is the same for the same affinity value.
pub(super) fn unit_of(value: &str) -> f64 {
    unit(blake3::hash(value.as_bytes()).as_bytes())
}

fn better<'a>(a: &'a Endpoint, b: &'a Endpoint, fleet: &Averages, now: Instant) -> &'a Endpoint {
    let (of_a, of_b) = (score(a, fleet, now), score(b, fleet, now));
    if (of_a - of_b).abs() > TIE * of_a.max(of_b) {
        return if of_a < of_b { a } else { b };
    }
    let distance = |e: &Endpoint| (!e.local, e.rtt.unwrap_or(Duration::MAX));
    // Weights are a share of traffic; nearness must not overrule them.
    if a.service.weight == b.service.weight && distance(b) < distance(a) { b } else { a }
}

fn in_flight(endpoint: &Endpoint, fleet: &Averages, now: Instant) -> f64 {
    let (others, confidence) = endpoint.others(now).unwrap_or((0.0, 0.0));
    f64::from(endpoint.own()) + confidence * others + (1.0 - confidence) * fleet.others
}

fn draw(
    candidates: &[&Endpoint],
    except: Option<usize>,
    now: Instant,
    rng: &mut ChaCha8Rng,
) -> Option<usize> {
    let eligible = || candidates.iter().enumerate().filter(|(i, _)| Some(*i) != except);
    let total: f64 = eligible().map(|(_, endpoint)| endpoint.weight(now)).sum();
    let mut left = rng.random::<f64>() * total;
    for (i, endpoint) in eligible() {
        left -= endpoint.weight(now);
        if left < 0.0 {
            return Some(i);
        }
    }
    eligible().next_back().map(|(i, _)| i)
}

fn rendezvous_score(endpoint: &Endpoint, value: &str) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(endpoint.worker.public_key());
    hasher.update(value.as_bytes());
    let unit = unit(hasher.finalize().as_bytes()).max(f64::MIN_POSITIVE);
    f64::from(endpoint.service.weight.max(1)) / -unit.ln()
}

fn unit(hash: &[u8; 32]) -> f64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash[..8]);
    (u64::from_be_bytes(eight) >> 11) as f64 / (1_u64 << 53) as f64
}
