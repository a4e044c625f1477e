//! Tombstones: what is kept of the dead and of those that left, until it is forgotten.

use super::timer::Timer;
use super::{Membership, Output, TOMBSTONE_ENDS, TOMBSTONE_FADES};
use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::view::Status;

/// Between two looks through the tombstones.
pub(super) const REAP_INTERVAL: Duration = Duration::from_secs(60);

impl Membership {
    pub(super) fn reap(&mut self, now: Instant) {
        self.timers.set(Timer::Reap, now + REAP_INTERVAL);
        let tombstones = self.members.tombstones().map(|member| (member.hash, member.age(now)));
        let old: Vec<(IdHash, Duration)> = tombstones.filter(|(_, age)| *age >= TOMBSTONE_FADES).collect();
        for (hash, age) in old {
            if age >= TOMBSTONE_ENDS {
                self.bury(hash, age, now);
            }
            self.outputs.push_back(Output::Changed(hash));
        }
    }

    /// Deletes a tombstone. Where a dead member was, somebody may come back; one that left is not waited for.
    fn bury(&mut self, hash: IdHash, age: Duration, now: Instant) {
        let Some(member) = self.members.remove(&hash) else { return };
        if let Some(addr) = member.addr.filter(|_| member.claim.status == Status::Dead) {
            self.joining.remember(addr, age, now);
        }
    }
}
