//! What this node does about itself: it begins to watch, doubts itself, and starts anew after a pause.

use super::{LinkAnswer, Membership, Output, suspicion};
use crate::id::IdHash;
use crate::time::Instant;

impl Membership {
    /// The node may accuse from now on: its watchers have their first turns.
    pub(super) fn begin_watching(&mut self, now: Instant) {
        self.turns.begin();
        self.refresh_watchers(now);
    }

    /// Whether this node doubts itself: then it accuses nobody, and says nothing as a witness.
    pub(super) fn is_self_suspecting(&mut self, now: Instant) -> bool {
        if !self.detector.has_witnesses() {
            return false;
        }
        let (_, longest) = suspicion::bounds(self.live_count(), super::PERIOD);
        let is_isolated = self.isolation.is_suspected(longest, now);
        if is_isolated != self.is_isolated {
            self.is_isolated = is_isolated;
            self.outputs.push_back(Output::Isolated(is_isolated));
        }
        is_isolated
    }

    /// This node stood still for a while: what it waited for in the meantime means nothing, for or against anybody.
    pub fn handle_pause(&mut self, now: Instant) {
        self.rounds.clear();
        self.challenges.clear();
        self.looks.clear();
        self.accusations.clear();
        self.endings.clear();
        self.second_looks.clear();
        self.isolation.clear();
        self.awareness.distrust();
        self.excuse_turns(now);
        self.last_received = now;
        for suspicion in self.suspicions.values_mut() {
            suspicion.restart(now);
        }
    }

    /// What came of a ping over the watch link to a member.
    pub fn handle_link_answer(&mut self, subject: IdHash, answer: LinkAnswer, now: Instant) {
        match answer {
            LinkAnswer::Alive(version) => {
                let held = self.members.get(&subject).map(|member| member.claim.version.epoch);
                if held == Some(version.epoch) {
                    self.handle_answer(subject, version, subject, now);
                }
            }
            LinkAnswer::Stalled => self.handle_stalled(subject, now),
            LinkAnswer::Nothing => {}
        }
    }

    pub(super) fn fade_routes(&mut self, now: Instant) {
        for subject in self.routes.take_faded(now) {
            self.route_ended(subject);
        }
    }

    /// A member that was held unroutable is not any more.
    pub(super) fn route_ended(&mut self, subject: IdHash) {
        if let Some(id) = self.members.get(&subject).map(|member| member.id) {
            self.outputs.push_back(Output::Route { id, is_unroutable: false });
        }
    }
}
