//! How long things are on their way: constant, or log-normal as measured on real networks.

use std::f64::consts::TAU;
use std::fmt;

use meshnode::time::Duration;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::options::parse_duration;

/// A distribution of one-way delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// `median` times e to the power of a normal variable with this standard deviation.
    LogNormal {
        /// Half of what is sent is faster.
        median: Duration,
        /// 0.3 is calm, 1 is wild.
        sigma: f64,
    },
}

/// The text is not a latency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a latency; accepted are lan (0.5ms~0.5), wan (40ms~0.3), a constant such as 5ms, or MEDIAN~SIGMA such as 2ms~0.4"
)]
pub struct InvalidLatency(String);

impl Latency {
    /// One switch in between.
    pub const LAN: Self = Self::LogNormal { median: Duration::from_micros(500), sigma: 0.5 };

    /// Between continents.
    pub const WAN: Self = Self::LogNormal { median: Duration::from_millis(40), sigma: 0.3 };

    /// One delay.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Duration {
        match *self {
            Self::Constant(delay) => delay,
            Self::LogNormal { median, sigma } => median.mul_f64((sigma * normal(rng)).exp()),
        }
    }

    /// Reads `lan`, `wan`, `5ms`, or `2ms~0.4`.
    pub fn parse(text: &str) -> Result<Self, InvalidLatency> {
        let invalid = || InvalidLatency(text.to_owned());
        match text.split_once('~') {
            None if text == "lan" => Ok(Self::LAN),
            None if text == "wan" => Ok(Self::WAN),
            None => parse_duration(text).map(Self::Constant).map_err(|_| invalid()),
            Some((median, sigma)) => {
                let median = parse_duration(median).map_err(|_| invalid())?;
                let accepted = |sigma: &f64| (0.0..=3.0).contains(sigma);
                let sigma = sigma.parse().ok().filter(accepted).ok_or_else(invalid)?;
                Ok(Self::LogNormal { median, sigma })
            }
        }
    }
}

/// As [`Latency::parse`] reads it.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            &Self::LAN => f.write_str("lan"),
            &Self::WAN => f.write_str("wan"),
            Self::Constant(delay) => write!(f, "{delay:?}"),
            Self::LogNormal { median, sigma } => write!(f, "{median:?}~{sigma}"),
        }
    }
}

/// A standard normal variable (Box and Muller), cut off at 4 so that no delay is absurd.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    ((-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()).clamp(-4.0, 4.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn half_of_the_delays_are_below_the_median_and_they_spread_as_sigma_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (latency, median, sigma) in [(Latency::LAN, 0.0005, 0.5), (Latency::WAN, 0.040, 0.3)] {
            let mut delays: Vec<f64> = (0..20_000).map(|_| latency.draw(&mut rng).as_secs_f64()).collect();
            delays.sort_by(f64::total_cmp);
            assert!((delays[10_000] / median - 1.0).abs() < 0.03, "{latency}: median {}", delays[10_000]);
            // 84.1 % of a normal distribution lie below one standard deviation.
            let spread = (delays[16_820] / median).ln();
            assert!((spread / sigma - 1.0).abs() < 0.05, "{latency}: {spread}");
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in ["lan", "wan", "5ms", "2.5ms~0.4"] {
            assert_eq!(Latency::parse(text).map(|latency| latency.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "fast", "2ms~", "2ms~-1", "~0.3", "2ms~NaN"] {
            assert!(Latency::parse(text).is_err(), "{text}");
        }
    }
}
