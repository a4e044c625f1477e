//! Suspend: a node that stood still (a laptop that slept, a stopped process, a starved machine) must not take its own
//! silence for that of the others, nor lead by what it knew before.

use std::collections::BTreeSet;

use super::{Event, Mesh};
use crate::gossip::Peer;
use crate::id::IdHash;
use crate::membership::PERIOD;
use crate::time::{Duration, Instant};

/// Members that must be compared with before anybody is accused again, unless there are fewer.
const COMPARED: usize = 3;

/// A node that nobody answers any more goes on after this long.
const GIVES_UP_AFTER: Duration = Duration::from_secs(30);

/// When all members were tried in vain, they are tried again after this long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What has to be learned anew after a pause.
#[derive(Debug)]
pub(super) struct Refresh {
    compared: BTreeSet<IdHash>,
    tried: BTreeSet<IdHash>,
    next_try: Instant,
    gives_up: Instant,
}

impl Refresh {
    fn new(now: Instant) -> Self {
        let (compared, tried) = (BTreeSet::new(), BTreeSet::new());
        Self { compared, tried, next_try: now, gives_up: now + GIVES_UP_AFTER }
    }

    /// When it has to be looked at, although nothing happened.
    pub(super) fn poll_timeout(&self, now: Instant) -> Instant {
        if self.next_try > now { self.next_try.min(self.gives_up) } else { self.gives_up }
    }
}

impl Mesh {
    /// Looks whether this call comes much later than it was asked for: then the node stood still.
    pub(super) fn look_for_a_pause(&mut self, now: Instant) {
        let last = std::mem::replace(&mut self.last_handled, now);
        if now.since(last) <= PERIOD {
            return;
        }
        let late = self.poll_timeout().map_or(Duration::ZERO, |due| now.since(due));
        if late > PERIOD {
            self.handle_pause(late, now);
        }
    }

    /// The node stood still for about `late`.
    pub(super) fn handle_pause(&mut self, late: Duration, now: Instant) {
        self.event(Event::Paused(late));
        self.membership.handle_pause(now);
        self.gossip.handle_pause();
        self.election.handle_pause(now);
        self.pump_election(now);
        self.summary.handle_resume(now);
        if self.gate.is_passed() && self.membership.live_count() > 1 {
            self.membership.hold_accusations(true);
            self.refresh = Some(Refresh::new(now));
        }
        // Whoever hears from it again must not take its last manifest, by which it leads, for its word of today.
        self.own.hurry(now);
        self.publish_if_due(now);
    }

    /// A comparison of digests with this member was brought to its end.
    pub(super) fn note_compared(&mut self, peer: IdHash) {
        if let Some(refresh) = &mut self.refresh {
            refresh.compared.insert(peer);
        }
    }

    /// Compares with one member after the other, until enough is known again.
    pub(super) fn refresh_after_pause(&mut self, now: Instant) {
        let Some(refresh) = &mut self.refresh else { return };
        let others = self.membership.live();
        if refresh.compared.len() >= others.len().min(COMPARED) || refresh.gives_up <= now {
            self.refresh = None;
            self.membership.hold_accusations(false);
            self.own.touch();
            return;
        }
        if self.gossip.is_comparing(now) || refresh.next_try > now {
            return;
        }
        match others.iter().find(|member| !refresh.tried.contains(member)) {
            Some(member) => {
                refresh.tried.insert(*member);
                self.gossip.start_sync(Peer::Member(*member), self.membership.members(), now);
            }
            None => {
                refresh.tried.clone_from(&refresh.compared);
                refresh.next_try = now + TRY_AGAIN_AFTER;
            }
        }
    }
}
