//! The election of the heartbeat leader: a deterministic, non-preemptive bully over the membership view.
//!
//! Garcia-Molina's bully (1982) with two changes that gossip asks for. The rank (priority, oldest boot, id) decides
//! only when no leader is heard, or when two leaders meet: a joiner never preempts. And a candidate holds back until no
//! leader was heard for the hold-down. This gives one leader per connected part of the mesh, not mutual exclusion;
//! what the leader does must be harmless when two do it.

mod rank;

#[cfg(test)]
mod tests;

pub use rank::{Candidate, Rank};

use std::collections::{BTreeMap, VecDeque};

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// Better-ranked members that a candidate asks before it leads.
const ASKED: usize = 3;

/// How long the asked may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A Coordinator is believed without its manifest for this long.
const ANNOUNCEMENT_COUNTS_FOR: Duration = Duration::from_secs(10);

/// Coordinators that are believed without their manifests.
const MAX_ANNOUNCED: usize = 16;

/// Each place in the ranking holds back this much longer, up to [`MAX_STAGGER`], so that one election settles it.
const STAGGER: Duration = Duration::from_secs(1);
const MAX_STAGGER: Duration = Duration::from_secs(8);

/// What the election wants to be done or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To a better-ranked member: will you lead?
    Election {
        /// The member.
        to: IdHash,
        /// The highest term seen.
        term: u64,
    },
    /// I will, or I know who does.
    Answer {
        /// Who asked.
        to: IdHash,
        /// The highest term seen.
        term: u64,
        /// The leader that this node follows.
        leader: Option<IdHash>,
    },
    /// Read the store: it says the stored term, and that it works.
    ReadStore,
    /// This node leads in this term: tell everyone (Coordinator).
    Lead(u64),
    /// This node leads no more.
    StepDown,
    /// The leader that this node knows changed.
    Leader(Option<IdHash>),
}

/// Where this node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may not lead, or somebody does.
    Idle,
    /// Nobody leads; it holds back until `until`.
    Holding { until: Instant },
    /// It asked better-ranked members, and waits for an answer until `until`.
    Asking { until: Instant },
    /// It reads the store.
    Reading,
    /// It leads.
    Leading { term: u64 },
}

