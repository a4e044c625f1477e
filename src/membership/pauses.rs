//! What a pause of this node means: nothing that it waited for in the meantime says anything about anybody.

use super::Membership;
use super::timer::Timer;
use crate::time::Instant;

impl Membership {
    /// This node stood still for a while: what it waited for in the meantime means nothing, for or against anybody.
    pub fn handle_pause(&mut self, now: Instant) {
        self.round = None;
        self.relays.clear();
        self.timers.stop(Timer::Direct);
        self.timers.stop(Timer::Round);
        self.timers.set(Timer::Period, now);
        self.awareness.distrust();
        for suspicion in self.suspicions.values_mut() {
            suspicion.restart(now);
        }
    }
}
