//! Flap damping: a node that keeps dying and coming back stays away for a while, by its own decision.
//!
//! After RFC 2439 (route flap damping), with two differences. The node itself counts, since it alone knows of every death
//! of its own, and so no two members can disagree about it. And the penalty decays by Lifeguard's local health: a node
//! that misses answers is not better yet, so its half-life is stretched like its other timeouts.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::id::{IdHash, Version};
use crate::time::{Duration, Instant};

/// In this time a node that feels well pays off half of its penalty; one that feels worst takes nine times as long.
///
/// So a node whose network was repaired is back about five minutes after its last death, and one that still loses most of
/// its datagrams, with a multiplier of 5 or more, comes back, and dies again, once in 20 minutes or more.
const HALF_LIFE: Duration = Duration::from_secs(300);

/// From this penalty on a node is damped: by the third death within five minutes.
const SUPPRESS: f64 = 2.25;

/// Below this penalty it comes back. The next death, if it follows soon, damps it again.
const REUSE: f64 = 1.5;

/// Penalties grow no further, so that nobody is out for more than three half-lives.
const MOST: f64 = REUSE * 8.0;

/// Deaths and returns of others within this time of a death of one's own happened together with it.
const TOGETHER: Duration = Duration::from_secs(60);

/// When more than one in so many others died or came back together, the mesh was cut, and nobody is to blame.
const ONE_IN: usize = 5;

/// Shown penalties are in tenths.
const TENTHS: f64 = 10.0;

/// What a node publishes about its flapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flapping {
    /// The penalty in tenths, as of when it last rose, or fell by half.
    pub penalty: u32,
    /// The node lets itself be held dead until the penalty has decayed.
    pub is_damped: bool,
}

/// How often this node died lately, and what follows.
#[derive(Debug)]
pub(super) struct Damping {
    penalty: f64,
    /// When the penalty was last brought up to date.
    updated: Instant,
    /// Lifeguard's multiplier then.
    stretch: u32,
    shown: Flapping,
    /// The highest claim that was not refuted yet.
    held_back: Option<Version>,
    /// Own deaths that count and may still turn out to be part of something larger.
    deaths: Vec<Instant>,
    /// Others that died or came back lately.
    churn: BTreeMap<IdHash, Instant>,
    /// When the mesh was last seen to be cut or healed.
    cut: Option<Instant>,
}

impl Damping {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            penalty: 0.0,
            updated: now,
            stretch: 1,
            shown: Flapping { penalty: 0, is_damped: false },
            held_back: None,
            deaths: Vec::new(),
            churn: BTreeMap::new(),
            cut: None,
        }
    }

    /// The highest claim that waits to be refuted.
    pub(super) const fn held_back(&self) -> Option<Version> {
        self.held_back
    }

    /// What others may know of it.
    pub(super) const fn shown(&self) -> Flapping {
        self.shown
    }

    /// Another member died, or came back from the dead, in the view of this node, which knows `others`.
    pub(super) fn handle_churn(&mut self, member: IdHash, others: usize, now: Instant) {
        self.churn.insert(member, now);
        self.churn.retain(|_, at| now.since(*at) < TOGETHER);
        if self.churn.len() * ONE_IN <= others {
            return;
        }
        self.churn.clear();
        self.cut = Some(now);
        self.decay(now);
        self.deaths.retain(|at| now.since(*at) < TOGETHER);
        for _ in self.deaths.drain(..) {
            self.penalty = (self.penalty - 1.0).max(0.0);
        }
        if self.shown.is_damped && self.penalty < SUPPRESS {
            self.shown.is_damped = false;
        }
        self.show();
    }

    /// This node was told that it is dead at `version`, which it is not. True when it shall say so now.
    pub(super) fn handle_death(&mut self, version: Version, now: Instant) -> bool {
        if self.hold_back(version) {
            return false;
        }
        if self.cut.is_some_and(|at| now.since(at) < TOGETHER) {
            return true;
        }
        self.decay(now);
        self.penalty = (self.penalty + 1.0).min(MOST);
        self.deaths.retain(|at| now.since(*at) < TOGETHER);
        self.deaths.push(now);
        self.shown.is_damped = self.penalty >= SUPPRESS;
        self.show();
        !self.hold_back(version)
    }

    /// While the node is damped, whatever is claimed about it waits. True when it does.
    pub(super) fn hold_back(&mut self, version: Version) -> bool {
        if self.shown.is_damped {
            self.held_back = self.held_back.max(Some(version));
        }
        self.shown.is_damped
    }

    /// Time passed, of which Lifeguard's multiplier is `stretch`. A version that is returned is to be refuted now.
    pub(super) fn handle_timeout(&mut self, stretch: u32, now: Instant) -> Option<Version> {
        if self.penalty > 0.0 {
            self.decay(now);
            self.stretch = stretch.max(1);
            if self.shown.is_damped && self.penalty <= REUSE {
                self.shown.is_damped = false;
                self.show();
            } else if self.penalty <= self.half_of_shown() {
                self.show();
            }
        }
        if self.shown.is_damped { None } else { self.held_back.take() }
    }

    /// When `handle_timeout` is next due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if !self.shown.is_damped && self.held_back.is_some() {
            return Some(self.updated);
        }
        if self.penalty <= 0.0 {
            return None;
        }
        let half = self.half_of_shown();
        let target = if self.shown.is_damped { half.max(REUSE) } else { half };
        let halvings = (self.penalty / target).log2().max(0.0);
        // A moment later, so that rounding never makes it a moment too early.
        let wait = self.half_life().mul_f64(halvings) + Duration::from_millis(1);
        Some(self.updated + wait)
    }

    fn half_life(&self) -> Duration {
        HALF_LIFE * self.stretch
    }

    fn decay(&mut self, now: Instant) {
        let halvings = now.since(self.updated).as_secs_f64() / self.half_life().as_secs_f64();
        self.penalty *= (-halvings).exp2();
        self.updated = now;
    }

    fn half_of_shown(&self) -> f64 {
        f64::from(self.shown.penalty.max(1)) / TENTHS / 2.0
    }

    fn show(&mut self) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 120")]
        let tenths = (self.penalty * TENTHS).round() as u32;
        self.shown.penalty = tenths;
        if tenths == 0 {
            self.penalty = 0.0;
        }
    }
}
