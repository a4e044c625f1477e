//! Balancing: power of two choices on expected latency times load, and rendezvous hashing for affinity.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::averages::Averages;
use super::endpoint::Endpoint;
use super::fleet::Fleet;
use crate::time::Instant;

/// Two scores closer than this, relative to the greater, are a tie.
const TIE: f64 = 0.01;

/// With affinity, an instance may have this many times the mean load before the request goes elsewhere.
const AFFINITY_BOUND: f64 = 1.25;

/// What an attempt on this instance is expected to cost; smaller is better.
///
/// Reports of others age towards the mean of the fleet: old information used as if it were fresh makes all
/// entries run to the same instance (Mitzenmacher, "How Useful Is Old Information?"). The weight divides the load
/// alone: an idle instance gets its share of traffic by being drawn that often.
pub(super) fn score(endpoint: &Endpoint, fleet: &Averages, now: Instant) -> f64 {
    let weight = endpoint.weight(now) / fleet.weight;
    endpoint.expected_latency(fleet, now) * (in_flight(endpoint, fleet, now) / weight + 1.0)
}

/// The better of two of the candidates that are drawn by weight, the first of them from the near ones, if any.
pub(super) fn power_of_two(
    fleet: &Fleet,
    candidates: &[usize],
    now: Instant,
    rng: &mut ChaCha8Rng,
) -> Option<usize> {
    let weight = |i: usize| fleet.endpoints[i].service.weight;
    let uniform = candidates.windows(2).all(|pair| weight(pair[0]) == weight(pair[1]));
    let all = || candidates.iter().copied();
    let near = || all().filter(|i| !fleet.endpoints[*i].far);
    let first = if fleet.near.is_empty() { None } else { draw(fleet, near(), now, rng) };
    let first = first.or_else(|| draw(fleet, all(), now, rng))?;
    // With unequal weights the same one may be drawn twice: else, of two instances, the weights would decide nothing.
    let second = draw(fleet, all().filter(|i| !uniform || *i != first), now, rng).unwrap_or(first);
    Some(better(fleet, first, second, now))
}

/// The better of two positions.
pub(super) fn better(fleet: &Fleet, a: usize, b: usize, now: Instant) -> usize {
    if a == b {
        return a;
    }
    let (this, that) = (&fleet.endpoints[a], &fleet.endpoints[b]);
    let averages = fleet.averages();
    let handicap =
        |e: &Endpoint, other: &Endpoint| if e.far && !other.far { averages.far_handicap } else { 1.0 };
    let of_a = score(this, averages, now) * handicap(this, that);
    let of_b = score(that, averages, now) * handicap(that, this);
    if (of_a - of_b).abs() > TIE * of_a.max(of_b) {
        return if of_a < of_b { a } else { b };
    }
    let distance = |endpoint: &Endpoint| endpoint.distance().unwrap_or(f64::INFINITY);
    // Weights are a share of traffic; nearness must not overrule them.
    if this.service.weight == that.service.weight && distance(that) < distance(this) { b } else { a }
}

/// The candidate for this affinity value: the same one as long as it is there and not overloaded.
pub(super) fn rendezvous(fleet: &Fleet, candidates: &[usize], value: &str, now: Instant) -> Option<usize> {
    let value = hash_of(value);
    let place = |i: usize| mixed(fleet.endpoints[i].hash.0 ^ value);
    let best = if fleet.averages().uniform {
        candidates.iter().copied().max_by_key(|i| place(*i))?
    } else {
        let scored = candidates.iter().map(|i| (weighted(place(*i), &fleet.endpoints[*i]), *i));
        scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?.1
    };
    let own: f64 = candidates.iter().map(|i| f64::from(fleet.endpoints[*i].own())).sum();
    let mean = (own + 1.0) / candidates.len() as f64 + fleet.averages().others;
    let load = in_flight(&fleet.endpoints[best], fleet.averages(), now) + 1.0;
    (load <= (AFFINITY_BOUND * mean).ceil()).then_some(best)
}

/// A number in [0, 1) that is the same for the same affinity value.
pub(super) fn unit_of(value: &str) -> f64 {
    unit(hash_of(value))
}

/// Requests that it works on for all entries, as far as is known.
pub(super) fn in_flight(endpoint: &Endpoint, fleet: &Averages, now: Instant) -> f64 {
    let (others, confidence) = endpoint.others(now).unwrap_or((0.0, 0.0));
    let usual = if endpoint.far { fleet.others_far } else { fleet.others };
    f64::from(endpoint.own()) + confidence * others + (1.0 - confidence) * usual
}

fn draw(
    fleet: &Fleet,
    eligible: impl Iterator<Item = usize> + Clone,
    now: Instant,
    rng: &mut ChaCha8Rng,
) -> Option<usize> {
    let weight = |i: usize| fleet.endpoints[i].weight(now);
    let total: f64 = eligible.clone().map(weight).sum();
    let mut left = rng.random::<f64>() * total;
    let mut last = None;
    for i in eligible {
        left -= weight(i);
        last = Some(i);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Rendezvous hashing by weight: the same order as that of `place` when all weights are equal.
fn weighted(place: u64, endpoint: &Endpoint) -> f64 {
    f64::from(endpoint.service.weight.max(1)) / -unit(place).max(f64::MIN_POSITIVE).ln()
}

fn hash_of(value: &str) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&blake3::hash(value.as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(eight)
}

/// SplitMix64's finaliser: every bit of the result depends on every bit of `x`.
const fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
