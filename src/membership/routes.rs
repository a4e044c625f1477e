//! Unroutable members: some reach them and many do not. An annotation for the router, outside the precedence of claims.
//!
//! It is told with a counter, so that the newest word wins whoever says it, and it fades when nobody repeats it.

use std::collections::BTreeMap;

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// The annotation holds for this long after it was last said.
const HOLDS_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Route {
    /// Twice a counter, plus one while unroutable.
    value: u64,
    until: Instant,
    /// What the last change said, to tell changes from repetitions.
    is_unroutable: bool,
}

/// What is said about routes.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: BTreeMap<IdHash, Route>,
}

impl Routes {
    /// Whether the mesh holds a member unroutable.
    pub(super) fn is_unroutable(&self, subject: IdHash) -> bool {
        self.routes.get(&subject).is_some_and(|route| route.is_unroutable)
    }

    /// Until when a member is held unroutable, if it is.
    pub(super) fn until(&self, subject: IdHash) -> Option<Instant> {
        self.routes.get(&subject).filter(|route| route.is_unroutable).map(|route| route.until)
    }

    /// Whether what is said about a member ends soon unless it is said again.
    pub(super) fn is_fading(&self, subject: IdHash, now: Instant) -> bool {
        self.routes.get(&subject).is_none_or(|route| route.until.since(now) < HOLDS_FOR / 3)
    }

    /// The value with which to say something newer than all that was heard.
    pub(super) fn next(&self, subject: IdHash, is_unroutable: bool) -> u64 {
        let counter = self.routes.get(&subject).map_or(0, |route| route.value >> 1);
        (counter.saturating_add(1) << 1) | u64::from(is_unroutable)
    }

    /// Somebody says `value`. `None` when it is not news, else whether the annotation changed.
    pub(super) fn learn(&mut self, subject: IdHash, value: u64, now: Instant) -> Option<bool> {
        let held = self.routes.get(&subject);
        if held.is_some_and(|held| value <= held.value) {
            return None;
        }
        let is_unroutable = value & 1 == 1;
        let changes = held.is_some_and(|held| held.is_unroutable) != is_unroutable;
        self.routes.insert(subject, Route { value, until: now + HOLDS_FOR, is_unroutable });
        Some(changes)
    }

    /// The annotations that fade now.
    pub(super) fn take_faded(&mut self, now: Instant) -> Vec<IdHash> {
        let mut faded = Vec::new();
        for (subject, route) in &mut self.routes {
            if route.is_unroutable && route.until <= now {
                route.is_unroutable = false;
                faded.push(*subject);
            }
        }
        // The counter is kept for as long as an older word may still be on its way.
        self.routes.retain(|_, route| route.until + HOLDS_FOR > now);
        faded
    }

    /// Forgets a member.
    pub(super) fn forget(&mut self, subject: IdHash) {
        self.routes.remove(&subject);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.routes.values().filter(|route| route.is_unroutable).map(|route| route.until).min()
    }
}
