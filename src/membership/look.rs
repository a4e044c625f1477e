//! A witness looks at a suspected member: three pings within a second, and one over the link, then a verdict.

use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::wire::packet::Seen;

/// How long a first look takes, and its pings.
const WINDOW: Duration = Duration::from_secs(1);
const PINGS: u32 = 3;

/// The pings of a fresh look, one timeout apart.
const FRESH_PINGS: u32 = 2;

/// A verdict is given again for this long.
const STANDS_FOR: Duration = WINDOW;

/// Accusers that wait for one verdict.
const MAX_ASKERS: usize = 16;

/// An accuser that waits, with the name of its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) id: IdHash,
    pub(super) round: u64,
}

/// What a look wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Ping, and if it is the first one also over the link, waiting there for this long.
    Ping { over_link: Option<Duration> },
    /// Tell the askers.
    Tell(Seen),
}

/// A look at one member.
#[derive(Debug)]
pub(super) struct Look {
    is_fresh: bool,
    interval: Duration,
    pings_left: u32,
    is_first: bool,
    due: Instant,
    stalled: bool,
    verdict: Option<(Seen, Instant)>,
    askers: Vec<Asker>,
}

impl Look {
    pub(super) fn new(is_fresh: bool, timeout: Duration, now: Instant) -> Self {
        let (interval, pings_left) = if is_fresh { (timeout, FRESH_PINGS) } else { (WINDOW / PINGS, PINGS) };
        Self {
            is_fresh,
            interval,
            pings_left,
            is_first: true,
            due: now,
            stalled: false,
            verdict: None,
            askers: Vec::new(),
        }
    }

    /// Whether this look does for who asks now, `is_fresh` or not.
    pub(super) fn serves(&self, is_fresh: bool, now: Instant) -> bool {
        let stands = self.verdict.is_none_or(|(_, at)| now.since(at) < STANDS_FOR);
        stands && (self.is_fresh || !is_fresh)
    }

    /// The verdict, when there is one.
    pub(super) fn verdict(&self) -> Option<Seen> {
        self.verdict.map(|(seen, _)| seen)
    }

    pub(super) fn ask(&mut self, asker: Asker) {
        self.askers.retain(|known| known.id != asker.id);
        if self.askers.len() < MAX_ASKERS {
            self.askers.push(asker);
        }
    }

    pub(super) fn askers(&self) -> &[Asker] {
        &self.askers
    }

    /// When to act; `None` once there is a verdict.
    pub(super) fn due(&self) -> Option<Instant> {
        self.verdict.is_none().then_some(self.due)
    }

    /// Nobody will ask for this look again.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.verdict.is_some_and(|(_, at)| now.since(at) >= STANDS_FOR)
    }

    pub(super) fn take_next(&mut self, now: Instant) -> Next {
        if self.pings_left == 0 {
            let seen = if self.stalled { Seen::Stalled } else { Seen::Silent };
            self.verdict = Some((seen, now));
            return Next::Tell(seen);
        }
        let is_first = std::mem::take(&mut self.is_first);
        let left = self.interval * self.pings_left;
        self.pings_left -= 1;
        self.due = now + self.interval;
        Next::Ping { over_link: is_first.then_some(left / 2) }
    }

    /// The subject answered. True when that is the verdict.
    pub(super) fn handle_answer(&mut self, now: Instant) -> bool {
        let decides = self.verdict.is_none_or(|(seen, _)| seen != Seen::Answers);
        self.verdict = Some((Seen::Answers, now));
        decides
    }

    /// Its kernel acknowledged, and its process did not answer. True when that was not known.
    pub(super) fn handle_stalled(&mut self) -> bool {
        self.verdict.is_none() && !std::mem::replace(&mut self.stalled, true)
    }
}
