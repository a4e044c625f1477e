//! A witness looks at a suspected member: three pings within a second, and one over the link, then a verdict.

use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::wire::packet::Seen;

/// How long a first look takes, and its pings.
const WINDOW: Duration = Duration::from_secs(1);
const PINGS: u32 = 3;

/// The pings of a fresh look, one timeout apart.
const FRESH_PINGS: u32 = 2;

/// How long a ping over the link may take.
const LINK_WAIT: Duration = Duration::from_millis(500);

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
    /// Ping.
    Ping,
    /// Ping over the link, and wait there for this long.
    PingLink(Duration),
    /// Tell the askers.
    Tell(Seen),
}

/// A look at one member.
#[derive(Debug)]
pub(super) struct Look {
    is_fresh: bool,
    interval: Duration,
    pings_left: u32,
    /// When to ping over the link, unless there is an answer by then.
    link_at: Option<Instant>,
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
            // Most answers come by then; in a fresh look there is no time to wait for that.
            link_at: Some(if is_fresh { now } else { now + timeout }),
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
        self.verdict.is_none().then(|| self.link_at.map_or(self.due, |at| at.min(self.due)))
    }

    /// Nobody will ask for this look again.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.verdict.is_some_and(|(_, at)| now.since(at) >= STANDS_FOR)
    }

    pub(super) fn take_next(&mut self, now: Instant) -> Next {
        if self.due <= now && self.pings_left > 0 {
            self.pings_left -= 1;
            self.due = now + self.interval;
            return Next::Ping;
        }
        if self.link_at.take_if(|at| *at <= now).is_some() {
            let left = self.interval * self.pings_left + self.due.since(now);
            // Its outcome must be known before the verdict.
            return Next::PingLink((left * 2 / 3).min(LINK_WAIT));
        }
        let seen = if self.stalled { Seen::Stalled } else { Seen::Silent };
        self.verdict = Some((seen, now));
        Next::Tell(seen)
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
