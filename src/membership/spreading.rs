//! Spreading facts: new ones are pushed at once, and all ride along on every datagram until they were told often enough.

use rand::RngExt as _;

use super::timer::Timer;
use super::{Member, Membership, dissemination, shuffle};
use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::{Fact, FactKind};

/// A newly learned fact waits at most this long for its datagram; then facts go out at this rate.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(200);

/// Members that each gossip datagram goes to.
const GOSSIP_FANOUT: usize = 3;

/// With witnesses, a new fact goes to so many members at once, and rides along from then on.
pub(super) const EAGER_FANOUT: usize = 4;

/// Between two bursts of new facts, at least.
const EAGER_INTERVAL: Duration = Duration::from_millis(40);

/// Deaths are pushed a second time after this.
const DEATHS_AGAIN: Duration = Duration::from_millis(200);

impl Membership {
    /// Tells everyone a fact. A node that does not know its mesh yet does not tell it of its members.
    pub fn disseminate(&mut self, fact: Fact, now: Instant) {
        let is_introduction = matches!(fact.kind(), FactKind::Joined | FactKind::Manifest);
        if is_introduction && !self.may_accuse && fact.subject != self.hash.0 {
            return;
        }
        self.dissemination.add(fact);
        self.schedule_gossip(now);
    }

    /// The facts for a datagram to `to`, of at most `budget` packed bytes: first what it must know about itself.
    pub fn facts_for(&mut self, to: Option<IdHash>, budget: usize) -> Vec<Fact> {
        let mut facts: Vec<Fact> = to.and_then(|to| self.accusation(to)).into_iter().collect();
        if self.leaving.is_some() {
            facts.push(Fact::about(self.hash, self.version, FactKind::Left));
        }
        let used: usize = facts.iter().map(Fact::packed_len).sum();
        let members = self.live_count().max(self.advertised as usize);
        let limit = dissemination::retransmit_limit(members);
        facts.extend(self.dissemination.fill(budget.saturating_sub(used), limit));
        facts
    }

    fn schedule_gossip(&mut self, now: Instant) {
        let is_eager = self.detector.has_witnesses();
        let is_due =
            if is_eager { self.dissemination.is_new(EAGER_FANOUT) } else { self.dissemination.is_urgent() };
        if is_due && !self.order.is_empty() && self.timers.at(Timer::Gossip).is_none() {
            let interval = if is_eager { EAGER_INTERVAL } else { GOSSIP_INTERVAL };
            let spread = self.drawn_within(Duration::from_millis(10));
            self.timers.set(Timer::Gossip, (self.last_gossip + interval).max(now + spread));
        }
    }

    pub(super) fn gossip(&mut self, now: Instant) {
        self.last_gossip = now;
        if self.detector.has_witnesses() {
            if self.dissemination.has_new_deaths() && self.timers.at(Timer::Again).is_none() {
                self.timers.set(Timer::Again, now + DEATHS_AGAIN);
            }
            self.push_facts(EAGER_FANOUT);
        } else {
            self.push_facts(GOSSIP_FANOUT);
        }
        self.schedule_gossip(now);
    }

    pub(super) fn push_facts(&mut self, fanout: usize) {
        // Each copy of a fact counts, so those who may be gone get theirs only when nobody else is there.
        let mut chosen = self.sample(fanout, |member| member.claim.status == Status::Alive);
        if chosen.is_empty() {
            chosen = self.sample(fanout, |_| true);
        }
        for id in chosen {
            self.send_to_member(id, None);
        }
    }

    /// At most `count` distinct live members that are wanted, drawn at random.
    pub(super) fn sample(&mut self, count: usize, wanted: impl Fn(&Member) -> bool) -> Vec<IdHash> {
        let mut drawn = Vec::with_capacity(count);
        if self.order.len() <= count * 4 {
            let mut all = self.order.clone();
            shuffle(&mut all, &mut self.rng);
            drawn.extend(
                all.into_iter()
                    .filter(|id| self.members.get(id).is_some_and(|member| wanted(&member)))
                    .take(count),
            );
            return drawn;
        }
        for _ in 0..count * 8 {
            let id = self.order[self.rng.random_range(0..self.order.len())];
            if !drawn.contains(&id) && self.members.get(&id).is_some_and(|member| wanted(&member)) {
                drawn.push(id);
                if drawn.len() == count {
                    break;
                }
            }
        }
        drawn
    }
}