/// The election machine of one node.
#[derive(Debug)]
pub struct Election {
    own: IdHash,
    hold: Duration,
    state: State,
    term_seen: u64,
    /// Eligible members, best first; this node is among them when it is eligible.
    candidates: Vec<Candidate>,
    /// Coordinators heard whose manifests may not be here yet.
    announced: BTreeMap<IdHash, (u64, Instant)>,
    leader: Option<IdHash>,
    leader_since: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Election {
    /// A machine that knows nobody.
    pub const fn new(own: IdHash, hold: Duration) -> Self {
        Self {
            own,
            hold,
            state: State::Idle,
            term_seen: 0,
            candidates: Vec::new(),
            announced: BTreeMap::new(),
            leader: None,
            leader_since: None,
            outputs: VecDeque::new(),
        }
    }

    /// The eligible members changed, or what they say of themselves.
    pub fn handle_candidates(&mut self, mut candidates: Vec<Candidate>, now: Instant) {
        candidates.sort_by_key(|candidate| candidate.rank);
        for candidate in &candidates {
            self.term_seen = self.term_seen.max(candidate.leading_term);
            if candidate.leading_term > 0 {
                self.announced.remove(&candidate.id);
            }
        }
        self.candidates = candidates;
        self.decide(now);
    }

    /// A Coordinator was heard.
    pub fn handle_coordinator(&mut self, leader: IdHash, term: u64, now: Instant) {
        self.term_seen = self.term_seen.max(term);
        if leader != self.own {
            self.announced.insert(leader, (term, now));
            if self.announced.len() > MAX_ANNOUNCED {
                let oldest = self.announced.iter().min_by_key(|(_, (_, at))| *at).map(|(id, _)| *id);
                oldest.and_then(|id| self.announced.remove(&id));
            }
            self.decide(now);
        }
    }

    /// A worse-ranked member asks whether this node will lead.
    pub fn handle_election(&mut self, from: IdHash, term: u64, now: Instant) {
        self.term_seen = self.term_seen.max(term);
        if self.is_eligible() || self.leader.is_some() {
            self.outputs.push_back(Output::Answer { to: from, term: self.term_seen, leader: self.leader });
        }
        if let State::Holding { until } = self.state
            && until <= now
        {
            self.campaign(now);
        }
    }

    /// A better-ranked member will lead, or knows who does.
    pub fn handle_answer(&mut self, from: IdHash, term: u64, leader: Option<IdHash>, now: Instant) {
        self.term_seen = self.term_seen.max(term);
        if matches!(self.state, State::Asking { .. }) && self.position(from) < self.position(self.own) {
            // It leads now, or names one whose Coordinator is on its way; if not, ask again after another hold.
            self.state = State::Holding { until: now + self.hold.max(ANSWER_TIMEOUT * 3) };
        }
        if let Some(leader) = leader.filter(|leader| *leader != self.own) {
            self.handle_coordinator(leader, term, now);
        }
    }

    /// The store was read: it holds a value of this term, or none.
    pub fn handle_stored(&mut self, term: Option<u64>, now: Instant) {
        self.term_seen = self.term_seen.max(term.unwrap_or(0));
        if self.state != State::Reading {
            return;
        }
        self.state = State::Idle;
        self.decide(now);
        if matches!(self.state, State::Holding { .. }) {
            // At the highest of all there is no next one; the rank alone then decides between incumbents.
            let term = self.term_seen.saturating_add(1);
            self.term_seen = term;
            self.state = State::Leading { term };
            self.outputs.push_back(Output::Lead(term));
            self.decide(now);
        }
    }

    /// The store was not to be read; eligibility, which depends on it, is told by `handle_candidates`.
    pub fn handle_store_failed(&mut self, now: Instant) {
        if self.state == State::Reading {
            self.state = State::Idle;
            self.decide(now);
        }
    }

    /// This node stood still: it leads no more, and holds back anew before it leads again.
    pub fn handle_pause(&mut self, now: Instant) {
        if matches!(self.state, State::Leading { .. }) {
            self.outputs.push_back(Output::StepDown);
        }
        self.state = State::Idle;
        self.decide(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Holding { until } if until <= now => self.campaign(now),
            State::Asking { until } if until <= now => self.read_store(),
            State::Idle
            | State::Holding { .. }
            | State::Asking { .. }
            | State::Reading
            | State::Leading { .. } => {}
        }
        self.decide(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.state {
            State::Holding { until } | State::Asking { until } => Some(until),
            State::Idle | State::Reading | State::Leading { .. } => None,
        };
        let forgotten = self.announced.values().map(|(_, at)| *at + ANNOUNCEMENT_COUNTS_FOR).min();
        crate::time::earliest(own, forgotten)
    }

    /// The leader that this node knows.
    pub const fn leader(&self) -> Option<IdHash> {
        self.leader
    }

    /// Since when this node knows the leader.
    pub const fn leader_since(&self) -> Option<Instant> {
        self.leader_since
    }

    /// Whether a Coordinator of this member and term was heard already, from it or by its manifest.
    pub fn knows_coordinator(&self, leader: IdHash, term: u64) -> bool {
        self.incumbent_term(leader).is_some_and(|known| known >= term)
    }

    /// Nothing is waiting in `poll_output`.
    pub fn is_silent(&self) -> bool {
        self.outputs.is_empty()
    }

    /// The term of the leader, or the highest seen when there is none.
    pub fn term(&self) -> u64 {
        self.leader.and_then(|leader| self.incumbent_term(leader)).unwrap_or(self.term_seen)
    }

    /// The term in which this node leads, 0 when it does not.
    pub const fn leading_term(&self) -> u64 {
        if let State::Leading { term } = self.state { term } else { 0 }
    }

    /// The eligible members, best first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Brings state and leader in line with what is known.
    fn decide(&mut self, now: Instant) {
        self.announced.retain(|_, (_, at)| now.since(*at) < ANNOUNCEMENT_COUNTS_FOR);
        // Of two incumbents the better-ranked one stays: the candidates are in rank order.
        let incumbent = self.candidates.iter().map(|c| c.id).find(|id| self.incumbent_term(*id).is_some());
        if incumbent != self.leader {
            self.leader = incumbent;
            self.leader_since = incumbent.map(|_| now);
            self.outputs.push_back(Output::Leader(incumbent));
        }
        let is_leading = matches!(self.state, State::Leading { .. });
        if is_leading && incumbent != Some(self.own) {
            self.state = State::Idle;
            self.outputs.push_back(Output::StepDown);
        }
        if incumbent.is_some() || !self.is_eligible() {
            if !matches!(self.state, State::Leading { .. }) {
                self.state = State::Idle;
            }
        } else if self.state == State::Idle {
            let places = u32::try_from(self.position(self.own)).unwrap_or(u32::MAX);
            let stagger = STAGGER.saturating_mul(places).min(MAX_STAGGER);
            self.state = State::Holding { until: now + self.hold + stagger };
        }
    }

    fn campaign(&mut self, now: Instant) {
        let better: Vec<IdHash> =
            self.candidates.iter().map(|c| c.id).take_while(|id| *id != self.own).take(ASKED).collect();
        if better.is_empty() {
            self.read_store();
            return;
        }
        for to in better {
            self.outputs.push_back(Output::Election { to, term: self.term_seen });
        }
        self.state = State::Asking { until: now + ANSWER_TIMEOUT };
    }

    fn read_store(&mut self) {
        self.state = State::Reading;
        self.outputs.push_back(Output::ReadStore);
    }

    fn is_eligible(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.id == self.own)
    }

    fn position(&self, id: IdHash) -> usize {
        self.candidates.iter().position(|candidate| candidate.id == id).unwrap_or(self.candidates.len())
    }

    /// The term in which a member leads, as far as is known here.
    fn incumbent_term(&self, id: IdHash) -> Option<u64> {
        if id == self.own {
            return Some(self.leading_term()).filter(|term| *term > 0);
        }
        let told = self.announced.get(&id).map(|(term, _)| *term);
        let signed = self.candidates.iter().find(|candidate| candidate.id == id).map(|c| c.leading_term);
        told.or(signed).filter(|term| *term > 0)
    }
}
