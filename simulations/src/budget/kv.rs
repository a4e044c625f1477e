//! A store like Workers KV: one value, readers that see old ones, one write a second, outages.

use std::collections::BTreeMap;
use std::rc::Rc;

use meshnode::summary::Value;
use meshnode::time::{Duration, Instant};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// A value vanishes after a week.
const TTL: Duration = Duration::from_secs(7 * 86_400);

/// Writes to one key come at most so often; others are refused.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);

/// A value that was stored.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
    pub(super) value: Value,
}

/// How old the answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Always as old as they may be.
    Oldest,
    /// At random, the extremes included.
    Mixed,
    /// Each reader sees what it saw until that is too old.
    Cached,
}

/// The store.
#[derive(Debug)]
pub(super) struct Kv {
    staleness: Duration,
    reads: Reads,
    versions: Vec<Option<Rc<Version>>>,
    changed: Vec<Instant>,
    cached: BTreeMap<usize, (Instant, Option<Rc<Version>>)>,
    last_put: Option<Instant>,
    /// It fails.
    pub(super) is_out: bool,
}

impl Kv {
    pub(super) fn new(staleness: Duration, seed: u64) -> Self {
        let reads = match seed % 4 {
            1 => Reads::Mixed,
            3 => Reads::Cached,
            _ => Reads::Oldest,
        };
        Self {
            staleness,
            reads,
            versions: vec![None],
            changed: vec![Instant::ORIGIN],
            cached: BTreeMap::new(),
            last_put: None,
            is_out: false,
        }
    }

    /// What is stored.
    pub(super) fn current(&self, now: Instant) -> Option<Rc<Version>> {
        self.versions.last().cloned().flatten().filter(|version| now.since(version.at) < TTL)
    }

    /// What `reader` is answered.
    pub(super) fn read(&mut self, reader: usize, now: Instant, rng: &mut ChaCha8Rng) -> Option<Rc<Version>> {
        let seen = match self.reads {
            Reads::Oldest => self.before(now, self.staleness),
            Reads::Mixed => {
                let nanos = u64::try_from(self.staleness.as_nanos()).unwrap_or(u64::MAX);
                let age = match rng.random_range(0..3) {
                    0 => 0,
                    1 => nanos,
                    _ => rng.random_range(0..=nanos),
                };
                self.before(now, Duration::from_nanos(age))
            }
            Reads::Cached => {
                let fresh = self.cached.get(&reader).filter(|(at, _)| now.since(*at) < self.staleness);
                let seen = fresh.map_or_else(|| self.before(now, Duration::ZERO), |(_, seen)| seen.clone());
                self.cached.entry(reader).or_insert_with(|| (now, seen.clone()));
                self.cached.retain(|_, (at, _)| now.since(*at) < self.staleness);
                seen
            }
        };
        seen.filter(|version| now.since(version.at) < TTL)
    }

    /// What was stored so long ago.
    fn before(&self, now: Instant, age: Duration) -> Option<Rc<Version>> {
        let at = self.changed.partition_point(|at| *at + age <= now);
        self.versions.get(at.checked_sub(1)?).cloned().flatten()
    }

    /// Whether a write is refused now.
    pub(super) fn is_limited(&self, now: Instant) -> bool {
        self.last_put.is_some_and(|at| now.since(at) < BETWEEN_WRITES)
    }

    /// Stores a value.
    pub(super) fn put(&mut self, version: Version) {
        self.last_put = Some(version.at);
        self.push(version.at, Some(Rc::new(version)));
    }

    /// Somebody deletes the value.
    pub(super) fn delete(&mut self, now: Instant) {
        self.push(now, None);
    }

    fn push(&mut self, at: Instant, version: Option<Rc<Version>>) {
        // Nobody reads so far back that more are needed: a second lies between two writes.
        if self.versions.len() > 2_000 {
            self.versions.drain(..1_000);
            self.changed.drain(..1_000);
        }
        self.versions.push(version);
        self.changed.push(at);
    }
}
