//! The deadlines of membership, one slot per purpose: setting one again replaces it, so no timer is ever stale.

use crate::time::Instant;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next random member is pinged.
    Period,
    /// The next watcher has its turn.
    Turn,
    /// Watch links follow who is watched.
    Watch,
    /// Deaths are pushed once more.
    Again,
    /// Waiting facts get a datagram of their own.
    Gossip,
    /// Seeds and former peers are asked again.
    Join,
    /// The joins have been unanswered for long enough to say so.
    Unanswered,
    /// Perhaps contact a dead or seed address, so that partitions heal.
    Heal,
    /// The leave is told once more.
    Leave,
    /// Tombstones are looked through.
    Reap,
}

const TIMERS: [Timer; 10] = [
    Timer::Period,
    Timer::Turn,
    Timer::Watch,
    Timer::Again,
    Timer::Gossip,
    Timer::Join,
    Timer::Unanswered,
    Timer::Heal,
    Timer::Leave,
    Timer::Reap,
];

/// All deadlines.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; TIMERS.len()]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn at(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    /// Takes one deadline that has passed.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<Timer> {
        let timer = TIMERS.into_iter().find(|timer| self.at(*timer).is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
