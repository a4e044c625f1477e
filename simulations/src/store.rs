//! The store of the summary: one shared value with a clock, a cache per reader that makes it stale, and outages.

use std::collections::BTreeMap;

use meshnode::summary::{StoreCall, StoreFailure, StoreReply};
use meshnode::time::{Duration, Instant};

/// Unix time at the origin of the simulation: the first second of a UTC day.
pub const UNIX_ORIGIN: u64 = 1_767_225_600;

/// A PUT later than this after its GET has lost the connection that it needs.
const PUT_WITHIN: Duration = Duration::from_secs(5);

/// The store that all nodes share.
#[derive(Debug, Default)]
pub struct Store {
    staleness: Duration,
    out: bool,
    value: Option<Vec<u8>>,
    cached: BTreeMap<usize, Cached>,
    read_at: BTreeMap<usize, Instant>,
    puts: Vec<Put>,
}

/// What a reader's part of the store saw, hits and misses alike.
#[derive(Debug)]
struct Cached {
    at: Instant,
    value: Option<Vec<u8>>,
}

/// A PUT that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// When.
    pub at: Instant,
    /// Which node.
    pub writer: usize,
    /// The value.
    pub value: Vec<u8>,
}

impl Store {
    /// An empty store whose answers may be as old as `staleness`.
    pub fn new(staleness: Duration) -> Self {
        Self { staleness, ..Self::default() }
    }

    /// Whether calls fail.
    pub const fn set_out(&mut self, out: bool) {
        self.out = out;
    }

    /// The value now.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The PUTs that were applied, in order.
    pub fn puts(&self) -> &[Put] {
        &self.puts
    }

    /// Answers a call of `node`.
    pub fn answer(&mut self, node: usize, call: StoreCall, now: Instant) -> StoreReply {
        let failure = || StoreFailure::Failed("503 Service Unavailable".to_owned());
        match call {
            StoreCall::Get if self.out => StoreReply::GetFailed(failure()),
            StoreCall::Put { .. } if self.out => StoreReply::PutFailed(failure()),
            StoreCall::Get => self.get(node, now),
            StoreCall::Put { value } => self.put(node, value, now),
        }
    }

    fn get(&mut self, node: usize, now: Instant) -> StoreReply {
        self.read_at.insert(node, now);
        let fresh = self.cached.get(&node).is_some_and(|cached| now.since(cached.at) < self.staleness);
        if !fresh {
            self.cached.insert(node, Cached { at: now, value: self.value.clone() });
        }
        let value = self.cached.get(&node).and_then(|cached| cached.value.clone());
        let now = unix(now);
        match value {
            Some(value) => StoreReply::Found { value, now },
            None => StoreReply::NotFound { now },
        }
    }

    fn put(&mut self, node: usize, value: Vec<u8>, now: Instant) -> StoreReply {
        let in_time = self.read_at.remove(&node).is_some_and(|read| now.since(read) <= PUT_WITHIN);
        if !in_time {
            return StoreReply::PutFailed(StoreFailure::TooLate);
        }
        self.value = Some(value.clone());
        self.puts.push(Put { at: now, writer: node, value });
        StoreReply::Stored
    }
}

/// The true unix time at `now`, in seconds.
pub const fn unix(now: Instant) -> u64 {
    UNIX_ORIGIN + now.as_nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn put(value: u8) -> StoreCall {
        StoreCall::Put { value: vec![value] }
    }

    #[test]
    fn a_reader_sees_what_it_saw_until_the_staleness_has_passed() {
        let mut store = Store::new(Duration::from_secs(180));
        assert_eq!(store.answer(1, StoreCall::Get, at(0)), StoreReply::NotFound { now: unix(at(0)) });
        store.answer(0, StoreCall::Get, at(1));
        assert_eq!(store.answer(0, put(7), at(2)), StoreReply::Stored);
        assert_eq!(store.answer(1, StoreCall::Get, at(100)), StoreReply::NotFound { now: unix(at(100)) });
        let found = StoreReply::Found { value: vec![7], now: unix(at(181)) };
        assert_eq!(store.answer(1, StoreCall::Get, at(181)), found);
    }

    #[test]
    fn a_put_long_after_its_get_is_not_sent() {
        let mut store = Store::new(Duration::ZERO);
        store.answer(0, StoreCall::Get, at(0));
        assert_eq!(store.answer(0, put(1), at(6)), StoreReply::PutFailed(StoreFailure::TooLate));
        assert!(store.puts().is_empty());
    }

    #[test]
    fn an_outage_fails_every_call() {
        let mut store = Store::new(Duration::ZERO);
        store.set_out(true);
        assert!(matches!(store.answer(0, StoreCall::Get, at(0)), StoreReply::GetFailed(_)));
        assert!(matches!(store.answer(0, put(1), at(1)), StoreReply::PutFailed(_)));
    }
}
