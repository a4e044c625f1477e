//! The options of a run: given, or drawn from the seed, and printed either way so that a run can be repeated.

use std::fmt;

use meshnode::mesh::Detector;
use meshnode::time::Duration;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::latency::Latency;
use crate::network::Conditions;

/// Everything that a run depends on, beside its script.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Nodes that start at the beginning.
    pub nodes: usize,
    /// From which every random choice of the run follows.
    pub seed: u64,
    /// The safety phase: how long the script plays and faults happen.
    pub duration: Duration,
    /// The liveness phase: how long the healed mesh has to find the truth.
    pub settle: Duration,
    /// The first so many nodes are the `--join` of all.
    pub seeds: usize,
    /// Between the starts of two nodes.
    pub stagger: Duration,
    /// The mesh's `--election-hold`.
    pub hold: Duration,
    /// How old an answer of the store may be.
    pub staleness: Duration,
    /// How the network treats what is sent.
    pub network: Conditions,
    /// Which failure detector the nodes have.
    pub mode: Detector,
}

impl Options {
    /// Options whose network is drawn from the seed, and the rest usual.
    pub fn draw(nodes: usize, seed: u64) -> Self {
        let mut rng = generator(seed, Stream::Options);
        let latency = Latency::LogNormal {
            median: Duration::from_micros(rng.random_range(100..10_000)),
            sigma: f64::from(rng.random_range(2..8_u8)) / 10.0,
        };
        Self {
            nodes,
            seed,
            duration: Duration::from_secs(60),
            settle: Duration::from_secs(90),
            seeds: 1,
            stagger: Duration::from_millis(50),
            hold: Duration::from_secs(15),
            staleness: Duration::ZERO,
            network: Conditions {
                loss: 0.0,
                duplicate: f64::from(rng.random_range(0..20_u8)) / 1_000.0,
                reorder: f64::from(rng.random_range(0..50_u8)) / 1_000.0,
                latency,
            },
            mode: Detector::default(),
        }
    }
}

/// As flags of `meshsim run`, so that a printed run can be repeated by pasting.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, seed, duration, settle, seeds, stagger, hold, staleness, network, mode } = self;
        write!(f, "--nodes {nodes} --seed {seed} --for {duration:?} --settle {settle:?} --seeds {seeds} ")?;
        write!(f, "--stagger {stagger:?} --hold {hold:?} --staleness {staleness:?} ")?;
        write!(f, "--mode {} ", mode_name(*mode))?;
        let Conditions { loss, duplicate, reorder, latency } = network;
        write!(f, "--loss {loss} --duplicate {duplicate} --reorder {reorder} --latency {latency}")
    }
}

/// The name of a failure detector on the command line.
pub const fn mode_name(mode: Detector) -> &'static str {
    match mode {
        Detector::Swim => "swim",
        Detector::Lifeguard => "lifeguard",
        Detector::Witness => "witness",
    }
}

/// Reads the name of a failure detector.
pub fn parse_mode(name: &str) -> Result<Detector, String> {
    let modes = [Detector::Swim, Detector::Lifeguard, Detector::Witness];
    let found = modes.into_iter().find(|mode| mode_name(*mode) == name);
    found.ok_or_else(|| format!("'{name}' is not a mode; accepted are swim, lifeguard and witness"))
}

/// Independent streams of the run's randomness: more draws of one do not shift the others.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// What options are drawn.
    Options,
    /// Fates of datagrams.
    Network,
    /// Keys, boot nonces and the seeds of the nodes' own generators.
    Boots,
    /// Which nodes the script picks.
    Script,
    /// What `explore` lets happen.
    Schedule,
}

/// The generator of one stream of a seed.
pub fn generator(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream as u64);
    rng
}

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a duration; accepted are a number and ns, us, ms, s, m or h, such as 250ms or 90s")]
pub struct InvalidDuration(String);

/// Parses what a person writes (`90s`, `2m`) and what `{:?}` of a duration prints (`1.5ms`).
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.to_owned());
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
    let (number, unit) = text.split_at(unit_at);
    let nanos_per_unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(invalid()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| invalid())?;
    let digits = u32::try_from(fraction.len()).ok().filter(|&n| (1..=9).contains(&n)).ok_or_else(invalid)?;
    let fraction: u64 = fraction.parse().map_err(|_| invalid())?;
    let nanos = whole.checked_mul(nanos_per_unit).ok_or_else(invalid)?;
    // At most 9 digits times at most an hour in nanoseconds stays below 2^64.
    let rest = u64::try_from(u128::from(fraction) * u128::from(nanos_per_unit) / 10_u128.pow(digits));
    let rest = rest.map_err(|_| invalid())?;
    nanos.checked_add(rest).map(Duration::from_nanos).ok_or_else(invalid)
}

/// Parses a share, 0 to 1.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let accepted = |share: &f64| (0.0..=1.0).contains(share);
    text.parse().ok().filter(accepted).ok_or_else(|| "accepted is a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written_and_as_printed() {
        for (text, nanos) in
            [("90s", 90_000_000_000), ("2m", 120_000_000_000), ("1.5ms", 1_500_000), ("0ns", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for printed in [Duration::from_nanos(9_537_123), Duration::from_micros(15), Duration::from_secs(90)] {
            assert_eq!(parse_duration(&format!("{printed:?}")), Ok(printed));
        }
        for text in ["", "90", "s", "1.s", "1..5s", "90 s", "-1s", "1w", "99999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_options() {
        assert_eq!(Options::draw(5, 1), Options::draw(5, 1));
        assert_ne!(Options::draw(5, 1).network, Options::draw(5, 2).network);
    }
}
