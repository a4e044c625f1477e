//! Heartbeat by turns: a node pings its own watchers in ring order, and promises each when its next turn comes; a
//! watcher that misses a promised turn pings by itself, twice.

use std::collections::BTreeMap;

use super::timer::Timer;
use super::{Membership, Output, watchers};
use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// Between two turns: three quarters of one ping a second.
pub(super) const TURN: Duration = Duration::from_nanos(1_333_333_333);

/// All turns of a member with eight watchers.
const EXCUSED: Duration = Duration::from_nanos(8 * 1_333_333_333);

/// A turn may be this late before it counts as missed.
const GRACE: Duration = Duration::from_millis(100);

/// Pings after a missed turn, two thirds of a timeout apart: three, and more where much is lost.
const MAX_CHECKS: u32 = 6;

/// No member that pings by turns is silent for longer.
const MAX_PROMISE: Duration = Duration::from_secs(60);

/// Watch links follow changes of who is watched after this long, so that many changes are one.
const WATCH_AFTER: Duration = Duration::from_millis(50);

/// Members to which watch links are kept.
const MAX_WATCH_LINKS: usize = 16;

/// Members whose turns are expected; every one that promises takes a slot.
const MAX_WATCHED: usize = 64;

/// This node's own watchers, in ring order.
#[derive(Debug, Default)]
pub(super) struct Turns {
    watchers: Vec<IdHash>,
    next: usize,
    is_stale: bool,
}

impl Turns {
    /// A member came.
    pub(super) fn handle_newcomer(&mut self, own: IdHash, newcomer: IdHash) {
        self.is_stale |= watchers::is_displaced_by(own, &self.watchers, newcomer);
    }

    /// Nobody was promised anything so far.
    pub(super) fn begin(&mut self) {
        self.watchers.clear();
        self.is_stale = true;
    }

    /// A member is gone.
    pub(super) fn handle_gone(&mut self, gone: IdHash) {
        self.is_stale |= self.watchers.contains(&gone);
    }

    /// Turns until `watcher` has its own again, if it is one.
    fn until(&self, watcher: IdHash) -> Option<usize> {
        let place = self.watchers.iter().position(|id| *id == watcher)?;
        let turns = self.watchers.len();
        Some((place + turns - self.next) % turns)
    }
}

/// A member that promises its turns to this node.
#[derive(Debug)]
pub(super) struct Watched {
    /// When its turn counts as missed, or the check of a missed one as unanswered.
    due: Instant,
    /// Pings since the turn was missed.
    checks: u32,
}

impl Watched {
    pub(super) const fn due(&self) -> Instant {
        self.due
    }
}

/// Everyone whom this node watches.
pub(super) type Watching = BTreeMap<IdHash, Watched>;

impl Membership {
    /// The next watcher has its turn.
    pub(super) fn take_turn(&mut self, now: Instant) {
        self.timers.set(Timer::Turn, now + TURN);
        self.refresh_watchers(now);
        let Some(watcher) = self.turns.watchers.get(self.turns.next).copied() else { return };
        self.turns.next = (self.turns.next + 1) % self.turns.watchers.len();
        self.begin_round(watcher, now);
    }

    /// Brings the own watchers up to date; new ones have their first turn at once.
    pub(super) fn refresh_watchers(&mut self, now: Instant) {
        if !std::mem::take(&mut self.turns.is_stale) {
            return;
        }
        let current = self.turns.watchers.get(self.turns.next).copied();
        let before = std::mem::replace(&mut self.turns.watchers, watchers::of(self.hash, &self.order));
        let place = current.and_then(|current| self.turns.watchers.iter().position(|id| *id == current));
        self.turns.next = place.unwrap_or(0);
        let new: Vec<IdHash> =
            self.turns.watchers.iter().filter(|id| !before.contains(id)).copied().collect();
        if !self.may_accuse || !self.detector.has_witnesses() {
            return;
        }
        for watcher in new {
            self.challenge(watcher, false, now);
        }
    }

    /// What pings and acks to `peer` promise: milliseconds to its next turn, 0 when it is no watcher of this node.
    pub(super) fn promise(&self, peer: IdHash, now: Instant) -> u32 {
        if !self.may_accuse || !self.detector.has_witnesses() {
            return 0;
        }
        let Some(turns) = self.turns.until(peer) else { return 0 };
        let next = self.timers.at(Timer::Turn).map_or(TURN, |at| at.since(now));
        let wait = next + TURN * u32::try_from(turns).unwrap_or(0);
        u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// `peer` says when it pings this node again; 0 when it has other watchers.
    pub(super) fn handle_promise(&mut self, peer: IdHash, next_turn_ms: u32, now: Instant) {
        if !self.detector.has_witnesses() || !self.members.get(&peer).is_some_and(|member| member.is_live()) {
            return;
        }
        if next_turn_ms == 0 {
            self.unwatch(peer, now);
            return;
        }
        let wait = Duration::from_millis(next_turn_ms.into()).min(MAX_PROMISE);
        let due = now + wait + GRACE;
        if let Some(watched) = self.watching.get_mut(&peer) {
            *watched = Watched { due, checks: 0 };
        } else if self.watching.len() < MAX_WATCHED {
            self.watching.insert(peer, Watched { due, checks: 0 });
            self.touch_watch_links(now);
        }
    }

    pub(super) fn unwatch(&mut self, peer: IdHash, now: Instant) {
        if self.watching.remove(&peer).is_some() {
            self.touch_watch_links(now);
        }
    }

    pub(super) fn touch_watch_links(&mut self, now: Instant) {
        if self.timers.at(Timer::Watch).is_none() {
            self.timers.set(Timer::Watch, now + WATCH_AFTER);
        }
    }

    pub(super) fn watch_links(&mut self) {
        let watched = self.watching.keys().take(MAX_WATCH_LINKS).copied().collect();
        self.outputs.push_back(Output::Watch(watched));
    }

    /// Turns that did not come, and checks of them that were not answered.
    pub(super) fn check_turns(&mut self, now: Instant) {
        if !self.may_accuse {
            return;
        }
        let interval = self.answer_time() * 2 / 3;
        let checks = self.round_trips.attempts().min(MAX_CHECKS);
        let mut pings = Vec::new();
        let mut silent = Vec::new();
        for (peer, watched) in &mut self.watching {
            if watched.due > now {
                continue;
            }
            if watched.checks < checks {
                watched.checks += 1;
                watched.due = now + interval;
                pings.push(*peer);
            } else {
                // If nobody may be accused now, the next silence is evidence again.
                *watched = Watched { due: now + EXCUSED, checks: 0 };
                silent.push(*peer);
            }
        }
        for peer in pings {
            self.challenge(peer, false, now);
        }
        for peer in silent {
            self.isolation.note(peer, false, now);
            self.awareness.handle_failure(0, 0);
            self.accuse(peer, "it missed its turn, and further pings are unanswered", now);
        }
    }

    /// After a pause of this node turns may have come and gone unheard.
    pub(super) fn excuse_turns(&mut self, now: Instant) {
        for watched in self.watching.values_mut() {
            *watched = Watched { due: now + EXCUSED, checks: 0 };
        }
    }

    pub(super) fn next_turn_due(&self) -> Option<Instant> {
        if !self.may_accuse {
            return None;
        }
        self.watching.values().map(|watched| watched.due).min()
    }
}
